package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/daemon/box"
)

// An archive of labels and of ten thousand files that cannot be read: what is good goes
// in, and what is said of the rest fits on a screen.
func TestIngestArchive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "release.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	add := func(name, text string) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name})
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const bad = 10_000
	add("guides/examplol.md", "---\nid: examplol\ngeneric: examplol\n---\n## Dosage and Administration\n\nThe starting dose of examplol is 25 mg once a day.\n")
	for i := range bad {
		if i%4 == 0 {
			add(fmt.Sprintf("spl/%d.xml", i), "<document")
		} else {
			add(fmt.Sprintf("bin/%d.bin", i), "\x00\x01")
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "var")
	rxedge := func(want int, args ...string) (string, string) {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append([]string{"--data", data}, args...), strings.NewReader(""), &out, &errOut); code != want {
			t.Fatalf("%v: exit %d\n%s%s", args, code, &out, &errOut)
		}
		return out.String(), errOut.String()
	}
	out, errOut := rxedge(exitRefused, "ingest", path)
	if n := strings.Count(errOut, "\n"); n > 20 || !strings.Contains(errOut, "7500 times: binary data, not text") || !strings.Contains(errOut, "2500 times: the file ends in the middle") ||
		!strings.Contains(errOut, path+"!/bin/1.bin") || !strings.Contains(errOut, "10000 problems") {
		t.Errorf("%d lines:\n%s", n, errOut)
	}
	if !strings.Contains(out, "1 documents read: 1 new") {
		t.Error(out)
	}
	out, _ = rxedge(exitDone, "ask", "What is the starting dose of examplol?")
	if !strings.Contains(out, "25 mg once a day") {
		t.Error(out)
	}
	out, _ = rxedge(exitRefused, "--json", "ingest", path)
	var rep box.IngestReport
	if err := json.Unmarshal([]byte(out), &rep); err != nil || len(rep.Problems) != bad || rep.Changed || rep.Documents != 1 {
		t.Errorf("%d problems, %d documents, %v", len(rep.Problems), rep.Documents, err)
	}
	out, _ = rxedge(exitDone, "index", "quarantine")
	if n := strings.Count(out, "\n"); n != 42 || !strings.Contains(out, "(and 7479 more like it)") {
		t.Errorf("%d in quarantine:\n%s", n, out)
	}
}
