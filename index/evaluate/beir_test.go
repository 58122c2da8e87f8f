package evaluate

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
)

func TestReadersNameTheFault(t *testing.T) {
	t.Parallel()
	corpus := func(s string) error {
		return readCorpus(strings.NewReader(s), "corpus.jsonl", func(*document.Document) error { return nil })
	}
	queries := func(s string) error { _, err := readQueries(strings.NewReader(s), "queries.jsonl"); return err }
	qrels := func(s string) error { _, err := readQrels(strings.NewReader(s), "qrels.tsv"); return err }
	const head = "query-id\tcorpus-id\tscore\n"
	for _, c := range []struct {
		read     func(string) error
		in, want string // "": no error
	}{
		{corpus, `{"_id":"a","title":"T","text":"x"}` + "\n\n" + `{"_id":"b","text":"","metadata":{}}` + "\r\n", ""},
		{corpus, "{\"_id\":\"a\",\"text\":\"x\"}\n{", "corpus.jsonl:2: the line is no JSON object"},
		{corpus, `{"title":"T","text":"x"}`, `corpus.jsonl:1: field "_id" is missing`},
		{corpus, `{"_id":"","text":"x"}`, `corpus.jsonl:1: field "_id" is empty`},
		{corpus, `{"_id":"a","title":"T"}`, `corpus.jsonl:1: field "text" is missing`},
		{corpus, `{"_id":7,"text":"x"}`, `corpus.jsonl:1: field "_id" is a number and must be a string`},
		{corpus, "{\"_id\":\"a\",\"text\":\"x\"}\n{\"_id\":\"a\",\"text\":\"y\"}", `corpus.jsonl:2: field "_id": "a" is already on line 1`},
		{corpus, "{\"_id\":\"a\",\"text\":\"\xff\"}", "corpus.jsonl:1: the line is not UTF-8"},
		{queries, `{"_id":"q","text":"x"}`, ""},
		{queries, `[]`, "queries.jsonl:1: the line is no JSON object"},
		{qrels, head + "q\td\t2\r\nq\te\t0\n", ""},
		{qrels, "", "qrels.tsv: the file is empty"},
		{qrels, "q\td\t1\n", "qrels.tsv:1: the header line must be"},
		{qrels, head + "q\td\n", "qrels.tsv:2: 2 fields instead of 3"},
		{qrels, head + "q\t\t1\n", `qrels.tsv:2: field "corpus-id" is empty`},
		{qrels, head + "q\td\t1.5\n", `qrels.tsv:2: field "score": "1.5" is no whole number`},
		{qrels, head + "q\td\t1\nq\td\t1\n", `qrels.tsv:3: query "q" and document "d" are judged twice`},
	} {
		err := c.read(c.in)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.in, err, c.want)
		}
	}
}

func FuzzReaders(f *testing.F) {
	f.Add("{\"_id\":\"a\",\"text\":\"x\"}\n")
	f.Add("query-id\tcorpus-id\tscore\nq\td\t1\n")
	f.Fuzz(func(t *testing.T, s string) {
		_ = readCorpus(strings.NewReader(s), "c", func(d *document.Document) error {
			if d.ID == "" {
				t.Error("a document without an id")
			}
			return nil
		})
		_, _ = readQueries(strings.NewReader(s), "q")
		_, _ = readQrels(strings.NewReader(s), "r")
	})
}

// files writes a small collection: five documents, three queries, of which one
// is not judged and one has nothing relevant.
func files(t *testing.T) RetrievalRequest {
	t.Helper()
	dir := t.TempDir()
	write := func(name, s string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return RetrievalRequest{
		Corpus: write("corpus.jsonl", `{"_id":"d1","title":"Metformin","text":"kidney function and metformin"}
{"_id":"d2","title":"Warfarin","text":"INR and antibiotics"}
{"_id":"d3","title":"","text":"kidney stones"}
{"_id":"d4","title":"Empty","text":""}
{"_id":"d5","title":"Statins","text":"muscle pain"}
`),
		Queries: write("queries.jsonl", `{"_id":"q1","text":"metformin kidney"}
{"_id":"q2","text":"muscle"}
{"_id":"q3","text":"not judged"}
`),
		Qrels: write("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td3\t1\nq1\td2\t1\nq2\td5\t0\nq9\td5\t1\n"),
		Mode:  index.ModeBM25,
		Dir:   dir,
	}
}

func TestRetrieval(t *testing.T) {
	t.Parallel()
	req := files(t)
	var order []string
	req.Run = func(q string, r []Scored) {
		for _, s := range r {
			order = append(order, q+":"+s.ID)
		}
	}
	rep, err := Retrieval(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "q1:d1 q1:d3" {
		t.Errorf("ranking %s", got)
	}
	// d3 at rank 2 of two relevant: (1/log2 3) / (1 + 1/log2 3).
	if rep.Queries != 1 || rep.Recall5 != 0.5 || rep.MRR != 0.5 || math3(rep.NDCG10) != 0.387 || rep.P95 < rep.P50 || rep.P50 <= 0 {
		t.Errorf("%+v", rep)
	}
	if left, _ := filepath.Glob(filepath.Join(req.Dir, "rxedge-eval-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	req.Mode = index.ModeHybrid
	if _, err := Retrieval(context.Background(), req); err == nil || !strings.Contains(err.Error(), "embedder") {
		t.Errorf("hybrid without an embedder: %v", err)
	}
}

func math3(f float64) float64 { return float64(int(f*1000+.5)) / 1000 }
