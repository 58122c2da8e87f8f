package durable_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"rxedge/sync/durable"
)

// Whatever byte a write of either copy ends at, the value before it or the
// value itself is there.
func TestPairTornAtEveryByte(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := durable.Pair{Path: filepath.Join(dir, "state")}
	if _, _, err := p.Load(); !errors.Is(err, durable.ErrNone) {
		t.Fatalf("an empty pair: %v", err)
	}
	for i := range 4 {
		if err := p.Store(fmt.Appendf(nil, "value %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ torn, want string }{{".b", "value 2"}, {".a", "value 3"}} {
		whole, err := os.ReadFile(p.Path + c.torn)
		if err != nil {
			t.Fatal(err)
		}
		for n := range whole {
			for _, b := range [][]byte{whole[:n], append(append([]byte{}, whole[:n]...), make([]byte, len(whole)-n)...)} {
				if err := os.WriteFile(p.Path+c.torn, b, 0o600); err != nil {
					t.Fatal(err)
				}
				q := durable.Pair{Path: p.Path}
				got, damaged, err := q.Load()
				if err != nil || string(got) != c.want || !damaged {
					t.Fatalf("%s cut at %d of %d: %q, damaged %v, %v; want %q", c.torn, n, len(whole), got, damaged, err, c.want)
				}
			}
		}
		if err := os.WriteFile(p.Path+c.torn, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A store after a torn copy mends it.
	if err := os.Truncate(p.Path+".b", 3); err != nil {
		t.Fatal(err)
	}
	q := durable.Pair{Path: p.Path}
	if err := q.Store([]byte("mended")); err != nil {
		t.Fatal(err)
	}
	got, damaged, err := (&durable.Pair{Path: p.Path}).Load()
	if err != nil || damaged || string(got) != "mended" {
		t.Fatalf("%q, damaged %v, %v", got, damaged, err)
	}
	if fi, _ := os.Stat(p.Path + ".a"); fi.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", fi.Mode())
	}
}
