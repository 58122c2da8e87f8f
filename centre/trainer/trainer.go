package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/inference/semantic"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/record"
)

// Options of a trainer.
type Options struct {
	Channel string
	// Deadline is how long after its approval a request is waited for.
	Deadline time.Duration
	// Plan of the rollout of a model that was registered.
	Plan central.Plan
	// GoldenLoss and HeldOutGain go into the request (Beat).
	GoldenLoss, HeldOutGain float64
	// Trial is the plan by which sites try a model before it serves, as JSON; none: what
	// passes their validation serves at once, and is watched.
	Trial []byte
	Hubs  []string
	// Local: nothing is given to the hub.
	Local bool
	Who   string
}

// DefaultOptions is what is not said otherwise.
func DefaultOptions() Options {
	return Options{Channel: "stable", Deadline: 30 * 24 * time.Hour, Plan: central.DefaultPlan(), GoldenLoss: 0.005, Who: "trainer"}
}

// Trainer takes matters of training on, step by step. All it knows is the centre's
// record: what is done twice changes nothing, and a kill costs the step under way.
type Trainer struct {
	Folder  *central.Folder
	Options Options
	// Line is a published document as a line of DocumentsFile, without its end.
	Line func(id string, content []byte) ([]byte, error)
	// Push gives the hub what is signed.
	Push func(context.Context) error
	// Measure a model that is registered beside the champion; nil: what was handed in
	// with it is believed.
	Measure func(ctx context.Context, dir string, q *Request, model string) (*Metrics, error)
	// Tell of each step; nil: nobody is told.
	Tell func(m *central.Matter)
}

// Exported is the data of retrain.exported.
type Exported struct {
	Request  string    `json:"request"` // SHA-256 of request.json
	Deadline time.Time `json:"deadline"`
	Kind     string    `json:"kind"`
}

// Registered is the data of retrain.registered: the model and where it comes from.
type Registered struct {
	Request   string  `json:"request"` // SHA-256 of request.json
	Name      string  `json:"name"`    // of the file in bundles
	SHA256    string  `json:"sha256"`
	Size      int64   `json:"size"`
	Champion  string  `json:"champion,omitempty"` // SHA-256 of the file of the model that it was trained from; "": the built-in one
	Documents string  `json:"documents"`          // SHA-256 of the documents' file
	Metrics   string  `json:"metrics"`            // SHA-256 of metrics.json
	Figures   Metrics `json:"figures"`
}

// Published is the data of retrain.published and retrain.rolling.
type Published struct {
	Channel string `json:"channel"`
	Bundle  int64  `json:"bundle"`
	Name    string `json:"name"`
	Trial   string `json:"trial,omitempty"` // id of the trial that sites go through first
}

// Ended is the data of the last step.
type Ended struct {
	Why     string           `json:"why,omitempty"`
	Bundle  int64            `json:"bundle,omitempty"`
	Figures *central.Figures `json:"figures,omitempty"`
}

// Dir of a request's folder.
func (t *Trainer) Dir(id string) string { return filepath.Join(t.Folder.Dir, "retrain", id) }

func (t *Trainer) path(m *central.Matter, name string) string {
	return filepath.Join(t.Dir(m.ID), name)
}

// Matters of training, in the order in which they were asked for.
func Matters(f *central.Folder) ([]*central.Matter, error) {
	all, err := f.Matters()
	if err != nil {
		return nil, err
	}
	out := []*central.Matter{}
	for _, m := range all {
		if m.Action == central.RetrainRequested {
			out = append(out, m)
		}
	}
	return out, nil
}

// Step takes a matter as far as it gets now, and gives it as it stands then.
func (t *Trainer) Step(ctx context.Context, id string) (*central.Matter, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := t.matter(id)
		if err != nil {
			return nil, err
		}
		next, data, why, err := t.next(ctx, m)
		if err != nil {
			return m, err
		}
		if next == "" {
			return m, nil
		}
		m, fresh, err := t.Folder.Advance(id, next, data, central.By{Who: t.Options.Who, Reason: why[:min(len(why), 400)]})
		if err != nil {
			return m, err
		}
		if fresh && t.Tell != nil {
			t.Tell(m)
		}
		if !t.Options.Local {
			if _, err := t.Folder.PublishRecords(ctx, t.Options.Hubs); err != nil {
				return m, err
			}
		}
	}
}

// lock lets one process at a time take steps on the folder.
func (t *Trainer) lock() (unlock func(), err error) {
	dir := filepath.Join(t.Folder.Dir, "retrain")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil // the lock goes with it
}

// matter of training of that id.
func (t *Trainer) matter(id string) (*central.Matter, error) {
	all, err := Matters(t.Folder)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.ID == id {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", id, central.ErrNoMatter)
}

// Sweep takes every matter as far as it gets; the errors of each are joined.
func (t *Trainer) Sweep(ctx context.Context) error {
	all, err := Matters(t.Folder)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range all {
		if m.Ended() || m.Decided == nil {
			continue
		}
		if _, err := t.Step(ctx, m.ID); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.ID, err))
		}
	}
	if len(all) > 0 && len(errs) == 0 && !t.Options.Local { // what the hub missed while it was down
		_, err := t.Folder.PublishRecords(ctx, t.Options.Hubs)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// next step of a matter, after what it takes was done; "": it waits.
func (t *Trainer) next(ctx context.Context, m *central.Matter) (next central.FleetAction, data any, why string, err error) {
	switch m.State {
	case "approved":
		x, err := t.export(m)
		return record.RetrainExported, x, "", err
	case "exported":
		x, err := data1[Exported](m, record.RetrainExported)
		if err != nil {
			return "", nil, "", err
		}
		if time.Now().After(x.Deadline) {
			why := "no model was registered until " + x.Deadline.Format(time.DateOnly)
			return record.RetrainExpired, Ended{Why: why}, why, nil
		}
	case "registered":
		p, err := t.publish(ctx, m)
		return record.RetrainPublished, p, "", err
	case "published":
		p, err := data1[Published](m, record.RetrainPublished)
		if err == nil {
			err = t.create(ctx, m, p)
		}
		return record.RetrainRolling, p, "", err
	case "rolling":
		return t.watch(m)
	}
	return "", nil, "", nil
}

// data1 is the data of a step that was made.
func data1[T any](m *central.Matter, a central.FleetAction) (*T, error) {
	s := m.Step(a)
	if s == nil {
		return nil, fmt.Errorf("%s was never %s", m.ID, a)
	}
	x := new(T)
	if err := json.Unmarshal(s.Data, x); err != nil {
		return nil, fmt.Errorf("the record %s of %s: %w", a, m.ID, err)
	}
	return x, nil
}

// RegisteredOf is the model of a matter; nil: there is none yet.
func RegisteredOf(m *central.Matter) (*Registered, error) {
	if m.Step(record.RetrainRegistered) == nil {
		return nil, nil
	}
	return data1[Registered](m, record.RetrainRegistered)
}

// PublishedOf is the bundle that a matter's model went out with; nil: it has not yet.
func PublishedOf(m *central.Matter) (*Published, error) {
	if m.Step(record.RetrainPublished) == nil {
		return nil, nil
	}
	return data1[Published](m, record.RetrainPublished)
}

// export writes the request's folder.
func (t *Trainer) export(m *central.Matter) (*Exported, error) {
	var c fleet.Cause
	if err := json.Unmarshal(m.Data, &c); err != nil {
		return nil, fmt.Errorf("what %s was requested for can't be read: %w", m.ID, err)
	}
	now, err := t.windows(c.Model, c.Lineage.From, c.Lineage.To)
	if err != nil {
		return nil, err
	}
	var before *telemetry.Window
	if b := c.Lineage.Baseline; b != nil {
		if before, err = t.windows(c.Model, b.From, b.To); err != nil {
			return nil, err
		}
	}
	d, err := describe(&c, now, before)
	if err != nil {
		return nil, err
	}
	q := &Request{Schema: Schema, ID: m.ID, Record: m.Hash.String(), Requested: m.At, Approved: m.Decided.At, Deadline: m.Decided.At.Add(t.Options.Deadline),
		Model: Wanted{Kind: KindEmbedder, Format: FormatStatic, MaxBytes: semantic.MaxFile}, Drift: d.drift, Windows: d.windows, Questions: d.questions,
		Beat: Beat{GoldenLoss: t.Options.GoldenLoss, HeldOutGain: t.Options.HeldOutGain, Answers: d.rates}}
	hash, err := t.fill(q, t.Dir(m.ID))
	if err != nil {
		return nil, err
	}
	return &Exported{hash.String(), q.Deadline, q.Model.Kind}, nil
}

// windows of a model from from on and before to, of all sites, added up; nil: there are
// none.
func (t *Trainer) windows(model string, from, to time.Time) (*telemetry.Window, error) {
	var ws []*telemetry.Window
	if err := t.Folder.Windows(from, to, nil, func(k central.Kept) error {
		w, err := fleet.ReadWindow(k.Data)
		if err == nil && w.Model == model {
			ws = append(ws, w)
		}
		return nil // one that is damaged is told of by 'central fleet'
	}); err != nil || len(ws) == 0 {
		return nil, err
	}
	return telemetry.Sum(ws)
}

// note of the bundle of a matter, by which it is known again after a kill.
func note(m *central.Matter) string { return "trained for " + m.ID }

// publish the model of a matter, held.
func (t *Trainer) publish(ctx context.Context, m *central.Matter) (*Published, error) {
	r, err := RegisteredOf(m)
	if err != nil {
		return nil, err
	}
	all, err := t.Folder.Manifests()
	if err != nil {
		return nil, err
	}
	path, err := t.modelOf(m, r)
	if err != nil {
		return nil, err
	}
	out := &Published{Channel: t.Options.Channel, Name: r.Name}
	has := func(b *bundle.Manifest) bool {
		for _, a := range b.Artefacts {
			if a.Kind == bundle.KindModel && a.SHA256.String() == r.SHA256 {
				return true
			}
		}
		return false
	}
	for _, b := range all {
		if b.Channel == out.Channel && b.Note == note(m) && has(b) { // before a kill
			out.Bundle = b.Number
			if out.Trial, err = t.trialOf(b); err != nil {
				return nil, err
			}
			return out, t.push(ctx)
		}
	}
	rel := central.Release{Channel: out.Channel, Note: note(m), Hold: true, Who: t.Options.Who,
		Files: []central.File{{Name: r.Name, Kind: bundle.KindModel, Path: path, Version: strings.TrimPrefix(m.ID, "retrain-")}}}
	set, err := t.Folder.Released(out.Channel)
	if err != nil {
		return nil, err
	}
	if out.Trial, err = t.askForTrial(m, &rel, set); err != nil {
		return nil, fmt.Errorf("the trial of the model of %s: %w", m.ID, err)
	}
	if r.Champion != "" && set != nil { // the one whose place it takes
		for _, a := range set.Manifest.Artefacts {
			if a.Kind == bundle.KindModel && a.SHA256.String() == r.Champion && a.Name != r.Name {
				rel.Drop = append(rel.Drop, a.Name)
			}
		}
	}
	p, err := t.Folder.Publish(rel)
	if err != nil {
		return nil, fmt.Errorf("publishing the model of %s: %w", m.ID, err)
	}
	out.Bundle = p.Number
	return out, t.push(ctx)
}

func (t *Trainer) push(ctx context.Context) error {
	if t.Options.Local {
		return nil
	}
	return t.Push(ctx)
}

// create the rollout of a bundle, where there is none yet.
func (t *Trainer) create(ctx context.Context, m *central.Matter, p *Published) error {
	r, err := t.rollout(p)
	if err != nil {
		return err
	}
	if r != nil && r.Plan == nil {
		plan := t.Options.Plan
		if p.Trial != "" {
			plan.Silence = max(plan.Silence, trialSilence)
		}
		if _, err := t.Folder.CreateRollout(p.Channel, p.Bundle, plan, central.By{Who: t.Options.Who, Reason: note(m)}); err != nil {
			return fmt.Errorf("the rollout of bundle %d: %w", p.Bundle, err)
		}
	}
	if t.Options.Local {
		return nil
	}
	return t.Folder.PushGates(ctx, t.Options.Hubs)
}

func (t *Trainer) rollout(p *Published) (*central.Rollout, error) {
	all, err := t.Folder.Rollouts()
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Channel == p.Channel && r.Bundle == p.Bundle {
			return r, nil
		}
	}
	return nil, nil
}

// watch a rollout until it has ended.
func (t *Trainer) watch(m *central.Matter) (next central.FleetAction, data any, why string, err error) {
	p, err := data1[Published](m, record.RetrainRolling)
	if err != nil {
		return "", nil, "", err
	}
	r, err := t.rollout(p)
	if err != nil || r == nil {
		return "", nil, "", err
	}
	switch r.State {
	case central.RolloutDone:
		return record.RetrainConfirmed, Ended{Bundle: p.Bundle}, fmt.Sprintf("bundle %d is confirmed by the sites", p.Bundle), nil
	case central.RolloutAborted:
		f, err := t.halted(p)
		if err != nil {
			return "", nil, "", err
		}
		e := Ended{Bundle: p.Bundle, Why: r.Reason, Figures: f}
		if f != nil && f.NotValidated > 0 && f.RolledBack == 0 {
			return record.RetrainRefused, e, r.Reason, nil
		}
		return record.RetrainRolledBack, e, r.Reason, nil
	}
	return "", nil, "", nil
}

// halted gives the figures at which a rollout was halted last; nil: it never was.
func (t *Trainer) halted(p *Published) (f *central.Figures, err error) {
	all, err := t.Folder.Audit()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		var c central.Record
		if err := json.Unmarshal(s.Record, &c); err != nil {
			return nil, err
		}
		if c.Channel == p.Channel && c.Bundle == p.Bundle && c.Action == central.ActHalt {
			f = c.Figures
		}
	}
	return f, nil
}

// Run takes up what the hub tells of, and looks at what waits every so often, until ctx
// ends.
func (t *Trainer) Run(ctx context.Context, every time.Duration, failed func(error)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lock := make(chan struct{}, 1)
	see := func(do func() error) error {
		lock <- struct{}{}
		defer func() { <-lock }()
		if err := do(); err != nil && ctx.Err() == nil {
			failed(err)
			return err
		}
		return nil
	}
	ended := make(chan error, 1)
	go func() {
		for {
			err := t.Folder.Retrainings(ctx, t.Options.Hubs, func(id string) error {
				return see(func() error { _, err := t.Step(ctx, id); return err })
			})
			if ctx.Err() != nil {
				ended <- nil
				return
			}
			failed(err)
			select {
			case <-ctx.Done():
			case <-time.After(every):
			}
		}
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_ = see(func() error { return t.Sweep(ctx) })
		select {
		case <-ctx.Done():
			return <-ended
		case <-tick.C:
		}
	}
}

// ReadRequest of a matter's folder, checked against what is on record.
func (t *Trainer) ReadRequest(m *central.Matter) (*Request, error) {
	x, err := data1[Exported](m, record.RetrainExported)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(t.Dir(m.ID), RequestFile))
	if errors.Is(err, fs.ErrNotExist) || err == nil && bundle.HashOf(b).String() != x.Request {
		return nil, fmt.Errorf("the request in %s is not the one that is on record; restore the folder from its backup", t.Dir(m.ID))
	}
	if err != nil {
		return nil, err
	}
	return ParseRequest(strings.NewReader(string(b)))
}
