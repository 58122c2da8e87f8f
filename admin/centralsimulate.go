package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rxedge/centre/simulate"
	"rxedge/centre/survey"
)

func (a *app) centralSimulate(dir *string) *cobra.Command {
	run := simulate.Run{Options: simulate.Options{Sites: 100, Nodes: 1, Processes: 1, For: time.Minute, Speed: 2880, Resting: 15 * time.Second, Seed: 1, RollBack: 0.005}}
	faults, given, kb := "all", false, int64(0)
	c := &cobra.Command{Use: "simulate --sites N", Short: "Drive many real sites against a hub, to plan for more",
		Long: `Drive many real sites against a hub, to plan for more: each is enrolled, holds keys, a spool and
its bundles, and keeps a TLS connection. What is made up is what they have to say: windows of
days of a pharmacy's questions, in time zones, on days that go by --speed times as fast.

A hub is started, each node a process of its own, in a folder that is removed afterwards; --work
keeps it, and the next simulation there goes on with its sites. --given takes the fleet of --dir
and its hub as they run: its sites sim-SEED-N stay in that fleet, so it is to be one for trials.

Faults: cut, silent and slow lines of some sites; restart of sites; power, a process of sites is
killed; hub, a node is killed; herd, all nodes are killed at once after the days, and every site
comes back; clocks that are off.

What is measured: the fleet at rest, each site looking once for what is new, days with an update
and a rollout, all sites coming back, the centre taking up what was sent. Each message is counted
by its id: exit code 4 where one is lost or there twice. Ctrl-C tells what there is so far.`,
		Example: `  rxedge central simulate --sites 300 --for 2m
  rxedge central simulate --sites 1000 --processes 2 --faults herd --work /var/tmp/fleet --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if run.Faults, err = simulate.ParseFaults(faults); err != nil {
				return usage("--faults: %w", err)
			}
			run.Bundle = kb << 10
			if err := run.Check(); err != nil {
				return usage("%w; see '%s --help'", err, c.CommandPath())
			}
			if len(run.Hubs) > 0 && !given {
				return usage("--hub names a hub that is there; it wants --given, and the fleet's --dir")
			}
			if given {
				if run.Centre, err = a.centre(*dir); err != nil {
					return err
				}
			}
			if run.Work == "" {
				if run.Work, err = os.MkdirTemp("", "rxedge-simulate-"); err != nil {
					return err
				}
				defer os.RemoveAll(run.Work)
			}
			if run.Work, err = filepath.Abs(run.Work); err != nil {
				return err
			}
			if run.Boxes != "" {
				if run.Boxes, err = filepath.Abs(run.Boxes); err != nil {
					return err
				}
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			run.Command = func(args ...string) *exec.Cmd {
				x := exec.Command(self, args...)
				x.Stderr = a.err
				return x
			}
			if run.Readers = survey.Readers(); !a.json {
				run.Progress = a.simulated
			}
			rep, err := simulate.Simulate(c.Context(), run)
			if rep == nil {
				return err
			}
			if a.json {
				if perr := a.print(rep); perr != nil {
					return perr
				}
			} else {
				a.simulation(rep)
			}
			if err != nil {
				return err
			}
			if x := rep.Counted; x != nil && (x.Lost > 0 || x.Twice > 0 || x.Missed > 0) {
				return &refusedError{fmt.Sprintf("%d messages are lost, %d are there twice, %d windows did not reach the centre", x.Lost, x.Twice, x.Missed)}
			}
			return nil
		}}
	f := c.Flags()
	f.IntVar(&run.Sites, "sites", run.Sites, "`sites`")
	f.DurationVar(&run.For, "for", run.For, "how long the days go by")
	f.Float64Var(&run.Speed, "speed", run.Speed, "how many `times` as fast they go by")
	f.StringVar(&faults, "faults", faults, "`kinds` with commas between, all or none")
	f.Uint64Var(&run.Seed, "seed", run.Seed, "`number` from which the sites and the faults follow")
	f.IntVar(&run.Nodes, "nodes", run.Nodes, "`nodes` of the hub that is started: 1, 3 or 5")
	f.IntVar(&run.Processes, "processes", run.Processes, "`processes` that the sites are spread over")
	f.DurationVar(&run.Resting, "rest", run.Resting, "how long the fleet is measured at rest")
	f.Int64Var(&kb, "bundle-kb", 100, "`kilobytes` of the documents that change in the update, before they are compressed")
	f.Float64Var(&run.RollBack, "roll-back", run.RollBack, "`chance` that a site rolls back what came in the rollout")
	f.StringVar(&run.Work, "work", "", "`folder` of the fleet, kept (default: one that is removed)")
	f.StringVar(&run.Boxes, "boxes", "", "`folder` of the sites' own folders, such as one in memory, as many sites have many disks")
	f.BoolVar(&given, "given", false, "the fleet of --dir and its hub, which runs")
	f.StringArrayVar(&run.Hubs, "hub", nil, "`address` of the given hub, where it is another than sites use")
	return c
}

// centralSites is a process of sites that a simulation starts.
func (a *app) centralSites() *cobra.Command {
	return &cobra.Command{Use: "simulate-sites", Hidden: true, Short: "A process of sites of 'central simulate'", Example: "  rxedge central simulate", Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return simulate.Work(context.WithoutCancel(c.Context()), a.in, a.out)
		}}
}

// simulated shows how a simulation goes, each second.
func (a *app) simulated(p simulate.Progress) {
	end := "\n"
	if f, ok := a.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		end = "\x1b[K\r"
	}
	day := ""
	if p.Day > 0 {
		day = fmt.Sprintf(", day %.1f", p.Day)
	}
	a.note("%4.0f s  %s%s: %d of %d sites connected, %d messages a second, %d wait; hub %s, %.0f %% of a core%s", p.Seconds, p.Phase, day, p.Connected, p.Sites, p.PerSecond, max(0, p.Put-p.Sent), size(p.HubRSS), 100*p.HubCPU, end)
}

// simulation shows a report.
func (a *app) simulation(r *simulate.Report) {
	if r.Interrupted {
		a.printf("\nStopped in the phase %q; this is what there is.\n", r.Phase)
	}
	a.printf("\n%d sites in %d processes, a hub of %d nodes, %d cores; load average %.1f to %.1f; seed %d; %.0f s\n\n", r.Sites, r.Processes, r.Nodes, r.Cores, r.LoadLeast, r.LoadMost, r.Seed, r.Took)
	var rows []table.Row
	add := func(what, format string, args ...any) {
		rows = append(rows, table.Row{what, fmt.Sprintf(format, args...)})
	}
	if e := r.Enrolled; e != nil {
		add("enrolled", "%d in %.1f s (%.0f a second); all with a bundle after %.1f s; CPU of the hub %.1f s, of the centre %.1f s", e.Sites, e.Took, e.PerSecond, e.FirstBundle, e.HubCPU, e.CentreCPU)
	}
	if x := r.Rest; x != nil && x.For > 0 {
		add("at rest", "%d connections; hub %s and %d files, %s and %d before the first; %.1f kB a site", x.Connected, size(x.Hub.RSS), x.Hub.Files, size(x.Base.RSS), x.Base.Files, x.PerSite/1e3)
		add("", "%.1f CPU seconds of the hub per 1,000 sites and hour; a site %.0f B/s up, %.0f down", x.PerHour, x.Up, x.Down)
		add("", "the sites' own processes: %s, %.0f %% of a core, %.0f kB and %.1f files a site", size(r.Clients.RSS), 100*r.Clients.CPU, float64(r.Clients.RSS)/1e3/float64(r.Sites), float64(r.Clients.Files)/float64(r.Sites))
	}
	if x := r.Looks; x != nil {
		add("a look", "%.2f ms of the hub's CPU, %.0f B up, %.0f down; %.0f a second", x.CPU*1e3, x.Up, x.Down, x.PerSecond)
	}
	if x := r.Update; x != nil {
		add("update", "%s to %d sites: half after %.2f s, 99 %% after %.2f, all after %.2f", size(x.Bytes), x.Sites, x.Half, x.P99, x.All)
	}
	if x := r.Rollout; x != nil {
		add("rollout", "%s after %.1f s: %d confirmed, %d rolled back %s", x.State, x.Took, x.Confirmed, x.RolledBack, printableText(x.Why))
	}
	if x := r.Days; x != nil {
		add("days", "%.1f in %.0f s: %d windows of %d questions; %d messages, %.1f a second, at most %.0f", x.Days, x.Took, x.Windows, x.Questions, x.Messages, x.PerSecond, x.Busiest)
		add("acknowledged", "p50 %.1f ms, p95 %.1f, p99 %.1f, at most %.0f", x.P50, x.P95, x.P99, x.Worst)
		add("", "%d faults, at most %d sites off at a time; the last spool empty %.1f s after; the hub's disks grew by %s", x.Faults, x.Off, x.Drained, size(x.Disk))
	}
	if x := r.Return; x != nil {
		add("all back", "%d of %d: hub there after %.2f s, taking reports after %.2f, half after %.2f, 99 %% after %.2f, all after %.2f; %.0f a second, %.1f ms of the hub's CPU each", x.Back, x.Sites, x.Listening, x.Taking, x.Half, x.P99, x.All, x.PerSecond, x.PerSite*1e3)
	}
	if x := r.TakeUp; x != nil {
		add("taken up", "%d windows in %.1f s (%.0f a second), %d known, %d refused; a day's would take %.1f s", x.Windows, x.Took, x.PerSecond, x.Again, x.Refused, x.PerDay)
	}
	if x := r.Counted; x != nil {
		add("counted", "%d put, %d at the hub, %d lost, %d twice; %d wait, %d dropped, %d unnoted at a kill; %d windows missed; %d states right", x.Put, x.Hub, x.Lost, x.Twice, x.Waiting, x.Dropped, x.Unnoted, x.Missed, x.States)
	}
	if x := r.PerDay; x != nil {
		add("a day", "%s up and %s down a site; %.0f CPU seconds of the hub per 1,000 sites and hour; the hub's disks grow by %s", size(int64(x.Up)), size(int64(x.Down)), x.CPU, size(int64(x.Disk)))
	}
	add("most", "hub %s, %d files", size(r.Most.RSS), r.Most.Files)
	if r.Errors > 0 || len(r.Refused) > 0 {
		add("sites went on after", "%d errors of their lines, refusals %v", r.Errors, r.Refused)
	}
	a.table(table.Row{"what", ""}, rows)
}
