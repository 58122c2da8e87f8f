package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/centre/survey"
	"rxedge/sync/central"
)

// overlook the fleet once, as its page does.
func (a *app) overlook(ctx context.Context, dir *string, q *fleetQuery) (*survey.Overview, error) {
	f, err := a.centre(*dir)
	if err != nil {
		return nil, err
	}
	var at survey.AtHub
	if !q.local {
		if at, err = survey.Ask(ctx, f, q.hubs); err != nil {
			return nil, fmt.Errorf("%w; --local shows what is known here", err)
		}
		if _, err := f.TakeReports(ctx, q.hubs, survey.Readers()); err != nil && !errors.Is(err, central.ErrTaking) {
			return nil, fmt.Errorf("%w; --local shows what was taken up before", err)
		}
	}
	d, err := survey.Read(ctx, f, survey.LastWeek())
	if err != nil {
		return nil, err
	}
	answers, err := survey.AnswersOf(d)
	if err != nil {
		return nil, err
	}
	return survey.Overlook(f, at, answers)
}

func (a *app) fleetSites(dir *string) *cobra.Command {
	var q fleetQuery
	var health string
	c := &cobra.Command{Use: "sites", Short: "Each site: state, version, freshness, health and why, as the page shows it",
		Long: `Each site as the fleet page shows it: its state, version and bundle, when anything was heard of
it, how its answers of the last week were, and its health. "act": it refused a bundle or went
back from one, was silent for over 36 hours, or an alarm says to act. "look": it is behind, has
an alarm, or is unlike the other sites. "unknown": it is not enrolled, or has told nothing.`,
		Example: `  rxedge central fleet sites --health act
  rxedge central fleet sites --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if health != "" && !slices.Contains([]survey.Health{survey.HealthAct, survey.HealthLook, survey.HealthOK, survey.HealthUnknown}, survey.Health(health)) {
				return usage("--health: %q is none of act, look, ok, unknown", health)
			}
			o, err := a.overlook(c.Context(), dir, &q)
			if err != nil {
				return err
			}
			sites := only(o.Sites, q.sites, func(s survey.Site) string { return s.Site })
			if health != "" {
				sites = slices.DeleteFunc(sites, func(s survey.Site) bool { return s.Health != survey.Health(health) })
			}
			if a.json {
				return a.print(sites)
			}
			if len(sites) == 0 {
				a.printf("There is no such site.\n")
				return nil
			}
			var rows []table.Row
			for _, s := range sites {
				heard, why := "never", ""
				if s.Heard != nil {
					heard = survey.Ago(time.Since(*s.Heard))
				}
				if len(s.Reasons) > 0 {
					why = s.Reasons[0].Text
				}
				rows = append(rows, table.Row{s.Site, s.Health, s.Status, s.Version, fmt.Sprintf("%d of %d", s.Active, s.Newest), heard, s.LastDay, s.Questions, percent(s.Abstained), percent(s.Grounded), printableText(why)})
			}
			a.table(table.Row{"site", "health", "state", "version", "bundle", "heard", "last day", "questions", "abstained", "grounded", "why"}, rows)
			return nil
		}}
	c.Flags().StringArrayVar(&q.sites, "site", nil, "`site` to show alone; it is compared with all")
	c.Flags().StringVar(&health, "health", "", "`word`: act, look, ok or unknown: those sites alone")
	q.hubFlags(c)
	return c
}

func (a *app) fleetOverview(dir *string) *cobra.Command {
	var q fleetQuery
	c := &cobra.Command{Use: "overview", Short: "The fleet in numbers, as its page shows it: sites by state, version, freshness, health",
		Example: `  rxedge central fleet overview --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := a.overlook(c.Context(), dir, &q)
			if err != nil {
				return err
			}
			s := o.Summary()
			if a.json {
				return a.print(s)
			}
			a.printf("%s: %d sites, %d behind; %d rollouts under way, %d requests open; %d questions in the last week\n", s.Name, s.Sites, s.Behind, s.UnderWay, s.Open, s.Questions)
			var rows []table.Row
			for _, x := range []struct {
				what   string
				counts []survey.Count
			}{{"health", s.ByHealth}, {"state", s.ByStatus}, {"version", s.ByVersion}, {"bundle", s.ByBundle}, {"heard", s.ByHeard}} {
				for _, n := range x.counts {
					rows = append(rows, table.Row{x.what, printableText(n.Value), n.N})
				}
			}
			a.table(table.Row{"by", "", "sites"}, rows)
			return nil
		}}
	q.hubFlags(c)
	return c
}
