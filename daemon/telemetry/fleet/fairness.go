package fleet

import (
	"maps"
	"math"
	"slices"
	"time"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/explain"
	"rxedge/daemon/telemetry/fairness"
	"rxedge/daemon/telemetry/monitor"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// FairnessReport compares groups of patients, over all sites and at each.
type FairnessReport struct {
	Scope
	// Judged compares decisions with what was said of the answers: refused is the
	// guard's decision, a bad answer the outcome. Nil: fewer than two groups of which
	// anything was said.
	Judged *fairness.Report `json:"judged"`
	// Groups are how many questions of each were asked and refused, judged or not.
	Groups map[string]Asked `json:"groups"`
	// RefusedDifference is the largest share refused less the smallest.
	RefusedDifference *float64           `json:"refused_difference"`
	Findings          []fairness.Finding `json:"findings"`
	// Uncertain are findings that what waits at the sites, too few each to be sent, might
	// undo: at most Waiting of each count of a group.
	Uncertain []fairness.Finding `json:"uncertain"`
	Waiting   int64              `json:"waiting"`
	// Unsettled figures are within their limits, and what waits might put them beyond.
	Unsettled   []string       `json:"unsettled"`
	Sites       []SiteFairness `json:"by_site"`
	StandingOut []Outlier      `json:"standing_out"`
	LeftOut     []Left         `json:"left_out"`
	Unnamed     int64          `json:"unnamed"` // questions of no group, or of too few to be told
}

// Asked of a group.
type Asked struct {
	N       int64    `json:"n"`
	Refused int64    `json:"refused"`
	Rate    *float64 `json:"rate"`
	Judged  int64    `json:"judged"`
}

// SiteFairness of one site.
type SiteFairness struct {
	Site              string           `json:"site"`
	Questions         int64            `json:"questions"`
	RefusedDifference *float64         `json:"refused_difference"`
	Groups            map[string]Asked `json:"groups"`
}

// bootstraps of an interval.
const bootstraps = 500

// mostDrawn decisions of one group: of more, an interval is far narrower than its
// figure is exact.
const mostDrawn = 20000

func groupsOf(w *telemetry.Window, least int64) (groups map[string]Asked, judged map[string]fairness.Counts, unnamed int64) {
	groups, judged = map[string]Asked{}, map[string]fairness.Counts{}
	for v, s := range w.Slices[telemetry.Cohort] {
		if v == telemetry.None || v == telemetry.Other || s.N < least {
			unnamed += s.N
			continue
		}
		groups[v] = Asked{s.N, s.Refused, ratio(s.Refused, s.N), s.Judged.N()}
		if s.Judged.N() > 0 {
			judged[v] = s.Judged
		}
	}
	return groups, judged, unnamed
}

func ratio(a, n int64) *float64 {
	if n == 0 {
		return nil
	}
	r := float64(a) / float64(n)
	return &r
}

// apart is the largest rate less the smallest, of groups that are large enough.
func apart(groups map[string]Asked, least int64) (d *float64, low, high string) {
	for _, g := range sortedKeys(groups) {
		if groups[g].N < least {
			continue
		}
		if low == "" || *groups[g].Rate < *groups[low].Rate {
			low = g
		}
		if high == "" || *groups[g].Rate > *groups[high].Rate {
			high = g
		}
	}
	if low == high {
		return nil, "", ""
	}
	x := *groups[high].Rate - *groups[low].Rate
	return &x, low, high
}

// Fairness of the days in the time looked at, over all models.
func Fairness(days []Day, opt Options) (*FairnessReport, error) {
	now := between(days, opt.Since, opt.Until)
	r := &FairnessReport{Scope: scope(now, opt), Groups: map[string]Asked{}, Findings: []fairness.Finding{}, Uncertain: []fairness.Finding{}, Unsettled: []string{}, Sites: []SiteFairness{}, StandingOut: []Outlier{}, LeftOut: []Left{}}
	w, err := sum(now)
	if err != nil || w == nil {
		return r, err
	}
	r.Waiting = opt.waiting(streams(now)).Waiting
	var judged map[string]fairness.Counts
	r.Groups, judged, r.Unnamed = groupsOf(w, telemetry.LeastCell)
	if len(judged) >= 2 {
		rep, err := fairness.Of(judged)
		if err != nil {
			return nil, err
		}
		if err := rep.Bootstrap(thinned(judged), bootstraps); err != nil {
			return nil, err
		}
		for _, f := range rep.Findings {
			if certain(f, judged, r.Waiting) {
				r.Findings = append(r.Findings, f)
			} else {
				r.Uncertain = append(r.Uncertain, f)
			}
		}
		for _, f := range []struct {
			name  string
			limit float64
			value *float64
		}{
			{"demographic_parity_difference", fairness.MaxParityDifference, rep.DemographicParityDifference},
			{"equal_opportunity_difference", fairness.MaxOpportunityDifference, rep.EqualOpportunityDifference},
			{"equalized_odds_difference", fairness.MaxOddsDifference, rep.EqualizedOddsDifference},
			{"disparate_impact_ratio", fairness.MinImpactRatio, rep.DisparateImpactRatio},
			{"fpr_difference", fairness.MaxFPRWarning, rep.FPRDifference},
		} {
			found := slices.ContainsFunc(rep.Findings, func(x fairness.Finding) bool { return x.Figure == f.name })
			if f.value != nil && !found && mayExceed(f.name, f.limit, judged, r.Waiting) {
				r.Unsettled = append(r.Unsettled, f.name)
			}
		}
		rep.Findings = slices.Clone(r.Findings)
		r.Judged = &rep
	}
	var low, high string
	if r.RefusedDifference, low, high = apart(r.Groups, opt.Limits.LeastSlice); r.RefusedDifference != nil && *r.RefusedDifference > fairness.MaxParityDifference {
		f := fairness.Finding{Figure: "refused_difference", Level: fairness.Warning, Value: *r.RefusedDifference, Limit: fairness.MaxParityDifference, Lowest: low, Most: high}
		if l, h := r.Groups[low], r.Groups[high]; span(h.Refused, h.N-h.Refused, -r.Waiting)-span(l.Refused, l.N-l.Refused, r.Waiting) > f.Limit {
			r.Findings = append(r.Findings, f)
		} else {
			r.Uncertain = append(r.Uncertain, f)
		}
	}
	sites, err := bySite(now)
	if err != nil {
		return nil, err
	}
	for _, s := range sortedKeys(sites) {
		g, _, _ := groupsOf(sites[s], telemetry.LeastCell)
		d, _, _ := apart(g, opt.Limits.LeastSlice)
		r.Sites = append(r.Sites, SiteFairness{s, sites[s].Questions, d, g})
	}
	var names []string
	names, r.LeftOut = compared(sites, opt.Limits.Least)
	var shares []share
	for _, g := range sortedKeys(r.Groups) {
		shares = append(shares, share{"refused", monitor.Fairness, telemetry.Cohort.String(), g, func(w *telemetry.Window) (a, n int64) {
			if s := w.Slices[telemetry.Cohort][g]; s != nil {
				return s.Refused, s.N
			}
			return 0, 0
		}})
	}
	r.StandingOut = uneven(sites, names, shares, opt.Limits.Fairness, opt)
	return r, nil
}

// span is the share of a in a+b where so many more of a wait, or, below 0, of b.
func span(a, b, waiting int64) float64 {
	if waiting < 0 {
		b -= waiting
	} else {
		a += waiting
	}
	return float64(a) / float64(max(a+b, 1))
}

// certain says whether a finding stands whatever the counts that wait are.
func certain(f fairness.Finding, groups map[string]fairness.Counts, waiting int64) bool {
	lo, hi := groups[f.Lowest], groups[f.Most]
	tpr := func(c fairness.Counts, w int64) float64 { return span(c.TP, c.FN, w) }
	fpr := func(c fairness.Counts, w int64) float64 { return span(c.FP, c.TN, w) }
	selected := func(c fairness.Counts, w int64) float64 { return span(c.TP+c.FP, c.TN+c.FN, 2*w) }
	apart := func(rate func(fairness.Counts, int64) float64) float64 { return rate(hi, -waiting) - rate(lo, waiting) }
	switch f.Figure {
	case "demographic_parity_difference":
		return apart(selected) > f.Limit
	case "equal_opportunity_difference":
		return apart(tpr) > f.Limit
	case "fpr_difference":
		return apart(fpr) > f.Limit
	case "equalized_odds_difference":
		return max(apart(tpr), apart(fpr)) > f.Limit
	case "disparate_impact_ratio":
		return selected(lo, waiting) < f.Limit*selected(hi, -waiting)
	}
	return false
}

// mayExceed says whether a figure is beyond its limit between any two groups, for some
// counts that may wait.
func mayExceed(figure string, limit float64, groups map[string]fairness.Counts, waiting int64) bool {
	for a := range groups {
		for b := range groups {
			if a != b && certain(fairness.Finding{Figure: figure, Limit: limit, Lowest: a, Most: b}, groups, -waiting) {
				return true
			}
		}
	}
	return false
}

// thinned counts of groups beyond mostDrawn, in proportion, so that intervals are
// quick; they come out wider, never narrower.
func thinned(groups map[string]fairness.Counts) map[string]fairness.Counts {
	out := maps.Clone(groups)
	for g, c := range out {
		if n := c.N(); n > mostDrawn {
			k := func(x int64) int64 { return x * mostDrawn / n }
			out[g] = fairness.Counts{TP: k(c.TP), FP: k(c.FP), TN: k(c.TN), FN: k(c.FN)}
		}
	}
	return out
}

// QualityReport says how good the answers are, at each site.
type QualityReport struct {
	Scope
	Rates
	// Why the guard doubted, of all cohorts ("all") and of each: how much each of its
	// features added, the strongest first.
	Why         []explain.Why `json:"why"`
	Sites       []SiteQuality `json:"by_site"`
	StandingOut []Outlier     `json:"standing_out"`
	LeftOut     []Left        `json:"left_out"`
}

// Rates of questions; nil is of none. Of those that failed, ended in an error; of
// those that were answered, grounded (every claim is borne out) and flagged (by the
// guard); approved of those that were judged.
type Rates struct {
	Abstained *float64 `json:"abstained"`
	Failed    *float64 `json:"failed"`
	Grounded  *float64 `json:"grounded"`
	Flagged   *float64 `json:"flagged"`
	Approved  *float64 `json:"approved"`
	Judged    int64    `json:"judged"`
	// Agreement with the same model at full precision, of Pairs questions asked twice.
	Agreement *float64 `json:"agreement"`
	Pairs     int64    `json:"pairs"`
	// AgreementLeast is what it may be, as disagreements of fewer than eleven wait at the
	// sites and agreement does not.
	AgreementLeast *float64 `json:"agreement_least,omitempty"`
	P50            *float64 `json:"p50_ms"`
	P95            *float64 `json:"p95_ms"`
	P99            *float64 `json:"p99_ms"`
}

// SiteQuality of one site.
type SiteQuality struct {
	Site      string   `json:"site"`
	Questions int64    `json:"questions"`
	Models    []string `json:"models"`
	Rates
	Why []explain.Why `json:"why"`
}

// whyOf a window, of all cohorts and of each.
func whyOf(w *telemetry.Window) []explain.Why {
	t := explain.Of(w.Explained)
	out := t.All().Report().Why
	if each := t.Report().Why; len(t.Why) > 1 {
		out = append(out, each...)
	}
	return out
}

func failed(w *telemetry.Window) int64 {
	if s := w.Slices[telemetry.Outcome][telemetry.Failed]; s != nil {
		return s.N
	}
	return 0
}

// RatesOf a window.
func RatesOf(w *telemetry.Window) Rates {
	t, f := w.Total(), failed(w)
	answered := t.N - t.Abstained - f
	r := Rates{Abstained: ratio(t.Abstained, t.N), Failed: ratio(f, t.N), Grounded: ratio(answered-t.Ungrounded, answered), Flagged: ratio(t.Flagged, answered),
		Approved: ratio(t.Judged.FP+t.Judged.TN, t.Judged.N()), Judged: t.Judged.N()}
	yes, pairs := w.Concordance.Of(telemetry.Agreed)
	r.Agreement, r.Pairs = ratio(yes, pairs), pairs
	for q, to := range map[float64]**float64{0.5: &r.P50, 0.95: &r.P95, 0.99: &r.P99} {
		if v, ok := w.Quantile("total", q); ok {
			*to = &v
		}
	}
	return r
}

// waiting pairs that do not agree, at most, where they were sent from so many streams.
func (r *Rates) waiting(n int64) {
	if r.Pairs > 0 {
		r.AgreementLeast = ratio(int64(math.Round(*r.Agreement*float64(r.Pairs))), r.Pairs+n)
	}
}

var qualities = []share{
	{name: "abstained", kind: monitor.PredictionDrift, of: func(w *telemetry.Window) (a, n int64) { t := w.Total(); return t.Abstained, t.N }},
	{name: "failed", kind: monitor.Performance, of: func(w *telemetry.Window) (a, n int64) { return failed(w), w.Total().N }},
	{name: "ungrounded", kind: monitor.ConceptDrift, of: func(w *telemetry.Window) (a, n int64) {
		t := w.Total()
		return t.Ungrounded, t.N - t.Abstained - failed(w)
	}},
	{name: "flagged", kind: monitor.PredictionDrift, of: func(w *telemetry.Window) (a, n int64) {
		t := w.Total()
		return t.Flagged, t.N - t.Abstained - failed(w)
	}},
	{name: "disapproved", kind: monitor.ConceptDrift, of: func(w *telemetry.Window) (a, n int64) { j := w.Total().Judged; return j.TP + j.FN, j.N() }},
	{name: "disagreed", kind: monitor.ConceptDrift, of: func(w *telemetry.Window) (a, n int64) {
		yes, n := w.Concordance.Of(telemetry.Agreed)
		return n - yes, n
	}},
}

// Quality of the days in the time looked at.
func Quality(days []Day, opt Options) (*QualityReport, error) {
	now := between(days, opt.Since, opt.Until)
	r := &QualityReport{Scope: scope(now, opt), Why: []explain.Why{}, Sites: []SiteQuality{}, StandingOut: []Outlier{}, LeftOut: []Left{}}
	w, err := sum(now)
	if err != nil || w == nil {
		return r, err
	}
	r.Rates, r.Why = RatesOf(w), whyOf(w)
	r.waiting(opt.waiting(streams(now)).Waiting)
	sites, err := bySite(now)
	if err != nil {
		return nil, err
	}
	models := map[string]map[string]bool{}
	for _, d := range now {
		if models[d.Site] == nil {
			models[d.Site] = map[string]bool{}
		}
		models[d.Site][name(d.Window.Model)] = true
	}
	for _, s := range sortedKeys(sites) {
		q := SiteQuality{s, sites[s].Questions, sortedKeys(models[s]), RatesOf(sites[s]), whyOf(sites[s])}
		q.waiting(opt.waiting(streams(only(now, s))).Waiting)
		r.Sites = append(r.Sites, q)
	}
	var names []string
	names, r.LeftOut = compared(sites, opt.Limits.Least)
	r.StandingOut = uneven(sites, names, qualities, opt.Limits.Rate, opt)
	return r, nil
}

// only the days of a site.
func only(days []Day, site string) []Day {
	return slices.DeleteFunc(slices.Clone(days), func(d Day) bool { return d.Site != site })
}

// LookBack is how far days before Options.Since are read for baselines.
const LookBack = 90 * 24 * time.Hour
