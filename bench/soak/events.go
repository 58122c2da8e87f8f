package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/bench/process"
	"rxedge/daemon/control"
	"rxedge/daemon/rollout"
	"rxedge/index"
	"rxedge/sync/central"
)

// Own medicines, whose labels change all the time.
const (
	siteMedicines    = 60
	centralMedicines = 60
)

// event is something that befalls the box, at a distance given for a run of two hours.
type event struct {
	name  string
	every time.Duration
	do    func(*soak, context.Context) error
}

// events in the order in which those that are due together come.
var events = []event{
	{"ingest of changed labels", 3 * time.Minute, (*soak).ingest},
	{"bundle from the centre", 5 * time.Minute, (*soak).bundle},
	{"engine killed", 4 * time.Minute, (*soak).killEngine},
	{"withdrawal", 7 * time.Minute, (*soak).withdraw},
	{"hub away for a while", 9 * time.Minute, (*soak).hubAway},
	{"rebuild", 15 * time.Minute, (*soak).rebuild},
	{"rollback", 19 * time.Minute, (*soak).rollback},
	{"compact and verify", 23 * time.Minute, (*soak).compact},
	{"disk full", 21 * time.Minute, (*soak).diskFull},
	{"generation damaged", 25 * time.Minute, (*soak).damage},
}

// happening counts one kind of event.
type happening struct {
	Times  int      `json:"times"`
	Failed int      `json:"failed"`
	Took   float64  `json:"most_s"`
	Notes  []string `json:"notes,omitempty"` // the first few
}

func (h *happening) note(format string, a ...any) {
	if len(h.Notes) < 8 {
		h.Notes = append(h.Notes, fmt.Sprintf(format, a...))
	}
}

// befall lets the events come when they are due, one at a time, until ctx ends.
// Distances shrink with the run, so that a short one has each of them.
func (s *soak) befall(ctx context.Context) {
	scale := float64(s.lasting) / float64(2*time.Hour)
	due := make([]time.Time, len(events))
	every := make([]time.Duration, len(events))
	now := time.Now()
	for i, e := range events {
		every[i] = max(time.Duration(float64(e.every)*scale), 4*time.Second)
		due[i] = now.Add(every[i] / 2).Add(every[i] * time.Duration(i) / time.Duration(2*len(events)))
	}
	for {
		next := 0
		for i := range due {
			if due[i].Before(due[next]) {
				next = i
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due[next])):
		}
		s.happen(ctx, events[next])
		due[next] = time.Now().Add(every[next])
	}
}

// happen does one event and notes it. What a restart of the daemon cuts off is no failure.
func (s *soak) happen(ctx context.Context, e event) {
	began := time.Now()
	err := e.do(s, ctx)
	took := time.Since(began)
	h := s.happening(e.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	h.Times++
	h.Took = max(h.Took, took.Seconds())
	if err != nil && ctx.Err() == nil {
		if s.awaySince(began) {
			h.note("cut off by a restart: %v", err)
			return
		}
		h.Failed++
		h.note("%s: %v", time.Now().Format(time.TimeOnly), err)
		s.logf("%s: %v", e.name, err)
	}
}

func (s *soak) happening(name string) *happening {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.happened[name] == nil {
		s.happened[name] = &happening{}
	}
	return s.happened[name]
}

// control is a technician's call over the socket. While a bundle is on trial what would
// change the index is refused, and says until when: then it is done again.
func (s *soak) control(do func(*control.Client) error) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Second) {
		c, err := control.Dial(s.data)
		if err != nil {
			return err
		}
		err = do(c)
		_ = c.Close()
		if !errors.Is(err, rollout.ErrRefused) || time.Now().After(end) {
			return err
		}
	}
}

// put labels of the site's own medicines from..to-1 in, of the version now.
func (s *soak) put(ctx context.Context, c *control.Client, from, to int) error {
	path := filepath.Join(s.dir, "changed.jsonl")
	var text []byte
	for i := from; i < to; i++ {
		text = append(text, labelLines(siteMedicine(i), s.version)...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	rep, err := c.Ingest(ctx, []string{path}, nil)
	if err == nil && len(rep.Problems) > 0 {
		err = rep.Problems[0]
	}
	return err
}

// ingest changes six labels, and sees that they serve.
func (s *soak) ingest(ctx context.Context) error {
	return s.control(func(c *control.Client) error {
		s.version++
		from := s.version * 6 % siteMedicines
		if err := s.put(ctx, c, from, from+6); err != nil {
			return err
		}
		return s.serves(ctx, c, siteMedicine(from+s.version%6), s.version)
	})
}

// serves fails where the label of the medicine is not of the version.
func (s *soak) serves(ctx context.Context, c *control.Client, medicine string, version int) error {
	d, err := c.Document(ctx, medicine)
	if err != nil {
		return err
	}
	if want := doseSentence(medicine, version); !strings.Contains(d.Sections[0].Text, want) {
		return fmt.Errorf("what serves of %s is not version %d: %.80q", medicine, version, d.Sections[0].Text)
	}
	return nil
}

func (s *soak) withdraw(ctx context.Context) error {
	return s.control(func(c *control.Client) error {
		name := siteMedicine(s.version % siteMedicines)
		if _, err := c.Withdraw(ctx, []string{name}, nil); err != nil && !errors.Is(err, index.ErrNotFound) {
			return err
		}
		if _, err := c.Document(ctx, name); !errors.Is(err, index.ErrNotFound) {
			return fmt.Errorf("%s was withdrawn and is there: %v", name, err)
		}
		return nil
	})
}

func (s *soak) rebuild(ctx context.Context) error {
	return s.control(func(c *control.Client) error { _, err := c.Rebuild(ctx, nil); return err })
}

func (s *soak) compact(ctx context.Context) error {
	return s.control(func(c *control.Client) error {
		if _, err := c.Compact(ctx, nil); err != nil {
			return err
		}
		rep, err := c.Verify(ctx, nil)
		if err == nil && !rep.OK() {
			return fmt.Errorf("verify: %+v", rep.Faults)
		}
		return err
	})
}

// rollback goes to the generation before, then puts in anew what it lost.
func (s *soak) rollback(ctx context.Context) error {
	return s.control(func(c *control.Client) error {
		_, err := c.Rollback(ctx)
		if errors.Is(err, index.ErrNoEarlier) {
			s.happening("rollback").note("there was no generation before")
			return nil
		}
		if err != nil {
			return err
		}
		return s.putAll(ctx, c)
	})
}

func (s *soak) putAll(ctx context.Context, c *control.Client) error {
	s.version++
	if err := s.put(ctx, c, 0, siteMedicines); err != nil {
		return err
	}
	return s.serves(ctx, c, siteMedicine(3), s.version)
}

// bundle publishes a new version of a few of the centre's labels and waits until
// the site has it, unless the hub is away.
func (s *soak) bundle(ctx context.Context) error {
	if s.hubIsDown.Load() { // the centre can't give its hub anything either
		return nil
	}
	n := s.bundles
	s.bundles++
	number, err := s.centre.publish(ctx, central.Release{Documents: published(centralMedicines, func(i int) int {
		if i%10 == n%10 {
			return n
		}
		return max(0, n-(n-i%10+10)%10)
	})})
	if err != nil || s.hubIsAway.Load() {
		return err
	}
	return s.active(ctx, number, 3*time.Minute)
}

// active waits until the site has put the bundle to use.
func (s *soak) active(ctx context.Context, number int64, within time.Duration) error {
	var last string
	for end := time.Now().Add(within); time.Now().Before(end) && ctx.Err() == nil; {
		err := s.control(func(c *control.Client) error {
			st, err := c.SyncStatus(ctx)
			if err != nil {
				return err
			}
			if st.Bundles != nil && st.Bundles.Active != nil && st.Bundles.Active.Number >= number {
				last = "active"
			} else {
				last = fmt.Sprintf("%+v", st.Bundles)
			}
			return nil
		})
		if err == nil && last == "active" {
			return nil
		}
		if s.hubIsAway.Load() {
			return nil
		}
		pause(ctx, 500*time.Millisecond)
	}
	return fmt.Errorf("bundle %d is not active within %v: %.300s", number, within, last)
}

// hubAway cuts the line, or stops the hub, for a third of the time between two such
// faults; the rest goes on meanwhile.
func (s *soak) hubAway(context.Context) error {
	if s.hubIsAway.Swap(true) {
		return nil
	}
	n := s.happening("hub away for a while").Times
	away := time.Duration(float64(2*time.Minute) * float64(s.lasting) / float64(2*time.Hour))
	mend := func() error { s.centre.line.Heal(); return nil }
	switch n % 3 {
	case 0:
		s.centre.line.Cut()
	case 1:
		s.centre.line.Hole()
	case 2:
		s.hubIsDown.Store(true)
		s.centre.stopHub()
		s.centre.line.Cut()
		mend = func() error {
			s.centre.line.Heal()
			err := s.centre.startHub()
			s.hubIsDown.Store(err != nil)
			return err
		}
	}
	s.later.Go(func() {
		select {
		case <-s.over:
		case <-time.After(max(away, 3*time.Second)):
		}
		if err := mend(); err != nil {
			s.logf("the hub did not come back: %v", err)
		}
		s.hubIsAway.Store(false)
	})
	return nil
}

// killEngine ends the child that runs the language model; the box starts another.
func (s *soak) killEngine(context.Context) error {
	d, _ := s.daemon()
	engines := process.Children(d.PID)
	if len(engines) == 0 {
		if s.withModel {
			s.happening("engine killed").note("there was none")
		}
		return nil
	}
	s.killed.Store(time.Now().UnixNano())
	for _, pid := range engines {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// diskFull fills the data folder's disk to its last megabytes. What writes is
// refused, with a reason; questions go on. Then there is room again.
func (s *soak) diskFull(ctx context.Context) (err error) {
	if !s.ownDisk {
		return nil
	}
	s.full.Store(true)
	defer func() { err = errors.Join(err, os.Remove(s.filler)); s.full.Store(false) }()
	var fs unix.Statfs_t
	if err := unix.Statfs(s.data, &fs); err != nil {
		return err
	}
	f, err := os.Create(s.filler)
	if err != nil {
		return err
	}
	defer f.Close()
	free := int64(fs.Bavail)*fs.Bsize - 12<<20
	if err := unix.Fallocate(int(f.Fd()), 0, 0, max(free, 1)); err != nil {
		return err
	}
	return errors.Join(s.control(func(c *control.Client) error {
		before := s.version
		s.version++
		err := s.put(ctx, c, 0, 6)
		s.version = before
		if !errors.Is(err, index.ErrNoRoom) {
			return fmt.Errorf("an ingest on a full disk: %w", err)
		}
		return nil
	}), s.still(ctx))
}

// still asks a question that has to be answered whatever is broken.
func (s *soak) still(ctx context.Context) error {
	pause(ctx, 5*time.Second)
	return s.control(func(c *control.Client) error {
		_, err := c.Search(ctx, index.Query{Text: "usual dose of " + centralMedicine(1), K: 3})
		return err
	})
}

// damage writes over parts of the generation that serves, under the daemon's feet.
// Questions are answered from the one before; then what was lost is put in anew.
func (s *soak) damage(ctx context.Context) error {
	return s.control(func(c *control.Client) error {
		gens, err := c.Generations(ctx)
		if err != nil {
			return err
		}
		if len(gens) < 2 { // there is nothing to fall back on
			if _, err := c.Rebuild(ctx, nil); err != nil {
				return err
			}
		}
		h, err := c.Status(ctx)
		if err != nil {
			return err
		}
		folder, _, _ := strings.Cut(h.Generation, "+") // of which it is a view
		dir := filepath.Join(s.data, "index", folder)
		n := 0
		err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || !strings.HasSuffix(path, ".sst") && !strings.HasSuffix(path, ".vlog") {
				return err
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			fi, err := f.Stat()
			if err != nil {
				return err
			}
			for at := fi.Size() / 10; at < fi.Size(); at += fi.Size()/10 + 1 {
				if _, err := f.WriteAt([]byte("damaged on purpose, damaged on purpose, damaged on purpose"), at); err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%s holds nothing to damage", dir)
		}
		pause(ctx, 20*time.Second)
		now, err := c.Status(ctx)
		if err != nil {
			return err
		}
		s.happening("generation damaged").note("%s was damaged in %d places; %s served then", h.Generation, n, now.Generation)
		// Where no question has met the damage, an ingest may be the first that does: it is
		// refused, and a search that meets it makes the one before serve.
		if err := s.still(ctx); err != nil {
			return err
		}
		err = s.putAll(ctx, c)
		for try := 0; err != nil && strings.Contains(err.Error(), "is damaged") && try < 5; try++ {
			s.happening("generation damaged").note("an ingest met the damage first: %v", err)
			for i := range siteMedicines {
				_, _ = c.Search(ctx, index.Query{Text: "usual dose of " + siteMedicine(i), K: 10})
			}
			err = s.putAll(ctx, c)
		}
		if err != nil {
			return err
		}
		// What the box says is to be done after that: 'rxedge index compact'.
		_, err = c.Compact(ctx, nil)
		return err
	})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
