package box

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/config"
	profiles "rxedge/firmware-profiles"
	"rxedge/inference"
	"rxedge/inference/catalog"
	"rxedge/inference/gpu"
	"rxedge/inference/ladder"
	"rxedge/inference/llama"
)

// card is a source with one card that feels as the test says.
type card struct {
	used  chan float64 // percent of its memory, for each reading
	xids  chan gpu.XID
	wrong chan error
}

func (c *card) Read(ctx context.Context) (gpu.Snapshot, error) {
	select {
	case p := <-c.used:
		t := 50
		return gpu.Snapshot{Source: "test", Driver: "1.0", Cards: []gpu.Card{{Name: "a card", Temperature: gpu.Temperature{Now: &t},
			Memory: &gpu.Memory{Total: 1000, Used: uint64(10 * p), Free: uint64(1000 - 10*p)}}}}, nil
	case err := <-c.wrong:
		return gpu.Snapshot{}, err
	case <-ctx.Done():
		return gpu.Snapshot{}, gpu.ErrHung
	}
}
func (c *card) XIDs(context.Context) (<-chan gpu.XID, error) { return c.xids, nil }
func (c *card) Close() error                                 { return nil }

func openBox(t *testing.T, change func(*config.Config)) *Box {
	t.Helper()
	cfg := config.Default()
	cfg.Data = t.TempDir()
	if change != nil {
		change(&cfg)
	}
	b, err := Open(t.Context(), cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A card whose memory fills takes the models down the ladder step by step and
// up again, one that fails at once to the end; questions are answered throughout.
func TestLadderDrivesModels(t *testing.T) {
	t.Parallel()
	stories := filepath.Join("..", "..", "..", "shared", "data", "models", "stories260K")
	if d := os.Getenv("RXEDGE_TESTDATA"); d != "" {
		stories = filepath.Join(d, "models", "stories260K")
	}
	if _, err := os.Stat(stories); err != nil {
		t.Skip("the real models are not on this machine; set RXEDGE_TESTDATA to their folder")
	}
	if _, err := llama.Find(); err != nil {
		t.Skip(err)
	}
	b := openBox(t, func(c *config.Config) {
		c.Model.Profile, c.Model.Generator, c.Model.Context, c.Model.Slots = "l4", "stories260K", 512, 2
	})
	if _, err := b.ImportModel(t.Context(), stories, catalog.ImportOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	// write tells how much memory the keys and values of all slots take.
	write := func() (int64, error) {
		g, err := b.Models.Generator(t.Context(), "stories260K")
		if err != nil {
			return 0, err
		}
		if _, err := g.Generate(t.Context(), inference.GenerateRequest{Prompt: "Once", MaxTokens: 3}, nil); err != nil {
			return 0, err
		}
		for _, st := range b.Models.States() {
			if st.Model == "stories260K" && st.Phase == llama.Ready {
				return st.Estimate.KV, nil
			}
		}
		return 0, errors.New("it is not loaded")
	}
	whole, err := write()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(scrape(t, b), `rxedge_model_ready{model="stories260K"} 1`) {
		t.Error("the metrics do not show the model")
	}

	limits := profileLimits(t, "l4")
	src := &card{used: make(chan float64), xids: make(chan gpu.XID), wrong: make(chan error)}
	tick, clock := make(chan time.Time), time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.watch(ctx, src, limits, tick)
	}()
	// feel is a reading so long after the one before.
	feel := func(after time.Duration, used float64) {
		clock = clock.Add(after)
		tick <- clock
		src.used <- used
		tick <- clock // the reading before has been acted on
		src.used <- used
	}
	for _, used := range []float64{60, 95, 95, 95, 95} { // 94: a smaller context
		feel(16*time.Second, used)
	}
	if st := b.Models.Step(); st.Step != ladder.SmallerContext || !strings.Contains(st.Why, "memory") {
		t.Fatalf("the ladder stands at %+v", st)
	}
	if n, err := write(); n > whole*6/10 || n == 0 || err != nil { // half as many slots
		t.Errorf("after the squeeze: %d bytes of keys and values, %d before, %v", n, whole, err)
	}
	h := b.Health()
	if h.Step != ladder.SmallerContext.String() || len(h.Degraded) == 0 || h.Profile != "l4" {
		t.Errorf("health %+v", h)
	}
	// The driver reports that the card needs a reset: at once to the end.
	src.xids <- gpu.XID{Code: 79}
	src.used <- 60
	feel(time.Second, 60)
	if st := b.Models.Step(); st.Step != ladder.ExtractiveOnly || !strings.Contains(st.Why, "79") {
		t.Fatalf("after the fault: %+v", st)
	}
	if _, err := write(); !errors.Is(err, inference.ErrSteppedBack) {
		t.Errorf("a model writes: %v", err)
	}
	a, err := b.Ask(t.Context(), answer.Question{Text: "Can metformin be started with an eGFR of 40?"}, answer.Events{})
	if err != nil || a.Status != answer.StatusAnswered || !strings.Contains(a.Fallback, "to spare the card") {
		t.Errorf("%v %+v", err, a)
	}
	// The machine was restarted, so to speak, and the card is well for long.
	b.cards.mu.Lock()
	clear(b.cards.faults)
	b.cards.mu.Unlock()
	for range 40 {
		feel(30*time.Second, 60)
	}
	if st := b.Models.Step(); st.Step != ladder.Normal {
		t.Errorf("back: %+v", st)
	}
	if n, err := write(); n != whole || err != nil {
		t.Errorf("back: %d bytes of keys and values, %d before, %v", n, whole, err)
	}
	// A driver that hangs is a fault.
	tick <- clock
	src.wrong <- gpu.ErrHung
	tick <- clock
	src.wrong <- gpu.ErrHung
	if st := b.Models.Step(); st.Step != ladder.ExtractiveOnly {
		t.Errorf("a driver that hangs: %+v", st)
	}
	body := scrape(t, b)
	for _, line := range []string{
		"rxedge_ladder_step 5", "rxedge_gpu_unreadable 1", `rxedge_gpu_xid_total{effect="lost"} 1`, `rxedge_gpu_memory_used_bytes{card="0"} 600`,
		`rxedge_gpu_temperature_celsius{card="0"} 50`, `rxedge_answers_total{mode="extractive",reason="",status="answered"} 1`,
		"rxedge_index_documents 16",
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no %q in the metrics", line)
		}
	}
	cancel()
	<-ended
}

func profileLimits(t *testing.T, name string) ladder.Limits {
	t.Helper()
	p, err := profiles.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return p.LadderLimits()
}

func scrape(t *testing.T, b *Box) string {
	t.Helper()
	w := httptest.NewRecorder()
	b.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// What the profile, the configuration and the ladder make of a model together.
func TestModelOptions(t *testing.T) {
	t.Parallel()
	none := 0
	generator := catalog.Entry{Name: "Writer", Facts: catalog.Facts{Kind: catalog.Generator, ContextLength: 32768}}
	short := catalog.Entry{Name: "Short", Facts: catalog.Facts{Kind: catalog.Generator, ContextLength: 512}}
	encoder := catalog.Entry{Name: "Encoder", Facts: catalog.Facts{Kind: catalog.Embedder, ContextLength: 512}}
	for name, c := range map[string]struct {
		profile string
		cfg     config.Model
		entry   catalog.Entry
		onCard  bool
		step    ladder.Step
		want    llama.Options
	}{
		"as the profile has it": {"l4", config.Model{}, generator, true, ladder.Normal,
			llama.Options{Context: 8192, Slots: 8, Batch: 2048, MicroBatch: 512, GPULayers: llama.AllLayers, Flash: llama.FlashAuto}},
		"an engine without a card": {"l4", config.Model{}, generator, false, ladder.Normal,
			llama.Options{Context: 8192, Slots: 8, Batch: 2048, MicroBatch: 512, Device: llama.NoDevice, Flash: llama.FlashAuto}},
		"a model of a short context": {"l4", config.Model{}, short, true, ladder.Normal,
			llama.Options{Context: 512, Slots: 8, Batch: 2048, MicroBatch: 512, GPULayers: llama.AllLayers, Flash: llama.FlashAuto}},
		"the configuration goes before": {"l4", config.Model{Context: 1024, Slots: 3, Batch: 256, KVType: "q8_0", Threads: 5, GPULayers: &none,
			Adapters: []config.Adapter{{Name: "a", Base: "writer", Path: "/a.gguf"}, {Name: "b", Base: "other", Path: "/b.gguf"}}}, generator, true, ladder.Normal,
			llama.Options{Context: 1024, Slots: 3, Batch: 256, MicroBatch: 256, KV: llama.KVQ8_0, Flash: llama.FlashOn, Threads: 5, Device: llama.NoDevice,
				Adapters: map[string]string{"a": "/a.gguf"}}},
		"an encoder":                      {"l4", config.Model{}, encoder, true, ladder.Normal, llama.Options{GPULayers: llama.AllLayers}},
		"an encoder off the card":         {"l4", config.Model{}, encoder, true, ladder.CPUEmbeddings, llama.Options{Device: llama.NoDevice}},
		"an encoder on a box without one": {"cpu-only", config.Model{}, encoder, false, ladder.Normal, llama.Options{Device: llama.NoDevice}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := profiles.Get(c.profile)
			if err != nil {
				t.Fatal(err)
			}
			cat, err := catalog.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			m := &Models{catalog: cat, cfg: c.cfg}
			got := m.options(c.entry, choice{profile: p, onCard: c.onCard}, c.step)
			w := c.want
			if w.KV == "" && c.entry.Kind == catalog.Generator {
				w.KV = llama.KVF16
			}
			if got.Context != w.Context || got.Slots != w.Slots || got.Batch != w.Batch || got.MicroBatch != w.MicroBatch || got.GPULayers != w.GPULayers ||
				got.Device != w.Device || got.KV != w.KV || got.Flash != w.Flash || got.Threads != w.Threads || len(got.Adapters) != len(w.Adapters) || got.Adapters["a"] != w.Adapters["a"] {
				t.Errorf("got  %+v\nwant %+v", got, w)
			}
		})
	}
}
