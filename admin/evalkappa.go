package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rxedge/daemon/telemetry/quality"
)

func (a *app) evalKappa() *cobra.Command {
	var path, first, second string
	c := &cobra.Command{
		Use:   "kappa --csv FILE --a COLUMN --b COLUMN",
		Short: "Whether two raters agree beyond chance",
		Long: `Cohen's kappa of two columns of a CSV with a header: what two people (or a person and
the guard) said of the same items, in any words. Rows in which either is empty are
passed over. Undefined (null) where both said one and the same of everything.

JSON keys: n, agreement, kappa, skipped.`,
		Example: `  rxedge eval kappa --csv ratings.csv --a meyer --b okafor --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if first == "" || second == "" {
				return usage("--a and --b are to name a column each")
			}
			f, err := file("--csv", path)
			if err != nil {
				return err
			}
			defer f.Close()
			as, bs, skipped, err := quality.ReadRatings(f, first, second)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			out := struct {
				N         int      `json:"n"`
				Agreement *float64 `json:"agreement"`
				Kappa     *float64 `json:"kappa"`
				Skipped   int      `json:"skipped"`
			}{N: len(as), Skipped: skipped}
			if len(as) > 0 {
				same := 0.0
				for i := range as {
					if as[i] == bs[i] {
						same++
					}
				}
				same /= float64(len(as))
				out.Agreement = &same
			}
			k, err := quality.Kappa(as, bs)
			if err == nil {
				out.Kappa = &k
			} else if !errors.Is(err, quality.ErrUndefined) {
				return err
			}
			if a.json {
				return a.print(out)
			}
			a.printf("%d items   kappa %s   agreement %s   %d rows passed over\n", out.N, optional(out.Kappa), optional(out.Agreement), skipped)
			return nil
		},
	}
	c.Flags().StringVar(&path, "csv", "", "`file` with a header")
	c.Flags().StringVar(&first, "a", "", "`column` of one rater")
	c.Flags().StringVar(&second, "b", "", "`column` of the other")
	return c
}
