package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Step is called before each step of putting a small file in place, of which CURRENT
// is one; half does a part of it, where it has parts. A test that ends the process
// there sets it before an index is opened.
var Step = func(what string, half func()) {}

// writeFileSynced puts a file in place whole: what was there before or all of
// data, whatever happens meanwhile.
func writeFileSynced(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	Step("write "+name, func() { _, _ = f.Write(data[:len(data)/2]) })
	_, err = f.Write(data)
	if err == nil {
		Step("sync "+name, nil)
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		Step("rename "+name, nil)
		err = os.Rename(tmp, path)
	}
	if err == nil {
		Step("syncdir "+name, nil)
		err = syncDir(filepath.Dir(path))
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// pausing is a hash that pauses after each write.
type pausing struct {
	hash.Hash
	pause func()
}

func (p pausing) Write(b []byte) (int, error) {
	defer p.pause()
	return p.Hash.Write(b)
}

// sumFile hashes a file, and syncs it first where asked. It calls pause, which may
// be nil, every now and then.
func sumFile(path string, sync bool, pause func()) (fileSum, error) {
	f, err := os.Open(path)
	if err != nil {
		return fileSum{}, err
	}
	defer f.Close()
	if sync {
		if err := f.Sync(); err != nil {
			return fileSum{}, err
		}
	}
	h := sha256.New()
	if pause != nil {
		h = pausing{h, pause}
	}
	n, err := io.Copy(h, f)
	if err != nil {
		return fileSum{}, err
	}
	return fileSum{filepath.Base(path), n, hex.EncodeToString(h.Sum(nil))}, nil
}

// unsealed files may change after the generation was sealed: Badger's counts
// of what could be collected, which nobody reads here, and its note of who has
// it open.
func unsealed(name string) bool {
	return name == "DISCARD" || name == "LOCK" || name == manifestName || name == candidateName
}

// removeEmptyLogs removes what a kill can leave behind and Badger then refuses
// to open (dgraph-io/badger#2207). Nothing is lost: the files are empty.
func removeEmptyLogs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".mem") && !strings.HasSuffix(e.Name(), ".vlog") {
			continue
		}
		fi, err := e.Info()
		if err != nil || fi.Size() != 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return removed, err
		}
		removed = append(removed, e.Name())
	}
	return removed, nil
}

func dirSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "DISCARD" {
			if fi, err := e.Info(); err == nil {
				n += fi.Size()
			}
		}
		return nil
	})
	return n
}

// diskSize is what the files of a folder take on disk, in bytes; stores lengthen theirs
// before they write into them.
func diskSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil {
			n += st.Blocks * 512
		}
		return nil
	})
	return n
}
