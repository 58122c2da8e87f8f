package index_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"rxedge/index"
)

// What would leave less than the floor is refused with the figures, whatever is
// written, and nothing is changed by it.
func TestDiskFloor(t *testing.T) {
	t.Parallel()
	const floor = 10e9
	var free atomic.Int64
	free.Store(floor + 200e6)
	e := &words{name: "words-1"}
	ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: e.info(), DiskFloor: func() int64 { return floor }, DiskFree: func(string) (int64, bool) { return free.Load(), true }})
	apply(t, ix, put(metformin))
	apply(t, ix, put(warfarin))
	for what, c := range map[string]struct {
		free int64
		do   func() error
	}{
		"a new generation of the index": {floor + 60e6, func() error { _, err := ix.Compact(t.Context(), nil); return err }},
		"an update":                     {floor + 10e6, func() error { _, err := ix.Apply(t.Context(), put(lisinopril), nil); return err }},
	} {
		free.Store(c.free)
		err := c.do()
		var d *index.DiskError
		if !errors.Is(err, index.ErrNoRoom) || !errors.As(err, &d) || d.What != what || d.Free != c.free || d.Floor != floor || d.Needed <= c.free-floor {
			t.Errorf("%s: %v", what, err)
		} else if !strings.Contains(err.Error(), "10000 MB are to stay free") || !strings.Contains(err.Error(), "disk.floor_mb") {
			t.Errorf("%v", err)
		}
	}
	if g := ix.Stats().Generation; g.Label() != "gen-000001+1" || first(t, ix, "fetus") != "" {
		t.Errorf("%+v", g)
	}
	free.Store(floor + 200e6)
	apply(t, ix, put(lisinopril))
	if _, err := ix.Compact(t.Context(), nil); err != nil {
		t.Error(err)
	}
	clean(t, ix)
}

// Others fill the disk while a generation is built: it ends with the figures, what served
// serves on, and the next goes well.
func TestDiskFillsDuringABuild(t *testing.T) {
	t.Parallel()
	var free, asked atomic.Int64
	free.Store(1e9)
	ix := open(t, t.TempDir(), index.Options{LiveDocuments: -1, DiskFree: func(string) (int64, bool) {
		if asked.Add(1) == 1 { // as it begins
			return 1e9, true
		}
		return free.Load(), true
	}})
	apply(t, ix, put(metformin))
	was := ix.Stats().Generation.Label()
	free.Store(5e6)
	asked.Store(0)
	var d *index.DiskError
	if _, err := ix.Apply(t.Context(), put(warfarin), nil); !errors.As(err, &d) || d.Free != 5e6 || asked.Load() < 2 {
		t.Fatal(err)
	}
	if g := ix.Stats().Generation; g.Label() != was || g.Documents != 1 {
		t.Errorf("%+v", g)
	}
	free.Store(1e9)
	apply(t, ix, put(warfarin))
	clean(t, ix)
	if gs, err := ix.Generations(); err != nil || len(gs) > 2 {
		t.Error(gs, err)
	}
}
