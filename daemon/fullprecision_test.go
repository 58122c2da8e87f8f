package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/inference/catalog"
	"rxedge/inference/gguf"
	"rxedge/inference/llama"
)

// The real model in four bits answers, and is asked again as it was trained: after the
// answers, unseen, and what is left of the texts are numbers. It is unloaded then.
func TestFullPrecision(t *testing.T) {
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	long := map[string]any{"llama.context_length": uint32(2048)}
	four, full := storiesModel(t, "stories-Q4_0", modelChange{weights: gguf.Q4_0, set: long}), storiesModel(t, "stories-f32", modelChange{set: long})
	s := startDaemon(t, func(c *config.Config) {
		c.Model.Generator, c.Model.Embedder = "stories-Q4_0", config.None
		c.Answer.MaxTokens, c.Answer.Passages, c.Cache.Enabled = 16, 1, false
		c.Telemetry.FullPrecision.Share, c.Telemetry.FullPrecision.Gather = 1, config.Duration(300*time.Millisecond)
	})
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	status := func(what string, is func(box.Telemetry) bool) box.Telemetry {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			tel, err := k.Telemetry(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if is(tel) {
				return tel
			}
			if time.Now().After(end) {
				t.Fatalf("not %s: %+v\n%s", what, tel.FullPrecision, s.log)
			}
		}
	}
	status("off", func(x box.Telemetry) bool { return strings.Contains(x.FullPrecision.Off, "no such model") })
	if _, err := k.ImportModel(t.Context(), four, catalog.ImportOptions{Name: "stories-Q4_0"}, nil); err != nil {
		t.Fatal(err)
	}
	status("off without a variant", func(x box.Telemetry) bool { return strings.Contains(x.FullPrecision.Off, "no variant of stories-Q4_0") })
	if _, err := k.ImportModel(t.Context(), full, catalog.ImportOptions{Name: "stories-f32"}, nil); err != nil {
		t.Fatal(err)
	}
	status("on", func(x box.Telemetry) bool { return x.FullPrecision.Off == "" && x.FullPrecision.Model == "stories-f32" })
	const n = 3
	for i := range n {
		a, err := k.Ask(t.Context(), answer.Question{Text: fmt.Sprintf("What are the contraindications of %s?", []string{"metformin", "warfarin", "lisinopril"}[i%3]), Mode: answer.ModeGenerated}, answer.Events{})
		if err != nil || a.Verification == nil || a.Verification.Model != "stories-Q4_0" {
			t.Fatal(err, a)
		}
	}
	got := status("asked", func(x box.Telemetry) bool { return x.FullPrecision.Asked >= n })
	if got.Questions != n || got.FullPrecision.Failed != 0 || got.FullPrecision.Moved != 0 || got.FullPrecision.Waiting != 0 {
		t.Errorf("%d questions are counted; %+v", got.Questions, got.FullPrecision)
	}
	seen := false
	for _, m := range got.Models {
		if m.Model != "stories-Q4_0" {
			continue
		}
		seen = true
		g := m.Agreement
		if g == nil || g.Pairs != n || g.Checks["same_tokens"].N != n || g.Checks["same_tokens"].Share == 1 || g.Measures["first_token"] == nil {
			t.Errorf("in four bits it writes otherwise, which nobody noticed: %+v", g)
		}
		t.Logf("%d pairs, %+v", g.Pairs, g.Checks)
	}
	if !seen {
		t.Errorf("%+v", got.Models)
	}
	status("unloaded", func(box.Telemetry) bool {
		h, err := k.Status(t.Context())
		return err == nil && len(h.Others) == 0
	})
	if _, _, body := s.send(t, "GET", "/metrics", ""); !strings.Contains(body, `rxedge_compared_answers{model="stories-Q4_0"} 3`) || !strings.Contains(body, "rxedge_agreement_ratio{") {
		t.Error("/metrics has no agreement")
	}
	// What was asked twice is written nowhere.
	for _, dir := range []string{"telemetry", "rollout", "feedback"} {
		_ = filepath.WalkDir(filepath.Join(s.data, dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), "contraindications of") {
					t.Errorf("%s holds a question", path)
				}
			}
			return nil
		})
	}
}
