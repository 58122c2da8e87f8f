package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/sync/durable"
)

// A folder of a later release is refused by every command, with what to do, and nothing
// of it is touched.
func TestNewerFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "index"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := durable.Pair{Path: filepath.Join(dir, "schema")}
	if err := p.Store([]byte(`{"version":99,"program":"9.1.0","stores":{"index":12}}`)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"ask", "a question"}, {"search", "a word"}, {"ingest", dir}} {
		var out, errOut bytes.Buffer
		code := run(t.Context(), append([]string{"--data", dir}, args...), strings.NewReader(""), &out, &errOut)
		if code != exitRefused || !strings.Contains(errOut.String(), "Start rxedge 9.1.0 or a later one ('rxedge service use 9.1.0')") {
			t.Errorf("%v: exit %d\n%s%s", args, code, &out, &errOut)
		}
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"--data", dir, "doctor", "--quick", "--only", "data-newer"}, strings.NewReader(""), &out, &errOut); code != exitRefused || !strings.Contains(out.String(), "data-newer") {
		t.Errorf("doctor: exit %d\n%s%s", code, &out, &errOut)
	}
	if es, _ := os.ReadDir(filepath.Join(dir, "index")); len(es) > 0 {
		t.Errorf("the index was touched: %v", es)
	}
}
