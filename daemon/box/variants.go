package box

import (
	"context"
	"fmt"
	"slices"

	"rxedge/daemon/config"
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

// fullPrecision gives the name that a model at full precision runs under, with what the
// model that answers has beside its weights, and its name in the catalog. want is a name,
// or "auto".
func (m *Models) fullPrecision(of, want string) (key, name string, err error) {
	v := m.variant(of)
	e, err := m.catalog.Get(v.name)
	if err != nil {
		return "", "", err
	}
	full, ok := catalog.Entry{}, false
	if want == config.Auto {
		if full, ok = m.catalog.FullPrecision(e); !ok {
			return "", "", fmt.Errorf("the catalog has no variant of %s at full precision", e.Name)
		}
	} else if full, err = m.catalog.Get(want); err != nil {
		return "", "", err
	} else if full.Kind != catalog.Generator || full.SHA256 == e.SHA256 {
		return "", "", fmt.Errorf("telemetry.full_precision.model: %s is no other generator than the one that answers", full.Name)
	}
	beside := of[len(v.name):]
	if beside == "" {
		return full.Name, full.Name, nil
	}
	v.name = full.Name
	m.mu.Lock()
	defer m.mu.Unlock()
	m.variants[full.Name+beside] = v
	return full.Name + beside, full.Name, nil
}

// fitsBeside says whether a model could be loaded beside those that are, and those that are
// configured.
func (m *Models) fitsBeside(key string) error {
	if _, err := m.handle(key, catalog.Generator); err != nil {
		return err
	}
	p, err := m.pool()
	if err != nil {
		return err
	}
	var others []string
	m.mu.Lock()
	for name := range m.kept {
		others = append(others, name)
	}
	m.mu.Unlock()
	others = slices.DeleteFunc(others, func(name string) bool {
		_, err := m.catalog.Get(m.variant(name).name)
		return err != nil // it can't be loaded
	})
	return p.Fits(key, others...)
}

// letGo unloads a model that is not kept.
func (m *Models) letGo(key string) {
	if p, err := m.pool(); err == nil && !m.keeps(key) {
		p.Unload(key)
	}
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
