package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"rxedge/daemon/store"
	"rxedge/sync/durable"
)

// Target is where a backup is restored to. The caller holds the folder.
type Target struct {
	Dir string
	// Replace what is there; it is kept aside.
	Replace bool
	// Passphrase of the secrets; "": they stay sealed, and the box is without them.
	Passphrase string
	// Header is shown what comes, once it can be read; an error ends the restore.
	Header func(Header) error
	// Schema are the formats that this rxedge reads.
	Schema map[string]int
	// OpenStore opens or makes the store rel below dir.
	OpenStore func(dir, rel string) (*badger.DB, error)
	// Sound looks at the state in dir before it takes the place of another, and adds what
	// the header says of it.
	Sound  func(dir string, h Header) error
	Report func(done, total int64)
}

// Restored is what a folder was restored from; it lies in it.
type Restored struct {
	Backup     string    `json:"backup"`
	Created    time.Time `json:"created"`
	Rxedge     string    `json:"rxedge"`
	Generation string    `json:"generation"`
	Restored   time.Time `json:"restored"`
	Secrets    bool      `json:"secrets"`
	LeftOut    []Left    `json:"left_out,omitempty"`
	// Aside says that what was there before is kept, and Config that a configuration
	// lies beside, which did not lie in the data folder.
	Aside  bool `json:"aside,omitempty"`
	Config bool `json:"config_beside,omitempty"`
}

// NotEmptyError: the folder holds a state.
type NotEmptyError struct {
	Dir  string
	Kept bool // one of before a restore
}

func (e *NotEmptyError) Error() string {
	if e.Kept {
		return fmt.Sprintf("%s still keeps the state of before the last restore: 'rxedge restore confirm' removes it, 'rxedge restore undo' puts it back", e.Dir)
	}
	return fmt.Sprintf("%s is not empty; '--replace' restores into it all the same, and keeps what is there until 'rxedge restore confirm'", e.Dir)
}

// NoRoomError: the disk has too little room.
type NoRoomError struct {
	Dir        string
	Need, Free int64
}

func (e *NoRoomError) Error() string {
	return fmt.Sprintf("%s has %.1f GB free, and about %.1f GB are needed; free space there, or choose another disk", e.Dir, float64(e.Free)/1e9, float64(e.Need)/1e9)
}

// Restore reads a backup into a folder beside the state, and puts it in its place once
// all of it was read, checked and is on disk. An error leaves what was there.
func Restore(ctx context.Context, r io.Reader, t Target) (Restored, error) {
	if _, err := Finish(t.Dir); err != nil {
		return Restored{}, err
	}
	there, err := Contents(t.Dir)
	if err != nil {
		return Restored{}, err
	}
	switch {
	case Kept(t.Dir) && (len(there) == 0 || t.Replace):
		return Restored{}, &NotEmptyError{t.Dir, true}
	case len(there) > 0 && !t.Replace:
		return Restored{}, &NotEmptyError{t.Dir, false}
	}
	work := filepath.Join(t.Dir, workName)
	x := &extraction{t: t, dir: filepath.Join(work, newName), made: map[string]bool{}}
	Step("make the folder")
	if err := os.MkdirAll(x.dir, 0o700); err != nil {
		return Restored{}, err
	}
	res, err := x.run(ctx, r, len(there) > 0)
	if err == nil {
		err = swap(t.Dir, filepath.Join(workName, newName), AsideName)
	} else {
		err = errors.Join(err, os.RemoveAll(work))
	}
	return res, err
}

// extraction of a backup into an empty folder.
type extraction struct {
	t     Target
	dir   string
	root  *os.Root
	made  map[string]bool
	done  int64
	total int64

	store  string // that is open
	db     *badger.DB
	head   Header
	files  map[string][]byte // that were sealed
	key    age.Identity      // of sealed stores; nil: there is none
	beside bool
}

func (x *extraction) run(ctx context.Context, r io.Reader, aside bool) (res Restored, err error) {
	if x.root, err = os.OpenRoot(x.dir); err != nil {
		return res, err
	}
	defer x.root.Close()
	h, _, err := Read(ctx, r, func(h Header) error {
		if err := h.Check(x.t.Schema); err != nil {
			return err
		}
		x.head, x.total = h, h.Bytes
		if need, free := h.Bytes+h.Bytes/20, Free(x.t.Dir); need > free {
			return &NoRoomError{x.t.Dir, need, free}
		}
		if x.t.Header != nil {
			return x.t.Header(h)
		}
		return nil
	}, x.entry)
	if cerr := x.closeStore(); err == nil {
		err = cerr
	}
	if err != nil {
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%w: %w", &NoRoomError{x.t.Dir, x.total, Free(x.t.Dir)}, err)
		}
		return res, err
	}
	res = Restored{Backup: h.ID, Created: h.Created, Rxedge: h.Rxedge, Generation: h.Generation, Restored: time.Now().UTC(), LeftOut: h.LeftOut, Aside: aside, Config: x.beside}
	if x.files != nil {
		for name, b := range x.files {
			if err := x.put(name, int64(len(b)), bytes.NewReader(b)); err != nil {
				return res, err
			}
		}
		res.Secrets = true
	}
	text, err := json.MarshalIndent(res, "", "  ")
	if err != nil {
		return res, err
	}
	if err := durable.Write(filepath.Join(x.dir, InfoName), append(text, '\n')); err != nil {
		return res, err
	}
	if x.t.Sound != nil {
		if err := x.t.Sound(x.dir, h); err != nil {
			return res, fmt.Errorf("what was in the backup does not open: %w", err)
		}
	}
	Step("sync")
	return res, syncAll(x.dir)
}

func (x *extraction) entry(e Entry, r io.Reader) error {
	Step("entry " + e.Name)
	if x.done += e.Size; x.t.Report != nil {
		x.t.Report(x.done, max(x.total, x.done))
	}
	if rest, ok := strings.CutPrefix(e.Name, storesPrefix); ok {
		rel, _, _ := cutLast(rest)
		return x.part(rel, e, r)
	}
	if err := x.closeStore(); err != nil {
		return err
	}
	if rel, ok := strings.CutPrefix(e.Name, filesPrefix); ok {
		return x.put(rel, e.Size, r)
	}
	switch e.Name {
	case SecretsName:
		b, err := io.ReadAll(r)
		if err != nil || x.t.Passphrase == "" {
			return err
		}
		s, key, err := unseal(b, x.t.Passphrase)
		x.files, x.key = s.Files, key
		if x.files == nil {
			x.files = map[string][]byte{}
		}
		return err
	case ConfigName:
		x.beside = true
		return x.write(ConfigBeside, e.Size, r)
	}
	return nil
}

// put a file of the data folder.
func (x *extraction) put(rel string, size int64, r io.Reader) error {
	if dir := path.Dir(rel); dir != "." && !x.made[dir] {
		if err := x.root.MkdirAll(filepath.FromSlash(dir), 0o750); err != nil {
			return err
		}
		x.made[dir] = true
	}
	return x.write(rel, size, r)
}

// write a file that is not there yet.
func (x *extraction) write(rel string, size int64, r io.Reader) error {
	f, err := x.root.OpenFile(filepath.FromSlash(rel), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR) {
		return &DamagedError{fmt.Sprintf("%.200q", rel), "another entry has its place"}
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// part of a store.
func (x *extraction) part(rel string, e Entry, r io.Reader) error {
	sealed := x.head.Holds.Sealed && !strings.HasPrefix(rel, "index/")
	if sealed && x.t.Passphrase == "" {
		return nil // it stays so
	}
	if x.store != rel {
		if err := x.closeStore(); err != nil {
			return err
		}
		db, err := x.t.OpenStore(x.dir, rel)
		if err != nil {
			return fmt.Errorf("making the store %s: %w", rel, err)
		}
		x.store, x.db = rel, db
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if sealed {
		if x.key == nil {
			return &DamagedError{e.Name, "it is sealed, and its key did not come before it"}
		}
		if b, err = decrypt(b, x.key); err != nil {
			return &DamagedError{e.Name, "it can't be unsealed"}
		}
	}
	if err := store.Load(x.db, b); err != nil {
		return &DamagedError{e.Name, err.Error()}
	}
	return nil
}

func (x *extraction) closeStore() error {
	if x.db == nil {
		return nil
	}
	err := x.db.Close()
	x.db, x.store = nil, ""
	return err
}

// syncAll brings everything below dir to the disk: its file system is synced, which for
// thousands of files is one wait instead of thousands.
func syncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

// Free bytes for this process where dir lies, or the first above it that there is.
func Free(dir string) int64 {
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil {
			return int64(min(st.Bavail*uint64(st.Bsize), 1<<62))
		}
		up := filepath.Dir(dir)
		if up == dir {
			return 0
		}
		dir = up
	}
}

// ReadInfo says which backup the folder was restored from; nil: it was not.
func ReadInfo(dir string) *Restored {
	b, err := os.ReadFile(filepath.Join(dir, InfoName))
	var r Restored
	if err != nil || json.Unmarshal(b, &r) != nil || r.Backup == "" {
		return nil
	}
	return &r
}
