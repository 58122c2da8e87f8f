package box

import (
	"context"
	"errors"
	"sync"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/watch"
	"rxedge/daemon/telemetry"
	"rxedge/index"
	"rxedge/inference"
)

// onTrial is what is seen of a provisional pair.
type onTrial struct {
	*watch.Watch
	pair     string // id
	model    string
	restarts int    // of its engine, when it began to be watched
	unready  string // what the last probe found; under rolling.mu
	// sketch of the pair's own answers, by cohort; under rolling.mu.
	sketch *telemetry.Window
	before sync.Once // served is read once: it stays as it is
	served cohorts   // of what served before, where it has other documents alone
}

// restarts of a model's engine by itself.
func (b *Box) restarts(model string) int {
	for _, st := range b.Models.States() {
		if st.Model == model {
			return st.Restarts
		}
	}
	return 0
}

// budget of the 95th percentile of a pair's answers: the configuration's, or else that of
// the firmware profile which comes with the pair, or of the box's own.
func (b *Box) budget(p rollout.Pair, model string) time.Duration {
	if d := time.Duration(b.Config.Rollout.Latency); d > 0 {
		return d
	}
	l := b.Models.chosen().profile.Latency
	if f := p.Profile; f.SHA256 != "" {
		prof, err := readProfile(b.filePath(f), f.Name)
		if err != nil {
			b.log.Error("a profile that came with a bundle can't be read; the budget of latency is the box's own", "profile", f.Name, "error", err)
		} else {
			l = prof.Latency
		}
	}
	if model != "" {
		return time.Duration(l.Generated)
	}
	return time.Duration(l.Extractive)
}

// beginWatch of a pair that begins to serve.
func (b *Box) beginWatch(p rollout.Pair) {
	model := b.modelOf(p)
	l := watch.Default()
	l.Budget = b.budget(p, model)
	now := time.Now()
	w := &onTrial{Watch: watch.New(l, b.rollout.recent.Baseline(time.Since(b.started)), now), pair: p.ID, model: model,
		restarts: b.restarts(model), sketch: telemetry.NewWindow(now, now, model, p.Generation)}
	b.rollout.mu.Lock()
	b.rollout.watch = w
	b.rollout.mu.Unlock()
}

func (b *Box) onTrial() *onTrial {
	b.rollout.mu.Lock()
	defer b.rollout.mu.Unlock()
	return b.rollout.watch
}

// watched takes in an answer of what serves; by is nil where that is not known.
func (b *Box) watched(by *question, a *answer.Answer, err error) {
	if w := b.onTrial(); w != nil {
		w.Observe(a, err)
		if a != nil && by != nil && by.ID == w.pair && watch.Counts(a, err) {
			o := telemetry.Of(a, err, a.Cohort, -1, time.Now())
			b.rollout.mu.Lock()
			w.sketch.Add(&o)
			b.rollout.mu.Unlock()
		}
		return
	}
	b.rollout.recent.Observe(a, err)
}

// trouble with the provisional pair; nil: there is none.
func (b *Box) trouble(now time.Time) *rollout.Check {
	w := b.onTrial()
	if w == nil {
		return nil
	}
	for n := b.restarts(w.model); w.restarts < n; w.restarts++ {
		w.EngineDied()
	}
	b.rollout.mu.Lock()
	why := w.unready
	b.rollout.mu.Unlock()
	if b.lost() {
		why = "nothing of the documents can be searched"
	}
	w.Ready(why == "", why, now)
	return w.Trouble(now)
}

// seen is what was seen of a pair while it was watched.
type seen struct {
	pair string
	watch.Counted
}

// endWatch keeps what was seen, for the centre.
func (b *Box) endWatch() {
	b.rollout.mu.Lock()
	defer b.rollout.mu.Unlock()
	if w := b.rollout.watch; w != nil {
		b.rollout.seen = seen{w.pair, w.Counted()}
	}
	b.rollout.watch = nil
}

// seenOf a pair, in numbers, while it is watched and after.
func (b *Box) seenOf(id string) watch.Counted {
	b.rollout.mu.Lock()
	defer b.rollout.mu.Unlock()
	switch w := b.rollout.watch; {
	case w != nil && w.pair == id:
		return w.Counted()
	case b.rollout.seen.pair == id:
		return b.rollout.seen.Counted
	}
	return watch.Counted{}
}

const (
	watchTell  = 15 * time.Second // the centre is told how a watched pair does
	probeEvery = 4 * time.Second
	probeWait  = 6 * time.Second // for an answer to a probe
)

// probe asks what is provisional now and then whether it is ready, while nobody asks:
// a pair that hangs must go back though nobody was there to see it.
func (b *Box) probe(ctx context.Context, now time.Time) {
	w := b.onTrial()
	if w == nil || b.rollout.asking.Count() > 0 {
		return
	}
	r := &b.rollout
	r.mu.Lock()
	due := !r.probing && now.Sub(r.probed) >= probeEvery
	if due {
		r.probing = true
	}
	r.mu.Unlock()
	if !due {
		return
	}
	go func() {
		err := b.isReady(ctx, w.model)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.probing, r.probed = false, time.Now()
		switch {
		case ctx.Err() != nil:
		case err == nil, errors.Is(err, inference.ErrSteppedBack):
			w.unready = ""
		case r.asking.Count() == 0: // else it may have waited for others, whose answers tell
			w.unready = err.Error()
		}
	}()
}

// isReady: the index searches and the model writes a token.
func (b *Box) isReady(ctx context.Context, model string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeWait, errors.New("no answer to a probe within "+probeWait.String()))
	defer cancel()
	ctx = inference.WithCaller(ctx, inference.Caller{Key: "rollout", Priority: inference.Background})
	snap := b.Index.Acquire()
	if snap == nil {
		return index.ErrClosed
	}
	defer snap.Release()
	_, err := snap.Search(ctx, index.Query{Text: "dose", K: 1, Mode: index.ModeBM25})
	if err == nil && model != "" {
		var g inference.Generator
		if g, err = b.Models.Generator(ctx, model); err == nil {
			_, err = g.Generate(ctx, inference.GenerateRequest{Prompt: "dose", MaxTokens: 1}, func(string) error { return nil })
		}
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
