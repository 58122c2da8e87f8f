package index

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"

	"rxedge/index/codes"
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

// Read reads a question as a search does, without searching.
func (s *Snapshot) Read(question string) (names.Reading, error) {
	r, err := s.view.Lexicon()
	if err != nil {
		return names.Reading{}, s.outcome("read the names", err)
	}
	return r.Read(question, s.known), nil
}

// Labelled says whether a document is about a medicine, as a label is and a
// guideline is not.
func (s *Snapshot) Labelled(id string) (bool, error) {
	return s.view.Labelled(id), nil
}

// Mentions gives the medicines named in any text, such as a claim, without
// guessing at spelling.
func (s *Snapshot) Mentions(text string) ([]names.Subject, error) {
	r, err := s.view.Lexicon()
	if err != nil {
		return nil, s.outcome("read the names", err)
	}
	return r.ReadParts(text, nil, names.Parts{NoSpelling: true, NoShorthand: true, NoSections: true}).Subjects, nil
}

// known says whether the documents have a word.
func (s *Snapshot) known(word string) bool {
	for _, t := range s.Terms(word) {
		if s.view.Lexical().Has(t) {
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
// documents about the medicines that are named come first. Those that are allowed
// alone are searched; nil are all. The passages of those documents are returned,
// too.
func (s *Snapshot) searchWords(ctx context.Context, q Query, quotes *phrases, allowed []lexical.Range) ([]wordHit, []lexical.Range, names.Reading, []Code, error) {
	analyzer, words := s.view.Analyzer(), s.view.Lexical()
	depth := q.Depth
	alone := q.Mode == ModeBM25 // what is found is shown as it is ranked here
	if q.Plain {
		if alone {
			depth = q.K
		}
		var terms []lexical.Weighted
		for _, t := range analyzer.Terms(q.Text) {
			terms = append(terms, lexical.Weighted{Term: t, Weight: 1})
		}
		found, err := quotes.search(ctx, words, lexical.Query{Terms: terms, K: depth, Within: allowed})
		if err != nil {
			return nil, nil, names.Reading{}, nil, err
		}
		out := make([]wordHit, len(found))
		for i, f := range found {
			out[i] = wordHit{passage: f.Passage, score: f.Score}
		}
		return out, nil, names.Reading{}, nil, nil
	}
	r, err := s.view.Lexicon()
	if err != nil {
		return nil, nil, names.Reading{}, nil, err
	}
	reading := r.ReadParts(q.Text, s.known, q.Without)
	terms := weigh(analyzer, q.Text, reading, 1)
	var ranges []lexical.Range
	coded, stand := s.codes(q.Text)
	about := reading.About()
	if len(stand) > 0 { // a code says exactly which
		about = stand
	}
	for _, d := range about {
		p, err := s.view.Range(d)
		if err != nil {
			return nil, nil, reading, nil, err
		}
		if p.Passages > 0 {
			ranges = append(ranges, lexical.Range{First: p.First, End: p.First + uint32(p.Passages)})
		}
	}
	slices.SortFunc(ranges, func(a, b lexical.Range) int { return cmp.Compare(a.First, b.First) })
	ranges = shared(ranges, allowed)
	if alone && len(ranges) == 0 && len(reading.Sections) == 0 { // nothing is ranked anew
		depth = q.K
	}
	own := terms
	if len(ranges) > 0 {
		own = weigh(analyzer, q.Text, reading, nameWeight(reading))
	}
	var near []lexical.Scored
	if len(ranges) > 0 {
		if near, err = quotes.search(ctx, words, lexical.Query{Terms: own, K: depth, Within: ranges}); err != nil {
			return nil, nil, reading, nil, err
		}
	}
	all, err := quotes.search(ctx, words, lexical.Query{Terms: terms, K: depth, Within: allowed})
	if err != nil {
		return nil, nil, reading, nil, err
	}
	out := make([]wordHit, 0, len(near)+depth)
	for _, f := range near {
		out = append(out, wordHit{passage: f.Passage, score: f.Score})
	}
	if len(stand) > 0 {
		if out, err = s.rest(ctx, out, ranges, depth, quotes); err != nil {
			return nil, nil, reading, nil, err
		}
	}
	lifted := len(out)
	for _, f := range all {
		if !within(ranges, f.Passage) {
			out = append(out, wordHit{passage: f.Passage, score: f.Score})
		}
	}
	if len(reading.Sections) > 0 {
		for i := range out {
			code, err := s.view.SectionCode(out[i].passage)
			if err != nil {
				return nil, nil, reading, nil, err
			}
			out[i].section = sectionShare * reading.Section(code) * out[i].score
		}
	}
	// A medicine that is named decides before any words: what is about it is
	// lifted over everything else.
	best := 0.0
	for i := range out {
		out[i].score += out[i].section
		if i >= lifted {
			best = max(best, out[i].score)
		}
	}
	best = math.Nextafter(best, math.Inf(1)) // over, too, where no word was found
	for i := range lifted {
		out[i].name = best
		out[i].score += best
	}
	slices.SortFunc(out, func(a, b wordHit) int {
		if c := cmp.Compare(b.score, a.score); c != 0 {
			return c
		}
		return cmp.Compare(a.passage, b.passage)
	})
	return out[:min(len(out), depth)], ranges, reading, coded, nil
}

// Codes are those in a text that stand for documents or are well formed.
func (s *Snapshot) Codes(text string) []Code {
	found, _ := s.codes(text)
	return found
}

// codes in a question, and the documents that they stand for.
func (s *Snapshot) codes(text string) (found []Code, stand []string) {
	for _, c := range codes.Find(text) {
		f := Code{Code: c}
		if c.Problem == "" && c.System != codes.LOINC {
			f.Documents = s.view.ByCode(c)
			if c.Weak && len(f.Documents) == 0 {
				continue // some other number
			}
			stand = append(stand, f.Documents...)
		}
		found = append(found, f)
	}
	slices.Sort(stand)
	return found, slices.Compact(stand)
}

// rest adds the passages of the ranges that no word of the question found, in
// order: a code alone asks for the document.
func (s *Snapshot) rest(ctx context.Context, out []wordHit, ranges []lexical.Range, depth int, quotes *phrases) ([]wordHit, error) {
	seen := make(map[uint32]bool, len(out))
	for _, w := range out {
		seen[w.passage] = true
	}
	for _, r := range ranges {
		for p := r.First; p < r.End && len(out) < depth; p++ {
			if seen[p] {
				continue
			}
			ok, err := quotes.in(ctx, p)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, wordHit{passage: p})
			}
		}
	}
	return out, nil
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
