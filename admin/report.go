package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/daemon/telemetry/report"
	"rxedge/sync/durable"
)

func (a *app) report() *cobra.Command {
	c := &cobra.Command{Use: "report", Short: "Write an audit of answers and fairness, or a model card, to read and to keep", Example: `  rxedge report audit --out audit.html`, RunE: group}
	c.AddCommand(a.reportOf("audit"), a.reportOf("model-card"))
	return c
}

func (a *app) reportOf(kind string) *cobra.Command {
	var q fleetQuery
	var folder, out, format, model string
	hours := box.MostHours
	c := &cobra.Command{Use: kind, Args: args(cobra.NoArgs)}
	c.Short, c.Long = "What the answers were like, how groups of patients fare, what has changed, from what", `Write what the answers were like, the figures of fairness with intervals and limits, what has
changed since the baseline, and what it was made from: of this box, or, with --fleet, of the
days that sites have sent to a centre ('rxedge central fleet run' takes them up). HTML is one
file that needs nothing else. No number is of fewer than eleven questions.`
	c.Example = `  rxedge report audit --out audit.html
  rxedge report audit --fleet ./central --label region=north --since 28d --format markdown`
	if kind == "model-card" {
		c.Short = "What is to be known of one model: use, quality, fairness, changes, lineage"
		c.Long = c.Short + ".\n\n" + c.Long
		c.Example = `  rxedge report model-card --model qwen2.5-1.5b --out card.html
  rxedge report model-card --model none --format markdown`
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if format == "" {
			format = "html"
			if e := filepath.Ext(out); e == ".md" || e == ".markdown" {
				format = "markdown"
			}
		}
		if format != "html" && format != "markdown" {
			return usage("--format: %q is neither html nor markdown", format)
		}
		if kind == "model-card" && model == "" {
			return usage("--model: name the model, or none for the sentences of the documents")
		}
		r := &report.Report{Kind: kind, Model: model, Made: time.Now(), Version: box.Version}
		if model == "none" {
			r.Model = ""
		}
		var err error
		if folder != "" {
			err = a.reportFleet(c.Context(), r, folder, &q)
		} else {
			err = a.reportBox(c.Context(), r, hours)
		}
		if err != nil {
			return err
		}
		if a.json {
			return a.print(r)
		}
		var b bytes.Buffer
		if format == "html" {
			err = r.HTML(&b)
		} else {
			err = r.Markdown(&b)
		}
		if err != nil {
			return err
		}
		if out == "" {
			_, err = a.out.Write(b.Bytes())
			return err
		}
		if err := durable.Write(filepath.Clean(out), b.Bytes()); err != nil {
			return err
		}
		a.printf("%s\n", out)
		return nil
	}
	fl := c.Flags()
	fl.StringVar(&out, "out", "", "`file` to write (default: to standard output)")
	fl.StringVar(&format, "format", "", "html or markdown (default: as the file is called)")
	fl.StringVar(&folder, "fleet", "", "`folder` of the centre: report on the fleet's sites, not on this box")
	fl.IntVar(&hours, "hours", hours, "hours to look back, of this box, at most 192")
	fl.StringArrayVar(&q.labels, "label", nil, "`KEY=VALUE` that the fleet's sites have which are reported on")
	fl.StringVar(&q.since, "since", "28d", "of a fleet, from when on: `days` such as 14d, or a date")
	fl.StringVar(&q.until, "until", "", "of a fleet, `date` before which")
	if kind == "model-card" {
		fl.StringVar(&model, "model", "", "`name` of the model; none: the sentences of the documents")
	}
	return c
}

func (a *app) reportBox(ctx context.Context, r *report.Report, hours int) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	t, err := s.Telemetry(ctx, hours)
	if err != nil {
		return err
	}
	r.Of, r.From, r.To, r.Asked = "this box", t.From, t.To, t.Questions
	r.Rates = fleet.Rates{Abstained: t.Abstained, Failed: t.Failed, Grounded: t.Grounded, Flagged: t.Flagged, Approved: t.Approved, P50: t.P50, P95: t.P95, P99: t.P99}
	for _, x := range t.By[telemetry.Outcome.String()] {
		r.Rates.Judged += x.Judged.N()
	}
	if r.Rates.Judged < telemetry.LeastCell {
		r.Hidden += r.Rates.Judged
		r.Rates.Judged, r.Rates.Approved = 0, nil
	}
	if t.Questions < telemetry.LeastCell {
		r.Hidden, r.Asked, r.Rates = t.Questions, 0, fleet.Rates{}
	}
	found := false
	for _, m := range t.Models {
		if r.Kind == "model-card" && m.Model != r.Model {
			continue
		}
		found = true
		x := report.Model{Name: m.Model, Asked: t.Questions, Features: m.Features}
		if m.Baseline != nil {
			x.Baseline = &fleet.Scope{From: *m.Baseline}
		}
		for _, o := range m.Alarms {
			x.Alarms = append(x.Alarms, o.Alarm)
		}
		if g := m.Agreement; g != nil && g.Pairs >= telemetry.LeastCell && g.Pairs > r.Rates.Pairs {
			r.Rates.Agreement, r.Rates.Pairs = g.Agreed, g.Pairs
		}
		r.Models = append(r.Models, x)
	}
	if r.Kind == "model-card" && !found {
		return fmt.Errorf("no question of these hours was answered by the model %q: %w", orNone(r.Model), errNotFound)
	}
	if r.Kind == "model-card" && len(t.Models) > 1 {
		a.note("Other models have answered too; figures of groups and of all answers are of all of them.\n")
	}
	groups, counts, hidden := report.GroupsOf(t.By[telemetry.Cohort.String()], true)
	r.Groups, r.Hidden = groups, r.Hidden+hidden
	r.Cover()
	return r.Judge(counts)
}

func (a *app) reportFleet(ctx context.Context, r *report.Report, folder string, q *fleetQuery) error {
	f, err := a.centre(folder)
	if err != nil {
		return err
	}
	q.local = true
	d, err := a.readFleet(ctx, f, q)
	if err != nil {
		return err
	}
	if r.Kind == "model-card" {
		d.Days.Days = slices.DeleteFunc(d.Days.Days, func(x fleet.Day) bool { return x.Window.Model != r.Model })
	}
	if len(d.Days.Days) == 0 {
		return fmt.Errorf("no site has sent a day of this: %w", errNotFound)
	}
	drift, err := fleet.Drift(d.Days.Days, d.Options)
	if err != nil {
		return err
	}
	fair, err := fleet.Fairness(d.Days.Days, d.Options)
	if err != nil {
		return err
	}
	quality, err := fleet.Quality(d.Days.Days, d.Options)
	if err != nil {
		return err
	}
	r.Of, r.From, r.To, r.Sites, r.Asked, r.Rates = "the fleet "+f.Name, drift.From, drift.To, drift.Sites, drift.Questions, quality.Rates
	if len(q.labels) > 0 {
		r.Of += fmt.Sprint(", sites with ", q.labels)
	}
	of := map[string]*telemetry.Slice{}
	for _, x := range d.Days.Days {
		if x.Window.From.Before(d.Options.Since) {
			continue
		}
		for v, s := range x.Window.Slices[telemetry.Cohort] {
			if of[v] == nil {
				of[v] = &telemetry.Slice{}
			}
			of[v].Merge(s)
		}
	}
	r.Groups, _, r.Hidden = report.GroupsOf(of, false)
	r.Judged, r.Findings, r.Uncertain, r.Unsettled, r.Waiting = fair.Judged, fair.Findings, fair.Uncertain, fair.Unsettled, fair.Waiting
	r.Outliers = append(append(r.Outliers, fair.StandingOut...), quality.StandingOut...)
	left := map[string]fleet.Left{}
	for _, l := range quality.LeftOut {
		left[l.Site] = l
	}
	for _, m := range drift.Models {
		x := report.Model{Name: m.Model, Generations: m.Generations, Asked: m.Questions, Baseline: m.Baseline, Features: m.Features, Alarms: m.Alarms}
		for _, s := range m.Sites {
			x.Alarms = append(x.Alarms, named(s)...)
		}
		for _, w := range d.Days.Days {
			if w.Window.Model == m.Model && !w.Window.From.Before(d.Options.Since) {
				x.Windows = append(x.Windows, fleet.WindowHash{Site: w.Site, Day: w.Window.From.Format(time.DateOnly), Generation: w.Window.Generation, SHA256: w.Hash})
			}
		}
		r.Outliers = append(r.Outliers, m.StandingOut...)
		for _, l := range m.LeftOut {
			left[l.Site] = l
		}
		r.Models = append(r.Models, x)
	}
	for _, s := range slices.Sorted(maps.Keys(left)) {
		r.LeftOut = append(r.LeftOut, left[s])
	}
	matters, err := f.Matters()
	if err != nil {
		return err
	}
	for _, m := range matters {
		x := report.Matter{ID: m.ID, State: m.State, Cause: m.Cause, By: m.Who, Reason: m.Reason, At: m.At}
		if m.Decided != nil {
			x.By, x.Reason, x.At = m.Decided.Who, m.Decided.Reason, m.Decided.At
		}
		r.Matters = append(r.Matters, x)
	}
	return nil
}

// named are a site's alarms, which say whose they are.
func named(s fleet.SiteDrift) []monitor.Alarm {
	out := slices.Clone(s.Alarms)
	for i := range out {
		out[i].Text = s.Site + ": " + out[i].Text
	}
	return out
}
