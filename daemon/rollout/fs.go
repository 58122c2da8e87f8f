package rollout

import (
	"io"
	"os"
	"path/filepath"
)

// FS is what the journal asks of a file system. A test gives it one that fails,
// is cut off, or loses what was not synced.
type FS interface {
	// ReadFile is os.ReadFile.
	ReadFile(name string) ([]byte, error)
	// Append opens a file for writing at its end, and makes it (0600) where it is
	// not there. It is not on disk before SyncDir.
	Append(name string) (Handle, error)
	Rename(from, to string) error
	// SyncDir makes what was created and renamed in dir last.
	SyncDir(dir string) error
	MkdirAll(dir string) error
}

// Handle is an open file of an FS.
type Handle interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// Disk is the real one.
type Disk struct{}

// ReadFile implements FS.
func (Disk) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// Append implements FS.
func (Disk) Append(name string) (Handle, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// Rename implements FS.
func (Disk) Rename(from, to string) error { return os.Rename(from, to) }

// MkdirAll implements FS.
func (Disk) MkdirAll(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return Disk{}.SyncDir(filepath.Dir(dir))
}

// SyncDir implements FS.
func (Disk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
