package dense

import "math"

// best keeps the rows that may be among the best k, by scores that are off by
// up to slack: all within twice that of the k-th best.
type best struct {
	k     int
	slack float32
	bar   float32     // score of the k-th best, or the floor until there are k
	top   []float32   // a heap of the best k scores, the least on top
	kept  []candidate // rows with their scores
	full  int         // length of kept at which to throw out what has fallen behind
}

func (b *best) reset(k int, floor, slack float32) {
	b.k, b.slack, b.bar = k, slack, floor
	b.top, b.kept = b.top[:0], b.kept[:0]
	b.full = 4*k + 256
}

func (b *best) push(score float32, row uint32) {
	if !(score >= b.bar-2*b.slack) { // no number is not kept
		return
	}
	b.kept = append(b.kept, candidate{row, score})
	switch {
	case len(b.top) < b.k:
		b.top = append(b.top, score)
		for i := len(b.top) - 1; i > 0; {
			up := (i - 1) / 2
			if b.top[up] <= b.top[i] {
				break
			}
			b.top[up], b.top[i] = b.top[i], b.top[up]
			i = up
		}
	case score > b.top[0]:
		i := 0
		for {
			down := 2*i + 1
			if down >= b.k {
				break
			}
			if down+1 < b.k && b.top[down+1] < b.top[down] {
				down++
			}
			if score <= b.top[down] {
				break
			}
			b.top[i] = b.top[down]
			i = down
		}
		b.top[i] = score
	default:
		return
	}
	if len(b.top) == b.k {
		b.bar = max(b.bar, b.top[0])
	}
	if len(b.kept) >= b.full {
		b.kept = b.rows()
		b.full = max(b.full, 2*len(b.kept))
	}
}

// rows that are still in, in the order in which they came.
func (b *best) rows() []candidate {
	least := b.bar - 2*b.slack
	if math.IsInf(float64(b.bar), -1) {
		return b.kept
	}
	in := b.kept[:0]
	for _, c := range b.kept {
		if c.bound >= least {
			in = append(in, c)
		}
	}
	return in
}
