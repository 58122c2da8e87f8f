// Package durable writes small files that outlive a power cut. A File is written
// whole or not at all; a Pair keeps two copies, so that one that is torn,
// however it came to be, costs at most the latest write.
package durable

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNone: neither copy of a Pair holds anything that can be used.
var ErrNone = errors.New("no whole copy")

// Step is called before each step of Write. A test that ends the process there sets it
// before anything is written.
var Step = func(string) {}

// Write puts data at path: beside it, synced, renamed, folder synced. Mode 0600.
func Write(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	Step("write")
	_, err = f.Write(data)
	if err == nil {
		Step("sync")
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		Step("rename")
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	Step("sync the folder")
	return SyncDir(dir)
}

// SyncDir makes what was created, renamed or removed in dir last.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Pair is a value kept in two files, PATH.a and PATH.b, of which the older is
// the one that is written. Each is: 8 bytes "rxpair1\n", the number of the write
// (8 bytes, big endian), the value, SHA-256 of all before it. Not safe for
// concurrent use.
type Pair struct {
	Path string

	loaded  bool
	next    uint64
	current int // index of the copy that holds the latest; -1: none
}

const pairMagic = "rxpair1\n"

const maxPair = 64 << 20

func (p *Pair) file(i int) string { return p.Path + [2]string{".a", ".b"}[i] }

// Load returns the latest whole value, or ErrNone. damaged says that a copy
// is there and can't be used.
func (p *Pair) Load() (data []byte, damaged bool, err error) {
	p.current, p.next, p.loaded = -1, 1, true
	for i := range 2 {
		seq, v, err := readCopy(p.file(i))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, errTorn):
			damaged = true
			continue
		case err != nil:
			return nil, damaged, err
		}
		if p.current < 0 || seq >= p.next {
			p.current, p.next, data = i, seq+1, v
		}
	}
	if p.current < 0 {
		return nil, damaged, ErrNone
	}
	return data, damaged, nil
}

var errTorn = errors.New("torn")

func readCopy(path string) (uint64, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPair+1))
	if err != nil {
		return 0, nil, err
	}
	head := len(pairMagic) + 8
	if len(b) < head+sha256.Size || len(b) > maxPair || string(b[:len(pairMagic)]) != pairMagic {
		return 0, nil, errTorn
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return 0, nil, errTorn
	}
	return binary.BigEndian.Uint64(b[len(pairMagic):head]), body[head:], nil
}

// Store writes data over the older copy; when it returns, data is on disk.
func (p *Pair) Store(data []byte) error {
	if len(data) > maxPair/2 {
		return fmt.Errorf("writing %s: %d bytes are too many", p.Path, len(data))
	}
	if !p.loaded {
		if _, _, err := p.Load(); err != nil && !errors.Is(err, ErrNone) {
			return err
		}
	}
	to := 0
	if p.current == 0 {
		to = 1
	}
	b := append([]byte(pairMagic), 0, 0, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint64(b[len(pairMagic):], p.next)
	b = append(b, data...)
	sum := sha256.Sum256(b)
	if err := Write(p.file(to), append(b, sum[:]...)); err != nil {
		return err
	}
	p.current = to
	p.next++
	return nil
}
