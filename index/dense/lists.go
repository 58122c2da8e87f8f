package dense

import (
	"math"
	"slices"
)

// listQueue hands out the lists by how good their best rows may be: by what the
// code of the centroid makes its score, and margin times its spread. The margin
// was found with these estimates, so their error is in it.
type listQueue struct {
	s           *Segment
	margin      float32
	est, sample []float32 // estimated scores of all centroids; bounds of some
	mask        []uint32
	tiers       []float32 // where the heap was or will be filled from, best first
	heap        []nearList
}

type nearList struct {
	bound float32
	list  int32
}

// Lists come into the heap in tiers, so that most never do: the best sixteenth,
// the best quarter, all. A sample of the lists says where those begin.
const coarseSample = 64

// fill for a query, of which table is made.
func (h *listQueue) fill(s *Segment, t *table, margin float32) {
	h.s, h.margin = s, margin
	h.heap, h.tiers = h.heap[:0], h.tiers[:0]
	if s.lists == 1 {
		h.heap = append(h.heap, nearList{})
		return
	}
	h.estimate(s, t)
	if s.lists >= 8*coarseSample {
		h.sample = h.sample[:0]
		for i := range coarseSample {
			l := i * s.lists / coarseSample
			h.sample = append(h.sample, h.est[l]+float32(margin*s.spreads[l]))
		}
		slices.Sort(h.sample)
		h.tiers = append(h.tiers, float32(math.Inf(1)), h.sample[coarseSample-coarseSample/16], h.sample[coarseSample-coarseSample/4])
	} else {
		h.tiers = append(h.tiers, float32(math.Inf(1)))
	}
	h.tiers = append(h.tiers, float32(math.Inf(-1)))
}

// estimate the scores of all centroids.
func (h *listQueue) estimate(s *Segment, t *table) {
	units := (s.lists + lanes - 1) / lanes
	if len(h.est) < units*lanes {
		h.est, h.mask = make([]float32, units*lanes), make([]uint32, units)
	}
	for i, block := range s.coarseBlocks {
		first := i * s.layout.units
		n := min(s.layout.units, units-first)
		scan(t.entries, block, s.layout.padded, n, t.a, t.b, float32(math.Inf(-1)), h.est[first*lanes:], h.mask[first:])
	}
}

// next list, while its bound is not below bar.
func (h *listQueue) next(bar float32) (l int, ok bool) {
	for len(h.heap) == 0 {
		if len(h.tiers) < 2 || h.tiers[0] <= bar {
			return 0, false
		}
		h.add(h.tiers[1], h.tiers[0])
		h.tiers = h.tiers[1:]
	}
	x := h.heap[0]
	if x.bound < bar {
		return 0, false
	}
	last := len(h.heap) - 1
	h.heap[0] = h.heap[last]
	h.heap = h.heap[:last]
	h.sift(0)
	return int(x.list), true
}

// add the lists whose bounds are from low to below high.
func (h *listQueue) add(low, high float32) {
	est := h.est[:len(h.s.spreads)]
	for l, spread := range h.s.spreads {
		if bound := est[l] + float32(h.margin*spread); bound >= low && bound < high {
			h.heap = append(h.heap, nearList{bound, int32(l)})
		}
	}
	for i := len(h.heap)/2 - 1; i >= 0; i-- {
		h.sift(i)
	}
}

// announce the next list's codes, so that they are on their way while this
// list is scanned.
func (h *listQueue) announce() {
	if len(h.heap) == 0 {
		return
	}
	s := h.s
	d := s.directory[h.heap[0].list]
	if d.rows == 0 {
		return
	}
	block, at := s.unitBlocks[d.first>>s.layout.unitShift], d.first&(s.layout.units-1)*s.layout.unitSize
	prefetch(block[at:min(len(block), at+4096)])
}

func (h *listQueue) sift(i int) {
	if i >= len(h.heap) {
		return
	}
	x := h.heap[i]
	for {
		down := 2*i + 1
		if down >= len(h.heap) {
			break
		}
		if down+1 < len(h.heap) && h.heap[down].before(h.heap[down+1]) {
			down++
		}
		if !x.before(h.heap[down]) {
			break
		}
		h.heap[i] = h.heap[down]
		i = down
	}
	h.heap[i] = x
}

// before says that x is worse than y: the heap has the best on top.
func (x nearList) before(y nearList) bool {
	return x.bound < y.bound || x.bound == y.bound && x.list > y.list
}
