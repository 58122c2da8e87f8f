package lexical

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"sort"
)

func trailing(v uint64) int { return bits.TrailingZeros64(v) }

// window is the number of passages that are scored together. Their sums fit
// the first-level cache.
const window = 1 << 12

// found is a term's entry in one part.
type found struct {
	entry
	blob int
}

// scratch is what a search works with, kept between searches.
type scratch struct {
	terms   []queryTerm
	idfs    []float64      // by term
	at      map[string]int // number of a term; -1: it adds nothing
	entries []found        // by term and part
	top     top

	// of the part at hand
	cursors []cursor // by place in the query
	order   []int    // of cursors, by what they can add in the window
	scale   float64  // of the integers that stand for scores

	sums       [window]uint32      // by passage of the window
	hit        [window / 64]uint64 // passages with a sum
	candidates [window]candidate
}

// candidate is a passage that may reach the first k.
type candidate struct {
	doc uint32 // in the segment
	sum uint32 // what the lists read so far add at most
}

// cursor walks the postings of a term. Damaged postings end the walk and set
// bad; they never lead outside the blob.
type cursor struct {
	entry
	block
	opened int     // the block that is open; -1: none
	at     int     // the block where the window begins
	pos    int     // the block of the last look-up
	weight float64 // what share counts
	step   uint32  // what one step of an impact adds at most, scaled
	bound  uint32  // what it adds to a passage of the window at most
	place  int
	blob   int
	bad    bool
}

// open makes cursors for part i; false where it has none of the terms.
func (sc *scratch) open(s *Searcher, i int) bool {
	sc.cursors = sc.cursors[:0]
	sum := 0.0
	for t := range sc.terms {
		f := &sc.entries[t*len(s.parts)+i]
		if f.df == 0 {
			continue
		}
		sc.cursors = append(sc.cursors, cursor{entry: f.entry, blob: f.blob, opened: -1, weight: sc.terms[t].weight, place: t})
		sum += sc.terms[t].weight
	}
	if len(sc.cursors) == 0 {
		return false
	}
	unit := s.parts[i].unit * slack
	sc.scale = min(1<<31/(sum*unit*steps), 1e300)
	sc.order = sc.order[:0]
	for j := range sc.cursors {
		c := &sc.cursors[j]
		c.step = uint32(math.Ceil(c.weight * unit * sc.scale))
		sc.order = append(sc.order, j)
	}
	return true
}

func (sc *scratch) damage(p *part) error {
	for i := range sc.cursors {
		if c := &sc.cursors[i]; c.bad {
			return p.Segment.damaged(c.blob, sc.terms[c.place].term)
		}
	}
	return nil
}

// advance to the first block that ends at doc or after it.
func (c *cursor) advance(doc uint32) {
	for skip := 0; c.at < c.blocks && c.lastOf(c.at) < doc; skip++ {
		if skip == 8 {
			from := c.at + 1
			c.at = from + sort.Search(c.blocks-from, func(i int) bool { return c.lastOf(from+i) >= doc })
			return
		}
		c.at++
	}
}

// lookAhead finds the blocks of a window and what they can add.
func (c *cursor) lookAhead(lo, hi uint32) {
	c.advance(lo)
	c.pos = c.at
	most := uint32(0)
	for b := c.at; b < c.blocks && c.firstOf(b) < hi; b++ {
		most = max(most, c.impactOf(b))
		if c.lastOf(b) >= hi {
			break
		}
	}
	c.bound = most * c.step
}

func (c *cursor) load(b int) bool {
	if c.opened == b {
		return true
	}
	c.opened = b
	if !c.open(b, &c.block) {
		c.bad, c.blocks, c.opened = true, 0, -1
		return false
	}
	return true
}

// find gives the place of doc in its block, which is then open; -1 where the
// term is not there. Between two calls of lookAhead doc must not descend unless
// pos is set back.
func (c *cursor) find(doc uint32) int {
	for c.pos < c.blocks && c.lastOf(c.pos) < doc {
		c.pos++
	}
	if c.pos >= c.blocks || c.firstOf(c.pos) > doc || !c.load(c.pos) {
		return -1
	}
	return c.block.find(doc)
}

// search offers the live passages of a range to top: MaxScore (Turtle and Flood
// 1995) over windows, with the bounds of the blocks in each (Ding and Suel 2011).
func (sc *scratch) search(s *Searcher, p *part, within Range) {
	for i := range sc.cursors {
		c := &sc.cursors[i]
		if c.at >= c.blocks || c.lastOf(c.at) >= within.First {
			continue
		}
		c.advance(within.First)
	}
	for lo := within.First; lo < within.End; {
		hi := within.End
		if hi-lo > window {
			hi = lo + window
		}
		sc.window(s, p, lo, hi)
		lo = hi
	}
}

// threshold is what a passage's sum must reach.
func (sc *scratch) threshold() uint32 { return uint32(min(sc.top.least()*sc.scale, math.MaxUint32)) }

func (sc *scratch) window(s *Searcher, p *part, lo, hi uint32) {
	need := sc.threshold()
	all := uint32(0)
	for i := range sc.cursors {
		c := &sc.cursors[i]
		c.lookAhead(lo, hi)
		all += c.bound
	}
	if all < need || all == 0 {
		return
	}
	slices.SortFunc(sc.order, func(a, b int) int { return cmp.Compare(sc.cursors[a].bound, sc.cursors[b].bound) })
	// The lists before first cannot lift a passage into the first k alone.
	first, rest := 0, uint32(0)
	for first < len(sc.order) && rest+sc.cursors[sc.order[first]].bound < need {
		rest += sc.cursors[sc.order[first]].bound
		first++
	}
	for first < len(sc.order) && sc.cursors[sc.order[first]].bound == 0 {
		first++ // need is 0: lists that have nothing here
	}
	essential := sc.order[first:]
	var found []candidate
	if len(essential) == 1 {
		found = sc.one(&sc.cursors[essential[0]], lo, hi, need-min(need, rest))
	} else {
		for _, i := range essential {
			sc.cursors[i].accumulate(lo, hi, sc)
		}
		found = sc.collect(lo, need-min(need, rest))
	}
	for i := first - 1; i >= 0; i-- {
		c := &sc.cursors[sc.order[i]]
		if c.bound == 0 {
			break
		}
		kept := found[:0]
		for _, f := range found {
			if f.sum+rest < need {
				continue
			}
			if j := c.find(f.doc); j >= 0 {
				f.sum += uint32(c.impacts[j]) * c.step
			}
			kept = append(kept, f)
		}
		rest -= c.bound
		found = kept
	}
	sc.score(s, p, found)
}

// score offers what may reach the first k.
func (sc *scratch) score(s *Searcher, p *part, found []candidate) {
	for i := range sc.cursors {
		sc.cursors[i].pos = sc.cursors[i].at
	}
	need := sc.threshold()
	for _, f := range found {
		if f.sum < need || p.Dead.Has(f.doc) {
			continue
		}
		norm := s.params.norm(p.Segment.Lengths(f.doc), s.mean)
		score := 0.0
		for i := range sc.cursors {
			c := &sc.cursors[i]
			if j := c.find(f.doc); j >= 0 {
				score += float64(c.weight * s.params.share(c.tf(j), norm))
			}
		}
		if sc.top.push(Scored{p.Base + f.doc, score}) {
			need = sc.threshold()
		}
	}
}

// one collects the passages of a single list by their impacts.
func (sc *scratch) one(c *cursor, lo, hi, need uint32) []candidate {
	n := 0
	least := uint32(1) // impact
	if need > 0 {
		least = (need-1)/c.step + 1
	}
	for b := c.at; b < c.blocks && c.firstOf(b) < hi; b++ {
		if c.impactOf(b) < least {
			continue
		}
		if !c.load(b) {
			return nil
		}
		whole := c.each(func(i int, doc uint32) bool {
			if m := uint32(c.impacts[i]); m >= least && doc >= lo && doc < hi && n < window {
				sc.candidates[n] = candidate{doc, m * c.step}
				n++
			}
			return doc < hi
		})
		if !whole {
			c.bad = true
		}
	}
	return sc.candidates[:n]
}

// collect takes the passages whose sums reach need, and clears all sums.
func (sc *scratch) collect(lo, need uint32) []candidate {
	n := 0
	for w, v := range sc.hit {
		if v == 0 {
			continue
		}
		sc.hit[w] = 0
		for ; v != 0; v &= v - 1 {
			o := uint32(w*64 + trailing(v))
			sum := sc.sums[o]
			sc.sums[o] = 0
			sc.candidates[n&(window-1)] = candidate{lo + o, sum}
			n += int(uint64(int64(need)-int64(sum)-1) >> 63) // sum ≥ need
		}
	}
	return sc.candidates[:n]
}

// accumulate adds the bounds of a list's postings to the sums of a window.
func (c *cursor) accumulate(lo, hi uint32, sc *scratch) {
	for b := c.at; b < c.blocks && c.firstOf(b) < hi; b++ {
		if !c.load(b) {
			return
		}
		k := &c.block
		from, to := uint32(0), k.span+1 // of the block, from its first passage
		if k.first < lo {
			from = lo - k.first
		}
		if k.first+k.span >= hi {
			to = hi - k.first
		}
		shift := k.first - lo // modulo 2³², as sums are
		switch k.kind {
		case layoutBitmap:
			if !k.addBitmap(from, to, shift, c.step, sc) {
				c.bad = true
			}
		case layoutShort:
			i, j := 0, k.n
			if from > 0 {
				i = sort.Search(k.n, func(i int) bool { return uint32(binary.LittleEndian.Uint16(k.docs[2*i:])) >= from })
			}
			if to <= k.span {
				j = i + sort.Search(k.n-i, func(n int) bool { return uint32(binary.LittleEndian.Uint16(k.docs[2*(i+n):])) >= to })
			}
			docs := k.docs[2*i : 2*j]
			for n, m := range k.impacts[i:j] {
				sc.add(shift+uint32(binary.LittleEndian.Uint16(docs[2*n:])), uint32(m)*c.step)
			}
		default:
			for i := range k.n {
				d := binary.LittleEndian.Uint32(k.docs[4*i:])
				if d >= from && d < to {
					sc.add(shift+d, uint32(k.impacts[i])*c.step)
				}
			}
		}
	}
}

func (sc *scratch) add(o, v uint32) {
	o &= window - 1
	sc.sums[o] += v
	sc.hit[o>>6] |= 1 << (o & 63)
}

// addBitmap adds the postings of a bitmap between two of its bits.
func (k *block) addBitmap(from, to, shift, step uint32, sc *scratch) bool {
	i := 0
	if from > 0 {
		i, _ = onesBefore(k.docs, from)
	}
	for w := from >> 6; w <= (to-1)>>6; w++ {
		v := binary.LittleEndian.Uint64(k.docs[8*w:])
		if w == from>>6 {
			v &= ^uint64(0) << (from & 63)
		}
		if w == (to-1)>>6 {
			v &= ^uint64(0) >> (63 - (to-1)&63)
		}
		n := bits.OnesCount64(v)
		if i+n > len(k.impacts) {
			return false
		}
		impacts := k.impacts[i : i+n]
		i += n
		base := shift + 64*w
		sc.hit[base>>6&(window/64-1)] |= v << (base & 63)
		if base&63 != 0 {
			if h := v >> (64 - base&63); h != 0 {
				sc.hit[(base>>6+1)&(window/64-1)] |= h
			}
		}
		for _, m := range impacts {
			sc.sums[(base+uint32(trailing(v)))&(window-1)] += uint32(m) * step
			v &= v - 1
		}
	}
	return true
}
