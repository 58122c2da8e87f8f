package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"rxedge/sync/durable"
)

// States of a bundle at a site:
//
//	fetching → staged → active
//	    └────────┴──────────→ quarantined
const (
	StateFetching    = "fetching"
	StateStaged      = "staged"
	StateActive      = "active"
	StateQuarantined = "quarantined"
	StateRefused     = "refused" // metadata, before there was a bundle
	StateVectors     = "vectors" // a bundle's vectors were refused, and it goes on without
)

// Held is a bundle that a site holds whole.
type Held struct {
	Number   int64     `json:"number"`
	Manifest Hash      `json:"manifest"`
	At       time.Time `json:"at"`
	// Vectors came with it, of this embedder; nil: the site makes its own.
	Vectors *Hash `json:"vectors,omitempty"`
}

// Quarantined is a bundle that was refused.
type Quarantined struct {
	Number int64     `json:"number"`
	Code   Code      `json:"code"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Tries  int       `json:"tries"`
	// Retry is when it is tried again by itself; zero: never.
	Retry time.Time `json:"retry,omitzero"`
}

// Event is a line of the history.
type Event struct {
	At     time.Time `json:"at"`
	Number int64     `json:"number,omitempty"`
	State  string    `json:"state"`
	Code   Code      `json:"code,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Bytes  int64     `json:"bytes,omitempty"` // that were fetched
	TookMS int64     `json:"took_ms,omitempty"`
}

// historyKept is how many events a site remembers.
const historyKept = 500

type state struct {
	Active     *Held                  `json:"active,omitempty"`
	Previous   *Held                  `json:"previous,omitempty"`
	Staged     *Held                  `json:"staged,omitempty"`
	Quarantine map[int64]*Quarantined `json:"quarantine,omitempty"`
	History    []Event                `json:"history,omitempty"`
	GateSerial int64                  `json:"gate_serial,omitempty"` // the highest seen
	Refreshed  time.Time              `json:"refreshed,omitzero"`    // when the metadata was last found good
}

// book keeps the state on disk.
type book struct {
	pair durable.Pair
	s    state
}

func openBook(dir string) (*book, error) {
	b := &book{pair: durable.Pair{Path: filepath.Join(dir, "state")}}
	data, _, err := b.pair.Load()
	if err != nil && !errors.Is(err, durable.ErrNone) {
		return nil, err
	}
	if err == nil {
		if err := json.Unmarshal(data, &b.s); err != nil {
			return nil, fmt.Errorf("the state of this site's bundles: %w", err)
		}
	}
	for n, q := range b.s.Quarantine {
		if q == nil {
			delete(b.s.Quarantine, n)
		}
	}
	if b.s.Quarantine == nil {
		b.s.Quarantine = map[int64]*Quarantined{}
	}
	return b, nil
}

// change makes a change, and takes it back where it can't be written down.
func (b *book) change(f func(s *state)) error {
	before, err := json.Marshal(b.s)
	if err != nil {
		return err
	}
	f(&b.s)
	if n := len(b.s.History); n > historyKept {
		b.s.History = b.s.History[n-historyKept:]
	}
	after, err := json.Marshal(b.s)
	if err == nil {
		err = b.pair.Store(after)
	}
	if err != nil {
		b.s = state{}
		_ = json.Unmarshal(before, &b.s)
		return fmt.Errorf("keeping the state of bundles: %w", err)
	}
	return nil
}

// retryOf says when what was refused with c may be tried again; zero: never, as
// the same bytes would be refused again.
func retryOf(c Code, now time.Time, tries int) time.Time {
	switch c {
	case TamperedChunk, MissingChunk, TamperedManifest, MissingMetadata:
		return now.Add(min(time.Minute<<min(tries, 10), 6*time.Hour)) // the hub may be mended
	case NotApplied:
		return now.Add(min(10*time.Minute<<min(tries, 8), 6*time.Hour))
	case NeedsRxedge, NeedsSchema, NeedsEmbedder, WrongProfile:
		return now.Add(time.Hour) // this box may be changed
	}
	return time.Time{}
}

// clockSlack is how far the clock may be set back and what was written before be no later.
const clockSlack = time.Hour

// waits says whether it is not to be tried again yet: until Retry, but not where the clock
// was ahead when that was written.
func (q *Quarantined) waits(now time.Time) bool {
	return q.Retry.IsZero() || now.Before(q.Retry) && !now.Before(q.At.Add(-clockSlack))
}
