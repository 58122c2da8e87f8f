package central_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// gates of a number that say one thing of bundle 2.
func gates(t testing.TB, s *scene, serial int64, state bundle.GateState) []byte {
	t.Helper()
	g := &bundle.Gates{Format: 1, Channel: "stable", Serial: serial, Signed: s.now.UTC(), Gates: []bundle.Gate{{Bundle: 2, Rollout: strings.Repeat("0", 16), State: state, Below: bundle.Buckets}}}
	if state == bundle.GateRunning {
		g.Gates[0].Until = s.now.Add(bundle.GateLease).UTC()
	}
	b, err := bundle.EncodeGates(g)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func gatesName(b []byte) string { return bundle.ManifestName(bundle.HashOf(b).String()) }

// shut is a hub whose signed gates keep bundle 2 from all, while those before let
// the site have it; change is what the hub makes of it.
func shut(change func(h, before *hostile, open, shut []byte)) func(*testing.T, *scene, *central.Folder, *bundle.Config) *hostile {
	return func(t *testing.T, s *scene, f *central.Folder, cfg *bundle.Config) *hostile {
		cfg.Site = "site-1"
		open, shut := gates(t, s, 1, bundle.GateRunning), gates(t, s, 2, bundle.GateHalted)
		f.SignGates(t, open)
		before := hubOf(t, f)
		f.SignGates(t, shut)
		h := hubOf(t, f)
		change(h, before, open, shut)
		return h
	}
}

// oddGates are what a centre signs by mistake, or a thief with its targets key,
// at a site that has seen the gates of number 2.
func oddGates(make func(t *testing.T, s *scene) []byte) func(*testing.T, *scene, *central.Folder, *bundle.Config) *hostile {
	return func(t *testing.T, s *scene, f *central.Folder, cfg *bundle.Config) *hostile {
		cfg.Site = "site-1"
		f.SignGates(t, gates(t, s, 2, bundle.GateHalted))
		r, err := bundle.Open(s.site, *cfg)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := r.Pull(t.Context(), hubOf(t, f)); err != nil || res.Staged != 0 {
			t.Fatal(res, err)
		}
		if b := make(t, s); b != nil {
			f.SignGates(t, b)
		} else {
			rep := f.Repository(t)
			delete(rep.Targets(), bundle.GatesPath("stable"))
			f.Release(t, rep)
		}
		return hubOf(t, f)
	}
}

var gateAttacks = []attack{
	{"the gates withheld", bundle.MissingMetadata, shut(func(h, _ *hostile, _, shut []byte) { delete(h.files, gatesName(shut)) }), true},
	{"the gates of before under the new name", bundle.TamperedMetadata, shut(func(h, _ *hostile, open, shut []byte) { h.files[gatesName(shut)] = open }), true},
	{"gates that were opened", bundle.TamperedMetadata, shut(func(h, _ *hostile, _, shut []byte) {
		h.files[gatesName(shut)] = edited(shut, `"halted"`, `"paused"`)
	}), true},
	{"gates with more behind them", bundle.TamperedMetadata, shut(func(h, _ *hostile, _, shut []byte) {
		h.files[gatesName(shut)] = append(bytes.Clone(shut), ' ')
	}), true},
	{"no byte of the gates", bundle.TamperedMetadata, shut(func(h, _ *hostile, _, shut []byte) { h.files[gatesName(shut)] = nil }), true},
	{"a manifest in the place of the gates", bundle.TamperedMetadata, shut(func(h, _ *hostile, _, shut []byte) {
		for n, b := range h.files {
			if strings.HasPrefix(n, "manifest-") && n != gatesName(shut) {
				h.files[gatesName(shut)] = b
			}
		}
	}), true},
	{"the targets of before, with their gates, under the new name", bundle.Mixed, shut(func(h, before *hostile, _, _ []byte) {
		h.files[latestName(h.files, "targets")] = before.files[latestName(before.files, "targets")]
	}), true},
	{"the targets of before, with their gates, under their own name", bundle.MissingMetadata, shut(func(h, before *hostile, _, _ []byte) {
		delete(h.files, latestName(h.files, "targets"))
	}), true},
	{"all of before, open gates and all, at a site that has seen the shut ones", bundle.Rollback, func(t *testing.T, s *scene, f *central.Folder, cfg *bundle.Config) *hostile {
		var old *hostile
		h := shut(func(_, before *hostile, _, _ []byte) { old = before })(t, s, f, cfg)
		r, err := bundle.Open(s.site, *cfg)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := r.Pull(t.Context(), h); err != nil || res.Staged != 0 {
			t.Fatal(res, err)
		}
		return old
	}, true},
	{"signed gates of another channel", bundle.WrongChannel, oddGates(func(t *testing.T, s *scene) []byte {
		return edited(gates(t, s, 3, bundle.GateRunning), `"channel":"stable"`, `"channel":"beta"`)
	}), true},
	{"signed gates of a lower number", bundle.Downgrade, oddGates(func(t *testing.T, s *scene) []byte { return gates(t, s, 1, bundle.GateRunning) }), true},
	{"no gates any more", bundle.Downgrade, oddGates(func(*testing.T, *scene) []byte { return nil }), true},
	{"signed gates with a word too many", bundle.BadGate, oddGates(func(t *testing.T, s *scene) []byte {
		return edited(gates(t, s, 3, bundle.GateRunning), `"below"`, `"unless":"x","below"`)
	}), true},
	{"signed gates that are no JSON", bundle.BadGate, oddGates(func(*testing.T, *scene) []byte { return []byte("open to all") }), true},
	{"signed gates of a later format", bundle.NeedsRxedge, oddGates(func(t *testing.T, s *scene) []byte {
		return edited(gates(t, s, 3, bundle.GateRunning), `"format":1`, `"format":2`)
	}), true},
	{"signed gates of two megabytes", bundle.TooLarge, oddGates(func(*testing.T, *scene) []byte { return bytes.Repeat([]byte(" "), 2<<20) }), true},
}

// A hub that freezes on open gates keeps a wave open for a day, no longer; a box
// that was off meanwhile, or whose disk lost the gates, takes nothing by them.
func TestFrozenGates(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	now := s.now
	s.cfg.Site, s.cfg.Now = "site-1", func() time.Time { return now }
	s.f.SignGates(t, gates(t, s, 1, bundle.GateRunning))
	h := hubOf(t, s.f)
	now = s.now.Add(bundle.GateLease)
	r, err := bundle.Open(s.site, s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := r.Pull(t.Context(), h); err != nil || res.Staged != 0 {
		t.Fatal(res, err)
	}
	if st := r.Status(); st.Held == nil || st.Held.Bundle != 2 || !strings.Contains(st.Held.Why, "run out") || st.Newest != 1 {
		t.Fatalf("%+v", st)
	}
	now = s.now.Add(bundle.GateLease - time.Second)
	if res, err := r.Pull(t.Context(), h); err != nil || res.Staged != 2 {
		t.Fatal(res, err)
	}
	if st, err := r.Staged(); err != nil || st == nil {
		t.Fatal(st, err)
	}
	// What was staged is not put to use once its gate is shut, be it by time, by a
	// later word, or by the loss of the gates on this disk.
	now = s.now.Add(bundle.GateLease)
	if st, err := r.Staged(); err != nil || st != nil {
		t.Fatal(st, err)
	}
	now = s.now.Add(time.Hour)
	s.f.SignGates(t, gates(t, s, 2, bundle.GateHalted))
	if res, err := r.Pull(t.Context(), hubOf(t, s.f)); err != nil || res.Staged != 0 {
		t.Fatal(res, err)
	}
	if st, err := r.Staged(); err != nil || st != nil {
		t.Fatal(st, err)
	}
	s.f.SignGates(t, gates(t, s, 3, bundle.GateRunning))
	h = hubOf(t, s.f)
	if _, err := r.Pull(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if st, err := r.Staged(); err != nil || st == nil {
		t.Fatal(st, err)
	}
	for _, damage := range []func(string) error{os.Remove, func(p string) error { return os.WriteFile(p, gates(t, s, 1, bundle.GateRunning), 0o600) }} {
		if err := damage(filepath.Join(s.site, "gates")); err != nil {
			t.Fatal(err)
		}
		r, err := bundle.Open(s.site, s.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := r.Staged(); err != nil || st != nil {
			t.Fatal(st, err)
		}
		if _, err := r.Pull(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if st, err := r.Staged(); err != nil || st == nil {
			t.Fatal(st, err)
		}
	}
}

// A bundle that is taken back: a site goes to what it had before, one that had
// nothing fetches it; neither does so unless the gates say so.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.cfg.Site = "site-1"
	fresh := s.cfg
	open := func(dir string, cfg bundle.Config) *bundle.Receiver {
		r, err := bundle.Open(dir, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	take := func(r *bundle.Receiver, want int64) {
		t.Helper()
		if res, err := r.Pull(t.Context(), hubOf(t, s.f)); err != nil || res.Staged != want {
			t.Fatal(res, err)
		}
		if want != 0 {
			if err := r.Activate(want); err != nil {
				t.Fatal(err)
			}
		}
	}
	old := open(s.site, s.cfg)
	dir := filepath.Join(t.TempDir(), "fresh")
	young := open(dir, fresh)
	take(old, 2)
	take(young, 2)
	if p, err := old.Previous(); err != nil || p == nil || p.Manifest.Number != 1 {
		t.Fatal(p, err)
	}
	if p, err := young.Previous(); err != nil || p != nil {
		t.Fatal(p, err)
	}
	if old.Gate(2).Rollback {
		t.Fatal("nothing was taken back")
	}
	if _, err := s.f.AbortRollout("stable", 2, true, central.By{Who: "ann", Reason: "a wrong dose"}); err != nil {
		t.Fatal(err)
	}
	take(old, 0)
	if !old.Gate(2).Rollback {
		t.Fatalf("%+v", old.Gate(2))
	}
	if err := old.Revert(2, &bundle.Error{Code: bundle.RolledBack, Reason: "the centre took it back"}); err != nil {
		t.Fatal(err)
	}
	if st := old.Status(); st.Active.Number != 1 || st.Newest != 1 || len(st.Quarantine) != 1 || st.Quarantine[0].Code != bundle.RolledBack {
		t.Fatalf("%+v", st)
	}
	if set, err := old.Active(); err != nil || set.Check() != nil {
		t.Fatal("what it went back to is not whole", err)
	}
	take(old, 0) // and not forward again
	if err := young.Revert(2, nil); err != bundle.ErrNoPrevious {
		t.Fatal(err)
	}
	take(young, 1)
	if st := young.Status(); st.Active.Number != 1 {
		t.Fatalf("%+v", st)
	}
	if p, err := young.Previous(); err != nil || p != nil {
		t.Fatal("a site may not go back to what was taken back", p, err)
	}
	// The next is built on what is good, and both take it, after a restart too.
	p, err := s.f.Publish(central.Release{Channel: "stable", Documents: docs(map[string]string{"c": "three"})})
	if err != nil || p.Number != 3 {
		t.Fatal(p, err)
	}
	m := s.f.Latest(t)
	if m.Number != 3 || m.Documents.Count != 3 {
		t.Fatalf("%+v", m)
	}
	for _, r := range []*bundle.Receiver{open(s.site, s.cfg), open(dir, fresh)} {
		take(r, 3)
		set, err := r.Active()
		if err != nil {
			t.Fatal(err)
		}
		if err := set.Each(func(id string, content func() ([]byte, error)) error {
			b, err := content()
			if strings.Contains(string(b), "changed") {
				t.Errorf("what was taken back came with the next: %s", id)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}
