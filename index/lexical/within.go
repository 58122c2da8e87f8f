package lexical

import "sort"

// nearby is how far apart two ranges may lie that share a window: passing over
// what lies between them costs less than to begin another.
const nearby = 256

// seedShare: a search of no less than one passage in so many begins with seeds.
const seedShare = 4

// mask of the passages of a window that may be found.
type mask [window / 64]uint64

func (m *mask) set(from, to uint32) {
	for w := from >> 6; w <= (to-1)>>6; w++ {
		v := ^uint64(0)
		if w == from>>6 {
			v &= ^uint64(0) << (from & 63)
		}
		if w == (to-1)>>6 {
			v &= ^uint64(0) >> (63 - (to-1)&63)
		}
		m[w] |= v
	}
}

// from gives the ranges that end after a passage.
func from(ranges []Range, passage uint32) []Range {
	return ranges[sort.Search(len(ranges), func(i int) bool { return ranges[i].End > passage }):]
}

// searchWithin collects the live passages of the ranges that may be among the
// first k. Ranges near each other share a window, of which a mask drops the rest
// before it counts: so a section of every label is searched about as fast as
// everything.
func (sc *scratch) searchWithin(s *Searcher, p *part, ranges []Range) {
	ranges = from(ranges, p.Base)
	if !sc.must && sc.broad(p, ranges) {
		sc.seed(p, ranges)
	}
	// clip a range to the part.
	clip := func(r Range) (Range, bool) {
		r.First, r.End = max(r.First, p.Base), min(r.End, p.end)
		return Range{r.First - p.Base, r.End - p.Base}, r.First < r.End
	}
	for i := 0; i < len(ranges) && ranges[i].First < p.end; {
		r, ok := clip(ranges[i])
		i++
		if !ok {
			continue
		}
		if r.End-r.First > window {
			sc.search(s, p, r)
			continue
		}
		span := r
		for ; i < len(ranges) && ranges[i].First < p.end; i++ {
			n, ok := clip(ranges[i])
			if !ok {
				continue
			}
			if n.First-span.End > nearby || n.End-span.First > window {
				break
			}
			if !sc.masked && n.First > span.End { // from the first gap on
				sc.masked, sc.mask = true, mask{}
				sc.mask.set(0, span.End-span.First)
			}
			if sc.masked {
				sc.mask.set(n.First-span.First, n.End-span.First)
			}
			span.End = n.End
		}
		sc.window(s, p, span.First, span.End)
		sc.masked = false
	}
}

// broad says whether the ranges have a good part of the passages of p.
func (sc *scratch) broad(p *part, ranges []Range) bool {
	n := uint64(0)
	for _, r := range ranges {
		if r.First >= p.end {
			break
		}
		if first, end := max(r.First, p.Base), min(r.End, p.end); first < end {
			n += uint64(end - first)
		}
	}
	return n*seedShare >= uint64(p.end-p.Base)
}

// allowed keeps the candidates that may be found.
func (sc *scratch) allowed(found []candidate, lo uint32) []candidate {
	n := 0
	for _, f := range found {
		o := f.doc - lo
		found[n] = f
		n += int(sc.mask[o>>6&(window/64-1)] >> (o & 63) & 1)
	}
	return found[:n]
}

// in says whether a passage is in one of the ranges; nil are all.
func in(ranges []Range, passage uint32) bool {
	if ranges == nil {
		return true
	}
	r := from(ranges, passage)
	return len(r) > 0 && r[0].First <= passage
}
