package central

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/sync/bundle"
	"rxedge/sync/durable"
	"rxedge/sync/enroll"
)

// File to publish.
type File struct {
	Name, Kind, Path string
	Version          string // "": the number of the bundle
}

// Release is what is to be published to a channel.
type Release struct {
	Channel   string
	Note      string
	Requires  bundle.Requires
	Documents iter.Seq2[bundle.Document, error]
	// Withdraw are ids of documents that no site may have any more.
	Withdraw []string
	// Replace: the documents given are all; else those of before stay.
	Replace bool
	Files   []File
	// Drop are the names of files that are no longer part of it.
	Drop []string
	// Vectors makes those of all passages, as far as they are not there; nil: those of
	// before stay, but for what has changed.
	Vectors *Embedding
	// DropVectors: none of before stay.
	DropVectors bool
	// Hold: no site may have it until a rollout lets it.
	Hold bool
	Who  string // who publishes, for the trail
}

// Published says what a release came to.
type Published struct {
	Channel   string `json:"channel"`
	Number    int64  `json:"number"`
	Documents int    `json:"documents"` // of the set
	Put       int    `json:"put"`
	Unchanged int    `json:"unchanged"`
	Removed   int    `json:"removed"`
	Artefacts int    `json:"artefacts"`
	Vectors   int    `json:"vectors,omitempty"` // of passages, of all embedders
	NewBytes  int64  `json:"new_bytes"`         // of chunks that a site in step fetches
	SetBytes  int64  `json:"set_bytes"`         // of those that a new site fetches
	Manifest  int    `json:"manifest_bytes"`
	Held      bool   `json:"held,omitempty"`
}

// ErrNothingNew: the channel has all of it already, in the bundle that is returned with it.
var ErrNothingNew = errors.New("the channel has all of this already; nothing was published")

// documents of the release, whose ids are put down in put where there is one.
func (rel *Release) documents(put map[string]bool) iter.Seq2[bundle.Document, error] {
	return func(yield func(bundle.Document, error) bool) {
		if rel.Documents == nil {
			return
		}
		for d, err := range rel.Documents {
			if put != nil {
				put[d.ID] = true
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// Publish builds the next bundle of a channel and signs it. It is at the centre
// then, whole; Push gives it to the hub.
func (f *Folder) Publish(rel Release) (*Published, error) {
	if err := enroll.CheckChannel(rel.Channel); err != nil {
		return nil, err
	}
	if err := f.ahead(&rel); err != nil {
		return nil, err
	}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := f.signingKey("tuf/keys/targets"); err != nil {
		return nil, err // before the work, not after it
	}
	r, err := f.repository()
	if err != nil {
		return nil, err
	}
	t, err := f.trail()
	if err != nil {
		return nil, err
	}
	if open := t.rolls.open(rel.Channel); open != nil && !rel.Hold {
		return nil, fmt.Errorf("%w: bundle %d of %s is %s", ErrRolloutOpen, open.Bundle, open.Channel, open.State)
	}
	if n := len(r.numbers(rel.Channel)); rel.Hold && n > bundle.MaxGates-keptBundles-1 {
		return nil, fmt.Errorf("%d bundles of %s wait for a rollout; create one, or abort them", n, rel.Channel)
	}
	// What was aborted is not built upon: it would come back with the next.
	prev, err := f.latest(r, rel.Channel, func(n int64) bool { return !t.rolls.aborted(rel.Channel, n) })
	if err != nil {
		return nil, err
	}
	m := &bundle.Manifest{Format: bundle.Format, Channel: rel.Channel, Number: 1, Created: f.now().UTC(), Note: rel.Note, Requires: rel.Requires}
	m.Requires.Schema = bundle.Schema
	var before *bundle.Set
	if prev != nil {
		m.Artefacts, m.Withdrawn = slices.Clone(prev.Artefacts), slices.Clone(prev.Withdrawn)
		before = bundle.OpenSet(prev, packs{f})
	}
	for _, n := range append(r.numbers(rel.Channel), t.rolls.highest(rel.Channel)) {
		m.Number = max(m.Number, n+1)
	}
	out := &Published{Channel: rel.Channel, Number: m.Number, Held: rel.Hold}
	put := map[string]bool{}
	built, err := bundle.Build(before, rel.documents(put), rel.Withdraw, rel.Replace)
	if err != nil {
		return nil, err
	}
	m.Documents = built.Documents
	var more map[bundle.Hash][]byte
	if m.Vectors, more, err = f.vectors(&rel, prev, before, built); err != nil {
		return nil, err
	}
	m.Withdrawn = slices.DeleteFunc(m.Withdrawn, func(id string) bool { return put[id] && !slices.Contains(rel.Withdraw, id) })
	news := built.Put + built.Removed + len(more)
	if prev != nil && len(m.Vectors) != len(prev.Vectors) {
		news++
	}
	for _, id := range rel.Withdraw {
		if !slices.Contains(m.Withdrawn, id) {
			m.Withdrawn = append(m.Withdrawn, id)
			news++
		}
	}
	slices.Sort(m.Withdrawn)
	for _, name := range rel.Drop {
		n := len(m.Artefacts)
		m.Artefacts = slices.DeleteFunc(m.Artefacts, func(a bundle.Artefact) bool { return a.Name == name })
		if n == len(m.Artefacts) {
			return nil, fmt.Errorf("the channel has no file %q", name)
		}
		news++
	}
	for _, x := range rel.Files {
		a, size, err := f.storeArtefact(x)
		if err != nil {
			return nil, err
		}
		if a.Version = x.Version; a.Version == "" {
			a.Version = strconv.FormatInt(m.Number, 10)
		}
		i := slices.IndexFunc(m.Artefacts, func(b bundle.Artefact) bool { return b.Name == a.Name && b.Kind == a.Kind })
		switch {
		case i < 0:
			m.Artefacts = append(m.Artefacts, *a)
		case m.Artefacts[i].SHA256 == a.SHA256 && (x.Version == "" || x.Version == m.Artefacts[i].Version):
			continue
		default:
			m.Artefacts[i] = *a
		}
		out.NewBytes += size
		news++
	}
	if prev != nil && news == 0 && prev.Note == rel.Note && prev.Requires.Rxedge == m.Requires.Rxedge && slices.Equal(prev.Requires.Profiles, m.Requires.Profiles) {
		return &Published{Channel: rel.Channel, Number: prev.Number}, ErrNothingNew
	}
	maps.Copy(more, built.New)
	for h, b := range more {
		if err := f.storeChunk(h, b); err != nil {
			return nil, err
		}
		out.NewBytes += int64(len(b))
	}
	for p := range m.Packs() {
		out.SetBytes += int64(p.Size)
	}
	for _, v := range m.Vectors {
		out.Vectors += v.Count
	}
	for _, a := range m.Artefacts {
		out.SetBytes += a.Size
	}
	out.Documents, out.Put, out.Unchanged, out.Removed, out.Artefacts = m.Documents.Count, built.Put, built.Same, built.Removed, len(m.Artefacts)
	b, err := bundle.EncodeManifest(m)
	if err != nil {
		return nil, err
	}
	if _, err := bundle.ParseManifest(b); err != nil {
		return nil, fmt.Errorf("no site would take this: %w", err)
	}
	out.Manifest = len(b)
	if rel.Hold {
		c := Record{Who: rel.Who, Action: ActHold, Channel: rel.Channel, Bundle: m.Number, To: RolloutHeld, Reason: rel.Note}
		if prev != nil {
			c.Base = prev.Number
		}
		if err := f.append(t, c); err != nil {
			return nil, err
		}
	}
	if err := f.addTarget(r, t, m); err != nil {
		return nil, err
	}
	return out, f.sweepStore()
}

// packs of the centre's store.
type packs struct{ f *Folder }

// Pack implements bundle.Store.
func (p packs) Pack(h bundle.Hash) ([]byte, error) {
	b, err := os.ReadFile(p.f.path("store/chunks/" + h.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bundle.ErrNotFound
	}
	return b, err
}

func (f *Folder) storeChunk(h bundle.Hash, b []byte) error {
	if err := os.MkdirAll(f.path("store/chunks"), 0o700); err != nil {
		return err
	}
	return durable.Write(f.path("store/chunks/"+h.String()), b)
}

// storeArtefact copies a file into the store and lists its chunks. size is what
// of it travels.
func (f *Folder) storeArtefact(x File) (*bundle.Artefact, int64, error) {
	if err := os.MkdirAll(f.path("store/artefacts"), 0o700); err != nil {
		return nil, 0, err
	}
	in, err := os.Open(x.Path)
	if err != nil {
		return nil, 0, err
	}
	defer in.Close()
	tmp, err := os.CreateTemp(f.path("store/artefacts"), ".new-*")
	if err != nil {
		return nil, 0, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	whole := sha256.New()
	var list []byte
	a := &bundle.Artefact{Name: x.Name, Kind: x.Kind}
	size := int64(0)
	flush := func() error {
		if len(list) == 0 {
			return nil
		}
		h := bundle.HashOf(list)
		a.Lists = append(a.Lists, h)
		size += int64(len(list))
		err := f.storeChunk(h, list)
		list = nil
		return err
	}
	buf := make([]byte, bundle.ChunkSize)
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 {
			h := bundle.HashOf(buf[:n])
			list = append(list, h[:]...)
			whole.Write(buf[:n])
			if _, err := tmp.Write(buf[:n]); err != nil {
				return nil, 0, err
			}
			a.Size += int64(n)
			if len(list) == bundle.ChunkSize {
				if err := flush(); err != nil {
					return nil, 0, err
				}
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, 0, fmt.Errorf("reading %s: %w", x.Path, err)
		}
	}
	if err := flush(); err != nil {
		return nil, 0, err
	}
	copy(a.SHA256[:], whole.Sum(nil))
	if err := tmp.Sync(); err != nil {
		return nil, 0, err
	}
	if err := os.Rename(tmp.Name(), f.path("store/artefacts/"+a.SHA256.String())); err != nil {
		return nil, 0, err
	}
	return a, size + a.Size, durable.SyncDir(f.path("store/artefacts"))
}

// chunksOf yields every chunk of a manifest with its content.
func (f *Folder) chunksOf(m *bundle.Manifest, skip func(bundle.Hash) bool) iter.Seq2[bundle.Hash, func() ([]byte, error)] {
	return func(yield func(bundle.Hash, func() ([]byte, error)) bool) {
		one := func(h bundle.Hash) bool {
			return skip(h) || yield(h, func() ([]byte, error) { return packs{f}.Pack(h) })
		}
		for p := range m.Packs() {
			if !one(p.Hash) {
				return
			}
		}
		for _, a := range m.Artefacts {
			n := int64(0)
			for _, lh := range a.Lists {
				if !one(lh) {
					return
				}
				list, err := packs{f}.Pack(lh)
				if err != nil {
					yield(lh, func() ([]byte, error) { return nil, err })
					return
				}
				for ; len(list) >= sha256.Size; list = list[sha256.Size:] {
					h, at := bundle.Hash(list[:sha256.Size]), n*bundle.ChunkSize
					n++
					if !skip(h) && !yield(h, func() ([]byte, error) {
						in, err := os.Open(f.path("store/artefacts/" + a.SHA256.String()))
						if err != nil {
							return nil, err
						}
						defer in.Close()
						b := make([]byte, min(bundle.ChunkSize, a.Size-at))
						_, err = in.ReadAt(b, at)
						return b, err
					}) {
						return
					}
				}
			}
		}
	}
}

// manifests that the signed metadata names.
func (f *Folder) manifests() ([]*bundle.Manifest, error) {
	r, err := f.repository()
	if err != nil {
		return nil, err
	}
	var out []*bundle.Manifest
	for path, t := range r.targets.Signed.Targets {
		if _, _, ok := bundle.ParseTargetPath(path); !ok {
			continue
		}
		b, err := os.ReadFile(f.path("store/manifests/" + t.Hashes["sha256"].String()))
		if err != nil {
			return nil, err
		}
		m, err := bundle.ParseManifest(b)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *bundle.Manifest) int { return int(b.Number - a.Number) })
	return out, nil
}

// Push gives the hub what it lacks: chunks first, then the metadata that names
// them, so that no site hears of what is not there. Cut off, the next goes on.
func (f *Folder) Push(ctx context.Context, nc *nats.Conn, progress func(done, total int)) error {
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	ms, err := f.manifests()
	unlock()
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(32), jetstream.WithPublishAsyncTimeout(time.Minute))
	if err != nil {
		return err
	}
	s, err := js.Stream(ctx, StreamArtefacts)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("art.*"))
	if err != nil {
		return err
	}
	there := map[bundle.Hash]bool{}
	for subject := range info.State.Subjects {
		var h bundle.Hash
		if h.UnmarshalText([]byte(subject[len("art."):])) == nil {
			there[h] = true
		}
	}
	needed, missing := map[bundle.Hash]bool{}, 0
	for _, m := range ms {
		for h := range f.chunksOf(m, func(h bundle.Hash) bool { return needed[h] }) {
			needed[h] = true
			if !there[h] {
				missing++
			}
		}
	}
	done := 0
	var acks []jetstream.PubAckFuture
	settle := func() error {
		for _, a := range acks {
			select {
			case <-a.Ok():
			case err := <-a.Err():
				return fmt.Errorf("giving a chunk to the hub: %w", err)
			case <-ctx.Done():
				return ctx.Err()
			}
			if done++; progress != nil {
				progress(done, missing)
			}
		}
		acks = acks[:0]
		return nil
	}
	for _, m := range ms {
		for h, content := range f.chunksOf(m, func(h bundle.Hash) bool { return there[h] }) {
			there[h] = true
			b, err := content()
			if err != nil {
				return err
			}
			if bundle.HashOf(b) != h {
				return fmt.Errorf("the chunk %.12s… is damaged in the centre's store", h)
			}
			a, err := js.PublishMsgAsync(&nats.Msg{Subject: bundle.ChunkSubject(h), Data: b})
			if err != nil {
				return err
			}
			if acks = append(acks, a); len(acks) == 32 {
				if err := settle(); err != nil {
					return err
				}
			}
		}
	}
	if err := settle(); err != nil {
		return err
	}
	if err := f.pushMetadata(ctx, nc); err != nil {
		return err
	}
	// What no signed manifest names any more; a site that was at it starts anew.
	for subject := range info.State.Subjects {
		var h bundle.Hash
		if h.UnmarshalText([]byte(subject[len("art."):])) == nil && !needed[h] {
			if err := s.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepStore removes what no signed manifest names.
func (f *Folder) sweepStore() error {
	ms, err := f.manifests()
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, m := range ms {
		for h := range f.chunksOf(m, func(bundle.Hash) bool { return false }) {
			keep[h.String()] = true
		}
		for _, a := range m.Artefacts {
			keep[a.SHA256.String()] = true
		}
	}
	for _, dir := range []string{"store/chunks", "store/artefacts"} {
		es, err := os.ReadDir(f.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range es {
			if !keep[e.Name()] {
				if err := os.Remove(filepath.Join(f.path(dir), e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// BundleName is how a bundle is called in lists: CHANNEL/NUMBER; none has the number 0.
func BundleName(channel string, number int64) string {
	if number == 0 {
		return channel + ", none yet"
	}
	return fmt.Sprintf("%s/%d", channel, number)
}
