// Package fairness compares decisions between groups: selection rate, true and
// false positive rate, and what is made of them. What is undefined stays
// undefined and passes nothing.
package fairness

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Limits beyond which a difference is told of.
const (
	MaxParityDifference      = 0.1
	MaxOpportunityDifference = 0.05
	MaxOddsDifference        = 0.05
	MinImpactRatio           = 0.8 // the four-fifths rule
	MaxFPRWarning            = 0.08
	MaxFPRCritical           = 0.12
)

// Counts of a group: of a confusion matrix.
type Counts struct {
	TP int64 `json:"tp"`
	FP int64 `json:"fp"`
	TN int64 `json:"tn"`
	FN int64 `json:"fn"`
}

// N is the size of the group.
func (c Counts) N() int64 { return c.TP + c.FP + c.TN + c.FN }

// Add a decision.
func (c *Counts) Add(label, prediction bool) {
	switch {
	case label && prediction:
		c.TP++
	case prediction:
		c.FP++
	case label:
		c.FN++
	default:
		c.TN++
	}
}

// Merge adds those of another part of the same group.
func (c *Counts) Merge(o Counts) {
	c.TP, c.FP, c.TN, c.FN = c.TP+o.TP, c.FP+o.FP, c.TN+o.TN, c.FN+o.FN
}

// Group is a group's rates; nil is undefined: nobody to take the rate of.
type Group struct {
	N             int64    `json:"n"`
	SelectionRate *float64 `json:"selection_rate"`
	TPR           *float64 `json:"tpr"`
	FPR           *float64 `json:"fpr"`
	PPV           *float64 `json:"ppv"`
}

func ratio(a, b int64) *float64 {
	if b == 0 {
		return nil
	}
	r := float64(a) / float64(b)
	return &r
}

// Rates of c.
func (c Counts) Rates() Group {
	return Group{N: c.N(), SelectionRate: ratio(c.TP+c.FP, c.N()), TPR: ratio(c.TP, c.TP+c.FN),
		FPR: ratio(c.FP, c.FP+c.TN), PPV: ratio(c.TP, c.TP+c.FP)}
}

// Interval is a 95 % percentile interval of the bootstrap.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Report on all groups. Differences are the largest rate less the smallest, as
// Fairlearn's "between groups"; where the rate of a group is undefined so is the
// difference.
type Report struct {
	Groups map[string]Group `json:"groups"`

	DemographicParityDifference *float64 `json:"demographic_parity_difference"`
	EqualOpportunityDifference  *float64 `json:"equal_opportunity_difference"`
	EqualizedOddsDifference     *float64 `json:"equalized_odds_difference"`
	DisparateImpactRatio        *float64 `json:"disparate_impact_ratio"`
	FPRDifference               *float64 `json:"fpr_difference"`
	// Intervals by the names above; of what is undefined in more than a tenth of
	// the samples there is none.
	Intervals map[string]Interval `json:"intervals,omitempty"`
	Findings  []Finding           `json:"findings"`
	// Undefined says which figures are, and of which groups.
	Undefined []string `json:"undefined,omitempty"`
}

// Levels of a finding.
const (
	Warning  = "warning"
	Critical = "critical"
)

// Finding is a figure beyond its limit.
type Finding struct {
	Figure string  `json:"figure"`
	Level  string  `json:"level"`
	Value  float64 `json:"value"`
	Limit  float64 `json:"limit"`
	Lowest string  `json:"lowest"` // the groups that the figure lies between
	Most   string  `json:"most"`
}

// ErrGroups: there is nothing to compare.
var ErrGroups = errors.New("there are fewer than two groups")

// Of gives the report on groups, without intervals.
func Of(groups map[string]Counts) (Report, error) {
	if len(groups) < 2 {
		return Report{}, fmt.Errorf("%w: %d", ErrGroups, len(groups))
	}
	r := Report{Groups: make(map[string]Group, len(groups)), Findings: []Finding{}}
	for name, c := range groups {
		r.Groups[name] = c.Rates()
	}
	names := slices.Sorted(maps.Keys(groups))
	extremes := func(figure string, rate func(Group) *float64) (low, high string, ok bool) {
		var without []string
		for _, n := range names {
			v := rate(r.Groups[n])
			switch {
			case v == nil:
				without = append(without, n)
				continue
			case low == "" || *v < *rate(r.Groups[low]):
				low = n
			}
			if high == "" || *v > *rate(r.Groups[high]) {
				high = n
			}
		}
		if len(without) > 0 {
			r.Undefined = append(r.Undefined, fmt.Sprintf("%s, because of %s", figure, strings.Join(without, ", ")))
		}
		return low, high, len(without) == 0
	}
	selection := func(g Group) *float64 { return g.SelectionRate }
	tpr := func(g Group) *float64 { return g.TPR }
	fpr := func(g Group) *float64 { return g.FPR }
	difference := func(figure string, rate func(Group) *float64, limits ...float64) *float64 {
		low, high, ok := extremes(figure, rate)
		if !ok {
			return nil
		}
		d := *rate(r.Groups[high]) - *rate(r.Groups[low])
		for i := len(limits) - 1; i >= 0; i-- {
			if d > limits[i] {
				r.Findings = append(r.Findings, Finding{figure, [...]string{Warning, Critical}[i], d, limits[i], low, high})
				break
			}
		}
		return &d
	}
	r.DemographicParityDifference = difference("demographic_parity_difference", selection, MaxParityDifference)
	r.EqualOpportunityDifference = difference("equal_opportunity_difference", tpr, MaxOpportunityDifference)
	r.FPRDifference = difference("fpr_difference", fpr, MaxFPRWarning, MaxFPRCritical)
	if a, b := r.EqualOpportunityDifference, r.FPRDifference; a != nil && b != nil {
		d, rate := max(*a, *b), tpr
		if *b > *a {
			rate = fpr
		}
		r.EqualizedOddsDifference = &d
		if low, high, _ := extremes("", rate); d > MaxOddsDifference {
			r.Findings = append(r.Findings, Finding{"equalized_odds_difference", Warning, d, MaxOddsDifference, low, high})
		}
	} else {
		r.Undefined = append(r.Undefined, "equalized_odds_difference, because a rate is")
	}
	if low, high, ok := extremes("disparate_impact_ratio", selection); ok {
		if most := *r.Groups[high].SelectionRate; most > 0 {
			d := *r.Groups[low].SelectionRate / most
			r.DisparateImpactRatio = &d
			if d < MinImpactRatio {
				r.Findings = append(r.Findings, Finding{"disparate_impact_ratio", Warning, d, MinImpactRatio, low, high})
			}
		} else {
			r.Undefined = append(r.Undefined, "disparate_impact_ratio, because nobody is selected")
		}
	}
	return r, nil
}

// figures by name.
func (r *Report) figures() map[string]*float64 {
	return map[string]*float64{"demographic_parity_difference": r.DemographicParityDifference, "equal_opportunity_difference": r.EqualOpportunityDifference,
		"equalized_odds_difference": r.EqualizedOddsDifference, "disparate_impact_ratio": r.DisparateImpactRatio, "fpr_difference": r.FPRDifference}
}

// Bootstrap puts intervals into the report of the same groups: each group is
// drawn again from its own members, with a fixed seed.
func (r *Report) Bootstrap(groups map[string]Counts, samples int) error {
	rng := rand.New(rand.NewPCG(0x6661697266, uint64(samples)))
	names := slices.Sorted(maps.Keys(groups))
	drawn := map[string][]float64{}
	for range samples {
		again := make(map[string]Counts, len(groups))
		for _, n := range names {
			again[n] = draw(rng, groups[n])
		}
		one, err := Of(again)
		if err != nil {
			return err
		}
		for f, v := range one.figures() {
			if v != nil {
				drawn[f] = append(drawn[f], *v)
			}
		}
	}
	r.Intervals = map[string]Interval{}
	for f, v := range r.figures() {
		if s := drawn[f]; v != nil && len(s)*10 >= samples*9 {
			slices.Sort(s)
			r.Intervals[f] = Interval{s[int(0.025*float64(len(s)-1)+0.5)], s[int(0.975*float64(len(s)-1)+0.5)]}
		}
	}
	return nil
}

func draw(rng *rand.Rand, c Counts) Counts {
	n := c.N()
	var out Counts
	for range n {
		switch i := rng.Int64N(n); {
		case i < c.TP:
			out.TP++
		case i < c.TP+c.FP:
			out.FP++
		case i < c.TP+c.FP+c.TN:
			out.TN++
		default:
			out.FN++
		}
	}
	return out
}

// Read counts the rows of a CSV with a header by the column group. label and
// prediction are 0 or 1, false or true, no or yes. The error names the line and
// the column.
func Read(r io.Reader, label, prediction, group string) (map[string]Counts, error) {
	cr := csv.NewReader(r)
	head, err := cr.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty; its first line names the columns")
	}
	if err != nil {
		return nil, err
	}
	if len(head) > 0 {
		head[0] = strings.TrimPrefix(head[0], "\ufeff")
	}
	var at [3]int
	for i, name := range [...]string{label, prediction, group} {
		if at[i] = slices.Index(head, name); at[i] < 0 {
			return nil, fmt.Errorf("there is no column %q; the columns are %s", name, strings.Join(head, ", "))
		}
	}
	out := map[string]Counts{}
	for {
		row, err := cr.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var yes [2]bool
		for i, name := range [...]string{label, prediction} {
			v, ok := parseBool(row[at[i]])
			if !ok {
				line, col := cr.FieldPos(at[i])
				return nil, fmt.Errorf("line %d, column %d (%s): %.40q is neither 0 nor 1", line, col, name, row[at[i]])
			}
			yes[i] = v
		}
		c := out[row[at[2]]]
		c.Add(yes[0], yes[1])
		out[row[at[2]]] = c
	}
	if len(out) == 0 {
		return nil, errors.New("the file has no rows below its header")
	}
	return out, nil
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "true", "yes", "1.0":
		return true, true
	case "0", "false", "no", "0.0":
		return false, true
	}
	return false, false
}
