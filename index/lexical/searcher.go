package lexical

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// Searcher searches the live passages of several segments as if they had been
// indexed together. Safe for concurrent use; making one costs some microseconds,
// so live updates make a new one for each view.
type Searcher struct {
	params Params
	stats  Stats
	mean   float64
	parts  []part
}

type part struct {
	Part
	low, high float64 // what a step of its impacts is worth now
	end       uint32  // Base + passages
}

// NewSearcher of parts whose numbers ascend and do not overlap.
func NewSearcher(p Params, parts ...Part) (*Searcher, error) {
	if !p.valid() {
		return nil, fmt.Errorf("lexical: parameters %+v: k1 and weights must be 0 or more, b between 0 and 1", p)
	}
	s := &Searcher{params: p, parts: make([]part, len(parts))}
	next := uint64(0)
	for i, pt := range parts {
		if uint64(pt.Base) < next {
			return nil, fmt.Errorf("lexical: segment %d begins at passage %d, within the one before", i, pt.Base)
		}
		next = uint64(pt.Base) + uint64(pt.Segment.Passages())
		if next > math.MaxUint32 {
			return nil, errors.New("lexical: too many passages")
		}
		s.parts[i] = part{Part: pt, end: uint32(next)}
		s.stats.Passages += pt.Segment.Passages() - pt.Dead.Passages()
		for f, l := range pt.Segment.summary.Lengths {
			s.stats.Lengths[f] += l
			if pt.Dead != nil {
				s.stats.Lengths[f] -= pt.Dead.lengths[f]
			}
		}
	}
	s.mean = s.stats.mean(p)
	for i := range s.parts {
		m := &s.parts[i].Segment.summary
		s.parts[i].low, s.parts[i].high = bounds(m.params, m.mean(m.params), p, s.mean, m.longest)
	}
	return s, nil
}

// Stats of the live passages.
func (s *Searcher) Stats() Stats { return s.stats }

// Passages that are live.
func (s *Searcher) Passages() int { return s.stats.Passages }

// Parts that are searched.
func (s *Searcher) Parts() []Part {
	out := make([]Part, len(s.parts))
	for i := range out {
		out[i] = s.parts[i].Part
	}
	return out
}

// DocumentFrequency is the number of live passages that have the term in any field.
func (s *Searcher) DocumentFrequency(term string) int {
	n, hash := 0, hashTerm(term)
	for i := range s.parts {
		e, at, _ := s.parts[i].Segment.find(term, hash)
		if e.df > 0 {
			n += int(e.df) - s.parts[i].Dead.documentFrequency(at.number)
		}
	}
	return max(0, n)
}

// Has says whether a live passage has the term in any field.
func (s *Searcher) Has(term string) bool {
	hash := hashTerm(term)
	for i := range s.parts {
		e, at, _ := s.parts[i].Segment.find(term, hash)
		if int(e.df) > s.parts[i].Dead.documentFrequency(at.number) {
			return true
		}
	}
	return false
}

// IDF is ln(1 + (N − df + ½)/(df + ½)), as Lucene has it: never negative. A
// term that is nowhere has the greatest.
func (s *Searcher) IDF(term string) float64 { return s.stats.idf(s.DocumentFrequency(term)) }

// Weighted is a term of a query and what it counts beside others.
type Weighted struct {
	Term   string
	Weight float64 // above 0
}

// Range of passages, half-open.
type Range struct{ First, End uint32 }

// Query of a searcher.
type Query struct {
	Terms  []Weighted // one that is there twice counts twice
	K      int        // passages wanted
	Within []Range    // in order and not overlapping; nil: everywhere
	Must   []string   // terms that a passage must have, in any field
}

// Search gives the K live passages of highest score, best first, of equal ones
// the earlier first. It is exact: what is left out cannot reach the first K, and
// a score is the same number whatever segments the passages lie in. An error is
// ErrDamaged and names the blob.
func (s *Searcher) Search(q Query) ([]Scored, error) {
	if q.K <= 0 || s.stats.Passages == 0 || q.Within != nil && len(q.Within) == 0 {
		return nil, nil
	}
	sc := scratches.Get().(*scratch)
	defer scratches.Put(sc)
	if err := s.prepare(q.Terms, q.Must, sc); err != nil {
		return nil, err
	}
	if len(sc.terms) == 0 {
		return nil, nil
	}
	sc.top.reset(q.K)
	for i := range s.parts {
		p := &s.parts[i]
		if !sc.open(s, i) {
			continue
		}
		if q.Within == nil {
			if !sc.must {
				sc.seed(p, nil)
			}
			sc.search(s, p, Range{0, uint32(p.Segment.Passages())})
		} else {
			sc.searchWithin(s, p, q.Within)
		}
		sc.settle(s, p)
		if err := sc.damage(p); err != nil {
			return nil, err
		}
	}
	return sc.top.sorted(), nil
}

// queryTerm is a distinct term of a query.
type queryTerm struct {
	term   string
	hash   uint64
	idf    float64
	weight float64 // idf times what the query gives it
	must   bool
}

// manyTerms is a query's number of terms from which a map finds repeated ones.
const manyTerms = 40

// prepare looks the terms up in every part and weighs them. A term that a
// passage must have and that the query does not weigh counts nothing.
func (s *Searcher) prepare(terms []Weighted, must []string, sc *scratch) error {
	sc.terms, sc.entries = sc.terms[:0], sc.entries[:0]
	var seen map[string]int
	if len(terms)+len(must) > manyTerms {
		seen = make(map[string]int, len(terms)+len(must))
	}
	for _, w := range terms {
		if !(w.Weight > 0) || math.IsInf(w.Weight, 1) {
			continue
		}
		t := queryTerm{term: w.Term, hash: hashTerm(w.Term)}
		i, err := s.lookUp(t, seen, sc)
		if err != nil {
			return err
		}
		sc.terms[i].weight += float64(w.Weight * sc.terms[i].idf)
	}
	for _, m := range must {
		i, err := s.lookUp(queryTerm{term: m, hash: hashTerm(m)}, seen, sc)
		if err != nil {
			return err
		}
		sc.terms[i].must = true
	}
	return nil
}

// lookUp gives the place of a term in the query, where it may be already.
func (s *Searcher) lookUp(t queryTerm, seen map[string]int, sc *scratch) (int, error) {
	if i := sc.repeated(&t, seen); i >= 0 {
		return i, nil
	}
	df := 0
	for i := range s.parts {
		p := &s.parts[i]
		e, at, err := p.Segment.find(t.term, t.hash)
		if err != nil {
			return 0, err
		}
		if e.df > 0 {
			df += int(e.df) - p.Dead.documentFrequency(at.number)
		}
		sc.entries = append(sc.entries, found{e, at.blob})
	}
	// Nothing live has a term that is nowhere or in dead passages alone.
	t.idf = s.stats.idf(max(0, df))
	if seen != nil {
		seen[t.term] = len(sc.terms)
	}
	sc.terms = append(sc.terms, t)
	return len(sc.terms) - 1, nil
}

func (sc *scratch) repeated(t *queryTerm, seen map[string]int) int {
	if seen != nil {
		if i, ok := seen[t.term]; ok {
			return i
		}
		return -1
	}
	for i := range sc.terms {
		if sc.terms[i].hash == t.hash && sc.terms[i].term == t.term {
			return i
		}
	}
	return -1
}

// Share is what a term adds to the score of a passage.
type Share struct {
	Term   string
	Weight float64 // that the query gives it
	Counts Counts  // in the passage
	IDF    float64 // of the term
	TF     float64 // f(k1+1)/(f+norm): frequency, fields weighed, against length
	Score  float64 // its part of the passage's score: weight · idf · tf
}

// Explain gives the parts that Search adds up to the score of a passage, in the
// order of the query; terms that it does not have are left out.
func (s *Searcher) Explain(terms []Weighted, passage uint32) ([]Share, error) {
	i := slices.IndexFunc(s.parts, func(p part) bool { return p.Base <= passage && passage < p.end })
	if i < 0 || s.parts[i].Dead.Has(passage-s.parts[i].Base) {
		return nil, nil
	}
	sc := scratches.Get().(*scratch)
	defer scratches.Put(sc)
	if err := s.prepare(terms, nil, sc); err != nil {
		return nil, err
	}
	p := &s.parts[i]
	if !sc.open(s, i) {
		return nil, nil
	}
	norm := s.params.norm(p.Segment.Lengths(passage-p.Base), s.mean)
	var out []Share
	for j := range sc.cursors {
		c := &sc.cursors[j]
		c.advance(passage - p.Base)
		c.pos = c.at
		if n := c.find(passage - p.Base); n >= 0 {
			tf := c.tf(n)
			t, share := &sc.terms[c.place], s.params.share(tf, norm)
			out = append(out, Share{t.term, c.weight / t.idf, tf, t.idf, share, float64(c.weight * share)})
		}
	}
	return out, sc.damage(p)
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}
