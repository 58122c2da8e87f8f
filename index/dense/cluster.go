package dense

import (
	"math/rand/v2"
	"slices"

	"rxedge/index/pace"
)

const (
	// sampled rows for each list train the centroids.
	sampled = 32
	// trainings of the centroids: more change little.
	trainings = 6
)

// cluster shares the rows out among lists by spherical k-means on a sample:
// a centroid is the direction of its rows' mean, and a row goes to the centroid
// of greatest cosine, which is found as any query finds its best row.
func (b *builder) cluster(lists int) (of []uint32, err error) {
	random := rand.New(rand.NewPCG(b.seed, 1))
	sample := b.sample(random, min(b.n, lists*sampled))
	centroids := make([][]float32, lists)
	for l := range centroids {
		centroids[l] = make([]float32, b.layout.padded)
		b.expand(centroids[l], sample[l*len(sample)/lists])
	}
	of = make([]uint32, len(sample))
	for t := range trainings {
		if err := b.assign(centroids, of, t > 0, func(i int) int { return sample[i] }); err != nil {
			return nil, err
		}
		members := make([][]int, lists)
		for i, l := range of {
			members[l] = append(members[l], sample[i])
		}
		err := b.each(lists, 2, func(from, to int) error {
			for l := from; l < to; l++ {
				if len(members[l]) > 0 {
					b.meanOf(centroids[l], members[l])
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		// A list without rows takes one from the fullest.
		for l := range members {
			if len(members[l]) == 0 {
				full := 0
				for m := range members {
					if len(members[m]) > len(members[full]) {
						full = m
					}
				}
				last := len(members[full]) - 1
				b.expand(centroids[l], members[full][last])
				members[full] = members[full][:last]
			}
		}
	}
	of = make([]uint32, b.n)
	return of, b.assign(centroids, of, false, func(i int) int { return i })
}

// sample of m rows, in order.
func (b *builder) sample(random *rand.Rand, m int) []int {
	rows := make([]int, 0, m)
	for r := 0; len(rows) < m; r++ {
		// Knuth's selection sampling: each row with the share still wanted.
		if random.IntN(b.n-r) < m-len(rows) {
			rows = append(rows, r)
		}
	}
	return rows
}

// assign writes the centroid of greatest cosine for each row, which likely is still
// the one that is there.
func (b *builder) assign(centroids [][]float32, of []uint32, likely bool, row func(i int) int) error {
	unit := make([][]float32, len(centroids))
	for l, c := range centroids {
		unit[l] = slices.Clone(c)
		if Normalise(unit[l]) != nil {
			clear(unit[l])
		}
	}
	s, err := Build(b.ctx, b.layout.padded, len(unit), func(l int) []float32 { return unit[l] }, BuildOptions{Workers: b.o.Workers, Lists: 1})
	if err != nil {
		return err
	}
	return b.each(len(of), 256, func(from, to int) error {
		x := make([]float32, b.layout.padded)
		var hits []Hit
		work := pace.Begin()
		for i := from; i < to; i++ {
			if i%8 == 0 {
				work.Pause()
			}
			b.expand(x, row(i))
			o := SearchOptions{}
			if likely {
				o.likely = int(of[i]) + 1
			}
			if hits, err := s.Search(hits[:0], x, 1, o); err != nil {
				return err
			} else if len(hits) > 0 {
				of[i] = hits[0].Row
			}
		}
		return nil
	})
}

// meanOf rows, added in their order.
func (b *builder) meanOf(mean []float32, rows []int) {
	x, sum := make([]float32, len(mean)), make([]float64, len(mean))
	for _, r := range rows {
		b.expand(x, r)
		for i, v := range x {
			sum[i] += float64(v)
		}
	}
	for i := range mean {
		mean[i] = float32(sum[i] / float64(len(rows)))
	}
}

// means of the lists' rows.
func (b *builder) means(lists int, of []uint32) ([][]float32, error) {
	members := make([][]int, lists)
	for r, l := range of {
		members[l] = append(members[l], r)
	}
	means := make([][]float32, lists)
	return means, b.each(lists, 2, func(from, to int) error {
		for l := from; l < to; l++ {
			means[l] = make([]float32, b.layout.padded)
			if len(members[l]) > 0 {
				b.meanOf(means[l], members[l])
			}
		}
		return nil
	})
}
