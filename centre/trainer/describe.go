package trainer

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/index/names"
)

// described is what windows tell of what is to be trained.
type described struct {
	drift     []Drift
	windows   Windows
	questions Questions
	rates     Rates
}

const (
	// most of what was found and of hashes that a request has.
	mostDrift  = 100
	mostHashes = 500
)

// describe a cause by the windows of the time that it was found in, and of the period it
// is compared with, of all sites with its model. Of either there may be none.
func describe(c *fleet.Cause, now, before *telemetry.Window) (described, error) {
	d := described{drift: []Drift{}}
	for _, f := range c.Found {
		if x, ok := driftOf(&f); ok && len(d.drift) < mostDrift {
			d.drift = append(d.drift, x)
		}
	}
	if len(d.drift) == 0 {
		return d, fmt.Errorf("nothing that was found rests on %d questions or more", telemetry.LeastCell)
	}
	slices.SortStableFunc(d.drift, func(a, b Drift) int {
		return cmp.Or(cmp.Compare(b.Figure, a.Figure), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Value, b.Value), cmp.Compare(b.N, a.N))
	})
	l := &c.Lineage
	d.windows = Windows{From: l.From, To: l.To, Sites: len(c.Sites), Count: l.Windows, SHA256: []string{}}
	for _, h := range l.Hashes[:min(len(l.Hashes), mostHashes)] {
		if hashForm.MatchString(h.SHA256) {
			d.windows.SHA256 = append(d.windows.SHA256, h.SHA256)
		}
	}
	slices.Sort(d.windows.SHA256) // so that their order tells nothing of a site
	d.windows.Count = max(d.windows.Count, len(d.windows.SHA256))
	if b := l.Baseline; b != nil && b.Questions >= telemetry.LeastCell {
		d.windows.Compared = &Period{b.From, b.To, b.Questions}
	}
	if now == nil {
		now = telemetry.NewWindow(l.From, l.To, c.Model, "")
	}
	d.windows.Questions = covered(now.Questions)
	d.questions = questionsOf(now, before)
	t := now.Total()
	d.rates = Rates{rate(t.Abstained, t.N), rate(t.Flagged, t.N), rate(t.Ungrounded, t.N)}
	return d, nil
}

func covered(n int64) int64 {
	if n < telemetry.LeastCell {
		return 0
	}
	return n
}

// rate of counts that both tell of eleven at least.
func rate(n, of int64) *float64 {
	if of < telemetry.LeastCell || n < telemetry.LeastCell && n != 0 || of-n < telemetry.LeastCell && of != n {
		return nil
	}
	r := float64(n) / float64(of)
	return &r
}

// driftOf what was found, without the site and without its text.
func driftOf(f *fleet.Found) (d Drift, ok bool) {
	d = Drift{Kind: f.Kind, Level: f.Level, Fleet: f.Site == "", Figure: f.Figure, P: f.P, N: f.N}
	if f.N < telemetry.LeastCell {
		return d, false
	}
	d.Feature = known(f.Feature, ownFeatures())
	d.Kind = known(d.Kind, []string{monitor.DataDrift, monitor.EmbeddingDrift, monitor.PredictionDrift, monitor.ConceptDrift, monitor.Performance, monitor.Fairness, monitor.Quality})
	d.Level = known(d.Level, []string{monitor.Investigate, monitor.Act})
	for _, dim := range telemetry.Dimensions() {
		if dim.String() == f.By {
			d.By, d.Value = f.By, word(dim, f.Value)
		}
	}
	return d, true
}

// known is s where it is one of our own words.
func known(s string, of []string) string {
	if slices.Contains(of, s) {
		return s
	}
	return telemetry.Other
}

// ownFeatures are the features and rates that this program counts.
func ownFeatures() (out []string) {
	for _, f := range telemetry.Features() {
		out = append(out, f.String())
	}
	for _, d := range telemetry.Dimensions() {
		out = append(out, d.String())
	}
	return append(out, monitor.Projection, "refused", "grounded", "ungrounded", "abstained", "flagged", "agreed", "composite")
}

var (
	ages  = regexp.MustCompile(`^([0-9]{1,3}-[0-9]{1,3}|[0-9]{1,3}\+)$`)
	loinc = regexp.MustCompile(`^[0-9]{1,7}-[0-9]$`)
	topic = regexp.MustCompile(`^c([0-9]{1,2})$`)
)

// word of a dimension, where it is one of this program's own tables or an age; else it is
// among the others, whatever a site has called it.
func word(d telemetry.Dimension, value string) string {
	own := false
	switch d {
	case telemetry.Kind:
		_, own = templates[value]
	case telemetry.Class:
		own = slices.Contains(names.Classes(), value)
	case telemetry.Section:
		own = loinc.MatchString(value)
	case telemetry.Cohort:
		own = ages.MatchString(value)
	case telemetry.Occupancy:
		if m := topic.FindStringSubmatch(value); m != nil {
			if i, err := strconv.Atoi(m[1]); err == nil && i < len(telemetry.Anchors()) {
				return telemetry.Anchors()[i]
			}
		}
	case telemetry.Outcome, telemetry.Mode, telemetry.Fallback, telemetry.Severity, telemetry.Cached:
		own = telemetry.Known(d, value)
	}
	if own || value == telemetry.None {
		return value
	}
	return telemetry.Other
}

func questionsOf(now, before *telemetry.Window) Questions {
	q := Questions{Asked: covered(now.Questions), Templates: map[string][]Template{}}
	q.Kinds, q.Classes, q.Sections = shares(now, before, telemetry.Kind), shares(now, before, telemetry.Class), shares(now, before, telemetry.Section)
	q.Topics, q.Cohorts = shares(now, before, telemetry.Occupancy), shares(now, before, telemetry.Cohort)
	for kind, texts := range templates {
		for i, t := range texts {
			q.Templates[kind] = append(q.Templates[kind], Template{t, i == len(texts)-1})
		}
	}
	return q
}

// counts of a dimension's values; those of fewer than eleven are left out.
func counts(w *telemetry.Window, d telemetry.Dimension) (by map[string]int64, of int64) {
	by = map[string]int64{}
	if w == nil {
		return by, 0
	}
	for value, s := range w.Slices[d] {
		if v := word(d, value); v != telemetry.None { // it has none
			by[v] += s.N
		}
	}
	maps.DeleteFunc(by, func(_ string, n int64) bool { return n < telemetry.LeastCell })
	for _, n := range by {
		of += n
	}
	return by, of
}

func shares(now, before *telemetry.Window, d telemetry.Dimension) []Share {
	out := []Share{}
	by, of := counts(now, d)
	was, wasOf := counts(before, d)
	for _, v := range slices.Sorted(maps.Keys(by)) {
		s := Share{Value: v, N: by[v], Weight: float64(by[v]) / float64(of)}
		if wasOf > 0 {
			s.Before = &Before{was[v], float64(was[v]) / float64(wasOf)}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b Share) int { return cmp.Compare(b.N, a.N) })
	return out
}
