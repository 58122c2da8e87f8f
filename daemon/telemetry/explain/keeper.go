package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/guard"
	"rxedge/daemon/telemetry"
	"rxedge/sync/durable"
)

// recalled answers, for what is said of them later, and jobs that wait; what finds no
// room is not explained.
const (
	recalled  = 8192
	waiting   = 64
	saveEvery = time.Minute
	keepWeeks = 53
)

type job struct {
	of   given
	what string
}

// given is an answer: of which cohort, by what, and how the guard saw it.
type given struct {
	group, model, generation string
	v                        guard.Vector
}

// Sink takes each answer's values as they are made, for windows that leave the box.
type Sink func(model, generation, cohort, what string, values *guard.Vector, doubt, baseline float64)

// Keeper adds up a box's week, in a file for each. Safe for concurrent use. Shapley
// values are made one after the other in the background; no answer waits for them.
type Keeper struct {
	dir   string
	model *guard.Model
	sink  Sink
	now   func() time.Time
	log   *slog.Logger

	mu     sync.Mutex
	table  *Table
	dirty  bool
	seen   int
	recall map[string]given
	order  []string
	next   int

	jobs chan job
	stop chan struct{}
	done sync.WaitGroup
}

// week that a time is in: from Monday, UTC.
func week(t time.Time) time.Time {
	d := t.UTC().Truncate(24 * time.Hour)
	return d.AddDate(0, 0, -(int(d.Weekday())+6)%7)
}

func (k *Keeper) path(from time.Time) string {
	return filepath.Join(k.dir, from.Format(time.DateOnly)+".json")
}

// Open the tables in dir and begin. cohorts are those that are told apart; others are
// forgotten, nil: none is. now nil is the clock, sink may be nil.
func Open(dir string, m *guard.Model, sink Sink, cohorts []string, now func() time.Time, log *slog.Logger) (*Keeper, error) {
	if now == nil {
		now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening explanations: %w", err)
	}
	k := &Keeper{dir: dir, model: m, sink: sink, now: now, log: log, recall: map[string]given{}, order: make([]string, recalled), jobs: make(chan job, waiting), stop: make(chan struct{})}
	if cohorts != nil {
		k.forget(cohorts)
	}
	k.table = k.read(week(now()))
	k.done.Go(k.run)
	return k, nil
}

// read the table of a week; a new one where there is none that can be read.
func (k *Keeper) read(from time.Time) *Table {
	t := NewTable(from, from.AddDate(0, 0, 7))
	b, err := os.ReadFile(k.path(from))
	if err == nil {
		err = json.Unmarshal(b, t)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Warn("a week of explanations can't be read; it is begun anew", "week", from.Format(time.DateOnly))
		t = NewTable(from, from.AddDate(0, 0, 7))
	}
	return t
}

// forget what the tables have by cohorts that are not known: it is added to that of
// the others.
func (k *Keeper) forget(known []string) {
	files, _ := filepath.Glob(filepath.Join(k.dir, "*.json"))
	for _, path := range files {
		from, err := time.Parse(time.DateOnly, strings.TrimSuffix(filepath.Base(path), ".json"))
		if err != nil {
			continue
		}
		t := k.read(from)
		if !t.forget(known) {
			continue
		}
		b, err := json.Marshal(t)
		if err == nil {
			err = durable.Write(path, b)
		}
		if err != nil {
			k.log.Warn("cohorts of a week of explanations could not be forgotten; it is tried at the next start", "error", err)
		}
	}
}

// Observe an answer and its observation.
func (k *Keeper) Observe(a *answer.Answer, o *telemetry.Observation) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.roll()
	k.table.Count(o)
	k.dirty = true
	if a == nil || a.Decision == nil {
		return
	}
	d := a.Decision
	g := given{o.In[telemetry.Cohort], o.Model, o.Generation, d.Features}
	if a.ID != "" {
		if old := k.order[k.next]; old != "" {
			delete(k.recall, old)
		}
		k.order[k.next], k.recall[a.ID] = a.ID, g
		k.next = (k.next + 1) % recalled
	}
	if d.Wrong >= d.Threshold {
		k.ask(job{g, Refused})
	} else if k.seen++; k.seen%SampleEvery == 0 {
		k.ask(job{g, Usual})
	}
}

// Judge an answer that somebody said was bad.
func (k *Keeper) Judge(answerID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if g, ok := k.recall[answerID]; ok {
		delete(k.recall, answerID)
		k.ask(job{g, Wrong})
	}
}

func (k *Keeper) ask(j job) {
	select {
	case k.jobs <- j:
	default: // there is more to explain than there is time for
	}
}

// roll begins another table where the week is over. k.mu is held.
func (k *Keeper) roll() {
	if from := week(k.now()); !from.Equal(k.table.From) {
		k.save()
		k.table = k.read(from)
	}
}

func (k *Keeper) save() {
	if !k.dirty {
		return
	}
	b, err := json.Marshal(k.table)
	if err == nil {
		err = durable.Write(k.path(k.table.From), b)
	}
	if err != nil {
		k.log.Warn("explanations could not be kept; it is tried again", "error", err)
		return
	}
	k.dirty = false
	_ = os.Remove(k.path(k.table.From.AddDate(0, 0, -7*keepWeeks)))
}

func (k *Keeper) run() {
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-t.C:
			k.mu.Lock()
			k.save()
			k.mu.Unlock()
		case j := <-k.jobs:
			one := NewTable(time.Time{}, time.Time{})
			one.Add(k.model, j.of.group, j.what, &j.of.v)
			s := one.Why[j.of.group][j.what]
			if k.sink != nil {
				k.sink(j.of.model, j.of.generation, j.of.group, j.what, &s.Values, s.Doubt, s.Baseline)
			}
			k.mu.Lock()
			k.roll()
			k.table.add(j.of.group, j.what, s)
			k.dirty = true
			k.mu.Unlock()
		}
	}
}

// Report on the week under way and the one before.
func (k *Keeper) Report() *Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.roll()
	t := NewTable(k.table.From, k.table.To)
	t.Merge(k.table)
	t.Merge(k.read(k.table.From.AddDate(0, 0, -7)))
	return t.Report()
}

// Close keeps what was added up.
func (k *Keeper) Close() {
	close(k.stop)
	k.done.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.save()
}
