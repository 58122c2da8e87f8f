package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/monitor"
)

func (a *app) telemetry() *cobra.Command {
	c := &cobra.Command{Use: "telemetry", Short: "What the answers were like, as numbers; what has drifted", Example: `  rxedge telemetry status`, RunE: group}
	c.AddCommand(a.telemetryStatus(), a.telemetryAlarms(), a.telemetryDrift(), a.telemetryBy(), a.telemetryExplain(), a.telemetrySlow(), a.telemetryRules())
	return c
}

// hours adds the flag, and runs show with what the station says.
func (a *app) telemetryOf(c *cobra.Command, of func(box.Telemetry) any, show func(box.Telemetry)) *cobra.Command {
	hours := 24
	c.Args = args(cobra.NoArgs)
	c.Flags().IntVar(&hours, "hours", hours, "hours to look back, at most 192")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open(c.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		t, err := s.Telemetry(c.Context(), hours)
		if err != nil {
			return err
		}
		if a.json {
			return a.print(of(t))
		}
		show(t)
		return nil
	}
	return c
}

func percent(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100**v)
}

func (a *app) telemetryStatus() *cobra.Command {
	return a.telemetryOf(&cobra.Command{Use: "status", Short: "Questions, refusals, support and times of the last day",
		Long: `Numbers of the questions that were asked: never a word of them, of answers or of
feedback. The same numbers, of eleven questions or more each, are what a site reports
to its centre.`,
		Example: `  rxedge telemetry status --hours 8 --json`}, func(t box.Telemetry) any { return t }, func(t box.Telemetry) {
		a.printf("Questions   %d, about %d different, since %s\n", t.Questions, t.Distinct, t.From.Local().Format(time.DateTime))
		a.printf("Abstained   %s   failed %s\n", percent(t.Abstained), percent(t.Failed))
		a.printf("Grounded    %s of the answers   doubted %s   approved of %s\n", percent(t.Grounded), percent(t.Flagged), percent(t.Approved))
		if t.P50 != nil && t.P95 != nil && t.P99 != nil {
			a.printf("Time        half within %.1f ms, 95 %% within %.1f ms, 99 %% within %.1f ms\n", *t.P50, *t.P95, *t.P99)
		}
		if f := t.FullPrecision; f.Off != "" {
			a.printf("Precision   nothing is asked twice now: %s\n", f.Off)
		} else if f.Model != "" {
			a.printf("Precision   %.1f %% of the questions are asked again of %s; %d wait, %d asked\n", 100*f.Share, f.Model, f.Waiting, f.Asked)
		}
		for _, m := range t.Models {
			name := m.Model
			if name == "" {
				name = "no model"
			}
			switch {
			case m.Learning:
				a.printf("Drift       %s: learning what is usual; a week of days with 100 questions or more\n", name)
			case len(m.Alarms) == 0:
				a.printf("Drift       %s: as in the week from %s\n", name, m.Baseline.Local().Format(time.DateOnly))
			default:
				a.printf("Drift       %s: %d alarms; 'rxedge telemetry alarms'\n", name, len(m.Alarms))
			}
			if g := m.Agreement; g != nil {
				a.printf("Precision   %s: agrees with itself at full precision in %s of %d questions asked twice in 7 days (numbers %s, status %s)\n",
					name, percent(g.Agreed), g.Pairs, percentOf(g, telemetry.SameNumbers), percentOf(g, telemetry.SameStatus))
			}
		}
	})
}

func percentOf(g *monitor.Agreement, k telemetry.Check) string {
	s, ok := g.Checks[k.String()]
	if !ok {
		return percent(nil)
	}
	return percent(&s.Share)
}

func (a *app) telemetryAlarms() *cobra.Command {
	type line struct {
		Model string `json:"model"`
		Alarm any    `json:"alarm"`
	}
	return a.telemetryOf(&cobra.Command{Use: "alarms", Short: "What has changed, and which questions it comes from",
		Example: `  rxedge telemetry alarms --json`}, func(t box.Telemetry) any {
		out := []line{}
		for _, m := range t.Models {
			for _, x := range m.Alarms {
				out = append(out, line{m.Model, x})
			}
		}
		return out
	}, func(t box.Telemetry) {
		none := true
		for _, m := range t.Models {
			for _, x := range m.Alarms {
				none = false
				a.printf("%s  %s since %s: %s (p %.1g, %d questions)\n", x.Level, x.Kind, x.Since.Local().Format(time.DateOnly), x.Text, x.P, x.N)
			}
		}
		if none {
			a.printf("No alarms.\n")
		}
	})
}

func (a *app) telemetryDrift() *cobra.Command {
	return a.telemetryOf(&cobra.Command{Use: "drift", Short: "Each feature beside its baseline",
		Example: `  rxedge telemetry drift --hours 24`}, func(t box.Telemetry) any { return t.Models }, func(t box.Telemetry) {
		for _, m := range t.Models {
			if m.Learning || len(m.Features) == 0 {
				a.printf("%s: nothing to compare yet\n", orNone(m.Model))
				continue
			}
			a.printf("%s\n", orNone(m.Model))
			var rows []table.Row
			for _, f := range m.Features {
				rows = append(rows, table.Row{f.Name, f.Kind, fmt.Sprintf("%.3f", f.PSI), fmt.Sprintf("%.2g", f.P), f.Verdict, f.Baseline, f.Current})
			}
			a.table(table.Row{"feature", "kind", "PSI", "p", "verdict", "baseline", "now"}, rows)
		}
	})
}

func orNone(model string) string {
	if model == "" {
		return "no model"
	}
	return model
}

func (a *app) telemetryBy() *cobra.Command {
	by := telemetry.Kind.String()
	c := a.telemetryOf(&cobra.Command{Use: "by", Short: "What became of the questions, by kind, class, section, cohort, …",
		Example: `  rxedge telemetry by --dimension cohort`}, func(t box.Telemetry) any { return t.By[by] }, func(t box.Telemetry) {
		var rows []table.Row
		for _, v := range slices.Sorted(maps.Keys(t.By[by])) {
			s := t.By[by][v]
			rows = append(rows, table.Row{v, s.N, s.Abstained, s.Flagged, s.Ungrounded, s.Judged.N(), s.Judged.TP + s.Judged.FN})
		}
		a.table(table.Row{by, "questions", "abstained", "doubted", "ungrounded", "judged", "disapproved"}, rows)
	})
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		names := []string{}
		for _, d := range telemetry.Dimensions() {
			names = append(names, d.String())
		}
		if !slices.Contains(names, by) {
			return usage("--dimension: %q is none of %v", by, names)
		}
		return run(c, args)
	}
	c.Flags().StringVar(&by, "dimension", by, "`dimension`: outcome, kind, section, class, mode, fallback, severity, cached, cohort, occupancy")
	return c
}
