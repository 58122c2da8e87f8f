package index_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/index"
)

func serving(t *testing.T, ix *index.Index) string {
	t.Helper()
	s := snapshot(t, ix)
	defer s.Release()
	return s.Generation().Label()
}

func version(t *testing.T, s *index.Snapshot, id string) string {
	t.Helper()
	d, err := s.Document(id)
	if err != nil {
		t.Fatal(err)
	}
	return d.Version
}

// A candidate is built beside, serves from memory, goes back without a trace, and
// is what a start opens only once it is confirmed. Meanwhile the index takes no
// changes of its own, and what serves in the end is as if it had been applied.
func TestCandidate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := &words{name: "words"}
	opt := index.Options{Embedder: e, EmbedderInfo: e.info()}
	ix := open(t, dir, opt)
	apply(t, ix, put(label("aspirin", "1", "a pain"), label("ibuprofen", "1", "an ache")))
	apply(t, ix, put(label("codeine", "1", "a cough"))) // a live update
	base := serving(t, ix)
	reading := snapshot(t, ix)
	defer reading.Release()

	before := e.texts.Load()
	res, from, err := ix.Prepare(t.Context(), put(label("aspirin", "2", "another pain")), nil)
	if err != nil || !res.Changed || from != base || res.Generation.Parent != reading.Generation().Name || res.Generation.Vectors != res.Generation.Passages {
		t.Fatalf("%+v, from %s, %v", res, from, err)
	}
	if n := e.texts.Load() - before; n > int64(res.Replaced)*3 {
		t.Errorf("%d passages were embedded, though those of other documents have vectors", n)
	}
	name := res.Generation.Name
	if got := serving(t, ix); got != base {
		t.Fatalf("%s serves before it was said", got)
	}
	beside, err := ix.AcquireGeneration(name)
	if err != nil || version(t, beside, "aspirin") != "2" || version(t, beside, "codeine") != "1" {
		t.Fatal(err)
	}
	beside.Release()
	if r, _, err := ix.Prepare(t.Context(), put(label("aspirin", "1", "a pain")), nil); err != nil || r.Changed {
		t.Errorf("a candidate of no changes: %+v, %v", r, err)
	}

	if err := ix.Serve(t.Context(), name, "gen-000077", nil); !errors.Is(err, index.ErrMoved) {
		t.Errorf("served upon another base: %v", err)
	}
	if err := ix.Serve(t.Context(), name, from, nil); err != nil {
		t.Fatal(err)
	}
	if got := serving(t, ix); got != name || version(t, reading, "aspirin") != "1" {
		t.Fatalf("%s serves", got)
	}
	if n := ix.Named().Label(); n != base {
		t.Errorf("a start would open %s", n)
	}
	var held *index.HeldError
	if _, err := ix.Apply(t.Context(), put(label("codeine", "2", "x")), nil); !errors.As(err, &held) || held.Generation != name {
		t.Errorf("an ingest meanwhile: %v", err)
	}
	if _, err := ix.Rollback(t.Context()); !errors.As(err, &held) {
		t.Errorf("a rollback meanwhile: %v", err)
	}
	if _, err := ix.Compact(t.Context(), nil); !errors.As(err, &held) {
		t.Errorf("a compaction meanwhile: %v", err)
	}
	ix.Return(nil)
	ix.Return(nil)
	if got := serving(t, ix); got != base {
		t.Fatalf("%s serves after going back", got)
	}

	reading.Release()

	// A start does not know of a candidate, not even where CURRENT is damaged.
	if err := ix.Serve(t.Context(), name, from, nil); err != nil {
		t.Fatal(err)
	}
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "CURRENT"), []byte("gen-0000zz 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ix = open(t, dir, opt)
	if got := serving(t, ix); got != base {
		t.Fatalf("%s serves after a start", got)
	}
	if cs, err := ix.Candidates(); err != nil || len(cs) != 1 || cs[0] != name {
		t.Fatal(cs, err)
	}

	// A change in between: it has to be built again.
	apply(t, ix, put(label("codeine", "2", "a worse cough")))
	if err := ix.Serve(t.Context(), name, from, nil); !errors.Is(err, index.ErrMoved) {
		t.Fatal(err)
	}
	if err := ix.Discard(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	res, from, err = ix.Prepare(t.Context(), put(label("aspirin", "2", "another pain")), nil)
	if err != nil {
		t.Fatal(err)
	}
	name = res.Generation.Name
	if err := ix.Serve(t.Context(), name, from, nil); err != nil {
		t.Fatal(err)
	}
	previous := ix.Named().Name
	for range 2 {
		if err := ix.Confirm(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	ix.Keep(name, previous)
	clean(t, ix)
	apply(t, ix, put(label("ibuprofen", "2", "another ache")))
	if _, err := ix.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ix.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	ix = open(t, dir, opt)
	s := snapshot(t, ix)
	if version(t, s, "aspirin") != "2" || version(t, s, "ibuprofen") != "2" || version(t, s, "codeine") != "2" {
		t.Errorf("%+v", s.Generation())
	}
	s.Release()

	// Back to the one that was kept, however much was built since.
	if err := ix.Confirm(t.Context(), previous, nil); err != nil {
		t.Fatal(err)
	}
	s = snapshot(t, ix)
	defer s.Release()
	if version(t, s, "aspirin") != "1" || version(t, s, "codeine") != "2" {
		t.Errorf("%+v", s.Generation())
	}
	if err := ix.Confirm(t.Context(), "gen-000099", nil); !errors.Is(err, index.ErrNotFound) {
		t.Error(err)
	}
	infos, err := ix.Generations()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		if i.Candidate || strings.HasSuffix(i.Name, ".building") {
			t.Errorf("%+v", i)
		}
	}
}

// Where something was read of a damaged generation, a candidate does not take its
// place.
func TestRetreatPassesCandidates(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{LiveDocuments: -1})
	apply(t, ix, put(label("aspirin", "1", "a pain")))
	good := serving(t, ix)
	res, _, err := ix.Prepare(t.Context(), put(label("aspirin", "x", "a lie")), nil)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, ix, put(label("aspirin", "2", "another pain")))
	bad := serving(t, ix)
	if _, err := ix.Retreat(t.Context(), bad, errors.New("it is torn")); err != nil {
		t.Fatal(err)
	}
	if got := serving(t, ix); got != good || got == res.Generation.Name {
		t.Errorf("%s serves", got)
	}
}
