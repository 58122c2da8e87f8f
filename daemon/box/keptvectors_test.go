package box

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
	"rxedge/sync/bundle"
)

// asked is an embedder that counts what it is asked.
type asked struct{ n int }

// Embed implements index.Embedder.
func (a *asked) Embed(_ context.Context, texts []string) ([][]float32, error) {
	a.n += len(texts)
	out := make([][]float32, len(texts))
	for i, t := range texts {
		out[i] = []float32{1, float32(len(t)), float32(t[len(t)/2])}
	}
	return out, nil
}

// shelf keeps rows in memory.
type shelf map[index.TextHash][]uint16

// Get implements KeptVectors.
func (s shelf) Get(_ context.Context, texts []index.TextHash, row func(index.TextHash, []uint16)) error {
	for _, t := range texts {
		if v := s[t]; v != nil {
			row(t, v)
		}
	}
	return nil
}

// Put implements KeptVectors.
func (s shelf) Put(_ context.Context, rows []byte) (int, error) {
	return (&bundle.Vectors{Dimension: 3}).Rows(rows, func(t [bundle.TextHashSize]byte, halves []uint16) { s[t] = slices.Clone(halves) })
}

// The rows of a document are the same bytes whether they were made, kept, or made by a
// worker; what is kept, or was published before, is not asked of the embedder again.
func TestVectorsAreMadeOnce(t *testing.T) {
	t.Parallel()
	a := &asked{}
	p := &PassageVectors{Name: "e", Dimension: 3, opt: index.Options{Embedder: a, EmbedderInfo: index.EmbedderInfo{Name: "e", Dimension: 3}}}
	d := &document.Document{ID: "d", Kind: document.KindMarkdown, Title: "D"}
	for k := range 40 {
		d.Sections = append(d.Sections, document.Section{ID: fmt.Sprintf("d#%d", k), Title: "Dosage", Text: strings.Repeat(fmt.Sprintf("Take %d mg once a day with water. ", k%30), 4)})
	}
	x, err := Publishable(d)
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Join(x.Parts, nil)
	made := func(before []byte, want int) []byte {
		t.Helper()
		a.n = 0
		rows, err := p.Make(t.Context(), d.ID, content, before)
		if err != nil || a.n != want {
			t.Fatalf("the embedder was asked for %d texts, want %d; %v", a.n, want, err)
		}
		return rows
	}
	plain := made(nil, 30) // ten sections say what others say
	if n, err := (&bundle.Vectors{Dimension: 3}).Rows(plain, nil); n != 30 || err != nil {
		t.Fatal(n, err)
	}
	s := shelf{}
	p.Kept = s
	if rows := made(nil, 30); !bytes.Equal(rows, plain) || len(s) != 30 {
		t.Errorf("with a shelf: %d bytes, %d kept", len(rows), len(s))
	}
	if rows := made(nil, 0); !bytes.Equal(rows, plain) {
		t.Error("what was kept is not what was made")
	}
	half := shelf{}
	if _, err := half.Put(t.Context(), plain[:15*22]); err != nil {
		t.Fatal(err)
	}
	p.Kept = half
	if rows := made(plain[10*22:20*22], 10); !bytes.Equal(rows, plain) || len(half) != 25 {
		t.Errorf("with half of it: %d kept", len(half))
	}

	lacking := func(known func(index.TextHash) bool, want int) []byte {
		t.Helper()
		a.n = 0
		ticks := 0
		rows, err := p.MakeLacking(t.Context(), d, func(texts []index.TextHash) map[index.TextHash]bool {
			out := map[index.TextHash]bool{}
			for _, x := range texts {
				out[x] = known(x)
			}
			return out
		}, func() { ticks++ })
		if err != nil || a.n != want || (ticks > 0) != (want > 0) {
			t.Fatalf("%d texts were asked for, want %d, %d ticks, %v", a.n, want, ticks, err)
		}
		return rows
	}
	if rows := lacking(func(index.TextHash) bool { return false }, 30); !bytes.Equal(rows, plain) {
		t.Error("a worker makes others than publish")
	}
	first := index.TextHash(plain)
	if rows := lacking(func(x index.TextHash) bool { return x == first }, 29); !bytes.Equal(rows, plain[22:]) {
		t.Error("a worker makes what it need not, or leaves out more")
	}
	if rows := lacking(func(index.TextHash) bool { return true }, 0); len(rows) != 0 {
		t.Errorf("%d bytes of nothing", len(rows))
	}
}
