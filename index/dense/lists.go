package dense

// listQueue hands out the lists by how good their best rows may be.
type listQueue struct {
	heap []nearList
	out  []int32
}

type nearList struct {
	bound, centre float32
	list          int32
}

// fill with all lists: the score of the centroid, and the bound that margin
// times its spread above it makes.
func (h *listQueue) fill(s *Segment, query []int16, scale, margin float32) {
	h.heap = h.heap[:0]
	if cap(h.out) < s.layout.lists {
		h.out = make([]int32, s.layout.lists)
	}
	for b, rows := range s.centroids {
		first := b * s.layout.lists
		n := min(s.layout.lists, s.lists-first)
		dotInt8(query, rows, n, h.out[:n])
		for i, p := range h.out[:n] {
			d := &s.directory[first+i]
			if d.rows == 0 {
				continue
			}
			centre := float32(p) * (scale * d.scale)
			h.heap = append(h.heap, nearList{centre + float32(margin*d.spread), centre, int32(first + i)})
		}
	}
	for i := len(h.heap)/2 - 1; i >= 0; i-- {
		h.sift(i)
	}
}

func (h *listQueue) next() (l int, centre, bound float32, ok bool) {
	if len(h.heap) == 0 {
		return 0, 0, 0, false
	}
	x := h.heap[0]
	last := len(h.heap) - 1
	h.heap[0] = h.heap[last]
	h.heap = h.heap[:last]
	h.sift(0)
	return int(x.list), x.centre, x.bound, true
}

// announce the next list's codes, so that they are on their way while this
// list is scanned.
func (h *listQueue) announce(s *Segment) {
	if len(h.heap) == 0 {
		return
	}
	d := s.directory[h.heap[0].list]
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
