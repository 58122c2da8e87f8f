// Package fleet compares what many sites have counted: over time, and with one
// another. It is arithmetic over windows that may leave a box, so every number in
// its reports is 0 or of eleven questions at least.
package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/monitor"
)

// Day is one site's window of a day.
type Day struct {
	Site   string
	Hash   string // of what the site sent, hex
	Window *telemetry.Window
}

// Options of reports.
type Options struct {
	// Since and Until bound the time looked at: days from the one on, before the other.
	// Days before Since are read for baselines.
	Since, Until time.Time
	Limits       monitor.Limits
	// FalseDiscovery is the share of the sites said to stand out that may do so by
	// chance (Benjamini–Hochberg).
	FalseDiscovery float64
}

// DefaultOptions looks at the week before until.
func DefaultOptions(until time.Time) Options {
	until = until.UTC().Truncate(24 * time.Hour)
	l := monitor.DefaultLimits()
	l.Least = leastPeriod
	return Options{Since: until.AddDate(0, 0, -7), Until: until, Limits: l, FalseDiscovery: 0.01}
}

// leastPeriod is the fewest questions of a site in the time looked at that are
// compared: with fewer, what waits to be of eleven makes too much of them.
const leastPeriod = 500

// waiting are the limits for windows of so many streams.
func (o *Options) waiting(streams int) monitor.Limits {
	l := o.Limits
	l.Waiting = int64(streams) * (telemetry.LeastCell - 1)
	return l
}

// streams of days in each of which some of each count may wait: one of each site, model
// and generation.
func streams(days []Day) int {
	type stream struct{ site, model, generation string }
	all := map[stream]bool{}
	for _, d := range days {
		all[stream{d.Site, d.Window.Model, d.Window.Generation}] = true
	}
	return len(all)
}

// LeastPeers is how few sites can't be told apart: of two that differ, who knows
// which one it is.
const LeastPeers = 3

// Scope of a report.
type Scope struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Questions int64     `json:"questions"`
	Sites     int       `json:"sites"`
	Days      int       `json:"days"`
}

// Left is a site that was not compared.
type Left struct {
	Site      string `json:"site"`
	Questions int64  `json:"questions"`
	Why       string `json:"why"`
}

// Outlier is a site that is unlike the others.
type Outlier struct {
	Site    string `json:"site"`
	Feature string `json:"feature"`
	Kind    string `json:"kind"`
	// By and Value say where it differs most.
	By    string `json:"by,omitempty"`
	Value string `json:"value,omitempty"`
	// PSI against the others together, of a distribution; Difference of a rate.
	PSI        *float64 `json:"psi,omitempty"`
	Difference *float64 `json:"difference,omitempty"`
	P          float64  `json:"p"`
	Q          float64  `json:"q"`    // P with all comparisons accounted for
	Here       float64  `json:"here"` // shares at the site and its peers
	Peers      float64  `json:"peers"`
	N          int64    `json:"n"`
	Text       string   `json:"text"`
	// PeerSites is how many sites it was compared with, Pool which: those compared, less
	// those that differ more.
	PeerSites int      `json:"peer_sites"`
	Pool      []string `json:"-"`
}

// model is the days of one model.
type model struct {
	name string
	days []Day
}

// split by model, in the order of sites and days.
func split(days []Day) []model {
	by := map[string]*model{}
	for _, d := range days {
		m := by[d.Window.Model]
		if m == nil {
			m = &model{name: d.Window.Model}
			by[d.Window.Model] = m
		}
		m.days = append(m.days, d)
	}
	var out []model
	for _, n := range slices.Sorted(maps.Keys(by)) {
		m := by[n]
		slices.SortStableFunc(m.days, func(a, b Day) int {
			return cmp.Or(a.Window.From.Compare(b.Window.From), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Window.Generation, b.Window.Generation))
		})
		out = append(out, *m)
	}
	return out
}

// between keeps the days in [since, until).
func between(days []Day, since, until time.Time) []Day {
	return slices.DeleteFunc(slices.Clone(days), func(d Day) bool {
		return d.Window.From.Before(since) || !d.Window.From.Before(until)
	})
}

// sum of windows, over all generations; nil of none.
func sum(days []Day) (*telemetry.Window, error) {
	ws := make([]*telemetry.Window, len(days))
	for i := range days {
		ws[i] = days[i].Window
	}
	return telemetry.Sum(ws)
}

// bySite sums each site's windows.
func bySite(days []Day) (map[string]*telemetry.Window, error) {
	of := map[string][]Day{}
	for _, d := range days {
		of[d.Site] = append(of[d.Site], d)
	}
	out := map[string]*telemetry.Window{}
	for s, ds := range of {
		w, err := sum(ds)
		if err != nil {
			return nil, fmt.Errorf("merging the windows of %s: %w", s, err)
		}
		out[s] = w
	}
	return out, nil
}

// daily sums the windows of each day, in order.
func daily(days []Day) ([]*telemetry.Window, error) {
	of := map[time.Time][]Day{}
	for _, d := range days {
		of[d.Window.From] = append(of[d.Window.From], d)
	}
	var out []*telemetry.Window
	for _, at := range slices.SortedFunc(maps.Keys(of), time.Time.Compare) {
		w, err := sum(of[at])
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

func scope(days []Day, opt Options) Scope {
	s := Scope{From: opt.Since, To: opt.Until}
	sites, at := map[string]bool{}, map[time.Time]bool{}
	for _, d := range days {
		s.Questions += d.Window.Questions
		sites[d.Site], at[d.Window.From] = true, true
	}
	s.Sites, s.Days = len(sites), len(at)
	return s
}

func generations(days []Day) []string {
	g := map[string]bool{}
	for _, d := range days {
		g[d.Window.Generation] = true
	}
	return slices.Sorted(maps.Keys(g))
}

func name(model string) string {
	if model == "" {
		return "no model"
	}
	return model
}

// adjusted p-values after Benjamini and Hochberg (1995), in the order of p.
func adjusted(p []float64) []float64 {
	at := make([]int, len(p))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	out := make([]float64, len(p))
	least := 1.0
	for k := len(at) - 1; k >= 0; k-- {
		least = min(least, p[at[k]]*float64(len(p))/float64(k+1))
		out[at[k]] = least
	}
	return out
}
