package box

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/config"
	"rxedge/daemon/rollout"
	profiles "rxedge/firmware-profiles"
	"rxedge/inference"
	"rxedge/inference/bert"
	"rxedge/inference/catalog"
	"rxedge/inference/ladder"
	"rxedge/inference/llama"
)

// phaseIdle: a model that is loaded when it is first asked for.
const phaseIdle = "idle"

// phaseMissing: a model that the catalog does not have.
const phaseMissing = "missing"

// Models runs one engine for each model that is asked for, as the firmware
// profile and the configuration say, within a budget of memory.
type Models struct {
	catalog *catalog.Catalog
	cfg     config.Model
	log     *slog.Logger
	chosen  func() choice               // of the profile; looks around once
	pool    func() (*llama.Pool, error) // made when a model is first asked for

	use map[catalog.Kind]string // the configured models; "": none
	// files gives the path of an adapter or a profile that a pair has.
	files func(rollout.File) string

	mu    sync.Mutex
	step  ladder.State // where the ladder stands
	kept  map[string]bool
	named string                 // the profile, once it is chosen
	why   string                 // it was chosen
	berts map[string]*bert.Model // by the hash of their file
	// variants of models by the names that they run under.
	variants map[string]variant
	fit      map[string]error // whether models fit, once it was looked
	opened   *llama.Pool
	closed   bool
}

// choice of the firmware profile.
type choice struct {
	profile profiles.Profile
	why     string
	// onCard: the engine can put layers on a card.
	onCard bool
	memory uint64 // of the machine, bytes
	// unsuited says why the machine can't be run by the profile; "": it can.
	unsuited profiles.Finding
}

func newModels(c *catalog.Catalog, cfg config.Model, data string, log *slog.Logger) *Models {
	m := &Models{catalog: c, cfg: cfg, log: log, kept: map[string]bool{}, fit: map[string]error{}, use: map[catalog.Kind]string{}}
	m.chosen = sync.OnceValue(func() choice {
		c := choose(cfg, data, log)
		m.mu.Lock()
		m.named, m.why = c.profile.Name, c.why
		m.mu.Unlock()
		return c
	})
	m.pool = sync.OnceValues(m.open)
	for kind, name := range map[catalog.Kind]string{catalog.Generator: cfg.Generator, catalog.Embedder: cfg.Embedder,
		catalog.Reranker: cfg.Reranker, catalog.Entailer: cfg.Entailer} {
		m.use[kind] = m.resolve(name, kind)
	}
	return m
}

func choose(cfg config.Model, data string, log *slog.Logger) choice {
	ctx, cancel := context.WithTimeout(context.Background(), gpuTimeout)
	defer cancel()
	machine, err := LookAround(ctx, data)
	if err != nil {
		log.Warn("the cards can't be read; models run on the processor", "error", err)
	}
	c := choice{memory: machine.Memory, onCard: machine.Engine != "" && machine.Engine != "cpu"}
	if cfg.Profile == config.Auto || cfg.Profile == "" {
		c.profile, c.why = profiles.Detect(machine)
	} else if c.profile, err = profiles.Get(cfg.Profile); err != nil { // config.Check has seen it
		c.profile, c.why = profiles.Detect(machine)
	} else {
		c.why = "the configuration names it"
	}
	machine.Disk = 0 // room on it has conditions of its own
	for _, f := range profiles.Check(c.profile, machine) {
		if f.Level == profiles.Refuse && c.unsuited.What == "" {
			c.unsuited = f
		}
	}
	log.Info("firmware profile", "profile", c.profile.Name, "because", c.why, "on_card", c.onCard)
	return c
}

// open makes the pool.
func (m *Models) open() (*llama.Pool, error) {
	o := llama.PoolOptions{Load: m.load, Idle: time.Duration(m.cfg.Idle), Keep: m.keeps, Log: m.log}
	o.Memory, o.DeviceMemory = m.budgets()
	p, err := llama.NewPool(o)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errors.Join(inference.ErrEngineStarting, p.Close())
	}
	m.opened = p
	return p, nil
}

// budgets of the machine's memory and of the card's for all models together, in
// bytes; 0: no bound.
func (m *Models) budgets() (host, device int64) {
	c := m.chosen()
	switch {
	case m.cfg.Memory > 0:
		host = int64(m.cfg.Memory) << 20
	case !c.profile.GPU() || c.profile.Memory.Shared:
		// The profile's budget is for the least machine it is meant for; half of
		// a larger one may be taken.
		host = max(int64(c.profile.Memory.Budget)<<20, int64(c.memory/2))
		if total := int64(c.memory / 10 * 8); total > 0 {
			host = min(host, total)
		}
	}
	if c.profile.GPU() && !c.profile.Memory.Shared && c.onCard {
		device = int64(c.profile.Memory.Budget) << 20
	}
	return host, device
}

func (m *Models) keeps(model string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[model]
}

// resolve turns "auto" into the profile's model where the catalog has it, and
// else into what is built in: an embedder, judges, no generator. A model that is configured is not unloaded for idleness.
func (m *Models) resolve(name string, kind catalog.Kind) string {
	switch {
	case name == config.Builtin && kind == catalog.Embedder:
		return name
	case (name == config.Builtin || name == config.None) && kind != catalog.Generator:
		return "" // of the judges, the one built in
	}
	auto := name == config.Auto
	if auto {
		name = ""
		entries, _ := m.catalog.List()
		for _, e := range entries {
			if e.Kind != kind {
				continue
			}
			p := m.chosen().profile // looks around only where there is something to choose
			wants := map[catalog.Kind]string{catalog.Generator: p.Generator.Model, catalog.Embedder: p.Embedder.Model,
				catalog.Reranker: p.Reranker.Model, catalog.Entailer: p.Entailer.Model}[kind]
			if strings.EqualFold(e.Name, wants) {
				name = e.Name
			}
		}
	}
	if name == "" && auto && kind == catalog.Embedder {
		return config.Builtin
	}
	if name != "" {
		if e, err := m.catalog.Get(name); err == nil {
			name = e.Name // with its capitals
		}
		m.mu.Lock()
		m.kept[name] = true
		m.mu.Unlock()
	}
	return name
}

// roles are what a model of each kind is loaded for.
var roles = map[catalog.Kind]llama.Kind{catalog.Generator: llama.Generate, catalog.Embedder: llama.Embed, catalog.Reranker: llama.Rank, catalog.Entailer: llama.Rank}

// load says how a model is loaded: as the profile has it on the ladder's step,
// with what the configuration sets before it.
func (m *Models) load(name string) (llama.Options, error) {
	v := m.variant(name)
	e, err := m.catalog.Get(v.name)
	if err != nil {
		return llama.Options{}, err
	}
	engine, err := llama.Find()
	if err != nil {
		return llama.Options{}, err
	}
	m.mu.Lock()
	step := m.step.Step
	m.mu.Unlock()
	c := m.chosen()
	if v.profile != nil {
		c.profile = *v.profile
	}
	o := m.options(e, c, step)
	o.Engine = engine
	if v.adapter != "" {
		adapters := map[string]string{v.adapter: v.path}
		maps.Copy(adapters, o.Adapters)
		o.Adapters = adapters
	}
	return o, nil
}

func (m *Models) options(e catalog.Entry, c choice, step ladder.Step) llama.Options {
	p, cfg := c.profile, m.cfg
	o := llama.Options{Model: m.catalog.Path(e), Name: e.Name, SHA256: e.SHA256, Kind: roles[e.Kind], Log: m.log, Threads: cfg.Threads}
	if o.Kind != llama.Generate {
		enc := map[catalog.Kind]profiles.Encoder{catalog.Embedder: p.Embedder, catalog.Reranker: p.Reranker, catalog.Entailer: p.Entailer}[e.Kind]
		if o.Threads == 0 {
			o.Threads = enc.Threads
		}
		if enc.GPU && c.onCard && step.Apply(p.Settings()).EmbedOnGPU {
			o.GPULayers = llama.AllLayers
		} else {
			o.Device = llama.NoDevice
		}
		return o
	}
	at := p.Settings()
	set := func(to *int, from int) {
		if from > 0 {
			*to = from
		}
	}
	set(&at.Context, cfg.Context)
	set(&at.Slots, cfg.Slots)
	set(&at.Batch, cfg.Batch)
	at.MicroBatch = min(at.MicroBatch, at.Batch)
	layers := p.Generator.GPULayers
	if cfg.GPULayers != nil {
		layers = *cfg.GPULayers
		at.GenerateOnGPU = layers != 0
	}
	at = step.Apply(at)
	o.Context, o.Slots, o.Batch, o.MicroBatch = at.Context, at.Slots, at.Batch, at.MicroBatch
	if trained := int(min(e.ContextLength, 1<<30)); trained > 0 {
		o.Context = min(o.Context, trained)
	}
	if at.GenerateOnGPU && c.onCard {
		o.GPULayers = layers
	} else {
		o.Device = llama.NoDevice
	}
	if o.KV = llama.KVType(p.Generator.KVType); cfg.KVType != "" {
		o.KV = llama.KVType(cfg.KVType)
	}
	if p.Generator.FlashAttention || o.KV != llama.KVF16 {
		o.Flash = llama.FlashAuto
		if o.KV != llama.KVF16 {
			o.Flash = llama.FlashOn
		}
	} else {
		o.Flash = llama.FlashOff
	}
	if o.Threads == 0 {
		o.Threads = p.Generator.Threads
	}
	for _, a := range cfg.Adapters {
		if strings.EqualFold(a.Base, e.Name) {
			if o.Adapters == nil {
				o.Adapters = map[string]string{}
			}
			o.Adapters[a.Name] = a.Path
		}
	}
	return o
}

// Names implements api.Models.
func (m *Models) Names() []string {
	entries, err := m.catalog.List()
	if err != nil {
		m.log.Warn("listing the catalog", "error", err)
	}
	var out []string
	for _, e := range entries {
		if e.Kind == catalog.Generator {
			out = append(out, e.Name)
		}
	}
	return out
}

// SteppedBackError says that no model writes now, to spare the card.
type SteppedBackError struct{ State ladder.State }

func (e *SteppedBackError) Error() string {
	return fmt.Sprintf("no language model runs at the moment, to spare the card: %s", e.State.Why)
}

// Unwrap lets those who know nothing of ladders answer without a model.
func (e *SteppedBackError) Unwrap() error { return inference.ErrSteppedBack }

// Generator implements api.Models; the model is loaded when it is asked
// something.
func (m *Models) Generator(_ context.Context, name string) (inference.Generator, error) {
	m.mu.Lock()
	st := m.step
	m.mu.Unlock()
	if st.Step == ladder.ExtractiveOnly {
		return nil, &SteppedBackError{st}
	}
	h, err := m.handle(name, catalog.Generator)
	if err != nil {
		return nil, err // an interface that holds nothing is not nil
	}
	if v := m.variant(name); v.adapter != "" {
		return adapted{h, v.adapter}, nil
	}
	return h, nil
}

// handle of a model of that kind; nothing is loaded yet.
func (m *Models) handle(name string, kind catalog.Kind) (*llama.Handle, error) {
	v := m.variant(name)
	e, err := m.catalog.Get(v.name)
	if err != nil {
		return nil, err
	}
	if e.Kind != kind {
		return nil, fmt.Errorf("model %s is a %s, not a %s: %w", name, e.Kind, kind, inference.ErrModelNotFound)
	}
	if _, err := llama.Find(); err != nil {
		return nil, err
	}
	p, err := m.pool()
	if err != nil {
		return nil, err
	}
	m.catalog.Used(e)
	if v.name != name {
		return p.Handle(name), nil
	}
	return p.Handle(e.Name), nil
}

// Step is where the ladder stands.
func (m *Models) Step() ladder.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.step
}

// stepTo lets models be loaded anew with the settings of a step.
func (m *Models) stepTo(st ladder.State) {
	m.mu.Lock()
	was, pool := m.step, m.opened
	m.step = st
	m.mu.Unlock()
	m.log.Warn("stepping", "from", was.Step.String(), "to", st.Step.String(), "because", st.Why, "so", st.Step.Text())
	at := m.chosen().profile.Settings()
	if pool != nil && was.Step.Apply(at) != st.Step.Apply(at) {
		pool.Refresh("its settings change: " + st.Step.Text())
	}
}

func (m *Models) profileName() string {
	name, _ := m.profileAndWhy()
	return name
}

// profileAndWhy it was chosen; both are "" until it is.
func (m *Models) profileAndWhy() (name, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.named, m.why
}

// ChooseProfile looks at the machine, which may take a driver seconds, and says in
// the log what was chosen.
func (m *Models) ChooseProfile() { m.chosen() }

// States of the models that are loaded.
func (m *Models) States() []llama.ModelState {
	m.mu.Lock()
	p := m.opened
	m.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.States()
}

func (m *Models) state(name string) api.ModelState {
	if name == config.Builtin {
		return builtinState()
	}
	for _, st := range m.States() {
		if st.Model == name {
			return api.ModelState{Name: name, Phase: string(st.Phase), Reason: st.Reason, Since: st.Since, Restarts: st.Restarts,
				Running: st.Running, Waiting: st.Waiting, MemoryBytes: st.Resident}
		}
	}
	if _, err := m.catalog.Get(m.variant(name).name); err != nil {
		return api.ModelState{Name: name, Phase: phaseMissing, Reason: "not in the catalog; 'rxedge model import' adds it"}
	}
	return api.ModelState{Name: name, Phase: phaseIdle}
}

// loaded are those beside the configured ones.
func (m *Models) loaded(but ...string) []api.ModelState {
	var out []api.ModelState
next:
	for _, st := range m.States() {
		for _, b := range but {
			if st.Model == b {
				continue next
			}
		}
		out = append(out, m.state(st.Model))
	}
	return out
}

// fits says whether a model fits into the memory that models may take, if no other were
// loaded: a *llama.MemoryError where not. It looks once, after the profile was chosen.
func (m *Models) fits(name string) error {
	m.mu.Lock()
	err, looked := m.fit[name]
	known := m.named != ""
	m.mu.Unlock()
	if looked || !known || name == config.Builtin {
		return err
	}
	host, device := m.budgets()
	if o, lerr := m.load(name); lerr == nil {
		if need, eerr := llama.EstimateMemory(o); eerr == nil {
			switch {
			case host > 0 && need.Host() > host:
				err = &llama.MemoryError{Model: name, Where: "memory", Needed: need.Host(), Free: host, Budget: host}
			case device > 0 && need.Device > device:
				err = &llama.MemoryError{Model: name, Where: "GPU memory", Needed: need.Device, Free: device, Budget: device}
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fit[name] = err
	return err
}

// Close ends every engine.
func (m *Models) Close() error {
	m.mu.Lock()
	m.closed = true
	p := m.opened
	m.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.Close()
}
