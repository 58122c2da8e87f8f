package box

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"rxedge/daemon/disk"
	"rxedge/daemon/logfile"
	"rxedge/daemon/rollout"
	"rxedge/daemon/store"
	"rxedge/index/pace"
	"rxedge/inference/catalog"
)

const (
	// leftoverStays is how long what did not come to its end may be gone on with, and
	// youngModel how long a model stays whatever the disk says: somebody is about to use it.
	leftoverStays = 7 * 24 * time.Hour
	youngModel    = 24 * time.Hour
	logStays      = 30 * 24 * time.Hour
	mostProblems  = 1000 // in quarantine
	// cachePart of its bound is left of the cache where the disk is short.
	cachePart = 8
)

// CollectRequest says what is to be collected.
type CollectRequest struct {
	DryRun bool `json:"dry_run,omitempty"` // say what would go, and leave it
	// Urgent: what gives way for more important things goes too.
	Urgent bool `json:"urgent,omitempty"`
}

// DiskItem is something that nothing needs.
type DiskItem struct {
	Kind  disk.Kind `json:"kind"`
	What  string    `json:"what"`
	Bytes int64     `json:"bytes"` // 0: it is not known before
	Why   string    `json:"why"`
}

// CollectReport says what went, or would go.
type CollectReport struct {
	DryRun  bool       `json:"dry_run,omitempty"`
	Items   []DiskItem `json:"items"`
	Bytes   int64      `json:"bytes"`
	Free    int64      `json:"free_bytes"` // afterwards
	Seconds float64    `json:"seconds"`
	// Kept says what stays for a reason that somebody may want to know.
	Kept []string `json:"kept,omitempty"`
}

// DiskReport is what 'rxedge disk' shows.
type DiskReport struct {
	Size    int64       `json:"size_bytes"`
	Free    int64       `json:"free_bytes"`
	Floor   int64       `json:"floor_bytes"`
	Used    int64       `json:"used_bytes"` // of the data folder
	Reserve int64       `json:"reserve_bytes"`
	Kinds   []disk.Line `json:"kinds"`
	// Surplus is what 'rxedge disk gc' would remove.
	Surplus CollectReport `json:"surplus"`
}

// Disk measures the data folder.
func (b *Box) Disk(ctx context.Context) (DiskReport, error) {
	u, err := b.measure(ctx)
	if err != nil {
		return DiskReport{}, fmt.Errorf("measuring the data folder: %w", err)
	}
	r := DiskReport{Floor: b.diskFloor(), Used: u.Sum(), Kinds: disk.Lines(u, b.budgets(b.diskFloor()))}
	r.Free, r.Size, _ = disk.Room(b.Config.Data)
	if fi, err := os.Stat(filepath.Join(b.Config.Data, disk.ReserveName)); err == nil {
		r.Reserve = fi.Size()
	}
	r.Surplus, err = b.CollectDisk(ctx, CollectRequest{DryRun: true})
	return r, err
}

// surplus is something that may go, and how.
type surplus struct {
	DiskItem
	remove func(context.Context) error
	packs  string // folder that it makes smaller; "": Bytes says what it gives
}

// CollectDisk removes what nothing needs, one thing after the other, standing back for
// questions. Killed at any moment nothing is lost: each thing goes whole or stays.
func (b *Box) CollectDisk(ctx context.Context, req CollectRequest) (CollectReport, error) {
	return b.collect(ctx, req, 0, "")
}

// makeRoom of so many bytes, of what gives way. It does not call the index: who asks for
// room may hold it.
func (b *Box) makeRoom(missing int64) { b.makeRoomBut("", missing) }

// makeRoomBut of a kind, which whoever asks holds.
func (b *Box) makeRoomBut(but disk.Kind, missing int64) {
	if b.rollout.Manager == nil {
		return // the box is being opened
	}
	rep, err := b.collect(context.Background(), CollectRequest{Urgent: true}, missing, but)
	if len(rep.Items) > 0 || err != nil {
		b.log.Info("room was made on the disk", "missing_mb", missing/1e6, "things", len(rep.Items), "bytes", rep.Bytes, "error", err)
	}
}

// collect until so many bytes were given back; 0: all.
func (b *Box) collect(ctx context.Context, req CollectRequest, enough int64, but disk.Kind) (rep CollectReport, err error) {
	if !b.room.collecting.TryLock() {
		if enough > 0 {
			return rep, nil
		}
		return rep, errors.New("what nothing needs is being collected already")
	}
	defer b.room.collecting.Unlock()
	began := time.Now()
	rep = CollectReport{DryRun: req.DryRun, Items: []DiskItem{}}
	ctx = pace.Behind(ctx, &b.rollout.asking)
	work := pace.BeginIn(ctx)
	all, kept, errs := b.surplus(req.Urgent, enough > 0)
	rep.Kept = kept
	for _, s := range all {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		if enough > 0 && rep.Bytes >= enough {
			break
		}
		if s.Kind == but {
			continue
		}
		if !req.DryRun {
			b.rollout.asking.Idle(ctx, givesWay)
			at := time.Now()
			before := b.taken(s.packs)
			if err := s.remove(ctx); err != nil {
				if !errors.Is(err, store.ErrNoRoom) { // it needs room itself, and is tried again
					errs = append(errs, fmt.Errorf("%s: %w", s.What, err))
				}
				continue
			}
			if s.packs != "" {
				s.Bytes = max(before-b.taken(s.packs), 0)
			}
			work.Rest(ctx, time.Since(at))
		}
		rep.Items, rep.Bytes = append(rep.Items, s.DiskItem), rep.Bytes+s.Bytes
	}
	if !req.DryRun {
		// Packing a store that had nothing to give is not worth a word.
		rep.Items = slices.DeleteFunc(rep.Items, func(i DiskItem) bool { return i.Bytes == 0 })
		if enough == 0 {
			b.room.mu.Lock()
			b.room.collected = time.Now()
			b.room.mu.Unlock()
		}
		if _, err := b.measure(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	rep.Free, _, _ = disk.Room(b.Config.Data)
	rep.Seconds = time.Since(began).Seconds()
	return rep, errors.Join(errs...)
}

// surplus in the order in which it goes. urgent: with what gives way; held: somebody
// waits for room who may have the index.
func (b *Box) surplus(urgent, held bool) (out []surplus, kept []string, errs []error) {
	add := func(kind disk.Kind, what string, bytes int64, why string, remove func(context.Context) error) {
		out = append(out, surplus{DiskItem: DiskItem{kind, what, bytes, why}, remove: remove})
	}
	sound := b.clock.Sound()
	if !sound {
		kept = append(kept, "the clock has jumped: nothing goes for its age alone")
	}
	now := b.clock.Now()
	old := func(at time.Time, than time.Duration) bool { return sound && now.Sub(at) > than }

	ls, err := b.Catalog.Leftovers()
	errs = append(errs, err)
	for _, l := range ls {
		if old(l.At, leftoverStays) || urgent && old(l.At, youngModel) {
			add(disk.Models, "models/"+filepath.ToSlash(l.Name), l.Bytes, "an import that did not come to its end", func(context.Context) error { return b.Catalog.RemoveLeftover(l.Name) })
		}
	}
	errs = append(errs, b.surplusTemporary(old, add))
	errs = append(errs, b.surplusAside(urgent, add))
	errs = append(errs, b.surplusFiles(old, add))
	if r, _ := b.sync.parts(); r != nil {
		n, bytes, err := r.Surplus(false)
		errs = append(errs, err)
		if n > 0 {
			add(disk.Bundles, fmt.Sprintf("%d files of earlier bundles", n), bytes, "no bundle here needs them", func(context.Context) error {
				_, _, err := r.Surplus(true)
				return err
			})
		}
	}
	errs = append(errs, b.surplusModels(urgent, old, add))
	ids, bytes, err := b.Quarantine.Oldest(b.budgets(b.diskFloor())[disk.Quarantine], mostProblems)
	errs = append(errs, err)
	if len(ids) > 0 {
		add(disk.Quarantine, fmt.Sprintf("%d documents in quarantine", len(ids)), bytes, fmt.Sprintf("the oldest; at most %d are kept", mostProblems), func(context.Context) error {
			for _, id := range ids {
				if err := b.Quarantine.Remove(id); err != nil {
					return err
				}
			}
			return nil
		})
	}
	errs = append(errs, b.surplusLogs(old, add))
	if !held {
		gs, err := b.Index.Surplus()
		errs = append(errs, err)
		for _, g := range gs {
			add(disk.Index, g.Name, g.Bytes, "no rollback can reach it", func(ctx context.Context) error {
				_, err := b.Index.Collect(ctx)
				return err
			})
		}
	}
	if urgent && b.cache != nil {
		most := int64(b.Config.Cache.Disk) << 20 / cachePart
		if has := b.cache.Stats().Bytes; has > most {
			add(disk.Caches, "answers that were kept", has-most, "they are worked out again", func(context.Context) error { return b.cache.Shrink(most) })
		}
	}
	if !urgent {
		pack := func(kind disk.Kind, folder string, f func() error) {
			out = append(out, surplus{DiskItem{kind, "the store in " + folder + ", packed", 0, "what was replaced, removed or has expired takes room in it"}, func(context.Context) error { return f() }, folder})
		}
		pack(disk.Feedback, "feedback", b.Feedback.Collect)
		pack(disk.Telemetry, "telemetry", b.telemetry.recorder.Collect)
		if b.cache != nil {
			pack(disk.Caches, "cache", b.cache.Collect)
		}
	}
	return out, kept, slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// taken by a folder of the data folder, in bytes.
func (b *Box) taken(folder string) int64 {
	if folder == "" {
		return 0
	}
	u, _ := disk.Measure(context.Background(), filepath.Join(b.Config.Data, folder), nil)
	return u.Sum()
}

type adding func(kind disk.Kind, what string, bytes int64, why string, remove func(context.Context) error)

// temporaryFile is half of a file that was to take another's place.
var temporaryFile = regexp.MustCompile(`^(\.new-|\.tmp-|\.doctor-|\.probe-)|\.tmp$`)

// surplusTemporary: what a kill left of a write, at the places where there is any.
func (b *Box) surplusTemporary(old func(time.Time, time.Duration) bool, add adding) error {
	var errs []error
	for _, dir := range []string{"", "rollout", "rollout/files", "quarantine", "suite", "telemetry/explain", "sync", "sync/bundles/packs", "sync/bundles/manifests"} {
		entries, err := os.ReadDir(filepath.Join(b.Config.Data, dir))
		if err != nil {
			continue // there is none
		}
		for _, e := range entries {
			fi, err := e.Info()
			if err != nil || !fi.Mode().IsRegular() || !temporaryFile.MatchString(e.Name()) || !old(fi.ModTime(), youngModel) {
				continue
			}
			rel := filepath.ToSlash(filepath.Join(dir, e.Name()))
			add(disk.KindOf(rel), rel, fi.Size(), "half of a file that was never put in place", func(context.Context) error { return removeFile(filepath.Join(b.Config.Data, rel)) })
		}
	}
	return errors.Join(errs...)
}

// surplusAside: copies of what was damaged, but for the latest. Where room is short those
// go too, but for what people said and documents, which may be nowhere else.
func (b *Box) surplusAside(urgent bool, add adding) error {
	for _, dir := range []string{"", "rollout"} {
		path := filepath.Join(b.Config.Data, dir)
		names, err := asideBeyond(path, func(kind string) int {
			switch {
			case urgent && kind == "feedback":
				return 1
			case urgent:
				return 0
			}
			return keptAside
		})
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		for _, name := range names {
			u, _ := disk.Measure(context.Background(), filepath.Join(path, name), nil)
			add(disk.Aside, filepath.ToSlash(filepath.Join(dir, name)), u.Sum(), "a copy of what was damaged", func(context.Context) error { return os.RemoveAll(filepath.Join(path, name)) })
		}
	}
	return nil
}

// pairs that may serve, or serve again.
func (b *Box) pairs() []rollout.Pair {
	var out []rollout.Pair
	s := b.rollout.State()
	for _, e := range []*rollout.Entry{s.Confirmed, s.Previous, s.Candidate, s.Last} {
		if e == nil {
			continue
		}
		out = append(out, e.Pair)
		if e.From != nil {
			out = append(out, *e.From)
		}
	}
	if c := b.rollout.challenge.Load(); c != nil {
		out = append(out, c.pair)
	}
	return out
}

// surplusFiles: adapters, embedders, profiles and thresholds of pairs that can't serve any more.
func (b *Box) surplusFiles(old func(time.Time, time.Duration) bool, add adding) error {
	used := map[string]bool{}
	for _, p := range b.pairs() {
		for _, f := range []rollout.File{p.Adapter, p.Embedder, p.Profile, p.Thresholds} {
			used[f.SHA256] = true
		}
	}
	dir := filepath.Join(b.Config.Data, "rollout", "files")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // there is none
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || len(e.Name()) != 64 || used[e.Name()] || !old(fi.ModTime(), youngModel) {
			continue
		}
		add(disk.Rollouts, "rollout/files/"+e.Name()[:12], fi.Size(), "of a pair that can't serve any more", func(context.Context) error { return removeFile(filepath.Join(dir, e.Name())) })
	}
	return nil
}

// surplusModels: what nothing refers to and nobody used for disk.keep_models.
func (b *Box) surplusModels(urgent bool, old func(time.Time, time.Duration) bool, add adding) error {
	entries, err := b.Catalog.List()
	if err != nil {
		return nil // one that can't be read may be what another is made of
	}
	names, sums := map[string]bool{}, map[string]bool{}
	use := func(of ...string) {
		for _, n := range of {
			names[strings.ToLower(n)] = true
		}
	}
	m, p := b.Config.Model, b.Models.chosen().profile
	use(m.Generator, m.Embedder, m.Reranker, m.Entailer, p.Generator.Model, p.Embedder.Model, p.Reranker.Model, p.Entailer.Model)
	for _, a := range m.Adapters {
		use(a.Base)
	}
	for _, n := range b.Models.use {
		use(n)
	}
	for _, st := range b.Models.States() {
		use(st.Model, b.Models.variant(st.Model).name)
	}
	for _, p := range b.pairs() {
		use(p.Model.Name)
		sums[p.Model.SHA256] = true
	}
	files := map[string]int{} // entries of a file
	for _, e := range entries {
		files[e.SHA256]++
	}
	var unused []catalog.Entry
	for _, e := range entries {
		if names[strings.ToLower(e.Name)] || sums[e.SHA256] {
			continue
		}
		if at := b.Catalog.LastUsed(e); old(at, time.Duration(b.Config.Disk.KeepModels)) || urgent && old(at, youngModel) {
			unused = append(unused, e)
		}
	}
	slices.SortFunc(unused, func(x, y catalog.Entry) int { return b.Catalog.LastUsed(x).Compare(b.Catalog.LastUsed(y)) })
	for _, e := range unused {
		bytes := e.Size
		if files[e.SHA256]--; files[e.SHA256] > 0 {
			bytes = 0 // another has the same
		}
		add(disk.Models, "model "+e.Name, bytes, "nothing refers to it, and nobody has used it since "+b.Catalog.LastUsed(e).Format(time.DateOnly), func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second) // who imports has the catalog
			defer cancel()
			return b.Catalog.Remove(ctx, e.Name)
		})
	}
	return nil
}

// surplusLogs: old ones, and the oldest of more than logs may take.
func (b *Box) surplusLogs(old func(time.Time, time.Duration) bool, add adding) error {
	dir := filepath.Join(b.Config.Data, logfile.Folder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // there are none
	}
	type file struct {
		name  string
		bytes int64
		at    time.Time
	}
	var files []file
	var sum int64
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() {
			files = append(files, file{e.Name(), fi.Size(), fi.ModTime()})
			sum += fi.Size()
		}
	}
	slices.SortFunc(files, func(x, y file) int { return x.at.Compare(y.at) })
	most := b.budgets(b.diskFloor())[disk.Logs]
	for i, f := range files {
		if i == len(files)-1 || !old(f.at, logStays) && sum <= most {
			break // the latest is being written
		}
		sum -= f.bytes
		add(disk.Logs, logfile.Folder+"/"+f.name, f.bytes, "an old log", func(context.Context) error { return removeFile(filepath.Join(dir, f.name)) })
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
