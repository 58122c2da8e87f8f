package main

import (
	"strings"

	"github.com/spf13/cobra"

	"rxedge/index"
)

func (a *app) search() *cobra.Command {
	var mode string
	var k int
	c := &cobra.Command{
		Use:     "search QUERY",
		Short:   "Find passages",
		Example: `  rxedge search "warfarin amiodarone interaction" -k 5`,
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			m := index.Mode(mode)
			if m != index.ModeBM25 && m != index.ModeDense && m != index.ModeHybrid {
				return usage("--mode: %q is none of bm25, dense, hybrid", mode)
			}
			if k < 1 || k > 1000 {
				return usage("-k: %d is outside 1 to 1000", k)
			}
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			res, err := st.Search(c.Context(), index.Query{Text: strings.Join(given, " "), K: k, Mode: m})
			if err != nil {
				return err
			}
			if res.Hits == nil {
				res.Hits = []index.Hit{}
			}
			if a.json {
				return a.print(res)
			}
			if len(res.Hits) == 0 {
				a.printf("Nothing found.\n")
			}
			for i, h := range res.Hits {
				a.printf("%d. %s, %s  (%.3f)\n", i+1, h.DocumentTitle, h.SectionTitle, h.Score)
				a.printf("   %s bytes %d-%d\n", h.Passage.SectionID, h.Passage.Start, h.Passage.End)
				a.printf("%s\n\n", wrap(shorten(h.Text, 280), "   ", lineWidth))
			}
			return nil
		},
	}
	c.Flags().StringVar(&mode, "mode", string(index.ModeHybrid), "bm25, dense or hybrid")
	c.Flags().IntVarP(&k, "results", "k", 10, "passages wanted")
	return c
}

func shorten(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + " …"
}
