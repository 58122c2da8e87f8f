package index_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/names"
)

// Questions as pharmacists write them find the right section of the right
// label by BM25 and names alone; each part of the reading is worth something.
func TestRightSection(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "labels")); err != nil {
		t.Skipf("the real labels are not on this machine (%s); set RXEDGE_TESTDATA to their folder", dir)
	}
	ix, err := index.Open(t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	var docs []*document.Document
	for _, p := range []string{"spl_xml", "labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl"} {
		if _, err := document.Read(t.Context(), filepath.Join(dir, p), document.Options{}, func(d *document.Document) error {
			docs = append(docs, d)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "labels", "questions_dev.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var questions []question
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var q question
		if err := json.Unmarshal(sc.Bytes(), &q); err != nil {
			t.Fatal(err)
		}
		if len(q.Relevant) > 0 {
			questions = append(questions, q)
		}
	}
	s := ix.Acquire()
	defer s.Release()
	for _, c := range []struct {
		name      string
		query     index.Query
		one, five float64 // at least
	}{
		{"everything", index.Query{}, 0.85, 0.95},
		{"words alone", index.Query{Plain: true}, 0, 0},
		{"no names", index.Query{Without: names.Parts{NoNames: true}}, 0, 0},
		{"no spelling", index.Query{Without: names.Parts{NoSpelling: true}}, 0, 0},
		{"no shorthand", index.Query{Without: names.Parts{NoShorthand: true}}, 0, 0},
		{"no sections", index.Query{Without: names.Parts{NoSections: true}}, 0, 0},
	} {
		one, five := rightSection(t, s, questions, c.query)
		t.Logf("%s: right section first %.3f, among five %.3f", c.name, one, five)
		if one < c.one || five < c.five {
			t.Errorf("%s: right section first %.3f, among five %.3f; want %.2f and %.2f at least", c.name, one, five, c.one, c.five)
		}
	}
}

type question struct {
	Question string
	Relevant []string
}

// rightSection gives the shares of questions with a relevant section first and
// among the first five.
func rightSection(t *testing.T, s *index.Snapshot, questions []question, q index.Query) (one, five float64) {
	t.Helper()
	for _, ask := range questions {
		q.Text, q.K, q.Mode = ask.Question, 50, index.ModeBM25
		r, err := s.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		right := map[string]bool{}
		for _, id := range ask.Relevant {
			if ref, err := s.Section(id); err == nil {
				right[ref.Section.ID] = true
			}
		}
		seen := map[string]bool{}
		for _, h := range r.Hits {
			id := h.Passage.SectionID
			if !seen[id] {
				seen[id] = true
				if right[id] {
					break
				}
			}
			if len(seen) == 5 {
				break
			}
		}
		for _, h := range r.Hits[:min(1, len(r.Hits))] {
			if right[h.Passage.SectionID] {
				one++
			}
		}
		for id := range seen {
			if right[id] {
				five++
				break
			}
		}
	}
	n := float64(len(questions))
	return one / n, five / n
}
