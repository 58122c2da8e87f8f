package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/centre/survey"
	"rxedge/sync/central"
)

func (a *app) standings(ctx context.Context, f *central.Folder, hubs []string) ([]survey.Standing, error) {
	states, err := f.States(ctx, hubs)
	if err != nil {
		return nil, err
	}
	return survey.Standings(f, states)
}

func standingRow(s *survey.Standing) table.Row {
	told := "never"
	if s.Told != nil {
		told = s.Told.Local().Format(time.DateTime)
	}
	where := fmt.Sprintf("%d of %d", s.Active, s.Newest)
	return table.Row{s.Site, s.Channel, s.Status, where, told, s.Code, printableText(s.Why)}
}

// printableText of what came from a site: a terminal obeys control characters.
func printableText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 200)]
}

func (a *app) centralUpdates(dir *string) *cobra.Command {
	var hubs []string
	var behind bool
	c := &cobra.Command{Use: "updates", Short: "Who has what, who is behind, and why", Example: `  rxedge central updates --behind`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			all, err := a.standings(c.Context(), f, hubs)
			if err != nil {
				return err
			}
			if behind {
				all = slices.DeleteFunc(all, func(s survey.Standing) bool { return !s.Behind })
			}
			if a.json {
				return a.print(all)
			}
			if len(all) == 0 {
				a.printf("No site is behind, or there is none.\n")
				return nil
			}
			rows := []table.Row{}
			for i := range all {
				rows = append(rows, standingRow(&all[i]))
			}
			a.table(table.Row{"site", "channel", "status", "bundle", "told", "code", "why"}, rows)
			return nil
		}}
	c.Flags().BoolVar(&behind, "behind", false, "only those that are behind")
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}

func (a *app) centralWatch(dir *string) *cobra.Command {
	var hubs []string
	var every time.Duration
	c := &cobra.Command{Use: "watch", Short: "Show each change of the fleet as it is told, until Ctrl-C", Example: `  rxedge central watch`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			before := map[string]survey.Standing{}
			for {
				all, err := a.standings(c.Context(), f, hubs)
				if err != nil {
					if c.Context().Err() != nil {
						return nil
					}
					a.note("%v\n", err)
				}
				for _, s := range all {
					if b, ok := before[s.Site]; ok && b.Active == s.Active && b.Newest == s.Newest && b.Code == s.Code && b.Status == s.Status {
						continue
					}
					before[s.Site] = s
					if a.json {
						b, err := json.Marshal(s)
						if err != nil {
							return err
						}
						a.printf("%s\n", b)
						continue
					}
					a.printf("%s  %-24s %-9s bundle %d of %d  %s %s\n", time.Now().Format(time.TimeOnly), s.Site, s.Status, s.Active, s.Newest, s.Code, printableText(s.Why))
				}
				select {
				case <-c.Context().Done():
					return nil
				case <-time.After(every):
				}
			}
		}}
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often it looks")
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	return c
}
