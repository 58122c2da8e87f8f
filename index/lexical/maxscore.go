package lexical

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"sort"
)

func trailing(v uint64) int { return bits.TrailingZeros64(v) }

// window is the number of passages that are looked at together. Their sums fit
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
	entries []found // by term and part
	top     top

	// of the part at hand
	cursors []cursor // by place in the query
	order   []int32  // of cursors, by what they can add in the window
	scale   float64  // of the integers that stand for scores
	high    uint32   // the most that a sum exceeds the score it stands for: by this,
	low     uint64   // and after that by a factor, of 2³²
	least   floor
	waiting []candidate // that may be among the first k
	norms   []float64   // of those that are scored
	scores  []float64
	must    bool // some cursors are of terms that must be there
	masked  bool // of the window only what mask has may be found
	mask    mask

	rarest                []int32 // cursors, while seeding
	seeds, adding, merged []candidate
	values                []uint32 // of which the n-th largest is wanted
	packed                []uint64 // candidates to be sorted

	sums       [window]uint32 // by passage of the window; 0 between windows
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
	must   bool // a passage without it does not count
	bad    bool
}

// open makes cursors for part i; false where it has none of the terms, or lacks
// one that must be there.
func (sc *scratch) open(s *Searcher, i int) bool {
	n, sum := 0, 0.0
	sc.must = false
	for t := range sc.terms {
		f := &sc.entries[t*len(s.parts)+i]
		if f.df == 0 {
			if sc.terms[t].must {
				return false
			}
			continue
		}
		if n == len(sc.cursors) {
			sc.cursors = append(sc.cursors[:n], cursor{})
		}
		c := &sc.cursors[n]
		c.entry, c.blob, c.opened, c.at, c.pos, c.bad = f.entry, f.blob, -1, 0, 0, false
		c.weight, c.place, c.must = sc.terms[t].weight, t, sc.terms[t].must
		sc.must = sc.must || c.must
		sum += c.weight
		n++
	}
	sc.cursors = sc.cursors[:n]
	if n == 0 {
		return false
	}
	p := &s.parts[i]
	sc.scale = min(1<<31/(sum*p.high*steps), 1e300)
	sc.order, sc.waiting = sc.order[:0], sc.waiting[:0]
	sc.high = 0
	for j := range sc.cursors {
		c := &sc.cursors[j]
		c.step = uint32(math.Ceil(c.weight * p.high * sc.scale * slack))
		sc.high += c.step + steps
		sc.order = append(sc.order, int32(j))
	}
	sc.low = uint64(p.low / p.high / slack / slack * (1 << 32))
	sc.least.reset(sc.top.k)
	for _, h := range sc.top.h {
		sc.least.push(uint32(min(h.Score*sc.scale, math.MaxUint32)))
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

// search collects the live passages of a range that may be among the first k:
// MaxScore (Turtle and Flood 1995) over windows, with the bounds of the blocks
// in each (Ding and Suel 2011).
func (sc *scratch) search(s *Searcher, p *part, within Range) {
	for lo := within.First; lo < within.End; {
		hi := within.End
		if hi-lo > window {
			hi = lo + window
		}
		sc.window(s, p, lo, hi)
		lo = hi
	}
}

func (sc *scratch) window(s *Searcher, p *part, lo, hi uint32) {
	need := sc.least.value()
	all := uint32(0)
	for i := range sc.cursors {
		c := &sc.cursors[i]
		c.lookAhead(lo, hi)
		all += c.bound
		if c.must && (c.at >= c.blocks || c.firstOf(c.at) >= hi) {
			return
		}
	}
	if all < need || all == 0 {
		return
	}
	sc.sort()
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
		found = sc.candidates[:drain(&sc.sums, lo, max(1, need-min(need, rest)), &sc.candidates)]
	}
	if sc.masked {
		found = sc.allowed(found, lo)
	}
	for i := first - 1; i >= 0 && len(found) > 0; i-- {
		c := &sc.cursors[sc.order[i]]
		if c.bound == 0 {
			break
		}
		rest -= c.bound
		found = c.refine(found, need-min(need, rest))
	}
	if sc.must {
		found = sc.having(found)
	}
	for _, f := range found {
		if f.sum >= need && !p.Dead.Has(f.doc) {
			sc.waiting = append(sc.waiting, f)
			if sc.least.push(sc.atLeast(f.sum)) {
				need = sc.least.value()
			}
		}
	}
	if len(sc.waiting) > mostWaiting {
		sc.settle(s, p)
	}
}

// atLeast is what the score of a sum reaches, as a sum.
func (sc *scratch) atLeast(sum uint32) uint32 {
	return uint32(uint64(sum-min(sum, sc.high)) * sc.low >> 32)
}

// having keeps the passages that have every term that must be there.
func (sc *scratch) having(found []candidate) []candidate {
	for i := range sc.cursors {
		c := &sc.cursors[i]
		if !c.must {
			continue
		}
		c.pos = c.at
		kept := found[:0]
		for _, f := range found {
			if c.find(f.doc) >= 0 {
				kept = append(kept, f)
			}
		}
		found = kept
	}
	return found
}

// sort the order by bound. It changes little from window to window.
func (sc *scratch) sort() {
	o := sc.order
	if len(o) > manyTerms {
		slices.SortFunc(o, func(a, b int32) int { return int(sc.cursors[a].bound>>1) - int(sc.cursors[b].bound>>1) })
		return
	}
	for i := 1; i < len(o); i++ {
		x := o[i]
		b := sc.cursors[x].bound
		j := i
		for ; j > 0 && sc.cursors[o[j-1]].bound > b; j-- {
			o[j] = o[j-1]
		}
		o[j] = x
	}
}

// mostWaiting passages are kept before they are scored.
const mostWaiting = 1024

// order64 sorts candidates as numbers, which is twice as quick as by comparing.
func (sc *scratch) order64(of []candidate, pack func(candidate) uint64, unpack func(uint64) candidate) {
	v := sc.packed[:0]
	for _, c := range of {
		v = append(v, pack(c))
	}
	slices.Sort(v)
	for i, x := range v {
		of[i] = unpack(x)
	}
	sc.packed = v
}

// scoredAtOnce passages are scored, after the first k, before what is left is
// looked at again.
const scoredAtOnce = 32

// settle scores what is waiting, the most promising first, and offers it to top.
func (sc *scratch) settle(s *Searcher, p *part) {
	need := sc.least.value()
	w := sc.waiting[:0]
	for _, f := range sc.waiting {
		if f.sum >= need {
			w = append(w, f)
		}
	}
	sc.order64(w, func(c candidate) uint64 { return uint64(^c.sum)<<32 | uint64(c.doc) }, func(v uint64) candidate { return candidate{uint32(v), ^uint32(v >> 32)} })
	n := max(sc.top.k, scoredAtOnce)
	for rest := w; len(rest) > 0 && float64(rest[0].sum) >= sc.top.least()*sc.scale-2; n = scoredAtOnce {
		n = min(n, len(rest))
		sc.score(s, p, rest[:n])
		rest = rest[n:]
	}
	sc.waiting = w[:0]
	if len(sc.top.h) == sc.top.k {
		sc.least.raise(uint32(min(sc.top.least()*sc.scale, math.MaxUint32)))
	}
}

// score passages and offer them to top: list after list, in the order of the
// passages, so that what memory is slow to give is on its way meanwhile.
func (sc *scratch) score(s *Searcher, p *part, of []candidate) {
	sc.order64(of, func(c candidate) uint64 { return uint64(c.doc)<<32 | uint64(c.sum) }, func(v uint64) candidate { return candidate{uint32(v >> 32), uint32(v)} })
	sc.norms = slices.Grow(sc.norms[:0], len(of))[:len(of)]
	sc.scores = slices.Grow(sc.scores[:0], len(of))[:len(of)]
	for i, f := range of {
		sc.norms[i], sc.scores[i] = s.params.norm(p.Segment.Lengths(f.doc), s.mean), 0
	}
	for i := range sc.cursors {
		c := &sc.cursors[i]
		c.pos = 0
		for n, f := range of {
			if j := c.find(f.doc); j >= 0 {
				sc.scores[n] += float64(c.weight * s.params.share(c.tf(j), sc.norms[n]))
			}
		}
		c.pos = 0
	}
	for i, f := range of {
		sc.top.push(Scored{p.Base + f.doc, sc.scores[i]})
	}
}

// floor is what a passage's sum must reach: the k-th largest of the values that
// passages seen so far are known to reach.
type floor struct {
	k int
	h []uint32 // a heap, the least first
	v uint32
}

func (f *floor) reset(k int) { f.k, f.h, f.v = k, f.h[:0], 0 }

func (f *floor) value() uint32 { return f.v }

func (f *floor) raise(v uint32) { f.v = max(f.v, v) }

// push says whether the floor rose.
func (f *floor) push(v uint32) bool {
	h := f.h
	if len(h) < f.k {
		h = append(h, v)
		i := len(h) - 1
		for i > 0 && h[(i-1)/2] > h[i] {
			h[(i-1)/2], h[i] = h[i], h[(i-1)/2]
			i = (i - 1) / 2
		}
		f.h = h
	} else {
		if v <= h[0] {
			return false
		}
		i := 0
		for {
			c := 2*i + 1
			if c >= len(h) {
				break
			}
			if c+1 < len(h) && h[c+1] < h[c] {
				c++
			}
			if v <= h[c] {
				break
			}
			h[i] = h[c]
			i = c
		}
		h[i] = v
	}
	if len(h) < f.k || h[0] <= f.v {
		return false
	}
	f.v = h[0]
	return true
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
		k := &c.block
		take := func(i int, doc uint32) {
			if m := uint32(k.impacts[i]); m >= least && doc >= lo && doc < hi && n < window {
				sc.candidates[n] = candidate{doc, m * c.step}
				n++
			}
		}
		if k.n == blockSize && k.kind != layoutLong {
			if !k.eachStrong(uint8(least), take) {
				c.bad = true
			}
			continue
		}
		whole := k.each(func(i int, doc uint32) bool {
			take(i, doc)
			return doc < hi
		})
		if !whole {
			c.bad = true
		}
	}
	return sc.candidates[:n]
}

// eachStrong calls fn with the postings of a full block, short or a bitmap, whose
// impact is at least that. False where the block holds fewer than it should.
func (k *block) eachStrong(least uint8, fn func(i int, doc uint32)) bool {
	s := strong((*[blockSize]byte)(k.impacts), least)
	if k.kind == layoutShort {
		for w, v := range s {
			for ; v != 0; v &= v - 1 {
				i := w*64 + trailing(v)
				fn(i, k.first+uint32(binary.LittleEndian.Uint16(k.docs[2*i:])))
			}
		}
		return true
	}
	i := uint(0) // of the first posting of the word
	for w := 0; w < len(k.docs); w += 8 {
		v := binary.LittleEndian.Uint64(k.docs[w:])
		n := uint(bits.OnesCount64(v))
		if i+n > blockSize {
			return false
		}
		// Of the postings of the word, those that are strong.
		those := s[0]>>i | s[1]<<(64-i)
		if i >= 64 {
			those = s[1] >> (i - 64)
		}
		if n < 64 {
			those &= 1<<n - 1
		}
		for j := 0; those != 0; j++ {
			if those&1 != 0 {
				fn(int(i)+j, k.first+uint32(8*w+trailing(v)))
			}
			v &= v - 1
			those >>= 1
		}
		i += n
	}
	return i == blockSize
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
	sc.sums[o&(window-1)] += v
}

// addBitmap adds the postings of a bitmap between two of its bits.
func (k *block) addBitmap(from, to, shift, step uint32, sc *scratch) bool {
	i := 0
	if from > 0 {
		i = k.onesBefore(int(from>>6)) + bits.OnesCount64(binary.LittleEndian.Uint64(k.docs[8*(from>>6):])&(1<<(from&63)-1))
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
		for _, m := range impacts {
			sc.sums[(base+uint32(trailing(v)))&(window-1)] += uint32(m) * step
			v &= v - 1
		}
	}
	return true
}
