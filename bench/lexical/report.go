package main

import (
	"fmt"
	"slices"
)

// result of a contender over all rounds.
type result struct {
	name string
	ms   [][]float64 // by round and query
	ids  [][]int32
}

// at a percentile of the first n queries, the median of the rounds.
func (r *result) at(percent, n int) float64 {
	var rounds []float64
	for _, ms := range r.ms {
		ms = slices.Clone(ms[:min(n, len(ms))])
		slices.Sort(ms)
		rounds = append(rounds, ms[len(ms)*percent/100])
	}
	slices.Sort(rounds)
	return rounds[len(rounds)/2]
}

// turns lets the contenders run by turns, in another order each time, so that
// what else happens on the machine slows them all. A round of each goes before,
// for the caches.
func turns(all []contender, rounds int) ([]result, error) {
	results := make([]result, len(all))
	for round := range rounds + 1 {
		for i := range all {
			j := (i + round) % len(all)
			ms, ids, err := all[j].round()
			if err != nil {
				return nil, err
			}
			if round == 0 || len(ms) == 0 {
				continue
			}
			r := &results[j]
			r.name, r.ids, r.ms = all[j].name(), ids, append(r.ms, ms)
		}
	}
	return results, nil
}

// wanted is how many times as long a peer should take, at p50 and p95.
var wanted = map[string]float64{
	"Lucene, fields boosted": 5, "Lucene, BM25F": 5, "Lucene, one field": 5,
	"bleve, fields boosted": 30, "bleve, one field": 30,
}

// report prints each contender beside the first, over the queries that it
// answers. What both find says whether they do the same: weights and roundings
// differ a little from peer to peer.
func report(results []result) {
	fmt.Printf("  %-28s %8s %8s %10s  %s\n", "", "p50 ms", "p95 ms", "both find", "times ours at p50, p95")
	for i, r := range results {
		n := len(r.ms[0])
		fmt.Printf("  %-28s %8.3f %8.3f %10.3f", r.name, r.at(50, n), r.at(95, n), shared(results[0].ids, r.ids))
		if i > 0 {
			fmt.Printf("  %.1f, %.1f", r.at(50, n)/results[0].at(50, n), r.at(95, n)/results[0].at(95, n))
		}
		if w := wanted[r.name]; w > 0 {
			fmt.Printf(" (wanted: %g)", w)
		}
		fmt.Println()
	}
}

// shared is the share of what a found that b found too, over b's queries.
func shared(a, b [][]int32) float64 {
	n, both := 0, 0
	for i := range b {
		n += len(a[i])
		for _, d := range a[i] {
			if slices.Contains(b[i], d) {
				both++
			}
		}
	}
	return float64(both) / float64(max(1, n))
}
