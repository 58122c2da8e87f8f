package main

import (
	"github.com/spf13/cobra"

	"rxedge/index"
	"rxedge/index/benchmark"
)

func (a *app) bench() *cobra.Command {
	c := &cobra.Command{Use: "bench", Short: "Measure this machine", Example: `  rxedge bench index --passages 100000`, Args: cobra.ArbitraryArgs, RunE: group}
	c.AddCommand(a.benchIndex())
	return c
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
