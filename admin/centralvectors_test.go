package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/inference/bert/berttest"
	"rxedge/inference/catalog"
	"rxedge/inference/llama"
	"rxedge/sync/central"
)

// The passages' vectors are made by an embedder of the catalog and published; one that
// is not there, or that is built in, is refused before anything is.
func TestPublishVectors(t *testing.T) {
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	dir, data := filepath.Join(t.TempDir(), "central"), t.TempDir()
	if _, err := central.Init(dir, central.InitOptions{Name: "t", Hubs: []string{"127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Open(filepath.Join(data, "models"))
	if err == nil {
		_, err = cat.Import(t.Context(), berttest.Folder(t), catalog.ImportOptions{Name: "encoder"}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	doc := filepath.Join(t.TempDir(), "d.jsonl")
	if err := os.WriteFile(doc, []byte(`{"_id":"a","title":"A","text":"The dose of warfarin is 5 mg."}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := func(want int, given ...string) (out struct {
		Number  int64
		Vectors int
	}) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), append([]string{"--data", data, "central", "--dir", dir, "publish", "--local", "--json"}, given...), strings.NewReader(""), &stdout, &stderr); code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s\n%s", given, code, want, stdout.String(), stderr.String())
		}
		if want == 0 {
			if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	publish(1, doc, "--vectors", "builtin")
	publish(5, doc, "--vectors", "nobody")
	if r := publish(0, doc, "--vectors", "encoder"); r.Number != 1 || r.Vectors != 1 {
		t.Errorf("%+v", r)
	}
	if r := publish(0, "--drop-vectors"); r.Number != 2 || r.Vectors != 0 {
		t.Errorf("%+v", r)
	}
}
