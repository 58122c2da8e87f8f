package box

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/validate"
	profiles "rxedge/firmware-profiles"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference"
	"rxedge/inference/catalog"
	"rxedge/inference/llama"
	"rxedge/inference/semantic"
	"rxedge/sync/bundle"
)

// refused is a candidate's end.
func refused(check, format string, args ...any) error {
	return &rollout.RefusedError{Check: check, Reason: fmt.Sprintf(format, args...)}
}

// watchFor is how long what is new is watched: where no daemon looks after it, and
// nobody asks, it is confirmed once it has passed its checks.
func (b *Box) watchFor() time.Duration {
	b.rollout.mu.Lock()
	defer b.rollout.mu.Unlock()
	if !b.rollout.running {
		return 0
	}
	return time.Duration(b.Config.Rollout.Watch)
}

// offerBundle takes a staged bundle as far as it gets.
func (b *Box) offerBundle(ctx context.Context, st *bundle.Staged, progress func(IngestProgress)) (rollout.Entry, error) {
	golden, err := goldenOf(st)
	if err != nil {
		return rollout.Entry{}, err
	}
	if err := b.noteWithdrawn(st); err != nil {
		return rollout.Entry{}, err
	}
	plan, approvals, err := trialOf(st)
	if err != nil {
		return rollout.Entry{}, err
	}
	e, err := b.rollout.Offer(ctx, rollout.Offer{ID: bundleID(st.Number), Bundle: st.Number, Watch: b.watchFor(),
		Approval: func(p rollout.Pair) bool {
			return b.Config.Rollout.RequireApproval || tries(plan, p, b.rollout.State().Confirmed.Pair)
		},
		Prepare: func(ctx context.Context) (rollout.Pair, []rollout.Version, error) {
			return b.prepareBundle(ctx, st, progress)
		},
		Validate: func(ctx context.Context, p rollout.Pair) (rollout.Verdict, error) {
			return b.validateWith(ctx, p, golden, changedBy(st))
		},
	})
	if err == nil {
		b.beginTrial(e, plan, approvals)
	}
	return e, err
}

// changedBy a bundle: the documents that it brings anew or otherwise; nil: unknown.
func changedBy(st *bundle.Staged) []string {
	ch, err := st.Set.Compare(st.Active)
	if err != nil {
		return nil
	}
	return ch.Put
}

// goldenOf a bundle: the questions that it brings.
func goldenOf(st *bundle.Staged) (out []validate.Golden, err error) {
	for _, a := range st.Set.Manifest.Artefacts {
		if a.Kind != bundle.KindGolden {
			continue
		}
		f, err := os.Open(st.Artefact(a))
		if err != nil {
			return nil, err
		}
		g, err := validate.ReadGolden(a.Name, f)
		_ = f.Close()
		if err != nil {
			return nil, &bundle.Error{Code: bundle.BadContent, Reason: err.Error(), Err: err}
		}
		out = append(out, g...)
	}
	return out, nil
}

// prepareBundle builds beside what serves all that a bundle brings.
func (b *Box) prepareBundle(ctx context.Context, st *bundle.Staged, progress func(IngestProgress)) (p rollout.Pair, vs []rollout.Version, err error) {
	signed := fmt.Sprintf("bundle %d of channel %s", st.Number, st.Set.Manifest.Channel)
	if r, _ := b.sync.parts(); r != nil {
		if h := r.Status().Staged; h != nil && h.Number == st.Number {
			signed += ", manifest " + h.Manifest.String()
		}
	}
	ch, err := st.Set.Compare(st.Active)
	if err != nil && st.Active != nil {
		// What was there before can't be read: all of it is put again.
		ch, err = st.Set.Compare(nil)
	}
	if err != nil {
		return p, nil, err
	}
	remove := append(ch.Removed, st.Set.Manifest.Withdrawn...)
	if c := b.rollout.State().Confirmed; st.Active != nil && c.Bundle != st.Active.Manifest.Number {
		// What serves does not have the documents of the active bundle: all of it is
		// put, and what the index has already is passed over.
		if ch, err = st.Set.Compare(nil); err != nil {
			return p, nil, err
		}
	}
	if len(ch.Put) > 0 {
		remove = append(remove, b.sampleIDs()...)
	}
	var by index.Source
	if p.Embedder, by, err = b.offerEmbedder(st); err != nil {
		return p, nil, err
	}
	if p.Embedder.SHA256 != "" {
		vs = append(vs, rollout.Version{Kind: rollout.KindEmbedder, Name: p.Embedder.Name, SHA256: p.Embedder.SHA256, Made: rollout.Made{Algorithm: "static vectors", Data: p.Embedder.SHA256}, Lineage: rollout.Lineage{Signed: signed}})
	}
	now := b.Index.Named()
	p.Generation = now.Label()
	p.Base = p.Generation
	if len(ch.Put)+len(remove) > 0 || by.Embedder != nil && now.Vectors > 0 && now.Embedder != by.Info {
		read := func(_ document.Options, yield func(*document.Document) error) ([]document.Problem, error) {
			for _, id := range ch.Put {
				c, err := ch.Content(id)
				if err != nil {
					return nil, err
				}
				d, err := ReadPublished(id, c)
				if err != nil {
					return nil, err
				}
				if err := yield(d); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}
		rep, err := b.batch(ctx, read, remove, false, progress, func(ch index.Changes, progress func(index.Progress)) (index.ApplyResult, error) {
			ch.Vectors, ch.Embedder = vectorsOf(st), by
			res, base, err := b.Index.Prepare(ctx, ch, progress)
			p.Base = base
			return res, err
		})
		if err != nil {
			return p, nil, err
		}
		p.Generation = rep.Generation.Label()
		if rep.Changed {
			vs = append(vs, versionOf(rep.Generation, p.Base, documentsHash(st.Set.Manifest), signed))
		}
	}
	var models []catalog.Entry
	for _, a := range st.Set.Manifest.Artefacts {
		if err := ctx.Err(); err != nil {
			return p, nil, err
		}
		name := strings.TrimSuffix(a.Name, filepath.Ext(a.Name))
		switch a.Kind {
		case bundle.KindModel:
			if sum, err := semantic.Sum(st.Artefact(a)); err != nil {
				return p, nil, err
			} else if sum != "" {
				continue // seen to above
			}
			e, err := b.importVersion(ctx, st.Artefact(a), name, a.SHA256.String())
			if err != nil {
				return p, nil, refused("opens", "the model %s: %v", name, err)
			}
			vs = append(vs, modelVersion(e, signed))
			if e.Kind == catalog.Generator {
				models = append(models, e)
			}
		case bundle.KindAdapter:
			p.Adapter = rollout.File{Name: name, SHA256: a.SHA256.String()}
			if err := b.keepFile(st.Artefact(a), p.Adapter); err != nil {
				return p, nil, err
			}
			vs = append(vs, rollout.Version{Kind: rollout.KindAdapter, Name: name, SHA256: p.Adapter.SHA256, Made: rollout.Made{Data: p.Adapter.SHA256}, Lineage: rollout.Lineage{Signed: signed}})
		case bundle.KindProfile:
			prof, err := readProfile(st.Artefact(a), name)
			if err != nil {
				return p, nil, refused("opens", "the profile %s: %v", name, err)
			}
			if prof.Name != b.Models.chosen().profile.Name {
				continue // of another kind of box
			}
			p.Profile = rollout.File{Name: name, SHA256: a.SHA256.String()}
			if err := b.keepFile(st.Artefact(a), p.Profile); err != nil {
				return p, nil, err
			}
			vs = append(vs, rollout.Version{Kind: rollout.KindProfile, Name: name, SHA256: p.Profile.SHA256, Made: rollout.Made{Data: p.Profile.SHA256}, Lineage: rollout.Lineage{Signed: signed}})
		case bundle.KindThresholds:
			p.Thresholds = rollout.File{Name: name, SHA256: a.SHA256.String()}
			if err := b.offerThresholds(st.Artefact(a), p.Thresholds); err != nil {
				return p, nil, err
			}
			vs = append(vs, rollout.Version{Kind: rollout.KindThresholds, Name: name, SHA256: p.Thresholds.SHA256, Made: rollout.Made{Data: p.Thresholds.SHA256}, Lineage: rollout.Lineage{Signed: signed}})
		}
	}
	if e, ok := b.chooseGenerator(models); ok {
		p.Model = rollout.File{Name: e.Name, SHA256: e.SHA256}
	}
	return p, vs, b.ready(ctx, p)
}

// chooseGenerator of those that a bundle has: the configured one, the profile's, or
// the first.
func (b *Box) chooseGenerator(es []catalog.Entry) (catalog.Entry, bool) {
	if len(es) == 0 || !b.Config.Rollout.Models {
		return catalog.Entry{}, false
	}
	if _, err := llama.Find(); err != nil {
		b.log.Warn("the bundle has a language model and no engine is installed to run it")
		return catalog.Entry{}, false
	}
	for _, want := range []string{b.generator, b.Models.chosen().profile.Generator.Model} {
		for _, e := range es {
			if want != "" && strings.EqualFold(e.Name, want) {
				return e, true
			}
		}
	}
	return es[0], true
}

// importVersion puts a model into the catalog. Where another has its name, the
// beginning of its hash is put behind.
func (b *Box) importVersion(ctx context.Context, path, name, sum string) (catalog.Entry, error) {
	e, err := b.Catalog.Import(ctx, path, catalog.ImportOptions{Name: name}, nil)
	var taken *catalog.NameTakenError
	if errors.As(err, &taken) {
		e, err = b.Catalog.Import(ctx, path, catalog.ImportOptions{Name: name + "-" + sum[:8]}, nil)
	}
	return e, err
}

// needs of the models of a pair, by the headers of their files, and what there is. now is
// the model that writes meanwhile.
func (b *Box) needs(p rollout.Pair, now string) (*validate.Needs, error) {
	n := &validate.Needs{}
	n.Host, n.Device = b.Models.budgets()
	if p.Profile.SHA256 != "" {
		prof, err := readProfile(b.filePath(p.Profile), p.Profile.Name)
		if err != nil {
			return nil, refused("opens", "the profile %s: %v", p.Profile.Name, err)
		}
		asks := max(prof.Memory.Host, 0)
		if !prof.GPU() || prof.Memory.Shared {
			asks = max(asks, prof.Memory.Budget)
		}
		n.Asks, n.Machine = int64(asks)<<20, int64(b.Models.chosen().memory)
	}
	if _, err := llama.Find(); err != nil {
		return n, nil // no model runs
	}
	key := b.modelOf(p)
	names := []string{key}
	for _, kind := range []catalog.Kind{catalog.Embedder, catalog.Reranker, catalog.Entailer} {
		names = append(names, b.Models.use[kind])
	}
	for _, name := range names {
		if o, err := b.Models.load(name); err == nil { // what is built in is in no catalog
			n.Models = append(n.Models, validate.NeedOf(o))
		}
	}
	if now != "" && now != key {
		if o, err := b.Models.load(now); err == nil {
			if e := validate.NeedOf(o); e.Err == nil {
				n.ServingHost, n.ServingDevice = e.Estimate.Host(), e.Estimate.Device
			}
		}
	}
	return n, nil
}

// brings says whether a pair has more than documents.
func brings(p rollout.Pair) bool {
	return p.Model.SHA256 != "" || p.Adapter.SHA256 != "" || p.Profile.SHA256 != ""
}

// ready loads what a pair needs beside what serves, and says what it can't have.
func (b *Box) ready(ctx context.Context, p rollout.Pair) error {
	if brings(p) {
		n, err := b.needs(p, b.writes())
		if err != nil {
			return err
		}
		if c := n.Check(); !c.Pass {
			return &rollout.RefusedError{Check: c.Name, Reason: rollout.Why(&c), Figure: &c}
		}
	}
	if !brings(p) {
		return nil
	}
	key := b.modelOf(p)
	if key == "" {
		return nil
	}
	b.Models.hold(key, true)
	h, err := b.Models.handle(key, catalog.Generator)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(b.Config.Model.Start))
		defer cancel()
		err = h.WaitReady(ctx)
	}
	var memory *llama.MemoryError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &memory):
		return refused("memory", "%v", err)
	}
	return refused("opens", "the model %s does not get ready: %v", p.Model.Name, err)
}

// validate asks a candidate what nobody sees, beside what serves.
func (b *Box) validate(ctx context.Context, p rollout.Pair) (rollout.Verdict, error) {
	return b.validateWith(ctx, p, nil, nil)
}

func (b *Box) validateWith(ctx context.Context, p rollout.Pair, golden []validate.Golden, changed []string) (rollout.Verdict, error) {
	q, err := b.candidate(p)
	if err != nil {
		return rollout.Verdict{Checks: []rollout.Check{{Name: validate.Opens, Detail: err.Error()}}}, nil
	}
	defer q.Release()
	now := b.unseen()
	defer now.Release()
	if now.snap == nil {
		return rollout.Verdict{}, index.ErrClosed
	}
	ctx = inference.WithCaller(ctx, inference.Caller{Key: "rollout", Priority: inference.Background})
	cfg := validate.Config{Golden: golden, Budget: b.budget(p, q.model), Questions: b.Config.Rollout.Questions, Seed: uint64(p.Bundle),
		Generated: q.model != "", Opens: func(context.Context) error { return nil },
		ServingCorpus: now.snap, CandidateCorpus: q.snap, Changed: []string{}}
	if brings(p) {
		if cfg.Needs, err = b.needs(p, now.model); err != nil {
			return rollout.Verdict{Checks: []rollout.Check{{Name: validate.Opens, Detail: err.Error()}}}, nil
		}
	}
	if n := cfg.Questions; n > 0 {
		cfg.Written = min(n, validate.DefaultWritten)
	}
	if p.Generation != p.Base {
		cfg.Changed = changed
		cfg.Verifies = func(ctx context.Context) error {
			rep, err := q.snap.Verify(ctx, nil)
			if err == nil && !rep.OK() {
				err = fmt.Errorf("%d faults, the first in %s: %s", len(rep.Faults), rep.Faults[0].Where, rep.Faults[0].What)
			}
			return err
		}
	}
	if q.model != "" && q.model != now.model {
		if cfg.Generator, err = q.Generator(ctx); err != nil {
			return rollout.Verdict{Checks: []rollout.Check{{Name: validate.Opens, Detail: err.Error()}}}, nil
		}
		cfg.Deaths = func() int { return b.restarts(q.model) }
	}
	ctx, d := b.behind(ctx)
	cfg.ServingCorpus, cfg.CandidateCorpus = paced{now.snap, d.work}, paced{q.snap, d.work}
	if cfg.Generator != nil {
		cfg.Generator = afterAskers{cfg.Generator, d}
	}
	return RolloutJudge(ctx, cfg, side{now, d}, side{q, d})
}

// candidate is a pair that nobody is answered by, to be asked; it is released.
func (b *Box) candidate(p rollout.Pair) (*question, error) {
	snap, err := b.Index.AcquireGeneration(generationOf(p.Generation))
	if err != nil {
		return nil, err
	}
	return &question{b: b, snap: snap, served: b.serves(p, b.modelOf(p))}, nil
}

// filePath is where an adapter or a profile of a pair is kept.
func (b *Box) filePath(f rollout.File) string {
	return filepath.Join(b.Config.Data, "rollout", "files", f.SHA256)
}

// keepFile keeps an adapter or a profile for as long as a pair may need it, on disk
// when it returns.
func (b *Box) keepFile(from string, f rollout.File) error {
	to := b.filePath(f)
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp, err := os.CreateTemp(filepath.Dir(to), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	sum := sha256.New()
	if _, err = io.Copy(io.MultiWriter(tmp, sum), in); err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		err = &bundle.Error{Code: bundle.TamperedChunk, Reason: fmt.Sprintf("%s was damaged on this disk", f.Name)}
	}
	if err == nil {
		err = os.Rename(tmp.Name(), to)
	}
	if err == nil {
		err = rollout.Disk{}.SyncDir(filepath.Dir(to))
	}
	return err
}

func readProfile(path, name string) (profiles.Profile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return profiles.Profile{}, err
	}
	return profiles.Parse(name+".toml", data)
}

func versionOf(g index.GenerationInfo, base, documents, signed string) rollout.Version {
	return rollout.Version{Kind: rollout.KindIndex, Name: g.Name, Made: rollout.Made{Algorithm: g.Analyzer + " " + g.Cut, Training: g.Embedder.SHA256, Data: documents},
		Lineage: rollout.Lineage{Documents: documents, Base: base, Signed: signed}}
}

func modelVersion(e catalog.Entry, signed string) rollout.Version {
	v := rollout.Version{Kind: rollout.KindModel, Name: e.Name, SHA256: e.SHA256, Made: rollout.Made{Algorithm: e.Architecture, Training: e.Quantisation, Data: e.SHA256},
		Lineage: rollout.Lineage{Quantisation: e.Quantisation, Signed: signed}}
	if e.Lineage != nil {
		v.Lineage.Base = e.Lineage.FromName + " " + e.Lineage.From
	}
	return v
}

// documentsHash is that of all documents of a manifest.
func documentsHash(m *bundle.Manifest) string {
	if m.Documents == nil {
		return ""
	}
	h := sha256.New()
	for _, p := range m.Documents.Pages {
		h.Write(p.Hash[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
