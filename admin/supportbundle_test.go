package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/daemon/box"
	"rxedge/daemon/supportbundle"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// What is in a support bundle is what the golden list says, of a running box, of a stopped
// one, and of one that can't be opened; and the manifest, which is first, says the same.
func TestSupportBundleFiles(t *testing.T) {
	t.Parallel()
	running := served(t)
	stopped := filepath.Join(t.TempDir(), "var")
	broken := filepath.Join(t.TempDir(), "var")
	for _, dir := range []string{stopped, broken} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"--data", dir, "index", "list"}, strings.NewReader(""), &out, &errs); code != exitDone {
			t.Fatalf("%d %s", code, &errs)
		}
	}
	// The folder is of a layout that this program does not know.
	for _, rel := range []string{"schema.a", "schema.b"} {
		if err := os.WriteFile(filepath.Join(broken, rel), []byte("no pair"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ data, box, golden string }{{running, "running", "support-running.golden"}, {stopped, "stopped", "support-stopped.golden"}, {broken, "unusable", "support-unusable.golden"}} {
		file := filepath.Join(t.TempDir(), "support.tar.gz")
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"--data", c.data, "support-bundle", file, "--json"}, strings.NewReader(""), &out, &errs); code != exitDone {
			t.Fatalf("%s: %d %s", c.box, code, &errs)
		}
		names, m := unpack(t, file)
		if m.Box != c.box || m.Rxedge != box.Version || len(m.LeftOut) < 5 {
			t.Errorf("%+v", m)
		}
		var said struct{ Files []supportbundle.File }
		if err := json.Unmarshal(out.Bytes(), &said); err != nil || len(said.Files) != len(m.Files) {
			t.Errorf("--json: %v, %s", err, &out)
		}
		got := strings.Join(names, "\n") + "\n"
		for _, l := range m.Missing {
			if l.What == "cards.json" { // where there is a card it is there
				got += "cards.json, where there is a card\n"
				continue
			}
			got += "missing: " + l.What + ": " + l.Why + "\n"
		}
		got = strings.Replace(got, "cards.json\n", "", 1)
		path := filepath.Join("testdata", c.golden)
		if *updateGolden {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if plain := strings.Replace(string(want), "cards.json, where there is a card\n", "", 1); strings.Replace(got, "cards.json, where there is a card\n", "", 1) != plain {
			t.Errorf("of a box that is %s there are\n%sand the golden list is\n%s", c.box, got, want)
		}
		// A dry run lists the same and writes nothing.
		out.Reset()
		if code := run(t.Context(), []string{"--data", c.data, "support-bundle", file + ".dry", "--dry-run"}, strings.NewReader(""), &out, &errs); code != exitDone || !strings.Contains(out.String(), "doctor.json") || !strings.Contains(out.String(), "Left out on purpose") {
			t.Errorf("a dry run: %d %s %s", code, &out, &errs)
		}
		if es, _ := os.ReadDir(filepath.Dir(file)); len(es) != 1 {
			t.Errorf("a dry run left %v", es)
		}
	}
}

// unpack a bundle and check it against its manifest.
func unpack(t *testing.T, file string) (names []string, m supportbundle.Manifest) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", fi.Mode())
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		th, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(th.Name, "rxedge-support/")
		if len(names) == 0 {
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
		} else {
			sum := sha256.Sum256(b)
			if e := m.Files[len(names)-1]; e.Name != name || e.Size != len(b) || e.SHA256 != hex.EncodeToString(sum[:]) || e.What == "" {
				t.Errorf("%s is not what the manifest says: %+v", name, e)
			}
		}
		names = append(names, name)
	}
	return names, m
}
