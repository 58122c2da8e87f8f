package index

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
	"sync/atomic"

	"rxedge/index/document"
	"rxedge/index/generation"
	"rxedge/index/lexical"
	"rxedge/index/names"
)

// sectionShare of its score is what a passage is given for being of a section
// that the question asks for. Chosen by measuring: names/DESIGN.md.
const sectionShare = 0.3

// meaningShare of its weight is what the meaning of shorthand counts in a search:
// in prose (abstracts, claims) a higher one costs as much as it gains.
const meaningShare = 0.7

// ownName is what its name counts among the passages about a medicine, beside
// the other words: nearly all of them have it, and how often says little. Where
// several medicines are named each tells passages of the others' labels apart.
const ownName, ownNameOfSeveral = 0.1, 0.5

// reader knows the names in one generation, and in which section of a label
// each of its passages is, as far as that was asked.
type reader struct {
	lexicon  *names.Lexicon
	ranges   map[string]lexical.Range // of the passages of documents
	sections []atomic.Uint64          // by passage: its LOINC code packed, 0: not read yet
}

func newReader(g *generation.Generation) (*reader, error) {
	r := &reader{ranges: map[string]lexical.Range{}, sections: make([]atomic.Uint64, g.Info().Passages)}
	var docs []names.Labelled
	err := g.Documents(context.Background(), func(h generation.Header) error {
		l := names.Labelled{ID: h.ID, Title: h.Title}
		for _, n := range h.Names {
			if n.Kind == "brand" {
				l.Brands = append(l.Brands, n.Text)
			} else {
				l.Generics = append(l.Generics, n.Text)
			}
		}
		if len(h.Names) == 0 && h.Kind != document.KindSPL && h.Kind != document.KindOpenFDA {
			return nil
		}
		docs = append(docs, l)
		p, err := g.Range(h.ID)
		r.ranges[h.ID] = lexical.Range{First: p.First, End: p.First + uint32(p.Passages)}
		return err
	})
	if err != nil {
		return nil, err
	}
	r.lexicon, err = names.New(docs)
	return r, err
}

// Read reads a question as a search does, without searching.
func (s *Snapshot) Read(question string) (names.Reading, error) {
	r, err := s.held.read()
	if err != nil {
		return names.Reading{}, s.outcome("read the names", err)
	}
	return r.lexicon.Read(question, s.known), nil
}

// Labelled says whether a document is about a medicine, as a label is and a
// guideline is not.
func (s *Snapshot) Labelled(id string) (bool, error) {
	r, err := s.held.read()
	if err != nil {
		return false, s.outcome("read the names", err)
	}
	_, ok := r.ranges[id]
	return ok, nil
}

// Mentions gives the medicines named in any text, such as a claim, without
// guessing at spelling.
func (s *Snapshot) Mentions(text string) ([]names.Subject, error) {
	r, err := s.held.read()
	if err != nil {
		return nil, s.outcome("read the names", err)
	}
	return r.lexicon.ReadParts(text, nil, names.Parts{NoSpelling: true, NoShorthand: true, NoSections: true}).Subjects, nil
}

// known says whether the documents have a word.
func (s *Snapshot) known(word string) bool {
	g := s.held.gen
	for _, t := range g.Analyzer.Terms(word) {
		if g.Lexical.DocumentFrequency(t) > 0 {
			return true
		}
	}
	return false
}

// wordHit is a passage found by its words.
type wordHit struct {
	passage              uint32
	score, name, section float64
}

// searchWords is BM25 over what was typed and what it stands for. Passages of
// documents about the medicines that are named come first.
func (s *Snapshot) searchWords(q Query) ([]wordHit, names.Reading, error) {
	g := s.held.gen
	if q.Plain {
		found := g.Lexical.Search(g.Analyzer.Terms(q.Text), q.Depth)
		out := make([]wordHit, len(found))
		for i, f := range found {
			out[i] = wordHit{passage: f.Passage, score: f.Score}
		}
		return out, names.Reading{}, nil
	}
	r, err := s.held.read()
	if err != nil {
		return nil, names.Reading{}, err
	}
	reading := r.lexicon.ReadParts(q.Text, s.known, q.Without)
	terms := weigh(g.Analyzer, q.Text, reading, 1)
	var ranges []lexical.Range
	for _, d := range reading.About() {
		if x := r.ranges[d]; x.First < x.End {
			ranges = append(ranges, x)
		}
	}
	slices.SortFunc(ranges, func(a, b lexical.Range) int { return cmp.Compare(a.First, b.First) })
	own := terms
	if len(ranges) > 0 {
		own = weigh(g.Analyzer, q.Text, reading, nameWeight(reading))
	}
	about := g.Lexical.SearchWithin(own, ranges, q.Depth)
	out := make([]wordHit, 0, len(about)+q.Depth)
	for _, f := range about {
		out = append(out, wordHit{passage: f.Passage, score: f.Score})
	}
	for _, f := range g.Lexical.SearchWeighted(terms, q.Depth) {
		if !within(ranges, f.Passage) {
			out = append(out, wordHit{passage: f.Passage, score: f.Score})
		}
	}
	if len(reading.Sections) > 0 {
		for i := range out {
			code, err := r.section(g, out[i].passage)
			if err != nil {
				return nil, reading, err
			}
			out[i].section = sectionShare * reading.Section(code) * out[i].score
		}
	}
	// A medicine that is named decides before any words: what is about it is
	// lifted over everything else.
	best := 0.0
	for i := range out {
		out[i].score += out[i].section
		if i >= len(about) {
			best = max(best, out[i].score)
		}
	}
	for i := range about {
		out[i].name = best
		out[i].score += best
	}
	slices.SortFunc(out, func(a, b wordHit) int {
		if c := cmp.Compare(b.score, a.score); c != 0 {
			return c
		}
		return cmp.Compare(a.passage, b.passage)
	})
	return out[:min(len(out), q.Depth)], reading, nil
}

func within(ranges []lexical.Range, p uint32) bool {
	i := sort.Search(len(ranges), func(i int) bool { return ranges[i].End > p })
	return i < len(ranges) && ranges[i].First <= p
}

// nameWeight is what the names of the medicines asked about count among the
// passages about them.
func nameWeight(r names.Reading) float64 {
	first := ""
	for _, s := range r.Subjects {
		switch {
		case s.Class || s.Substance || len(s.Documents) == 0:
		case first == "":
			first = s.Name
		case s.Name != first:
			return ownNameOfSeveral
		}
	}
	return ownName
}

// weigh gives the terms of a query with their weights. A phrase of n words is
// worth as much as one word of its weight, times the root of n; words that were
// typed keep their full weight, names of medicines that documents are about
// count own times theirs.
func weigh(a *lexical.Analyzer, text string, r names.Reading, own float64) []lexical.Weighted {
	covered := func(start int) bool {
		for _, s := range r.Subjects {
			if s.Start == start && !s.Class && !s.Substance && len(s.Documents) > 0 {
				return true
			}
		}
		return false
	}
	name := map[string]bool{}
	for _, s := range r.Subjects {
		if covered(s.Start) {
			for _, t := range a.Terms(s.Asked) {
				name[t] = true
			}
		}
	}
	var out []lexical.Weighted
	typed := map[string]bool{}
	for _, t := range a.Terms(text) {
		typed[t] = true
		w := 1.0
		if name[t] {
			w = own
		}
		out = append(out, lexical.Weighted{Term: t, Weight: w})
	}
	most := map[string]float64{}
	var order []string
	for _, e := range r.Expansions {
		if e.Weight <= 0 {
			continue
		}
		terms := a.Terms(e.To)
		w := e.Weight / math.Sqrt(float64(max(1, len(terms))))
		switch {
		case e.Why == names.WhyMeaning:
			w *= meaningShare
		case covered(e.Start):
			w *= own
		}
		for _, t := range terms {
			if typed[t] {
				continue
			}
			if _, ok := most[t]; !ok {
				order = append(order, t)
			}
			most[t] = max(most[t], w)
		}
	}
	for _, t := range order {
		out = append(out, lexical.Weighted{Term: t, Weight: most[t]})
	}
	return out
}

// section is the LOINC code of a passage. Codes are kept once read: there are
// few of them, and a search asks for hundreds.
func (r *reader) section(g *generation.Generation, passage uint32) (string, error) {
	at := &r.sections[passage]
	if v := at.Load(); v != 0 {
		return unpack(v), nil
	}
	p, err := g.Passage(passage)
	if err != nil {
		return "", err
	}
	at.Store(pack(p.LOINC))
	return p.LOINC, nil
}

// pack puts a code of up to seven bytes and its length into a number that is
// never 0; a longer one, which no LOINC code is, counts as none.
func pack(code string) uint64 {
	if len(code) > 7 {
		code = ""
	}
	v := uint64(len(code)) + 1
	for i := 0; i < len(code); i++ {
		v |= uint64(code[i]) << (8 * (i + 1))
	}
	return v
}

func unpack(v uint64) string {
	b := make([]byte, v&0xff-1)
	for i := range b {
		b[i] = byte(v >> (8 * (i + 1)))
	}
	return string(b)
}
