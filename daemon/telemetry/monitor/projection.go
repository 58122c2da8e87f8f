package monitor

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
)

// Projection is the feature of where questions lie by their vectors.
const Projection = "projection"

// How far the distributions of a projection may be apart, as Kolmogorov and Smirnov
// measure it: of many questions every distance is more than chance.
const (
	ProjectionInvestigate = 0.1
	ProjectionAct         = 0.2
)

// dominates is what part of a movement is said to be one value's.
const dominates = 0.5

// Moved says where vectors have moved.
type Moved struct {
	Projection int `json:"projection"` // that moved most, from 1 on
	// Share of all that the projections moved, their squared distances, which is its.
	Share float64 `json:"share"`
	// Significant projections, by Holm's procedure at 1 in 1,000.
	Significant int `json:"significant"`
	// By and Value are whose questions moved: kind dose, class statin. Where no value
	// has half of it, "projection" and its number.
	By      string  `json:"by"`
	Value   string  `json:"value"`
	OfValue float64 `json:"of_value,omitempty"` // part of the movement
}

func (m *Moved) text(f *Feature) string {
	t := fmt.Sprintf("questions lie elsewhere by meaning or phrasing (KS %.2f along projection %d, %.0f %% of the movement, %d of %d projections)", *f.KS, m.Projection, 100*m.Share, m.Significant, telemetry.Projections)
	if m.OfValue > 0 {
		t += fmt.Sprintf(": %.0f %% of it is of %s %s", 100*m.OfValue, m.By, m.Value)
	}
	return t
}

// projected compares the projections of the questions' vectors, each by the
// Kolmogorov–Smirnov test, all by Holm's procedure, in the space that both windows have
// most of. Its bins are those of the projection that moved most.
func projected(base, now *telemetry.Window, l Limits) (Feature, bool) {
	var b, c *telemetry.Space
	var most int64
	for _, id := range slices.Sorted(maps.Keys(now.Spaces)) {
		x, y := base.Spaces[id], now.Spaces[id]
		if x == nil {
			continue
		}
		if n := min(sum(x.Bins[0]), sum(y.Bins[0])); n > most {
			b, c, most = x, y, n
		}
	}
	if b == nil {
		return Feature{}, false
	}
	worst, all := 0, 0.0
	var ds, ps [telemetry.Projections]float64
	for k := range ds {
		d, p, err := drift.KSCounts(b.Bins[k], c.Bins[k])
		if err != nil {
			return Feature{}, false
		}
		ds[k], ps[k] = d, p
		all += d * d
		if d > ds[worst] {
			worst = k
		}
	}
	edges, x, y := coarse(telemetry.ProjectionEdges(), b.Bins[worst], c.Bins[worst])
	cmp, err := drift.Counts(x, y, int(l.Least))
	if err != nil {
		return Feature{}, false
	}
	cmp.Between(edges)
	m := &Moved{Projection: worst + 1, By: Projection, Value: strconv.Itoa(worst + 1)}
	if all > 0 {
		m.Share = ds[worst] * ds[worst] / all
	}
	holm := drift.Holm(ps[:])
	for _, p := range holm {
		m.Significant += b2i(p <= l.P)
	}
	cmp.KS, cmp.KSP = &ds[worst], &ps[worst]
	switch d := ds[worst]; {
	case cmp.Verdict == drift.VerdictInsufficient:
	case d >= ProjectionAct:
		cmp.Verdict = drift.VerdictAct
	case d >= ProjectionInvestigate:
		cmp.Verdict = drift.VerdictInvestigate
	default:
		cmp.Verdict = drift.VerdictStable
	}
	m.whose(b, c, worst, l)
	return Feature{Name: Projection, Kind: EmbeddingDrift, P: slices.Min(holm), Comparison: cmp, Moved: m}, true
}

// whose questions moved along a projection: of each value, how far its mean did, by how
// many questions are of it now. Values that only became more or fewer have not moved.
func (m *Moved) whose(b, c *telemetry.Space, k int, l Limits) {
	for i, d := range telemetry.ProjectedBy {
		all, most, value := 0.0, 0.0, ""
		for _, v := range slices.Sorted(maps.Keys(c.By[i])) {
			was, is := b.By[i][v], c.By[i][v]
			if was == nil || was.N < l.LeastSlice || is.N < l.LeastSlice {
				continue
			}
			moved := math.Abs(float64(is.Sums[k]) - float64(was.Sums[k])/float64(was.N)*float64(is.N)) // mean × how many
			all += moved
			if moved > most {
				most, value = moved, v
			}
		}
		if all > 0 && most/all >= dominates && most/all > m.OfValue {
			m.By, m.Value, m.OfValue = d.String(), value, most/all
		}
	}
}

func sum(ns []int64) (t int64) {
	for _, n := range ns {
		t += n
	}
	return t
}
