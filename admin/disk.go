package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/disk"
)

func (a *app) disk() *cobra.Command {
	c := &cobra.Command{
		Use:   "disk",
		Short: "What takes room on the disk, and what may go",
		Long: `Show what takes room in the data folder, by kind, beside what each kind may take ([disk] in
rxedge.toml), and what 'rxedge disk gc' would remove because nothing needs it.

A new generation of the index, a model or a bundle that would take more than its budget, or leave
less than the floor, is refused before it begins.`,
		Example: `  rxedge disk --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (box.DiskReport, error) { return s.Disk(c.Context()) }, a.showDisk)
		},
	}
	c.AddCommand(a.diskCollect())
	return c
}

func (a *app) showDisk(r box.DiskReport) {
	a.printf("Disk    %s, %s free, %s are to stay free\n", size(r.Size), size(r.Free), size(r.Floor))
	a.printf("rxedge  %s", size(r.Used))
	if r.Reserve > 0 {
		a.printf(", of these %s in reserve for a start on a full disk", size(r.Reserve))
	}
	a.printf("\n\n")
	var rows []table.Row
	for _, l := range r.Kinds {
		rows = append(rows, table.Row{l.Kind, size(l.Bytes), budgetOf(l), stateOf(l)})
	}
	a.table(table.Row{"kind", "takes", "may take", ""}, rows)
	a.printf("\n")
	var known []box.DiskItem
	for _, i := range r.Surplus.Items {
		if i.Bytes > 0 {
			known = append(known, i)
		}
	}
	if len(known) == 0 {
		a.printf("Nothing is there that nothing needs; 'rxedge disk gc' packs the stores all the same.\n")
	} else {
		a.printf("'rxedge disk gc' would free %s, and pack the stores:\n", size(r.Surplus.Bytes))
		a.items(known)
	}
	a.kept(r.Surplus)
}

func budgetOf(l disk.Line) string {
	if l.Budget == 0 {
		return ""
	}
	return size(l.Budget)
}

func stateOf(l disk.Line) string {
	switch {
	case l.Over() && l.Kind.Refuses():
		return "over: what is new is refused"
	case l.Over():
		return "over"
	case l.Near():
		return fmt.Sprintf("%.0f %%", 100*float64(l.Bytes)/float64(l.Budget))
	}
	return ""
}

func (a *app) items(items []box.DiskItem) {
	for _, i := range items {
		bytes := size(i.Bytes)
		if i.Bytes == 0 {
			bytes = "?"
		}
		a.printf("  %-10s %9s  %s: %s\n", i.Kind, bytes, i.What, i.Why)
	}
}

func (a *app) kept(r box.CollectReport) {
	for _, k := range r.Kept {
		a.printf("  ! %s\n", k)
	}
}

func (a *app) diskCollect() *cobra.Command {
	var req box.CollectRequest
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove what nothing needs, now",
		Long: `Remove what nothing needs: imports that did not come to their end, generations of the index
that no rollback reaches, files of earlier bundles, models that nothing refers to and nobody has
used for disk.keep_models, older copies of what was damaged, and pack the stores. The box does it
by itself at night, and where the disk is short. Questions come first. Ctrl-C or a power cut
loses nothing.

--urgent removes what gives way for more important things, too: kept answers, all but the latest
copies of damaged feedback, and models that nothing has referred to or used for a day. Nothing
that was acknowledged goes.`,
		Example: "  rxedge disk gc --dry-run\n  rxedge disk gc --json",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (box.CollectReport, error) { return s.CollectDisk(c.Context(), req) }, func(r box.CollectReport) {
				a.items(r.Items)
				switch {
				case r.DryRun:
					a.printf("%s would be freed, beside what packing gives (?); %s are free.\n", size(r.Bytes), size(r.Free))
				case len(r.Items) == 0:
					a.printf("Nothing was there that nothing needs; %s are free.\n", size(r.Free))
				default:
					a.printf("%s freed in %.1f s; %s are free.\n", size(r.Bytes), r.Seconds, size(r.Free))
				}
				a.kept(r)
			})
		},
	}
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "say what would go, and leave it")
	c.Flags().BoolVar(&req.Urgent, "urgent", false, "remove what gives way for more important things, too")
	return c
}
