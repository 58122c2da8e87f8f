package dense

import (
	"math"
	"math/rand/v2"
	"slices"
)

const (
	heldOut      = 384 // queries that the margin is found by; as many again prove it
	heldOutDepth = 10
	kinds        = 3 // of held-out queries
)

// calibrate finds the margin: a list is searched while
//
//	⟨q, centroid⟩ + margin · spread ≥ score of the k-th best so far
//
// so the number of lists follows from how far the query is from everything.
// For each of the ten best rows of a held-out query the margin that would have
// reached it is known; the margin is that which reaches the share asked for.
// Other held-out queries then say what recall it gives.
//
// Held-out queries are rows of the segment, which do not find themselves; of
// three, one as it is, one moved away by the difference of two rows, half as long
// as itself, one by a whole length: questions lie farther from passages than
// passages from one another.
func (b *builder) calibrate(of []uint32) error {
	random := rand.New(rand.NewPCG(b.seed, 2))
	m := min(2*b.o.heldOut, b.n)
	rows := b.sample(random, m)
	random.Shuffle(m, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	queries := make([][]float32, m)
	for i, r := range rows {
		queries[i] = make([]float32, b.layout.padded)
		b.expand(queries[i], r)
		b.move(queries[i], float64(i%kinds)/2, random)
	}
	truth := make([][]candidate, m)
	needs := make([][]float64, m)
	err := b.each(m, 1, func(i, _ int) error {
		x := &search{scratch: b.scratch.Get().(*scratch), s: b.Segment, o: SearchOptions{Dead: only(rows[i]), Probes: b.lists}}
		defer b.scratch.Put(x.scratch)
		truth[i] = x.top(queries[i])
		for _, c := range truth[i] {
			l := of[c.row]
			if spread := float64(b.spreads[l]); spread > 0 {
				needs[i] = append(needs[i], (float64(truth[i][len(truth[i])-1].bound)-float64(x.lists.est[l]))/spread)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The first half finds the margin: that of the kind that needs most.
	half := m / 2
	b.margin = 0
	for kind := range kinds {
		var needed []float64
		for i := kind; i < half; i += kinds {
			needed = append(needed, needs[i]...)
		}
		slices.Sort(needed)
		if len(needed) > 0 { // none are where rows are equal to their centroids
			b.margin = max(b.margin, tail(needed, b.target))
		}
	}
	// Rounded, as the logarithms in tail differ in their last bits from one
	// processor to another.
	b.margin = math.Round(b.margin*1024) / 1024
	for range 20 {
		found := make([]int, m)
		wanted := 0
		err := b.each(m-half, 1, func(i, _ int) error {
			i += half
			x := &search{scratch: b.scratch.Get().(*scratch), s: b.Segment, o: SearchOptions{Dead: only(rows[i])}}
			defer b.scratch.Put(x.scratch)
			for _, c := range x.top(queries[i]) {
				if slices.ContainsFunc(truth[i], func(t candidate) bool { return t.row == c.row }) {
					found[i]++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		sum := 0
		for i := half; i < m; i++ {
			sum += found[i]
			wanted += len(truth[i])
		}
		b.recall, b.heldOut = 1, m-half
		if wanted > 0 {
			b.recall = float64(sum) / float64(wanted)
		}
		if b.recall >= b.target {
			break
		}
		b.margin += 1. / 64
	}
	return nil
}

// tail is the quantile share of x, sorted, beyond which few of x lie: where a
// normal distribution with the 0.9 and the 0.98 quantiles of x has it. The
// quantile itself would hang on the hardest two or three of all queries.
func tail(x []float64, share float64) float64 {
	z := func(share float64) float64 { return math.Sqrt2 * math.Erfinv(2*share-1) }
	low, high := quantile(x, .9), quantile(x, .98)
	if share <= .98 {
		return quantile(x, share)
	}
	return high + (high-low)*(z(share)-z(.98))/(z(.98)-z(.9))
}

// quantile of x, which is sorted.
func quantile(x []float64, share float64) float64 {
	return x[min(len(x)-1, int(math.Ceil(share*float64(len(x)))))]
}

// move a vector away by the difference of two rows, so many times its length.
func (b *builder) move(v []float32, far float64, random *rand.Rand) {
	x, y := make([]float32, len(v)), make([]float32, len(v))
	b.expand(x, random.IntN(b.n))
	b.expand(y, random.IntN(b.n))
	for i := range x {
		x[i] -= y[i]
	}
	length, was := math.Sqrt(dot64(x, x)), math.Sqrt(dot64(v, v))
	if length == 0 {
		return
	}
	f := float32(was * far / length)
	for i := range v {
		v[i] += float32(f * x[i])
	}
	f = float32(was / math.Sqrt(dot64(v, v)))
	for i := range v {
		v[i] = float32(v[i] * f)
	}
}

// top ten for a rotated query, by int8, best first.
func (x *search) top(rotated []float32) []candidate {
	x.filter()
	copy(x.rotated, rotated)
	x.collect(math.Sqrt(dot64(rotated, rotated)), min(heldOutDepth, x.s.n))
	rows := slices.Clone(x.best.rows())
	slices.SortFunc(rows, func(a, b candidate) int {
		return order(Scored{a.row, float64(a.bound)}, Scored{b.row, float64(b.bound)})
	})
	return rows[:min(heldOutDepth, len(rows))]
}

// only row r.
func only(r int) Bitmap {
	b := make(Bitmap, r/64+1)
	b[r/64] = 1 << (r % 64)
	return b
}
