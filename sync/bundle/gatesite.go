package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"rxedge/sync/durable"
)

// gating is what a site knows of its channel's gates.
type gating struct {
	gates *Gates // nil: the channel has none, or they are not at hand
	// lost: the signed metadata names gates that are not at hand. Nothing new is
	// taken then, since what is withheld may be the one that closes.
	lost bool
}

func (r *Receiver) gatesFile() string { return filepath.Join(r.local.dir, "gates") }

// openGates reads the gates that lie on this disk, where they are those that are
// signed; else they are fetched with the next pull.
func (r *Receiver) openGates() {
	t, err := r.trust.gatesTarget(r.cfg.Channel)
	if err == nil && t == nil {
		r.gating = gating{lost: r.book.s.GateSerial > 0}
		return
	}
	r.gating = gating{lost: true}
	if err != nil {
		return
	}
	b, err := os.ReadFile(r.gatesFile())
	if err != nil || HashOf(b) != t.hash {
		return
	}
	if g, err := r.readGates(b); err == nil {
		r.gating = gating{gates: g}
	}
}

// readGates that are those that were signed.
func (r *Receiver) readGates(b []byte) (*Gates, error) {
	g, err := ParseGates(b)
	switch {
	case err != nil:
		return nil, err
	case g.Channel != r.cfg.Channel:
		return nil, refuse(WrongChannel, nil, "the gates are of the channel %q; this site is on %q", g.Channel, r.cfg.Channel)
	case g.Serial < r.book.s.GateSerial:
		return nil, refuse(Downgrade, nil, "the centre signs gates of number %d; this site has seen %d", g.Serial, r.book.s.GateSerial)
	}
	return g, nil
}

// refreshGates brings the gates that the signed metadata names. Where that fails
// all gates are shut: a hub that withholds them opens nothing.
func (r *Receiver) refreshGates(ctx context.Context, src Source) error {
	t, err := r.trust.gatesTarget(r.cfg.Channel)
	if err != nil {
		return err
	}
	r.mu.Lock()
	seen := r.book.s.GateSerial
	r.mu.Unlock()
	if t == nil {
		lost := seen > 0
		r.mu.Lock()
		r.gating = gating{lost: lost}
		r.mu.Unlock()
		if lost {
			return refuse(Downgrade, nil, "the centre signs no gates any more; this site has seen number %d", seen)
		}
		return nil
	}
	g, err := r.fetchGates(ctx, src, *t)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gating = gating{gates: g, lost: err != nil}
	if err == nil && g.Serial > r.book.s.GateSerial {
		err = r.book.change(func(s *state) { s.GateSerial = g.Serial })
	}
	return err
}

func (r *Receiver) fetchGates(ctx context.Context, src Source, t target) (*Gates, error) {
	b, err := os.ReadFile(r.gatesFile())
	have := err == nil && HashOf(b) == t.hash
	if !have {
		if t.length > MaxManifest {
			return nil, refuse(TooLarge, nil, "the gates have %d bytes; the most is %d", t.length, MaxManifest)
		}
		b, err = src.Metadata(ctx, ManifestName(t.hash.String()), t.length)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil, refuse(MissingMetadata, err, "the hub does not have the gates of the channel; nothing new is taken without them")
		case err != nil:
			return nil, fmt.Errorf("fetching the gates: %w", err)
		case int64(len(b)) != t.length || HashOf(b) != t.hash:
			return nil, refuse(TamperedMetadata, nil, "the gates of the channel are not those that were signed")
		}
	}
	g, err := r.readGates(b)
	if err == nil && !have {
		err = durable.Write(r.gatesFile(), b)
	}
	return g, err
}

// of a bundle, with r.mu held.
func (r *Receiver) opening(number int64) Opening {
	if r.gating.lost {
		return Opening{Bundle: number, Why: "the channel's gates are not at hand"}
	}
	return r.gating.gates.Of(r.cfg.Site, number, r.trust.Now())
}

// Gate says what the centre's rollout says of a bundle at this site, as far as
// it has heard.
func (r *Receiver) Gate(number int64) Opening {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opening(number)
}

// Approvals that the centre's rollouts have brought, of whatever bundle: a trial goes on
// in a later one.
func (r *Receiver) Approvals() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gating.gates == nil {
		return nil
	}
	for i := range r.gating.gates.Gates {
		out = append(out, r.gating.gates.Gates[i].Approvals...)
	}
	return out
}

// Previous returns the set that the site had before the active one; nil: none.
func (r *Receiver) Previous() (*Set, error) {
	r.mu.Lock()
	p := r.book.s.Previous
	r.mu.Unlock()
	if p == nil {
		return nil, nil
	}
	m, err := r.local.manifest(p.Manifest)
	if err != nil {
		return nil, fmt.Errorf("the manifest of the bundle before: %w", err)
	}
	return OpenSet(m, r.local), nil
}

// ErrNoPrevious: there is no bundle to go back to.
var ErrNoPrevious = errors.New("this site has no bundle to go back to")

// Revert says that the site has gone back from the active bundle to the one
// before; the active one is in quarantine then, with the code of why (RolledBack
// where it has none). The error is ErrNoPrevious where there is none: the next
// Pull fetches one if the gates revoke the active bundle.
func (r *Receiver) Revert(number int64, why error) error {
	r.mu.Lock()
	a, p := r.book.s.Active, r.book.s.Previous
	r.mu.Unlock()
	switch {
	case a == nil || a.Number != number:
		return fmt.Errorf("bundle %d is not active", number)
	case p == nil:
		return ErrNoPrevious
	}
	var e *Error
	if !errors.As(why, &e) {
		e = refuse(RolledBack, why, "%v", why)
	}
	return r.record(Event{Number: number, State: StateQuarantined, Code: e.Code, Reason: e.Reason}, func(s *state) {
		s.Active, s.Previous = s.Previous, nil
		s.Quarantine[number] = &Quarantined{Number: number, Code: e.Code, Reason: e.Reason, At: r.cfg.Now().UTC(), Tries: 1}
		if s.Staged != nil && s.Staged.Number <= number {
			s.Staged = nil
		}
	})
}
