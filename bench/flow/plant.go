package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"rxedge/bench/labels"
	"rxedge/centre/check"
	"rxedge/centre/flow"
	"rxedge/centre/library"
)

// planted is a folder of made-up labels: four in five in archives of a thousand, the rest
// as files of their own.
type planted struct {
	dir     string
	good    map[string]bool   // by id
	held    map[string]string // by id: the code of the finding that it must be held back for
	refused map[string]bool   // by the name of the file, or of the member
}

const (
	perArchive = 1000
	perFolder  = 1000
	// badOf labels one is bad, so that the run raises no alert.
	badOf = 111
)

const spanish = "Este medicamento se usa para el tratamiento de la presión arterial alta en los adultos y en los niños de más de seis años. No tome este medicamento si usted es alérgico a la sustancia o si está embarazada, porque puede causar daño al bebé. Hable con su médico antes de tomar otros medicamentos con este."

// bads are the kinds of bad labels. code is "" for what can't be read at all.
var bads = []struct {
	ext, code string
	make      func(name string, good []byte) []byte
}{
	{".txt", "", func(string, []byte) []byte { return nil }},
	{".xml", "", func(name string, _ []byte) []byte {
		return []byte("<?xml version=\"1.0\"?><invoice n=\"" + name + "\"/>")
	}},
	{".json", "", func(name string, _ []byte) []byte { return []byte(`{"results": [{"id": "` + name) }},
	{".html", "", func(name string, _ []byte) []byte { return []byte("\xff\xd8\xff\xe0" + name) }},
	{".jsonl", check.DateFuture, func(_ string, good []byte) []byte { return dated(good, "2099-01-01") }},
	{".jsonl", check.DateAncient, func(_ string, good []byte) []byte { return dated(good, "1066-10-14") }},
	{".jsonl", check.TextMissing, func(name string, _ []byte) []byte { return []byte(`{"id":"` + name + `#a","text":"Page 1"}`) }},
	{".jsonl", check.TextDamaged, func(_ string, good []byte) []byte {
		return bytes.ReplaceAll(good, []byte(" the "), []byte(" th\uFFFD "))
	}},
	{".md", check.TextOtherLanguage, func(name string, _ []byte) []byte {
		return []byte("# " + name + "\n\n" + strings.Repeat(spanish+" "+name+". ", 4))
	}},
}

func dated(good []byte, date string) []byte {
	return bytes.ReplaceAll(good, []byte(`{"id":`), []byte(`{"effective":"`+date+`","id":`))
}

func plant(dir string, m *labels.Maker, n int) (*planted, error) {
	p := &planted{dir: dir, good: map[string]bool{}, held: map[string]string{}, refused: map[string]bool{}}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	var bytesOf int64
	for i := 0; i < n; {
		to := min(i+perArchive, n)
		put, done, err := p.into(i / perArchive)
		if err != nil {
			return nil, err
		}
		for ; i < to; i++ {
			var b bytes.Buffer
			if err := m.Label(&b, i); err != nil {
				return nil, err
			}
			name, ext, content := m.Names[i], ".jsonl", b.Bytes()
			if i%badOf == badOf-1 {
				k := bads[i/badOf%len(bads)]
				if ext, content = k.ext, k.make(name, content); k.code != "" {
					p.held[name] = k.code
				} else {
					if len(content) == 0 {
						content = bytes.Repeat([]byte{'\n'}, i/badOf+1) // empty, and each with a hash of its own
					}
					p.refused[name+ext] = true
				}
			} else {
				p.good[name] = true
			}
			bytesOf += int64(len(content))
			if err := put(name+ext, content); err != nil {
				return nil, err
			}
		}
		if err := done(); err != nil {
			return nil, err
		}
	}
	fmt.Printf("%d labels of %.1f MB: %d good, %d to be held back by a check, %d that can't be read\n", n, float64(bytesOf)/1e6, len(p.good), len(p.held), len(p.refused))
	return p, nil
}

// into the next archive, or folder.
func (p *planted) into(k int) (put func(name string, b []byte) error, done func() error, err error) {
	if k%5 == 4 {
		dir := filepath.Join(p.dir, fmt.Sprintf("folder-%03d", k))
		return func(name string, b []byte) error { return os.WriteFile(filepath.Join(dir, name), b, 0o600) }, func() error { return nil }, os.MkdirAll(dir, 0o700)
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, nil, err
	}
	f, err := os.Create(filepath.Join(p.dir, fmt.Sprintf("labels-%03d.zip", k)))
	if err != nil {
		return nil, nil, err
	}
	z := zip.NewWriter(f)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	return func(name string, b []byte) error {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}, func() error { return errors.Join(z.Close(), f.Close()) }, nil
}

// verify what is in the library beside what was planted.
func (p *planted) verify(ctx context.Context, centre string, sum *flow.Summary) error {
	lib, err := library.Open(centre)
	if err != nil {
		return err
	}
	defer lib.Close()
	vs, err := lib.Versions(ctx, library.Filter{})
	if err != nil {
		return err
	}
	seen := map[string]int{}
	strange, wrong := 0, 0
	for _, v := range vs {
		seen[v.ID]++
		code, bad := p.held[v.ID]
		switch {
		case p.good[v.ID]:
			if v.State != library.Candidate {
				wrong++
				fmt.Printf("  %s is %s: %v\n", v.ID, v.State, codes(v.Findings))
			}
		case bad:
			if v.State != library.Quarantined || !strings.Contains(codes(v.Findings), code) {
				wrong++
				fmt.Printf("  %s is %s, not held back for %s: %v\n", v.ID, v.State, code, codes(v.Findings))
			}
		default:
			strange++
		}
	}
	lost, twice := 0, 0
	count := func(id string) {
		switch seen[id] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	for id := range p.good {
		count(id)
	}
	for id := range p.held {
		count(id)
	}
	all, err := lib.Quarantine(ctx, library.Filter{})
	if err != nil {
		return err
	}
	refused := map[string]int{}
	for _, h := range all {
		if r := h.Refused; r != nil {
			name := r.Source.Name
			if r.Source.Place != "" {
				name = r.Source.Place
			}
			refused[filepath.Base(name)]++
		}
	}
	for name, n := range refused {
		if !p.refused[name] || n != 1 {
			wrong++
			fmt.Printf("  %s is refused %d times\n", name, n)
		}
	}
	for name := range p.refused {
		if refused[name] == 0 {
			lost++
		}
	}
	fmt.Printf("  lost %d, twice %d, from nowhere %d, held back wrongly or not %d; in quarantine %d by a check and %d unread, planted %d and %d; given up %d, left on the bus %d\n",
		lost, twice, strange, wrong, sum.Quarantined, sum.Refused, len(p.held), len(p.refused), sum.Dead, sum.Waiting)
	if lost+twice+strange+wrong+sum.Dead+sum.Waiting > 0 || sum.Quarantined != len(p.held) || sum.Refused != len(p.refused) || sum.Documents != len(p.good)+len(p.held) {
		b, _ := json.Marshal(sum)
		return fmt.Errorf("it is not what was planted: %s", b)
	}
	return nil
}

func codes(fs []check.Finding) string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Code)
	}
	return strings.Join(out, ",")
}
