package box

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"rxedge/daemon/answer/evaluate"
	"rxedge/daemon/suite"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/index"
)

// SuiteRequest asks for a run of the suite over a file of questions.
type SuiteRequest struct {
	Name      string `json:"name"` // of the file
	Questions []byte `json:"questions"`
	Mode      string `json:"mode,omitempty"`
	Ablation  bool   `json:"ablation,omitempty"`
}

// SuiteProgress is how many questions were asked.
type SuiteProgress struct {
	Done int `json:"done"`
	Of   int `json:"of"`
}

// SuiteHistory is the runs that were kept, the oldest first.
type SuiteHistory struct {
	Runs    []suite.Entry `json:"runs"`
	Damaged []string      `json:"damaged,omitempty"` // files that can't be read
}

// SuiteLedger says how often test sets were looked at.
type SuiteLedger struct {
	Sets []suite.Touched `json:"sets"`
	Torn int             `json:"torn,omitempty"` // lines that can't be read
}

// What starts a run.
const (
	SuiteNight   = "night"
	SuiteCommand = "command"
)

func (b *Box) suite() *suite.Store { return suite.OpenStore(filepath.Join(b.Config.Data, "suite")) }

// asking is a side that is searched too.
type asking struct{ side }

// Search implements suite.Box.
func (a asking) Search(ctx context.Context, q index.Query) (index.Result, error) {
	a.work.Pause()
	site{a.q.b}.Idle(ctx, givesWay)
	return a.q.snap.Search(ctx, q)
}

// Suite asks the questions of a file and keeps how well they were answered. They are
// not counted among people's, and people's come first. The look at the set goes into
// the ledger before the first is asked.
func (b *Box) Suite(ctx context.Context, req SuiteRequest, progress func(SuiteProgress)) (suite.Run, error) {
	return b.runSuite(ctx, req, SuiteCommand, progress)
}

func (b *Box) runSuite(ctx context.Context, req SuiteRequest, by string, progress func(SuiteProgress)) (suite.Run, error) {
	questions, err := evaluate.Read(req.Name, bytes.NewReader(req.Questions))
	if err != nil {
		return suite.Run{}, err
	}
	store, set := b.suite(), suite.SetOf(req.Questions)
	began, at := time.Now(), b.clock.Now().UTC()
	if err := store.Touch(suite.Touch{At: at, Set: set, Name: setName(req.Name), Use: by, Questions: len(questions)}); err != nil {
		return suite.Run{}, err
	}
	q := b.unseen()
	defer q.Release()
	if q.snap == nil {
		return suite.Run{}, index.ErrClosed
	}
	ctx, d := b.behind(ctx)
	run, err := suite.Measure(ctx, asking{side{q, d}}, questions, suite.Options{Mode: req.Mode, Ablation: req.Ablation, Progress: func(done, of int) {
		if progress != nil {
			progress(SuiteProgress{done, of})
		}
	}})
	if err != nil {
		return suite.Run{}, err
	}
	run.At, run.Took = at, time.Since(began).Seconds()
	run.Set, run.Name, run.By, run.Version = set, setName(req.Name), by, Version
	err = store.Add(&run)
	x := &b.telemetry.worsening
	x.mu.Lock()
	x.read = false
	x.mu.Unlock()
	return run, err
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// setName is the file's name where it is a plain one.
func setName(path string) string {
	if n := filepath.Base(path); plainName.MatchString(n) {
		return n
	}
	return "questions"
}

// SuiteHistory of the runs.
func (b *Box) SuiteHistory(context.Context) (SuiteHistory, error) {
	runs, damaged, err := b.suite().Runs()
	return SuiteHistory{suite.History(runs), damaged}, err
}

// SuiteLedger of the test sets.
func (b *Box) SuiteLedger(context.Context) (SuiteLedger, error) {
	sets, torn, err := b.suite().Ledger()
	if sets == nil {
		sets = []suite.Touched{}
	}
	return SuiteLedger{sets, torn}, err
}

// SuiteTouch writes into the ledger that a set was looked at in another way.
func (b *Box) SuiteTouch(_ context.Context, t suite.Touch) error {
	t.At, t.Name = b.clock.Now().UTC(), setName(t.Name)
	return b.suite().Touch(t)
}

// suiteTick is how often it is looked whether the hours of the suite have come.
const suiteTick = time.Minute

// RunSuite asks the golden questions once a night until ctx ends, where the
// configuration names any. What the hours end is tried again the next night.
func (b *Box) RunSuite(ctx context.Context) {
	if b.Config.Suite.Questions == "" {
		return
	}
	tick := time.NewTicker(suiteTick)
	defer tick.Stop()
	for last := (time.Time{}); ; {
		// Where the clock is set back a night comes twice: once is enough.
		if (last.IsZero() || time.Since(last) > 12*time.Hour) && b.suiteDue(b.clock.Now()) {
			if b.suiteOfTheNight(ctx, tick.C) {
				last = time.Now()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// suiteDue says whether it is night, and this night's questions were not asked.
func (b *Box) suiteDue(now time.Time) bool {
	hours := b.Config.Suite.Hours
	if !hours.Contains(now) {
		return false
	}
	runs, _, err := b.suite().Runs()
	if err != nil {
		return false
	}
	for i := len(runs) - 1; i >= 0; i-- {
		// One of the future was of a clock that was ahead, and tells nothing of tonight.
		if r := runs[i]; r.By == SuiteNight && !r.At.After(now) {
			return now.Sub(r.At) > 12*time.Hour
		}
	}
	return true
}

// suiteOfTheNight runs once, and says whether to its end; ticks tell when to look whether
// the hours are over.
func (b *Box) suiteOfTheNight(ctx context.Context, ticks <-chan time.Time) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	path := b.Config.Suite.Questions
	data, err := os.ReadFile(path)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = "put the file there or change suite.questions"
		}
		b.log.Error("the golden questions can't be read", "error", err, "fix", hint)
		return false
	}
	done := make(chan error, 1)
	var run suite.Run
	go func() {
		var err error
		run, err = b.runSuite(ctx, SuiteRequest{Name: path, Questions: data, Ablation: b.Config.Suite.Ablation}, SuiteNight, nil)
		done <- err
	}()
	for {
		select {
		case err := <-done:
			switch {
			case err != nil && ctx.Err() != nil:
				b.log.Info("the golden questions of this night were not all asked; it is tried again")
			case err != nil:
				b.log.Error("the golden questions could not be asked", "error", err)
			default:
				b.suiteDone(run)
			}
			return err == nil
		case now := <-ticks:
			if !b.Config.Suite.Hours.Contains(now) {
				cancel()
			}
		}
	}
}

// suiteDone logs a run, and tells of what became worse with it.
func (b *Box) suiteDone(run suite.Run) {
	attrs := []any{"run", run.ID, "questions", run.Questions, "seconds", fmt.Sprintf("%.0f", run.Took)}
	if run.Composite != nil {
		attrs = append(attrs, "composite", fmt.Sprintf("%.4f", *run.Composite))
	}
	b.log.Info("the golden questions were asked", attrs...)
	for _, w := range b.worsened() {
		if w.Run.ID == run.ID && w.Runs == 1 {
			b.tellChange(qualityAlarm(w))
		}
	}
}

// worsening is what the kept runs say, which are read at each new one.
type worsening struct {
	mu   sync.Mutex
	read bool
	all  []suite.Worse
}

// worsened golden questions, as far as the runs can be read.
func (b *Box) worsened() []suite.Worse {
	x := &b.telemetry.worsening
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.read {
		runs, _, err := b.suite().Runs()
		if err != nil {
			b.log.Warn("the runs of golden questions can't be read", "error", err)
			return nil
		}
		x.all, x.read = suite.Worsened(runs), true
	}
	return x.all
}

// qualityAct is from what fall on one should act.
const qualityAct = 2 * suite.Fall

// qualityAlarm of what became worse: numbers, and words of ours.
func qualityAlarm(w suite.Worse) monitor.Open {
	c, fall := w.Composite, -*w.Composite.Relative
	a := monitor.Alarm{Kind: monitor.Quality, Level: monitor.Investigate, Feature: "composite", By: "metric", Value: w.Metric, Figure: fall, Limit: suite.Fall, P: *c.P, Baseline: &c.A, Current: &c.B, N: int64(c.Pairs)}
	if fall > qualityAct {
		a.Level, a.Limit = monitor.Act, qualityAct
	}
	a.Text = fmt.Sprintf("golden questions are answered worse than on %s: their composite fell from %.3f to %.3f, most of it %s", w.Reference.At.Format(time.DateOnly), c.A, c.B, w.Metric)
	return monitor.Open{Alarm: a, Since: w.Since, Seen: w.Run.At, Days: w.Runs}
}

// qualityAlarms by the model that answered.
func (b *Box) qualityAlarms() map[string][]monitor.Open {
	out := map[string][]monitor.Open{}
	for _, w := range b.worsened() {
		out[w.Run.Model] = append(out[w.Run.Model], qualityAlarm(w))
	}
	return out
}
