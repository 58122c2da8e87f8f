package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/health"
)

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "What the box serves, and what is wrong",
		Example: `  rxedge status --json`,
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer st.Close()
			h, err := st.Status(c.Context())
			if err != nil {
				return err
			}
			_, here := st.(*box.Box)
			if a.json {
				return a.print(struct {
					Daemon bool `json:"daemon"`
					api.Health
				}{!here, h})
			}
			if here {
				a.printf("rxedged is not running; this is what the data folder holds.\n")
			} else {
				a.printf("rxedged %s, up %s\n", h.Version, time.Since(h.Started).Round(time.Second))
			}
			a.printf("%s\n\n", verdict(h))
			a.printf("Index      %s of %s: %d documents, %d passages, %s\n", h.Generation, h.Indexed.Local().Format("2006-01-02 15:04"), h.Documents, h.Passages, searched(h.Dense))
			if d, err := time.Parse(time.DateOnly, h.NewestLabel); err == nil {
				a.printf("Newest     label of %s, %d days old\n", h.NewestLabel, int(time.Since(d).Hours()/24))
			}
			a.link(c.Context(), st)
			if h.Generator != nil {
				a.printf("Generator  %s: %s %s\n", h.Generator.Name, h.Generator.Phase, h.Generator.Reason)
			} else {
				a.printf("Generator  none; answers are sentences of the documents\n")
			}
			if h.Embedder != nil {
				a.printf("Embedder   %s: %s %s\n", h.Embedder.Name, h.Embedder.Phase, h.Embedder.Reason)
			}
			if r := h.Reembedding; r != nil {
				a.printf("Vectors    are made anew while questions are answered by words: %s, %d of %d\n", r.Stage, r.Done, r.Total)
			}
			for _, m := range h.Others {
				a.printf("Loaded     %s: %s, %s of memory %s\n", m.Name, m.Phase, size(m.MemoryBytes), m.Reason)
			}
			if c := h.Cache; c != nil {
				a.printf("Cache      %d answers, %d vectors of questions, %s\n", c.Answers, c.Embeddings, size(c.Bytes))
			}
			if d := h.Disk; d != nil {
				a.printf("Disk       %s free, rxedge takes %s\n", size(int64(d.Free)), size(d.Used))
			}
			if t := h.Thresholds; t != nil {
				a.printf("Guard      %s, proposed by %s, approved by %s on %s: much doubt", printableText(t.ID), printableText(t.Proposed), printableText(t.Approved), t.At.Format(time.DateOnly))
				for _, g := range t.Groups.Groups {
					a.printf(", %s from %.3f", g.Cohort, g.Threshold)
				}
				a.printf("; others from %.3f\n", t.Groups.Own)
			}
			if h.Profile != "" {
				a.printf("Profile    %s: %s\n", h.Profile, h.ProfileWhy)
			}
			if h.Step != "" {
				a.printf("Ladder     %s %s\n", h.Step, h.StepWhy)
			}
			a.printf("Engine     llama.cpp %s\n", h.Engine)
			if r := h.Restored; r != nil {
				a.printf("Restored   from backup %s, taken %s by rxedge %s of %s\n", printableText(r.Backup), r.Created.Local().Format(time.DateTime), printableText(r.Rxedge), printableText(r.Generation))
			}
			a.conditions(h.Conditions)
			return nil
		},
	}
}

func searched(dense bool) string {
	if dense {
		return "searched by words and vectors"
	}
	return "searched by words"
}

// verdict in one line: whether questions are answered, and whether all is well.
func verdict(h api.Health) string {
	worst, wrong := health.Notice, 0
	for _, f := range h.Conditions {
		worst = max(worst, f.Severity)
		if f.Severity > health.Notice {
			wrong++
		}
	}
	switch {
	case !h.Ready:
		return "Questions are NOT answered."
	case wrong == 0:
		return "Questions are answered. Nothing is wrong."
	}
	return fmt.Sprintf("Questions are answered, with limits: %d of severity up to %s, below.", wrong, worst)
}

// link to the centre, in a line, where there is one.
func (a *app) link(ctx context.Context, st station) {
	s, err := st.SyncStatus(ctx)
	if err != nil || !s.Enrolled {
		return
	}
	a.printf("Centre     site %s", s.Site)
	if u := s.Uplink; u != nil {
		how := "not connected"
		if u.Connected {
			how = "connected"
		}
		a.printf(", %s since %s, %d messages wait", how, u.Since.Local().Format("2006-01-02 15:04"), u.Waiting.Messages)
	}
	if b := s.Bundles; b != nil && b.Active != nil {
		a.printf(", bundle %d of %s", b.Active.Number, b.Active.At.Local().Format("2006-01-02 15:04"))
	}
	a.printf("\n")
}

// conditions that hold, what is to be mended first at the top, each with its mend.
func (a *app) conditions(found []health.Finding) {
	for _, f := range found {
		a.printf("\n%-8s %s\n         %s\n", f.Severity, f.Code, f.Detail)
		if f.Because != "" {
			a.printf("         because of %s\n", f.Because)
		} else if f.Severity > health.Notice {
			a.printf("         mend: %s\n", f.Fix)
		}
	}
}
