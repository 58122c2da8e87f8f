package flow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rxedge/centre/library"
	"rxedge/index/document"
	"rxedge/index/document/archive"
)

// Of a unit of small sources: as many as are read in a moment, so that little is done
// twice where a worker dies.
const (
	unitSources = 128
	unitBytes   = 2 << 20
)

// fetcher puts what is to be read on the bus.
type fetcher struct {
	q     *Queue
	lib   *library.Library
	run   string
	opt   document.Options
	again bool // what is known is read again
	most  int64
	tries int
	p     *progress
	given *Mapping // of tables without one of their own; nil: none
	by    Embedder // whose vectors are wanted, where any are

	waiting map[string]bool // keys of sources that are on the bus, or were given up
	unit    *Unit
	buf     bytes.Buffer
}

type file struct {
	path string
	size int64
}

// walk the paths: all regular files under them, in order. What can't be looked at is
// given to bad.
func walk(ctx context.Context, paths []string, bad func(path string, err error) error) (files []file, err error) {
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				if err := bad(path, err); err != nil {
					return err
				}
				if d != nil && d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if path != p && strings.HasPrefix(d.Name(), ".") {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if path == p && d.Type()&fs.ModeSymlink != 0 {
				// What an admin names is followed; a link within a folder is not.
				info, err := os.Stat(path)
				if err != nil {
					return bad(path, err)
				}
				d = fs.FileInfoToDirEntry(info)
			}
			if !d.Type().IsRegular() {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return bad(path, err)
			}
			files = append(files, file{path, info.Size()})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// all fetches what is under the paths, until ctx ends.
func (f *fetcher) all(ctx context.Context, paths []string) error {
	files, err := walk(ctx, paths, func(path string, err error) error { return f.bury(ctx, path, 1, err) })
	if err != nil {
		return err
	}
	files = withoutMappings(files)
	var total int64
	for _, x := range files {
		total += x.size
	}
	f.p.found(len(files), total)
	for _, x := range files {
		if err := f.file(ctx, x); err != nil {
			return err
		}
		f.p.fetched(x.size)
	}
	return f.send(ctx)
}

// file fetches one, and tries again where the disk fails it.
func (f *fetcher) file(ctx context.Context, x file) error {
	for n := 1; ; n++ {
		err := f.once(ctx, x)
		var lost *os.PathError
		if err == nil || ctx.Err() != nil || !errors.As(err, &lost) && !errors.Is(err, errChanged) {
			return err
		}
		if n == f.tries || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return f.bury(ctx, x.path, n, err)
		}
		if err := sleep(ctx, backoff(n)); err != nil {
			return err
		}
	}
}

var errChanged = errors.New("it changed while it was read")

// bury what can't be fetched. It has no content to keep.
func (f *fetcher) bury(ctx context.Context, path string, tries int, err error) error {
	reason := err.Error()
	var pe *fs.PathError
	if errors.As(err, &pe) {
		reason = pe.Err.Error()
	}
	s := Source{Source: library.Source{Name: path}}
	sum := sha256.Sum256([]byte("path\x00" + path))
	return f.q.bury(ctx, Dead{Key: hex.EncodeToString(sum[:16]), Run: f.run, Source: s, Stage: Fetch, Reason: reason, Tries: tries, At: time.Now().UTC()}, nil)
}

func (f *fetcher) once(ctx context.Context, x file) error {
	src, err := os.Open(x.path)
	if err != nil {
		return err
	}
	defer src.Close()
	h := sha256.New()
	size, err := io.Copy(h, reads{ctx, src})
	if err != nil {
		return err
	}
	whole := library.Source{SHA256: hex.EncodeToString(h.Sum(nil)), Name: x.path, Size: size}
	// Of a file that is known some may still be missing where it is an archive, and the
	// run was interrupted: its members are looked at one by one.
	places, mine, err := f.known(ctx, whole.SHA256)
	if err != nil {
		return err
	}
	mapping, problem, err := f.mapping(x.path)
	if err != nil {
		return err
	}
	if problem != nil {
		return f.lib.Refuse(ctx, whole, f.run, *problem)
	}
	var taken int64 // of the file's bytes, by its members
	problems, err := document.Members(ctx, x.path, src, size, f.opt, func(m document.Member) error {
		s := Source{Source: whole, Content: m.SHA256, As: filepath.Base(x.path) + strings.TrimPrefix(m.Name, x.path), Bytes: m.Size}
		if _, in, ok := strings.Cut(m.Name, archive.Inside); ok {
			s.Place = in
		}
		if m.Record > 0 {
			s.Place = strings.TrimSpace(fmt.Sprintf("%s record %d", s.Place, m.Record))
		}
		if s.Place == "" && m.SHA256 != whole.SHA256 {
			return errChanged
		}
		mapping.mapped(&s, m.Name)
		// Members are weighed as if all were packed alike.
		s.Disk = min(m.Size, size-taken)
		taken += s.Disk
		key := s.key()
		switch {
		case places[s.Place] && !f.again, f.waiting[key]:
			f.p.skipped(s.Disk, mine[s.Place] || f.waiting[key])
			return nil
		case m.Size > f.most:
			return f.lib.Refuse(ctx, s.Source, f.run, document.Problem{File: filepath.Base(x.path), Reason: fmt.Sprintf("a file of %d MiB is more than the bus has room for", m.Size>>20),
				Fix: "give the bus more room, or split the file"})
		}
		f.waiting[key] = true
		return f.add(ctx, s, m)
	})
	if err != nil {
		return err
	}
	for _, p := range problems {
		at := whole
		if _, in, ok := strings.Cut(p.File, archive.Inside); ok {
			at.Place = in
		}
		p.File = filepath.Base(x.path) + strings.TrimPrefix(p.File, x.path)
		if err := f.lib.Refuse(ctx, at, f.run, p); err != nil {
			return err
		}
	}
	f.p.skipped(size-taken, true) // what lies between the members
	return nil
}

// known are the places in a file that the library has, and those of them that it has of
// this very run.
func (f *fetcher) known(ctx context.Context, sha string) (places, mine map[string]bool, err error) {
	seen, err := f.lib.FromFile(ctx, sha)
	if err != nil {
		return nil, nil, err
	}
	places, mine = map[string]bool{}, map[string]bool{}
	for _, s := range seen {
		places[s.Place] = true
		if s.Run == f.run {
			mine[s.Place] = true
		}
	}
	return places, mine, nil
}

// add a source to the unit that is being filled; a large one is a unit by itself.
func (f *fetcher) add(ctx context.Context, s Source, m document.Member) error {
	if m.Size >= unitBytes || s.Mapping != nil {
		u := &Unit{ID: newID(), Run: f.run, Embedder: f.by, Sources: []placed{{Source: s}}}
		b, err := f.q.putBlob(ctx, subjectBlob, u.ID, reads{ctx, m.Open()})
		if err != nil {
			return err
		}
		if b.Hash != s.Content {
			return errors.Join(errChanged, f.q.dropBlob(ctx, u.ID))
		}
		u.Blob = b
		return f.q.putUnit(ctx, u)
	}
	if f.unit == nil {
		f.unit = &Unit{ID: newID(), Run: f.run, Embedder: f.by}
		f.buf.Reset()
	}
	at := int64(f.buf.Len())
	if n, err := io.Copy(&f.buf, reads{ctx, m.Open()}); err != nil {
		f.buf.Truncate(int(at))
		return err
	} else if n != s.Bytes {
		f.buf.Truncate(int(at))
		return errChanged
	}
	f.unit.Sources = append(f.unit.Sources, placed{Source: s, At: at})
	sources, size := unitSources, unitBytes
	if f.by.wanted() {
		sources, size = embedSources, embedBytes
	}
	if len(f.unit.Sources) < sources && f.buf.Len() < size {
		return nil
	}
	return f.send(ctx)
}

func (f *fetcher) send(ctx context.Context) error {
	u := f.unit
	if u == nil {
		return nil
	}
	b, err := f.q.putBlob(ctx, subjectBlob, u.ID, bytes.NewReader(f.buf.Bytes()))
	if err != nil {
		return err
	}
	u.Blob, f.unit = b, nil
	return f.q.putUnit(ctx, u)
}

// reads ends with its context.
type reads struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (r reads) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// onTheWay are the keys of all sources that are on the bus or were given up, and the ids
// of the blobs that units there are for. A unit is followed by its results, which lie
// behind it: so whatever is taken up meanwhile is seen, or is in the library when this
// returns.
func (q *Queue) onTheWay(ctx context.Context) (keys, blobs map[string]bool, err error) {
	keys, blobs = map[string]bool{}, map[string]bool{}
	for next := uint64(0); ; {
		info, err := q.info(ctx, q.work)
		if err != nil {
			return nil, nil, fmt.Errorf("looking through the work on the bus: %w", err)
		}
		if info.State.Msgs == 0 || info.State.LastSeq < next {
			break
		}
		for seq := max(next, info.State.FirstSeq); seq <= info.State.LastSeq; seq++ {
			var m *jetstream.RawStreamMsg
			err := again(ctx, func(ctx context.Context) (err error) {
				m, err = q.work.GetMsg(ctx, seq)
				return err
			})
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue // done
			}
			if err != nil {
				return nil, nil, fmt.Errorf("looking through the work on the bus: %w", err)
			}
			for k := range strings.SplitSeq(m.Header.Get(headerOf), ",") {
				keys[k] = true
			}
			if b := m.Header.Get(headerBlob); b != "" {
				blobs[b] = true
			}
		}
		next = info.State.LastSeq + 1
	}
	dead, err := q.DeadLetters(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range dead {
		keys[d.Key] = true
	}
	return keys, blobs, nil
}

// sweep takes blobs off the bus that no unit is for: a fetch that was killed leaves one.
func (q *Queue) sweep(ctx context.Context, used map[string]bool) error {
	info, err := q.info(ctx, q.blobs, jetstream.WithSubjectFilter(subjectBlob+">"))
	if err != nil {
		return fmt.Errorf("looking through the bus: %w", err)
	}
	gone := map[string]bool{}
	for s := range info.State.Subjects {
		id, _, _ := strings.Cut(strings.TrimPrefix(s, subjectBlob), ".")
		if !used[id] && !gone[id] {
			gone[id] = true
			if err := q.dropBlob(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}
