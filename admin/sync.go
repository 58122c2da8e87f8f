package main

import (
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/rollout"
	"rxedge/sync/bundle"
	"rxedge/sync/spool"
)

func (a *app) sync() *cobra.Command {
	c := &cobra.Command{Use: "sync", Short: "What comes from the centre, and what goes there", Example: `  rxedge sync status`, RunE: group}
	c.AddCommand(a.syncStatus(), a.syncPull(), a.syncHistory())
	return c
}

func (a *app) syncStatus() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "The link to the hub, what this box has, what waits", Example: `  rxedge sync status --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (box.SyncStatus, error) { return s.SyncStatus(c.Context()) }, a.showSync)
		}}
}

func (a *app) showSync(s box.SyncStatus) {
	if !s.Enrolled {
		a.printf("This box is no site: nothing is sent or fetched. 'rxedge enroll FILE' makes it one.\n")
		return
	}
	a.printf("Site        %s, channel %s\n", s.Site, s.Bundles.Channel)
	switch u := s.Uplink; {
	case u == nil:
		a.printf("Hub         not connected: rxedged does not run\n")
	case u.Connected:
		a.printf("Hub         connected to %s since %s (%s)\n", u.Hub, u.Since.Local().Format(time.DateTime), ago(u.Since))
	default:
		a.printf("Hub         not connected since %s (%s), %d attempts: %s (%s)\n", u.Since.Local().Format(time.DateTime), ago(u.Since), u.Attempts, u.Why, u.Code)
	}
	if !s.Admitted.IsZero() {
		a.printf("Admitted    until %s; a connected site renews that by itself\n", s.Admitted.Local().Format(time.DateOnly))
	}
	b := s.Bundles
	switch {
	case b.Active == nil:
		a.printf("Active      no bundle yet\n")
	case b.Newest > b.Active.Number:
		a.printf("Active      bundle %d since %s; the newest is %d\n", b.Active.Number, b.Active.At.Local().Format(time.DateTime), b.Newest)
	default:
		a.printf("Active      bundle %d since %s, the newest\n", b.Active.Number, b.Active.At.Local().Format(time.DateTime))
	}
	if h := b.Held; h != nil {
		a.printf("Held        bundle %d is not for this site yet: %s\n", h.Bundle, h.Why)
	}
	if p := b.Progress; p != nil {
		a.printf("Fetching    bundle %d: %s of %s\n", p.Number, size(p.Done), size(p.Total))
	}
	if b.Staged != nil {
		a.printf("Staged      bundle %d\n", b.Staged.Number)
	}
	for _, q := range b.Quarantine {
		next := "not by itself again"
		if !q.Retry.IsZero() {
			next = "again at " + q.Retry.Local().Format(time.DateTime)
		}
		a.printf("Quarantine  bundle %d (%s): %s; tried %d times, %s\n", q.Number, q.Code, q.Reason, q.Tries, next)
	}
	if e := b.Refusal; e != nil {
		a.printf("Refused     %s (%s): %s\n", e.At.Local().Format(time.DateTime), e.Code, e.Reason)
	}
	if !b.Refreshed.IsZero() {
		a.printf("Checked     signed metadata was last found good %s\n", ago(b.Refreshed))
	}
	if s.Quiet {
		a.printf("Quiet       nothing is fetched at this time of day\n")
	}
	if u := s.Uplink; u != nil {
		w := u.Waiting
		if u.Spool != "" {
			a.printf("Waiting     not known: %s; is the disk full?\n", u.Spool)
			return
		}
		a.printf("Waiting     %d messages, %s of %s", w.Messages, size(int64(w.Bytes)), size(w.MaxBytes))
		if w.Messages > 0 {
			a.printf(", the oldest %s", ago(w.Oldest))
		}
		a.printf("\n")
		for _, class := range []spool.Class{spool.High, spool.Normal, spool.Low} {
			if n := w.Dropped[class]; n > 0 {
				a.printf("Dropped     %d messages of class %s, for want of room\n", n, class)
			}
		}
		for _, d := range w.Set {
			a.printf("Damaged     a spool that could not be opened lies in %s\n", d)
		}
	}
}

func ago(t time.Time) string {
	return fmt.Sprintf("%s ago", max(0, time.Since(t)).Round(time.Second))
}

func (a *app) syncPull() *cobra.Command {
	var retry bool
	c := &cobra.Command{Use: "pull", Short: "Fetch what there is, now, and put it to use",
		Long:    "Fetch what there is, now, quiet hours or not, check it and put it to use.\nWith --retry what lies in quarantine is tried again.",
		Example: `  rxedge sync pull --retry`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			bar := a.progress()
			defer bar.finish()
			return on(a, c, func(s station) (bundle.Result, error) {
				return s.SyncPull(c.Context(), retry, func(p box.IngestProgress) { bar.set(p.Stage, p.Done, p.Total) })
			}, a.showPull)
		}}
	c.Flags().BoolVar(&retry, "retry", false, "try again what is in quarantine")
	return c
}

func (a *app) showPull(r bundle.Result) {
	fetched := ""
	if r.Staged != 0 {
		fetched = fmt.Sprintf(" (%s were fetched)", size(r.Bytes))
	}
	now := "no bundle is active"
	if r.Active != 0 {
		now = fmt.Sprintf("bundle %d is active", r.Active)
	}
	switch {
	case r.Pending != 0 && r.Slot == string(rollout.Provisional):
		a.printf("Bundle %d%s answers questions and is watched: it becomes active when it has proved itself; until then %s. 'rxedge rollout status' shows it.\n", r.Pending, fetched, now)
	case r.Pending != 0 && r.Slot == string(rollout.Validated):
		a.printf("Bundle %d%s has passed its checks and waits to be let in: 'rxedge rollout status' says for what; %s.\n", r.Pending, fetched, now)
	case r.Pending != 0:
		a.printf("Bundle %d%s is here and not in use yet: 'rxedge rollout status' says why; %s.\n", r.Pending, fetched, now)
	case r.Staged != 0:
		a.printf("Bundle %d is active; %s were fetched.\n", r.Active, size(r.Bytes))
	case r.Active != 0:
		a.printf("Nothing new: bundle %d is active.\n", r.Active)
	default:
		a.printf("There is nothing for this site yet.\n")
	}
}

func (a *app) syncHistory() *cobra.Command {
	return &cobra.Command{Use: "history", Short: "What became of each bundle", Example: `  rxedge sync history`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) ([]bundle.Event, error) { return s.SyncHistory(c.Context()) }, func(es []bundle.Event) {
				if len(es) == 0 {
					a.printf("Nothing has come yet.\n")
					return
				}
				var rows []table.Row
				for _, e := range es {
					n, fetched := "", ""
					if e.Number > 0 {
						n = fmt.Sprint(e.Number)
					}
					if e.Bytes > 0 {
						fetched = size(e.Bytes)
					}
					rows = append(rows, table.Row{e.At.Local().Format(time.DateTime), n, e.State, e.Code, fetched, e.Reason})
				}
				a.table(table.Row{"at", "bundle", "state", "code", "fetched", "reason"}, rows)
			})
		}}
}
