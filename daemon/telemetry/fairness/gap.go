package fairness

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"rxedge/daemon/rollout/sequential"
)

// Share of a group that was selected.
type Share struct{ Selected, N int64 }

func (s Share) rate() float64 { return float64(s.Selected) / float64(s.N) }

// Gap is how far the selection rates of two groups lie apart.
type Gap struct {
	Most, Least string // the group with the higher rate, and with the lower one
	Difference  float64
	// Low is the lower end of the interval of the difference.
	Low float64
}

// Gaps of all pairs of groups, the surest first: that with the highest lower end.
// All their intervals together miss with a probability of at most alpha, two-sided
// (Bonferroni): the largest of many differences is large by chance alone, and one
// pair's own interval does not know that it was chosen.
func Gaps(groups map[string]Share, alpha float64) []Gap {
	names := slices.Sorted(maps.Keys(groups))
	names = slices.DeleteFunc(names, func(n string) bool { return groups[n].N == 0 })
	pairs := len(names) * (len(names) - 1) / 2
	var out []Gap
	for i, a := range names {
		for _, b := range names[i+1:] {
			if groups[a].rate() < groups[b].rate() {
				out = append(out, gap(b, a, groups, alpha/float64(pairs)))
			} else {
				out = append(out, gap(a, b, groups, alpha/float64(pairs)))
			}
		}
	}
	slices.SortStableFunc(out, func(x, y Gap) int { return cmp.Compare(y.Low, x.Low) })
	return out
}

func gap(most, least string, groups map[string]Share, alpha float64) Gap {
	a, b := groups[most], groups[least]
	low, _ := newcombe(a, b, alpha)
	return Gap{most, least, a.rate() - b.rate(), low}
}

// newcombe is the interval of the difference of two shares from their Wilson
// intervals: Newcombe (1998), method 10. alpha is two-sided.
func newcombe(a, b Share, alpha float64) (low, high float64) {
	p, q := a.rate(), b.rate()
	l1, u1 := sequential.Wilson(int(a.Selected), int(a.N), alpha/2)
	l2, u2 := sequential.Wilson(int(b.Selected), int(b.N), alpha/2)
	return p - q - math.Hypot(p-l1, u2-q), p - q + math.Hypot(u1-p, q-l2)
}
