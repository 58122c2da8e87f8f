package central_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// hostile is a hub that can be made to say anything.
type hostile struct {
	files  map[string][]byte
	chunks map[bundle.Hash][]byte
}

func (h *hostile) Metadata(_ context.Context, name string, _ int64) ([]byte, error) {
	if b, ok := h.files[name]; ok {
		return b, nil
	}
	return nil, bundle.ErrNotFound
}

func (h *hostile) Chunk(_ context.Context, x bundle.Hash) ([]byte, error) {
	if b, ok := h.chunks[x]; ok {
		return b, nil
	}
	return nil, bundle.ErrNotFound
}

func hubOf(t testing.TB, f *central.Folder) *hostile {
	return &hostile{maps.Clone(f.Files(t)), maps.Clone(f.Chunks(t))}
}

// scene: bundle 1 is active at the site, bundle 2 is signed.
type scene struct {
	f          *central.Folder // the centre; each attack has a copy
	first      *hostile        // the hub while 1 was the newest
	site       string          // folder of the site, to be copied
	cfg        bundle.Config
	now        time.Time
	olderRoot  []byte
	olderLeast int64
}

func newScene(t testing.TB) *scene {
	t.Helper()
	f, err := central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "t", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{f: f, site: filepath.Join(t.TempDir(), "site"), now: time.Now()}
	s.olderRoot, s.olderLeast = f.Anchor(t)
	publish := func(text string) {
		if _, err := f.Publish(central.Release{Channel: "stable", Documents: docs(map[string]string{"a": text, "b": strings.Repeat("same ", 9000)})}); err != nil {
			t.Fatal(err)
		}
	}
	publish("one")
	root, least := f.Anchor(t)
	s.cfg = bundle.Config{Channel: "stable", Root: root, Least: least, Issued: s.now, Now: func() time.Time { return s.now },
		Facts: func() bundle.Facts { return bundle.Facts{Rxedge: "0.1.0", Profile: "cpu-only"} }}
	s.first = hubOf(t, f)
	r, err := bundle.Open(s.site, s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := r.Pull(t.Context(), s.first); err != nil || res.Staged != 1 {
		t.Fatal(res, err)
	}
	if err := r.Activate(1); err != nil {
		t.Fatal(err)
	}
	publish("two " + strings.Repeat("changed ", 5000))
	return s
}

func edited(b []byte, from, to string) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }

// latestName is the file of a role with the highest version.
func latestName(files map[string][]byte, role string) string {
	for n := 99; n > 0; n-- {
		if name := fmt.Sprintf("%d.%s.json", n, role); files[name] != nil {
			return name
		}
	}
	return ""
}

func manifestOf(t testing.TB, m *bundle.Manifest) string {
	b, err := bundle.EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	return bundle.ManifestName(bundle.HashOf(b).String())
}

type attack struct {
	name string
	code bundle.Code
	// do returns the hub that the site meets. It has a centre of its own.
	do func(t *testing.T, s *scene, f *central.Folder, cfg *bundle.Config) *hostile
	// lasting: the centre's keys signed some of it, so the hub of before is behind.
	lasting bool
}

// signed makes an attack out of a manifest that the centre signs: the next one,
// changed.
func signed(change func(t *testing.T, f *central.Folder, m *bundle.Manifest)) func(*testing.T, *scene, *central.Folder, *bundle.Config) *hostile {
	return func(t *testing.T, _ *scene, f *central.Folder, _ *bundle.Config) *hostile {
		m := f.Latest(t)
		m.Number = 3
		change(t, f, m)
		chunks := f.Chunks(t)
		f.SignManifest(t, m, "")
		h := &hostile{f.Files(t), chunks}
		made, err := filepath.Glob(filepath.Join(f.Dir, "store/chunks/*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range made {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			h.chunks[bundle.HashOf(b)] = b
		}
		return h
	}
}

func onHub(change func(t *testing.T, s *scene, h *hostile, m *bundle.Manifest)) func(*testing.T, *scene, *central.Folder, *bundle.Config) *hostile {
	return func(t *testing.T, s *scene, f *central.Folder, _ *bundle.Config) *hostile {
		h := hubOf(t, f)
		change(t, s, h, f.Latest(t))
		return h
	}
}

// newPack is one that the site does not have.
func newPack(s *scene, m *bundle.Manifest) bundle.Hash {
	for _, p := range m.Documents.Packs {
		if p.Size > 0 && s.first.chunks[p.Hash] == nil {
			return p.Hash
		}
	}
	panic("bundle 2 has no new pack")
}

var attacks = []attack{
	// A hub, or somebody on the way, that plays with what was signed.
	{"the timestamp of before, at a site that has seen a later one", bundle.Rollback, func(t *testing.T, s *scene, f *central.Folder, cfg *bundle.Config) *hostile {
		r, err := bundle.Open(s.site, *cfg)
		if err != nil {
			t.Fatal(err)
		}
		h := hubOf(t, f)
		h.chunks = nil // it sees the metadata of 2 and fetches nothing
		_, _ = r.Pull(t.Context(), h)
		h = hubOf(t, f)
		h.files["timestamp.json"] = s.first.files["timestamp.json"]
		return h
	}, false},
	{"all of before, at a site enrolled after it", bundle.Replay, func(t *testing.T, s *scene, f *central.Folder, cfg *bundle.Config) *hostile {
		cfg.Root, cfg.Least = f.Anchor(t)
		return s.first
	}, false},
	{"metadata that has run out: a freeze", bundle.Expired, func(t *testing.T, s *scene, f *central.Folder, cfg *bundle.Config) *hostile {
		cfg.Now = func() time.Time { return s.now.Add(8 * 24 * time.Hour) }
		return hubOf(t, f)
	}, false},
	{"a freeze, and the site's clock set back", bundle.Expired, func(t *testing.T, s *scene, f *central.Folder, cfg *bundle.Config) *hostile {
		cfg.Issued = s.now.Add(8 * 24 * time.Hour) // a time that the centre has signed
		cfg.Now = func() time.Time { return s.now.AddDate(-10, 0, 0) }
		return hubOf(t, f)
	}, false},
	{"a snapshot that has run out under a fresh timestamp", bundle.Expired, func(t *testing.T, s *scene, f *central.Folder, cfg *bundle.Config) *hostile {
		at := s.now.Add(40 * 24 * time.Hour)
		cfg.Now = func() time.Time { return at }
		h := hubOf(t, f)
		if ok, err := f.At(at).Renew(); !ok || err != nil {
			t.Fatal(ok, err)
		}
		n := f.Files(t)
		h.files["timestamp.json"] = n["timestamp.json"]
		h.files[latestName(n, "snapshot")] = h.files[latestName(h.files, "snapshot")]
		return h
	}, false},
	{"a timestamp of another's key", bundle.Unsigned, foreign("timestamp"), false},
	{"a snapshot of another's key", bundle.Unsigned, foreign("snapshot"), true},
	{"targets of another's key", bundle.Unsigned, foreign("targets"), true},
	{"a timestamp whose version was raised", bundle.Unsigned, onHub(func(t *testing.T, _ *scene, h *hostile, _ *bundle.Manifest) {
		h.files["timestamp.json"] = edited(h.files["timestamp.json"], `"version":3`, `"version":9`)
	}), false},
	{"targets with another hash for the manifest", bundle.Unsigned, onHub(func(t *testing.T, _ *scene, h *hostile, _ *bundle.Manifest) {
		n := latestName(h.files, "targets")
		h.files[n] = edited(h.files[n], `"sha256":"`, `"sha256":"00`)
	}), false},
	{"a root that one of three has signed", bundle.Unsigned, func(t *testing.T, _ *scene, f *central.Folder, _ *bundle.Config) *hostile {
		h := hubOf(t, f)
		h.files["2.root.json"] = f.ForgeRoot(t, 1, false, func(*metadata.RootType) {})
		return h
	}, false},
	{"a root that three strangers have signed", bundle.Unsigned, func(t *testing.T, _ *scene, f *central.Folder, _ *bundle.Config) *hostile {
		h := hubOf(t, f)
		h.files["2.root.json"] = f.ForgeRoot(t, 3, true, func(*metadata.RootType) {})
		return h
	}, false},
	{"a root of the wrong version, rightly signed", bundle.Rollback, func(t *testing.T, _ *scene, f *central.Folder, _ *bundle.Config) *hostile {
		h := hubOf(t, f)
		h.files["2.root.json"] = f.ForgeRoot(t, 3, false, func(r *metadata.RootType) { r.Version += 5 })
		return h
	}, false},
	{"targets of a key that the root has taken out", bundle.Unsigned, func(t *testing.T, _ *scene, f *central.Folder, _ *bundle.Config) *hostile {
		old := f.Copy(t)
		f.RotateTargets(t)
		h := hubOf(t, f)
		old.Release(t, old.Repository(t)) // the thief goes on with the stolen key
		maps.Copy(h.files, old.Files(t))
		return h
	}, true},
	{"the snapshot of before under the new name", bundle.Mixed, onHub(func(_ *testing.T, s *scene, h *hostile, _ *bundle.Manifest) {
		h.files[latestName(h.files, "snapshot")] = s.first.files[latestName(s.first.files, "snapshot")]
	}), false},
	{"the targets of before under the new name", bundle.Mixed, onHub(func(_ *testing.T, s *scene, h *hostile, _ *bundle.Manifest) {
		h.files[latestName(h.files, "targets")] = s.first.files[latestName(s.first.files, "targets")]
	}), false},
	{"half a timestamp", bundle.TamperedMetadata, onHub(func(_ *testing.T, _ *scene, h *hostile, _ *bundle.Manifest) {
		b := h.files["timestamp.json"]
		h.files["timestamp.json"] = b[:len(b)/2]
	}), false},
	{"no byte of a timestamp", bundle.TamperedMetadata, onHub(func(_ *testing.T, _ *scene, h *hostile, _ *bundle.Manifest) { h.files["timestamp.json"] = []byte{} }), false},
	{"a snapshot where the timestamp belongs", bundle.TamperedMetadata, onHub(func(_ *testing.T, _ *scene, h *hostile, _ *bundle.Manifest) {
		h.files["timestamp.json"] = h.files[latestName(h.files, "snapshot")]
	}), false},
	{"a timestamp of a megabyte", bundle.TooLarge, onHub(func(_ *testing.T, _ *scene, h *hostile, _ *bundle.Manifest) {
		h.files["timestamp.json"] = append(bytes.Repeat([]byte(" "), 1<<20), h.files["timestamp.json"]...)
	}), false},
	{"the targets withheld", bundle.MissingMetadata, onHub(func(_ *testing.T, _ *scene, h *hostile, _ *bundle.Manifest) {
		delete(h.files, latestName(h.files, "targets"))
	}), false},
	{"the timestamp withheld", bundle.MissingMetadata, onHub(func(_ *testing.T, _ *scene, h *hostile, _ *bundle.Manifest) { delete(h.files, "timestamp.json") }), false},
	{"a manifest with another number in it", bundle.TamperedManifest, onHub(func(t *testing.T, _ *scene, h *hostile, m *bundle.Manifest) {
		n := manifestOf(t, m)
		h.files[n] = edited(h.files[n], `"number":2`, `"number":7`)
	}), false},
	{"a manifest with more behind it", bundle.TamperedManifest, onHub(func(t *testing.T, _ *scene, h *hostile, m *bundle.Manifest) {
		n := manifestOf(t, m)
		h.files[n] = append(bytes.Clone(h.files[n]), ' ')
	}), false},
	{"the manifest of before", bundle.TamperedManifest, onHub(func(t *testing.T, s *scene, h *hostile, m *bundle.Manifest) {
		for n, b := range s.first.files {
			if strings.HasPrefix(n, "manifest-") {
				h.files[manifestOf(t, m)] = b
			}
		}
	}), false},
	{"the manifest withheld", bundle.MissingMetadata, onHub(func(t *testing.T, _ *scene, h *hostile, m *bundle.Manifest) { delete(h.files, manifestOf(t, m)) }), false},
	{"a chunk with one bit turned", bundle.TamperedChunk, onHub(func(_ *testing.T, s *scene, h *hostile, m *bundle.Manifest) {
		p := newPack(s, m)
		h.chunks[p] = bytes.Clone(h.chunks[p])
		h.chunks[p][9] ^= 1
	}), false},
	{"another chunk in its place", bundle.TamperedChunk, onHub(func(_ *testing.T, s *scene, h *hostile, m *bundle.Manifest) {
		for x, b := range s.first.chunks {
			if p := newPack(s, m); x != p {
				h.chunks[p] = b
			}
		}
	}), false},
	{"half a chunk", bundle.TamperedChunk, onHub(func(_ *testing.T, s *scene, h *hostile, m *bundle.Manifest) {
		p := newPack(s, m)
		h.chunks[p] = h.chunks[p][:len(h.chunks[p])/2]
	}), false},
	{"a chunk of a megabyte", bundle.TooLarge, onHub(func(_ *testing.T, s *scene, h *hostile, m *bundle.Manifest) {
		h.chunks[newPack(s, m)] = make([]byte, 1<<20)
	}), false},
	{"a chunk withheld", bundle.MissingChunk, onHub(func(_ *testing.T, s *scene, h *hostile, m *bundle.Manifest) { delete(h.chunks, newPack(s, m)) }), false},

	// What a centre signs by mistake, or a thief with its targets key.
	{"the bundle of another channel under this one's name", bundle.WrongChannel, func(t *testing.T, _ *scene, f *central.Folder, _ *bundle.Config) *hostile {
		m := f.Latest(t)
		m.Number, m.Channel = 3, "beta"
		h := hubOf(t, f)
		f.SignManifest(t, m, "stable/3.json")
		h.files = f.Files(t)
		return h
	}, true},
	{"a number that is not the one it is signed under", bundle.BadManifest, func(t *testing.T, _ *scene, f *central.Folder, _ *bundle.Config) *hostile {
		m := f.Latest(t)
		m.Number = 3
		h := hubOf(t, f)
		f.SignManifest(t, m, "stable/4.json")
		h.files = f.Files(t)
		return h
	}, true},
	{"a bundle for other profiles", bundle.WrongProfile, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) {
		m.Requires.Profiles = []string{"rtx-4060"}
	}), true},
	{"a bundle for a newer rxedge", bundle.NeedsRxedge, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) { m.Requires.Rxedge = "0.10.0" }), true},
	{"a manifest of a later format", bundle.NeedsRxedge, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) { m.Format = 2 }), true},
	{"documents of a later form", bundle.NeedsSchema, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) { m.Requires.Schema = 9 }), true},
	{"vectors of another embedder", bundle.NeedsEmbedder, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) { m.Requires.Embedder = &bundle.Hash{1} }), true},
	{"fewer bundles than the site has", bundle.Downgrade, func(t *testing.T, s *scene, f *central.Folder, _ *bundle.Config) *hostile {
		h := hubOf(t, f)
		r := f.Repository(t)
		clear(r.Targets())
		f.Release(t, r)
		h.files = f.Files(t)
		return h
	}, true},
	{"another bundle under the number that the site has", bundle.Downgrade, func(t *testing.T, _ *scene, f *central.Folder, _ *bundle.Config) *hostile {
		h := hubOf(t, f)
		r := f.Repository(t)
		tg := r.Targets()
		tg["stable/1.json"] = tg["stable/2.json"]
		delete(tg, "stable/2.json")
		f.Release(t, r)
		h.files = f.Files(t)
		return h
	}, true},
	{"a file whose name leads out of its folder", bundle.BadManifest, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) {
		m.Artefacts = []bundle.Artefact{{Name: "../../etc/passwd", Kind: bundle.KindModel, Size: 1, Lists: []bundle.Hash{{}}}}
	}), true},
	{"a file of an unknown kind", bundle.BadManifest, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) {
		m.Artefacts = []bundle.Artefact{{Name: "x", Kind: "program", Size: 1, Lists: []bundle.Hash{{}}}}
	}), true},
	{"a file larger than any disk", bundle.NoRoom, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) {
		size := int64(1) << 38
		m.Artefacts = []bundle.Artefact{{Name: "x", Kind: bundle.KindModel, Size: size, Lists: make([]bundle.Hash, size/bundle.ChunkSize/2048)}}
	}), true},
	{"a file that is another than its SHA-256 says", bundle.BadContent, signed(func(t *testing.T, f *central.Folder, m *bundle.Manifest) {
		m.Artefacts = []bundle.Artefact{{Name: "x", Kind: bundle.KindModel, Size: 3, SHA256: bundle.Hash{1}, Lists: []bundle.Hash{f.StoreChunk(t, hashList(f.StoreChunk(t, []byte("abc"))))}}}
	}), true},
	{"a list of chunks that is too long", bundle.BadContent, signed(func(t *testing.T, f *central.Folder, m *bundle.Manifest) {
		h := f.StoreChunk(t, []byte("abc"))
		m.Artefacts = []bundle.Artefact{{Name: "x", Kind: bundle.KindModel, Size: 3, Lists: []bundle.Hash{f.StoreChunk(t, append(hashList(h), hashList(h)...))}}}
	}), true},
	{"a pack that is none", bundle.BadContent, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) {
		for i := range m.Documents.Packs {
			m.Documents.Packs[i].Raw += 7 // it opens into something else
		}
	}), true},
	{"a page that is not there", bundle.BadContent, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) { m.Documents.Pages[0].Index += 1000 }), true},
	{"a page that is a text", bundle.BadContent, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) {
		m.Documents.Pages[0].Index, m.Documents.Pages[0].Pack = 0, 0
	}), true},
	{"more documents than it has", bundle.BadContent, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) { m.Documents.Count++ }), true},
	{"fewer documents than it has", bundle.BadContent, signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) { m.Documents.Count-- }), true},
}

func hashList(h bundle.Hash) []byte { return append([]byte(nil), h[:]...) }

func foreign(role string) func(*testing.T, *scene, *central.Folder, *bundle.Config) *hostile {
	return func(t *testing.T, _ *scene, f *central.Folder, _ *bundle.Config) *hostile {
		f.Foreign(t, role)
		f.Release(t, f.Repository(t))
		return hubOf(t, f)
	}
}

// Each attack is refused with its code, stands in the history and is told; what
// was active stays so; and an honest hub afterwards is believed.
func TestAttacks(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if len(attacks) < 30 {
		t.Fatalf("%d attacks", len(attacks))
	}
	for _, a := range slices.Concat(attacks, gateAttacks) {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			site := filepath.Join(t.TempDir(), "site")
			if err := os.CopyFS(site, os.DirFS(s.site)); err != nil {
				t.Fatal(err)
			}
			mine := *s
			mine.site = site
			cfg := s.cfg
			var told []bundle.Event
			hub := a.do(t, &mine, s.f.Copy(t), &cfg)
			cfg.Event = func(e bundle.Event) { told = append(told, e) }
			r, err := bundle.Open(site, cfg)
			if err != nil {
				t.Fatal(err)
			}
			res, err := r.Pull(t.Context(), hub)
			if bundle.CodeOf(err) != a.code || res.Staged != 0 {
				t.Fatalf("%+v, %q, %v; want %q", res, bundle.CodeOf(err), err, a.code)
			}
			st := r.Status()
			if st.Active == nil || st.Active.Number != 1 || st.Staged != nil {
				t.Fatalf("%+v", st)
			}
			if n := len(told); n == 0 || told[n-1].Code != a.code || told[n-1].Reason == "" {
				t.Fatalf("the centre was told %+v", told)
			}
			if h := r.History(); h[len(h)-1].Code != a.code {
				t.Fatalf("%+v", h)
			}
			if set, err := r.Active(); err != nil || set.Check() != nil {
				t.Fatal("the active bundle was harmed", err)
			}
			if a.lasting {
				return
			}
			// The honest hub, and a restart with the right clock.
			cfg.Now, cfg.Issued = s.cfg.Now, s.cfg.Issued
			if a.code == bundle.Expired {
				at := s.now.Add(41 * 24 * time.Hour)
				cfg.Now = func() time.Time { return at }
				f := s.f.Copy(t).At(at)
				f.Release(t, f.Repository(t))
				hub = hubOf(t, f)
			} else {
				hub = hubOf(t, s.f)
			}
			if r, err = bundle.Open(site, cfg); err != nil {
				t.Fatal(err)
			}
			if err := r.Retry(0); err != nil {
				t.Fatal(err)
			}
			if res, err := r.Pull(t.Context(), hub); err != nil || res.Staged != 2 {
				t.Fatalf("afterwards: %+v, %v", res, err)
			}
		})
	}
}

// A bundle that was refused does not hold up the next.
func TestQuarantineDoesNotBlock(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	f := s.f
	h := signed(func(_ *testing.T, _ *central.Folder, m *bundle.Manifest) { m.Documents.Count++ })(t, s, f, nil)
	r, err := bundle.Open(s.site, s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pull(t.Context(), h); bundle.CodeOf(err) != bundle.BadContent {
		t.Fatal(err)
	}
	// With 3 in quarantine, 2 is taken.
	if res, err := r.Pull(t.Context(), h); err != nil || res.Staged != 2 {
		t.Fatal(res, err)
	}
	b, err := json.Marshal(r.Status())
	if err != nil || !strings.Contains(string(b), "bad_content") {
		t.Fatal(string(b), err)
	}
}
