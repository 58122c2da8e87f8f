package box

import (
	"context"
	"maps"
	"slices"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/sequential"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/fairness"
	"rxedge/daemon/telemetry/monitor"
)

const (
	stationHours    = 48
	stationRollouts = 20
	// stationEvery is how old what the page is given may be: several may be open.
	stationEvery = 4 * time.Second
	// stationSamples of the bootstrap of fairness, and the error outside each side
	// of an interval.
	stationSamples = 500
	stationAlpha   = 0.025
)

// Station is what the technician's page shows.
func (b *Box) Station(ctx context.Context) (api.Station, error) {
	w := b.telemetry
	w.page.Lock()
	defer w.page.Unlock()
	if w.paged != nil && time.Since(w.pagedAt) < stationEvery {
		return *w.paged, nil
	}
	st := api.Station{At: b.clock.Now().UTC(), Health: b.Health(), Cards: []api.StationCard{}, Models: []api.StationModel{}, Rollouts: []api.StationRollout{}}
	st.Disk = b.stationDisk()
	st.Cards, st.CardsFault = b.stationCards()
	if s, err := b.SyncStatus(ctx); err == nil && s.Enrolled {
		st.Link = &api.StationLink{Site: s.Site}
		if u := s.Uplink; u != nil {
			st.Link.Connected, st.Link.Since, st.Link.Code, st.Link.Waiting = u.Connected, u.Since, u.Code, u.Waiting.Messages
		}
	}
	if err := b.stationRollouts(ctx, &st); err != nil {
		return st, err
	}
	var err error
	if st.Hours, err = w.stationHours(st.At); err != nil {
		return st, err
	}
	t, err := b.Telemetry(ctx, 24)
	if err != nil {
		return st, err
	}
	st.Day = api.StationDay{Questions: t.Questions, Distinct: t.Distinct, Abstained: t.Abstained, Failed: t.Failed, Grounded: t.Grounded,
		Flagged: t.Flagged, Approved: t.Approved, P50: t.P50, P95: t.P95, P99: t.P99}
	for _, m := range t.Models {
		st.Models = append(st.Models, api.StationModel{Model: m.Model, Learning: m.Learning, Baseline: m.Baseline, Features: shown(m.Features), Alarms: shownAlarms(m.Alarms), Agreement: shownAgreement(m.Agreement)})
	}
	st.Twice = api.StationTwice{Model: t.FullPrecision.Model, Share: t.FullPrecision.Share, Off: t.FullPrecision.Off}
	if st.Fairness, err = stationFairness(t.By[telemetry.Cohort.String()]); err != nil {
		return st, err
	}
	w.paged, w.pagedAt = &st, time.Now()
	return st, nil
}

func (b *Box) stationCards() ([]api.StationCard, string) {
	c := &b.cards
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []api.StationCard{}
	if c.snap == nil {
		return out, c.fault
	}
	for _, g := range c.snap.Cards {
		s := api.StationCard{Index: g.Index, Name: g.Name, Temperature: g.Temperature.Now, Slowdown: g.Temperature.Slowdown, Power: g.Power.Draw, PowerLimit: g.Power.Limit, Fault: g.Fault}
		if g.Memory != nil {
			s.MemoryUsed, s.MemoryTotal = g.Memory.Used, g.Memory.Total
		}
		if g.Utilisation != nil {
			s.Busy = &g.Utilisation.GPU
		}
		_, s.Throttled = g.Clocks.Throttled()
		if f := c.faults[g.Index]; f != "" {
			s.Fault = f
		}
		out = append(out, s)
	}
	return out, c.fault
}

func (b *Box) stationRollouts(ctx context.Context, st *api.Station) error {
	r, err := b.RolloutStatus(ctx)
	if err != nil {
		return err
	}
	s := r.Serving
	st.Serving = &api.StationServing{Pair: s.Pair, Bundle: s.Bundle, Slot: string(s.Slot), Since: s.Since, Generation: s.Generation, Model: s.Model}
	records, err := b.RolloutHistory(ctx)
	if err != nil {
		return err
	}
	pairs := map[string]*rollout.Pair{}
	for _, x := range records {
		for _, p := range []*rollout.Pair{x.Pair, x.From, x.Back} {
			if p != nil {
				pairs[p.ID] = p
			}
		}
	}
	slices.Reverse(records)
	for _, x := range records[:min(stationRollouts, len(records))] {
		line := api.StationRollout{At: x.At, Op: string(x.Op), Pair: x.ID, Check: x.Check}
		if p := pairs[x.ID]; p != nil {
			line.Bundle, line.Generation, line.Model = p.Bundle, p.Generation, p.Model.Name
		}
		st.Rollouts = append(st.Rollouts, line)
	}
	return nil
}

// stationHours are the last hours, each of all models together.
func (w *watching) stationHours(now time.Time) ([]api.StationHour, error) {
	first := now.Truncate(time.Hour).Add(-(stationHours - 1) * time.Hour)
	ws, err := w.recorder.Hours(first)
	if err != nil {
		return nil, err
	}
	by := map[time.Time][]*telemetry.Window{}
	for _, x := range ws {
		by[x.From] = append(by[x.From], x)
	}
	out := make([]api.StationHour, stationHours)
	for i := range out {
		h := api.StationHour{From: first.Add(time.Duration(i) * time.Hour)}
		sum, err := telemetry.Sum(by[h.From])
		if err != nil {
			return nil, err
		}
		if sum != nil {
			all, answered := sum.Total(), answeredOf(sum)
			h.Questions, h.Abstained = sum.Questions, all.Abstained
			h.Grounded = share(answered-all.Ungrounded, answered)
			for q, to := range map[float64]**float64{0.5: &h.P50, 0.95: &h.P95} {
				if v, ok := sum.Quantile("total", q); ok {
					*to = &v
				}
			}
		}
		out[i] = h
	}
	return out, nil
}

// shown is the features without values that too few questions have: what a client
// calls a cohort could tell of one.
func shown(fs []monitor.Feature) []monitor.Feature {
	out := make([]monitor.Feature, 0, len(fs))
	for _, f := range fs {
		var bars []drift.Bar
		rest := drift.Bar{Category: telemetry.Other}
		for _, x := range f.Bins {
			if x.Category != "" && x.Category != telemetry.Other && max(x.Baseline, x.Current) >= telemetry.LeastCell || x.Category == "" {
				bars = append(bars, x)
				continue
			}
			rest.Baseline, rest.Current, rest.PSI = rest.Baseline+x.Baseline, rest.Current+x.Current, rest.PSI+x.PSI
		}
		if rest.Baseline+rest.Current > 0 {
			bars = append(bars, rest)
		}
		f.Bins = bars
		out = append(out, f)
	}
	return out
}

// shownAgreement is without what too few pairs say.
func shownAgreement(a *monitor.Agreement) *monitor.Agreement {
	if a == nil || a.Pairs < telemetry.LeastCell {
		return nil
	}
	out := &monitor.Agreement{Pairs: a.Pairs, Agreed: a.Agreed, Checks: map[string]monitor.CheckShare{}, Measures: map[string][]monitor.Bin{}}
	for k, s := range a.Checks {
		if s.N >= telemetry.LeastCell {
			out.Checks[k] = s
		}
	}
	return out
}

// shownAlarms does the same to what a change was traced to.
func shownAlarms(as []monitor.Open) []monitor.Open {
	out := slices.Clone(as)
	for i, a := range out {
		few := a.Current == nil || *a.Current*float64(a.N) < telemetry.LeastCell
		if a.By == a.Feature && a.By == telemetry.Cohort.String() && few {
			out[i].Value, out[i].Text = telemetry.Other, "the cohorts that clients name have moved"
		}
	}
	return out
}

func stationFairness(cohorts map[string]*telemetry.Slice) (api.StationFairness, error) {
	out := api.StationFairness{Cohorts: []api.StationCohort{}}
	judged := map[string]fairness.Counts{}
	for _, name := range slices.Sorted(maps.Keys(cohorts)) {
		s := cohorts[name]
		switch {
		case name == telemetry.None || s.N == 0:
			continue
		case s.N < telemetry.LeastCell:
			out.Hidden++
			continue
		}
		low, high := sequential.Wilson(int(s.Refused), int(s.N), stationAlpha)
		out.Cohorts = append(out.Cohorts, api.StationCohort{Cohort: name, N: s.N, Refused: float64(s.Refused) / float64(s.N), Low: low, High: high, Judged: s.Judged.N()})
		if s.Judged.N() > 0 {
			judged[name] = s.Judged
		}
	}
	if len(judged) < 2 {
		return out, nil
	}
	r, err := fairness.Of(judged)
	if err == nil {
		err = r.Bootstrap(judged, stationSamples)
	}
	out.Report = &r
	return out, err
}

// answeredOf counts the questions that were neither abstained from nor failed.
func answeredOf(w *telemetry.Window) int64 {
	all := w.Total()
	n := all.N - all.Abstained
	if s := w.Slices[telemetry.Outcome][telemetry.Failed]; s != nil {
		n -= s.N
	}
	return n
}
