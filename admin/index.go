package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"rxedge/daemon/box"
	"rxedge/index"
	"rxedge/index/document"
)

func (a *app) index() *cobra.Command {
	c := &cobra.Command{Use: "index", Short: "Generations of the index: list, verify, go back", Example: `  rxedge index verify`,
		Args: cobra.ArbitraryArgs, RunE: group}
	c.AddCommand(a.indexList(), a.indexStats(), a.indexVerify(), a.indexRollback(), a.indexPromote(), a.pin("index"), a.indexRebuild(), a.indexReembed(), a.indexCompact(), a.indexDocuments(), a.indexRemove(), a.indexQuarantine())
	return c
}

// on runs do on the box and prints its result, as JSON or through show.
func on[T any](a *app, c *cobra.Command, do func(station) (T, error), show func(T)) error {
	st, err := a.open(c.Context())
	if err != nil {
		return err
	}
	defer st.Close()
	v, err := do(st)
	if err != nil {
		return err
	}
	if a.json {
		return a.print(v)
	}
	show(v)
	return nil
}

func (a *app) indexList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the generations on disk", Example: `  rxedge index list --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) ([]index.GenerationInfo, error) { return s.Generations(c.Context()) }, func(gs []index.GenerationInfo) {
				var rows []table.Row
				for _, g := range gs {
					mark := ""
					if g.Current {
						mark = "serving"
					}
					rows = append(rows, table.Row{g.Label(), latest(g).Local().Format("2006-01-02 15:04:05"), g.Documents, g.Passages, g.Vectors, size(g.Bytes), mark})
				}
				a.table(table.Row{"generation", "created", "documents", "passages", "vectors", "size", ""}, rows)
			})
		}}
}

func (a *app) indexStats() *cobra.Command {
	return &cobra.Command{Use: "stats", Short: "What the serving generation holds and takes", Example: `  rxedge index stats`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (index.Stats, error) { return s.Stats(c.Context()) }, func(s index.Stats) {
				g := s.Generation
				a.printf("%s of %s\n", g.Label(), latest(g).Local().Format("2006-01-02 15:04:05"))
				a.printf("  %d documents, %d sections, %d passages, %d terms, %d vectors\n", g.Documents, g.Sections, g.Passages, s.Terms, g.Vectors)
				if g.Update > 0 || g.Withdrawn > 0 {
					a.printf("  %d segments; %d passages that were replaced or withdrawn\n", s.Segments, g.Withdrawn)
				}
				a.printf("  memory: %s of words, %s of vectors; disk: %s in %d generations\n", size(s.LexicalBytes), size(s.VectorBytes), size(s.DiskBytes), s.Generations)
				a.printf("  %s; analyser %s\n", searched(s.Dense), g.Analyzer)
				if g.Vectors > 0 {
					a.printf("  vectors of embedder %s\n", g.Embedder)
				}
				for _, n := range s.Notes {
					a.printf("  ! %s\n", n)
				}
			})
		}}
}

func (a *app) indexVerify() *cobra.Command {
	return &cobra.Command{Use: "verify", Short: "Read the index again, whole, and check it", Example: `  rxedge index verify --json`,
		Long: "Read the serving generation again, whole: checksums, and that documents, passages, postings and vectors agree.\nExit code 4 where something is damaged, and it is named.",
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var rep index.Report
			err := on(a, c, func(s station) (index.Report, error) {
				bar := a.progress()
				defer bar.finish()
				var err error
				rep, err = s.Verify(c.Context(), func(p index.Progress) { bar.set(p.Stage, int64(p.Done), int64(p.Total)) })
				if rep.Faults == nil {
					rep.Faults = []index.Fault{}
				}
				return rep, err
			}, func(r index.Report) {
				for _, f := range r.Faults {
					a.printf("damaged: %s: %s\n", f.Where, f.What)
				}
				if r.OK() {
					a.printf("%s is clean: %d documents, %d passages, %d postings, %d vectors.\n", r.Generation, r.Documents, r.Passages, r.Postings, r.Vectors)
				}
			})
			if err == nil && !rep.OK() {
				return &refusedError{fmt.Sprintf("%s has %d faults; 'rxedge index rollback' goes back to the generation before, 'rxedge index rebuild' makes it again", rep.Generation, len(rep.Faults))}
			}
			return err
		}}
}

func (a *app) indexRollback() *cobra.Command {
	return &cobra.Command{Use: "rollback", Short: "Take back the latest batch", Example: `  rxedge index rollback`,
		Long: "Take back the latest batch of changes: a live update of the serving generation, or else the generation\nbefore serves again. Again goes back one batch more, as far as there is something on disk.",
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (index.GenerationInfo, error) { return s.Rollback(c.Context()) }, func(g index.GenerationInfo) {
				a.printf("Serving %s: %d documents, %d passages.\n", g.Label(), g.Documents, g.Passages)
			})
		}}
}

func (a *app) indexRebuild() *cobra.Command {
	return &cobra.Command{Use: "rebuild", Short: "Make the index again from its own documents", Example: `  rxedge index rebuild`,
		Long: "Read this generation again, whole, and make a new one out of its documents where it is damaged, or was made\nwith another embedder or by another version. Of a damaged one only those documents are taken over that read\nas they were written; those that were lost are named, and are to be ingested again.",
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (index.ApplyResult, error) {
				bar := a.progress()
				defer bar.finish()
				return s.Rebuild(c.Context(), func(p index.Progress) { bar.set(p.Stage, int64(p.Done), int64(p.Total)) })
			}, func(r index.ApplyResult) {
				if !r.Changed {
					a.printf("Nothing to do: %s is as a new one would be.\n", r.Generation.Label())
					return
				}
				a.printf("Serving %s: %d documents, %d passages, %d embedded.\n", r.Generation.Label(), r.Generation.Documents, r.Generation.Passages, r.Embedded)
				if len(r.Lost) > 0 {
					a.printf("Lost, to be ingested again: %s\n", strings.Join(r.Lost, ", "))
				}
			})
		}}
}

func (a *app) indexReembed() *cobra.Command {
	return &cobra.Command{Use: "reembed", Short: "Make the vectors anew with the configured embedder", Example: `  rxedge index reembed`,
		Long: `Make the vectors that are missing or of another embedder, and a new generation that has
them. Meanwhile questions are answered and documents come in. Ctrl-C stops it; vectors
that were made are kept on disk, and the next 'rxedge index reembed' goes on from there.
Exit code 4 where no embedder is loaded, or one re-embedding is at work already.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (index.ApplyResult, error) {
				bar := a.progress()
				defer bar.finish()
				return s.Reembed(c.Context(), func(p index.Progress) { bar.set(p.Stage, int64(p.Done), int64(p.Total)) })
			}, func(r index.ApplyResult) {
				g := r.Generation
				if !r.Changed {
					a.printf("Nothing to do: the %d vectors of %s are of %s.\n", g.Vectors, g.Label(), g.Embedder)
					return
				}
				a.printf("Serving %s: %d passages, %d vectors of %s, %d embedded.\n", g.Label(), g.Passages, g.Vectors, g.Embedder, r.Embedded)
			})
		}}
}

func (a *app) indexCompact() *cobra.Command {
	return &cobra.Command{Use: "compact", Short: "Pack the index anew, without what was replaced", Example: `  rxedge index compact`,
		Long: "Make a new generation of what there is. The box does it by itself where more than 30 % of the passages\nwere replaced or withdrawn; 'rxedge index stats' says how many.",
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) (index.ApplyResult, error) {
				bar := a.progress()
				defer bar.finish()
				return s.Compact(c.Context(), func(p index.Progress) { bar.set(p.Stage, int64(p.Done), int64(p.Total)) })
			}, func(r index.ApplyResult) {
				g := r.Generation
				a.printf("Serving %s: %d documents, %d passages, %s.\n", g.Label(), g.Documents, g.Passages, size(g.Bytes))
			})
		}}
}

// latest is when the generation, or its latest update, was made.
func latest(g index.GenerationInfo) time.Time {
	if g.Update > 0 {
		return g.Updated
	}
	return g.Created
}

func (a *app) indexDocuments() *cobra.Command {
	return &cobra.Command{Use: "documents", Short: "List the documents", Example: `  rxedge index documents --json`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return on(a, c, func(s station) ([]index.DocumentSummary, error) { return s.Documents(c.Context()) }, func(ds []index.DocumentSummary) {
				var rows []table.Row
				for _, d := range ds {
					rows = append(rows, table.Row{d.ID, shorten(d.Title, 48), d.Version, d.Effective, d.Kind, d.Sections, d.Passages})
				}
				a.table(table.Row{"id", "title", "version", "effective", "kind", "sections", "passages"}, rows)
			})
		}}
}

func (a *app) indexRemove() *cobra.Command {
	return &cobra.Command{Use: "remove ID...", Short: "Withdraw documents", Example: `  rxedge index remove 608d4f0d-b19f-46d3-749a-7159aa5f933d`, Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, ids []string) error {
			return on(a, c, func(s station) (box.IngestReport, error) {
				for _, id := range ids {
					if _, err := s.Document(c.Context(), id); err != nil {
						return box.IngestReport{}, fmt.Errorf("document %s: %w", id, err)
					}
				}
				return s.Withdraw(c.Context(), ids, nil)
			}, func(r box.IngestReport) {
				a.printf("%d documents withdrawn. Serving %s: %d documents.\n", r.Removed, r.Generation.Label(), r.Generation.Documents)
			})
		}}
}

func (a *app) indexQuarantine() *cobra.Command {
	var (
		remove string
		all    bool
	)
	c := &cobra.Command{Use: "quarantine", Short: "List what could not be read, or remove it from there",
		Long: "List the files that could not be read as documents, with why and where the copy of each lies.\nOne that was mended and ingested, or that nobody needs, is removed from there by its id.",
		Example: `  rxedge index quarantine
  rxedge index quarantine --remove-all`, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if all || remove != "" {
				return on(a, c, func(s station) (int, error) { return s.ForgetQuarantined(c.Context(), remove) }, func(n int) {
					a.printf("%d removed from quarantine.\n", n)
				})
			}
			return on(a, c, func(s station) ([]document.Quarantined, error) {
				q, err := s.Quarantined(c.Context())
				if q == nil {
					q = []document.Quarantined{}
				}
				return q, err
			}, func(qs []document.Quarantined) {
				if len(qs) == 0 {
					a.printf("Nothing is in quarantine.\n")
				}
				for _, q := range qs {
					a.printf("%s  %s\n", q.ID, q.Error())
				}
			})
		}}
	c.Flags().StringVar(&remove, "remove", "", "remove the one of this `id`")
	c.Flags().BoolVar(&all, "remove-all", false, "remove all")
	c.MarkFlagsMutuallyExclusive("remove", "remove-all")
	return c
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f kB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
