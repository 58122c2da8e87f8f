package llama

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"rxedge/inference"
)

// MemoryError says that a model does not fit, and by how much, in bytes.
type MemoryError struct {
	Model  string
	Where  string // "memory" or "GPU memory"
	Needed int64
	Free   int64 // if every model that nobody uses were unloaded
	Budget int64 // for all models together
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("model %s needs %s of %s and %s of a budget of %s are free; give it a smaller context or fewer slots, unload another model, or take a smaller one",
		e.Model, megabytes(e.Needed), e.Where, megabytes(e.Free), megabytes(e.Budget))
}

// Unwrap makes it an ErrOutOfMemory.
func (e *MemoryError) Unwrap() error { return ErrOutOfMemory }

func megabytes(n int64) string { return fmt.Sprintf("%d MB", (n+500_000)/1_000_000) }

// PoolOptions say how much may be loaded and for how long.
type PoolOptions struct {
	// Load says how a model is loaded, by its name in the catalog. An error goes
	// to whoever asked for the model.
	Load func(model string) (Options, error)
	// Memory is the budget of all children together, in bytes; 0: 80 % of the
	// machine's. DeviceMemory is that of the GPU; 0: unchecked.
	Memory, DeviceMemory int64
	Idle                 time.Duration           // without use, after which a model is unloaded; 0: never
	Keep                 func(model string) bool // tells which are not unloaded for idleness; nil: none
	Log                  *slog.Logger            // nil: none
}

// Pool keeps a child for each model that is in use, within a budget of memory:
// those that nobody uses make room, the least recently used first. It is safe
// for concurrent use.
type Pool struct {
	o PoolOptions

	loading sync.Mutex // one load or unload at a time; taken before mu

	mu      sync.Mutex
	entries map[string]*entry
	info    map[string]inference.EmbedderInfo // of models that were ready once
	closed  bool
	stop    chan struct{}
	done    chan struct{}
}

// entry is a loaded model.
type entry struct {
	name     string
	server   *Server
	estimate Estimate
	leases   int
	used     time.Time // the latest lease's end
	// stale says why it is to be loaded anew; idle is closed then when its last
	// lease has ended.
	stale string
	idle  chan struct{}
}

// NewPool makes an empty pool.
func NewPool(o PoolOptions) (*Pool, error) {
	if o.Load == nil {
		return nil, errors.New("a pool needs to know how a model is loaded")
	}
	if o.Memory < 0 || o.DeviceMemory < 0 || o.Idle < 0 {
		return nil, errors.New("memory, GPU memory and the time of idleness must not be negative")
	}
	if o.Memory == 0 {
		if o.Memory, _ = machineMemory(); o.Memory == 0 {
			return nil, errors.New("the machine does not say how much memory it has; set the budget")
		}
		o.Memory = o.Memory / 10 * 8
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{o: o, entries: map[string]*entry{}, info: map[string]inference.EmbedderInfo{}, stop: make(chan struct{}), done: make(chan struct{})}
	go p.retire()
	return p, nil
}

// Lease is the use of a loaded model until Release. Meanwhile it is not unloaded.
type Lease struct {
	pool    *Pool
	entry   *entry
	release sync.Once
}

// Acquire loads the model where it is not loaded and returns its use. It does
// not wait until the model answers: requests do, and WaitReady does. Where it
// does not fit the error is a *MemoryError, and nothing was unloaded for it.
func (p *Pool) Acquire(ctx context.Context, model string) (*Lease, error) {
	if l, err := p.lease(model); l != nil || err != nil {
		return l, err
	}
	p.loading.Lock()
	defer p.loading.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if l, err := p.lease(model); l != nil || err != nil { // another was first
		return l, err
	}
	if err := p.drain(ctx, model); err != nil {
		return nil, err
	}
	o, err := p.o.Load(model)
	if err != nil {
		return nil, err
	}
	o.Name = model
	need, err := EstimateMemory(o)
	if err != nil {
		need = Estimate{Process: processMemory} // the engine will say what is wrong with it
	}
	if err := p.makeRoom(model, need); err != nil {
		return nil, err
	}
	s, err := Start(o)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errors.Join(errClosed, s.Close())
	}
	defer p.mu.Unlock()
	e := &entry{name: model, server: s, estimate: need, leases: 1, used: time.Now()}
	p.entries[model] = e
	p.o.Log.Info("loading a model", slog.String("model", model), slog.Int64("host_bytes", need.Host()), slog.Int64("device_bytes", need.Device))
	return &Lease{pool: p, entry: e}, nil
}

// lease returns the use of a model that is loaded, or nil.
func (p *Pool) lease(model string) (*Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	e := p.entries[model]
	if e == nil || e.stale != "" {
		return nil, nil
	}
	e.leases++
	return &Lease{pool: p, entry: e}, nil
}

// Fits says whether a model could be loaded beside all that are, and those others, without
// one being unloaded. The error is a *MemoryError where it could not; of a model that is
// loaded it is nil.
func (p *Pool) Fits(model string, others ...string) error {
	var need Estimate
	var host, device int64
	p.mu.Lock()
	loaded := map[string]bool{}
	for name, e := range p.entries {
		loaded[name] = true
		h, d := e.takes()
		host, device = host+h, device+d
	}
	p.mu.Unlock()
	if loaded[model] {
		return nil
	}
	for _, name := range append(others, model) {
		if loaded[name] {
			continue
		}
		loaded[name] = true
		o, err := p.o.Load(name)
		if err != nil {
			return err
		}
		if need, err = EstimateMemory(o); err != nil {
			return err
		}
		host, device = host+need.Host(), device+need.Device
	}
	if host > p.o.Memory {
		return &MemoryError{Model: model, Where: "memory", Needed: need.Host(), Free: max(p.o.Memory-host+need.Host(), 0), Budget: p.o.Memory}
	}
	if p.o.DeviceMemory > 0 && device > p.o.DeviceMemory {
		return &MemoryError{Model: model, Where: "GPU memory", Needed: need.Device, Free: max(p.o.DeviceMemory-device+need.Device, 0), Budget: p.o.DeviceMemory}
	}
	return nil
}

// makeRoom unloads idle models until need fits. It is called with loading held.
func (p *Pool) makeRoom(model string, need Estimate) error {
	p.mu.Lock()
	var idle []*entry
	var host, device, idleHost, idleDevice int64
	for _, e := range p.entries {
		h, d := e.takes()
		host, device = host+h, device+d
		if e.leases == 0 {
			idle = append(idle, e)
			idleHost, idleDevice = idleHost+h, idleDevice+d
		}
	}
	p.mu.Unlock()
	if free := p.o.Memory - host + idleHost; need.Host() > free {
		return &MemoryError{Model: model, Where: "memory", Needed: need.Host(), Free: max(free, 0), Budget: p.o.Memory}
	}
	limited := p.o.DeviceMemory > 0
	if free := p.o.DeviceMemory - device + idleDevice; limited && need.Device > free {
		return &MemoryError{Model: model, Where: "GPU memory", Needed: need.Device, Free: max(free, 0), Budget: p.o.DeviceMemory}
	}
	slices.SortFunc(idle, func(a, b *entry) int { return a.used.Compare(b.used) })
	for _, e := range idle {
		if host+need.Host() <= p.o.Memory && (!limited || device+need.Device <= p.o.DeviceMemory) {
			break
		}
		h, d := e.takes()
		if p.unload(e, 0, "to make room for "+model) {
			host, device = host-h, device-d
		}
	}
	// One of them may have been taken up again meanwhile.
	if host+need.Host() > p.o.Memory {
		return &MemoryError{Model: model, Where: "memory", Needed: need.Host(), Free: max(p.o.Memory-host, 0), Budget: p.o.Memory}
	}
	if limited && device+need.Device > p.o.DeviceMemory {
		return &MemoryError{Model: model, Where: "GPU memory", Needed: need.Device, Free: max(p.o.DeviceMemory-device, 0), Budget: p.o.DeviceMemory}
	}
	return nil
}

// takes is what a loaded model is counted for: what its child really holds where
// that is more than was expected.
func (e *entry) takes() (host, device int64) {
	host, device = e.estimate.Host(), e.estimate.Device
	if pid := e.server.State().PID; pid > 0 {
		// What is a file's is given back where memory is short; of weights that
		// were put into another order for the processor it is a second copy.
		if real, file, err := resident(pid); err == nil {
			host = max(host, real-file)
		}
	}
	return host, device
}

// unload ends a model's child if nobody uses it and it was last used at least
// so long ago. It is called with loading held.
func (p *Pool) unload(e *entry, unused time.Duration, why string) bool {
	p.mu.Lock()
	if p.entries[e.name] != e || e.leases > 0 || time.Since(e.used) < unused {
		p.mu.Unlock()
		return false
	}
	delete(p.entries, e.name)
	p.mu.Unlock()
	p.remember(e)
	p.o.Log.Info("unloading a model", slog.String("model", e.name), slog.String("reason", why))
	if err := e.server.Close(); err != nil {
		p.o.Log.Warn("unloading a model", slog.String("model", e.name), slog.String("error", err.Error()))
	}
	return true
}

func (p *Pool) remember(e *entry) {
	if info := e.server.Info(); info.Dimension > 0 {
		p.mu.Lock()
		p.info[e.name] = info
		p.mu.Unlock()
	}
}

// retire unloads what has been idle for long.
func (p *Pool) retire() {
	defer close(p.done)
	if p.o.Idle == 0 {
		<-p.stop
		return
	}
	tick := time.NewTicker(min(max(p.o.Idle/4, 10*time.Millisecond), time.Minute))
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		var idle []*entry
		for _, e := range p.entries {
			if e.leases == 0 && time.Since(e.used) >= p.o.Idle && (p.o.Keep == nil || !p.o.Keep(e.name)) {
				idle = append(idle, e)
			}
		}
		p.mu.Unlock()
		for _, e := range idle {
			p.loading.Lock()
			p.unload(e, p.o.Idle, fmt.Sprintf("nobody used it for %v", p.o.Idle))
			p.loading.Unlock()
		}
	}
}

// Unload ends a model's child where nobody uses it, and tells whether it did.
func (p *Pool) Unload(model string) bool {
	p.loading.Lock()
	defer p.loading.Unlock()
	p.mu.Lock()
	e := p.entries[model]
	p.mu.Unlock()
	return e != nil && p.unload(e, 0, "it was asked for")
}

// Retry starts a model again that is Failed.
func (p *Pool) Retry(model string) {
	p.mu.Lock()
	e := p.entries[model]
	p.mu.Unlock()
	if e != nil {
		e.server.Retry()
	}
}

// ModelState is how a loaded model is.
type ModelState struct {
	Model string `json:"model"`
	Kind  Kind   `json:"kind"`
	State
	Uses     int       `json:"uses"` // leases
	Used     time.Time `json:"used"` // when the latest lease began or ended
	Estimate Estimate  `json:"estimate"`
	Resident int64     `json:"resident"` // bytes that its child holds in memory now
}

// States are those of the loaded models, by name.
func (p *Pool) States() []ModelState {
	p.mu.Lock()
	var out []ModelState
	for _, e := range p.entries {
		out = append(out, ModelState{Model: e.name, Kind: e.server.o.Kind, State: e.server.State(), Uses: e.leases, Used: e.used, Estimate: e.estimate})
	}
	p.mu.Unlock()
	for i := range out {
		out[i].Resident, _, _ = resident(out[i].PID)
	}
	slices.SortFunc(out, func(a, b ModelState) int { return strings.Compare(a.Model, b.Model) })
	return out
}

// Close ends every child; uses that go on get an error.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.done
		return nil
	}
	p.closed = true
	close(p.stop)
	entries := p.entries
	p.entries = map[string]*entry{}
	p.mu.Unlock()
	<-p.done
	p.loading.Lock() // a load under way sees that it is too late
	defer p.loading.Unlock()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, e := range entries {
		wg.Go(func() {
			if err := e.server.Close(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Release ends the use. It may be called more than once.
func (l *Lease) Release() {
	l.release.Do(func() {
		l.pool.mu.Lock()
		defer l.pool.mu.Unlock()
		l.entry.leases--
		l.entry.used = time.Now()
		if l.entry.leases == 0 && l.entry.stale != "" {
			close(l.entry.idle)
		}
	})
}

// Server is the model's; it is not to be closed, nor used after Release.
func (l *Lease) Server() *Server { return l.entry.server }

// Handle is a model that is loaded when it is asked something and may be
// unloaded in between.
type Handle struct {
	pool  *Pool
	model string
}

var (
	_ inference.Generator = (*Handle)(nil)
	_ inference.Tokenizer = (*Handle)(nil)
	_ inference.Embedder  = (*Handle)(nil)
)

// Handle returns one; it loads nothing.
func (p *Pool) Handle(model string) *Handle { return &Handle{pool: p, model: model} }

func (h *Handle) with(ctx context.Context, f func(*Server) error) error {
	l, err := h.pool.Acquire(ctx, h.model)
	if err != nil {
		return err
	}
	defer l.Release()
	return f(l.Server())
}

// Generate implements inference.Generator.
func (h *Handle) Generate(ctx context.Context, req inference.GenerateRequest, emit func(piece string) error) (r inference.GenerateResult, err error) {
	err = h.with(ctx, func(s *Server) (err error) {
		r, err = s.Generate(ctx, req, emit)
		return err
	})
	return r, err
}

// Embed implements inference.Embedder.
func (h *Handle) Embed(ctx context.Context, texts []string) (v [][]float32, err error) {
	err = h.with(ctx, func(s *Server) (err error) {
		v, err = s.Embed(ctx, texts)
		return err
	})
	return v, err
}

// Classify returns the logits of a model that is loaded to Rank; see Server.
func (h *Handle) Classify(ctx context.Context, tokens [][]int) (logits [][]float32, err error) {
	err = h.with(ctx, func(s *Server) (err error) {
		logits, err = s.Classify(ctx, tokens)
		return err
	})
	return logits, err
}

// Tokenize implements inference.Tokenizer.
func (h *Handle) Tokenize(ctx context.Context, text string) (tokens []int, err error) {
	err = h.with(ctx, func(s *Server) (err error) {
		tokens, err = s.Tokenize(ctx, text)
		return err
	})
	return tokens, err
}

// Properties describes the loaded model.
func (h *Handle) Properties(ctx context.Context) (props Properties, err error) {
	err = h.with(ctx, func(s *Server) (err error) {
		props, err = s.Properties(ctx)
		return err
	})
	return props, err
}

// WaitReady loads the model and waits until it answers.
func (h *Handle) WaitReady(ctx context.Context) error {
	return h.with(ctx, func(s *Server) error { return s.WaitReady(ctx) })
}

// Model implements inference.Generator.
func (h *Handle) Model() string { return h.model }

// Info implements inference.Embedder; of a model that was never ready it is the
// name alone.
func (h *Handle) Info() inference.EmbedderInfo {
	h.pool.mu.Lock()
	e, info := h.pool.entries[h.model], h.pool.info[h.model]
	h.pool.mu.Unlock()
	if e != nil {
		if now := e.server.Info(); now.Dimension > 0 || info.Dimension == 0 {
			return now
		}
	}
	info.Name = h.model
	return info
}
