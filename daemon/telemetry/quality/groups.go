package quality

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Scored are scores and outcomes of a group.
type Scored struct {
	Scores   []float64
	Positive []bool
}

func (s *Scored) positives() (n int) {
	for _, p := range s.Positive {
		if p {
			n++
		}
	}
	return n
}

// at a threshold: the shares of the positives and of the others that it finds; nil of
// none.
func (s *Scored) at(threshold float64) (tpr, fpr *float64) {
	var tp, fp, p, n float64
	for i, x := range s.Scores {
		hit := 0.0
		if x >= threshold {
			hit = 1
		}
		if s.Positive[i] {
			p, tp = p+1, tp+hit
		} else {
			n, fp = n+1, fp+hit
		}
	}
	of := func(a, b float64) *float64 {
		if b == 0 {
			return nil
		}
		r := a / b
		return &r
	}
	return of(tp, p), of(fp, n)
}

// GroupThreshold is what was found for a group; rates before are those of the common
// threshold. A FPR is nil where there are no negatives.
type GroupThreshold struct {
	Group     string
	Threshold float64
	N         int
	Positives int
	TPRBefore float64
	TPR       float64
	FPRBefore *float64
	FPR       *float64
}

// GroupThresholds are thresholds by group for equal opportunity.
type GroupThresholds struct {
	// Before and After are the largest true positive rate less the smallest, with the
	// common threshold and with the groups' own.
	Before, After float64
	Groups        []GroupThreshold
	// Left have too few positives to tell, and keep the common threshold.
	Left []string
}

// ErrUnequal: no thresholds bring the groups within the limit.
var ErrUnequal = errors.New("no thresholds bring the true positive rates of the groups within the limit")

// EqualOpportunity finds for each group with least positives or more the threshold
// whose true positive rate is nearest to that of all of them together at the common
// threshold; of equals the one with the fewest false alarms. (Hardt, Price and Srebro
// 2016, without their randomisation: one threshold a group, so that the same answer is
// always decided the same way.)
func EqualOpportunity(groups map[string]*Scored, common, limit float64, least int) (GroupThresholds, error) {
	var out GroupThresholds
	all := &Scored{}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := groups[name]
		if g.positives() < max(least, 1) {
			out.Left = append(out.Left, name)
			continue
		}
		names = append(names, name)
		all.Scores, all.Positive = append(all.Scores, g.Scores...), append(all.Positive, g.Positive...)
	}
	if len(names) < 2 {
		return out, fmt.Errorf("fewer than two groups have %d positive outcomes", max(least, 1))
	}
	target, _ := all.at(common)
	for _, name := range names {
		g := groups[name]
		before, fprBefore := g.at(common)
		best, miss := common, math.Abs(*before-*target)
		scores := slices.Clone(g.Scores)
		slices.SortFunc(scores, func(a, b float64) int { return cmp.Compare(b, a) }) // the highest first: the fewest false alarms
		for _, x := range slices.Compact(scores) {
			if tpr, _ := g.at(x); math.Abs(*tpr-*target) < miss-1e-12 {
				best, miss = x, math.Abs(*tpr-*target)
			}
		}
		tpr, fpr := g.at(best)
		out.Groups = append(out.Groups, GroupThreshold{name, best, len(g.Scores), g.positives(), *before, *tpr, fprBefore, fpr})
	}
	spread := func(rate func(GroupThreshold) float64) float64 {
		by := func(a, b GroupThreshold) int { return cmp.Compare(rate(a), rate(b)) }
		return rate(slices.MaxFunc(out.Groups, by)) - rate(slices.MinFunc(out.Groups, by))
	}
	out.Before = spread(func(g GroupThreshold) float64 { return g.TPRBefore })
	out.After = spread(func(g GroupThreshold) float64 { return g.TPR })
	if out.After > limit {
		return out, fmt.Errorf("%w: %.4f apart, and %.4f is allowed", ErrUnequal, out.After, limit)
	}
	return out, nil
}

// ReadScored reads three columns of a CSV with a header: a number, an outcome of 0 or
// 1, and a group. The error names the line and the column.
func ReadScored(r io.Reader, score, label, group string) (map[string]*Scored, error) {
	out := map[string]*Scored{}
	err := columns(r, []string{score, label, group}, func(place func(int) string, row []string) error {
		v, err := strconv.ParseFloat(strings.TrimSpace(row[0]), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s: %.40q is no number", place(0), row[0])
		}
		yes, ok := outcome(row[1])
		if !ok {
			return fmt.Errorf("%s: %.40q is neither 0 nor 1", place(1), row[1])
		}
		g := out[row[2]]
		if g == nil {
			g = &Scored{}
			out[row[2]] = g
		}
		g.Scores, g.Positive = append(g.Scores, v), append(g.Positive, yes)
		return nil
	})
	return out, err
}
