package main

import (
	"bytes"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/answer/evaluate"
	"rxedge/daemon/suite"
)

func (a *app) evalLeakage() *cobra.Command {
	var files [2]string
	threshold := suite.NearDuplicate
	c := &cobra.Command{
		Use:   "leakage --tuning FILE --test FILE",
		Short: "Questions of a test set that the tuning set has too",
		Long: `Find the questions of a test set that stand in a tuning set: the same but for case,
marks and space ("exact"), or with much of their shingles of five characters in common
(Jaccard similarity, --threshold). Both files are in the form of 'rxedge eval answers'.
Questions are named by their ids. A test set that leaked is refused (exit 4).

JSON keys: tuning, test, exact, near, share, leaks (of each test, tuning, exact,
similarity).`,
		Example: `  rxedge eval leakage --tuning tuning.jsonl --test golden.jsonl --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if !(threshold > 0 && threshold <= 1) {
				return usage("--threshold: %g is outside 0 to 1", threshold)
			}
			var sets [2][]evaluate.Question
			for i, flag := range []string{"--tuning", "--test"} {
				b, err := questionsFile(flag, files[i])
				if err != nil {
					return err
				}
				if sets[i], err = evaluate.Read(files[i], bytes.NewReader(b)); err != nil {
					return err
				}
			}
			l := suite.Leaks(sets[0], sets[1], threshold)
			if a.json {
				if err := a.print(l); err != nil {
					return err
				}
			} else {
				var rows []table.Row
				for _, x := range l.Leaks {
					rows = append(rows, table.Row{x.Test, x.Tuning, x.Exact, fmt.Sprintf("%.3f", x.Similarity)})
				}
				a.table(table.Row{"test", "tuning", "exact", "similarity"}, rows)
			}
			if n := l.Exact + l.Near; n > 0 {
				return &refusedError{fmt.Sprintf("%d of %d questions of the test set are in the tuning set (%d exactly): take them out of one", n, l.Test, l.Exact)}
			}
			if !a.json {
				a.printf("None of %d questions of the test set is among the %d of the tuning set.\n", l.Test, l.Tuning)
			}
			return nil
		},
	}
	c.Flags().StringVar(&files[0], "tuning", "", "`file` of questions that were tuned with")
	c.Flags().StringVar(&files[1], "test", "", "`file` of questions that are tested with")
	c.Flags().Float64Var(&threshold, "threshold", threshold, "similarity from which two questions are much the same")
	return c
}
