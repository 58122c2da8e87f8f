package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/index/dense"
)

// ours is the segment as one of the contenders, in this process and in one
// thread.
type ours struct {
	label   string
	set     *set
	segment *dense.Segment
	mapped  []byte
	options dense.SearchOptions
	depth   int
	built   time.Duration // 0 where it came from the cache
	loaded  time.Duration
}

// segmentOf a set, built by these very sources: the cache is keyed by a hash of
// them. The segment is mapped from its file, as an index serves it.
func segmentOf(c config, s *set, label string, o dense.BuildOptions) (*ours, error) {
	cache := c.cache
	sources, err := hashOf(c.source)
	if err != nil {
		return nil, err
	}
	stem := fmt.Sprintf("%s-v%d-%d-%d", s.name, version, s.rows(), o.Lists)
	path := filepath.Join(cache, fmt.Sprintf("%s-%.8x.segment", stem, sources))
	x := &ours{label: label, set: s, depth: depth}
	x.options.Vector = s.vector
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		stale, _ := filepath.Glob(filepath.Join(cache, stem+"-*.segment"))
		for _, p := range stale {
			if err := os.Remove(p); err != nil {
				return nil, err
			}
		}
		t := time.Now()
		built, err := dense.Build(context.Background(), s.dim, s.rows(), s.vector, o)
		if err != nil {
			return nil, err
		}
		x.built = time.Since(t)
		if err := save(path, built); err != nil {
			return nil, err
		}
	}
	if x.segment, x.mapped, x.loaded, err = load(path); err != nil {
		return nil, err
	}
	return x, nil
}

// hashOf what the package in a folder is compiled from.
func hashOf(dir string) ([]byte, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	for _, f := range files {
		ext := filepath.Ext(f.Name())
		if ext != ".s" && ext != ".go" || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(h, "%s %d\n", f.Name(), len(b))
		_, _ = h.Write(b)
	}
	return h.Sum(nil), nil
}

// save blocks, each after its length.
func save(path string, s *dense.Segment) error {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	defer f.Close()
	err = s.Encode(func(b []byte) error {
		_, err1 := f.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
		_, err2 := f.Write(b)
		return errors.Join(err1, err2)
	})
	return errors.Join(err, os.Rename(path+".tmp", path))
}

func load(path string) (*dense.Segment, []byte, time.Duration, error) {
	t := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, 0, err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, 0, err
	}
	var blocks [][]byte
	for rest := b; len(rest) >= 4; {
		n := int(binary.LittleEndian.Uint32(rest))
		blocks = append(blocks, rest[4:4+n:4+n])
		rest = rest[4+n:]
	}
	s, err := dense.Load(blocks)
	return s, b, time.Since(t), err
}

func (c *ours) name() string { return c.label }

func (c *ours) round() ([]float64, [][]int32, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ms := make([]float64, c.set.count())
	rows := make([][]int32, c.set.count())
	hits := make([]dense.Hit, 0, c.depth)
	for i := range ms {
		t := time.Now()
		var err error
		hits, err = c.segment.Search(hits[:0], c.set.query(i), c.depth, c.options)
		ms[i] = time.Since(t).Seconds() * 1e3
		if err != nil {
			return nil, nil, err
		}
		rows[i] = make([]int32, len(hits))
		for j, h := range hits {
			rows[i][j] = int32(h.Row)
		}
	}
	return ms, rows, nil
}

func (c *ours) close() error {
	if c.mapped == nil {
		return nil
	}
	return unix.Munmap(c.mapped)
}
