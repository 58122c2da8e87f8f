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
	unit float64 // of its impacts now
	end  uint32  // Base + passages
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
		s.parts[i].unit = unit(m.params, m.mean(m.params), p, s.mean, m.longest)
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
		e, _, _ := s.parts[i].Segment.find(term, hash)
		if e.df > 0 {
			n += int(e.df) - s.parts[i].Dead.documentFrequency(term)
		}
	}
	return max(0, n)
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
	if err := s.prepare(q.Terms, sc); err != nil {
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
			sc.search(s, p, Range{0, uint32(p.Segment.Passages())})
		} else {
			for _, r := range q.Within {
				if r.First = max(r.First, p.Base); min(r.End, p.end) > r.First {
					sc.search(s, p, Range{r.First - p.Base, min(r.End, p.end) - p.Base})
				}
			}
		}
		if err := sc.damage(p); err != nil {
			return nil, err
		}
	}
	return sc.top.sorted(), nil
}

// queryTerm is a distinct term of a query that live passages have.
type queryTerm struct {
	term   string
	weight float64 // idf times what the query gives it
}

// prepare looks the terms up in every part and weighs them.
func (s *Searcher) prepare(terms []Weighted, sc *scratch) error {
	sc.terms, sc.entries = sc.terms[:0], sc.entries[:0]
	clear(sc.at)
	for _, w := range terms {
		if at, ok := sc.at[w.Term]; ok {
			if at >= 0 {
				t := &sc.terms[at]
				t.weight += float64(w.Weight * sc.idfs[at])
			}
			continue
		}
		hash, df, from := hashTerm(w.Term), 0, len(sc.entries)
		for i := range s.parts {
			p := &s.parts[i]
			e, blob, err := p.Segment.find(w.Term, hash)
			if err != nil {
				return err
			}
			if e.df > 0 {
				df += int(e.df) - p.Dead.documentFrequency(w.Term)
			}
			sc.entries = append(sc.entries, found{e, blob})
		}
		if df <= 0 || !(w.Weight > 0) || math.IsInf(w.Weight, 1) {
			sc.entries = sc.entries[:from]
			sc.at[w.Term] = -1
			continue
		}
		idf := s.stats.idf(df)
		sc.at[w.Term] = len(sc.terms)
		sc.idfs = append(sc.idfs[:len(sc.terms)], idf)
		sc.terms = append(sc.terms, queryTerm{w.Term, float64(w.Weight * idf)})
	}
	return nil
}

// Share is what a term adds to the score of a passage.
type Share struct {
	Term   string
	Counts Counts  // in the passage
	IDF    float64 // of the term
	Score  float64 // its part of the passage's score
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
	if err := s.prepare(terms, sc); err != nil {
		return nil, err
	}
	sc.open(s, i)
	p := &s.parts[i]
	norm := s.params.norm(p.Segment.Lengths(passage-p.Base), s.mean)
	var out []Share
	for j := range sc.cursors {
		c := &sc.cursors[j]
		c.advance(passage - p.Base)
		c.pos = c.at
		if n := c.find(passage - p.Base); n >= 0 {
			tf := c.tf(n)
			out = append(out, Share{sc.terms[c.place].term, tf, sc.idfs[c.place], float64(c.weight * s.params.share(tf, norm))})
		}
	}
	return out, sc.damage(p)
}

var scratches = sync.Pool{New: func() any { return &scratch{at: make(map[string]int)} }}
