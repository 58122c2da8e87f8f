package main

import (
	"fmt"
	"maps"
	"slices"

	"rxedge/inference/support"
)

// reportClaims prints what forests trained without a claim say of it.
func reportClaims(sup, con []row, s, c []float64) {
	final := make([]float64, len(s))
	for i := range s {
		final[i], _ = support.Resolve(sup[i].x, s[i], c[i])
	}
	kinds := map[string]int{}
	for _, r := range sup {
		kinds[r.kind]++
	}
	against := func(title string, positive func(string) bool, negative func(string) bool) {
		var v, raw []float64
		var y []bool
		pos := 0
		for i, r := range sup {
			if positive(r.kind) || negative(r.kind) {
				v, raw, y = append(v, final[i]), append(raw, s[i]), append(y, positive(r.kind))
				if positive(r.kind) {
					pos++
				}
			}
		}
		caught, all := 0, 0
		for i := range v {
			if !y[i] {
				all++
				if v[i] < support.Threshold {
					caught++
				}
			}
		}
		fmt.Printf("  AUC %.4f (forest alone %.4f)  %6d against %6d, %.2f %% of these under %.2f  %s\n", auc(v, y), auc(raw, y), pos, len(v)-pos, 100*float64(caught)/float64(max(1, all)), support.Threshold, title)
	}
	is := func(k string) func(string) bool { return func(o string) bool { return o == k } }
	fmt.Println("SciFact, support against")
	for _, k := range []string{contradicts, beside, cited, other} {
		against(k, is(supports), is(k))
	}
	against("all of these", is(supports), func(k string) bool { return k == contradicts || k == beside || k == cited || k == other })
	against("contradicting and unrelated (cited, other)", is(supports), func(k string) bool { return k == contradicts || k == cited || k == other })
	fmt.Println("Labels, true sentences against")
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		if isLabel(k) && !isTrue(k) {
			against(k, isTrue, is(k))
		}
	}
	against("all changed", isTrue, func(k string) bool { return isLabel(k) && !isTrue(k) && k != labelOther })
	against("all", isTrue, func(k string) bool { return isLabel(k) && !isTrue(k) })
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		if k == supports || isTrue(k) {
			over, n := 0, 0
			for i, r := range sup {
				if r.kind == k {
					n++
					if final[i] >= support.Threshold {
						over++
					}
				}
			}
			fmt.Printf("  %.1f %% of %d reach %.2f: %s\n", 100*float64(over)/float64(n), n, support.Threshold, k)
		}
	}
	why := map[string]map[string]int{}
	for _, r := range sup {
		if why[r.kind] == nil {
			why[r.kind] = map[string]int{}
		}
		why[r.kind][support.Conflicts(r.x)]++
	}
	fmt.Println("Conflicts")
	for _, k := range slices.Sorted(maps.Keys(why)) {
		fmt.Printf("  %s: %v\n", k, why[k])
	}
	fmt.Println("Reliability of support")
	reliability(final, sup)
}

// reliability prints how often what has a probability is so, by tenths, and the
// expected calibration error.
func reliability(p []float64, rows []row) {
	var n, sum, yes [10]float64
	total, ece := 0.0, 0.0
	for i, r := range rows {
		b := min(9, int(p[i]*10))
		n[b] += r.weight
		sum[b] += p[i] * r.weight
		if r.y {
			yes[b] += r.weight
		}
		total += r.weight
	}
	for b := range n {
		if n[b] == 0 {
			continue
		}
		said, so := sum[b]/n[b], yes[b]/n[b]
		ece += n[b] / total * abs(said-so)
		fmt.Printf("  %.1f–%.1f  said %.3f  so %.3f  n %.0f\n", float64(b)/10, float64(b+1)/10, said, so, n[b])
	}
	fmt.Printf("  expected calibration error %.4f\n", ece)
}

func abs(v float64) float64 { return max(v, -v) }
