package survey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/sync/central"
)

// Readers read what sites send.
func Readers() central.Readers {
	return central.Readers{
		Window: func(b []byte) (central.WindowOf, error) {
			w, err := fleet.ReadWindow(b)
			switch {
			case errors.Is(err, telemetry.ErrSchema):
				return central.WindowOf{}, &central.ReportError{Code: central.ReportSchema, Reason: err.Error()}
			case errors.Is(err, fleet.ErrUncovered):
				return central.WindowOf{}, &central.ReportError{Code: central.ReportUncovered, Reason: err.Error()}
			case err != nil:
				return central.WindowOf{}, &central.ReportError{Code: central.ReportDamaged, Reason: err.Error()}
			}
			return central.WindowOf{From: w.From, To: w.To, Model: w.Model, Generation: w.Generation, Questions: w.Questions}, nil
		},
		Alarm: func(b []byte) error {
			_, err := fleet.ReadAlarm(b)
			return err
		},
	}
}

// Query is what is asked of the fleet's days.
type Query struct {
	// Sites that have to be there, with Labels; reports are of all that have Labels.
	Sites  []string
	Labels map[string]string
	// Since; where it is zero, Last days before Until. Until zero: all that was sent.
	Since, Until time.Time
	Last         int
}

// LastWeek is what is asked where nothing else is.
func LastWeek() Query { return Query{Last: 7} }

// Days of a fleet, as they were read.
type Days struct {
	Days    []fleet.Day
	Told    []fleet.Told
	Options fleet.Options
	Damaged int // windows or alarms that can't be read
}

// ErrNoDays: no day was sent from Query.Since on.
var ErrNoDays = errors.New("no day was sent since then")

// Read the days that q asks for, and of those before the ones that baselines are made
// of: each site's first days of each model, which is exactly what fleet.Drift makes of
// all of them.
func Read(ctx context.Context, f *central.Folder, q Query) (*Days, error) {
	d := &Days{}
	sites, err := f.Sites()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, s := range sites {
		known[s.ID] = true
		for k, v := range q.Labels {
			known[s.ID] = known[s.ID] && s.Labels[k] == v
		}
	}
	for _, s := range q.Sites {
		if !known[s] {
			return nil, fmt.Errorf("%s: %w with those labels", s, central.ErrNoSite)
		}
	}
	from := q.Since
	if from.IsZero() {
		from = time.Now().UTC().AddDate(0, 0, -q.Last-60)
		if !q.Until.IsZero() {
			from = q.Until.AddDate(0, 0, -q.Last)
		}
	}
	names, err := f.WindowNames(from.Add(-fleet.LookBack), q.Until, func(s string) bool { return known[s] })
	if err != nil {
		return nil, err
	}
	until := q.Until
	if until.IsZero() {
		for _, n := range names {
			if to := n.Day.AddDate(0, 0, 1); to.After(until) {
				until = to
			}
		}
	}
	d.Options = fleet.DefaultOptions(until)
	d.Options.Since = d.Options.Until.AddDate(0, 0, -q.Last)
	if !q.Since.IsZero() {
		d.Options.Since = q.Since
	}
	if !d.Options.Since.Before(d.Options.Until) && len(names) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoDays, d.Options.Since.Format(time.DateOnly))
	}
	need := newNeed(d.Options.Since)
	for _, n := range names {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !need.wants(n) {
			continue
		}
		k, err := f.Window(n)
		if err != nil {
			return nil, err
		}
		w, err := fleet.ReadWindow(k.Data)
		if err != nil {
			d.Damaged++
			continue
		}
		if need.takes(n, w) {
			d.Days = append(d.Days, fleet.Day{Site: k.Site, Hash: k.Hash.String(), Window: w})
		}
	}
	err = f.Alarms(d.Options.Since, d.Options.Until.AddDate(0, 0, 2), func(s string) bool { return known[s] }, func(k central.Kept) error {
		o, err := fleet.ReadAlarm(k.Data)
		if err != nil {
			d.Damaged++
			return nil
		}
		d.Told = append(d.Told, fleet.Told{Site: k.Site, Day: k.Day, Alarm: o.Alarm})
		return nil
	})
	return d, err
}

// need says which windows are read: those since, and of each site and model the first
// days before, as many as a baseline has. Windows come in order of sites and days.
type need struct {
	since time.Time
	model map[string]string // by the part of a name that is of its model and generation
	site  string
	first map[string][]time.Time // of this site, by model
}

func newNeed(since time.Time) *need { return &need{since: since, model: map[string]string{}} }

// wants says whether the window of a name has to be read.
func (n *need) wants(name central.WindowName) bool {
	if name.Site != n.site {
		n.site, n.first = name.Site, map[string][]time.Time{}
	}
	model, known := n.model[of(name)]
	return !known || n.keeps(name.Day, model)
}

// of is the part of a window's name that says of which model and generation it is.
func of(name central.WindowName) string {
	_, rest, _ := strings.Cut(name.Name, ".")
	return rest
}

func (n *need) keeps(day time.Time, model string) bool {
	days := n.first[model]
	return !day.Before(n.since) || len(days) < monitor.BaselineDays || slices.ContainsFunc(days, day.Equal)
}

// takes says whether a window that was read is kept.
func (n *need) takes(name central.WindowName, w *telemetry.Window) bool {
	n.model[of(name)] = w.Model
	if !n.keeps(name.Day, w.Model) {
		return false
	}
	if days := n.first[w.Model]; name.Day.Before(n.since) && !slices.ContainsFunc(days, name.Day.Equal) {
		n.first[w.Model] = append(days, name.Day)
	}
	return true
}
