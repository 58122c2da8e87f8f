package box

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/backup"
	"rxedge/daemon/clients"
	"rxedge/daemon/schema"
	"rxedge/daemon/store"
	"rxedge/index"
	"rxedge/sync/enroll"
)

// hold takes hold of all that a backup is made of. The journal of rollouts, the pointer
// of the index and the book of bundles belong together: they are taken again where the
// journal or the book has changed meanwhile. Nothing waits for it.
func (b *Box) hold(ctx context.Context, q BackupRequest) (*held, error) {
	const tries = 50
	for range tries {
		h, err := b.holdOnce(q)
		if err != nil || h != nil {
			return h, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, errMoving
}

// holdOnce gives nil where something changed meanwhile.
func (b *Box) holdOnce(q BackupRequest) (h *held, err error) {
	h = &held{stores: map[string]*store.Snapshot{}, small: map[string][]byte{}}
	ok := false
	defer func() {
		if !ok {
			h.release()
			h = nil
		}
	}()
	before, err := b.books()
	if err != nil {
		return nil, err
	}
	if h.index, err = b.Index.Copy(); err != nil {
		return nil, err
	}
	for _, why := range h.index.Left {
		h.left = append(h.left, backup.Left{What: "index", Why: why})
	}
	if err := b.holdFiles(h, q); err != nil {
		return nil, err
	}
	after, err := b.books()
	if err != nil {
		return nil, err
	}
	if !maps.EqualFunc(before, after, bytes.Equal) {
		return nil, nil
	}
	maps.Copy(h.small, after)
	// What was said of answers and what was counted belong to no generation.
	h.stores["feedback"] = b.Feedback.Snapshot()
	if h.stores["telemetry"], err = b.telemetry.recorder.Snapshot(); err != nil {
		delete(h.stores, "telemetry")
		return nil, err
	}
	if b.cache != nil && q.Cache {
		if s := b.cache.Snapshot(); s != nil {
			h.stores["cache"] = s
		}
	}
	ok = true
	return h, nil
}

// books are the small files that decide what serves and what is fetched, by path.
func (b *Box) books() (map[string][]byte, error) {
	out := map[string][]byte{}
	journal, err := b.rollout.Journal()
	if err != nil {
		return nil, err
	}
	out["rollout/journal"] = journal
	for _, rel := range []string{"rollout/withdrawn", "sync/bundles/state.a", "sync/bundles/state.b", "sync/bundles/gates", "sync/bundles/trust/metadata.a", "sync/bundles/trust/metadata.b"} {
		text, err := os.ReadFile(filepath.Join(b.Config.Data, rel))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[rel] = text
	}
	return out, nil
}

// holdFiles opens the files that are copied as they are. None of them is written to
// after it has its name, but for the ledger of test sets, which grows; and what removes
// or replaces one leaves what was opened.
func (b *Box) holdFiles(h *held, q BackupRequest) error {
	data := b.Config.Data
	es, err := os.ReadDir(data)
	if err != nil {
		return err
	}
	for _, e := range es {
		name := e.Name()
		room, known := backupRooms[name]
		switch {
		case strings.HasPrefix(name, "."):
		case strings.Contains(name, asideInfix):
			h.left = append(h.left, backup.Left{What: name, Why: "it was set aside as damaged"})
		case !known:
			h.left = append(h.left, backup.Left{What: name, Why: "nothing of this rxedge writes it"})
		case room.kind == roomNever:
			if room.why != "" {
				h.left = append(h.left, backup.Left{What: name, Why: room.why})
			}
		}
	}
	if err := b.holdConfig(h); err != nil {
		return err
	}
	for _, d := range []struct {
		rel  string
		skip func(rel string) bool
	}{
		{"suite", nil},
		{"quarantine", nil},
		{"telemetry/explain", nil},
		{clients.Folder, nil},
		{"rollout", func(rel string) bool { return rel == "rollout/journal" || rel == "rollout/withdrawn" }},
		{"sync/bundles", func(rel string) bool {
			return strings.HasPrefix(rel, "sync/bundles/state.") || rel == "sync/bundles/gates" || strings.HasPrefix(rel, "sync/bundles/trust/") ||
				strings.HasSuffix(rel, ".part") || strings.HasPrefix(rel, "sync/bundles/artefacts/") && !q.Models
		}},
	} {
		if err := h.folder(data, d.rel, d.skip); err != nil {
			return err
		}
	}
	for _, rel := range secretFiles {
		if !strings.HasSuffix(rel, "/") {
			// As they are to be in a folder that is not encrypted yet.
			text, err := b.keys.Files().Read(filepath.Join(data, filepath.FromSlash(rel)))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			h.small[rel] = text
		}
	}
	if _, err := os.Stat(filepath.Join(data, "sync", "spool")); err == nil {
		h.left = append(h.left, backup.Left{What: "sync/spool", Why: "what waits for the hub would be told twice, by this box and by the restored one"})
	}
	if !q.Cache {
		h.left = append(h.left, backup.Left{What: "cache", Why: "answers that are kept are made anew", Mend: "nothing"})
	}
	entries := h.modelsOf(b.Catalog)
	if !q.Models {
		if len(entries) > 0 {
			h.left = append(h.left, backup.Left{What: "models", Why: "they were to be left out", Mend: "'rxedge model pull NAME', or import them again; until then answers are sentences of the documents"})
		}
		return nil
	}
	blobs := map[string]bool{}
	for _, e := range entries {
		if err := h.read(data, "models/entries/"+strings.ToLower(e.Name)+".json"); err != nil {
			return err
		}
		if rel := "models/blobs/" + filepath.Base(b.Catalog.Path(e)); !blobs[rel] {
			blobs[rel] = true
			if err := h.open(data, rel); err != nil {
				return err
			}
			h.dense += e.Size
		}
	}
	return nil
}

// holdConfig takes the configuration that is in force.
func (b *Box) holdConfig(h *held) error {
	const rel = "rxedge.toml"
	if err := h.read(b.Config.Data, rel); err != nil || h.small[rel] != nil {
		return err
	}
	if b.Config.File == "" {
		return nil
	}
	text, err := os.ReadFile(b.Config.File)
	if err != nil {
		h.left = append(h.left, backup.Left{What: "the configuration", Why: "its file can't be read by this process", Mend: "write it again, or copy it by hand"})
		return nil
	}
	h.small[backup.ConfigName] = text
	return nil
}

// read a small file, where there is one.
func (h *held) read(data, rel string) error {
	text, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(rel)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	h.small[rel] = text
	return nil
}

// open a file, where there is one.
func (h *held) open(data, rel string) error {
	f, err := os.OpenFile(filepath.Join(data, filepath.FromSlash(rel)), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, unix.EMFILE) {
		return fmt.Errorf("%w: a backup holds every file open that it copies; raise the limit of open files (LimitNOFILE in the unit)", err)
	}
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	h.files = append(h.files, heldFile{rel, f, fi.Size()})
	return nil
}

// folder opens all plain files below rel but what skip says of; files that are being
// written have names that begin with a dot.
func (h *held) folder(data, rel string, skip func(rel string) bool) error {
	err := filepath.WalkDir(filepath.Join(data, rel), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		r = filepath.ToSlash(r)
		switch {
		case strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular(), skip != nil && skip(r):
			return nil
		case strings.Contains(d.Name(), asideInfix):
			h.left = append(h.left, backup.Left{What: r, Why: "it was set aside as damaged"})
			return nil
		case strings.HasPrefix(r, clients.Folder+"/"):
			return h.read(data, r)
		}
		return h.open(data, r)
	})
	return err
}

// RestoreRequest says how a backup is put into a data folder.
type RestoreRequest struct {
	Replace    bool
	Passphrase string // of the secrets; "": they stay sealed
	Header     func(backup.Header) error
	Report     func(done, total int64)
}

// Restore puts the backup r into the folder that no process holds, whole or not at all.
// The error is a *HeldError where one does.
func Restore(ctx context.Context, data string, r io.Reader, q RestoreRequest) (res backup.Restored, err error) {
	err = whileHeld(data, func() error {
		res, err = backup.Restore(ctx, r, backup.Target{Dir: data, Replace: q.Replace, Passphrase: q.Passphrase, Header: q.Header, Report: q.Report,
			Schema: BackupSchema(), OpenStore: openBackupStore, Sound: soundState})
		return err
	})
	return res, err
}

// ConfirmRestore removes what a restore took the place of, and UndoRestore puts it back.
func ConfirmRestore(data string) error {
	return whileHeld(data, func() error {
		if _, err := backup.Finish(data); err != nil {
			return err
		}
		return backup.Confirm(data)
	})
}

// UndoRestore puts back what a restore took the place of.
func UndoRestore(data string) error {
	return whileHeld(data, func() error {
		if _, err := backup.Finish(data); err != nil {
			return err
		}
		return backup.Undo(data)
	})
}

func whileHeld(data string, do func() error) error {
	if err := os.MkdirAll(data, 0o750); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	lock, err := hold(data)
	if err != nil {
		return err
	}
	defer lock.Close()
	return do()
}

// soundState opens what was restored as a start would, once the folder says of what layout
// it is: one of before is migrated by the start, as after an upgrade.
func soundState(dir string, h backup.Header) error {
	st := schema.State{Version: h.Schema[layoutName], Program: h.Rxedge, Stores: map[string]int{}, History: []schema.Entry{{At: time.Now().UTC(), Version: h.Schema[layoutName], Program: h.Rxedge, What: "restored from backup " + h.ID}}}
	for name := range Stores {
		if n, ok := h.Schema[name]; ok {
			st.Stores[name] = n
		}
	}
	if err := schema.Put(dir, &st); err != nil {
		return err
	}
	if _, err := enroll.Load(filepath.Join(dir, "sync"), nil); err != nil && !errors.Is(err, enroll.ErrNotEnrolled) {
		return err
	}
	if _, outdated := index.Outdated(filepath.Join(dir, "index")); outdated {
		return nil
	}
	return soundIndex(filepath.Join(dir, "index"))
}

// soundIndex opens the generation that CURRENT names, and no other.
func soundIndex(dir string) error {
	ix, err := index.Open(dir, index.Options{})
	if err != nil {
		return err
	}
	notes := ix.Notes()
	if err := ix.Close(); err != nil {
		return err
	}
	for _, n := range notes {
		if strings.Contains(n, "instead") || strings.Contains(n, "lost") {
			return errors.New(n)
		}
	}
	return nil
}

// ErrRestoreFinished: a restore that was cut off has been carried through just now, and
// what was read of the folder before, as its configuration, is no longer so.
var ErrRestoreFinished = errors.New("a restore that was cut off has just been carried through; start again")

// finishRestore when the folder is opened.
func (b *Box) finishRestore() error {
	done, err := backup.Finish(b.Config.Data)
	if err != nil {
		return err
	}
	if done {
		return ErrRestoreFinished
	}
	b.restored = backup.ReadInfo(b.Config.Data)
	return nil
}
