package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/centre/survey"
	"rxedge/daemon/telemetry/explain"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/sync/central"
)

func (a *app) centralFleet(dir *string) *cobra.Command {
	c := &cobra.Command{Use: "fleet", Short: "What the sites' answers are like, as numbers; which sites are unlike the others",
		Long: `What the sites' answers are like, as numbers that they send of each day: never a word of a
question, and no number of fewer than eleven questions. 'drift', 'fairness' and 'quality' take
up what is new at the hub and show the fleet, each site, and the sites that are unlike the
others. 'run' goes on taking up, and asks for a model to be trained anew where its questions
or answers have changed; each such request, and who approved it, is a signed record.`,
		Example: `  rxedge central fleet drift --since 14d
  rxedge central fleet run
  rxedge central fleet approve retrain-3 --note "new class of medicines"`, RunE: group}
	c.AddCommand(a.fleetOverview(dir), a.fleetSites(dir), a.fleetDrift(dir), a.fleetFairness(dir), a.fleetQuality(dir), a.fleetRun(dir), a.fleetRequests(dir), a.fleetDecide(dir, true), a.fleetDecide(dir, false), a.fleetPropose(dir), a.fleetThresholds(dir), a.fleetRecord(dir))
	return c
}

// fleetQuery is what is asked of the fleet's days.
type fleetQuery struct {
	sites, labels, hubs []string
	since, until        string
	local               bool
}

func (q *fleetQuery) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVar(&q.sites, "site", nil, "`site` to show alone; it is compared with all")
	fl.StringArrayVar(&q.labels, "label", nil, "`KEY=VALUE` that the sites have which are looked at and compared")
	fl.StringVar(&q.since, "since", "7d", "from when on: `days` such as 14d, or a date")
	fl.StringVar(&q.until, "until", "", "`date` before which (default: all that the sites have sent)")
	q.hubFlags(c)
}

func (q *fleetQuery) hubFlags(c *cobra.Command) {
	c.Flags().BoolVar(&q.local, "local", false, "do not ask the hub for what is new")
	c.Flags().StringArrayVar(&q.hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
}

// fleetData is what was read.
type fleetData struct {
	*survey.Days
	taken *central.Taken
}

// readFleet takes up what is new, and reads the days that q asks for and those before.
func (a *app) readFleet(ctx context.Context, f *central.Folder, q *fleetQuery) (*fleetData, error) {
	set, drop, err := parseLabels(q.labels)
	if err != nil || len(drop) > 0 {
		return nil, usage("--label: write KEY=VALUE")
	}
	ask := survey.Query{Sites: q.sites, Labels: set}
	if q.until != "" {
		if ask.Until, err = time.Parse(time.DateOnly, q.until); err != nil {
			return nil, usage("--until: %q is no date; write such as 2026-03-31", q.until)
		}
	}
	if _, err := fmt.Sscanf(q.since, "%dd", &ask.Last); err != nil || ask.Last < 1 || ask.Last > 366 || q.since != fmt.Sprintf("%dd", ask.Last) {
		if ask.Since, err = time.Parse(time.DateOnly, q.since); err != nil {
			return nil, usage("--since: %q is neither days such as 14d nor a date", q.since)
		}
	}
	if !q.local {
		if _, err := f.TakeReports(ctx, q.hubs, survey.Readers()); errors.Is(err, central.ErrTaking) {
			a.note("%v; this is what was taken up so far\n", err)
		} else if err != nil {
			return nil, fmt.Errorf("%w; --local shows what was taken up before", err)
		}
	}
	d := &fleetData{}
	if d.taken, err = f.Taken(); err != nil {
		return nil, err
	}
	if d.Days, err = survey.Read(ctx, f, ask); errors.Is(err, survey.ErrNoDays) {
		return nil, usage("--since: %w", err)
	} else if err != nil {
		return nil, err
	}
	if d.Damaged > 0 {
		a.note("%d windows or alarms in the centre's folder are damaged and were left out\n", d.Damaged)
	}
	return d, nil
}

// received is what a report says of what it was made from.
type received struct {
	Damaged int                                                 `json:"damaged"`
	Refused map[string]map[central.ReportCode]*central.Refusals `json:"refused"`
}

func (d *fleetData) received() received {
	r := received{d.Damaged, d.taken.Refused}
	if r.Refused == nil {
		r.Refused = map[string]map[central.ReportCode]*central.Refusals{}
	}
	return r
}

// only keeps what is of the sites that were named; all where none was.
func only[T any](of []T, sites []string, site func(T) string) []T {
	if len(sites) == 0 {
		return of
	}
	return slices.DeleteFunc(of, func(x T) bool { return !slices.Contains(sites, site(x)) })
}

func (q *fleetQuery) outliers(o []fleet.Outlier) []fleet.Outlier {
	return only(o, q.sites, func(x fleet.Outlier) string { return x.Site })
}

func (q *fleetQuery) left(o []fleet.Left) []fleet.Left {
	return only(o, q.sites, func(x fleet.Left) string { return x.Site })
}

// fleetOf is a command that reads the days and reports.
func (a *app) fleetOf(dir *string, c *cobra.Command, report func(d *fleetData, q *fleetQuery) (any, func(), error)) *cobra.Command {
	var q fleetQuery
	c.Args = args(cobra.NoArgs)
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := a.centre(*dir)
		if err != nil {
			return err
		}
		d, err := a.readFleet(c.Context(), f, &q)
		if err != nil {
			return err
		}
		out, show, err := report(d, &q)
		if err != nil {
			return err
		}
		if a.json {
			return a.print(out)
		}
		if len(d.Days.Days) == 0 {
			a.printf("No site has sent a day yet. A day is sent once it is over, in UTC.\n")
		} else {
			show()
		}
		for _, s := range d.taken.RefusedSites() {
			for _, code := range slices.Sorted(maps.Keys(d.taken.Refused[s])) {
				r := d.taken.Refused[s][code]
				a.printf("Refused of %s: %d, %s, the last on %s: %s\n", s, r.Count, code, r.Last.Local().Format(time.DateTime), printableText(r.Reason))
			}
		}
		return nil
	}
	q.flags(c)
	return c
}

func (a *app) scope(s fleet.Scope) {
	a.printf("%d questions of %d sites on %d days, %s to %s\n", s.Questions, s.Sites, s.Days, s.From.Format(time.DateOnly), s.To.AddDate(0, 0, -1).Format(time.DateOnly))
}

func (a *app) outliers(out []fleet.Outlier, left []fleet.Left) {
	if len(out) == 0 {
		a.printf("No site stands out.\n")
	}
	for _, o := range out {
		a.printf("  stands out: %s (q %.1g, %d questions)\n", printableText(o.Text), o.Q, o.N)
	}
	for _, l := range left {
		a.printf("  not compared: %s, %d questions: %s\n", l.Site, l.Questions, l.Why)
	}
}

func (a *app) fleetDrift(dir *string) *cobra.Command {
	return a.fleetOf(dir, &cobra.Command{Use: "drift", Short: "What has changed beside the first week, where, and which sites are unlike the others",
		Example: `  rxedge central fleet drift --label region=north --since 14d --json`}, func(d *fleetData, q *fleetQuery) (any, func(), error) {
		r, err := fleet.Drift(d.Days.Days, d.Options)
		if err != nil {
			return nil, nil, err
		}
		for i := range r.Models {
			m := &r.Models[i]
			m.Sites = only(m.Sites, q.sites, func(s fleet.SiteDrift) string { return s.Site })
			m.StandingOut, m.LeftOut = q.outliers(m.StandingOut), q.left(m.LeftOut)
		}
		told := only(append([]fleet.Told{}, d.Told...), q.sites, func(t fleet.Told) string { return t.Site })
		return struct {
				*fleet.DriftReport
				Told []fleet.Told `json:"told"`
				received
			}{r, told, d.received()}, func() {
				a.scope(r.Scope)
				for _, m := range r.Models {
					a.printf("\n%s, %d questions, on %s\n", orNone(m.Model), m.Questions, printableText(strings.Join(m.Generations, ", ")))
					if m.Baseline == nil {
						a.printf("There is no first week to compare with yet.\n")
					} else {
						var rows []table.Row
						for _, f := range m.Features {
							rows = append(rows, table.Row{f.Name, f.Kind, fmt.Sprintf("%.3f", f.PSI), fmt.Sprintf("%.2g", f.P), f.Verdict})
						}
						a.table(table.Row{"feature", "kind", "PSI", "p", "verdict"}, rows[:min(len(rows), 8)])
					}
					for _, x := range m.Alarms {
						a.printf("  fleet, %s: %s (p %.1g)\n", x.Level, printableText(x.Text), x.P)
					}
					for _, s := range m.Sites {
						for _, x := range s.Alarms {
							a.printf("  %s, %s: %s (p %.1g)\n", s.Site, x.Level, printableText(x.Text), x.P)
						}
					}
					a.outliers(m.StandingOut, m.LeftOut)
				}
				for _, t := range told {
					a.printf("  %s told on %s, %s: %s\n", t.Site, t.Day.Format(time.DateOnly), t.Alarm.Level, printableText(t.Alarm.Text))
				}
			}, nil
	})
}

func (a *app) fleetFairness(dir *string) *cobra.Command {
	return a.fleetOf(dir, &cobra.Command{Use: "fairness", Short: "Groups of patients compared, over all sites and at each",
		Long: `Groups of patients compared: what is refused of their questions, and, of those of which
somebody said whether the answer was bad, the rates of the guard's decisions with 95 %
intervals. What is undefined stays so and passes nothing.`,
		Example: `  rxedge central fleet fairness --since 28d`}, func(d *fleetData, q *fleetQuery) (any, func(), error) {
		r, err := fleet.Fairness(d.Days.Days, d.Options)
		if err != nil {
			return nil, nil, err
		}
		r.Sites = only(r.Sites, q.sites, func(s fleet.SiteFairness) string { return s.Site })
		r.StandingOut, r.LeftOut = q.outliers(r.StandingOut), q.left(r.LeftOut)
		return struct {
				*fleet.FairnessReport
				received
			}{r, d.received()}, func() {
				a.scope(r.Scope)
				var rows []table.Row
				for _, g := range sortedKeys(r.Groups) {
					x := r.Groups[g]
					row := table.Row{g, x.N, percent(x.Rate), x.Judged, "–", "–"}
					if r.Judged != nil {
						j := r.Judged.Groups[g]
						row[4], row[5] = percent(j.TPR), percent(j.FPR)
					}
					rows = append(rows, row)
				}
				a.table(table.Row{"group", "questions", "refused", "judged", "TPR", "FPR"}, rows)
				for _, f := range r.Findings {
					a.printf("  %s: %s is %.3f, limit %.2f (%s to %s)\n", f.Level, f.Figure, f.Value, f.Limit, f.Lowest, f.Most)
				}
				for _, f := range r.Uncertain {
					a.printf("  not certain: %s is %.3f, limit %.2f (%s to %s); up to %d of each count wait at the sites, too few each to be sent\n", f.Figure, f.Value, f.Limit, f.Lowest, f.Most, r.Waiting)
				}
				for _, u := range r.Unsettled {
					a.printf("  not certain: %s is within its limit as far as counts were sent\n", u)
				}
				if r.Judged != nil {
					for _, u := range r.Judged.Undefined {
						a.printf("  undefined: %s\n", u)
					}
				} else {
					a.printf("  undefined: rates of judged answers, because fewer than two groups have any\n")
				}
				a.outliers(r.StandingOut, r.LeftOut)
			}, nil
	})
}

func (a *app) fleetQuality(dir *string) *cobra.Command {
	return a.fleetOf(dir, &cobra.Command{Use: "quality", Short: "How good the answers are at each site",
		Long: `How good the answers are, of all sites and of each. "agrees" is the part of the questions
asked twice in which a model agrees with itself at full precision: at least, where as many
disagreements wait at the sites as can be too few to be sent, and as far as was sent. Below it is what made the
guard doubt: exact Shapley values, added up by cohort, of eleven answers at least.`,
		Example: `  rxedge central fleet quality --site pharmacy-17`}, func(d *fleetData, q *fleetQuery) (any, func(), error) {
		r, err := fleet.Quality(d.Days.Days, d.Options)
		if err != nil {
			return nil, nil, err
		}
		r.Sites = only(r.Sites, q.sites, func(s fleet.SiteQuality) string { return s.Site })
		r.StandingOut, r.LeftOut = q.outliers(r.StandingOut), q.left(r.LeftOut)
		return struct {
				*fleet.QualityReport
				received
			}{r, d.received()}, func() {
				a.scope(r.Scope)
				row := func(name string, n int64, x fleet.Rates) table.Row {
					ms := "–"
					if x.P95 != nil {
						ms = fmt.Sprintf("%.0f", *x.P95)
					}
					agrees := percent(x.Agreement)
					if x.AgreementLeast != nil {
						agrees = fmt.Sprintf("%.0f – %.0f %%", 100**x.AgreementLeast, 100**x.Agreement)
					}
					return table.Row{name, n, percent(x.Abstained), percent(x.Failed), percent(x.Grounded), percent(x.Flagged), percent(x.Approved), x.Judged, agrees, x.Pairs, ms}
				}
				rows := []table.Row{row("all", r.Questions, r.Rates)}
				for _, s := range r.Sites {
					rows = append(rows, row(s.Site, s.Questions, s.Rates))
				}
				a.table(table.Row{"site", "questions", "abstained", "failed", "grounded", "doubted", "approved", "judged", "agrees", "asked twice", "p95 ms"}, rows)
				drivers := func(site string, whys []explain.Why) (rows []table.Row) {
					for _, w := range whys {
						if w.What == explain.Usual {
							continue
						}
						for _, d := range w.Drivers[:min(3, len(w.Drivers))] {
							excess := "–"
							if d.Excess != nil {
								excess = fmt.Sprintf("%+.1f", *d.Excess)
							}
							rows = append(rows, table.Row{site, printableText(w.Cohort), w.What, w.N, d.Feature, fmt.Sprintf("%+.1f", d.Points), excess})
						}
					}
					return rows
				}
				rows = drivers("all", r.Why)
				for _, s := range r.Sites {
					rows = append(rows, drivers(s.Site, s.Why)...)
				}
				if len(rows) > 0 {
					a.printf("\nWhat made the guard doubt: points of probability that a feature added, on average, and how many more than to answers that were not doubted\n")
					a.table(table.Row{"site", "cohort", "answers", "n", "feature", "points", "excess"}, rows)
				}
				a.outliers(r.StandingOut, r.LeftOut)
			}, nil
	})
}
