package box

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPruneAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := []string{"feedback", "feedback.damaged-20260103T000000", "feedback.damaged-20260104T000000",
		"index.damaged-20260101-000000.000", "index.damaged-20260102-000000.000", "index.damaged-20260103-000000.000", "telemetry.damaged-20260101T000000"}
	gone := []string{"feedback.damaged-20260101T000000", "feedback.damaged-20260102T000000"}
	for _, n := range append(slices.Clone(gone), want...) {
		if err := os.MkdirAll(filepath.Join(dir, n, "inner"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := pruneAside(dir)
	if err != nil || !slices.Equal(removed, gone) {
		t.Fatal(removed, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if !slices.Equal(left, want) {
		t.Fatal(left)
	}
	if removed, err := pruneAside(dir); err != nil || len(removed) != 0 {
		t.Fatal("once more:", removed, err)
	}
}
