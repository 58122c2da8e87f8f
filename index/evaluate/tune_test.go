package evaluate

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rxedge/index/lexical"
)

// A collection where only the title tells which document is meant is best with
// a heavy title, on every fold, and the report is the same each time.
func TestTune(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var corpus, queries, qrels strings.Builder
	qrels.WriteString("query-id\tcorpus-id\tscore\n")
	for _, drug := range []string{"warfarin", "metformin", "lisinopril", "atorvastatin", "digoxin", "heparin"} {
		write := func(id, title, text string) {
			b, _ := json.Marshal(map[string]string{"_id": id, "title": title, "text": text})
			corpus.Write(append(b, '\n'))
		}
		write(drug, drug, "dose and renal function in adults, with interactions")
		write(drug+"-other", "other", strings.Repeat(drug+" ", 3)+"renal function")
		queries.WriteString(`{"_id":"q-` + drug + `","text":"` + drug + ` renal"}` + "\n")
		qrels.WriteString("q-" + drug + "\t" + drug + "\t1\n")
	}
	write := func(name, s string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	req := TuneRequest{
		Corpus: write("corpus.jsonl", corpus.String()), Queries: write("queries.jsonl", queries.String()), Qrels: write("qrels.tsv", qrels.String()),
		Grid:  Grid{K1: []float64{1.2}, Title: []float64{0.1, 8}},
		Folds: 3,
	}
	rep, err := Tune(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Best.Title != 8 || rep.Best.NDCG10 != 1 || rep.CrossValidated != 1 || rep.Table[1].NDCG10 >= 1 || rep.Queries != 6 || len(rep.Folds) != 3 {
		t.Errorf("%+v", rep)
	}
	if d := rep.Default; d.K1 != lexical.DefaultParams.K1 || d.NDCG10 <= 0 {
		t.Errorf("%+v", d)
	}
	again, err := Tune(context.Background(), req)
	if err != nil || !reflect.DeepEqual(rep, again) {
		t.Errorf("%+v %v", again, err)
	}
	for _, c := range []struct {
		change func(*TuneRequest)
		want   string
	}{
		{func(r *TuneRequest) { r.Folds = 7 }, "7 folds of 6 queries"},
		{func(r *TuneRequest) { r.Folds = 1 }, "1 folds"},
		{func(r *TuneRequest) { r.Grid.B = []float64{2} }, "b between 0 and 1"},
		{func(r *TuneRequest) { r.Corpus = filepath.Join(dir, "nowhere") }, "nowhere"},
	} {
		bad := req
		c.change(&bad)
		if _, err := Tune(context.Background(), bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Tune(ctx, req); err == nil {
		t.Error("a cancelled search for parameters ends as if it were done")
	}
}
