package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"rxedge/index/dense"
)

// filters measures searches within some documents of 20 passages each, in
// ranges of rows, beside the comparison of every row that they allow.
func (c *ours) filters() error {
	const passages, queries = 20, 100
	fmt.Printf("  within a share of the documents   p50 ms   p95 ms  recall@10  every row, p50 ms\n")
	n := c.set.rows()
	for _, share := range []float64{.5, .1, .02, .001} {
		r := rand.New(rand.NewPCG(3, 3))
		o := c.options
		o.Within = []dense.Range{}
		for first := 0; first < n; first += passages {
			if r.Float64() < share {
				o.Within = append(o.Within, dense.Range{First: uint32(first), End: uint32(first + passages)})
			}
		}
		all := o
		all.Exact = true
		var ms, every []float64
		found, wanted := 0, 0
		for i := range min(queries, c.set.count()) {
			q := c.set.query(i)
			t := time.Now()
			got, err := c.segment.Search(nil, q, depth, o)
			ms = append(ms, time.Since(t).Seconds()*1e3)
			if err != nil {
				return err
			}
			t = time.Now()
			want, err := c.segment.Search(nil, q, depth, all)
			every = append(every, time.Since(t).Seconds()*1e3)
			if err != nil {
				return err
			}
			wanted += len(want)
			for _, h := range want {
				if slices.Contains(got, h) {
					found++
				}
			}
		}
		slices.Sort(ms)
		fmt.Printf("  %6.1f %% in %6d ranges %16.3f %8.3f %10.4f %18.3f\n", share*100, len(o.Within),
			median(ms), ms[len(ms)*95/100], float64(found)/float64(max(1, wanted)), median(every))
	}
	return nil
}
