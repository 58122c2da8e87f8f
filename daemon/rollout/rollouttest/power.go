// Package rollouttest has a file system whose power can be cut, for tests.
package rollouttest

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync"

	"rxedge/daemon/rollout"
)

// ErrCut: the power is gone.
var ErrCut = errors.New("the power is gone")

// inode is a file: what a power cut leaves, and what is written.
type inode struct{ durable, live []byte }

// Power is a file system in memory. What was not synced may be lost, or there in
// part, after Reboot.
type Power struct {
	mu      sync.Mutex
	durable map[string]*inode // names that are on disk
	live    map[string]*inode
	ops     int
	at      int  // the operation at which the power is cut; 0: none
	half    bool // that operation has half its effect
	cut     bool
	// Did hears of each operation that changes something, before it does. May be nil.
	Did func(n int, what string)
}

// NewPower is an empty one.
func NewPower() *Power { return &Power{durable: map[string]*inode{}, live: map[string]*inode{}} }

// CutAt cuts the power at the n-th operation from now on, with half of what it
// should do done, or nothing.
func (p *Power) CutAt(n int, half bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.half = p.ops+n, half
}

// Ops that were done so far.
func (p *Power) Ops() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ops
}

// Cut says whether the power is gone.
func (p *Power) Cut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// Reboot is the file system as a start finds it: of what was not synced each part
// is there, half there, or lost, as r has it.
func (p *Power) Reboot(r *rand.Rand) *Power {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := NewPower()
	names := map[string]bool{}
	for n := range p.durable {
		names[n] = true
	}
	for n := range p.live {
		names[n] = true
	}
	for n := range names {
		i := p.durable[n]
		if p.live[n] != i && r.IntN(2) == 0 {
			i = p.live[n]
		}
		if i == nil {
			continue
		}
		data := i.durable
		switch k := len(i.durable); {
		case len(i.live) > k && r.IntN(3) > 0: // some of what was appended
			data = append(append([]byte{}, i.durable...), i.live[k:k+r.IntN(len(i.live)-k+1)]...)
			if r.IntN(4) == 0 && len(data) > k { // a block that never came is zeros
				for b := k; b < len(data); b++ {
					data[b] = 0
				}
			}
		case len(i.live) < k && r.IntN(2) == 0: // cut short
			data = i.live
		}
		file := &inode{durable: append([]byte{}, data...), live: append([]byte{}, data...)}
		q.durable[n], q.live[n] = file, file
	}
	return q
}

// step counts an operation, and says how much of it is done: 0, 1 (half) or 2.
func (p *Power) step(what string) (int, error) {
	if p.cut {
		return 0, ErrCut
	}
	p.ops++
	if p.Did != nil {
		p.Did(p.ops, what)
	}
	if p.ops != p.at {
		return 2, nil
	}
	p.cut = true
	if p.half {
		return 1, ErrCut
	}
	return 0, ErrCut
}

// MkdirAll implements rollout.FS.
func (p *Power) MkdirAll(string) error { return nil }

// ReadFile implements rollout.FS.
func (p *Power) ReadFile(name string) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.live[name]
	if i == nil {
		return nil, fs.ErrNotExist
	}
	return append([]byte{}, i.live...), nil
}

// Append implements rollout.FS.
func (p *Power) Append(name string) (rollout.Handle, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live[name] == nil {
		if n, err := p.step("create"); n == 0 {
			return nil, err
		}
		p.live[name] = &inode{}
		if p.cut {
			return nil, ErrCut
		}
	}
	return &handle{p, p.live[name]}, nil
}

// Rename implements rollout.FS.
func (p *Power) Rename(from, to string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.step("rename")
	if n > 0 {
		p.live[to] = p.live[from]
		delete(p.live, from)
	}
	return err
}

// SyncDir implements rollout.FS.
func (p *Power) SyncDir(dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.step("syncdir")
	if n < 2 {
		return err
	}
	for name := range p.durable {
		if filepath.Dir(name) == dir && p.live[name] == nil {
			delete(p.durable, name)
		}
	}
	for name, i := range p.live {
		if filepath.Dir(name) == dir {
			p.durable[name] = i
		}
	}
	return nil
}

type handle struct {
	p *Power
	i *inode
}

func (h *handle) Write(b []byte) (int, error) {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	n, err := h.p.step("write")
	done := len(b) * n / 2
	h.i.live = append(h.i.live, b[:done]...)
	return done, err
}

func (h *handle) Sync() error {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	n, err := h.p.step("sync")
	if n == 2 {
		h.i.durable = append([]byte{}, h.i.live...)
	}
	return err
}

func (h *handle) Truncate(size int64) error {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	n, err := h.p.step("truncate")
	if n > 0 {
		h.i.live = append([]byte{}, h.i.live[:size]...)
	}
	return err
}

func (h *handle) Close() error { return nil }
