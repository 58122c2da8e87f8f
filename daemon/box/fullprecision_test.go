package box

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/config"
	"rxedge/inference"
	"rxedge/inference/catalog"
	"rxedge/inference/gguf"
	"rxedge/inference/ladder"
	"rxedge/inference/llama"
	"rxedge/inference/llama2c"
)

// When nothing is asked twice, and why it says so; and whose text is let go.
func TestFullPrecisionIsOff(t *testing.T) {
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir = filepath.Join(dir, "models", "stories260K")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the real model is not on this machine (RXEDGE_TESTDATA names the folder)")
	}
	b := openBox(t, func(c *config.Config) { c.Model.Generator, c.Model.Embedder = "stories-f16", config.None })
	imported := func(name string, as gguf.Type) {
		t.Helper()
		path := filepath.Join(t.TempDir(), name+".gguf")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := llama2c.ConvertFiles(f, filepath.Join(dir, "stories260K.bin"), filepath.Join(dir, "tok512.bin"), llama2c.Options{Name: name, Type: as}); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ImportModel(t.Context(), path, catalog.ImportOptions{Name: name}, nil); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	off := func(want string) {
		t.Helper()
		got := b.fullOff(now)
		if want == "" && got != "" || !strings.Contains(got, want) || b.fullStatus().Off != got {
			t.Errorf("off as %q, want %q", got, want)
		}
	}
	off("no such model")
	imported("stories-f16", gguf.F16)
	off("no variant of stories-f16")
	imported("stories-f32", gguf.F32)
	off("")
	if m := b.full.model.Load(); m == nil || m.key != "stories-f32" {
		t.Fatalf("%+v", m)
	}
	b.full.waiting = []shadowed{{answer: &answer.Answer{}, at: now.Add(-25 * time.Hour)}, {answer: &answer.Answer{}, at: now}}
	b.Config.Telemetry.FullPrecision.Hours = config.Hours{From: 1, To: 2} // a nanosecond of the night
	off("outside of its hours")
	if n := len(b.full.waiting); n != 1 {
		t.Errorf("%d questions wait, of which one is of yesterday", n)
	}
	b.Config.Telemetry.FullPrecision.Hours = config.Hours{}
	b.Models.stepTo(ladder.State{Step: ladder.ExtractiveOnly, Why: "a test"})
	off("stepped back")
	b.Models.stepTo(ladder.State{})
	// Of a MiB, and nothing is loaded yet.
	small, err := llama.NewPool(llama.PoolOptions{Load: b.Models.load, Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	b.Models.pool = func() (*llama.Pool, error) { return small, nil }
	off("model stories-f32 needs")
	b.Config.Telemetry.FullPrecision.Model = "stories-f16"
	off("no other generator than the one that answers")
	if len(b.full.waiting) != 0 {
		t.Error("a text is kept for a model that is not there")
	}
	// Nothing that no model wrote, or that was kept from before, is asked twice.
	b.Config.Telemetry.FullPrecision.Model, b.Config.Telemetry.FullPrecision.Share = config.Auto, 1
	b.fullOff(now)
	by := b.unseen()
	defer by.Release()
	ctx := context.Background()
	b.sample(answer.WithServing(ctx, by), answer.Question{Text: "dose?"}, &answer.Answer{}, nil)
	b.sample(ctx, answer.Question{Text: "dose?"}, nil, inference.ErrBusy)
	if len(b.full.waiting) != 0 {
		t.Errorf("%d wait", len(b.full.waiting))
	}
	// A box without a daemon asks nothing twice, and one where it is switched off.
	b.Config.Telemetry.FullPrecision.Share = 0
	b.RunFullPrecision(ctx)
	if s := b.fullStatus(); !strings.Contains(s.Off, "switched off") || b.full.model.Load() != nil {
		t.Errorf("%+v", s)
	}
}
