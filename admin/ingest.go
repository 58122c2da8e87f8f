package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/index/document"
)

func (a *app) ingest() *cobra.Command {
	mapping := ""
	cmd := &cobra.Command{
		Use:   "ingest PATH...",
		Short: "Read labels and guidelines into the index",
		Long: `Read documents into the index: SPL XML, openFDA label JSON, JSONL of sections,
Markdown, HTML, plain text, PDF with a text layer, Word (.docx), tables of interactions (CSV, .xlsx);
folders are read whole, and so are zip, tar, gzip, zstd and bzip2 archives, a DailyMed release
or an openFDA bulk file as it was fetched. Of two versions of a label the newer one is read.
The new generation of the
index serves once all of it is written; until then, and on Ctrl-C, the old one does.

A table needs a mapping that says what its columns are: FILE.map.toml beside it, or
--mapping. Without one its error shows one to begin with, made of the table's header:

  table = "interactions"
  [columns]
  drug_a = "Drug A"
  drug_b = "Drug B"
  severity = "Severity"
  effect = "Effect"
  [severities]
  "3" = "major"

A row that lacks what is required, or gives two medicines another severity than another
row does, is named and left out; the rest goes in.

A file that can't be read is named with its place and kept in quarantine, the
rest goes in, and the exit code is 4. Reading the same again changes nothing.`,
		Example: `  rxedge ingest labels/ guideline.md
  rxedge ingest dm_spl_release_human_rx_part1.zip
  rxedge ingest --mapping columns.toml interactions.csv`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			paths, err := absolute(given)
			if err != nil {
				return fmt.Errorf("%w: %w", errNotFound, err)
			}
			columns := mapping
			if columns != "" {
				of, err := absolute([]string{columns})
				if err != nil {
					return fmt.Errorf("%w: %w", errNotFound, err)
				}
				columns = of[0]
			}
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			bar := a.progress()
			rep, err := st.IngestMapped(c.Context(), paths, columns, func(p box.IngestProgress) {
				if p.Unit == "bytes" {
					bar.setBytes(p.Stage, p.Done, p.Total)
				} else {
					bar.set(p.Stage, p.Done, p.Total)
				}
			})
			bar.finish()
			if err != nil {
				return err
			}
			if a.json {
				if err := a.print(rep); err != nil {
					return err
				}
			} else {
				a.showIngest(rep)
			}
			if n := problemCount(rep.Problems); n > 0 {
				return &refusedError{fmt.Sprintf("%d problems; the files are in quarantine, 'rxedge index quarantine' lists them", n)}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&mapping, "mapping", "", "file that says what the columns of tables are that have no FILE.map.toml beside them")
	return cmd
}

func (a *app) showIngest(rep box.IngestReport) {
	a.showProblems(rep.Problems)
	g := rep.Generation
	if !rep.Changed {
		a.printf("Nothing changed: %d documents read, all of them there already.\n", rep.Documents)
	} else {
		a.printf("%d documents read: %d new, %d replaced, %d unchanged.\n", rep.Documents, rep.Added, rep.Replaced, rep.Unchanged)
	}
	if rep.SampleRemoved {
		a.printf("The sample formulary has given way to your documents.\n")
	}
	a.printf("Serving %s: %d documents, %d sections, %d passages.\n", g.Label(), g.Documents, g.Sections, g.Passages)
}

// mostProblems are listed one by one; more are counted by their reason.
const mostProblems = 20

func (a *app) showProblems(problems []document.Problem) {
	if len(problems) <= mostProblems {
		for _, p := range problems {
			a.note("%s\n", p.Error())
			if p.Mapping != "" {
				a.note("\n%s\n", p.Mapping)
			}
		}
		return
	}
	byReason := map[string][]document.Problem{}
	for _, p := range problems {
		byReason[p.Reason] = append(byReason[p.Reason], p)
	}
	reasons := sortedKeys(byReason)
	slices.SortStableFunc(reasons, func(x, y string) int { return problemCount(byReason[y]) - problemCount(byReason[x]) })
	for i, r := range reasons {
		if i == mostProblems {
			a.note("And %d more reasons. ", len(reasons)-i)
			break
		}
		ps := byReason[r]
		a.note("%d times: %s; %s\n", problemCount(ps), r, ps[0].Fix)
		for _, p := range ps[:min(3, len(ps))] {
			p.Reason, p.Fix, p.More = "", "", 0
			a.note("  %s\n", strings.TrimRight(p.Error(), ": "))
		}
	}
	a.note("'--json' lists them all.\n")
}

func problemCount(ps []document.Problem) int {
	n := len(ps)
	for _, p := range ps {
		n += p.More
	}
	return n
}
