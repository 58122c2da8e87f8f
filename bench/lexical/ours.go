package main

import (
	"fmt"
	"strings"
	"time"

	"rxedge/index/lexical"
)

// shares of the documents by segment: one that was built, and updates of
// falling size beside it.
var shares = []float64{.7, .2, .07, .025, .005}

// ours is index/lexical as one of the contenders, in this process and in one
// thread.
type ours struct {
	label    string
	set      *set
	searcher *lexical.Searcher
	bytes    int64
	built    time.Duration
}

// indexed puts the documents into segments by the shares given and withdraws
// those that are to be.
func indexed(s *set, label string, shares []float64) (*ours, error) {
	start := time.Now()
	a := lexical.NewAnalyzer(nil)
	o := &ours{label: label, set: s}
	var parts []lexical.Part
	first, share := 0, 0.0
	for i := range shares {
		share += shares[i]
		end := int(share*float64(len(s.docs)) + .5)
		if i == len(shares)-1 {
			end = len(s.docs)
		}
		b := lexical.NewBuilder(a)
		var dead []lexical.Withdrawn
		for n := first; n < end; n++ {
			d := &s.docs[n]
			p := lexical.Passage{Title: d.title, Heading: d.heading, Text: d.text}
			if s.dead[n] {
				dead = append(dead, lexical.Withdrawn{Number: uint32(n - first), Passage: p})
			}
			if err := b.AddPassage(p); err != nil {
				return nil, err
			}
		}
		var blobs [][]byte
		if err := b.Finish(func(blob []byte) error { blobs = append(blobs, blob); return nil }); err != nil {
			return nil, err
		}
		segment, err := lexical.OpenSegment(blobs)
		if err != nil {
			return nil, err
		}
		gone, err := (*lexical.Dead)(nil).With(segment, a, dead)
		if err != nil {
			return nil, err
		}
		parts = append(parts, lexical.Part{Segment: segment, Base: uint32(first), Dead: gone})
		o.bytes += segment.Bytes()
		first = end
	}
	var err error
	o.searcher, err = lexical.NewSearcher(lexical.DefaultParams, parts...)
	o.built = time.Since(start)
	return o, err
}

func (o *ours) name() string { return o.label }

func (o *ours) about() string {
	return fmt.Sprintf("%d segments, %d of %d passages live, built in %.1f s, %.1f MB", len(o.searcher.Parts()),
		o.searcher.Passages(), len(o.set.docs), o.built.Seconds(), float64(o.bytes)/1e6)
}

func (o *ours) round() (ms []float64, ids [][]int32, err error) {
	for _, q := range o.set.queries {
		t := time.Now()
		words := strings.Fields(q)
		terms := make([]lexical.Weighted, len(words))
		for i, w := range words {
			terms[i] = lexical.Weighted{Term: w, Weight: 1}
		}
		found, err := o.searcher.Search(lexical.Query{Terms: terms, K: depth})
		ms = append(ms, time.Since(t).Seconds()*1e3)
		if err != nil {
			return nil, nil, err
		}
		row := make([]int32, len(found))
		for i, f := range found {
			row[i] = int32(f.Passage)
		}
		ids = append(ids, row)
	}
	return ms, ids, nil
}

func (o *ours) close() error { return nil }
