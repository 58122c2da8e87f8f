package central

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"rxedge/sync/bundle"
	"rxedge/sync/durable"
	"rxedge/sync/enroll"
)

// What tests that attack a site need of the centre: the keys to sign what a
// centre never would.

// Copy of the folder.
func (f *Folder) Copy(t testing.TB) *Folder {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "central")
	if err := os.CopyFS(dir, os.DirFS(f.Dir)); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Files as the hub has them.
func (f *Folder) Files(t testing.TB) map[string][]byte {
	t.Helper()
	fs, err := f.files()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string][]byte{}
	for _, x := range fs {
		m[x.name] = x.data
	}
	return m
}

// Chunks of all manifests.
func (f *Folder) Chunks(t testing.TB) map[bundle.Hash][]byte {
	t.Helper()
	ms, err := f.manifests()
	if err != nil {
		t.Fatal(err)
	}
	out := map[bundle.Hash][]byte{}
	for _, m := range ms {
		for h, content := range f.chunksOf(m, func(bundle.Hash) bool { return false }) {
			if out[h], err = content(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// Anchor that an enrolment pins.
func (f *Folder) Anchor(t testing.TB) ([]byte, int64) {
	t.Helper()
	root, least, err := f.anchor()
	if err != nil {
		t.Fatal(err)
	}
	return root, least
}

// Latest manifest.
func (f *Folder) Latest(t testing.TB) *bundle.Manifest {
	t.Helper()
	r, err := f.repository()
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.latest(r, "stable", func(int64) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// SignManifest makes m part of the metadata, at path; "": where it belongs.
func (f *Folder) SignManifest(t testing.TB, m *bundle.Manifest, path string) {
	t.Helper()
	r, err := f.repository()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := f.trail()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.addTarget(r, tr, m); err != nil {
		t.Fatal(err)
	}
	if path != "" {
		tg := r.targets.Signed.Targets
		own := bundle.TargetPath(m.Channel, m.Number)
		tg[path] = tg[own]
		delete(tg, own)
		f.Release(t, r)
	}
}

// StoreChunk puts a chunk into the centre's store.
func (f *Folder) StoreChunk(t testing.TB, b []byte) bundle.Hash {
	t.Helper()
	h := bundle.HashOf(b)
	if err := f.storeChunk(h, b); err != nil {
		t.Fatal(err)
	}
	return h
}

// Repository as it is signed.
func (f *Folder) Repository(t testing.TB) *repository {
	t.Helper()
	r, err := f.repository()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Targets of it.
func (r *repository) Targets() map[string]*metadata.TargetFiles { return r.targets.Signed.Targets }

// Release signs it anew with the next versions.
func (f *Folder) Release(t testing.TB, r *repository) {
	t.Helper()
	r.targets.Signed.Version++
	r.snapshot.Signed.Version++
	r.timestamp.Signed.Version++
	if err := f.release(r.targets, r.snapshot, r.timestamp); err != nil {
		t.Fatal(err)
	}
}

// Foreign gives a role another key.
func (f *Folder) Foreign(t testing.TB, role string) {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.saveSigningKey("tuf/keys/"+role, k); err != nil {
		t.Fatal(err)
	}
}

// ForgeRoot is a root of the next version, signed by some of the root keys, with
// foreign ones in their place where foreign is set.
func (f *Folder) ForgeRoot(t testing.TB, signers int, foreign bool, change func(*metadata.RootType)) []byte {
	t.Helper()
	root, err := metadata.Root().FromFile(f.path("tuf/repo/1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	root.Signed.Version++
	change(&root.Signed)
	root.ClearSignatures()
	for i := range signers {
		k, err := f.signingKey("tuf/offline/root-" + string(rune('1'+i)))
		if err != nil {
			t.Fatal(err)
		}
		if foreign {
			_, k, _ = ed25519.GenerateKey(rand.Reader)
		}
		if err := sign(root, k); err != nil {
			t.Fatal(err)
		}
	}
	b, err := root.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RotateTargets replaces the targets key by a root that two have signed.
func (f *Folder) RotateTargets(t testing.TB) {
	t.Helper()
	old, err := f.signingKey("tuf/keys/targets")
	if err != nil {
		t.Fatal(err)
	}
	f.Foreign(t, "targets")
	k, err := f.signingKey("tuf/keys/targets")
	if err != nil {
		t.Fatal(err)
	}
	b := f.ForgeRoot(t, 2, false, func(r *metadata.RootType) {
		o, _ := metadata.KeyFromPublicKey(old.Public())
		id, _ := o.ID()
		_ = r.RevokeKey(id, "targets")
		n, _ := metadata.KeyFromPublicKey(k.Public())
		_ = r.AddKey(n, "targets")
	})
	if err := durable.Write(f.path("tuf/repo/2.root.json"), b); err != nil {
		t.Fatal(err)
	}
}

// Renew is renewTimestamp.
func (f *Folder) Renew() (bool, error) { return f.renewTimestamp() }

// At sets the centre's clock.
func (f *Folder) At(at time.Time) *Folder { f.now = func() time.Time { return at }; return f }

// Grant makes a site without asking the hub.
func (f *Folder) Grant(t testing.TB, site string) *enroll.Identity {
	t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	pub, _ := kp.PublicKey()
	seed, _ := kp.Seed()
	id := &enroll.Identity{Site: site, Channel: "stable", Hubs: f.Hubs, Issued: f.now()}
	id.Seed = string(seed)
	if id.JWT, err = f.userJWT(pub, site, keyRoleSite, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if id.Certificate, id.Key, err = f.issueWithKey("site-"+site, time.Hour, false); err != nil {
		t.Fatal(err)
	}
	if id.CA, err = f.CA(); err != nil {
		t.Fatal(err)
	}
	if id.Root, id.Floor, err = f.anchor(); err != nil {
		t.Fatal(err)
	}
	if err := f.saveSite(&Site{ID: site, Channel: "stable", Public: pub}); err != nil {
		t.Fatal(err)
	}
	return id
}

// GrantAt is Grant at a time of the centre's clock, for as long as a claim would.
func (f *Folder) GrantAt(t testing.TB, site string, at time.Time) *enroll.Identity {
	t.Helper()
	f, err := Open(f.Dir) // its services read the clock of theirs
	if err != nil {
		t.Fatal(err)
	}
	f.now = func() time.Time { return at }
	id := f.Grant(t, site)
	kp, err := nkeys.FromSeed([]byte(id.Seed))
	if err != nil {
		t.Fatal(err)
	}
	pub, _ := kp.PublicKey()
	if id.JWT, err = f.userJWT(pub, site, keyRoleSite, at.Add(leafValid)); err != nil {
		t.Fatal(err)
	}
	if id.Certificate, id.Key, err = f.issueWithKey("site-"+site, leafValid, false); err != nil {
		t.Fatal(err)
	}
	return id
}

// RootKeys are the three that people keep.
func (f *Folder) RootKeys(t testing.TB) (out [][]byte) {
	t.Helper()
	for _, n := range []string{"1", "2", "3"} {
		b, err := os.ReadFile(f.path("tuf/offline/root-" + n + ".key"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// RootKeyID of a root key.
func (f *Folder) RootKeyID(t testing.TB, key []byte) string {
	t.Helper()
	k, err := parseSigningKey(key)
	if err != nil {
		t.Fatal(err)
	}
	mk, _ := metadata.KeyFromPublicKey(k.Public())
	id, _ := mk.ID()
	return id
}

// SignGates makes b the gates of the channel stable, whatever it is.
func (f *Folder) SignGates(t testing.TB, b []byte) {
	t.Helper()
	r := f.Repository(t)
	tf, err := metadata.TargetFile().FromBytes(bundle.GatesPath("stable"), b, "sha256")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(f.path(gatesDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Write(f.path(gatesDir+tf.Hashes["sha256"].String()), b); err != nil {
		t.Fatal(err)
	}
	r.Targets()[bundle.GatesPath("stable")] = tf
	f.Release(t, r)
}

// SetStep calls do at each step of what the centre writes.
func SetStep(do func(string)) { step = do }

// TargetsKeyID is the id of the key that signs bundles.
func (f *Folder) TargetsKeyID(t testing.TB) string {
	t.Helper()
	k, err := f.signingKey("tuf/keys/targets")
	if err != nil {
		t.Fatal(err)
	}
	mk, err := metadata.KeyFromPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	id, err := mk.ID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}
