package lexical

import (
	"cmp"
	"slices"
)

// Most of a search's work is done before it knows what a passage must score to
// matter. So it begins with a guess that is safe: the passages with most of the
// query's rare terms, of which k reach at least some score.

const (
	seedPostings = 512 // of a rare term that are read, the blocks of greatest impact
	seedLists    = 2
	seedFactor   = 2 // times k passages are looked at
)

// seedFrom passages on a part is worth seeding; tests lower it.
var seedFrom = 2 * window

// seed raises what a passage of the part must reach that lies in the ranges.
func (sc *scratch) seed(p *part, ranges []Range) {
	k := sc.top.k
	if len(sc.cursors) < 2 || p.Segment.Passages() < seedFrom || len(sc.least.h) > 0 {
		return
	}
	rare := sc.rarest[:0]
	for i := range sc.cursors {
		if sc.cursors[i].step > 0 {
			rare = append(rare, int32(i))
		}
	}
	sc.rarest = rare
	slices.SortFunc(rare, func(a, b int32) int { return cmp.Compare(sc.cursors[a].df, sc.cursors[b].df) })
	sc.seeds = sc.seeds[:0]
	used := 0
	for _, i := range rare {
		if used == seedLists || len(sc.seeds) >= seedPostings {
			break
		}
		used++
		sc.mergeSeeds(&sc.cursors[i])
	}
	if len(sc.seeds) < k {
		return
	}
	// The most promising, in the order of their numbers.
	if n := seedFactor * k; len(sc.seeds) > n {
		best := sc.nth(sc.seeds, n)
		kept := sc.seeds[:0]
		for _, s := range sc.seeds {
			if s.sum >= best {
				kept = append(kept, s)
			}
		}
		sc.seeds = kept[:min(len(kept), 2*n)]
	}
	for _, i := range rare[used:] {
		c := &sc.cursors[i]
		c.pos = 0
		for j := range sc.seeds {
			s := &sc.seeds[j]
			if n := c.find(s.doc); n >= 0 {
				s.sum += uint32(c.impacts[n]) * c.step
			}
		}
		c.pos = 0
	}
	found := sc.seeds[:0]
	for _, s := range sc.seeds {
		if !p.Dead.Has(s.doc) && in(ranges, p.Base+s.doc) {
			found = append(found, candidate{s.doc, sc.atLeast(s.sum)})
		}
	}
	if len(found) >= k {
		sc.least.raise(sc.nth(found, k))
	}
}

// nth gives the n-th largest sum.
func (sc *scratch) nth(of []candidate, n int) uint32 {
	v := sc.values[:0]
	for _, c := range of {
		v = append(v, c.sum)
	}
	sc.values = v
	return nth(v, n)
}

// nth gives the n-th largest value (Hoare's selection); v is left in another
// order.
func nth(v []uint32, n int) uint32 {
	n--
	for lo, hi := 0, len(v)-1; lo < hi; {
		a, b, c := v[lo], v[int(uint(lo+hi)/2)], v[hi]
		pivot := max(min(a, b), min(max(a, b), c))
		i, j := lo, hi
		for i <= j {
			for v[i] > pivot {
				i++
			}
			for v[j] < pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			hi = j
		case n >= i:
			lo = i
		default:
			return v[n]
		}
	}
	return v[n]
}

// mergeSeeds adds the blocks of greatest impact of a list to the seeds.
func (sc *scratch) mergeSeeds(c *cursor) {
	least := uint32(0)
	if blocks := seedPostings / blockSize; c.blocks > blocks {
		v := sc.values[:0]
		for b := range c.blocks {
			v = append(v, c.impactOf(b))
		}
		sc.values = v
		least = nth(v, blocks)
	}
	add := sc.adding[:0]
	for b := range c.blocks {
		if c.impactOf(b) < least || len(add) >= 2*seedPostings {
			continue
		}
		if !c.load(b) {
			return
		}
		var whole bool
		if add, whole = c.block.appendTo(add, c.step); !whole {
			c.bad = true
		}
	}
	sc.adding = add
	if len(sc.seeds) == 0 {
		sc.seeds = append(sc.seeds, add...)
		return
	}
	out := sc.merged[:0]
	for a, b := sc.seeds, add; ; {
		switch {
		case len(a) == 0:
			sc.merged, sc.seeds = sc.seeds, append(out, b...)
			return
		case len(b) == 0:
			sc.merged, sc.seeds = sc.seeds, append(out, a...)
			return
		case a[0].doc < b[0].doc:
			out, a = append(out, a[0]), a[1:]
		case a[0].doc > b[0].doc:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, candidate{a[0].doc, a[0].sum + b[0].sum})
			a, b = a[1:], b[1:]
		}
	}
}
