package main

import (
	"math/rand/v2"

	"rxedge/inference/semantic/contrast"
)

// batches are made of the pairs, of which the second text is cut to a window,
// and of the two halves of long texts; every epoch anew.
type batches struct {
	rng   *rand.Rand
	pairs [][2][]int32
	whole [][]int32
}

func (b *batches) window(ids []int32, least, most int) []int32 {
	n := least + b.rng.IntN(most-least)
	if len(ids) <= n {
		return ids
	}
	from := b.rng.IntN(len(ids) - n + 1)
	return ids[from : from+n]
}

func (b *batches) epoch() [][2]contrast.Bag {
	var out [][2]contrast.Bag
	for _, p := range b.pairs {
		out = append(out, [2]contrast.Bag{contrast.BagOf(p[0]), contrast.BagOf(b.window(p[1], 30, 120))})
	}
	for _, i := range b.rng.Perm(len(b.whole))[:len(b.whole)/2] {
		if t := b.whole[i]; len(t) >= 40 {
			h := len(t) / 2
			out = append(out, [2]contrast.Bag{contrast.BagOf(b.window(t[:h], 5, 30)), contrast.BagOf(b.window(t[h:], 30, 100))})
		}
	}
	b.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
