package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/rollout"
	"rxedge/inference/semantic"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/synctest"
)

// otherEmbedder writes the built-in embedder's pieces with rows of another kind, under a
// name of its own.
func otherEmbedder(t *testing.T, name string) (path, sum string) {
	t.Helper()
	m, err := semantic.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	rows, dim := m.Rows(), m.Info().Dimension
	for i := 0; i < len(rows); i += dim { // turned: no vector is near one of before
		rows[i], rows[i+1] = -rows[i+1], rows[i]
	}
	b, err := m.With(name, "made for a test", rows)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), name+".rxe")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if sum, err = semantic.Sum(path); err != nil || sum == "" {
		t.Fatal(sum, err)
	}
	return path, sum
}

// An embedder that comes with a bundle makes the vectors of its pair and goes back with
// it; it outlasts a start and a change of the box's own, and a bundle without it gives the
// place back to the built-in one.
func TestEmbedderOfABundle(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	data := t.TempDir()
	settings := func(c *config.Config) {
		noFloor(c)
		c.Data, c.Rollout.Watch = data, config.Wait(time.Hour)
	}
	s := startDaemon(t, settings)
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	file, err := f.AddSite("site-1", "stable", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Enroll(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	builtin, err := semantic.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	serves := func(sum string) {
		t.Helper()
		st, err := k.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if g := st.Generation; g.Embedder.SHA256 != sum || !st.Dense || g.Vectors != g.Passages {
			t.Fatalf("%+v, dense %v, wanted %.12s", g, st.Dense, sum)
		}
		if a := s.ask(t, "What is the dosage and administration number 0 of medicine7?"); len(a.Claims) == 0 || len(a.Fallback) > 0 {
			t.Fatalf("%+v", a)
		}
	}
	settle := func(n int64, action string) {
		t.Helper()
		waitRollout(t, k, "provisional", provisional(n))
		if _, err := k.RolloutDo(t.Context(), box.RolloutRequest{Action: action, By: "tester", Reason: "seen"}); err != nil {
			t.Fatal(err)
		}
	}
	version := func(int) int { return 0 }
	f.Release(t, central.Release{Documents: labels(version, 12)})
	settle(1, box.RolloutApprove)
	waitActive(t, k, 1)
	serves(builtin.Info().SHA256)

	path, sum := otherEmbedder(t, "turned")
	f.Release(t, central.Release{Files: []central.File{{Name: filepath.Base(path), Kind: bundle.KindModel, Path: path}}})
	waitRollout(t, k, "the embedder", provisional(2))
	serves(sum)
	settle(2, box.RolloutBack)
	serves(builtin.Info().SHA256)

	// Another of the same kind, which stays.
	if err := os.Rename(path, filepath.Join(filepath.Dir(path), "again.rxe")); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(filepath.Dir(path), "again.rxe")
	f.Release(t, central.Release{Drop: []string{"turned.rxe"}, Files: []central.File{{Name: "again.rxe", Kind: bundle.KindModel, Path: path}}})
	settle(3, box.RolloutApprove)
	waitActive(t, k, 3)
	serves(sum)
	st, err := k.RolloutStatus(t.Context())
	if err != nil || st.Confirmed.Embedder.Name != "again" {
		t.Fatalf("%+v, %v", st.Confirmed, err)
	}
	found := false
	for _, v := range st.Versions {
		found = found || v.Kind == rollout.KindEmbedder && v.Stage == rollout.Production && strings.Contains(v.Lineage.Signed, "bundle 3")
	}
	if !found {
		t.Errorf("%+v", st.Versions)
	}
	if _, err := k.Withdraw(t.Context(), []string{"medicine3"}, nil); err != nil {
		t.Fatal(err)
	}
	serves(sum)
	_ = k.Close()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = startDaemon(t, settings)
	if k, err = control.Dial(s.data); err != nil {
		t.Fatal(err)
	}
	serves(sum)

	// Documents alone keep it; dropped, the built-in one takes its place.
	f.Release(t, central.Release{Documents: labels(func(int) int { return 5 }, 12)})
	settle(4, box.RolloutApprove)
	waitActive(t, k, 4)
	serves(sum)
	f.Release(t, central.Release{Drop: []string{"again.rxe"}})
	settle(5, box.RolloutApprove)
	waitActive(t, k, 5)
	serves(builtin.Info().SHA256)

	// What is none is refused, and nothing of it is used.
	bad := filepath.Join(t.TempDir(), "torn.rxe")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole[len(whole)/2] ^= 1
	if err := os.WriteFile(bad, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	f.Release(t, central.Release{Files: []central.File{{Name: "torn.rxe", Kind: bundle.KindModel, Path: bad}}})
	last := waitRollout(t, k, "the refusal", func(st box.RolloutStatus) bool { return st.Last != nil && st.Last.Bundle == 6 }).Last
	if last.Slot != rollout.RolledBack || last.Check != "opens" || !strings.Contains(last.Reason, "checksum") {
		t.Errorf("%+v", last)
	}
	serves(builtin.Info().SHA256)
}
