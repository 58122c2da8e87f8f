package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]Kind{
		"index/gen-000001/000001.vlog": Index, "index": Index, "index.damaged-20260101-000000.000/CURRENT": Aside,
		"models/blobs/ab.gguf": Models, "sync/bundles/packs/ab": Bundles, "sync/spool/store/x": Spool,
		"sync/spool/damaged-20260101T000000.0/x": Aside, "sync/site.key": Other, "cache/000001.vlog": Caches,
		"telemetry/explain/2026-01-05.json": Telemetry, "suite/runs/1": Telemetry, "feedback/MANIFEST": Feedback,
		"feedback.damaged-20260101T000000/MANIFEST": Aside, "rollout/journal": Rollouts, "rollout/journal.damaged-20260101": Aside,
		"quarantine/a.problem.json": Quarantine, "before-restore/index/CURRENT": Backups, "changes/1/index": Backups, "lock": Other, ReserveName: Other,
	} {
		if got := KindOf(path); got != want {
			t.Errorf("%s is %s, not %s", path, got, want)
		}
	}
}

// What files take is counted, not how long they are, and a file with two names once.
func TestMeasure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(rel string, n int) string {
		t.Helper()
		path := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	model := write("models/blobs/a.gguf", 1<<20)
	if err := os.Link(model, filepath.Join(dir, "models", "blobs", "b.gguf")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(write("cache/000001.vlog", 4096), 64<<20); err != nil {
		t.Fatal(err)
	}
	write("index/CURRENT", 10)
	paused := 0
	for n := range 100 {
		write(filepath.Join("quarantine", string(rune('a'+n%26))+string(rune('a'+n/26))), 100)
	}
	u, err := Measure(t.Context(), dir, func() { paused++ })
	if err != nil {
		t.Fatal(err)
	}
	if m := u[Models]; m < 1<<20 || m > 1<<20+64<<10 {
		t.Errorf("models take %d", m)
	}
	if c := u[Caches]; c < 4096 || c > 64<<10 {
		t.Errorf("caches take %d", c)
	}
	if u[Quarantine] < 100*512 || u[Index] == 0 || paused == 0 || u[Logs] != 0 {
		t.Errorf("%v, paused %d times", u, paused)
	}
}

func TestBudgets(t *testing.T) {
	t.Parallel()
	b := Budgets(1000<<30, 100<<30, map[Kind]int64{Caches: 512 << 20, Models: 5 << 30})
	if b[Index] != 900<<30/100*40 || b[Models] != 5<<30 || b[Caches] != 512<<20 || b[Other] != 0 {
		t.Error(b)
	}
	var all int64
	for k, n := range Budgets(1000<<30, 100<<30, nil) {
		if all += n; n <= 0 {
			t.Error(k, n)
		}
	}
	if all > 900<<30 {
		t.Errorf("more is promised than there is: %d GB", all>>30)
	}
	for _, c := range []struct {
		l          Line
		near, over bool
	}{{Line{Index, 89, 100}, false, false}, {Line{Index, 90, 100}, true, false}, {Line{Index, 100, 100}, true, false}, {Line{Index, 101, 100}, false, true}, {Line{Index, 1 << 40, 0}, false, false}} {
		if c.l.Near() != c.near || c.l.Over() != c.over {
			t.Errorf("%+v: near %v, over %v", c.l, c.l.Near(), c.l.Over())
		}
	}
}

func BenchmarkMeasure(b *testing.B) {
	dir := b.TempDir()
	for n := range 10_000 {
		path := filepath.Join(dir, "sync", "bundles", "packs", fmt.Sprintf("%06d", n))
		if n == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := Measure(b.Context(), dir, nil); err != nil {
			b.Fatal(err)
		}
	}
}
