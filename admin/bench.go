package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/index"
	"rxedge/index/benchmark"
)

func (a *app) bench() *cobra.Command {
	var req box.BenchRequest
	c := &cobra.Command{Use: "bench", Short: "Measure what this box can do, against what its profile expects",
		Long: `Measure what this box can do: a write that lasts, memory, extractive answers to questions about
its own documents, the embedder, the language model. Beside each figure stands what the firmware
profile expects and whether that was measured on such a box or reckoned, and where a figure is
slower, what to look at. It takes about half a minute. The box serves meanwhile: people who ask
come first, and what is asked here is not counted among their questions. Where other work runs on
the machine the figures are lower.

'rxedge bench index' measures an index of made-up documents.`,
		Example: `  rxedge bench
  rxedge bench --seconds 1 --json`, Args: cobra.ArbitraryArgs}
	c.Flags().Float64Var(&req.Seconds, "seconds", 5, "that each part is measured for")
	c.RunE = func(c *cobra.Command, given []string) error {
		if len(given) > 0 {
			return group(c, given)
		}
		if req.Seconds <= 0 || req.Seconds > 600 {
			return usage("--seconds must be above 0 and at most 600")
		}
		st, err := a.open(c.Context())
		if err != nil {
			return err
		}
		defer st.Close()
		bar := a.progress()
		r, err := st.Bench(c.Context(), req, func(p box.BenchProgress) { bar.set(p.Stage, int64(p.Done), int64(p.Total)) })
		bar.finish()
		if err != nil {
			return err
		}
		if a.json {
			return a.print(r)
		}
		a.showBench(r)
		return nil
	}
	c.AddCommand(a.benchIndex())
	return c
}

func (a *app) showBench(r box.BenchReport) {
	a.printf("Profile %s, %d cores, %d passages\n", r.Profile, r.Cores, r.Passages)
	rows := []table.Row{}
	var slow []box.BenchFigure
	for _, f := range r.Figures {
		value, expected, verdict := fmt.Sprintf("%.4g %s", f.Value, f.Unit), "", f.Verdict
		if f.Verdict == box.BenchSkipped {
			value, verdict = "", f.Verdict+": "+f.Why
		}
		if f.Verdict == box.BenchUnknown {
			verdict += ": " + f.Why
		}
		if f.Expected > 0 {
			expected = fmt.Sprintf("%.4g", f.Expected)
			if f.Low {
				expected = "at most " + expected
			}
			expected += when(!f.Measured && f.Basis == "", " (reckoned)")
		}
		if f.Verdict == box.BenchSlow {
			slow = append(slow, f)
		}
		rows = append(rows, table.Row{f.Name, value, expected, verdict})
	}
	a.table(table.Row{"", "measured", "expected", ""}, rows)
	a.printf("What is expected: %s.\n", r.Basis)
	for _, f := range slow {
		a.printf("%s is slower than expected: %s\n", f.Name, f.Look)
	}
}

func (a *app) benchIndex() *cobra.Command {
	var req benchmark.Request
	var words bool
	c := &cobra.Command{Use: "index", Short: "Build, start and ask an index of made-up documents",
		Long: `Build an index of made-up documents in a temporary folder, start it, and ask it questions
by words and vectors, alone and from several readers while documents come in. The box's
own index is not touched. Vectors of dimension 384 are made up too: embedding is not
measured.`,
		Example: `  rxedge bench index --passages 100000 --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if req.Passages < 100 || req.Readers < 0 || req.Rate < 0 || req.Seconds < 0 {
				return usage("--passages must be 100 or more; --readers, --rate and --seconds not negative")
			}
			if req.Keep && req.Dir == "" {
				return usage("--keep needs --dir: the folder in which the index stays")
			}
			bar := a.progress()
			req.Dense = !words
			req.Progress = func(p index.Progress) { bar.set(p.Stage, int64(p.Done), int64(p.Total)) }
			r, err := benchmark.Run(c.Context(), req)
			bar.finish()
			if err != nil {
				return err
			}
			if a.json {
				return a.print(r)
			}
			a.printf("%d passages, %s\n", r.Passages, when(r.Dense, "with vectors")+when(!r.Dense, "words alone"))
			if r.BuildSeconds > 0 {
				a.printf("  build      %.1f s, %.0f passages a second\n", r.BuildSeconds, r.BuildPerS)
			}
			a.printf("  start      %.0f ms to the first answer\n", r.StartMS)
			a.printf("  size       %.0f bytes a passage on disk, %.0f in memory, %.0f mapped\n", r.DiskBytes, r.HeapBytes, r.MappedBytes)
			a.printf("  one reader p50 %.2f ms, p95 %.2f ms\n", r.AloneP50, r.AloneP95)
			a.printf("  in one of eight sections: the first question %.2f ms, others p50 %.2f ms, p95 %.2f ms\n", r.FilterFirst, r.FilterP50, r.FilterP95)
			if r.QueriesPerS+r.WrittenPerS > 0 {
				a.printf("  %d readers, %.0f passages a second written: p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, %.0f questions a second\n",
					r.Readers, r.WrittenPerS, r.P50, r.P95, r.P99, r.QueriesPerS)
				a.printf("  a batch    p95 %.0f ms to be on disk and found; %d segments at the end\n", r.WriteP95, r.Segments)
			}
			return nil
		}}
	c.Flags().IntVar(&req.Passages, "passages", 100_000, "about how many passages")
	c.Flags().BoolVar(&words, "words", false, "no vectors")
	c.Flags().IntVar(&req.Readers, "readers", 4, "that ask at the same time")
	c.Flags().IntVar(&req.Rate, "rate", 1000, "passages written a second meanwhile")
	c.Flags().Float64Var(&req.Seconds, "seconds", 10, "of that")
	c.Flags().StringVar(&req.Dir, "dir", "", "folder for the temporary index")
	c.Flags().BoolVar(&req.Keep, "keep", false, "leave the index in --dir, and ask the one that is there")
	return c
}
