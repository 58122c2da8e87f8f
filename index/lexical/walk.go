package lexical

import (
	"errors"
	"fmt"
)

// ErrDamaged: postings that can't be what Builder wrote.
var ErrDamaged = errors.New("damaged postings")

// Count calls fn with each distinct term of a passage and how often text and
// heading have it, as Builder.Add counts.
func Count(a *Analyzer, heading, text string, fn func(term string, tf [2]uint32)) {
	counts := make(map[string][2]uint32)
	for field, s := range [2]string{text, heading} {
		for _, t := range a.Terms(s) {
			c := counts[t]
			c[field]++
			counts[t] = c
		}
	}
	for t, c := range counts {
		fn(t, c)
	}
}

// Each calls fn with every posting, terms in alphabetical order, until it
// fails. Postings that can't be read to their end are ErrDamaged.
func (x *Index) Each(fn func(term string, passage uint32, tf [2]uint32) error) error {
	prev := ""
	for i := range x.blobs {
		b := &x.blobs[i]
		for j := range b.n {
			term := b.term(j)
			if term <= prev && (i > 0 || j > 0) {
				return fmt.Errorf("%w: blob %d: term %d is out of order", ErrDamaged, i+1, j)
			}
			prev = term
			df, _, data, ok := x.find(term)
			if !ok {
				return fmt.Errorf("%w: blob %d: term %d can't be found", ErrDamaged, i+1, j)
			}
			c := cursor{data: data, limit: uint32(len(x.norm))}
			n := uint32(0)
			for c.next() {
				n++
				if err := fn(term, c.doc, c.tf); err != nil {
					return err
				}
			}
			if c.bad || n != df {
				return fmt.Errorf("%w: blob %d: term %d has %d postings and says %d", ErrDamaged, i+1, j, n, df)
			}
		}
	}
	return nil
}
