package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/telemetry/fleet"
	"rxedge/sync/central"
)

// fleetLook is what one look of 'fleet run' did.
type fleetLook struct {
	At        time.Time         `json:"at"`
	Windows   int64             `json:"windows"` // taken up so far
	Requested []*central.Matter `json:"requested"`
	// Standing are causes for which there is a request already.
	Standing  []string `json:"standing"`
	Published int      `json:"published"`
}

func (a *app) lookAtFleet(ctx context.Context, f *central.Folder, q *fleetQuery, cooldown time.Duration, by central.By) (*fleetLook, error) {
	d, err := a.readFleet(ctx, f, q)
	if err != nil {
		return nil, err
	}
	r, err := fleet.Drift(d.Days.Days, d.Options)
	if err != nil {
		return nil, err
	}
	l := &fleetLook{At: time.Now().UTC(), Windows: d.taken.Windows, Requested: []*central.Matter{}, Standing: []string{}}
	for _, c := range fleet.Causes(r, d.Days.Days, d.Told) {
		by.Reason = c.Found[0].Text[:min(len(c.Found[0].Text), 400)]
		m, fresh, err := f.OpenMatter(central.RetrainRequested, c.Key(), c, cooldown, by)
		switch {
		case err != nil:
			return nil, err
		case fresh:
			l.Requested = append(l.Requested, m)
		default:
			l.Standing = append(l.Standing, m.ID+" "+c.Key())
		}
	}
	if !q.local {
		l.Published, err = f.PublishRecords(ctx, q.hubs)
	}
	return l, err
}

func (a *app) fleetRun(dir *string) *cobra.Command {
	var q fleetQuery
	var once bool
	var by central.By
	every, cooldown := 15*time.Minute, 14*24*time.Hour
	c := &cobra.Command{Use: "run", Short: "Take up what sites send, and ask for training where it is called for, until Ctrl-C",
		Long: `Take up what sites send, and ask for a model to be trained anew where a feature's PSI is above
0.3 or answers have become worse, at a site or over the fleet. A request holds the features,
figures and lineage (model, generations, sites, hashes of the windows); it is a signed record, and
is published on fleet.retrain.requested for a pipeline to take up. For the same model, kind and
feature no other is made while one is not decided, nor within --cooldown.`,
		Example: `  rxedge central fleet run --every 15m
  rxedge central fleet run --once --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if every < time.Second || cooldown < 0 {
				return usage("--every is a second at least, and --cooldown no less than 0")
			}
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			for {
				l, err := a.lookAtFleet(c.Context(), f, &q, cooldown, by)
				switch {
				case c.Context().Err() != nil:
					return nil
				case err != nil && (once || errors.Is(err, central.ErrFleetLog)):
					return err
				case err != nil:
					a.note("%v; it is tried again\n", err)
				case a.json:
					if err := a.line(l); err != nil {
						return err
					}
				default:
					for _, m := range l.Requested {
						a.printf("%s  %s: %s (%s)\n", time.Now().Format(time.TimeOnly), m.ID, printableText(m.Cause), printableText(m.Reason))
					}
					if once {
						a.printf("%d windows so far; %d requests are new, %d stand, %d records were published.\n", l.Windows, len(l.Requested), len(l.Standing), l.Published)
					}
				}
				if once {
					return nil
				}
				select {
				case <-c.Context().Done():
					return nil
				case <-time.After(every):
				}
			}
		}}
	q.flags(c)
	c.Flags().BoolVar(&once, "once", false, "look once, and end")
	c.Flags().DurationVar(&every, "every", every, "how often it looks")
	c.Flags().DurationVar(&cooldown, "cooldown", cooldown, "how long no other request is made for the same cause")
	c.Flags().StringVar(&by.Who, "as", "fleet controller", "`name` for the record")
	return c
}

func (a *app) fleetRequests(dir *string) *cobra.Command {
	return &cobra.Command{Use: "requests", Short: "List what was requested and proposed, and what became of it", Example: `  rxedge central fleet requests --json`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			all, err := f.Matters()
			if err != nil {
				return err
			}
			if a.json {
				return a.print(append([]*central.Matter{}, all...))
			}
			if len(all) == 0 {
				a.printf("Nothing was requested or proposed yet.\n")
				return nil
			}
			var rows []table.Row
			for _, m := range all {
				who := m.Who
				if m.Decided != nil {
					who = m.Decided.Who
				}
				rows = append(rows, table.Row{m.ID, m.State, m.At.Local().Format(time.DateTime), printableText(who), printableText(m.Cause), printableText(m.Reason)})
			}
			a.table(table.Row{"id", "state", "since", "by", "cause", "why"}, rows)
			return nil
		}}
}

func (a *app) fleetDecide(dir *string, approve bool) *cobra.Command {
	name, what := "decline", "Decline a request or a proposal, on record"
	if approve {
		name, what = "approve", "Approve a request or a proposal, on record"
	}
	var by central.By
	var hubs []string
	var local bool
	c := &cobra.Command{Use: name + " ID", Short: what, Long: what + ". Another person than who opened it decides, once.",
		Example: "  rxedge central fleet " + name + ` retrain-3 --note "as agreed"`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			m, err := f.Decide(given[0], approve, by)
			if err != nil {
				return err
			}
			return a.recorded(c.Context(), f, m, hubs, local)
		}}
	c.Flags().StringVar(&by.Who, "as", whoami(), "`name` of who does it, for the record")
	c.Flags().StringVar(&by.Reason, "note", "", "`text`: why, for the record")
	c.Flags().StringArrayVar(&hubs, "hub", nil, "`address` of the hub, where it is another than sites use")
	c.Flags().BoolVar(&local, "local", false, "sign it and do not give it to the hub")
	return c
}

// recorded prints a matter after a step, and gives the hub its record.
func (a *app) recorded(ctx context.Context, f *central.Folder, m *central.Matter, hubs []string, local bool) error {
	var perr error
	if !local {
		_, perr = f.PublishRecords(ctx, hubs)
	}
	if a.json {
		if err := a.print(struct {
			*central.Matter
			Published bool `json:"published"`
		}{m, perr == nil && !local}); err != nil {
			return err
		}
	} else {
		a.printf("%s is %s. It is on record.\n", m.ID, m.State)
	}
	if perr != nil {
		return fmt.Errorf("it is signed here, and the hub does not have it yet; 'rxedge central fleet run' gives it to the hub: %w", perr)
	}
	return nil
}

func (a *app) fleetRecord(dir *string) *cobra.Command {
	return &cobra.Command{Use: "record", Short: "Show or export the signed record of requests, proposals and decisions",
		Long: `Show the record, checked: each entry's hash and signature, and that it follows from the one
before. --json exports it. Anyone can check an export: SHA-256 over each record's JSON without
white space, Ed25519 over 'rxedge fleet record 1\n' and that hash, by a targets key of the fleet.`,
		Example: `  rxedge central fleet record --json >record.json`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.centre(*dir)
			if err != nil {
				return err
			}
			all, err := f.FleetRecords()
			if err != nil {
				return err
			}
			if a.json {
				return a.print(append([]central.Signed{}, all...))
			}
			var rows []table.Row
			for _, s := range all {
				var r central.FleetRecord
				if err := json.Unmarshal(s.Record, &r); err != nil {
					return err
				}
				rows = append(rows, table.Row{r.Seq, r.At.Local().Format(time.DateTime), printableText(r.Who), r.Action, r.ID, printableText(r.Cause), printableText(r.Reason)})
			}
			if len(rows) == 0 {
				a.printf("Nothing is on record yet.\n")
				return nil
			}
			a.table(table.Row{"record", "at", "by", "what", "id", "cause", "why"}, rows)
			return nil
		}}
}
