package lexical

import (
	"bytes"
	"fmt"

	"rxedge/index/pace"
)

// Part is a segment in a collection.
type Part struct {
	Segment *Segment
	Base    uint32 // the number of its first passage in the collection
	Dead    *Dead  // nil: none
}

// Merge writes one segment of the live passages of several, in order, as
// Builder.Finish writes it: the blobs are those of a builder that was given
// these passages alone. Nothing is analysed again. Bases do not matter.
func Merge(parts []Part, write func(blob []byte) error) error {
	var (
		numbers [][]uint32 // by part and passage: its number in the result, or gone
		lengths []Counts
	)
	const gone = 1<<32 - 1
	for _, p := range parts {
		n := make([]uint32, p.Segment.Passages())
		for i := range n {
			if p.Dead.Has(uint32(i)) {
				n[i] = gone
				continue
			}
			n[i] = uint32(len(lengths))
			lengths = append(lengths, p.Segment.Lengths(uint32(i)))
		}
		numbers = append(numbers, n)
	}
	if len(lengths) > maxPassages {
		return fmt.Errorf("lexical: %d passages are too many for one segment", len(lengths))
	}
	e, err := newEncoder(len(lengths), func(i int) Counts { return lengths[i] }, write)
	if err != nil {
		return err
	}
	terms, work := 0, pace.Begin()
	walks := make([]termWalk, len(parts))
	for i, p := range parts {
		walks[i] = termWalk{s: p.Segment}
	}
	for {
		var least []byte
		for i := range walks {
			if t := walks[i].term(); t != nil && (least == nil || bytes.Compare(t, least) < 0) {
				least = t
			}
		}
		if least == nil {
			return e.finish()
		}
		name := string(least)
		for i := range walks {
			w := &walks[i]
			if t := w.term(); t == nil || string(t) != name {
				continue
			}
			if err := w.postings(numbers[i], gone, e); err != nil {
				return err
			}
			w.next()
			if t := w.term(); t != nil && string(t) <= name {
				return fmt.Errorf("%w: lexical blob %d: term %d is out of order", ErrDamaged, w.s.summary.lengths+w.blob, w.at)
			}
		}
		if err := e.closeTerm(name); err != nil {
			return err
		}
		if terms++; terms%16 == 0 {
			work.Pause()
		}
	}
}

// termWalk goes through the terms of a segment.
type termWalk struct {
	s    *Segment
	blob int
	at   uint32
}

// term at hand; nil at the end.
func (w *termWalk) term() []byte {
	if w.blob == len(w.s.blobs) {
		return nil
	}
	if t, _ := w.s.blobs[w.blob].entry(w.at); t != nil {
		return t
	}
	return []byte{} // damaged bounds: out of order, which the caller reports
}

func (w *termWalk) next() {
	if w.at++; w.at == w.s.blobs[w.blob].n {
		w.blob, w.at = w.blob+1, 0
	}
}

// postings of the term at hand go to the encoder under their new numbers.
func (w *termWalk) postings(numbers []uint32, gone uint32, to *encoder) error {
	b := &w.s.blobs[w.blob]
	term, raw := b.entry(w.at)
	damaged := func() error { return w.s.damaged(w.blob, string(term)) }
	e, ok := openEntry(raw)
	if !ok {
		return damaged()
	}
	next := int64(0)
	for n := range e.blocks {
		var k block
		if !e.open(n, &k) {
			return damaged()
		}
		whole := k.each(func(i int, doc uint32) bool {
			if int64(doc) < next || int64(doc) >= int64(len(numbers)) {
				ok = false
				return false
			}
			next = int64(doc) + 1
			if numbers[doc] != gone {
				to.add(numbers[doc], k.tf(i))
			}
			return true
		})
		if !whole || !ok {
			return damaged()
		}
	}
	return nil
}
