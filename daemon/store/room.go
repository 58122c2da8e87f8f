package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// Badger writes through mapped files that it lengthens without taking the room. Where
// the disk is full, such a write is a signal that ends the process, in a goroutine of
// Badger's own. So nothing is written where less than Reserve is free, and a store is
// not opened where less than openRoom is; its log is given its room beforehand.
//
// Not chosen: to catch the signal (it comes in goroutines that are not ours), or a copy
// of Badger with another way to lengthen files (it would be ours to look after).
const (
	// Reserve is what has to be free before a store is written to, in bytes: a full
	// table in memory, the table that it becomes, and those that it is merged with.
	Reserve  = 64 << 20
	openRoom = 24 << 20
)

// ErrNoRoom: the disk is full, as far as the small stores go; a *RoomError says how full.
var ErrNoRoom = errors.New("the disk is full")

// RoomError says that too little is free to write to a store, in bytes.
type RoomError struct {
	Dir          string
	Free, Needed int64
}

func (e *RoomError) Error() string {
	return fmt.Sprintf("the disk is full: %d MB are free where %s lies, and nothing is written with less than %d MB", e.Free/1e6, e.Dir, e.Needed/1e6)
}

// Is says that it is an ErrNoRoom, and one of the machine.
func (e *RoomError) Is(target error) bool { return target == ErrNoRoom || target == unix.ENOSPC }

// DB is an open store that knows what room its disk has, and compacts itself.
type DB struct {
	*badger.DB
	dir string

	flattening sync.Mutex
	closing    sync.Once
	stop, done chan struct{}
}

// Room says whether the store may be written to now; the error is a *RoomError. To be
// asked before each write but Update, which does so itself.
func (db *DB) Room() error {
	if err := room(db.dir, Reserve); err != nil {
		return err
	}
	return allocate(db.dir)
}

// Update is Badger's, where there is room.
func (db *DB) Update(f func(*badger.Txn) error) error {
	if err := db.Room(); err != nil {
		return err
	}
	return db.DB.Update(f)
}

// Collect lets go of what was replaced, deleted or has expired and still takes room:
// tables are made one, and logs of values of which half is of no use are written anew.
// Cut off anywhere, nothing is lost. It needs room itself, and says so.
func (db *DB) Collect() error {
	if err := db.Room(); err != nil {
		return err
	}
	if err := db.flatten(); err != nil {
		return err
	}
	for range mostLogs {
		switch err := db.RunValueLogGC(0.5); {
		case errors.Is(err, badger.ErrNoRewrite), errors.Is(err, badger.ErrRejected):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// mostLogs of values are written anew at a time.
const mostLogs = 64

func room(dir string, need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil // it will be seen soon enough
	}
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return &RoomError{dir, free, need}
	}
	return nil
}

// allocate gives the logs of what is in memory the room that their length promises.
func allocate(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".mem") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Blocks*512 >= st.Size {
			continue
		}
		if err := fill(path, st.Size); errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			return &RoomError{dir, 0, Reserve}
		}
	}
	return nil
}

func fill(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
