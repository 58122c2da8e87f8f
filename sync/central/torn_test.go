package central_test

import (
	"os"
	"path/filepath"
	"testing"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// Whatever byte a write of the signed metadata or of the state of bundles ends
// at, the site opens, still has its bundle, and takes the next.
// RXEDGE_SYNC_EVERY_BYTE=1 tries each byte.
func TestTornState(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	r, err := bundle.Open(s.site, s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := r.Pull(t.Context(), hubOf(t, s.f)); err != nil || res.Staged != 2 {
		t.Fatal(res, err)
	}
	if err := r.Activate(2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.f.Publish(central.Release{Channel: "stable", Documents: docs(map[string]string{"a": "three"})}); err != nil {
		t.Fatal(err)
	}
	hub := hubOf(t, s.f)
	step := 997
	if os.Getenv("RXEDGE_SYNC_EVERY_BYTE") != "" {
		step = 1
	}
	tried := 0
	for _, name := range []string{"trust/metadata.a", "trust/metadata.b", "state.a", "state.b"} {
		whole, err := os.ReadFile(filepath.Join(s.site, name))
		if err != nil {
			t.Fatal(err)
		}
		// On a memory disk the writes of many sites cost nothing.
		base, err := os.MkdirTemp(memoryDisk(), "rxedge-torn-*")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(base) })
		for at := 0; at < len(whole); at += step {
			site := filepath.Join(base, "site")
			if err := os.RemoveAll(site); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(site, os.DirFS(s.site)); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(site, name), int64(at)); err != nil {
				t.Fatal(err)
			}
			r, err := bundle.Open(site, s.cfg)
			if err != nil {
				t.Fatalf("%s cut at %d: %v", name, at, err)
			}
			res, err := r.Pull(t.Context(), hub)
			if err != nil || res.Staged != 3 {
				t.Fatalf("%s cut at %d: %+v, %v", name, at, res, err)
			}
			if err := r.Activate(3); err != nil {
				t.Fatalf("%s cut at %d: %v", name, at, err)
			}
			tried++
		}
	}
	t.Logf("%d places", tried)
}

func memoryDisk() string {
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		return "/dev/shm"
	}
	return ""
}
