package lexical

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
)

// Builder makes a segment of passages, one after the other. It keeps their
// postings in memory, about 4 bytes each. Not safe for concurrent use.
type Builder struct {
	analyzer *Analyzer
	stems    map[string]string
	ids      map[string]uint32 // of terms
	terms    []string
	lists    []list
	lengths  []Counts
	scratch  []string

	// the passage at hand
	counts []Counts // by term
	stamp  []uint32 // by term: passage + 1 that counts is of
	seen   []uint32 // its terms
}

// list is the postings of a term under construction: for each the distance from
// the one before, the count in the text with a flag for each other field, and
// the counts there, as varints.
type list struct {
	data []byte
	last uint32 // passage + 1
}

// NewBuilder of a segment whose text goes through a.
func NewBuilder(a *Analyzer) *Builder {
	return &Builder{analyzer: a, stems: make(map[string]string), ids: make(map[string]uint32)}
}

// maxPassages in a segment.
const maxPassages = math.MaxUint32 / 2

// AddPassage indexes the next passage; the first is 0.
func (b *Builder) AddPassage(p Passage) error {
	if len(b.lengths) >= maxPassages {
		return errors.New("lexical: too many passages for one segment")
	}
	if len(b.stems) > 1<<18 {
		clear(b.stems)
	}
	doc := uint32(len(b.lengths))
	var length Counts
	b.seen = b.seen[:0]
	for f := range fields {
		text := p.field(f)
		if text == "" {
			continue
		}
		b.scratch = b.analyzer.appendTerms(b.scratch[:0], text, b.stems)
		length[f] = uint32(len(b.scratch))
		for _, t := range b.scratch {
			id, ok := b.ids[t]
			if !ok {
				id = uint32(len(b.terms))
				t = strings.Clone(t)
				b.ids[t] = id
				b.terms = append(b.terms, t)
				b.lists = append(b.lists, list{})
				b.counts = append(b.counts, Counts{})
				b.stamp = append(b.stamp, 0)
			}
			if b.stamp[id] != doc+1 {
				b.stamp[id] = doc + 1
				b.counts[id] = Counts{}
				b.seen = append(b.seen, id)
			}
			b.counts[id][f]++
		}
	}
	for _, id := range b.seen {
		b.lists[id].add(doc, b.counts[id])
	}
	b.lengths = append(b.lengths, length)
	return nil
}

func (l *list) add(doc uint32, c Counts) {
	d := binary.AppendUvarint(l.data, uint64(doc+1-l.last))
	flags := uint64(0)
	for f := Heading; f < fields; f++ {
		if c[f] > 0 {
			flags |= 1 << (f - 1)
		}
	}
	d = binary.AppendUvarint(d, uint64(c[Text])<<(fields-1)|flags)
	for f := Heading; f < fields; f++ {
		if c[f] > 0 {
			d = binary.AppendUvarint(d, uint64(c[f]))
		}
	}
	l.data, l.last = d, doc+1
}

// each gives the postings back.
func (l *list) each(fn func(doc uint32, c Counts)) {
	next := uint32(0)
	for d := l.data; len(d) > 0; {
		gap, n := binary.Uvarint(d)
		tf, m := binary.Uvarint(d[n:])
		d = d[n+m:]
		next += uint32(gap)
		c := Counts{Text: uint32(tf >> (fields - 1))}
		for f := Heading; f < fields; f++ {
			if tf>>(f-1)&1 != 0 {
				v, n := binary.Uvarint(d)
				d = d[n:]
				c[f] = uint32(v)
			}
		}
		fn(next-1, c)
	}
}

// Passages added so far.
func (b *Builder) Passages() int { return len(b.lengths) }

// Finish hands each blob to write, in the order in which OpenSegment wants
// them; a blob is not touched again. The builder is spent afterwards.
func (b *Builder) Finish(write func(blob []byte) error) error {
	e, err := newEncoder(len(b.lengths), func(i int) Counts { return b.lengths[i] }, write)
	if err != nil {
		return err
	}
	order := make([]uint32, len(b.terms))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(x, y uint32) int { return strings.Compare(b.terms[x], b.terms[y]) })
	for _, id := range order {
		b.lists[id].each(e.add)
		b.lists[id] = list{}
		if err := e.closeTerm(b.terms[id]); err != nil {
			return err
		}
	}
	return e.finish()
}

// Build is Add for each passage, Finish and OpenSegment: a segment in memory,
// as live updates make it. The blobs are what Finish wrote.
func Build(a *Analyzer, passages []Passage) (s *Segment, blobs [][]byte, err error) {
	b := NewBuilder(a)
	for i := range passages {
		if err := b.AddPassage(passages[i]); err != nil {
			return nil, nil, err
		}
	}
	if err := b.Finish(func(blob []byte) error { blobs = append(blobs, blob); return nil }); err != nil {
		return nil, nil, err
	}
	s, err = OpenSegment(blobs)
	return s, blobs, err
}
