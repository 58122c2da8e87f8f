package lexical

import (
	"container/heap"
	"encoding/binary"
	"math"
	"slices"
)

// cursor walks the postings of a term. Damaged postings end the walk early and
// set bad; they never lead outside the data or the index.
type cursor struct {
	data  []byte
	block []byte // what is left of the block
	doc   uint32
	tf    [2]uint32 // in text and heading
	prev  uint32    // passage + 1 of the posting before
	reach uint32    // passage + 1 of the last posting of the block
	limit uint32    // passages of the index; 0: not checked
	df    uint32
	done  bool
	bad   bool
}

// open reads the header of the next block.
func (c *cursor) open() bool {
	if len(c.data) == 0 {
		c.done = true
		return false
	}
	gap, n := binary.Uvarint(c.data)
	if n <= 0 || gap == 0 || gap > math.MaxUint32 {
		return c.fail()
	}
	size, m := binary.Uvarint(c.data[n:])
	if m <= 0 || size == 0 || size > uint64(len(c.data)-n-m) || uint64(c.reach)+gap > math.MaxUint32 {
		return c.fail()
	}
	c.prev = c.reach
	c.reach += uint32(gap)
	start := n + m
	c.block = c.data[start : start+int(size)]
	c.data = c.data[start+int(size):]
	return true
}

func (c *cursor) fail() bool {
	c.done, c.bad = true, true
	c.doc = math.MaxUint32
	return false
}

// next goes to the next posting.
func (c *cursor) next() bool {
	if c.done || len(c.block) == 0 && !c.open() {
		return false
	}
	gap, n := binary.Uvarint(c.block)
	if n <= 0 || gap == 0 || gap > math.MaxUint32 {
		return c.fail()
	}
	tf, m := binary.Uvarint(c.block[n:])
	if m <= 0 || tf>>1 > math.MaxUint32 {
		return c.fail()
	}
	c.block = c.block[n+m:]
	c.tf = [2]uint32{uint32(tf >> 1), 0}
	if tf&1 == 1 {
		h, n := binary.Uvarint(c.block)
		if n <= 0 || h > math.MaxUint32 {
			return c.fail()
		}
		c.block = c.block[n:]
		c.tf[1] = uint32(h)
	}
	if uint64(c.prev)+gap > uint64(c.reach) {
		return c.fail()
	}
	c.prev += uint32(gap)
	c.doc = c.prev - 1
	if c.limit > 0 && c.doc >= c.limit {
		return c.fail()
	}
	return true
}

// seek goes to the first posting at doc or after it, skipping whole blocks.
func (c *cursor) seek(doc uint32) bool {
	for !c.done && c.doc < doc {
		if c.reach <= doc { // the block ends before doc
			c.block = nil
			if !c.open() {
				return false
			}
			continue
		}
		if !c.next() {
			return false
		}
	}
	return !c.done
}

// top keeps the k best.
type top struct {
	k int
	h worst
}

// worst is a heap with the worst of the kept at its head.
type worst []Scored

func (h worst) Len() int           { return len(h) }
func (h worst) Less(i, j int) bool { return better(h[j], h[i]) }
func (h worst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *worst) Push(v any)        { *h = append(*h, v.(Scored)) }
func (h *worst) Pop() any          { panic("not used") }

// better orders by score, of equal scores by passage.
func better(a, b Scored) bool {
	if a.Score != b.Score {
		return a.Score > b.Score
	}
	return a.Passage < b.Passage
}

func newTop(k int) *top { return &top{k: k, h: make(worst, 0, min(k, 1024))} }

// least is the score that a later passage must exceed; 0 until k are there.
func (t *top) least() float64 {
	if len(t.h) < t.k {
		return 0
	}
	return t.h[0].Score
}

// push says whether the passage is among the k best so far.
func (t *top) push(s Scored) bool {
	if s.Score <= 0 {
		return false
	}
	if len(t.h) < t.k {
		heap.Push(&t.h, s)
		return true
	}
	if !better(s, t.h[0]) {
		return false
	}
	t.h[0] = s
	heap.Fix(&t.h, 0)
	return true
}

func (t *top) sorted() []Scored {
	slices.SortFunc(t.h, func(a, b Scored) int {
		if better(a, b) {
			return -1
		}
		return 1
	})
	return t.h
}
