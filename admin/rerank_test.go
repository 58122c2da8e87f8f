package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"rxedge/index/evaluate"
	"rxedge/inference/bert/berttest"
	"rxedge/inference/llama"
)

// A reranker of the catalog orders what the search finds, and without one the
// judge that is built in.
func TestEvalRerank(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	file := func(name, body string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	eval := []string{"eval", "retrieval", "--json", "--mode", "rerank",
		"--corpus", file("corpus.jsonl", `{"_id":"a","title":"warfarin","text":"the risk of bleeding"}
{"_id":"b","title":"metformin","text":"the renal dose"}
{"_id":"c","title":"other","text":"the dose of something else"}
`),
		"--queries", file("queries.jsonl", `{"_id":"q","text":"the renal dose of metformin"}`+"\n"),
		"--qrels", file("qrels.tsv", "query-id\tcorpus-id\tscore\nq\tb\t1\n")}
	check := func() {
		t.Helper()
		code, out, errOut := cli(t, data, eval...)
		var rep evaluate.RetrievalReport
		if err := json.Unmarshal([]byte(out), &rep); code != exitDone || err != nil || rep.Queries != 1 || rep.Recall5 != 1 || rep.MRR <= 0 {
			t.Errorf("exit %d, %v, %s%s", code, err, out, errOut)
		}
	}
	check()
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	if code, _, errOut := cli(t, data, "model", "import", "--name", "judge", berttest.Folder(t, "LABEL_0")); code != exitDone {
		t.Fatal(errOut)
	}
	if err := os.WriteFile(filepath.Join(data, "rxedge.toml"), []byte("[model]\nreranker = \"judge\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check()
}
