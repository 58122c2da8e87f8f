package validate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"rxedge/index"
	"rxedge/index/document"
)

type summary = index.DocumentSummary

// place is what a text stands under.
type place struct {
	names []string
	title string
}

func (p place) shares(q place) bool {
	return len(p.names)+len(q.names) == 0 || slices.ContainsFunc(p.names, func(n string) bool { return slices.Contains(q.names, n) })
}

// compareTexts looks for texts of the changed documents that stand, in the
// candidate, under another title or another medicine than anywhere before. A
// label that is revised keeps its texts in their places or changes them; a text
// that is moved whole under another title is what a broken tool does, or an
// enemy. It costs one reading of the changed documents, and finds one label of
// thousands, which no sample of questions would.
func compareTexts(ctx context.Context, cfg Config) (Check, error) {
	ids := cfg.Changed
	if ids == nil {
		docs, err := cfg.CandidateCorpus.Documents()
		if err != nil {
			return Check{}, fmt.Errorf("listing the candidate's documents: %w", err)
		}
		for _, d := range docs {
			ids = append(ids, d.ID)
		}
	}
	before := map[[16]byte][]place{}
	var old int
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return Check{}, err
		}
		d, err := cfg.ServingCorpus.Document(id)
		if err != nil {
			continue // new
		}
		for _, s := range d.Sections {
			if k, ok := textKey(s.Text); ok {
				before[k] = append(before[k], placeOf(d, s))
				old++
			}
		}
	}
	c := Check{Name: Texts, Pass: true, Limit: figure(0)}
	switch {
	case len(ids) == 0:
		c.Detail = "no document changed"
		return c, nil
	case old == 0:
		c.Untold, c.Detail = true, "none of its documents was here before"
		return c, nil
	}
	moved := 0
	var where []string
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return Check{}, err
		}
		d, err := cfg.CandidateCorpus.Document(id)
		if err != nil {
			continue // taken out
		}
		for _, s := range d.Sections {
			k, ok := textKey(s.Text)
			if !ok {
				continue
			}
			c.N++
			was := before[k]
			if len(was) == 0 {
				continue // new text
			}
			at := placeOf(d, s)
			// Another maker's label of the same medicine may take a text over.
			if slices.ContainsFunc(was, func(p place) bool { return p.title == at.title && p.shares(at) }) {
				continue
			}
			if !displaced(cfg.ServingCorpus, id, s) {
				continue
			}
			moved++
			if len(where) < 3 {
				where = append(where, s.ID)
			}
		}
	}
	c.Candidate = figure(float64(moved))
	if moved > 0 {
		c.Pass = false
		c.Detail = fmt.Sprintf("%d of %d sections hold, word for word, what stood under another title or medicine before, such as %s", moved, c.N, strings.Join(where, ", "))
	}
	return c, nil
}

// displaced says whether the section was there before with another text.
func displaced(serving Corpus, id string, s document.Section) bool {
	d, err := serving.Document(id)
	if err != nil {
		return false
	}
	for _, o := range d.Sections {
		if o.ID == s.ID && title(o.Title) == title(s.Title) {
			return o.Text != s.Text
		}
	}
	return false
}

func placeOf(d *document.Document, s document.Section) place {
	var names []string
	for _, n := range d.Names {
		names = append(names, strings.ToLower(n.Text))
	}
	return place{names, title(s.Title)}
}

// textKey of a text, whatever its spaces; false where it is too short to tell texts apart.
func textKey(text string) ([16]byte, bool) {
	t := strings.Join(strings.Fields(text), " ")
	if len(t) < leastText {
		return [16]byte{}, false
	}
	h := sha256.Sum256([]byte(t))
	return [16]byte(h[:16]), true
}
