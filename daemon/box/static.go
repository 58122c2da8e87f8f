package box

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"rxedge/daemon/config"
	"rxedge/daemon/rollout"
	"rxedge/index"
	"rxedge/inference/semantic"
	"rxedge/sync/bundle"
)

// static are embedders in the place of the built-in one that came with bundles. Each
// lies with the files of pairs, and belongs to the generations whose vectors it made: so
// what goes back to a generation goes back to its embedder.
type static struct {
	mu   sync.Mutex
	open map[string]*semantic.Model // by their sum
}

// of gives those in a data folder, as an index asks for them.
func (s *static) of(data string) func(index.EmbedderInfo) (index.Embedder, bool) {
	return func(want index.EmbedderInfo) (index.Embedder, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		m := s.open[want.SHA256]
		if m == nil {
			if m = find(filepath.Join(data, "rollout", "files"), want.SHA256); m == nil {
				return nil, false
			}
			if s.open == nil {
				s.open = map[string]*semantic.Model{}
			}
			s.open[want.SHA256] = m
		}
		return adapter{m}, sourceOf(m).Info == want
	}
}

// find the model of that sum; nil: it is not there, or damaged.
func find(dir, sum string) *semantic.Model {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if s, err := semantic.Sum(path); err != nil || s != sum {
			continue
		}
		if m, err := semantic.Open(path); err == nil && m.Info().SHA256 == sum {
			return m
		}
	}
	return nil
}

func sourceOf(m *semantic.Model) index.Source {
	i := m.AdaptedInfo()
	return index.Source{Embedder: adapter{m}, Info: index.EmbedderInfo{Name: i.Name, SHA256: i.SHA256, Dimension: i.Dimension}}
}

// offerEmbedder keeps the embedder that a bundle brings in the place of the built-in one,
// and gives what makes the vectors of its pair: without one in it, the built-in one. Of a
// box that has another kind of embedder, or takes no models, it is nothing.
func (b *Box) offerEmbedder(st *bundle.Staged) (f rollout.File, by index.Source, err error) {
	if b.embedder != config.Builtin {
		return f, by, nil
	}
	m, err := semantic.Builtin()
	if err != nil {
		return f, by, err
	}
	for _, a := range st.Set.Manifest.Artefacts {
		if a.Kind != bundle.KindModel || !b.Config.Rollout.Models {
			continue
		}
		path := st.Artefact(a)
		if sum, err := semantic.Sum(path); err != nil || sum == "" {
			if err != nil {
				return f, by, refused("opens", "the embedder %s: %v", a.Name, err)
			}
			continue
		}
		if f.SHA256 != "" {
			return f, by, refused("opens", "the bundle has two embedders, %s and %s; one of them is to be dropped", f.Name, a.Name)
		}
		if m, err = semantic.Open(path); err != nil {
			return f, by, refused("opens", "the embedder %s: %v", a.Name, err)
		}
		f = rollout.File{Name: strings.TrimSuffix(a.Name, filepath.Ext(a.Name)), SHA256: a.SHA256.String()}
		if err := b.keepFile(path, f); err != nil {
			return f, by, fmt.Errorf("keeping the embedder %s: %w", a.Name, err)
		}
	}
	return f, sourceOf(m), nil
}

// embedderIn a generation; zero where it is not open any more.
func (b *Box) embedderIn(generation string) index.EmbedderInfo {
	s := b.Index.Acquire()
	if s != nil && s.Generation().Name != generation {
		s.Release()
		s, _ = b.Index.AcquireGeneration(generation)
	}
	if s == nil {
		return index.EmbedderInfo{}
	}
	defer s.Release()
	return s.Generation().Embedder
}
