package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/health"
	"rxedge/daemon/keyring"
	profiles "rxedge/firmware-profiles"
	"rxedge/index"
	"rxedge/inference/catalog"
	"rxedge/inference/gpu"
	"rxedge/inference/llama"
)

// The card and the engine.
var cardLooks = []look{
	{name: "card", of: []*health.Condition{health.DriverMissing, health.DriverMismatch, health.DriverAccess, health.DriverHangs, health.CardLost, health.CardMemoryBad, health.CardHot, health.CardPower, health.CardFull, health.LibraryMissing}, run: lookCard},
	{name: "engine", of: []*health.Condition{health.EngineMissing, health.EngineBroken, health.EngineBackend}, run: lookEngine},
	{name: "profile", of: []*health.Condition{health.ProfileUnsuited, health.ProfileLimits}, run: lookProfile},
}

// The box itself, asked or opened: it finds what it finds while serving.
var boxLooks = []look{
	{name: "box", rest: true, of: []*health.Condition{health.DataNewer, health.DataVersionDamaged, health.MigrationFailed, health.KeyMissing, health.KeyWrong, health.KeyDamaged, health.BoxUnopenable}, run: lookBox},
	{name: "index", of: []*health.Condition{health.IndexDamaged}, run: lookIndex},
}

// The catalog of models.
var modelLooks = []look{
	{name: "catalog", of: []*health.Condition{health.CatalogDamaged, health.ModelMissing}, run: lookCatalog},
	{name: "model files", of: []*health.Condition{health.ModelDamaged}, run: lookModels},
	{name: "adapters", of: []*health.Condition{health.AdapterMissing}, run: lookAdapters},
}

func lookCard(ctx context.Context, _ *patient, s *seen) {
	snap, noGPU, err := box.ReadGPU(ctx)
	if err == nil {
		err = noGPU
	}
	s.found = box.CardConditions(snap, err)
	switch {
	case snap != nil:
		s.ok = fmt.Sprintf("%d, driver %s", len(snap.Cards), snap.Driver)
	case noGPU != nil:
		s.ok = "none: " + noGPU.Error() // a normal state
	}
}

func lookEngine(ctx context.Context, p *patient, s *seen) {
	e, err := llama.Find()
	if err != nil {
		f := health.EngineMissing.Found("llama.cpp is not installed; answers are sentences of the documents, and no model runs")
		if g := p.cfg.Model.Generator; g == "" || g == config.Auto {
			f = f.As(health.Notice)
		}
		s.find(f)
		return
	}
	_, noGPU, err := box.ReadGPU(ctx)
	if err != nil {
		noGPU = err
	}
	r, err := gpu.Engine(ctx, e.Dir, noGPU)
	if err != nil {
		s.find(health.EngineBroken.Found("%v", err))
		return
	}
	uses := r.Uses
	if r.Variant != "" {
		uses += " (CPU code for " + r.Variant + ")"
	}
	if r.Why != "" {
		uses += "; no better one: " + r.Why
	}
	if r.Fix != "" {
		s.find(health.EngineBackend.Found("%s", uses).Mend(r.Fix))
	}
	s.ok = e.Binary + ", on " + uses
}

func lookProfile(ctx context.Context, p *patient, s *seen) {
	m, err := p.app.machine(ctx)
	if err != nil {
		s.skip = "the machine can't be read: " + err.Error()
		return
	}
	prof, why := profiles.Detect(m)
	if n := p.cfg.Model.Profile; n != config.Auto && n != "" {
		if prof, err = profiles.Get(n); err != nil {
			s.skip = "the configuration names none that there is"
			return
		}
		why = "the configuration names it"
	}
	m.Disk = 0 // looked at as the disk
	for _, f := range profiles.Check(prof, m) {
		if f.Level == profiles.Refuse {
			s.find(box.UnsuitedCondition(prof.Name, why, f))
		} else {
			s.find(health.ProfileLimits.Found("%s (%s): %s", prof.Name, why, f.What).Mend(f.Fix))
		}
	}
	s.ok = fmt.Sprintf("%s: %s", prof.Name, why)
}

// box that is asked or opened, once; nil: neither can be done, and s says why.
func (p *patient) box(ctx context.Context, s *seen) station {
	if !p.opened {
		p.opened = true
		p.st, p.stErr = p.reach(ctx)
	}
	if p.st == nil {
		s.skip = "the box can't be asked"
		if p.stErr != nil {
			s.skip = p.stErr.Error()
		}
	}
	return p.st
}

// errNoFolder: nothing was ever kept here.
var errNoFolder = errors.New("there is no data folder yet")

func (p *patient) reach(ctx context.Context) (station, error) {
	svc := p.service(ctx)
	if svc.client != nil {
		return svc.client, nil
	}
	if why := p.stranger(); why != "" {
		return nil, &skipError{why}
	}
	if svc.pid != 0 {
		return nil, &skipError{"the service does not answer"}
	}
	if p.cfgErr != nil {
		return nil, &skipError{"the configuration is not sound"}
	}
	if info, err := os.Stat(p.cfg.Data); err != nil || !info.IsDir() {
		return nil, &skipError{errNoFolder.Error()}
	}
	if key, err := keyring.ReadKey(p.cfg.KeyFile); err == nil { // as root: it may be root's
		p.cfg.Key = key
	}
	back, err := asOwnerFor(p.cfg.Data)
	if err != nil {
		return nil, err
	}
	p.back = back
	b, err := box.Open(ctx, p.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err // an interface that holds nothing is not nil
	}
	return b, nil
}

// skipError is why the box was not asked, which another look tells.
type skipError struct{ why string }

func (e *skipError) Error() string { return e.why }

func lookBox(ctx context.Context, p *patient, s *seen) {
	st := p.box(ctx, s)
	if st == nil {
		var skip *skipError
		if p.stErr != nil && !errors.As(p.stErr, &skip) {
			s.skip = ""
			f, refused := box.Refusal(p.stErr)
			if !refused {
				f = health.BoxUnopenable.Found("%v", p.stErr)
			}
			s.find(f)
		}
		return
	}
	h, err := st.Status(ctx)
	if err != nil {
		s.find(health.BoxUnopenable.Found("%v", err))
		return
	}
	p.status = &h
	s.found = h.Conditions
	s.ok = fmt.Sprintf("%s of %s: %d documents, %d passages", h.Generation, h.Indexed.Local().Format(time.DateTime), h.Documents, h.Passages)
}

func lookIndex(ctx context.Context, p *patient, s *seen) {
	if p.quick {
		s.skip = "--quick leaves it out"
		return
	}
	st := p.box(ctx, s)
	if st == nil {
		return
	}
	bar := p.app.progress()
	defer bar.finish()
	rep, err := st.Verify(ctx, func(x index.Progress) { bar.set("reading the index", int64(x.Done), int64(x.Total)) })
	switch {
	case err != nil:
		s.skip = "it can't be verified: " + err.Error()
	case !rep.OK():
		s.find(health.IndexDamaged.Found("%s: %d faults, the first in %s: %s", rep.Generation, len(rep.Faults), rep.Faults[0].Where, rep.Faults[0].What))
	}
	s.ok = fmt.Sprintf("%s is clean: %d documents, %d passages", rep.Generation, rep.Documents, rep.Passages)
}

// catalog of the data folder, as its files are; nil: there is none.
func (p *patient) catalog(s *seen) *catalog.Catalog {
	dir := filepath.Join(p.cfg.Data, "models")
	if _, err := os.Stat(filepath.Join(dir, "entries")); err != nil {
		s.ok = "empty"
		return nil
	}
	if s.skip = p.stranger(); s.skip != "" {
		return nil
	}
	c, err := catalog.Open(dir)
	if err != nil {
		s.skip = err.Error()
		return nil
	}
	return c
}

func lookCatalog(_ context.Context, p *patient, s *seen) {
	c := p.catalog(s)
	have := map[string]bool{}
	if c != nil {
		es, err := c.List()
		if err != nil {
			s.find(health.CatalogDamaged.Found("%v", err))
		}
		for _, e := range es {
			have[strings.ToLower(e.Name)] = true
			if _, err := os.Stat(c.Path(e)); errors.Is(err, os.ErrNotExist) {
				s.find(health.ModelMissing.Found("the file of %s is gone", e.Name).Mend("'rxedge model import FILE', or 'rxedge model pull " + e.Name + "' from a mirror, brings it back; then restart"))
			}
		}
		s.ok = fmt.Sprintf("%d models", len(es))
	}
	if s.skip != "" {
		return
	}
	configured := 0
	for _, m := range []struct{ role, name string }{{"generator", p.cfg.Model.Generator}, {"embedder", p.cfg.Model.Embedder}, {"reranker", p.cfg.Model.Reranker}, {"entailer", p.cfg.Model.Entailer}} {
		if m.name == "" || m.name == config.Auto || m.role != "generator" && (m.name == config.Builtin || m.name == config.None) {
			continue
		}
		configured++
		if !have[strings.ToLower(m.name)] {
			s.find(health.ModelMissing.Found("model.%s names %s, which is not in the catalog", m.role, m.name).Mend("'rxedge model import FILE' or 'rxedge model pull " + m.name + "', or 'rxedge config unset model." + m.role + "'; then restart"))
		}
	}
	if configured == 0 {
		s.ok += "; none is configured: answers are sentences of the documents"
	}
}

func lookModels(ctx context.Context, p *patient, s *seen) {
	if p.quick {
		s.skip = "--quick leaves it out"
		return
	}
	c := p.catalog(s)
	if c == nil {
		return
	}
	bad, err := c.Verify(ctx)
	if err != nil {
		s.skip = err.Error()
		return
	}
	for _, b := range bad {
		if b.Name != "" && !strings.Contains(b.Reason, "missing") { // what is missing is told of by the catalog
			s.find(health.ModelDamaged.Found("%s: %s", b.Name, b.Reason).Mend("'rxedge model import FILE' or 'rxedge model pull " + b.Name + "' of the same model puts it in its place; then restart, and replace the disk where it comes back"))
		}
	}
	s.ok = "as they were imported"
}

func lookAdapters(_ context.Context, p *patient, s *seen) {
	for i, ad := range p.cfg.Model.Adapters {
		if _, err := os.Stat(ad.Path); err != nil {
			s.find(health.AdapterMissing.Found("model.adapter number %d (%s): %v", i+1, printableText(ad.Name), err))
		}
	}
	s.ok = fmt.Sprintf("%d are configured", len(p.cfg.Model.Adapters))
}
