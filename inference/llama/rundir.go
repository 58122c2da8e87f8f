package llama

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	runDirPattern = "rxedge-llama-"
	socketName    = "e.sock" // llama-server takes a host for a socket when it ends in .sock
	lockName      = "lock"
	maxSocketPath = 107 // sun_path of sockaddr_un is 108 bytes with its final zero
)

// runDir is the folder (mode 0700) that holds a child's socket. Its owner holds
// a lock in it, so that what a killed daemon left can be told and removed.
type runDir struct {
	path string
	lock *os.File
}

// newRunDir makes one under base or, where base is "" or too long for a socket,
// under the system's folders for such things.
func newRunDir(base string) (*runDir, error) {
	var bases []string
	if base != "" {
		abs, err := filepath.Abs(base)
		if err != nil {
			return nil, fmt.Errorf("socket folder %s: %w", base, err)
		}
		if err := os.MkdirAll(abs, 0o700); err != nil {
			return nil, fmt.Errorf("socket folder: %w", err)
		}
		bases = append(bases, abs)
	}
	runtime, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	bases = append(bases, runtime, os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp")
	var last error
	for _, b := range bases {
		// MkdirTemp adds up to ten digits to the pattern.
		if b == "" || len(filepath.Join(b, runDirPattern+"0123456789", socketName)) > maxSocketPath {
			continue
		}
		sweep(b)
		d, err := makeRunDir(b)
		if err == nil {
			return d, nil
		}
		last = err
	}
	if last == nil {
		last = errors.New("every candidate has a path that is too long for a socket")
	}
	return nil, fmt.Errorf("no folder for the engine's socket: %w", last)
}

// makeRunDir makes a folder and locks it. Between the two another process that
// starts may take it for a dead one's and remove it.
func makeRunDir(base string) (*runDir, error) {
	for range 10 {
		path, err := os.MkdirTemp(base, runDirPattern)
		if err != nil {
			return nil, err
		}
		lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			os.RemoveAll(path)
			return nil, err
		}
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			if _, err := os.Lstat(lock.Name()); err == nil {
				return &runDir{path: path, lock: lock}, nil
			}
		}
		lock.Close()
		if err != nil && err != syscall.EWOULDBLOCK {
			os.RemoveAll(path)
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
	return nil, fmt.Errorf("%s: another process removes what is made there", base)
}

func (d *runDir) socket() string { return filepath.Join(d.path, socketName) }

func (d *runDir) remove() error {
	err := os.RemoveAll(d.path)
	return errors.Join(err, d.lock.Close())
}

// sweep removes the folders whose owners were killed.
func sweep(base string) {
	found, _ := filepath.Glob(filepath.Join(base, runDirPattern+"*"))
	for _, path := range found {
		st, err := os.Lstat(path)
		if err != nil || !st.IsDir() {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR, 0)
		if err != nil {
			// A young one may not have its lock yet.
			if errors.Is(err, os.ErrNotExist) && time.Since(st.ModTime()) > 2*time.Second {
				os.RemoveAll(path)
			}
			continue // or another user's
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(path)
		}
		lock.Close()
	}
}
