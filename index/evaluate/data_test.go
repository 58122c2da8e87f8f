package evaluate

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"rxedge/index"
)

func data(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the real data is not on this machine (%s); set RXEDGE_TESTDATA", dir)
	}
	return dir
}

func TestNFCorpusByBM25(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(data(t), "nfcorpus")
	rep, err := Retrieval(context.Background(), RetrievalRequest{
		Corpus:  filepath.Join(dir, "corpus.jsonl"),
		Queries: filepath.Join(dir, "queries.jsonl"),
		Qrels:   filepath.Join(dir, "qrels", "dev.tsv"),
		Mode:    index.ModeBM25,
		Dir:     t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	out, _ := json.Marshal(rep)
	t.Logf("%s", out)
	if rep.Queries != 324 || rep.NDCG10 < 0.295 {
		t.Errorf("ndcg@10 of %d queries is %.4f, want at least 0.295 of 324", rep.Queries, rep.NDCG10)
	}
}
