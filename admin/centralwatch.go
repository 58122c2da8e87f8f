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

	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// standing is what the centre knows of one site.
type standing struct {
	Site    string     `json:"site"`
	Channel string     `json:"channel"`
	Status  string     `json:"status"` // waiting, expired, enrolled, revoked
	Told    *time.Time `json:"told,omitempty"`
	Version string     `json:"version,omitempty"`
	Active  int64      `json:"active"`
	Newest  int64      `json:"newest"`         // that the centre has signed for it
	Held    int64      `json:"held,omitempty"` // a newer one, for which its wave has not come
	Behind  bool       `json:"behind"`
	Code    string     `json:"code,omitempty"`
	Why     string     `json:"why,omitempty"`
}

func (a *app) standings(ctx context.Context, f *central.Folder, hubs []string) ([]standing, error) {
	sites, err := f.Sites()
	if err != nil {
		return nil, err
	}
	states, err := f.States(ctx, hubs)
	if err != nil {
		return nil, err
	}
	allowed, err := f.Allowed()
	if err != nil {
		return nil, err
	}
	out := []standing{}
	for _, s := range sites {
		may, newest := allowed(s)
		st := standing{Site: s.ID, Channel: s.Channel, Status: s.Status(time.Now()), Newest: may}
		if may < newest {
			st.Held = newest
		}
		if t, ok := states[s.ID]; ok {
			var told struct {
				Version    string               `json:"version"`
				Active     int64                `json:"active"`
				Refusal    *bundle.Event        `json:"refusal"`
				Quarantine []bundle.Quarantined `json:"quarantine"`
			}
			if json.Unmarshal(t.State, &told) == nil {
				at := t.At
				st.Told, st.Version, st.Active = &at, told.Version, told.Active
				switch {
				case len(told.Quarantine) > 0:
					q := told.Quarantine[len(told.Quarantine)-1]
					st.Code, st.Why = string(q.Code), fmt.Sprintf("bundle %d: %s", q.Number, q.Reason)
				case told.Refusal != nil:
					st.Code, st.Why = string(told.Refusal.Code), told.Refusal.Reason
				}
			}
		}
		st.Behind = s.Revoked == nil && st.Active < st.Newest
		if st.Behind && st.Code == "" {
			switch {
			case st.Status != "enrolled":
				st.Why = "it is not enrolled"
			case st.Told == nil:
				st.Why = "it has told nothing yet"
			default:
				st.Why = "it has not come to it, or is cut off; it told last " + ago(*st.Told)
			}
		}
		out = append(out, st)
	}
	return out, nil
}

func (s *standing) row() table.Row {
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
				all = slices.DeleteFunc(all, func(s standing) bool { return !s.Behind })
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
				rows = append(rows, all[i].row())
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
			before := map[string]standing{}
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
