package document

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func problemOf(t *testing.T, name string, raw []byte, opt Options) Problem {
	t.Helper()
	problems, err := ReadBytes(context.Background(), name, raw, opt, func(d *Document) error {
		t.Errorf("%s: a document was yielded", name)
		return nil
	})
	if err != nil || len(problems) != 1 {
		t.Fatalf("%s: %v, %v", name, problems, err)
	}
	p := problems[0]
	if !strings.HasPrefix(p.File, name) || p.Reason == "" || p.Fix == "" {
		t.Errorf("%s: %+v", name, p)
	}
	return p
}

func TestHostileInput(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(make([]byte, 1<<20))
	z.Close()
	noise := make([]byte, 1<<16)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(noise)
	label := splHead + splSection("34067-9", "1 INDICATIONS", "<text>Use it.</text>") + splTail
	bomb := `<?xml version="1.0"?><!DOCTYPE document [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><document xmlns="urn:hl7-org:v3"><title>&b;</title></document>`
	for name, c := range map[string]struct {
		file, data, reason string
		line               int
	}{
		"empty":               {"a.xml", " \n", "empty", 0},
		"gzip":                {"bomb.gz", zipped.String(), "binary data", 0},
		"zip":                 {"bomb.jsonl", "PK\x03\x04rest", "a zip that is damaged", 0},
		"pdf":                 {"a.txt", "%PDF-1.7", "PDF that is damaged", 0},
		"noise":               {"a.txt", string(noise), "binary", 1},
		"NULs":                {"a.txt", "abc\x00\x00", "binary", 0},
		"bad UTF-8":           {"a.txt", "fine\nnot \xe9 fine", "UTF-8", 2},
		"truncated":           {"a.xml", label[:len(label)-60], "cut short", 4},
		"mismatched":          {"a.xml", strings.Replace(label, "</text>", "</txt>", 1), "broken XML", 4},
		"entities":            {"a.xml", bomb, "never expanded", 1},
		"own entity":          {"a.xml", strings.Replace(label, "Use it", "&bomb;", 1), "entity", 4},
		"deep XML":            {"a.xml", splHead + strings.Repeat("<component>", 5000), "nested more than", 4},
		"deep text":           {"a.xml", splHead + splSection("1", "", "<text>"+strings.Repeat("<content>", 5000)), "nested more than", 4},
		"wide tag":            {"a.xml", splHead + "<section " + strings.Repeat(`a=">" `, 400_000) + "/>", "attributes are over", 4},
		"not a label":         {"a.xml", "<?xml version=\"1.0\"?><rss/>", "not a label", 1},
		"no set id":           {"a.xml", `<document xmlns="urn:hl7-org:v3"></document>`, "no set id", 0},
		"no text":             {"a.xml", splHead + splTail, "no text", 0},
		"many headings":       {"a.html", "<html>" + strings.Repeat("<h1>x</h1>", 30_000), "more than 20000 headings", 0},
		"deep HTML":           {"a.html", "<html>" + strings.Repeat("<div>", 5000) + "x", "nested too deep", 0},
		"wide HTML":           {"a.html", "<html><p " + strings.Repeat("a ", 600_000) + ">", "attributes are over", 1},
		"deep JSON":           {"a.json", strings.Repeat("[", 100_000), "nested more than", 1},
		"broken JSON":         {"a.json", "{\"results\":[\n{\"set_id\":]}]}", "broken JSON", 2},
		"cut JSON":            {"a.json", `{"set_id":"x"`, "cut short", 1},
		"JSON of another use": {"a.json", `{"name":"x"}`, "no set id", 0},
		"unknown kind":        {"a.dat", "a,b\n1,2\n", "no kind", 0},
		"deep Markdown":       {"a.md", strings.Repeat("> ", 5000) + "x", "too deep", 1},
		"many definitions":    {"a.md", strings.Repeat("[a]: b\n", 5000), "link definitions", 2001},
		"bad front matter":    {"a.md", "---\nid: x\nnonsense\n---\ntext", "front matter", 3},
		"bad date":            {"a.md", "---\neffective: soon\n---\ntext", "date", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := problemOf(t, c.file, []byte(c.data), Options{})
			if !strings.Contains(p.Reason, c.reason) || p.Line != c.line {
				t.Errorf("line %d: %s", p.Line, p.Reason)
			}
			if c.line > 0 && !strings.Contains(p.Error(), c.file+":") {
				t.Errorf("%s", p.Error())
			}
		})
	}
	p := problemOf(t, "a.jsonl", []byte(`{"id":"x","text":"`+strings.Repeat("long ", 1000)+`"}`), Options{MaxLineBytes: 1000})
	if !strings.Contains(p.Reason, "1000 bytes") || p.Line != 1 {
		t.Errorf("%+v", p)
	}
	if p := problemOf(t, "a.txt", bytes.Repeat([]byte("x"), 2000), Options{MaxFileBytes: 1000}); !strings.Contains(p.Reason, "limit of 1000 bytes") {
		t.Errorf("%+v", p)
	}
}

// A line of 200 MB costs no memory: the file is never read.
func TestHugeLineIsRefusedUnread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "huge.jsonl")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 200<<20); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, problems := readAll(t, path, nil)
	runtime.ReadMemStats(&after)
	if len(problems) != 1 || !strings.Contains(problems[0].Reason, "200.0 MiB is over the limit of 64.0 MiB") {
		t.Errorf("%v", problems)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

func TestReadWalksAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret.md")
	for name, text := range map[string]string{"b/two.md": "# Two\n\nText", "a.md": "# One\n\nText", "b/bad.xml": "<document", ".hidden.md": "# H\n\nx", "c/two.md": "# Clash\n\nx", "z.bin": "\x00\x01"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(outside, []byte("# Secret\n\nx"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Symlink(outside, filepath.Join(dir, "out.md")) != nil || os.Symlink("a.md", filepath.Join(dir, "in.md")) != nil {
		t.Skip("no links on this file system")
	}
	var ids []string
	var progress []Progress
	opt := Options{Progress: func(p Progress) { progress = append(progress, p) }}
	problems, err := Read(context.Background(), dir, opt, func(d *Document) error { ids = append(ids, d.ID); return nil })
	if err != nil || strings.Join(ids, " ") != "a two" {
		t.Errorf("%v, %v", ids, err)
	}
	var names []string
	for _, p := range problems {
		rel, _ := filepath.Rel(dir, p.File)
		names = append(names, rel)
	}
	if got := strings.Join(names, " "); got != "out.md b/bad.xml c/two.md z.bin" {
		t.Errorf("problems %v", problems)
	}
	if last := progress[len(progress)-1]; last.FilesDone != 5 || last.FilesTotal != 5 || last.BytesDone != last.BytesTotal || last.File != "" {
		t.Errorf("%+v", last)
	}

	stop := errors.New("stop")
	if _, err := Read(context.Background(), dir, Options{}, func(*Document) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("yield's error: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Read(ctx, dir, Options{}, func(*Document) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Read(context.Background(), filepath.Join(dir, "none"), Options{}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.xml")
	if err := os.WriteFile(bad, []byte("<document"), 0o600); err != nil {
		t.Fatal(err)
	}
	q, err := OpenQuarantine(filepath.Join(dir, "var"), 16)
	if err != nil {
		t.Fatal(err)
	}
	p := Problem{File: bad, Line: 1, Reason: "cut short", Fix: "fetch it again"}
	first, err := q.Put(p, nil)
	if err != nil || first.Copy == "" || first.Size != 9 {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := q.Put(p, nil); err != nil || again.ID != first.ID {
		t.Errorf("%+v, %v", again, err)
	}
	up, err := q.Put(Problem{File: "upload.json", Record: 3, Reason: "r", Fix: "f"}, strings.NewReader("{}"))
	if err != nil || up.Copy == "" {
		t.Errorf("%+v, %v", up, err)
	}
	if big, err := q.Put(Problem{File: "big.bin", Reason: "r", Fix: "f"}, strings.NewReader(strings.Repeat("x", 17))); err != nil || big.Copy != "" {
		t.Errorf("too large a file was copied: %+v, %v", big, err)
	}
	list, err := q.List()
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	if data, err := os.ReadFile(filepath.Join(q.Dir(), first.Copy)); err != nil || string(data) != "<document" {
		t.Errorf("%q, %v", data, err)
	}
	if err := q.Remove(first.ID); err != nil {
		t.Error(err)
	}
	if list, _ := q.List(); len(list) != 2 {
		t.Errorf("%v", list)
	}
	if _, err := os.Stat(filepath.Join(q.Dir(), first.Copy)); err == nil {
		t.Error("the copy is still there")
	}
}
