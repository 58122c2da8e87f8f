package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/supportbundle"
	"rxedge/inference/catalog"
)

// wrongPlaces has the patient's name where names of other things belong: of a document's
// file, of a model, of a client.
func wrongPlaces(t *testing.T, s *station) {
	t.Helper()
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	dir := filepath.Join(t.TempDir(), patient)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, patient+".xml")
	if err := os.WriteFile(bad, []byte("<document><"+patient), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Ingest(t.Context(), []string{dir}, nil); err == nil {
		t.Log("the broken document was read")
	}
	if _, err := k.ImportModel(t.Context(), bad, catalog.ImportOptions{Name: "Zyxwvutina"}, nil); err == nil {
		t.Error("a text is taken for a model")
	}
	if _, err := k.Document(t.Context(), patient); err == nil {
		t.Error("there is a document of that name")
	}
	if _, err := k.Enroll(t.Context(), []byte(patient)); err == nil {
		t.Error("enrolled by a name")
	}
}

// The patient's name is typed everywhere, and stands where names of other things belong: of
// the model that writes, of an adapter, a client, a cohort, a document's file and folder. It
// is not in a support bundle of the running box, nor of the stopped one.
func TestSupportBundleCanary(t *testing.T) {
	t.Parallel()
	word := strings.ToLower(strings.Fields(patient)[0])
	token := filepath.Join(t.TempDir(), patient+".token")
	if err := os.WriteFile(token, []byte("a token of "+patient+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), patient)
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	toml := fmt.Sprintf("[model]\ngenerator = %[1]q\nmirror = %[2]q\n[[model.adapter]]\nname = %[1]q\nbase = %[1]q\npath = %[2]q\n[[api.client]]\nname = %[1]q\ntoken_file = %[2]q\n[telemetry]\ncohorts = [%[1]q]\n[index]\ndisk_floor_mb = 0\n[sync]\nproxy = \"http://%[1]s:%[1]s@127.0.0.1:1\"\n", word, token)
	if err := os.WriteFile(filepath.Join(data, "rxedge.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startDaemon(t, func(c *config.Config) {
		got, err := config.Load(filepath.Join(data, "rxedge.toml"))
		if err != nil {
			t.Fatal(err)
		}
		listen := c.Listen
		*c = got
		c.Listen, c.Data = listen, data
	})
	typed(t, s)
	for i := range 12 {
		s.do(t, "POST", "/v1/ask", object{"question": fmt.Sprintf("metformin with an eGFR of %d", 30+i), "cohort": word}, nil)
	}
	wrongPlaces(t, s)
	found := &scanner{spellings: spellings(strings.Fields(patient)...)}
	tool := buildTool(t)
	supported(t, tool, data, "running", found)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	supported(t, tool, data, "stopped", found)
	// Not even where nothing opens.
	for _, rel := range []string{"schema.a", "schema.b"} {
		if err := os.WriteFile(filepath.Join(data, rel), []byte(patient), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	supported(t, tool, data, "unusable", found)
	for _, leak := range found.found {
		t.Error(leak)
	}
	if !strings.Contains(strings.ToLower(s.log.String()), word) {
		t.Log("the log does not name the model")
	}
}

// supported takes a support bundle and looks for the patient in all of it, also backwards.
func supported(t *testing.T, tool, data, box string, found *scanner) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "support.tar.gz")
	out, err := exec.CommandContext(t.Context(), tool, "support-bundle", file, "--json", "--data", data).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// It says where it wrote, which is where it was told to.
	found.scan("what support-bundle says", []byte(strings.ReplaceAll(string(out), file, "")))
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", fi.Mode())
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	found.scan("the bytes of the support bundle", raw)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	backwards := &scanner{}
	for _, w := range strings.Fields(patient) {
		r := []byte(strings.ToLower(w))
		slices.Reverse(r)
		backwards.spellings = append(backwards.spellings, spellings(string(r))...)
	}
	var m supportbundle.Manifest
	names, bytes := []string{}, 0
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
			if err := json.Unmarshal(b, &m); err != nil || name != supportbundle.ManifestName {
				t.Fatalf("the first file is %s: %v", name, err)
			}
		}
		names, bytes = append(names, name), bytes+len(b)
		found.scan("the support bundle's "+name, b)
		backwards.scan("the support bundle's "+name+", backwards,", b)
	}
	found.found = append(found.found, backwards.found...)
	if m.Box != box || len(names) != len(m.Files)+1 || bytes < 3_000 {
		t.Errorf("a bundle of a box that is %q, and of %d files and %d bytes: %v", m.Box, len(names), bytes, names)
	}
	if box == "running" && (len(m.Files) < 14 || len(m.Missing) > 2) {
		t.Errorf("of a running box there are %v, and %v are missing", names, m.Missing)
	}
	t.Logf("support bundle of the %s box: %d files, %d bytes", box, len(names), bytes)
}
