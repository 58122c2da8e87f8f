package central

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"rxedge/sync/bundle"
	"rxedge/sync/durable"
)

// Validities of the signed metadata. A site that is cut off goes on with what it
// has verified; it takes nothing new that has run out.
const (
	rootValid      = 365 * 24 * time.Hour
	targetsValid   = 180 * 24 * time.Hour
	snapshotValid  = 30 * 24 * time.Hour
	timestampValid = bundle.TimestampValidity
)

// keptBundles of a channel stay in the metadata.
const keptBundles = 4

func (f *Folder) expires(d time.Duration) time.Time {
	return f.now().UTC().Add(d).Truncate(time.Second)
}

// initRepository makes the keys (root 2 of 3; targets, snapshot and timestamp one
// each) and signs an empty repository.
func (f *Folder) initRepository() error {
	for _, d := range []string{"tuf/offline", "tuf/keys", "tuf/repo"} {
		if err := os.MkdirAll(f.path(d), 0o700); err != nil {
			return err
		}
	}
	root := metadata.Root(f.expires(rootValid))
	var rootKeys []ed25519.PrivateKey
	for _, k := range []struct{ role, file string }{
		{"root", "tuf/offline/root-1"}, {"root", "tuf/offline/root-2"}, {"root", "tuf/offline/root-3"},
		{"targets", "tuf/keys/targets"}, {"snapshot", "tuf/keys/snapshot"}, {"timestamp", "tuf/keys/timestamp"},
	} {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		if err := f.saveSigningKey(k.file, key); err != nil {
			return err
		}
		mk, err := metadata.KeyFromPublicKey(key.Public())
		if err != nil {
			return err
		}
		if err := root.Signed.AddKey(mk, k.role); err != nil {
			return err
		}
		if k.role == "root" {
			rootKeys = append(rootKeys, key)
		}
	}
	root.Signed.Roles["root"].Threshold = 2
	for _, k := range rootKeys {
		if err := sign(root, k); err != nil {
			return err
		}
	}
	b, err := root.ToBytes(false)
	if err != nil {
		return err
	}
	if err := durable.Write(f.path("tuf/repo/1.root.json"), b); err != nil {
		return err
	}
	return f.release(metadata.Targets(f.expires(targetsValid)), metadata.Snapshot(), metadata.Timestamp())
}

func (f *Folder) saveSigningKey(name string, k ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return err
	}
	return durable.Write(f.path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (f *Folder) signingKey(name string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(f.path(name + ".key"))
	if err != nil {
		return nil, fmt.Errorf("the signing key %s is not here: %w", name, err)
	}
	k, err := parseSigningKey(b)
	if err != nil {
		return nil, fmt.Errorf("the signing key %s %w", name, err)
	}
	return k, nil
}

func parseSigningKey(b []byte) (ed25519.PrivateKey, error) {
	p, _ := pem.Decode(b)
	if p == nil {
		return nil, errors.New("is damaged")
	}
	k, err := x509.ParsePKCS8PrivateKey(p.Bytes)
	if err != nil {
		return nil, errors.New("is damaged")
	}
	ed, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("is of another kind")
	}
	return ed, nil
}

func sign[T metadata.Roles](m *metadata.Metadata[T], k ed25519.PrivateKey) error {
	s, err := signature.LoadSigner(k, crypto.Hash(0))
	if err != nil {
		return err
	}
	_, err = m.Sign(s)
	return err
}

// seal signs m anew with the key of its role and writes it.
func seal[T metadata.Roles](f *Folder, m *metadata.Metadata[T], role, file string) error {
	k, err := f.signingKey("tuf/keys/" + role)
	if err != nil {
		return err
	}
	m.ClearSignatures()
	if err := sign(m, k); err != nil {
		return err
	}
	b, err := m.ToBytes(false)
	if err != nil {
		return err
	}
	return durable.Write(f.path("tuf/repo/"+file), b)
}

// release signs the three and writes them, the timestamp last: until then the
// release before is the one that counts. targets nil: those that are there.
func (f *Folder) release(targets *metadata.Metadata[metadata.TargetsType], snapshot *metadata.Metadata[metadata.SnapshotType], timestamp *metadata.Metadata[metadata.TimestampType]) error {
	step("before the release")
	if targets != nil {
		if err := seal(f, targets, "targets", fmt.Sprintf("%d.targets.json", targets.Signed.Version)); err != nil {
			return err
		}
		snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(targets.Signed.Version)
	}
	step("after the targets")
	snapshot.Signed.Expires = f.expires(snapshotValid)
	if err := seal(f, snapshot, "snapshot", fmt.Sprintf("%d.snapshot.json", snapshot.Signed.Version)); err != nil {
		return err
	}
	step("after the snapshot")
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(snapshot.Signed.Version)
	timestamp.Signed.Expires = f.expires(timestampValid)
	return seal(f, timestamp, "timestamp", "timestamp.json")
}

type repository struct {
	targets   *metadata.Metadata[metadata.TargetsType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]
}

func (f *Folder) repository() (*repository, error) {
	var r repository
	var err error
	if r.timestamp, err = metadata.Timestamp().FromFile(f.path("tuf/repo/timestamp.json")); err != nil {
		return nil, fmt.Errorf("the repository's timestamp: %w", err)
	}
	if r.snapshot, err = metadata.Snapshot().FromFile(f.path(fmt.Sprintf("tuf/repo/%d.snapshot.json", r.timestamp.Signed.Meta["snapshot.json"].Version))); err != nil {
		return nil, fmt.Errorf("the repository's snapshot: %w", err)
	}
	if r.targets, err = metadata.Targets().FromFile(f.path(fmt.Sprintf("tuf/repo/%d.targets.json", r.snapshot.Signed.Meta["targets.json"].Version))); err != nil {
		return nil, fmt.Errorf("the repository's targets: %w", err)
	}
	return &r, nil
}

// anchor is what an enrolment file pins: the latest root, and the version of the
// timestamp below which everything is a replay.
func (f *Folder) anchor() (json.RawMessage, int64, error) {
	r, err := f.repository()
	if err != nil {
		return nil, 0, err
	}
	for n := int64(1); ; n++ {
		if _, err := os.Stat(f.path(fmt.Sprintf("tuf/repo/%d.root.json", n+1))); err != nil {
			b, err := os.ReadFile(f.path(fmt.Sprintf("tuf/repo/%d.root.json", n)))
			return b, r.timestamp.Signed.Version, err
		}
	}
}

// renewTimestamp signs the timestamp anew when half of its time is over, and the
// snapshot with it where that needs it.
func (f *Folder) renewTimestamp() (bool, error) {
	unlock, err := f.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	r, err := f.repository()
	if err != nil {
		return false, err
	}
	now := f.now()
	if r.targets.Signed.Expires.Sub(now) < targetsValid/2 {
		// Where the admin's key is here too; else the next publish does it.
		if _, err := f.signingKey("tuf/keys/targets"); err == nil {
			r.targets.Signed.Version++
			r.snapshot.Signed.Version++
			r.timestamp.Signed.Version++
			r.targets.Signed.Expires = f.expires(targetsValid)
			return true, f.release(r.targets, r.snapshot, r.timestamp)
		}
	}
	if r.timestamp.Signed.Expires.Sub(now) > timestampValid/2 && r.snapshot.Signed.Expires.Sub(now) > snapshotValid/2 {
		return false, nil
	}
	r.timestamp.Signed.Version++
	r.snapshot.Signed.Version++
	return true, f.release(nil, r.snapshot, r.timestamp)
}

// latest bundle of a channel that is usable; nil where there is none yet.
func (f *Folder) latest(r *repository, channel string, usable func(int64) bool) (*bundle.Manifest, error) {
	var path string
	var last int64
	for p := range r.targets.Signed.Targets {
		if c, n, ok := bundle.ParseTargetPath(p); ok && c == channel && n > last && usable(n) {
			path, last = p, n
		}
	}
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(f.path("store/manifests/" + r.targets.Signed.Targets[path].Hashes["sha256"].String()))
	if err != nil {
		return nil, fmt.Errorf("the latest manifest of %s: %w", channel, err)
	}
	return bundle.ParseManifest(b)
}

// Newest number of each channel.
func (f *Folder) Newest() (map[string]int64, error) {
	r, err := f.repository()
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for p := range r.targets.Signed.Targets {
		if c, n, ok := bundle.ParseTargetPath(p); ok {
			out[c] = max(out[c], n)
		}
	}
	return out, nil
}

// numbers of a channel that are signed, ascending.
func (r *repository) numbers(channel string) []int64 {
	var out []int64
	for p := range r.targets.Signed.Targets {
		if c, n, ok := bundle.ParseTargetPath(p); ok && c == channel {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// addTarget makes m part of the signed metadata, with the gates that follow from
// the trail.
func (f *Folder) addTarget(r *repository, t *trail, m *bundle.Manifest) error {
	b, err := bundle.EncodeManifest(m)
	if err != nil {
		return err
	}
	path := bundle.TargetPath(m.Channel, m.Number)
	tf, err := metadata.TargetFile().FromBytes(path, b, "sha256")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.path("store/manifests"), 0o700); err != nil {
		return err
	}
	if err := durable.Write(f.path("store/manifests/"+tf.Hashes["sha256"].String()), b); err != nil {
		return err
	}
	r.targets.Signed.Targets[path] = tf
	for _, n := range r.numbers(m.Channel) {
		if !t.rolls.kept(m.Channel, n, r.numbers(m.Channel)) {
			delete(r.targets.Signed.Targets, bundle.TargetPath(m.Channel, n))
		}
	}
	if _, err := f.setGates(r, t, m.Channel); err != nil {
		return err
	}
	return f.releaseNext(r)
}

// releaseNext signs r with the next versions.
func (f *Folder) releaseNext(r *repository) error {
	r.targets.Signed.Version++
	r.targets.Signed.Expires = f.expires(targetsValid)
	r.snapshot.Signed.Version++
	r.timestamp.Signed.Version++
	return f.release(r.targets, r.snapshot, r.timestamp)
}

// files are what a site may ask for, each after those that it builds on: roots,
// manifests, targets, snapshot, timestamp.
func (f *Folder) files() ([]file, error) {
	r, err := f.repository()
	if err != nil {
		return nil, err
	}
	var out []file
	add := func(name, path string) error {
		b, err := os.ReadFile(f.path(path))
		if err == nil {
			out = append(out, file{name, b})
		}
		return err
	}
	for n := 1; ; n++ {
		name := fmt.Sprintf("%d.root.json", n)
		if err := add(name, "tuf/repo/"+name); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	for path, t := range r.targets.Signed.Targets {
		h := t.Hashes["sha256"].String()
		in := "store/manifests/"
		if _, _, ok := bundle.ParseTargetPath(path); !ok {
			in = gatesDir
		}
		if err := add(bundle.ManifestName(h), in+h); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{fmt.Sprintf("%d.targets.json", r.targets.Signed.Version), fmt.Sprintf("%d.snapshot.json", r.snapshot.Signed.Version), "timestamp.json"} {
		if err := add(name, "tuf/repo/"+name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type file struct {
	name string
	data []byte
}

// readingIn is how long a site may be at reading the signed metadata of one time.
const readingIn = time.Hour

// pushMetadata gives the hub what it does not have, and takes out what is of no
// use any more.
func (f *Folder) pushMetadata(ctx context.Context, nc *nats.Conn) error {
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	files, err := f.files()
	unlock()
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	s, err := js.Stream(ctx, StreamUpdates)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, x := range files {
		subject := bundle.Subject(x.name)
		keep[subject] = true
		if m, err := s.GetLastMsgForSubject(ctx, subject); err == nil && string(m.Data) == string(x.data) {
			continue
		}
		if _, err := js.Publish(ctx, subject, x.data); err != nil {
			return fmt.Errorf("giving %s to the hub: %w", x.name, err)
		}
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("upd.>"))
	if err != nil {
		return err
	}
	// A site that is in the middle of reading needs what was there when it began, however
	// often something was signed since: a rollout signs at each wave.
	if len(info.State.Subjects) <= 2*len(keep)+8 {
		return nil
	}
	for subject := range info.State.Subjects {
		if keep[subject] {
			continue
		}
		m, err := s.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && info.State.LastTime.Sub(m.Time) < readingIn {
			continue
		}
		if err == nil {
			err = s.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
