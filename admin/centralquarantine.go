package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/centre/check"
	"rxedge/centre/library"
	"rxedge/daemon/telemetry/drift"
	"rxedge/sync/central"
)

func (a *app) centralQuarantine(dir *string) *cobra.Command {
	c := &cobra.Command{Use: "quarantine", Short: "What checks hold back of what came in, and why",
		Long: `What checks hold back of the documents that came in, and files that could not be read. A
version is named by its document's id, alone for the latest, or ID@HASH; a file that could
not be read by refused-N. Who releases or discards what, when and why is a signed record:
see 'rxedge central fleet record'.`,
		Example: `  rxedge central quarantine list
  rxedge central quarantine show 5f2a-…
  rxedge central quarantine release 5f2a-… --note "the label itself has it so"`, RunE: group}
	c.AddCommand(a.quarantineList(dir), a.quarantineShow(dir), a.quarantineDecide(dir, true), a.quarantineDecide(dir, false), a.quarantineRuns(dir), a.quarantineApproveRun(dir), a.quarantineCodes())
	return c
}

func (a *app) quarantineList(dir *string) *cobra.Command {
	var f library.Filter
	c := &cobra.Command{Use: "list", Short: "List what is in it", Example: `  rxedge central quarantine list --code dose_tenfold --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			held, err := d.Library.Quarantine(c.Context(), f)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(held)
			}
			if len(held) == 0 {
				a.printf("Nothing is in quarantine.\n")
				return nil
			}
			var rows []table.Row
			for _, h := range held {
				if r := h.Refused; r != nil {
					rows = append(rows, table.Row{fmt.Sprintf("refused-%d", r.Key), printableText(r.Run), printableText(r.Source.Name), "unreadable", printableText(r.Problem.Reason)})
					continue
				}
				for i, x := range h.Version.Findings {
					if x.Severity != check.Quarantine {
						continue
					}
					row := table.Row{nameOf(h.Version.Ref), printableText(h.Version.Run), printableText(h.Version.Title), x.Code, printableText(x.Reason)}
					if i > 0 {
						row[0], row[1], row[2] = "", "", ""
					}
					rows = append(rows, row)
				}
			}
			a.table(table.Row{"what", "run", "title", "code", "why"}, rows)
			return nil
		}}
	fl := c.Flags()
	fl.StringVar(&f.Run, "run", "", "`id` of the run in which it came")
	fl.StringVar(&f.Code, "code", "", "`code` of a finding: see 'rxedge central quarantine codes'")
	fl.IntVar(&f.Limit, "limit", 0, "`number` of entries at most")
	return c
}

func (a *app) quarantineShow(dir *string) *cobra.Command {
	return &cobra.Command{Use: "show ID[@HASH]", Short: "Show what was found wrong with a document, and where it came from", Example: `  rxedge central quarantine show 5f2a-…`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			v, err := versionNamed(c.Context(), d.Library, given[0])
			if err != nil {
				return err
			}
			l, err := d.Library.Lineage(c.Context(), v.Ref)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(l)
			}
			a.printf("%s\n%s, version %s of %s; it is %s.\n", printableText(l.Title), nameOf(l.Ref), orDash(l.Version.Version), orDash(l.Effective), l.State)
			for _, s := range l.Sources {
				a.printf("From %s%s in run %s.\n", printableText(s.Name), printableText(placed(s.Place)), printableText(s.Run))
			}
			for _, f := range l.Findings {
				a.printf("\n%s (%s): %s\n", f.Code, f.Severity, printableText(f.Reason))
				if f.Section != "" {
					a.printf("  in %s\n", printableText(f.Section))
				}
				if f.Before != "" {
					a.printf("%s\n", wrap(printableText(f.Before), "  - ", 96))
				}
				if f.After != "" {
					a.printf("%s\n", wrap(printableText(f.After), "  + ", 96))
				}
				a.printf("  %s\n", f.Fix)
			}
			a.showDecisions(l.Decisions)
			return nil
		}}
}

func (a *app) showDecisions(ds []library.Decision) {
	for _, x := range ds {
		a.printf("%s by %s on %s%s%s\n", x.What, printableText(x.Who), x.At.Local().Format(time.DateTime), printableText(prefixed(": ", x.Why)), prefixed(", record ", x.Record))
	}
}

func prefixed(with, s string) string {
	if s == "" {
		return ""
	}
	return with + s
}

func placed(s string) string { return prefixed(" in ", s) }

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return printableText(s)
}

func (a *app) quarantineDecide(dir *string, release bool) *cobra.Command {
	name, does, done := "discard", "Throw out of quarantine, on record", "discarded"
	if release {
		name, does, done = "release", "Let out of quarantine, to wait for review, on record", "released; it waits for review"
	}
	var by central.By
	c := &cobra.Command{Use: name + " ID[@HASH]...", Short: does, Example: "  rxedge central quarantine " + name + ` 5f2a-… --note "compared with the publisher's"`, Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if by.Reason == "" {
				return usage("--note: say why")
			}
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			var refs []library.Ref
			var keys []int64
			for _, g := range given {
				if n, ok := strings.CutPrefix(g, "refused-"); ok {
					k, err := strconv.ParseInt(n, 10, 64)
					if err != nil || release {
						return usage("%s: what could not be read can be discarded alone; give a file that can be read", g)
					}
					keys = append(keys, k)
					continue
				}
				v, err := versionNamed(c.Context(), d.Library, g)
				if err != nil {
					return err
				}
				refs = append(refs, v.Ref)
			}
			var record string
			if len(refs) > 0 {
				do := d.Discard
				if release {
					do = d.Release
				}
				if record, err = do(c.Context(), refs, by); err != nil {
					return err
				}
			}
			for _, k := range keys {
				if record, err = d.DiscardRefused(c.Context(), k, by); err != nil {
					return err
				}
			}
			if a.json {
				return a.print(map[string]any{"done": name, "versions": append([]library.Ref{}, refs...), "files": len(keys), "record": record})
			}
			a.printf("%d %s. It is on record as %s.\n", len(refs)+len(keys), done, record)
			return nil
		}}
	decider(c, &by)
	return c
}

func (a *app) quarantineRuns(dir *string) *cobra.Command {
	var limit int
	c := &cobra.Command{Use: "runs", Short: "List what came of each run, and which are held up", Example: `  rxedge central quarantine runs --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			rs, err := d.Library.Runs(c.Context(), limit)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(rs)
			}
			if len(rs) == 0 {
				a.printf("Nothing has come in yet.\n")
				return nil
			}
			var rows []table.Row
			for _, r := range rs {
				state := "fine"
				switch {
				case r.Blocked:
					state = "HELD UP: over 1 % in quarantine"
				case r.Alert:
					state = "approved by " + printableText(r.Approval.Who)
				}
				if d := r.Drift; d != nil && (drifted(d.Words) || drifted(d.Lengths)) {
					state += fmt.Sprintf("; unlike what was approved: PSI %.2f of words, %.2f of lengths", d.Words.PSI, d.Lengths.PSI)
				}
				rows = append(rows, table.Row{printableText(r.ID), r.Started.Local().Format(time.DateTime), r.Sources, r.Documents, r.New, r.Unchanged, r.Quarantined, r.Refused, state})
			}
			a.table(table.Row{"run", "began", "files", "documents", "new", "unchanged", "quarantined", "unreadable", "state"}, rows)
			return nil
		}}
	c.Flags().IntVar(&limit, "limit", 20, "`number` of the latest runs; 0: all")
	return c
}

func drifted(m check.Measure) bool {
	return m.Verdict == drift.VerdictInvestigate || m.Verdict == drift.VerdictAct
}

func (a *app) quarantineApproveRun(dir *string) *cobra.Command {
	var by central.By
	c := &cobra.Command{Use: "approve-run RUN", Short: "Let a run be published of which over 1 % is in quarantine, on record",
		Long:    "Let a run be published of which over 1 % is in quarantine. What is in quarantine stays there. Where more\nof the run is held back later, it is held up again.",
		Example: `  rxedge central quarantine approve-run 2026-11-30-a --note "the supplier's known scans"`, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if by.Reason == "" {
				return usage("--note: say why")
			}
			d, err := a.desk(*dir)
			if err != nil {
				return err
			}
			defer d.Library.Close()
			r, err := d.ApproveRun(c.Context(), given[0], by)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(r)
			}
			a.printf("Run %s may be published with %d held back. It is on record as %s.\n", printableText(r.ID), r.Quarantined+r.Refused, r.Approval.Record)
			return nil
		}}
	decider(c, &by)
	return c
}

func (a *app) quarantineCodes() *cobra.Command {
	return &cobra.Command{Use: "codes", Short: "List what checks look for", Example: `  rxedge central quarantine codes`, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.print(check.Codes)
			}
			var rows []table.Row
			for _, x := range check.Codes {
				rows = append(rows, table.Row{x.Code, x.Severity, x.Meaning, x.Fix})
			}
			a.table(table.Row{"code", "at most", "meaning", "fix"}, rows)
			return nil
		}}
}
