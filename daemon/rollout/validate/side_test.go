package validate

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/daemon/formulary"
	"rxedge/index"
	"rxedge/index/document"
)

// pair is an index with the real answering service over it.
type pair struct {
	*answer.Service
	snap *index.Snapshot
}

func (p pair) Document(_ context.Context, id string) (*document.Document, error) {
	return p.snap.Document(id)
}
func (p pair) Section(_ context.Context, id string) (index.SectionRef, error) {
	return p.snap.Section(id)
}

func pairOf(t testing.TB, docs []*document.Document) pair {
	t.Helper()
	ix, err := index.Open(t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	snap := ix.Acquire()
	t.Cleanup(func() {
		snap.Release()
		_ = ix.Close()
	})
	return pair{&answer.Service{Index: ix}, snap}
}

func sample(t testing.TB) []*document.Document {
	t.Helper()
	files := formulary.Files()
	names, _ := fs.Glob(files, "*.md")
	var docs []*document.Document
	for _, n := range names {
		text, err := fs.ReadFile(files, n)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, readAll(t, n, text)...)
	}
	return docs
}

func readAll(t testing.TB, name string, text []byte) (docs []*document.Document) {
	t.Helper()
	problems, err := document.ReadBytes(t.Context(), name, text, document.Options{}, func(d *document.Document) error {
		docs = append(docs, d)
		return nil
	})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return docs
}

// labels are 24 real ones; DESIGN.md has what all 101 and 240 questions gave.
func labels(t testing.TB) []*document.Document {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	text, err := os.ReadFile(filepath.Join(dir, "labels", "spl_adr_train.jsonl"))
	if err != nil {
		t.Skipf("the real labels are not on this machine; set RXEDGE_TESTDATA to their folder: %v", err)
	}
	return readAll(t, "spl_adr_train.jsonl", text)[:24]
}

func clone(docs []*document.Document) []*document.Document {
	out := make([]*document.Document, len(docs))
	for i, d := range docs {
		c := *d
		c.Sections = slices.Clone(d.Sections)
		out[i] = &c
	}
	return out
}

func ids(docs []*document.Document) (out []string) {
	for _, d := range docs {
		out = append(out, d.ID)
	}
	return out
}

// shuffled gives the sections of each document each other's texts; titles stay.
func shuffled(docs []*document.Document) []*document.Document {
	docs = clone(docs)
	for _, d := range docs {
		n := len(d.Sections)
		was := slices.Clone(d.Sections)
		for i := range d.Sections {
			d.Sections[i].Text = was[(i+1)%n].Text
		}
	}
	return docs
}

// crossed gives each document the texts of another one, section by section of the
// same title where there is one.
func crossed(docs []*document.Document) []*document.Document {
	was := clone(docs)
	docs = clone(docs)
	for i, d := range docs {
		from := was[(i+1)%len(was)]
		for j := range d.Sections {
			for _, s := range from.Sections {
				if s.Title == d.Sections[j].Title {
					d.Sections[j].Text = s.Text
				}
			}
		}
	}
	return docs
}

// revised is what a good bundle brings: some labels have a sentence more, a
// sentence less, another number, or a section numbered anew.
func revised(docs []*document.Document, rng *rand.Rand) ([]*document.Document, []string) {
	docs = clone(docs)
	var changed []string
	for i, d := range docs {
		if i%3 != 0 {
			continue
		}
		changed = append(changed, d.ID)
		for range max(1, len(d.Sections)/4) {
			s := &d.Sections[rng.IntN(len(d.Sections))]
			switch rng.IntN(4) {
			case 0:
				s.Text += " Tell patients to report any new symptom without delay."
			case 1:
				if i := strings.LastIndex(strings.TrimRight(s.Text, ". \n"), ". "); i > 0 {
					s.Text = s.Text[:i+1]
				}
			case 2:
				s.Text = strings.Replace(s.Text, "10", "12", 1)
			case 3:
				s.Title = "9." + s.Title
			}
		}
	}
	return docs, changed
}
