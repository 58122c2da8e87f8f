// Package report writes what telemetry has found for people who audit a box or a
// fleet, and what is to be known of a model, as HTML that needs nothing but itself and
// as Markdown. Every number is of eleven questions at least.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/fairness"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/monitor"
)

// Report of a box or a fleet.
type Report struct {
	Kind     string    `json:"kind"`  // audit, model-card
	Of       string    `json:"of"`    // the box, the fleet, or the sites chosen
	Model    string    `json:"model"` // of a model card
	Made     time.Time `json:"made"`
	Version  string    `json:"version"` // of rxedge
	From, To time.Time
	Sites    int         `json:"sites"`
	Asked    int64       `json:"questions"`
	Rates    fleet.Rates `json:"rates"`

	Groups    []Group            `json:"groups"`
	Judged    *fairness.Report   `json:"judged"` // nil: fewer than two groups were judged
	Findings  []fairness.Finding `json:"findings"`
	Uncertain []fairness.Finding `json:"uncertain"`
	Unsettled []string           `json:"unsettled"` // within their limits, as far as was sent
	Models    []Model            `json:"models"`
	Outliers  []fleet.Outlier    `json:"standing_out"`
	LeftOut   []fleet.Left       `json:"left_out"`
	Matters   []Matter           `json:"matters"`
	// Hidden groups and values are of fewer than eleven questions; Waiting are the
	// questions of each count that sites may hold back for that reason.
	Hidden  int64 `json:"hidden"`
	Waiting int64 `json:"waiting"`
}

// Group of patients.
type Group struct {
	Name    string             `json:"name"`
	Asked   int64              `json:"questions"`
	Refused int64              `json:"refused"`
	Rate    *float64           `json:"rate"`
	Range   *fairness.Interval `json:"interval"` // Wilson, 95 %
	Judged  *fairness.Group    `json:"judged"`
}

// Model that answered.
type Model struct {
	Name        string             `json:"name"`
	Generations []string           `json:"generations"`
	Asked       int64              `json:"questions"`
	Baseline    *fleet.Scope       `json:"baseline"`
	Features    []monitor.Feature  `json:"features"`
	Alarms      []monitor.Alarm    `json:"alarms"`
	Windows     []fleet.WindowHash `json:"windows"`
}

// Matter that was requested or proposed, and what became of it.
type Matter struct {
	ID, State, Cause, By, Reason string
	At                           time.Time
}

// Wilson's interval (1927) of a share, 95 %; nil of none.
func Wilson(a, n int64) *fairness.Interval {
	if n == 0 {
		return nil
	}
	const z = 1.959963984540054
	p, m := float64(a)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return &fairness.Interval{Low: max(0, mid-half), High: min(1, mid+half)}
}

// GroupsOf slices by cohort. exact: they are as they were counted, so that 0 is none and
// not too few to be sent. judged are the groups of which all counts can be told; hidden
// counts what is too few, or of no group.
func GroupsOf(of map[string]*telemetry.Slice, exact bool) (groups []Group, judged map[string]fairness.Counts, hidden int64) {
	judged = map[string]fairness.Counts{}
	for _, v := range sortedKeys(of) {
		s := of[v]
		switch {
		case v == telemetry.None:
			continue
		case v == telemetry.Other, s.N < telemetry.LeastCell:
			hidden += s.N
			continue
		}
		g := Group{Name: v, Asked: s.N}
		if s.Refused == 0 && exact || s.Refused >= telemetry.LeastCell {
			r := float64(s.Refused) / float64(s.N)
			g.Refused, g.Rate, g.Range = s.Refused, &r, Wilson(s.Refused, s.N)
		} else {
			hidden += s.Refused
		}
		if c := s.Judged; c.N() >= telemetry.LeastCell {
			// A rate tells of both its counts.
			told := func(a, b int64) bool {
				return a+b > 0 && (a == 0 && exact || a >= telemetry.LeastCell) && (b == 0 && exact || b >= telemetry.LeastCell)
			}
			rates := c.Rates()
			if !told(c.TP+c.FP, c.TN+c.FN) {
				rates.SelectionRate = nil
			}
			if !told(c.TP, c.FN) {
				rates.TPR = nil
			}
			if !told(c.FP, c.TN) {
				rates.FPR = nil
			}
			if !told(c.TP, c.FP) {
				rates.PPV = nil
			}
			g.Judged = &rates
			if told(c.TP, c.FN) && told(c.FP, c.TN) {
				judged[v] = c
			} else {
				hidden += min(c.TP, c.FN) + min(c.FP, c.TN)
			}
		}
		groups = append(groups, g)
	}
	return groups, judged, hidden
}

//go:embed report.html.tmpl
var page string

//go:embed report.md.tmpl
var markdown string

var shared = map[string]any{
	"percent": percent, "figure": figure, "date": func(t time.Time) string { return t.UTC().Format("2 January 2006") },
	"last": func(t time.Time) string { return t.UTC().Add(-time.Second).Format("2 January 2006") },
	"model": func(s string) string {
		if s == "" {
			return "no model (sentences of the documents)"
		}
		return s
	},
	"words": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	"join":  strings.Join, "share": share, "bar": bar, "verdict": verdict, "cell": cell, "ms": ms,
	"interval": func(r *fairness.Report, name string) string {
		if i, ok := r.Intervals[name]; ok {
			return fmt.Sprintf("%.3f to %.3f", i.Low, i.High)
		}
		return "none"
	},
	"metrics": metrics, "first": func(n int, f []monitor.Feature) []monitor.Feature { return f[:min(n, len(f))] },
	"limits": func() monitor.Limits { return monitor.DefaultLimits() },
	"p":      func(v float64) string { return fmt.Sprintf("%.2g", v) },
	"psi":    func(v float64) string { return fmt.Sprintf("%.3f", v) },
	"span": func(i *fairness.Interval) string {
		if i == nil {
			return "–"
		}
		return fmt.Sprintf("%.1f–%.1f %%", 100*i.Low, 100*i.High)
	},
}

var (
	pages = template.Must(template.New("html").Funcs(shared).Funcs(template.FuncMap{"groupsPlot": groupsPlot, "psiPlot": psiPlot, "binsPlot": binsPlot}).Parse(page))
	texts = texttemplate.Must(texttemplate.New("md").Funcs(shared).Parse(markdown))
)

// HTML writes the report as one page without scripts or anything from elsewhere.
func (r *Report) HTML(w io.Writer) error { return pages.Execute(w, r) }

// Markdown writes the report.
func (r *Report) Markdown(w io.Writer) error { return texts.Execute(w, r) }

// metric of fairness, with its limit.
type metric struct {
	Name    string
	Value   *float64
	Limit   string
	Verdict string
}

// metrics of a report of judged answers; what is undefined stays so and passes nothing.
func metrics(r *Report) []metric {
	j := r.Judged
	if j == nil {
		return nil
	}
	out := []metric{
		{"demographic_parity_difference", j.DemographicParityDifference, fmt.Sprint("at most ", fairness.MaxParityDifference), ""},
		{"equal_opportunity_difference", j.EqualOpportunityDifference, fmt.Sprint("at most ", fairness.MaxOpportunityDifference), ""},
		{"equalized_odds_difference", j.EqualizedOddsDifference, fmt.Sprint("at most ", fairness.MaxOddsDifference), ""},
		{"disparate_impact_ratio", j.DisparateImpactRatio, fmt.Sprint("at least ", fairness.MinImpactRatio), ""},
		{"fpr_difference", j.FPRDifference, fmt.Sprintf("warning %v, critical %v", fairness.MaxFPRWarning, fairness.MaxFPRCritical), ""},
	}
	for i := range out {
		m := &out[i]
		m.Verdict = "within"
		if m.Value == nil {
			m.Verdict = "undefined"
		}
		for _, f := range r.Findings {
			if f.Figure == m.Name {
				m.Verdict = f.Level
			}
		}
		for _, f := range r.Uncertain {
			if f.Figure == m.Name {
				m.Verdict = "not certain"
			}
		}
		if slices.Contains(r.Unsettled, m.Name) {
			m.Verdict = "not certain"
		}
	}
	return out
}

func verdict(r *Report) string {
	alarms, act := 0, 0
	for _, m := range r.Models {
		for _, a := range m.Alarms {
			if alarms++; a.Level == monitor.Act {
				act++
			}
		}
	}
	var say []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			say = append(say, "1 "+one)
		case n > 1:
			say = append(say, fmt.Sprint(n, " ", many))
		}
	}
	add(len(r.Findings), "difference between groups beyond its limit", "differences between groups beyond their limits")
	add(len(r.Uncertain)+len(r.Unsettled), "difference between groups that is not certain", "differences between groups that are not certain")
	add(alarms, "change since the baseline", "changes since the baseline")
	add(len(r.Outliers), "way in which a site stands out", "ways in which sites stand out")
	if len(say) == 0 {
		return "Nothing found beyond its limit."
	}
	return strings.Join(say, ", ") + "."
}

func percent(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100**v)
}

func figure(v *float64) string {
	if v == nil {
		return "undefined"
	}
	return fmt.Sprintf("%.3f", *v)
}

func ms(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.0f ms", *v)
}

func share(n int64, of int) float64 { return float64(n) / float64(max(of, 1)) }

// bar of text, a block for a twentieth.
func bar(v float64) string { return strings.Repeat("█", int(math.Round(20*max(0, min(v, 1))))) }

// cell of a table of Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "`", "'").Replace(s)
}

// name of a bin.
func binName(b drift.Bar) string {
	switch {
	case b.Category != "":
		return b.Category
	case b.From == nil && b.To == nil:
		return "all"
	case b.From == nil:
		return fmt.Sprintf("<%.3g", *b.To)
	case b.To == nil:
		return fmt.Sprintf("≥%.3g", *b.From)
	}
	return fmt.Sprintf("%.3g–%.3g", *b.From, *b.To)
}

// Cover leaves out of features what is of fewer than eleven questions, for a report on
// windows that never left a box; Hidden counts it.
func (r *Report) Cover() {
	for _, m := range r.Models {
		for _, f := range m.Features {
			for i := range f.Bins {
				for _, n := range []*int64{&f.Bins[i].Baseline, &f.Bins[i].Current} {
					if *n > 0 && *n < telemetry.LeastCell {
						r.Hidden += *n
						*n = 0
					}
				}
			}
		}
	}
}

// bootstraps of an interval.
const bootstraps = 500

// Judge fills in the figures between groups, where two or more were judged.
func (r *Report) Judge(judged map[string]fairness.Counts) error {
	if len(judged) < 2 {
		return nil
	}
	rep, err := fairness.Of(judged)
	if err != nil {
		return err
	}
	if err := rep.Bootstrap(judged, bootstraps); err != nil {
		return err
	}
	r.Judged, r.Findings = &rep, rep.Findings
	return nil
}
