package index_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rxedge/index"
)

// Of a damaged generation a new one is made of what reads as it was written; what was
// lost is named, and can be put again.
func TestRenew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ix := open(t, dir, index.Options{LiveDocuments: -1})
	filler := strings.Repeat("Take one tablet with water. ", 60) // so that passages lie in the mapped log
	apply(t, ix, put(label("first", "1", "The kidneys clear examplol slowly. "+filler), label("second", "1", "Wondermab is given with food. "+filler)))
	bad := ix.Stats().Generation
	flip(t, filepath.Join(dir, bad.Name), "Wondermab is given")
	if r, err := ix.Verify(t.Context(), nil); err != nil || r.OK() {
		t.Fatalf("the damage is not seen: %+v, %v", r, err)
	}
	r, err := ix.Renew(t.Context(), nil)
	if err != nil || !slices.Equal(r.Lost, []string{"second"}) || !r.Changed || r.Generation.Name == bad.Name || r.Generation.Documents != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err := ix.Verify(t.Context(), nil); err != nil || !r.OK() {
		t.Fatalf("the new one: %+v, %v", r, err)
	}
	if got := first(t, ix, "examplol kidneys"); got != "first" {
		t.Errorf("found %q", got)
	}
	apply(t, ix, put(label("second", "1", "Wondermab is given with food. "+filler)))
	if got := first(t, ix, "wondermab food"); got != "second" {
		t.Errorf("found %q", got)
	}
}
