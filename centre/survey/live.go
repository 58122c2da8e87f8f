package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"rxedge/daemon/telemetry/fleet"
	"rxedge/sync/central"
)

// Answers are what the sites' days come to.
type Answers struct {
	At       time.Time
	Took     time.Duration
	Drift    *fleet.DriftReport
	Fairness *fleet.FairnessReport
	Quality  *fleet.QualityReport
	Told     []fleet.Told
	LastDay  map[string]string // of each site
	Damaged  int
}

// StandingOut are all outliers of all reports.
func (a *Answers) StandingOut() []fleet.Outlier {
	var out []fleet.Outlier
	for _, m := range a.Drift.Models {
		out = append(out, m.StandingOut...)
	}
	return append(append(out, a.Fairness.StandingOut...), a.Quality.StandingOut...)
}

// AnswersOf days.
func AnswersOf(d *Days) (*Answers, error) {
	began := time.Now()
	a := &Answers{At: began.UTC(), Told: d.Told, LastDay: map[string]string{}, Damaged: d.Damaged}
	var err error
	if a.Drift, err = fleet.Drift(d.Days, d.Options); err != nil {
		return nil, err
	}
	if a.Fairness, err = fleet.Fairness(d.Days, d.Options); err != nil {
		return nil, err
	}
	if a.Quality, err = fleet.Quality(d.Days, d.Options); err != nil {
		return nil, err
	}
	for _, x := range d.Days {
		if day := x.Window.From.UTC().Format(time.DateOnly); day > a.LastDay[x.Site] {
			a.LastDay[x.Site] = day
		}
	}
	a.Took = time.Since(began)
	return a, nil
}

// Entry of the audit trail: a record of a rollout, or of the fleet. Both are checked,
// signed and chained; Record is its number in its trail.
type Entry struct {
	At     time.Time `json:"at"`
	Trail  string    `json:"trail"` // rollouts, fleet
	Record int64     `json:"record"`
	Who    string    `json:"who"`
	Action string    `json:"action"`
	About  string    `json:"about"`
	State  string    `json:"state,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Hash   string    `json:"hash"`
}

// Overview is a fleet at a moment. What it points to is not changed any more.
type Overview struct {
	At   time.Time
	Name string
	// Hub is when the hub was last read whole (zero: not yet), HubError why it is not
	// read now.
	Hub      time.Time
	HubError string
	Sites    []Site
	Rollouts []central.Standing
	Matters  []*central.Matter
	Audit    []Entry // the latest first
	Answers  *Answers
	Taken    *central.Taken
	// Trouble is what of the folder can't be read.
	Trouble []string
}

// AtHub is what lies at the hub, read once. The zero value: it was not read.
type AtHub struct {
	Read   time.Time
	States map[string]central.SiteState
	Heard  map[string]time.Time
	rolls  func([]*central.Rollout) []central.Standing
}

// Ask the hub for what lies there.
func Ask(ctx context.Context, f *central.Folder, hubs []string) (AtHub, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	read := make(chan error, 1)
	var w *central.Watch
	made := make(chan struct{})
	w, err := f.Watch(ctx, hubs, func() {
		<-made
		if whole, err := w.Hub(); err != nil || !whole.IsZero() {
			select {
			case read <- err:
			default:
			}
		}
	})
	if err != nil {
		return AtHub{}, err
	}
	close(made)
	select {
	case err := <-read:
		if err != nil {
			return AtHub{}, fmt.Errorf("the hub: %w", err)
		}
	case <-ctx.Done():
		return AtHub{}, ctx.Err()
	}
	return AtHub{time.Now().UTC(), w.States(), w.Last(), w.Standings}, nil
}

// Overlook a fleet once: for a command.
func Overlook(f *central.Folder, at AtHub, a *Answers) (*Overview, error) {
	l := NewLive(f, nil, nil)
	o := &Overview{At: time.Now().UTC(), Name: f.Name, Hub: at.Read, Answers: a}
	if err := l.stand(o, at.States, at.Heard); err != nil {
		return nil, err
	}
	if at.rolls != nil {
		o.Rollouts = at.rolls(l.rolls)
	}
	answers(o.Sites, a)
	return o, nil
}

// Live is a fleet that is looked at all the time.
type Live struct {
	f    *central.Folder
	hubs []string
	log  *slog.Logger

	mu      sync.Mutex
	now     *Overview
	answers *Answers
	news    chan struct{} // closed when there is another overview

	// looking: one look at a time. Below is what was read of the folder, and its stamps
	// then.
	looking sync.Mutex
	stamps  central.Stamps
	sites   []*central.Site
	allowed func(*central.Site) (may, newest int64)
	signed  time.Time // when allowed was made: gates depend on the time too
	rolls   []*central.Rollout
	trail   []Entry
	records []Entry
	matters []*central.Matter
	looked  bool
}

// NewLive of a folder; log may be nil.
func NewLive(f *central.Folder, hubs []string, log *slog.Logger) *Live {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Live{f: f, hubs: hubs, log: log, news: make(chan struct{})}
}

// Now is the newest overview, and a channel that is closed when there is another; nil
// before the first.
func (l *Live) Now() (*Overview, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.news
}

// Pauses of Run.
const (
	// takeEvery so often what the sites have counted is taken up.
	takeEvery = time.Minute
	// restFactor: after the days were added up, which takes long for a large fleet, it
	// rests for so many times as long.
	restFactor = 20
)

// Run until ctx ends. An error is that the hub's address or the folder's keys can't be
// used; a hub that is away is not one.
func (l *Live) Run(ctx context.Context) error {
	var w *central.Watch
	made := make(chan struct{})
	w, err := l.f.Watch(ctx, l.hubs, func() { <-made; l.look(w) })
	if err != nil {
		return err
	}
	close(made)
	var last central.Stamp
	for first := true; ; first = false {
		if !first {
			l.take(ctx)
		}
		pause := takeEvery
		if now := l.f.Stamps().Taken; first || now != last {
			began := time.Now()
			if err := l.add(ctx); err != nil && ctx.Err() == nil {
				l.log.Error("the sites' days could not be added up; the page shows those before", "error", err)
			} else {
				last = now
			}
			l.look(w)
			pause = max(pause, restFactor*time.Since(began))
		}
		if first {
			continue // what the hub has more is taken up at once
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (l *Live) take(ctx context.Context) {
	try, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if _, err := l.f.TakeReports(try, l.hubs, Readers()); err != nil && ctx.Err() == nil && !errors.Is(err, central.ErrTaking) {
		l.log.Warn("what the sites have counted could not be taken up; it is tried again", "error", err)
	}
}

func (l *Live) add(ctx context.Context) error {
	d, err := Read(ctx, l.f, LastWeek())
	if err != nil {
		return err
	}
	a, err := AnswersOf(d)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.answers = a
	l.mu.Unlock()
	return nil
}

// look at what has changed, and make another overview.
func (l *Live) look(w *central.Watch) {
	l.looking.Lock()
	defer l.looking.Unlock()
	o := &Overview{At: time.Now().UTC(), Name: l.f.Name}
	var err error
	if o.Hub, err = w.Hub(); err != nil {
		o.HubError = plain(err.Error())
	}
	l.mu.Lock()
	o.Answers = l.answers
	l.mu.Unlock()
	if o.Taken, err = l.f.Taken(); err != nil {
		o.Trouble = append(o.Trouble, err.Error())
	}
	if err := l.stand(o, w.States(), w.Last()); err != nil {
		o.Trouble = append(o.Trouble, err.Error())
	}
	o.Rollouts = w.Standings(l.rolls)
	answers(o.Sites, o.Answers)
	for _, t := range o.Trouble {
		l.log.Error("the page does not show all", "error", t)
	}
	l.mu.Lock()
	l.now = o
	close(l.news)
	l.news = make(chan struct{})
	l.mu.Unlock()
}

// stand reads what of the folder is new, and puts the sites together.
func (l *Live) stand(o *Overview, states map[string]central.SiteState, heard map[string]time.Time) error {
	s, now := l.f.Stamps(), time.Now()
	var errs []error
	if !l.looked || s.Sites != l.stamps.Sites {
		sites, err := l.f.Sites()
		if err != nil {
			errs = append(errs, err)
			s.Sites = central.Stamp{}
		} else {
			l.sites = sites
		}
	}
	if !l.looked || s.Signed != l.stamps.Signed || s.Trail != l.stamps.Trail || now.Sub(l.signed) > time.Minute {
		allowed, err := l.f.Allowed()
		if err != nil {
			errs = append(errs, err)
			s.Signed = central.Stamp{}
		} else {
			l.allowed, l.signed = allowed, now
		}
	}
	if !l.looked || s.Trail != l.stamps.Trail {
		if err := l.readTrail(); err != nil {
			errs = append(errs, err)
			s.Trail = central.Stamp{}
		}
	}
	if !l.looked || s.Records != l.stamps.Records {
		if err := l.readRecords(); err != nil {
			errs = append(errs, err)
			s.Records = central.Stamp{}
		}
	}
	l.stamps, l.looked = s, true
	o.Sites = make([]Site, 0, len(l.sites))
	for _, x := range l.sites {
		var may, newest int64
		if l.allowed != nil {
			may, newest = l.allowed(x)
		}
		told, ok := states[x.ID]
		st, t := Stand(x, told, ok, may, newest, now)
		o.Sites = append(o.Sites, siteOf(x, st, t, heard[x.ID], !o.Hub.IsZero(), now))
	}
	o.Matters = l.matters
	o.Audit = append(slices.Clip(l.trail), l.records...)
	slices.SortStableFunc(o.Audit, func(a, b Entry) int { return b.At.Compare(a.At) })
	return errors.Join(errs...)
}

func (l *Live) readTrail() error {
	rolls, err := l.f.Rollouts()
	if err != nil {
		return err
	}
	signed, err := l.f.Audit()
	if err != nil {
		return err
	}
	trail := make([]Entry, 0, len(signed))
	for i := range signed {
		r, err := signed[i].Read()
		if err != nil {
			return err
		}
		trail = append(trail, Entry{At: r.At, Trail: "rollouts", Record: r.Seq, Who: plain(r.Who), Action: string(r.Action),
			About: central.BundleName(r.Channel, r.Bundle), State: string(r.To), Reason: plain(r.Reason), Hash: signed[i].Hash.String()})
	}
	l.rolls, l.trail = rolls, trail
	return nil
}

func (l *Live) readRecords() error {
	signed, err := l.f.FleetRecords()
	if err != nil {
		return err
	}
	matters, err := l.f.Matters()
	if err != nil {
		return err
	}
	records := make([]Entry, 0, len(signed))
	for _, s := range signed {
		var r central.FleetRecord
		if err := json.Unmarshal(s.Record, &r); err != nil {
			return err
		}
		about := r.ID
		if r.Cause != "" {
			about += ": " + r.Cause
		}
		records = append(records, Entry{At: r.At, Trail: "fleet", Record: r.Seq, Who: plain(r.Who), Action: string(r.Action), About: plain(about), Reason: plain(r.Reason), Hash: s.Hash.String()})
	}
	l.records, l.matters = records, matters
	return nil
}
