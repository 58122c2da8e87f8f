package box

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/config"
	"rxedge/daemon/rollout/trial"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/daemon/telemetry/precision"
	"rxedge/inference/ladder"
)

const (
	// fullTick is how often it is looked whether what was gathered may be asked.
	fullTick = 15 * time.Second
	// fullQueue questions wait; when fullBatch do they are asked, however long they waited.
	fullQueue = 64
	fullBatch = 16
	// fullAge of a question, after which its text is let go.
	fullAge = 24 * time.Hour
	// fullCapacity is the share of the time in which nobody asks: all of it, as there is an end.
	fullCapacity = 1
	// agreementHours that figures are of: a hundredth of a day's questions are few.
	agreementHours = 7 * 24 * time.Hour
	agreementEvery = time.Minute
)

// fullPrecision asks a sample of the questions again, of the model that answered at full
// precision. The texts are in memory alone; what is left is telemetry.Compared.
type fullPrecision struct {
	shadow *shadow
	pace   trial.Pace
	model  atomic.Pointer[fullModel] // nil: there is none

	mu      sync.Mutex
	off     string // why nothing is asked twice now; "": it is
	waiting []shadowed
	asked   int64
	moved   int64 // not asked, as documents or model were others by then
	failed  int64
	known   map[string]*telemetry.Concordance // by model, of the last days
	looked  time.Time
}

// fullModel is a model that answers, and its variant at full precision.
type fullModel struct{ of, key, name string }

// FullPrecision says how questions are asked twice.
type FullPrecision struct {
	Of    string  `json:"of,omitempty"`    // the model that answers
	Model string  `json:"model,omitempty"` // the same at full precision
	Share float64 `json:"share"`
	Off   string  `json:"off,omitempty"` // why nothing is asked twice now
	// Waiting are sampled and not asked yet; Asked since the start, of which so many
	// could not be answered; Moved were not asked, as what answers is another by now.
	Waiting int            `json:"waiting"`
	Asked   int64          `json:"asked"`
	Failed  int64          `json:"failed"`
	Moved   int64          `json:"moved"`
	Dropped RolloutDropped `json:"dropped"`
}

func (b *Box) openFullPrecision() {
	f := &b.full
	f.off = "no daemon runs"
	f.shadow = &shadow{b: b, key: "full_precision", age: fullAge, take: f.take, told: f.told, over: func() bool { return false },
		begin: func(now time.Time, asking int) (func(time.Duration), bool) {
			return f.pace.Begin(fullCapacity, now, asking)
		}}
}

// sample keeps one in some questions that a model was asked, to be asked again.
func (b *Box) sample(ctx context.Context, q answer.Question, a *answer.Answer, err error) {
	m := b.full.model.Load()
	if m == nil || err != nil || len(a.Written()) == 0 || rand.Float64() >= b.Config.Telemetry.FullPrecision.Share {
		return
	}
	by, _ := answer.ServingOf(ctx).(*question)
	if by == nil || by.challenge != nil || by.model != m.of {
		return
	}
	f := &b.full
	f.mu.Lock()
	full := len(f.waiting) >= fullQueue
	if !full {
		f.waiting = append(f.waiting, shadowed{q, a, nil, time.Now()})
	}
	f.mu.Unlock()
	if full {
		f.shadow.drop(func(d *RolloutDropped) { d.Full++ })
	}
}

// RunFullPrecision asks what was sampled until ctx ends.
func (b *Box) RunFullPrecision(ctx context.Context) {
	f, cfg := &b.full, b.Config.Telemetry.FullPrecision
	if cfg.Share == 0 || cfg.Model == "" || cfg.Model == config.None {
		f.stop("it is switched off (telemetry.full_precision)")
		return
	}
	defer f.stop("no daemon runs")
	gather := time.Duration(cfg.Gather)
	tick := time.NewTicker(min(gather, fullTick))
	defer tick.Stop()
	for {
		if off := b.fullOff(time.Now()); off == "" && f.due(time.Now(), gather) {
			b.askTwice(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// stop sampling, and let go of what waits.
func (f *fullPrecision) stop(why string) {
	f.model.Store(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off, f.waiting = why, nil
}

// fullOff says why nothing may be asked twice now; "": it may. Where there is no such
// model nothing is sampled either.
func (b *Box) fullOff(now time.Time) string {
	f := &b.full
	m, why := b.fullModel()
	f.model.Store(m)
	if m != nil {
		cfg := b.Config.Telemetry.FullPrecision
		switch st := b.Models.Step(); {
		case st.Step > ladder.Normal:
			why = "it is stepped back: " + st.Step.Text()
		case cfg.Hours != (config.Hours{}) && !cfg.Hours.Contains(now):
			why = "outside of its hours (telemetry.full_precision.hours)"
		case b.challenging() != nil:
			why = "a trial is under way, whose challenger is asked"
		default:
			if err := b.Models.fitsBeside(m.key); err != nil {
				why = err.Error()
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = why
	if m == nil {
		f.waiting = nil
	}
	f.waiting = slices.DeleteFunc(f.waiting, func(j shadowed) bool { return now.Sub(j.at) > fullAge })
	return why
}

// fullModel of what answers now; nil and why there is none.
func (b *Box) fullModel() (*fullModel, string) {
	of := b.writes()
	if of == "" {
		return nil, "no language model writes answers"
	}
	key, name, err := b.Models.fullPrecision(of, b.Config.Telemetry.FullPrecision.Model)
	if err != nil {
		return nil, err.Error()
	}
	return &fullModel{of, key, name}, ""
}

// due: enough was gathered, or some of it long enough, to load the model for.
func (f *fullPrecision) due(now time.Time, gather time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting) >= fullBatch || len(f.waiting) > 0 && now.Sub(f.waiting[0].at) >= gather
}

// askTwice asks what waits, and unloads the model then.
func (b *Box) askTwice(ctx context.Context) {
	f := &b.full
	m := f.model.Load()
	for ctx.Err() == nil && b.fullOff(time.Now()) == "" {
		f.mu.Lock()
		if len(f.waiting) == 0 {
			f.mu.Unlock()
			break
		}
		j := f.waiting[0]
		f.waiting[0] = shadowed{} // nothing else holds the text
		f.waiting = f.waiting[1:]
		f.mu.Unlock()
		f.shadow.again(ctx, j)
	}
	b.Models.letGo(m.key)
}

// take the model at full precision with what served the question; nil where that
// serves no more: another answer would tell of the documents, not of the model.
func (f *fullPrecision) take(j shadowed) *question {
	b := f.shadow.b
	m := f.model.Load()
	if m == nil {
		return nil
	}
	by := b.unseen()
	if by.snap == nil || by.model != m.of || by.snap.Generation().Label() != j.answer.Generation || j.answer.Asked() != m.asked(b) {
		by.Release()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.moved++
		return nil
	}
	s := *by.served
	s.model = m.key
	by.served = &s
	return by
}

// asked is what answers of the model call it.
func (m *fullModel) asked(b *Box) string {
	g, err := b.Models.Generator(context.Background(), m.of)
	if err != nil {
		return ""
	}
	return g.Model()
}

// told of both answers: what is left of them are numbers.
func (f *fullPrecision) told(j shadowed, a *answer.Answer, err error) {
	b := f.shadow.b
	var c telemetry.Compared
	if err == nil && len(a.Written()) == 0 {
		err = fmt.Errorf("the model at full precision wrote nothing")
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		judge, e := b.Models.Judge(ctx)
		if err = e; err == nil {
			c, err = precision.Compare(ctx, judge, j.answer, a)
		}
	}
	if err == nil {
		generation, _, _ := strings.Cut(j.answer.Generation, "+")
		b.telemetry.recorder.Compare(j.answer.Asked(), generation, &c)
	}
	f.mu.Lock()
	f.asked++
	f.looked = time.Time{}
	if err != nil {
		f.failed++
	}
	f.mu.Unlock()
	if err != nil {
		b.log.Debug("an answer could not be compared with one at full precision", "error", err)
		return
	}
	for _, o := range b.telemetry.streams.Compared(j.answer.Asked(), &c, time.Now()) {
		b.tellChange(o)
	}
}

// status of asking twice.
func (b *Box) fullStatus() FullPrecision {
	f := &b.full
	m := f.model.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := FullPrecision{Share: b.Config.Telemetry.FullPrecision.Share, Off: f.off, Waiting: len(f.waiting), Asked: f.asked, Failed: f.failed, Moved: f.moved, Dropped: f.shadow.Dropped()}
	if m != nil {
		s.Of, s.Model = m.of, m.name
	}
	return s
}

// agreements of the last days, by model; read once a minute at most.
func (b *Box) agreements(now time.Time) (map[string]*monitor.Agreement, error) {
	f := &b.full
	f.mu.Lock()
	known := f.known
	if now.Sub(f.looked) >= agreementEvery {
		known = nil
	}
	f.mu.Unlock()
	if known == nil {
		ws, err := b.telemetry.recorder.Hours(now.Add(-agreementHours))
		if err != nil {
			return nil, err
		}
		known = map[string]*telemetry.Concordance{}
		for _, w := range ws {
			if c := known[w.Model]; c != nil {
				c.Merge(&w.Concordance)
			} else if _, n := w.Concordance.Of(telemetry.Agreed); n > 0 {
				known[w.Model] = &w.Concordance
			}
		}
		f.mu.Lock()
		f.known, f.looked = known, now
		f.mu.Unlock()
	}
	out := map[string]*monitor.Agreement{}
	for m, c := range known {
		out[m] = monitor.AgreementOf(c)
	}
	return out, nil
}
