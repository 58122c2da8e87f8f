// Package generation keeps the builds of the index on disk: each is a Badger
// store in a folder of its own, written once, sealed with checksums and opened
// read-only ever after, and beside it a second, small store of the live updates
// that came since. DESIGN.md describes the format.
package generation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"rxedge/index/dense"
	"rxedge/index/lexical"
	"rxedge/index/names"
)

// ErrNotFound: the generation has no such document, section or passage.
var ErrNotFound = errors.New("not found")

// ErrNothingToUndo: the generation has no live update.
var ErrNothingToUndo = errors.New("the generation has no live update")

// Generation is a sealed generation with its live updates. Reading goes through
// a View; Update, Undo, Merge and Close are for one goroutine at a time.
type Generation struct {
	dir      string
	manifest manifest
	db       *badger.DB
	base     *unit
	live     *live // nil: no update was ever made
	Analyzer *lexical.Analyzer
	notes    []string
}

// Open a sealed generation with its updates and the view of the latest of them.
// Updates that are damaged are left out, with those after them, and Notes says so.
func Open(dir string) (*Generation, *View, error) {
	if why := Marked(dir); why != "" {
		return nil, nil, damaged(dir, why)
	}
	m, err := readManifest(dir)
	if err != nil {
		return nil, nil, err
	}
	// Sizes first: a file that was cut short under a memory map is a signal,
	// not an error.
	for _, f := range m.Files {
		path := filepath.Join(dir, f.Name)
		fi, err := os.Stat(path)
		if err != nil {
			return nil, nil, damaged(path, "it is missing")
		}
		if fi.Size() != f.Size {
			return nil, nil, damaged(path, fmt.Sprintf("it has %d bytes instead of %d", fi.Size(), f.Size))
		}
	}
	if _, err := removeEmptyLogs(dir); err != nil {
		return nil, nil, err
	}
	g := &Generation{dir: dir, manifest: m}
	v, err := g.open()
	if err != nil {
		return nil, nil, errors.Join(err, g.Close())
	}
	return g, v, nil
}

// valueThreshold is the size from which a value lies in the value log, which is
// mapped as a whole.
const valueThreshold = 1 << 10

func storeOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).WithLogger(nil).
		WithMemTableSize(16 << 20).WithNumMemtables(2).
		WithValueThreshold(valueThreshold).WithValueLogFileSize(256 << 20).
		WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(0).
		WithChecksumVerificationMode(options.OnBlockRead).
		// The folder's own lock keeps other processes off, and Badger's can be held
		// for a moment by a child that is being forked.
		WithBypassLockGuard(true).WithDetectConflicts(false).WithNumVersionsToKeep(1).WithMetricsEnabled(false)
}

func (g *Generation) open() (v *View, err error) {
	defer guard(&err, func() string { return g.dir })
	g.db, err = badger.Open(storeOptions(g.dir).WithReadOnly(true))
	if err != nil {
		return nil, damaged(g.dir, err.Error())
	}
	s := space{db: g.db, pinned: g.db.NewTransaction(false)}
	g.base = &unit{space: s, info: g.manifest.base()}
	body, err := s.get(key(kindNames, ""))
	if err != nil {
		return nil, missing(err, key(kindNames, ""))
	}
	var protect []string
	if err := json.Unmarshal(body, &protect); err != nil {
		return nil, damaged("name list", "it does not parse")
	}
	g.Analyzer = lexical.NewAnalyzer(protect)
	if err := g.base.load(g.manifest.Embedder.Dimension); err != nil {
		return nil, err
	}
	var damage error
	if g.live, damage, err = openLive(g.dir, false); err != nil {
		var d *DamageError
		if !errors.As(err, &d) {
			return nil, err
		}
		// The updates can't be had: the sealed part serves without them.
		g.notes = append(g.notes, fmt.Sprintf("%v; the updates of %s are lost: ingest them again", err, g.manifest.Name))
		if err := g.setAside(); err != nil {
			return nil, err
		}
	}
	if damage != nil {
		g.notes = append(g.notes, fmt.Sprintf("%v; updates that it names after that are lost: ingest them again", damage))
	}
	return g.latest()
}

// setAside moves damaged updates out of the way, for a person to look at.
func (g *Generation) setAside() error {
	at := time.Now().UTC().Format("20060102-150405")
	for _, name := range []string{liveLog, liveDir} {
		path := filepath.Join(g.dir, name)
		if err := os.Rename(path, path+".damaged-"+at); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return syncDir(g.dir)
}

// latest makes the view of all updates that count.
func (g *Generation) latest() (*View, error) {
	v := firstView(g, g.base)
	if g.live == nil {
		return v, v.finish()
	}
	// The withdrawn passages of the base are written down with the last update
	// that withdrew any.
	var units []*unit
	var withdrawn *lexical.Dead
	first, dim := uint32(g.base.info.Passages), g.manifest.Embedder.Dimension
	for _, n := range slices.Clone(g.live.on) {
		u, err := g.live.load(n, first, dim)
		if err == nil && u.update.Dead {
			var dead *lexical.Dead
			if dead, err = u.withdrawn(g.base.lexical); err == nil {
				withdrawn = dead
			}
		}
		if err != nil {
			if lost := g.lose(n, err); lost != nil {
				return nil, lost
			}
			break
		}
		first += uint32(u.info.Passages)
		units = append(units, u)
	}
	for _, u := range units {
		if err := v.add(u, withdrawn); err != nil {
			return nil, err
		}
	}
	return v, v.finish()
}

// lose takes back an update that is damaged, and those after it.
func (g *Generation) lose(from int, why error) error {
	var d *DamageError
	if !errors.As(why, &d) {
		why = damaged(fmt.Sprintf("update %d", from), why.Error())
	}
	for n := len(g.live.on) - 1; n >= 0 && g.live.on[n] >= from; n-- {
		if err := g.live.line(lineUndo, g.live.on[n]); err != nil {
			return err
		}
		g.notes = append(g.notes, fmt.Sprintf("%v; update %d of %s is lost: ingest it again", why, g.live.on[n], g.manifest.Name))
		g.live.on = g.live.on[:n]
	}
	return nil
}

// Notes are what Open met and mended, in sentences for a technician.
func (g *Generation) Notes() []string { return g.notes }

// Info of the generation as it was sealed.
func (g *Generation) Info() Info { return g.manifest.Info }

// Same says that it holds what its parent held with all its updates.
func (g *Generation) Same() bool { return g.manifest.Same }

// Update makes a live update to the view, which is the latest: documents in
// order of id that come in or replace others, and ids that are removed. It
// counts, and is on disk, when Update returns the view that has it.
func (g *Generation) Update(ctx context.Context, v *View, puts []Put, removed []string, now time.Time) (*View, error) {
	if g.live == nil {
		l, damage, err := openLive(g.dir, true)
		if err = errors.Join(err, damage); err != nil {
			return nil, fmt.Errorf("make room for updates in %s: %w", g.dir, err)
		}
		g.live = l
	}
	l, dim := g.live, g.manifest.Embedder.Dimension
	info := &updateInfo{Number: l.last + 1, Created: now.UTC(), Removed: removed}
	if err := l.write(ctx, info, g.Analyzer, dim, puts); err != nil {
		return nil, err
	}
	first := uint32(0)
	for _, u := range v.units {
		first += uint32(u.info.Passages)
	}
	u, err := l.load(info.Number, first, dim)
	if err != nil {
		return nil, err
	}
	w := v.next()
	before := w.segments[0].dead.Passages()
	if err := w.add(u, nil); err != nil {
		return nil, err
	}
	if dead := w.segments[0].dead; dead.Passages() != before {
		u.update.Dead = true
		b := &unitWriter{space: l.space(info.Number), batch: l.db.NewWriteBatch()}
		defer b.batch.Cancel()
		if err := b.put(key(kindDead, ""), dead.Append(nil, g.base.lexical)); err != nil {
			return nil, err
		}
		if err := b.putJSON(key(kindUnit, ""), u.update); err != nil {
			return nil, err
		}
		if err := errors.Join(b.batch.Flush(), l.db.Sync()); err != nil {
			return nil, err
		}
	}
	if err := w.finish(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := l.line(lineCommit, info.Number); err != nil {
		return nil, err
	}
	l.last = info.Number
	l.on = append(l.on, info.Number)
	return w, nil
}

// Undo takes the latest update back and returns the view without it, or fails
// with ErrNothingToUndo.
func (g *Generation) Undo() (*View, error) {
	if g.live == nil || len(g.live.on) == 0 {
		return nil, ErrNothingToUndo
	}
	n := len(g.live.on) - 1
	last := g.live.on[n]
	g.live.on = g.live.on[:n]
	v, err := g.latest()
	if err == nil {
		err = g.live.line(lineUndo, last)
	}
	if err != nil {
		g.live.on = append(g.live.on, last)
		return nil, err
	}
	return v, nil
}

// mergeFrom segments of about the same size are merged into one.
const mergeFrom = 4

// Merge makes a view of fewer segments where there are many small ones; what is
// found is the same. Nil where there is nothing to merge.
func (g *Generation) Merge(ctx context.Context, v *View) (*View, error) {
	// From the end: as long as the segments are not much larger than what was
	// gathered, they belong to the run.
	from, size := len(v.segments), 0
	for i := len(v.segments) - 1; i >= 1; i-- {
		n := v.segments[i].passages()
		if size > 0 && n > 4*size {
			break
		}
		if i == 1 || len(v.segments)-i >= mergeFrom {
			from = i
		}
		size += n
	}
	if len(v.segments)-from < mergeFrom {
		return nil, nil
	}
	w := v.next()
	s, err := v.merge(ctx, v.segments[from:])
	if err != nil {
		return nil, err
	}
	w.segments = w.segments[:from]
	if s.passages() > 0 { // all may be withdrawn
		w.segments = append(w.segments, s)
	}
	return w, w.finish()
}

func (v *View) merge(ctx context.Context, of []*segment) (*segment, error) {
	parts := make([]lexical.Part, len(of))
	out := &segment{numbers: []uint32{}}
	var alive []struct{ s, row int }
	for i, s := range of {
		parts[i] = lexical.Part{Segment: s.lexical, Dead: s.dead}
		row := 0
		for p := range uint32(s.passages()) {
			has := false
			if s.dense != nil && row < s.dense.Len() {
				at := uint32(row)
				if s.rows != nil {
					at = s.rows[row]
				}
				has = at == p
			}
			if !s.dead.Has(p) {
				if has {
					alive = append(alive, struct{ s, row int }{i, row})
					out.rows = append(out.rows, uint32(len(out.numbers)))
				}
				out.numbers = append(out.numbers, s.number(p))
			}
			if has {
				row++
			}
		}
	}
	if err := v.mergeNames(of, out); err != nil {
		return nil, err
	}
	var blobs [][]byte
	err := lexical.Merge(parts, func(b []byte) error { blobs = append(blobs, b); return ctx.Err() })
	if err != nil {
		return nil, err
	}
	if out.lexical, err = lexical.OpenSegment(blobs); err != nil {
		return nil, err
	}
	if len(alive) == 0 {
		return out, nil
	}
	vectors := make([][]float32, len(alive)) // where they lie, in the stores of the updates
	for r, a := range alive {
		vectors[r] = of[a.s].vector(a.row)
	}
	out.vector = func(r int) []float32 { return vectors[r] }
	if out.dense, err = dense.Build(ctx, v.g.manifest.Embedder.Dimension, len(alive), out.vector, dense.BuildOptions{Workers: 1}); err != nil {
		return nil, err
	}
	if len(out.rows) == len(out.numbers) {
		out.rows = nil
	}
	return out, nil
}

func (v *View) mergeNames(of []*segment, out *segment) error {
	parts := make([]names.Numbered, len(of))
	out.owners = []int{}
	for i, s := range of {
		numbers := make([]int64, s.names.Documents())
		for doc := range numbers {
			numbers[doc] = -1
			if n := s.unitOfName(uint32(doc)); v.lives(n, s.names.ID(uint32(doc))) {
				numbers[doc] = int64(len(out.owners))
				out.owners = append(out.owners, n)
			}
		}
		parts[i] = names.Numbered{Segment: s.names, New: func(doc uint32) (uint32, bool) {
			return uint32(max(numbers[doc], 0)), numbers[doc] >= 0
		}}
	}
	blobs, err := names.Merge(parts, 0)
	if err != nil {
		return err
	}
	out.names, err = names.LoadSegment(blobs)
	return err
}

// Close the stores.
func (g *Generation) Close() (err error) {
	defer guard(&err, func() string { return g.dir })
	err = g.live.close()
	if g.base != nil && g.base.pinned != nil {
		g.base.pinned.Discard()
	}
	if g.db != nil {
		err = errors.Join(err, g.db.Close())
	}
	return err
}
