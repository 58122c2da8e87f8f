package evaluate

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rxedge/index"
)

// The search finds the top of a smooth hill, and the same seed the same point.
func TestSearchTPE(t *testing.T) {
	t.Parallel()
	hill := func(x []float64) float64 { return -math.Pow(x[0]-0.7, 2) - math.Pow(x[1]-0.2, 2) }
	x, v := searchTPE(2, 80, 3, hill)
	if v < -0.005 {
		t.Errorf("the best of 80 points is %v with %v", x, v)
	}
	y, _ := searchTPE(2, 80, 3, hill)
	if !reflect.DeepEqual(x, y) {
		t.Errorf("%v and %v of the same seed", x, y)
	}
	// Better than as many points at random, over several seeds.
	better := 0
	for seed := range uint64(10) {
		_, v := searchTPE(2, 60, seed, hill)
		_, r := searchTPE(2, 10, seed, hill) // all of them at random
		if v > r {
			better++
		}
	}
	if better < 9 {
		t.Errorf("better than its random beginning for %d of 10 seeds", better)
	}
}

// noise is an embedder whose vectors say nothing of the text.
type noise struct{}

func (noise) Embed(_ context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	for i, text := range texts {
		h := fnv.New64a()
		_, _ = h.Write([]byte(text))
		x := h.Sum64()
		v := make([]float32, 16)
		norm := 0.0
		for d := range v {
			x = x*6364136223846793005 + 1442695040888963407
			v[d] = float32(int32(x>>32)) / (1 << 31)
			norm += float64(v[d]) * float64(v[d])
		}
		for d := range v {
			v[d] /= float32(math.Sqrt(norm))
		}
		out[i] = v
	}
	return out, nil
}

// Where vectors say nothing, the weights lean on the words and beat a fusion by
// rank that trusts both, on queries that the search did not see.
func TestTuneFusion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var corpus, queries, qrels strings.Builder
	qrels.WriteString("query-id\tcorpus-id\tscore\n")
	for i := range 60 {
		fmt.Fprintf(&corpus, `{"_id":"d%d","title":"","text":"subject%d and its general dose with remarks"}`+"\n", i, i)
		if i < 20 {
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
	lines := map[string]int{}
	req := FusionRequest{
		Corpus: write("corpus.jsonl", corpus.String()), Queries: write("queries.jsonl", queries.String()), Qrels: write("qrels.tsv", qrels.String()),
		Options: index.Options{Embedder: noise{}, EmbedderInfo: index.EmbedderInfo{Name: "noise", SHA256: "0", Dimension: 16}},
		Dir:     dir, Trials: 25, Each: func(name string, _ RunLine) { lines[name]++ },
	}
	rep, err := TuneFusion(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Queries != 20 || len(rep.Folds) != 5 || rep.Relevant != 20 || lines["rrf"] != 20 || lines["weighted"] != 20 {
		t.Errorf("%+v, lines %v", rep, lines)
	}
	if rep.Weights[0] < 0.5 || math.Abs(rep.Weights[0]+rep.Weights[1]-1) > 1e-12 {
		t.Errorf("weights %v of %v", rep.Weights, rep.Sources)
	}
	if w, r := rep.Figures["weighted"], rep.Figures["rrf"]; w.NDCG10 <= r.NDCG10 || w.NDCG10 < 0.9 || !rep.Kept {
		t.Errorf("weighted %+v, rrf %+v", w, r)
	}
	if c := rep.Pairs[0]; c.Both+c.OnlyA+c.OnlyB+c.Neither != 20 {
		t.Errorf("%+v", c)
	}
	again, err := TuneFusion(t.Context(), req)
	if err != nil || !reflect.DeepEqual(rep, again) {
		t.Errorf("%+v %v", again, err)
	}
	req.Fixed = []float64{3, 1}
	if rep, err := TuneFusion(t.Context(), req); err != nil || rep.Weights[0] != 0.75 {
		t.Errorf("%+v %v", rep.Weights, err)
	}
	req.Fixed = []float64{1}
	if _, err := TuneFusion(t.Context(), req); err == nil {
		t.Error("one weight for two sources")
	}
	req.Fixed, req.Options = nil, index.Options{}
	if _, err := TuneFusion(t.Context(), req); err == nil {
		t.Error("no embedder")
	}
}
