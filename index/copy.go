package index

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"rxedge/index/generation"
)

// Copy is the index as a start would find it at one moment: the generation that
// CURRENT names with the updates that were acknowledged by then, and those it can go
// back to. It stays so, whatever is swapped or removed meanwhile, until Release.
type Copy struct {
	Generations []CopiedGeneration // the named one first
	// Left are those that could not be opened, with the reason.
	Left []string
}

// CopiedGeneration is one generation of a Copy.
type CopiedGeneration struct {
	snap *Snapshot
	dir  string
}

// CurrentName is the file below the index that names the generation of a start.
const CurrentName = generation.CurrentName

// LiveDir and LiveLog are where the records of live updates lie in a generation's
// folder, and the log that makes them count.
const (
	LiveDir = generation.LiveDir
	LiveLog = generation.LiveLog
)

// OpenCopy opens or makes the store of live updates in a generation's folder, for the
// records of a copy.
func OpenCopy(dir string) (*badger.DB, error) { return generation.OpenCopy(dir) }

// Copy takes hold of the index. It waits for nothing: a batch that is being built is
// not in it, and goes on.
func (ix *Index) Copy() (*Copy, error) {
	ix.mu.Lock()
	s := ix.staging.base // a candidate serves from memory, and a start opens this
	if s == nil {
		s = ix.current
	}
	if s == nil {
		ix.mu.Unlock()
		return nil, ErrClosed
	}
	s.held.refs++
	named := &Snapshot{ix: ix, state: s}
	kept := make(map[string]bool, len(ix.staging.kept))
	for name := range ix.staging.kept {
		kept[name] = true
	}
	ix.mu.Unlock()
	info := named.view.Info()
	c := &Copy{Generations: []CopiedGeneration{{named, ix.store.Dir(info.Name)}}}
	infos, err := ix.store.Infos()
	if err != nil {
		c.Release()
		return nil, err
	}
	for _, i := range infos {
		// What is newer and not the journal's was sealed a moment ago: CURRENT does not
		// name it yet.
		if i.Name == info.Name || ix.store.IsCandidate(i.Name) || i.Number > info.Number && !kept[i.Name] {
			continue
		}
		if i.Fault != "" {
			c.Left = append(c.Left, fmt.Sprintf("generation %s is damaged", i.Name))
			continue
		}
		snap, err := ix.AcquireGeneration(i.Name)
		if err != nil {
			c.Left = append(c.Left, fmt.Sprintf("generation %s can't be opened", i.Name))
			continue
		}
		c.Generations = append(c.Generations, CopiedGeneration{snap, ix.store.Dir(i.Name)})
	}
	return c, nil
}

// Release lets go.
func (c *Copy) Release() {
	for _, g := range c.Generations {
		g.snap.Release()
	}
}

// Names of the generations, the one that a start opens first.
func (c *Copy) Names() []string {
	return slices.Collect(func(yield func(string) bool) {
		for _, g := range c.Generations {
			if !yield(g.Name()) {
				return
			}
		}
	})
}

// Current is what CURRENT holds.
func (c *Copy) Current() []byte { return generation.CurrentFile(c.Generations[0].Name()) }

// Name of its folder.
func (g CopiedGeneration) Name() string { return g.snap.view.Info().Name }

// Info of it, with its updates.
func (g CopiedGeneration) Info() GenerationInfo { return g.snap.view.Info() }

// Files of the sealed part, by path. Nothing writes to them, and none is removed
// before Release.
func (g CopiedGeneration) Files() []string {
	names := g.snap.view.Files()
	for i, n := range names {
		names[i] = filepath.Join(g.dir, n)
	}
	return names
}

// Updates gives the records of the live updates, and the log that makes them count;
// nil where there are none.
func (g CopiedGeneration) Updates(record func(key, value []byte) error) (log []byte, err error) {
	return g.snap.view.CopyUpdates(record)
}
