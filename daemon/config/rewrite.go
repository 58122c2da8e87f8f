package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"rxedge/sync/durable"
)

// Rewrite gives edit the text of the file at path, empty where there is none, and puts
// what it returns in its place: whole or not at all, with the file's owner and mode.
// What the file was lies then beside it, as backup; "" where there was none, or nothing
// changed. Two at the same time wait for each other.
func Rewrite(path string, edit func(text []byte) ([]byte, error)) (backup string, err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the link stays
	}
	folder := filepath.Dir(path)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return "", err
		}
	}
	dir, err := os.Open(folder)
	if err != nil {
		return "", err
	}
	defer dir.Close() // and the lock goes
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("taking %s: %w", folder, err)
	}
	was, err := os.ReadFile(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return "", err
	}
	is, err := edit(was)
	if err != nil || !fresh && bytes.Equal(was, is) {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil && !fresh {
		return "", err
	}
	if !fresh {
		backup = path + ".bak"
		if err := put(backup, was, info); err != nil {
			return "", err
		}
	}
	return backup, put(path, is, info)
}

// put text at path as a file like the one that info is of.
func put(path string, text []byte, like fs.FileInfo) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".rxedge.toml-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	mode := fs.FileMode(0o640)
	if like != nil {
		mode = like.Mode().Perm()
		st, ok := like.Sys().(*syscall.Stat_t)
		if ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
			if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return fmt.Errorf("keeping the owner of %s: %w", path, err)
			}
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}
