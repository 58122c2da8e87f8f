package bundle

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"rxedge/sync/durable"
)

// TimestampValidity is how long the centre signs the timestamp for. Its expiry
// less this is a time that the centre has seen, so no clock may be behind it.
const TimestampValidity = 7 * 24 * time.Hour

// Source is where a site gets things from: the hub, or a medium. Nothing that
// comes from it is believed. A Source is safe for concurrent use.
type Source interface {
	// Metadata by file name, such as timestamp.json or a ManifestName. The error is
	// ErrNotFound where it does not have it.
	Metadata(ctx context.Context, name string, most int64) ([]byte, error)
	// Chunk by its hash. The error is ErrNotFound where it does not have it.
	Chunk(ctx context.Context, h Hash) ([]byte, error)
}

// ManifestName is the file name of the manifest with a SHA-256.
func ManifestName(hash string) string { return "manifest-" + hash + ".json" }

// Subject of a metadata file at the hub.
func Subject(name string) string {
	name = strings.TrimSuffix(name, ".json")
	if h, ok := strings.CutPrefix(name, "manifest-"); ok {
		return "upd.man." + h
	}
	return "upd.tuf." + name
}

// TimestampSubject is where the hub says that there is something new.
const TimestampSubject = "upd.tuf.timestamp"

// ChunkSubject at the hub.
func ChunkSubject(h Hash) string { return "art." + h.String() }

// trust is the signed metadata that a site has verified. The copy on disk is a
// Pair, so a torn write costs one refresh at most; go-tuf's own files are scratch.
type trust struct {
	dir  string
	pair durable.Pair // used by one refresh at a time
	now  func() time.Time

	mu   sync.RWMutex
	kept kept
}

// kept is what lies in the Pair.
type kept struct {
	Root      []byte `json:"root"`
	Timestamp []byte `json:"timestamp,omitempty"`
	Snapshot  []byte `json:"snapshot,omitempty"`
	Targets   []byte `json:"targets,omitempty"`
	// Floor of the clock: a time that the centre has signed.
	Floor time.Time `json:"floor"`
	// Least version of a timestamp that is no replay.
	Least int64 `json:"least"`
}

// anchor of a site that has none yet.
type anchor struct {
	root  []byte
	least int64
	floor time.Time
}

func openTrust(dir string, a anchor, now func() time.Time) (*trust, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	t := &trust{dir: dir, pair: durable.Pair{Path: filepath.Join(dir, "metadata")}, now: now}
	b, _, err := t.pair.Load()
	switch {
	case errors.Is(err, durable.ErrNone):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(b, &t.kept); err != nil {
			return nil, fmt.Errorf("the signed metadata of this site: %w", err)
		}
	}
	root, err := metadata.Root().FromBytes(a.root)
	if err != nil {
		return nil, fmt.Errorf("the root of this site's enrolment: %w", err)
	}
	// A new enrolment may pin a newer root, a later time.
	if have, err := metadata.Root().FromBytes(t.kept.Root); err != nil || have.Signed.Version < root.Signed.Version {
		t.kept.Root = a.root
	}
	t.kept.Least = max(t.kept.Least, a.least)
	if t.kept.Floor.Before(a.floor) {
		t.kept.Floor = a.floor
	}
	return t, nil
}

// Now is the clock, but never before a time that the centre has signed.
func (t *trust) Now() time.Time {
	now := t.now()
	t.mu.RLock()
	defer t.mu.RUnlock()
	if now.Before(t.kept.Floor) {
		return t.kept.Floor
	}
	return now
}

func (t *trust) save(k kept) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := t.pair.Store(b); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = k
	return nil
}

// fetcher gives go-tuf the files of a Source, and remembers them.
type fetcher struct {
	ctx  context.Context
	src  Source
	last string
	got  map[string][]byte
}

const base = "rxedge://metadata/"

// DownloadFile implements go-tuf's Fetcher.
func (f *fetcher) DownloadFile(url string, most int64, _ time.Duration) ([]byte, error) {
	f.last = strings.TrimPrefix(url, base)
	b, err := f.src.Metadata(f.ctx, f.last, most)
	if errors.Is(err, ErrNotFound) {
		// The only error at which the updater stops looking for newer roots.
		return nil, &metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: url}
	}
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: "too long"}
	}
	f.got[f.last] = b
	return b, nil
}

// refresh brings the metadata up to date. What was verified before a failure is
// kept, as it is a floor for what comes later. One at a time.
func (t *trust) refresh(ctx context.Context, src Source) error {
	work := filepath.Join(t.dir, "work")
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for name, b := range map[string][]byte{"timestamp.json": t.kept.Timestamp, "snapshot.json": t.kept.Snapshot, "targets.json": t.kept.Targets} {
		if len(b) > 0 {
			if err := os.WriteFile(filepath.Join(work, name), b, 0o600); err != nil {
				return err
			}
		}
	}
	cfg, err := config.New(base, t.kept.Root)
	if err != nil {
		return err
	}
	f := &fetcher{ctx: ctx, src: src, got: map[string][]byte{}}
	cfg.Fetcher, cfg.LocalMetadataDir, cfg.LocalTargetsDir, cfg.DisableLocalCache = f, work, work, true
	up, err := updater.New(cfg)
	if err != nil {
		return refuse(TamperedMetadata, err, "the root that this site trusts can't be read")
	}
	up.UnsafeSetRefTime(t.Now())
	err = up.Refresh()
	set := up.GetTrustedMetadataSet()
	next := t.kept
	if set.Root != nil {
		if b := f.got[strconv.FormatInt(set.Root.Signed.Version, 10)+".root.json"]; b != nil {
			next.Root = b
		}
	}
	if set.Timestamp != nil {
		v := set.Timestamp.Signed.Version
		if v < next.Least {
			return refuse(Replay, nil, "the hub shows metadata of version %d; it was at %d when this site was enrolled", v, next.Least)
		}
		// Signed in the future of this clock or not, the centre has seen this time.
		if at := set.Timestamp.Signed.Expires.Add(-TimestampValidity); at.After(next.Floor) {
			next.Floor = at
		}
		if b := f.got["timestamp.json"]; b != nil && same(b, set.Timestamp) {
			next.Timestamp = b
		}
	}
	if set.Snapshot != nil {
		if b := f.got[strconv.FormatInt(set.Snapshot.Signed.Version, 10)+".snapshot.json"]; b != nil && same(b, set.Snapshot) {
			next.Snapshot = b
		}
	}
	if tg := set.Targets[metadata.TARGETS]; tg != nil {
		if b := f.got[strconv.FormatInt(tg.Signed.Version, 10)+".targets.json"]; b != nil && same(b, tg) {
			next.Targets = b
		}
	}
	if !next.equal(&t.kept) {
		if serr := t.save(next); serr != nil {
			return fmt.Errorf("keeping the signed metadata: %w", serr)
		}
	}
	return f.code(err)
}

func (k *kept) equal(o *kept) bool {
	return bytes.Equal(k.Root, o.Root) && bytes.Equal(k.Timestamp, o.Timestamp) && bytes.Equal(k.Snapshot, o.Snapshot) && bytes.Equal(k.Targets, o.Targets) &&
		k.Floor.Equal(o.Floor) && k.Least == o.Least
}

// same says whether b is the metadata that was verified, of the same version.
func same[T metadata.Roles](b []byte, m *metadata.Metadata[T]) bool {
	want, err := m.ToBytes(false)
	if err != nil {
		return false
	}
	var x, y any
	if json.Unmarshal(b, &x) != nil || json.Unmarshal(want, &y) != nil {
		return false
	}
	p, err1 := json.Marshal(x)
	q, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && bytes.Equal(p, q)
}

// code turns what go-tuf says into a refusal; an error of the Source stays one.
func (f *fetcher) code(err error) error {
	if err == nil {
		return nil
	}
	var (
		unsigned *metadata.ErrUnsignedMetadata
		version  *metadata.ErrBadVersionNumber
		expired  *metadata.ErrExpiredMetadata
		length   *metadata.ErrDownloadLengthMismatch
		hash     *metadata.ErrLengthOrHashMismatch
		missing  *metadata.ErrDownloadHTTP
		repo     *metadata.ErrRepository
		value    *metadata.ErrValue
		kind     *metadata.ErrType
		syntax   *json.SyntaxError
		field    *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &unsigned):
		return refuse(Unsigned, err, "%s is not signed by enough of the keys that this site trusts", f.last)
	case errors.As(err, &expired):
		return refuse(Expired, err, "%s has run out: the hub shows old metadata, or this box's clock is ahead", f.last)
	case errors.As(err, &version):
		if f.last == "timestamp.json" || strings.HasSuffix(f.last, ".root.json") {
			return refuse(Rollback, err, "%s is older than what this site has seen", f.last)
		}
		return refuse(Mixed, err, "%s is of another release than the rest", f.last)
	case errors.As(err, &length):
		return refuse(TooLarge, err, "%s is larger than allowed", f.last)
	case errors.As(err, &missing):
		return refuse(MissingMetadata, err, "the hub does not have %s", f.last)
	case errors.As(err, &hash):
		return refuse(TamperedMetadata, err, "%s is not the one that was signed", f.last)
	case errors.As(err, &repo), errors.As(err, &value), errors.As(err, &kind), errors.As(err, &syntax), errors.As(err, &field), strings.Contains(err.Error(), "unexpected end of JSON"):
		return refuse(TamperedMetadata, err, "%s is no such metadata", f.last)
	}
	if _, got := f.got[f.last]; got {
		// It was had, so what is wrong is wrong with it.
		return refuse(TamperedMetadata, err, "%s can't be read", f.last)
	}
	return err
}

// target is a bundle in the signed metadata.
type target struct {
	number int64
	hash   Hash
	length int64
}

// targets of a channel in what is kept, the newest first.
func (t *trust) targets(channel string) ([]target, error) {
	m, err := t.signed()
	if err != nil || m == nil {
		return nil, err
	}
	var out []target
	for p, tf := range m {
		c, n, ok := ParseTargetPath(p)
		if !ok || c != channel {
			continue
		}
		if x, ok := targetOf(tf); ok {
			x.number = n
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b target) int { return cmp.Compare(b.number, a.number) })
	return out, nil
}

// gatesTarget of a channel; nil: it has none.
func (t *trust) gatesTarget(channel string) (*target, error) {
	m, err := t.signed()
	if err != nil {
		return nil, err
	}
	tf, ok := m[GatesPath(channel)]
	if !ok {
		return nil, nil
	}
	x, ok := targetOf(tf)
	if !ok {
		return nil, refuse(BadGate, nil, "the gates of the channel are signed without a SHA-256")
	}
	return &x, nil
}

// signed are the targets that were kept.
func (t *trust) signed() (map[string]*metadata.TargetFiles, error) {
	t.mu.RLock()
	b := t.kept.Targets
	t.mu.RUnlock()
	if len(b) == 0 {
		return nil, nil
	}
	m, err := metadata.Targets().FromBytes(b)
	if err != nil {
		return nil, refuse(TamperedMetadata, err, "the targets that were kept can't be read")
	}
	return m.Signed.Targets, nil
}

func targetOf(tf *metadata.TargetFiles) (target, bool) {
	x := target{length: tf.Length}
	h := tf.Hashes["sha256"]
	if len(h) != len(x.hash) {
		return x, false
	}
	copy(x.hash[:], h)
	return x, true
}
