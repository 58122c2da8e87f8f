package simulate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"

	"rxedge/sync/bundle"
	"rxedge/sync/enroll"
	"rxedge/sync/relay"
)

// worker is a process of sites.
type worker struct {
	set    *setup
	plan   *Plan
	ledger *ledger
	began  time.Time // of this process
	last   map[int]time.Time
	gate   chan struct{} // so many sites start at a time
	wg     sync.WaitGroup

	put, windows, questions, bytes, looks, fetched, confirmed, rolledBack, restarts, errs atomic.Int64

	mu      sync.Mutex // of what follows
	sites   []*site    // that were started
	mark    time.Time
	days    time.Time // when the first began; zero: not yet
	haves   map[int64]*having
	codes   map[string]int64
	failed  string
	acks    *ddsketch.DDSketch
	waiting waiting
	ending  bool // sites are closed
	stopped bool // all are
}

// waiting in the spools of a process, as it was when that was asked.
type waiting struct {
	Asked    int   `json:"asked,omitempty"`
	Messages int64 `json:"messages"`
	Dropped  int64 `json:"dropped"`
}

const (
	tellEvery = 200 * time.Millisecond
	atATime   = 16
)

// Work is a process of sites: it does what the lines of in say, and tells of it on out,
// until in ends, ctx does, or it is told to stop.
func Work(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w := &worker{began: time.Now(), gate: make(chan struct{}, atATime), haves: map[int64]*having{}, codes: map[string]int64{}, acks: newSketch()}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	first, err := next(lines)
	if err != nil {
		return err
	}
	if first == nil || first.Do != doSetup || first.Setup == nil {
		return errors.New("this is a part of 'rxedge central simulate', which starts it")
	}
	w.set = first.Setup
	if err := w.set.Options.Check(); err != nil {
		return err
	}
	w.plan = NewPlan(w.set.Options)
	if err := os.MkdirAll(w.set.Folder, 0o700); err != nil {
		return err
	}
	if w.ledger, w.last, err = openLedger(w.set.Ledger); err != nil {
		return err
	}
	defer w.ledger.close()
	telling := make(chan error, 1)
	w.wg.Go(func() { telling <- w.tell(ctx, out) })
	w.wg.Go(func() { w.schedule(ctx) })
	for {
		o, err := next(lines)
		if err != nil || o == nil || o.Do == doStop {
			w.closeAll()
			w.mu.Lock()
			w.stopped = true
			w.mu.Unlock()
			terr := <-telling // the last line
			stop()
			w.wg.Wait()
			return errors.Join(err, terr)
		}
		w.do(ctx, o)
	}
}

// next order; nil: there is none any more.
func next(lines *bufio.Scanner) (*order, error) {
	if !lines.Scan() {
		return nil, lines.Err()
	}
	return readOrder(lines.Bytes())
}

func (w *worker) do(ctx context.Context, o *order) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch o.Do {
	case doSite:
		if o.Site < 0 || o.Site >= len(w.plan.Sites) {
			return
		}
		w.wg.Go(func() {
			select {
			case w.gate <- struct{}{}:
			case <-ctx.Done():
				return
			}
			defer func() { <-w.gate }()
			if err := w.start(ctx, o.Site, o.File); err != nil && ctx.Err() == nil {
				w.fail(fmt.Errorf("%s: %w", w.plan.Sites[o.Site].ID, err))
			}
		})
	case doMark:
		w.mark = o.Mark
	case doLook:
		for _, s := range w.sites {
			w.later(ctx, rand.N(max(o.Within, 1)), func() {
				select {
				case s.poke <- struct{}{}:
				default:
				}
			})
		}
	case doDays:
		if w.days.IsZero() {
			w.days = o.Began
		}
	case doAsk:
		w.wg.Go(func() { w.ask(ctx, o.Ask) })
	case doFault:
		if o.Fault != nil {
			w.fault(ctx, o.Fault)
		}
	}
}

// later does it after a while; w.mu is held.
func (w *worker) later(ctx context.Context, after time.Duration, do func()) {
	w.wg.Go(func() {
		if pause(ctx, after); ctx.Err() == nil {
			do()
		}
	})
}

// start a site, enrolled where there is a file.
func (w *worker) start(ctx context.Context, place int, file *enroll.File) error {
	s := &site{w: w, place: place, plan: &w.plan.Sites[place], poke: make(chan struct{}, 1), due: make(chan struct{}, 1), day: w.set.First}
	if d, ok := w.last[place]; ok {
		s.day = d.AddDate(0, 0, 1)
	}
	var err error
	for try := 0; ; try++ {
		if s.id, err = enroll.Load(s.folder(), nil); err == nil || file == nil || ctx.Err() != nil {
			break
		}
		if s.id, err = enroll.Claim(ctx, s.folder(), file, enroll.Options{Now: s.clock}); err == nil || try == 5 {
			break
		}
		w.errs.Add(1)
		pause(ctx, time.Second)
	}
	if err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sites = append(w.sites, s)
	return nil
}

func (w *worker) fault(ctx context.Context, f *Fault) {
	for _, s := range w.sites {
		hit := false
		for _, i := range f.Sites {
			hit = hit || i == s.place
		}
		if !hit {
			continue
		}
		var line *relay.Line
		if s.mu.TryLock() { // else it is opening, and has no connection to be cut
			line = s.line
			s.mu.Unlock()
		}
		switch {
		case f.Kind == Cut && line != nil:
			line.Cut()
			w.later(ctx, f.For, line.Heal)
		case f.Kind == Silent && line != nil:
			line.Hole()
			w.later(ctx, f.For, line.Heal)
		case f.Kind == Restart:
			w.wg.Go(func() {
				s.restarting.Lock()
				defer s.restarting.Unlock()
				s.close()
				if pause(ctx, f.For); w.ends() {
					return
				}
				if err := s.open(ctx); err != nil && ctx.Err() == nil {
					w.fail(fmt.Errorf("%s after a restart: %w", s.plan.ID, err))
					return
				}
				w.restarts.Add(1)
			})
		}
	}
}

func (w *worker) ends() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ending
}

// ask all spools what waits.
func (w *worker) ask(ctx context.Context, number int) {
	x := waiting{Asked: number}
	for _, s := range w.all() {
		s.mu.Lock()
		sp := s.sp
		s.mu.Unlock()
		st, err := sp.Waiting(ctx)
		if err != nil {
			x.Messages++ // it is just starting again: something may
			continue
		}
		x.Messages += int64(st.Messages)
		for _, n := range st.Dropped {
			x.Dropped += int64(n)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = x
}

// simulated time at which a site's day is over, beside the time at which the days end.
func (w *worker) dueAt(p *Site, day time.Time) (due, end time.Time) {
	due = day.AddDate(0, 0, 1)
	if !p.Dead { // a box without a battery takes the time that the centre has signed
		due = due.Add(-p.Clock)
	}
	return due, w.set.First.Add(time.Duration(float64(w.set.Options.For) * w.set.Options.Speed))
}

// late is how long after midnight a site sends its day: a box looks once a minute. It is
// a minute of this machine's, as the hub would have it, but no more than a quarter day.
func (w *worker) late(place int) time.Duration {
	most := min(time.Minute, time.Duration(float64(6*time.Hour)/w.set.Options.Speed))
	return time.Duration(rand.New(rand.NewPCG(w.set.Options.Seed, uint64(place))).Float64() * float64(most))
}

// over says whether the day is over at a site and to be sent.
func (w *worker) over(place int, day time.Time) bool {
	w.mu.Lock()
	began := w.days
	w.mu.Unlock()
	if began.IsZero() {
		return false
	}
	due, end := w.dueAt(&w.plan.Sites[place], day)
	now := w.set.First.Add(time.Duration(float64(time.Since(began)-w.late(place)) * w.set.Options.Speed))
	return !due.After(end) && !now.Before(due)
}

// schedule wakes sites whose day is over.
func (w *worker) schedule(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range w.all() {
			if !s.mu.TryLock() {
				continue // it is opening
			}
			day := s.day
			s.mu.Unlock()
			if w.over(s.place, day) {
				select {
				case s.due <- struct{}{}:
				default:
				}
			}
		}
	}
}

func (w *worker) all() []*site {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sites[:len(w.sites):len(w.sites)]
}

// lookEvery is how often sites look by themselves; 0: not at all, while the fleet rests.
func (w *worker) lookEvery() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.days.IsZero() {
		return 0
	}
	return max(time.Duration(float64(lookEvery)/w.set.Options.Speed), leastLook)
}

func (w *worker) closeAll() {
	w.mu.Lock()
	w.ending = true
	w.mu.Unlock()
	var wg sync.WaitGroup
	gate := make(chan struct{}, 4*atATime)
	for _, s := range w.all() {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			s.restarting.Lock()
			defer s.restarting.Unlock()
			s.close()
			if s.line != nil {
				s.line.Close()
			}
		})
	}
	wg.Wait()
}

func (w *worker) acknowledged(took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.acks.Add(float64(took) / float64(time.Millisecond))
}

func (w *worker) have(number, bytes int64) {
	w.fetched.Add(bytes)
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.haves[number]
	if h == nil {
		h = &having{}
		w.haves[number] = h
	}
	h.N++
	h.Last = time.Now()
}

// refused counts what a site did not take, by its code; a line that was cut has none.
func (w *worker) refused(s *site, err error) {
	code := string(bundle.CodeOf(err))
	if code == "" {
		w.errs.Add(1)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.codes[code]++
}

// trouble that a site goes on after; what it is, the first of them says.
func (w *worker) trouble(s *site, err error) {
	w.errs.Add(1)
	fmt.Fprintf(os.Stderr, "%s: %v\n", s.plan.ID, err)
}

func (w *worker) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == "" {
		w.failed = err.Error()
	}
}

func (w *worker) tell(ctx context.Context, out io.Writer) error {
	enc := json.NewEncoder(out)
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		t := w.stand()
		if err := enc.Encode(t); err != nil {
			return fmt.Errorf("telling how it stands: %w", err)
		}
		if t.Stopped {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// stand is how it stands.
func (w *worker) stand() *told {
	w.mu.Lock()
	t := &told{Stopped: w.stopped, Failed: w.failed, Spools: w.waiting, Acks: encode(w.acks), Days: !w.days.IsZero()}
	t.Have, t.Refused, t.Active, t.Holds = map[int64]*having{}, map[string]int64{}, map[int64]int{}, map[int64]int{}
	for n, h := range w.haves {
		x := *h
		t.Have[n] = &x
	}
	for c, n := range w.codes {
		t.Refused[c] = n
	}
	mark := w.mark
	w.mu.Unlock()
	t.Put, t.Windows, t.Questions, t.Bytes, t.Looks, t.Fetched = w.put.Load(), w.windows.Load(), w.questions.Load(), w.bytes.Load(), w.looks.Load(), w.fetched.Load()
	t.Confirmed, t.RolledBack, t.Restarts, t.Errors = w.confirmed.Load(), w.rolledBack.Load(), w.restarts.Load(), w.errs.Load()
	for _, s := range w.all() {
		f := s.figures()
		st := &f.link
		t.Sites++
		t.Enrolled++
		t.Sent, t.In, t.Out = t.Sent+f.sent, t.In+f.in, t.Out+f.out
		if f.active != 0 {
			t.Active[f.active]++
		}
		if f.holds != 0 {
			t.Holds[f.holds]++
		}
		if st.Connected {
			t.Connected++
			if !mark.IsZero() && st.Since.After(mark) {
				t.Back++
				if st.Since.After(t.LastBack) {
					t.LastBack = st.Since
				}
			}
		}
		if due, end := w.dueAt(s.plan, f.day); !due.After(end) {
			t.Days = false
		}
	}
	return t
}
