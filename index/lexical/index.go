package lexical

// Index is one segment with nothing withdrawn.
//
// It is what a generation is searched through until that keeps several
// segments; new code uses Segment and Searcher.
type Index struct {
	*Searcher
	segment *Segment
}

// Load opens the segment of blobs, as OpenSegment does.
func Load(blobs [][]byte, p Params) (*Index, error) {
	s, err := OpenSegment(blobs)
	if err != nil {
		return nil, err
	}
	r, err := NewSearcher(p, Part{Segment: s})
	if err != nil {
		return nil, err
	}
	return &Index{r, s}, nil
}

// Terms in the dictionary.
func (x *Index) Terms() int { return x.segment.Terms() }

// Bytes of the blobs.
func (x *Index) Bytes() int64 { return x.segment.Bytes() }

// Search for terms, everywhere.
func (x *Index) Search(terms []string, k int) []Scored {
	ts := make([]Weighted, len(terms))
	for i, t := range terms {
		ts[i] = Weighted{t, 1}
	}
	return x.SearchWeighted(ts, k)
}

// SearchWeighted is Search with a weight for each term.
func (x *Index) SearchWeighted(terms []Weighted, k int) []Scored {
	out, _ := x.Searcher.Search(Query{Terms: terms, K: k})
	return out
}

// SearchWithin is SearchWeighted among the passages of some ranges.
func (x *Index) SearchWithin(terms []Weighted, ranges []Range, k int) []Scored {
	if len(ranges) == 0 {
		return nil
	}
	out, _ := x.Searcher.Search(Query{Terms: terms, K: k, Within: ranges})
	return out
}

// Each is Segment.Each with the heading's and the title's counts together.
func (x *Index) Each(fn func(term string, passage uint32, tf [2]uint32) error) error {
	return x.segment.Each(func(term string, passage uint32, tf Counts) error {
		return fn(term, passage, [2]uint32{tf[Text], tf[Heading] + tf[Title]})
	})
}

// Count calls fn with each distinct term of a passage and how often text and
// heading have it, as Builder.Add counts.
func Count(a *Analyzer, heading, text string, fn func(term string, tf [2]uint32)) {
	a.Count(Passage{Heading: heading, Text: text}, func(term string, c Counts) {
		fn(term, [2]uint32{c[Text], c[Heading]})
	})
}

// Add indexes the next passage, with the titles of document and section in one.
func (b *Builder) Add(heading, text string) error {
	return b.AddPassage(Passage{Heading: heading, Text: text})
}
