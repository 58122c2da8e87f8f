package box

import (
	"context"
	"slices"

	"rxedge/daemon/rollout"
	profiles "rxedge/firmware-profiles"
	"rxedge/inference"
	"rxedge/inference/catalog"
)

// variant is a model of the catalog as a pair has it: with an adapter, loaded by
// another profile. It is run beside the model as it is, under a name of its own.
type variant struct {
	name    string
	adapter string // its name in requests; "": none
	path    string // of the adapter
	profile *profiles.Profile
}

// of a pair, by the name that it runs under; configured stands in for a model that
// the pair does not have.
func (m *Models) of(p rollout.Pair, configured string) string {
	name := configured
	if p.Model.Name != "" {
		name = p.Model.Name
	}
	if name == "" || p.Adapter.SHA256 == "" && p.Profile.SHA256 == "" {
		return name
	}
	v, key := variant{name: name}, name+"@"
	if f := p.Adapter; f.SHA256 != "" {
		v.adapter, v.path = f.Name, m.files(f)
		key += f.SHA256[:6]
	}
	if f := p.Profile; f.SHA256 != "" {
		prof, err := readProfile(m.files(f), f.Name)
		if err != nil {
			m.log.Error("a profile that came with a bundle can't be read; the one before is used", "profile", f.Name, "error", err)
		} else {
			v.profile = &prof
		}
		key += f.SHA256[:6]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.variants == nil {
		m.variants = map[string]variant{}
	}
	m.variants[key] = v
	return key
}

func (m *Models) variant(key string) variant {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.variants[key]; ok {
		return v
	}
	return variant{name: key}
}

// hold keeps a model from being unloaded for idleness, or no more; one that is
// configured stays.
func (m *Models) hold(key string, on bool) {
	if !on && slices.Contains([]string{m.use[catalog.Generator], m.use[catalog.Embedder], m.use[catalog.Reranker], m.use[catalog.Entailer]}, key) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if on {
		m.kept[key] = true
	} else {
		delete(m.kept, key)
	}
}

// adapted lets every request use an adapter.
type adapted struct {
	inference.Generator
	name string
}

// Generate implements inference.Generator.
func (a adapted) Generate(ctx context.Context, req inference.GenerateRequest, emit func(piece string) error) (inference.GenerateResult, error) {
	req.Adapters = append(req.Adapters, inference.Adapter{Name: a.name, Scale: 1})
	return a.Generator.Generate(ctx, req, emit)
}
