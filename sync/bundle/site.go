package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

func hashReader(r io.Reader) (Hash, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, ChunkSize)); err != nil {
		return Hash{}, err
	}
	return Hash(h.Sum(nil)), nil
}

// Staged is a bundle that waits to be put to use.
type Staged struct {
	Number int64
	Set    *Set
	Active *Set // what it takes the place of; nil: nothing, or nothing that can be read
	// Vectors of its documents' passages; nil: they are to be made.
	Vectors *StagedVectors
	r       *Receiver
}

// Artefact is the path of a file of the bundle. It is not to be changed.
func (s *Staged) Artefact(a Artefact) string { return s.r.local.artefactPath(a) }

// Staged returns what waits to be put to use; nil: nothing does, or the centre
// has shut its gate meanwhile.
func (r *Receiver) Staged() (*Staged, error) {
	r.mu.Lock()
	st := r.book.s.Staged
	shut := st != nil && !r.opening(st.Number).Allowed
	r.mu.Unlock()
	if st == nil || shut {
		return nil, nil
	}
	m, err := r.local.manifest(st.Manifest)
	if err != nil {
		// Damaged since: it is fetched again.
		return nil, r.record(Event{Number: st.Number, State: StateFetching, Reason: "its manifest was damaged on this disk"}, func(s *state) { s.Staged = nil })
	}
	out := &Staged{Number: st.Number, Set: OpenSet(m, r.local), Vectors: r.vectorsOf(st, m), r: r}
	if a, _ := r.held(); a != nil {
		out.Active = OpenSet(a, r.local)
	}
	return out, nil
}

// Active returns the set that the site has put to use; nil: none.
func (r *Receiver) Active() (*Set, error) {
	r.mu.Lock()
	a := r.book.s.Active
	r.mu.Unlock()
	if a == nil {
		return nil, nil
	}
	m, err := r.local.manifest(a.Manifest)
	if err != nil {
		return nil, fmt.Errorf("the manifest of the active bundle: %w", err)
	}
	return OpenSet(m, r.local), nil
}

// Activate says that the site has put the staged bundle to use.
func (r *Receiver) Activate(number int64) error {
	r.mu.Lock()
	st := r.book.s.Staged
	r.mu.Unlock()
	if st == nil || st.Number != number {
		return fmt.Errorf("bundle %d is not staged", number)
	}
	err := r.record(Event{Number: number, State: StateActive}, func(s *state) {
		if s.Previous = s.Active; s.Previous != nil && s.Previous.Number > number {
			s.Previous = nil // the centre has taken it back: nobody goes there again
		}
		s.Active, s.Staged = &Held{Number: st.Number, Manifest: st.Manifest, At: r.cfg.Now().UTC(), Vectors: st.Vectors}, nil
		for n := range s.Quarantine {
			if n <= number {
				delete(s.Quarantine, n) // of no interest any more; the history has it
			}
		}
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	keep := map[Hash]bool{st.Manifest: true}
	if p := r.book.s.Previous; p != nil {
		keep[p.Manifest] = true
	}
	r.mu.Unlock()
	active, previous := r.held()
	return errors.Join(r.local.sweep(active, previous), r.local.sweepManifests(keep))
}

// Reject puts the staged bundle into quarantine: the site can't use it.
func (r *Receiver) Reject(number int64, err error) {
	if CodeOf(err) == "" {
		err = refuse(NotApplied, err, "%v", err)
	}
	r.refused(number, err)
}

// Discard lets the staged bundle be fetched and checked again, for example
// because a pack was damaged on this disk.
func (r *Receiver) Discard(number int64, why string) error {
	return r.record(Event{Number: number, State: StateFetching, Reason: why}, func(s *state) {
		if s.Staged != nil && s.Staged.Number == number {
			s.Staged = nil
		}
	})
}

// Retry lets what is in quarantine be tried again at the next pull; 0: all.
func (r *Receiver) Retry(number int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.book.change(func(s *state) {
		for n, q := range s.Quarantine {
			if number == 0 || n == number {
				q.Retry = time.Unix(1, 0).UTC()
			}
		}
	})
}

// Status of a site's bundles.
type Status struct {
	Channel    string        `json:"channel"`
	Active     *Held         `json:"active,omitempty"`
	Staged     *Held         `json:"staged,omitempty"`
	Newest     int64         `json:"newest,omitempty"` // that the centre signs for this site
	Held       *Opening      `json:"held,omitempty"`   // the newest that is signed, where this site may not have it
	Quarantine []Quarantined `json:"quarantine,omitempty"`
	Progress   *Progress     `json:"progress,omitempty"`
	Refreshed  time.Time     `json:"refreshed,omitzero"`
	Refusal    *Event        `json:"refusal,omitempty"` // the latest line of the history, where it is one
}

// Status says what the site has.
func (r *Receiver) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.book.s
	st := Status{Channel: r.cfg.Channel, Active: s.Active, Staged: s.Staged, Refreshed: s.Refreshed}
	for _, n := range slices.Sorted(maps.Keys(s.Quarantine)) {
		st.Quarantine = append(st.Quarantine, *s.Quarantine[n])
	}
	if r.progress != nil {
		p := *r.progress
		st.Progress = &p
	}
	if ts, err := r.trust.targets(r.cfg.Channel); err == nil {
		for i, t := range ts {
			o := r.opening(t.number)
			if o.Allowed {
				st.Newest = t.number
				break
			}
			if i == 0 {
				st.Held = &o
			}
		}
	}
	if n := len(s.History); n > 0 && s.History[n-1].Code != "" {
		e := s.History[n-1]
		st.Refusal = &e
	}
	return st
}

// History of the site's bundles, the oldest first.
func (r *Receiver) History() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.book.s.History)
}
