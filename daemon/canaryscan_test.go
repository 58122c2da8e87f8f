package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"

	"rxedge/daemon/store"
)

// spelling is a way in which a word may have been written down. It is found in text
// made lower case where fold says so.
type spelling struct {
	name string
	text []byte
	fold bool
}

// spellings of words that a person may have typed.
func spellings(words ...string) (out []spelling) {
	for _, w := range words {
		out = append(out, spelling{"as text", []byte(strings.ToLower(w)), true},
			spelling{"as hex", []byte(hex.EncodeToString([]byte(w))), true},
			spelling{"as hex of lower case", []byte(hex.EncodeToString([]byte(strings.ToLower(w)))), true})
		percent, unicode, wide := "", "", []byte(nil)
		for _, r := range utf16.Encode([]rune(w)) {
			percent += fmt.Sprintf("%%%02x", r)
			unicode += fmt.Sprintf(`\u%04x`, r)
			wide = append(wide, byte(r), byte(r>>8))
		}
		out = append(out, spelling{"URL-encoded", []byte(percent), true}, spelling{"escaped in JSON", []byte(unicode), true}, spelling{"in UTF-16", bytes.ToLower(wide), true})
		for _, form := range []string{w, strings.ToLower(w), strings.ToUpper(w)} {
			// Where a text lies in base64 depends on how many bytes are before it: of
			// three offsets each has its own letters, without those that the
			// neighbours have a part in.
			for before := range 3 {
				e := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + form))
				e = e[(before*8+5)/6:]
				if (before+len(form))%3 != 0 {
					e = e[:len(e)-1]
				}
				out = append(out, spelling{"in base64", []byte(e), false}, spelling{"in base64 for URLs", []byte(strings.NewReplacer("+", "-", "/", "_").Replace(e)), false})
			}
		}
	}
	return out
}

// scanner looks for spellings wherever it is sent.
type scanner struct {
	spellings []spelling
	found     []string
	looked    int64 // bytes
	opened    int   // compressed members
}

const mostOpened = 32 << 20

// scan bytes, and what is compressed in them.
func (s *scanner) scan(where string, b []byte) { s.deep(where, b, 0) }

func (s *scanner) deep(where string, b []byte, depth int) {
	whole := b
	b = bytes.TrimRight(b, "\x00") // of files that are made large before they are filled
	s.looked += int64(len(b))
	low := asciiLower(b)
	for _, p := range s.spellings {
		in := b
		if p.fold {
			in = low
		}
		if i := bytes.Index(in, p.text); i >= 0 {
			s.found = append(s.found, fmt.Sprintf("%s holds it %s: %.120q", where, p.name, b[max(0, i-40):min(len(b), i+80)]))
		}
	}
	if depth == 3 {
		return
	}
	member := func(kind, magic string, open func([]byte) (io.Reader, error)) {
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], []byte(magic))
			if i < 0 {
				return
			}
			at += i
			r, err := open(b[at:])
			if err != nil {
				continue
			}
			out, _ := io.ReadAll(io.LimitReader(r, mostOpened)) // what comes before damage counts too
			if c, ok := r.(*zstd.Decoder); ok {
				c.Close()
			}
			if len(out) > 0 {
				s.opened++
				s.deep(fmt.Sprintf("%s (%s at %d)", where, kind, at), out, depth+1)
			}
		}
	}
	member("gzip", "\x1f\x8b\x08", func(b []byte) (io.Reader, error) { return gzip.NewReader(bytes.NewReader(b)) })
	member("zstd", "\x28\xb5\x2f\xfd", func(b []byte) (io.Reader, error) {
		return zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostOpened))
	})
	if z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole))); err == nil {
		for _, f := range z.File {
			if r, err := f.Open(); err == nil {
				out, _ := io.ReadAll(io.LimitReader(r, mostOpened))
				_ = r.Close()
				s.opened++
				s.deep(where+" ("+f.Name+")", out, depth+1)
			}
		}
	}
}

// asciiLower leaves all other bytes as they are, and in their places.
func asciiLower(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

// folder scans all files below dir, and their names; what allowed says of a path
// relative to dir is left out. It gives how many were read.
func (s *scanner) folder(t *testing.T, dir string, allowed func(rel string) bool) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		s.scan("the name of "+rel, []byte(rel))
		if !d.Type().IsRegular() || allowed != nil && allowed(rel) {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		s.scan(rel, b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// stores opens every Badger store below dir, which no process may hold, and scans its
// records, as Badger gives them: its files may hold them in blocks.
func (s *scanner) stores(t *testing.T, dir string, allowed func(rel string) bool) (records int) {
	t.Helper()
	var found []string
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "MANIFEST" {
			found = append(found, filepath.Dir(path))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		if allowed != nil && allowed(rel) || strings.HasPrefix(rel, "index"+string(filepath.Separator)) {
			continue // a generation's is made of documents and opened by another schema; its files are read
		}
		db, err := store.Open(path, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.IteratorOptions{AllVersions: true, PrefetchValues: true, PrefetchSize: 64})
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				records++
				s.scan("a key of "+rel, it.Item().Key())
				if err := it.Item().Value(func(b []byte) error { s.scan("a record of "+rel, b); return nil }); err != nil && !it.Item().IsDeletedOrExpired() {
					return err
				}
			}
			return nil
		})
		if e := db.Close(); err != nil || e != nil {
			t.Fatal(err, e)
		}
	}
	if len(found) == 0 {
		t.Error("there is no store at all")
	}
	return records
}

// A scanner that sees nothing would find nothing: each spelling, at each offset and in
// each wrapping, is seen.
func TestScannerSees(t *testing.T) {
	t.Parallel()
	const word = "Zyxwvutina"
	percent := ""
	for _, c := range []byte(word) {
		percent += fmt.Sprintf("%%%02X", c)
	}
	cases := map[string][]byte{
		"text": []byte("of " + word + " it"), "lower": []byte(strings.ToLower(word)), "upper": []byte(strings.ToUpper(word)),
		"hex": []byte(hex.EncodeToString([]byte("x" + word))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(word)))), "URL": []byte(percent),
		"html": []byte(html.EscapeString("<" + word + ">")),
	}
	for before := range 6 {
		for after := range 4 {
			b := []byte(strings.Repeat("\xff", before) + word + strings.Repeat("\xfe", after))
			cases[fmt.Sprint("base64 ", before, after)] = []byte(base64.StdEncoding.EncodeToString(b))
			cases[fmt.Sprint("base64url ", before, after)] = []byte(base64.URLEncoding.EncodeToString(b))
		}
	}
	j, err := json.Marshal(map[string][]byte{"data": []byte(`{"q":"` + word + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	cases["JSON in JSON"] = j
	var packed bytes.Buffer
	g := gzip.NewWriter(&packed)
	_, _ = g.Write(j)
	_ = g.Close()
	cases["gzip"] = append([]byte("before"), packed.Bytes()...)
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	cases["zstd"] = e.EncodeAll(cases["gzip"], []byte{1, 2, 3})
	var arch bytes.Buffer
	z := zip.NewWriter(&arch)
	f, _ := z.Create("a.txt")
	_, _ = f.Write(j)
	_ = z.Close()
	cases["zip"] = arch.Bytes()
	for name, b := range cases {
		s := scanner{spellings: spellings(word)}
		if s.scan(name, b); len(s.found) == 0 {
			t.Errorf("%s is not seen", name)
		}
	}
	s := scanner{spellings: spellings(word)}
	if s.scan("nothing", bytes.Repeat([]byte("Zyxwvutin a, enl4d3Z1dGlu "), 100)); len(s.found) > 0 {
		t.Errorf("seen where it is not: %v", s.found)
	}
}
