// Package store opens the small Badger stores that lie in the data folder
// beside the index: what was said of answers, and the cache. The data folder's
// lock keeps other processes off them.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"golang.org/x/sys/unix"
)

// DamagedError says that a store's files can't be read, as opposed to a fault
// of the machine (no room, no right), which says nothing of the files.
type DamagedError struct {
	Dir string
	Err error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Dir, e.Err) }
func (e *DamagedError) Unwrap() error { return e.Err }

// ErrKey: the store is encrypted with another key, or with one where none was given, or
// is not encrypted.
var ErrKey = errors.New("the store is not of this key")

// encryptedCache in bytes, of blocks and of their index.
const encryptedCache = 2 << 20

// Open opens or makes the store in dir, which only its owner may enter. With
// sync a transaction that has returned is on disk. key has 32 bytes, or is nil where the
// store is not encrypted. A *RoomError: the disk is full; ErrKey: it is of another key.
func Open(dir string, sync bool, key []byte) (db *DB, err error) {
	defer func() {
		// Badger panics over some damaged files.
		if p := recover(); p != nil {
			db, err = nil, &DamagedError{dir, fmt.Errorf("the store could not read it (%v)", p)}
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	if err := accessible(dir); err != nil {
		return nil, err
	}
	if err := removeEmpty(dir); err != nil {
		return nil, err
	}
	if err := checkTables(dir); err != nil {
		return nil, err
	}
	if err := room(dir, openRoom); err != nil {
		return nil, err
	}
	opt := badger.DefaultOptions(dir).WithLogger(nil).WithSyncWrites(sync).
		WithMemTableSize(8 << 20).WithBaseTableSize(8 << 20).WithNumMemtables(2).WithNumLevelZeroTables(1).WithNumLevelZeroTablesStall(16).WithNumCompactors(0).
		WithValueThreshold(1 << 20).WithValueLogFileSize(16 << 20).
		WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(0).
		WithChecksumVerificationMode(options.OnTableAndBlockRead).
		WithBypassLockGuard(true).WithNumVersionsToKeep(1).WithMetricsEnabled(false)
	if key != nil {
		// A block is decrypted where it is not in a cache.
		opt = opt.WithEncryptionKey(key).WithEncryptionKeyRotationDuration(365 * 24 * time.Hour).WithBlockCacheSize(encryptedCache).WithIndexCacheSize(encryptedCache)
	}
	raw, err := badger.Open(opt)
	switch {
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return nil, fmt.Errorf("%s: %w", dir, ErrKey) // and not damaged: nothing may be begun anew over it
	case err == nil:
		db = &DB{DB: raw, dir: dir, stop: make(chan struct{}), done: make(chan struct{})}
		_ = allocate(dir) // else before the first write
		go db.compact()
		return db, nil
	case !ofMachine(err):
		err = &DamagedError{dir, err}
	}
	return nil, err
}

// accessible says which file of the store is not ours to read and write. Badger's own
// errors do not wrap their cause, so that such a one would pass for damage.
func accessible(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
	return nil
}

// removeEmpty removes the empty logs that a kill can leave and Badger then
// refuses to open (dgraph-io/badger#2207).
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".mem") && !strings.HasSuffix(e.Name(), ".vlog") {
			continue
		}
		if fi, err := e.Info(); err != nil || fi.Size() != 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func ofMachine(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EDQUOT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
