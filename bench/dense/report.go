package main

import (
	"fmt"
	"slices"
)

// result of a contender over all rounds.
type result struct {
	name     string
	p50, p95 []float64 // by round, in ms
	recall   float64
	found    bool // it gives rows
}

// turns lets the contenders run by turns, in another order each time, so that
// what else happens on the machine slows them all. A round of each goes before,
// for the caches.
func turns(s *set, all []contender, rounds int) ([]result, error) {
	results := make([]result, len(all))
	for round := range rounds + 1 {
		for i := range all {
			j := (i + round) % len(all)
			ms, rows, err := all[j].round()
			if err != nil {
				return nil, err
			}
			if round == 0 {
				continue
			}
			slices.Sort(ms)
			r := &results[j]
			r.name = all[j].name()
			r.p50 = append(r.p50, ms[len(ms)/2])
			r.p95 = append(r.p95, ms[len(ms)*95/100])
			r.found = slices.ContainsFunc(rows, func(r []int32) bool { return len(r) > 0 })
			r.recall = s.recall(rows)
		}
	}
	return results, nil
}

// recall of the best ten.
func (s *set) recall(rows [][]int32) float64 {
	hits := 0
	for i, found := range rows {
		for _, r := range s.nearest(i) {
			if slices.Contains(found, r) {
				hits++
			}
		}
	}
	return float64(hits) / float64(depth*max(1, len(rows)))
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}

// elsewhere is what FAISS 1.15, compiled with -O3 and AVX2, took beside its own
// flat scan on a machine of this kind, single-threaded: a ratio that a slower
// build of FAISS on this machine can't blur.
var elsewhere = []struct {
	from, to int
	name     string
	faster   float64 // than the flat scan
	want     float64 // how much faster than that we want to be
}{
	{50_000, 200_000, "FAISS HNSW32 ef 128", 8.4 / .31, 1.5},
	{200_001, 1_000_000, "FAISS IVF1024 nprobe 16", 47 / .92, 3},
}

func report(s *set, results []result) {
	fmt.Printf("  %-26s %9s %9s %9s  %s\n", "", "p50 ms", "p95 ms", "recall@10", "rxedge takes")
	mine := median(results[0].p50)
	var flat float64
	for i, r := range results {
		p50 := median(r.p50)
		fmt.Printf("  %-26s %9.3f %9.3f", r.name, p50, median(r.p95))
		switch {
		case !r.found:
			fmt.Printf(" %9s", "")
		default:
			fmt.Printf(" %9.4f", r.recall)
		}
		if i > 0 && r.found {
			fmt.Printf("  1/%.1f", p50/mine)
		}
		fmt.Println()
		if r.name == flatLabel {
			flat = p50
		}
	}
	for _, e := range elsewhere {
		if flat > 0 && s.rows() >= e.from && s.rows() <= e.to {
			fmt.Printf("  %s compiled for AVX2 is %.0f times as fast as a flat scan: %.3f ms here; rxedge takes 1/%.1f (wanted: 1/%.1f)\n",
				e.name, e.faster, flat/e.faster, flat/e.faster/mine, e.want)
		}
	}
	var whole, scan, read *result
	for i := range results {
		switch results[i].name {
		case readLabel:
			read = &results[i]
		case scanLabel:
			scan = &results[i]
		case "rxedge, all codes":
			whole = &results[i]
		}
	}
	if whole != nil && scan != nil && read != nil {
		// Rounds of reading go by turns plainly and with lines asked for ahead:
		// the quicker way counts.
		var ways [2][]float64
		for i, p := range read.p50 {
			ways[i%2] = append(ways[i%2], p)
		}
		best := median(ways[0])
		if len(ways[1]) > 0 {
			best = min(best, median(ways[1]))
		}
		gb := float64(codeBytes(s)) / 1e6
		fmt.Printf("  scan of all codes: %.1f GB/s, with its rescoring %.1f; reading alone %.1f GB/s: %.0f and %.0f %%\n",
			gb/median(scan.p50), gb/median(whole.p50), gb/best, 100*best/median(scan.p50), 100*best/median(whole.p50))
	}
}
