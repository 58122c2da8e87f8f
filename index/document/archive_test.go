package document

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// file is one of an archive that a test makes.
type file struct {
	name   string
	data   string
	stored bool
	flags  uint16
}

func zipOf(t testing.TB, files ...file) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Flags: f.flags}
		if f.stored {
			h.Method = zip.Store
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarOf(t testing.TB, files ...file) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipOf(t testing.TB, data string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstdOf(t testing.TB, data string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(data), nil))
}

// label is a small SPL document.
func label(id, version, text string) string {
	head := strings.NewReplacer("set-1", id, `versionNumber value="7"`, `versionNumber value="`+version+`"`).Replace(splHead)
	return head + splSection("34067-9", "1 INDICATIONS", "<text>"+text+"</text>") + splTail
}

// dailyMed is a release as DailyMed publishes it, in small.
func dailyMed(t testing.TB, stored bool) string {
	inner := func(id string) string {
		return zipOf(t, file{name: id + ".xml", data: label(id, "1", "For "+id)}, file{name: "figure-01.jpg", data: "\xff\xd8\xff"}, file{name: "figure-02.JPG", data: "\xff\xd8\xff"})
	}
	return zipOf(t, file{name: "prescription/"}, file{name: "prescription/2026_a.zip", data: inner("a"), stored: stored}, file{name: "prescription/2026_b.zip", data: inner("b"), stored: stored},
		file{name: "__MACOSX/._x", data: "\x00"}, file{name: ".DS_Store", data: "\x00"})
}

// inAndOut reads an archive, and its members one by one, and returns what Read gave.
func inAndOut(t *testing.T, name, data string, opt Options) ([]*Document, []Problem) {
	t.Helper()
	ctx := context.Background()
	var docs, apart []*Document
	problems, err := ReadBytes(ctx, name, []byte(data), opt, func(d *Document) error { wellFormed(t, d); docs = append(docs, d); return nil })
	if err != nil {
		t.Fatal(err)
	}
	var alone []Problem
	outer, err := Members(ctx, name, strings.NewReader(data), int64(len(data)), opt, func(m Member) error {
		raw, err := io.ReadAll(m.Open())
		if err != nil || int64(len(raw)) != m.Size || len(m.SHA256) != 64 {
			t.Errorf("%+v, %v", m, err)
		}
		ps, err := ReadBytes(ctx, m.Name, raw, opt, func(d *Document) error { apart = append(apart, d); return nil })
		alone = append(alone, ps...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(docs, apart) {
		t.Errorf("%s: %d documents read whole, %d member by member, or not the same", name, len(docs), len(apart))
	}
	if len(problems) != len(alone)+len(outer) {
		t.Errorf("%s: problems %v; of members %v and %v", name, problems, outer, alone)
	}
	return docs, problems
}

func sources(docs []*Document) string {
	var out []string
	for _, d := range docs {
		out = append(out, d.Source)
	}
	return strings.Join(out, " ")
}

func TestArchives(t *testing.T) {
	t.Parallel()
	a, b := label("a", "1", "For a"), label("b", "1", "For b")
	guide := "# Guide\n\nText."
	pictures := []file{{name: "l/x.jpg", data: "\xff\xd8\xff"}, {name: "l/a.xml", data: a}, {name: "./m/b.xml", data: b}, {name: "m/y.png", data: "\x89PNG"}}
	bulk := `{"meta":{},"results":[{"set_id":"r1","warnings":["W"]},{"set_id":"r2","warnings":["W"]}]}`
	for name, c := range map[string]struct{ file, data, want string }{
		"deflated":      {"part1.zip", dailyMed(t, false), "part1.zip!/prescription/2026_a.zip!/a.xml part1.zip!/prescription/2026_b.zip!/b.xml"},
		"stored":        {"part1.zip", dailyMed(t, true), "part1.zip!/prescription/2026_a.zip!/a.xml part1.zip!/prescription/2026_b.zip!/b.xml"},
		"another name":  {"part1.dat", dailyMed(t, true), "part1.dat!/prescription/2026_a.zip!/a.xml part1.dat!/prescription/2026_b.zip!/b.xml"},
		"tar":           {"x.tar", tarOf(t, pictures...), "x.tar!/l/a.xml x.tar!/m/b.xml"},
		"tar.gz":        {"x.tgz", gzipOf(t, tarOf(t, pictures...)), "x.tgz!/l/a.xml x.tgz!/m/b.xml"},
		"tar.zst":       {"x.tar.zst", zstdOf(t, tarOf(t, pictures...)), "x.tar.zst!/l/a.xml x.tar.zst!/m/b.xml"},
		"gzip":          {"guide.md.gz", gzipOf(t, guide), "guide.md.gz!/guide.md"},
		"zip in tar":    {"x.tar", tarOf(t, file{name: "p.zip", data: dailyMed(t, true)}), "x.tar!/p.zip!/prescription/2026_a.zip!/a.xml x.tar!/p.zip!/prescription/2026_b.zip!/b.xml"},
		"tar.gz in zip": {"x.zip", zipOf(t, file{name: "p.tar.gz", data: gzipOf(t, tarOf(t, pictures...))}), "x.zip!/p.tar.gz!/l/a.xml x.zip!/p.tar.gz!/m/b.xml"},
		"bulk":          {"drug-label-0001-of-0002.json.zip", zipOf(t, file{name: "drug-label-0001-of-0002.json", data: bulk}), strings.Repeat(" drug-label-0001-of-0002.json.zip!/drug-label-0001-of-0002.json", 2)[1:]},
		"bulk in tar":   {"x.tgz", gzipOf(t, tarOf(t, file{name: "a.json", data: bulk})), "x.tgz!/a.json x.tgz!/a.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docs, problems := inAndOut(t, c.file, c.data, Options{})
			if got := sources(docs); got != c.want || len(problems) > 0 {
				t.Errorf("\n got %s\nwant %s\n%v", got, c.want, problems)
			}
		})
	}
}

func TestBrokenArchives(t *testing.T) {
	t.Parallel()
	good := file{name: "good.xml", data: label("good", "1", "Good.")}
	wrong := []byte(zipOf(t, file{name: "bad.xml", data: label("bad", "1", "A dose of 500 mg."), stored: true}, good))
	at := bytes.Index(wrong, []byte("500 mg"))
	wrong[at] = '9' // and the checksum tells
	deep := file{name: "label.xml", data: good.data}
	for range 5 {
		deep = file{name: "nested.zip", data: zipOf(t, deep)}
	}
	half := tarOf(t, good, file{name: "second.xml", data: label("second", "1", strings.Repeat("x", 4000))})
	badSum := []byte(gzipOf(t, tarOf(t, good)))
	badSum[len(badSum)-6] ^= 1
	zeros := strings.Repeat("\x00", 20<<20)
	bulk := `{"results":[` + strings.Repeat(`{"set_id":"x","warnings":["W"]},`, 3) + `{"set_id":"y","warnings":["W"]}]}`
	badBulk := []byte(zipOf(t, file{name: "b.json", data: bulk, stored: true}))
	badBulk[bytes.LastIndex(badBulk, []byte(`"W"`))+1] = 'V'
	cut := zipOf(t, good)
	for name, c := range map[string]struct {
		file, data   string
		where        string // of the problem
		reason       string
		alsoGoodRead bool
	}{
		"cut zip":        {"a.zip", cut[:len(cut)-30], "", "cut short", false},
		"bad checksum":   {"a.zip", string(wrong), "!/bad.xml", "checksum", true},
		"bad bulk":       {"a.zip", string(badBulk), "!/b.json", "checksum", false},
		"bad tar.gz":     {"a.tgz", string(badSum), "", "checksum", false},
		"cut tar":        {"a.tar", half[:len(half)-4000], "!/second.xml", "cut short", true},
		"cut tar.gz":     {"a.tgz", gzipOf(t, half)[:300], "", "cut short", false},
		"encrypted":      {"a.zip", zipOf(t, file{name: "s.xml", data: "x", flags: 1}, good), "!/s.xml", "encrypted", true},
		"leads out":      {"a.zip", zipOf(t, file{name: "../../etc/x.xml", data: "x"}, good), "!/../../etc/x.xml", "leads out", true},
		"leads to root":  {"a.tar", tarOf(t, file{name: "/etc/x.xml", data: "x"}, good), "!/etc/x.xml", "leads out", true},
		"drive":          {"a.zip", zipOf(t, file{name: `C:\x.xml`, data: "x"}, good), "!/C:/x.xml", "leads out", true},
		"nested":         {"a.zip", zipOf(t, deep, good), "!/nested.zip!/nested.zip!/nested.zip", "nested more than 3", true},
		"bomb":           {"a.zip", zipOf(t, file{name: "z.txt", data: zeros}, good), "!/z.txt", "times its size", true},
		"bomb in gzip":   {"a.gz", gzipOf(t, zeros), "!/a", "times its size", false},
		"bomb in a bomb": {"a.zip", zipOf(t, file{name: "z.gz", data: gzipOf(t, zeros)}, good), "!/z.gz!/z", "times its size", true},
		"nothing":        {"a.zip", zipOf(t), "", "no document", false},
		"other":          {"a.zip", zipOf(t, file{name: "d/setup.exe", data: "MZ\x00\x01\x00"}, good), "!/d/setup.exe", "binary", true},
		"picture alone":  {"a.zip", zipOf(t, file{name: "p/photo.png", data: "\x89PNG\r\n\x1a\n"}, good), "!/p/photo.png", "picture", true},
		"7-Zip":          {"a.7z", "7z\xbc\xaf\x27\x1cxxxx", "", "7-Zip", false},
		"damaged inside": {"a.zip", zipOf(t, file{name: "in.zip", data: zipOf(t, good)[:100]}, good), "!/in.zip", "directory", true},
		"odd bytes":      {"a.zip", zipOf(t, file{name: "a\x00\x1b[31m\xff.bin", data: "\x00"}, good), "!/a\uFFFD\uFFFD[31m\uFFFD.bin", "binary", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docs, problems := inAndOut(t, c.file, c.data, Options{})
			if len(problems) != 1 || !strings.Contains(problems[0].Reason, c.reason) || problems[0].File != c.file+c.where || problems[0].Fix == "" {
				t.Errorf("%v", problems)
			}
			if (len(docs) == 1) != c.alsoGoodRead || len(docs) > 1 {
				t.Errorf("%d documents", len(docs))
			}
		})
	}
}

// An archive larger than what may be held in memory lies in a file meanwhile, of which
// nothing is left.
func TestNestedArchiveOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noise := make([]byte, 9<<20)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	inner := zipOf(t, file{name: "a.xml", data: label("a", "1", "For a")}, file{name: "figure.jpg", data: string(noise), stored: true})
	outer := zstdOf(t, inner)
	during := -1
	problems, err := ReadBytes(context.Background(), "a.zip.zst", []byte(outer), Options{TempDir: dir}, func(d *Document) error {
		left, err := os.ReadDir(dir)
		during = len(left)
		return err
	})
	if err != nil || len(problems) > 0 || during != 0 {
		t.Errorf("%v, %v, %d names", problems, err, during)
	}
	if _, problems := inAndOut(t, "a.zip.zst", outer, Options{TempDir: dir, MaxTempBytes: 1 << 20}); len(problems) != 1 || !strings.Contains(problems[0].Reason, "over 1.0 MiB") {
		t.Errorf("%v", problems)
	}
	if _, err := ReadBytes(context.Background(), "a.zip.zst", []byte(outer), Options{TempDir: filepath.Join(dir, "none")}, nil); err == nil {
		t.Error("without a folder for it")
	}
}

func TestNewestVersionCounts(t *testing.T) {
	t.Parallel()
	v := func(n string) file { return file{name: "v" + n + ".xml", data: label("same", n, "Version "+n)} }
	for name, c := range map[string]struct {
		files    []file
		last     string
		problems []string // files
	}{
		"older after":  {[]file{v("3"), v("2")}, "3", []string{"a.zip!/v2.xml"}},
		"newer after":  {[]file{v("2"), v("10")}, "10", []string{"a.zip!/v2.xml"}},
		"the same":     {[]file{v("2"), {name: "copy.xml", data: v("2").data}}, "2", nil},
		"another text": {[]file{v("2"), {name: "copy.xml", data: label("same", "2", "Else")}}, "2", []string{"a.zip!/copy.xml"}},
	} {
		var last *Document
		problems, err := ReadBytes(context.Background(), "a.zip", []byte(zipOf(t, c.files...)), Options{}, func(d *Document) error { last = d; return nil })
		var got []string
		for _, p := range problems {
			got = append(got, p.File)
		}
		if err != nil || last.Version != c.last || !reflect.DeepEqual(got, c.problems) {
			t.Errorf("%s: version %s, %v, %v", name, last.Version, problems, err)
		}
	}
}

func TestArchiveProgress(t *testing.T) {
	t.Parallel()
	var files []file
	for i := range 64 {
		noise := make([]byte, 100<<10)
		for k, x := 0, uint32(i); k < len(noise); k++ {
			x = x*1664525 + 1013904223
			noise[k] = 'a' + byte(x>>24)%26
		}
		files = append(files, file{name: fmt.Sprintf("%d.md", i), data: "# T\n\n" + string(noise)})
	}
	path := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(path, []byte(zipOf(t, files...)), 0o600); err != nil {
		t.Fatal(err)
	}
	var at []int64
	n := 0
	opt := Options{Progress: func(p Progress) { at = append(at, p.BytesDone*100/p.BytesTotal) }}
	if _, err := Read(context.Background(), path, opt, func(*Document) error { n++; return nil }); err != nil || n != 64 {
		t.Fatalf("%d documents, %v", n, err)
	}
	if len(at) < 5 || at[0] != 0 || at[len(at)-1] != 100 {
		t.Errorf("%v", at)
	}
	for i := 1; i < len(at); i++ {
		if at[i] < at[i-1] || at[i]-at[i-1] > 50 {
			t.Errorf("%v", at)
			break
		}
	}
}
