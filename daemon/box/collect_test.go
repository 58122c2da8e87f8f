package box

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/config"
	"rxedge/daemon/disk"
	"rxedge/daemon/store"
	"rxedge/index"
	"rxedge/inference/catalog"
	"rxedge/inference/gguf"
)

// diskBox is an open box with the sample, in a folder of its own.
func diskBox(t *testing.T, set func(*config.Config)) *Box {
	t.Helper()
	cfg := config.Default()
	floor := 0
	cfg.Data, cfg.Index.DiskFloorMB, cfg.Model.Profile = t.TempDir(), &floor, "cpu-only"
	if set != nil {
		set(&cfg)
	}
	b, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// importModel puts a small model into the catalog, used last so long ago.
func importModel(t *testing.T, b *Box, name string, age time.Duration) catalog.Entry {
	t.Helper()
	var m gguf.Metadata
	m.Set("general.architecture", "llama")
	m.Set("general.name", name)
	m.Set("tokenizer.ggml.model", "llama")
	m.Set("llama.context_length", uint32(2048))
	m.Set("llama.embedding_length", uint32(32))
	path := filepath.Join(t.TempDir(), name+".gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	tensors := []gguf.Tensor{{Name: "output_norm.weight", Shape: []uint64{32}, Type: gguf.F32}}
	w, err := gguf.NewWriter(f, &m, tensors)
	if err == nil {
		err = w.WriteTensor(tensors[0].Name, strings.NewReader(strings.Repeat("\x00", int(tensors[0].Bytes()))))
	}
	if err = errors.Join(err, w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	e, err := b.Catalog.Import(t.Context(), path, catalog.ImportOptions{Name: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	entry := filepath.Join(b.Config.Data, "models", "entries", strings.ToLower(name)+".json")
	text, err := os.ReadFile(entry)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	text = []byte(strings.Replace(string(text), e.ImportedAt.Format(time.RFC3339), at.UTC().Format(time.RFC3339), 1))
	if err := errors.Join(os.WriteFile(entry, text, 0o644), os.Chtimes(entry, at, at)); err != nil {
		t.Fatal(err)
	}
	return e
}

func put(t *testing.T, b *Box, rel string, bytes int, age time.Duration) {
	t.Helper()
	path := filepath.Join(b.Config.Data, filepath.FromSlash(rel))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, make([]byte, bytes), 0o600)); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func things(r CollectReport) (out []string) {
	for _, i := range r.Items {
		if i.Bytes > 0 && !strings.HasSuffix(i.What, ", packed") {
			out = append(out, i.What)
		}
	}
	slices.Sort(out)
	return out
}

const day = 24 * time.Hour

// Only what nothing needs goes, a dry run leaves it, and the second time there is nothing.
func TestCollect(t *testing.T) {
	t.Parallel()
	b := diskBox(t, func(c *config.Config) {
		c.Model.Adapters = []config.Adapter{{Name: "a", Base: "Based", Path: "/nowhere"}}
		c.Model.Reranker = "ranks"
	})
	for _, name := range []string{"Based", "ranks", "idle", "young"} {
		age := 40 * day
		if name == "young" {
			age = 20 * day
		}
		importModel(t, b, name, age)
	}
	used := importModel(t, b, "used", 40*day)
	b.Catalog.Used(used)
	sum := strings.Repeat("ab", 32)
	put(t, b, "rollout/files/"+sum, 1000, 3*day)
	put(t, b, "rollout/files/.new-123", 1000, 3*day)
	put(t, b, "rollout/files/.new-456", 1000, time.Minute)
	put(t, b, "models/blobs/.import-9", 1000, 8*day)
	put(t, b, "logs/1.log", 1000, 60*day)
	put(t, b, "logs/2.log", 1000, 50*day)
	for n := range 4 {
		put(t, b, fmt.Sprintf("telemetry.damaged-2026010%dT000000/x", n+1), 5000, day)
		put(t, b, fmt.Sprintf("feedback.damaged-2026010%dT000000/x", n+1), 5000, day)
		put(t, b, fmt.Sprintf("index.damaged-2026010%d-000000.000/x", n+1), 5000, day)
	}
	want := []string{"feedback.damaged-20260101T000000", "feedback.damaged-20260102T000000", "logs/1.log", "model idle", "models/blobs/.import-9",
		"rollout/files/.new-123", "rollout/files/" + sum[:12], "telemetry.damaged-20260101T000000", "telemetry.damaged-20260102T000000"}
	dry, err := b.CollectDisk(t.Context(), CollectRequest{DryRun: true})
	if err != nil || !slices.Equal(things(dry), want) {
		t.Fatalf("%v\n%v\n%v", err, things(dry), want)
	}
	rep, err := b.CollectDisk(t.Context(), CollectRequest{})
	if err != nil || !slices.Equal(things(rep), want) {
		t.Fatalf("%v\n%v\n%v", err, things(rep), want)
	}
	if again, err := b.CollectDisk(t.Context(), CollectRequest{}); err != nil || len(things(again)) != 0 {
		t.Fatal(things(again), err)
	}
	for _, name := range []string{"Based", "ranks", "young", "used"} {
		if _, err := b.Catalog.Get(name); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(b.Config.Data, "index.damaged-20260101-000000.000")); err != nil {
		t.Error("documents that are nowhere else went:", err)
	}
	urgent, err := b.CollectDisk(t.Context(), CollectRequest{Urgent: true})
	want = []string{"feedback.damaged-20260103T000000", "model used", "model young", "telemetry.damaged-20260103T000000", "telemetry.damaged-20260104T000000"}
	want = slices.DeleteFunc(want, func(s string) bool { return s == "model used" }) // an hour ago
	if err != nil || !slices.Equal(things(urgent), want) {
		t.Fatalf("%v\n%v\n%v", err, things(urgent), want)
	}
}

// Where the clock has jumped nothing goes for its age.
func TestCollectMindsTheClock(t *testing.T) {
	b := diskBox(t, nil)
	importModel(t, b, "idle", 40*day)
	put(t, b, "logs/1.log", 1000, 60*day)
	put(t, b, "logs/2.log", 1000, 50*day)
	wall, steady := time.Now(), time.Duration(0)
	b.clock = clockOf(func() (time.Time, time.Duration) { return wall, steady })
	wall = wall.AddDate(10, 0, 0)
	rep, err := b.CollectDisk(t.Context(), CollectRequest{Urgent: true})
	if err != nil || len(things(rep)) != 0 || len(rep.Kept) != 1 || !strings.Contains(rep.Kept[0], "clock") {
		t.Fatal(things(rep), rep.Kept, err)
	}
	h := b.Health()
	if len(h.Conditions) == 0 || !slices.ContainsFunc(h.Degraded, func(s string) bool { return strings.Contains(s, "the clock was set forward by 365") }) {
		t.Errorf("%v", h.Conditions)
	}
	steady += 25 * time.Hour
	wall = wall.Add(25 * time.Hour)
	if rep, err := b.CollectDisk(t.Context(), CollectRequest{}); err != nil || len(things(rep)) != 2 {
		t.Fatal(things(rep), rep.Kept, err)
	}
}

// What would be over a budget is refused with the figures, before it begins, and told.
func TestBudgets(t *testing.T) {
	t.Parallel()
	b := diskBox(t, func(c *config.Config) { c.Disk.IndexMB, c.Disk.ModelsMB = 100, 100 })
	var full *index.DiskError
	put(t, b, "index/ballast", 90e6, 0)
	if _, err := b.Compact(t.Context(), nil); !errors.As(err, &full) || full.Budget != 100e6 || full.Used < 90e6 || !strings.Contains(err.Error(), "disk.index_mb") {
		t.Fatal(err)
	}
	put(t, b, "models/ballast", 101e6, 0)
	var over *BudgetError
	if err := b.Catalog.Room(1e6); !errors.As(err, &over) || over.Kind != disk.Models || !errors.Is(err, store.ErrNoRoom) || !strings.Contains(err.Error(), "models take 101 MB of the 100 MB that they may, and this needs 1 MB") {
		t.Fatal(err)
	}
	if _, err := b.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	for _, f := range b.Health().Conditions {
		codes[f.Code] = f.Detail
	}
	if !strings.Contains(codes["disk-budget-exceeded"], "models: 101 of 100 MB") || !strings.Contains(codes["disk-budget-near"], "index: 9") {
		t.Error(codes)
	}
	if err := os.Remove(filepath.Join(b.Config.Data, "index", "ballast")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Compact(t.Context(), nil); err != nil {
		t.Error("there is room again:", err)
	}
}

// Generations that no rollback reaches go; what serves, what it came from and what the
// journal may go back to stay, and the folder does not grow.
func TestGenerationsStayFlat(t *testing.T) {
	t.Parallel()
	b := diskBox(t, nil)
	for range 2 { // so that there is no gen-000001 any more; the journal goes back to the first
		if _, err := b.Compact(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	var sizes []int
	for range 3 {
		if _, err := b.Compact(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		// One that a start found and nobody could go back to, as after a restore.
		gs, err := b.Index.Generations()
		if err != nil {
			t.Fatal(err)
		}
		old := filepath.Join(b.Config.Data, "index", gs[len(gs)-1].Name)
		if err := os.CopyFS(filepath.Join(b.Config.Data, "index", "gen-000001"), os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
		rep, err := b.CollectDisk(t.Context(), CollectRequest{})
		if err != nil || !slices.Contains(things(rep), "gen-000001") {
			t.Fatal(things(rep), err)
		}
		if gs, err = b.Index.Generations(); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(gs))
	}
	if most := slices.Max(sizes); most > 3 {
		t.Error("generations after each round:", sizes)
	}
	if _, err := b.Rollback(context.Background()); err != nil {
		t.Error("there is nothing to go back to:", err)
	}
}
