package evaluate

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rxedge/index"
)

// backwards judges the later of the passages to be better.
type backwards struct{}

func (backwards) Rerank(_ context.Context, _ string, passages []string) ([]float32, error) {
	out := make([]float32, len(passages))
	for i := range out {
		out[i] = float32(i) / float32(len(out))
	}
	return out, nil
}

// Each step over one index finds what it finds over an index of its own.
func TestAblation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var corpus, queries, qrels strings.Builder
	qrels.WriteString("query-id\tcorpus-id\tscore\n")
	for i := range 30 {
		fmt.Fprintf(&corpus, `{"_id":"d%d","title":"","text":"subject%d and its general dose with remarks"}`+"\n", i, i)
		if i < 10 {
			fmt.Fprintf(&queries, `{"_id":"q%d","text":"dose of subject%d"}`+"\n", i, i)
			fmt.Fprintf(&qrels, "q%d\td%d\t1\n", i, i)
		}
	}
	write := func(name, s string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fusion := index.Fusion{BM25: 0.9, Dense: 0.1, NamedDense: 0.1}
	req := RetrievalRequest{
		Corpus: write("corpus.jsonl", corpus.String()), Queries: write("queries.jsonl", queries.String()), Qrels: write("qrels.tsv", qrels.String()), Dir: dir,
		Options: index.Options{Embedder: noise{}, EmbedderInfo: index.EmbedderInfo{Name: "noise", SHA256: "0", Dimension: 16}},
	}
	steps := []Step{
		{Name: "words", Mode: index.ModeBM25}, {Name: "vectors", Mode: index.ModeDense}, {Name: "by rank", Mode: index.ModeHybrid},
		{Name: "weighted", Mode: index.ModeHybrid, Fusion: fusion},
		{Name: "reranked", Mode: index.ModeHybrid, Fusion: fusion, Reranker: backwards{}},
		{Name: "blended", Mode: index.ModeHybrid, Fusion: fusion, Reranker: backwards{}, Blend: 0.9},
	}
	got, err := Ablation(t.Context(), req, steps)
	if err != nil {
		t.Fatal(err)
	}
	ndcg := map[string]float64{}
	for i, s := range got {
		if s.Name != steps[i].Name || len(s.Lines) != 10 || s.Report.Queries != 10 {
			t.Fatalf("%d: %+v", i, s)
		}
		ndcg[s.Name] = s.Report.NDCG10
		if s.Name == "words" {
			continue // alone, documents are not cut into passages
		}
		own := req
		own.Mode, own.Reranker, own.Blend, own.Options.Fusion = steps[i].Mode, steps[i].Reranker, steps[i].Blend, steps[i].Fusion
		var lines []RunLine
		own.Each = func(l RunLine) { lines = append(lines, l) }
		if _, err := Retrieval(t.Context(), own); err != nil || !reflect.DeepEqual(lines, s.Lines) {
			t.Errorf("%s: %v, %d lines differ", s.Name, err, len(lines))
		}
	}
	if ndcg["words"] < 0.9 || ndcg["vectors"] > 0.5 || ndcg["weighted"] < ndcg["by rank"] || ndcg["reranked"] > 0.5 || ndcg["blended"] < ndcg["reranked"] {
		t.Errorf("nDCG@10 %v", ndcg)
	}
	if _, err := Ablation(t.Context(), RetrievalRequest{Corpus: req.Corpus, Queries: req.Queries, Qrels: req.Qrels}, steps); err == nil {
		t.Error("no embedder")
	}
}

func TestBlend(t *testing.T) {
	t.Parallel()
	all := []Scored{{"a", 8}, {"b", 6}, {"c", 4}, {"d", 2}}
	judge := []Scored{{"c", 0.9}, {"b", 0.5}, {"a", 0.1}}
	for share, want := range map[float64]string{0: "c b a", 0.2: "c b a", 0.8: "a b c", 1: "a b c"} {
		var ids []string
		for _, s := range blend(judge, all, share) {
			ids = append(ids, s.ID)
			if math.IsNaN(s.Score) || s.Score < 0 || s.Score > 1 {
				t.Errorf("%v: %v", share, s)
			}
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%v of the search: %s, want %s", share, got, want)
		}
	}
	// All the same to the search: the judge's order.
	if got := blend(judge, []Scored{{"a", 1}, {"b", 1}, {"c", 1}}, 0.8); got[0].ID != "c" {
		t.Error(got)
	}
	if got := blend(nil, all, 0.5); got != nil {
		t.Error(got)
	}
}
