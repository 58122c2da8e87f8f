package main

import (
	"os"
	"path/filepath"
	"testing"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
)

// A box is measured while it serves, with its language model; nothing of it is counted
// among people's questions, and nothing is left.
func TestBoxIsMeasured(t *testing.T) {
	t.Parallel()
	s := withStories(t, func(c *config.Config) { c.Model.Generator = "stories260K" })
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	var stages []string
	r, err := k.Bench(t.Context(), box.BenchRequest{Seconds: 0.1}, func(p box.BenchProgress) { stages = append(stages, p.Stage) })
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 6 || stages[0] != "disk" || stages[5] != "done" {
		t.Errorf("stages: %q", stages)
	}
	seen := map[string]box.BenchFigure{}
	for _, f := range r.Figures {
		seen[f.Name] = f
		if f.Value <= 0 || f.Verdict == "" || (f.Verdict == box.BenchSlow) != (f.Look != "") || f.Verdict == box.BenchUnknown && f.Why == "" {
			t.Errorf("%+v", f)
		}
	}
	for _, name := range []string{"a write that lasts, p95", "memory read", "an answer, median", "an answer, p95", "answers, all cores", "texts embedded by builtin", "tokens read by stories260K", "tokens written by stories260K"} {
		if _, ok := seen[name]; !ok {
			t.Errorf("%s was not measured: %+v", name, r.Figures)
		}
	}
	// The profile expects it of another model.
	if f := seen["tokens written by stories260K"]; f.Verdict != box.BenchUnknown {
		t.Errorf("%+v", f)
	}
	if n, err := k.Telemetry(t.Context(), 24); err != nil || n.Questions != 0 {
		t.Errorf("%d questions were counted, %v", n.Questions, err)
	}
	if _, err := os.Stat(filepath.Join(s.data, ".bench")); !os.IsNotExist(err) {
		t.Errorf("its file is left: %v", err)
	}
}
