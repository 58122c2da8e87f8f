package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"rxedge/centre/library"
	"rxedge/centre/review"
	"rxedge/daemon/box"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// desk opens the centre's library, for what is decided about its documents.
func (a *app) desk(dir string) (*review.Desk, error) {
	f, err := a.centre(dir)
	if err != nil {
		return nil, err
	}
	there, err := library.Exists(f.Dir)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("%w: the centre has no library yet; 'rxedge central ingest' fills it", errNotFound)
	}
	l, err := library.Open(f.Dir)
	if err != nil {
		return nil, err
	}
	return &review.Desk{Library: l, Folder: f}, nil
}

// decider has the flags of a decision.
func decider(c *cobra.Command, by *central.By) {
	c.Flags().StringVar(&by.Who, "as", whoami(), "`name` of who does it, for the record")
	c.Flags().StringVar(&by.Reason, "note", "", "`text`: why, for the record")
}

// versionNamed is a version by what was typed: the id of a document, alone for its latest
// version, or with @ and the first digits of a hash.
func versionNamed(ctx context.Context, l *library.Library, given string) (*library.Version, error) {
	id, hash := given, ""
	if at := strings.LastIndexByte(given, '@'); at > 0 && len(given)-at > 8 && strings.Trim(given[at+1:], "0123456789abcdef") == "" {
		id, hash = given[:at], given[at+1:]
	}
	return l.Find(ctx, id, hash)
}

func nameOf(r library.Ref) string { return r.ID + "@" + r.Hash[:12] }

// libraryRelease makes a release of what the library has approved and the channel lacks.
// done notes it in the library once it is signed.
type libraryRelease struct {
	desk    *review.Desk
	pending []library.Version
}

func (a *app) fromLibrary(ctx context.Context, dir string, rel *central.Release) (*libraryRelease, error) {
	d, err := a.desk(dir)
	if err != nil {
		return nil, err
	}
	out := &libraryRelease{desk: d}
	if err := out.fill(ctx, a, rel); err != nil {
		d.Library.Close()
		return nil, err
	}
	return out, nil
}

func (r *libraryRelease) fill(ctx context.Context, a *app, rel *central.Release) error {
	d := r.desk
	// What a bundle had that was aborted is approved still, and no bundle has it.
	known, err := d.Library.Bundles(ctx, rel.Channel)
	if err != nil {
		return err
	}
	rolls, err := d.Folder.Rollouts()
	if err != nil {
		return err
	}
	for i := len(known) - 1; i >= 0; i-- {
		for _, x := range rolls {
			if x.Channel == rel.Channel && x.Bundle == known[i] && x.State == central.RolloutAborted {
				if err := d.Library.Unpublished(ctx, rel.Channel, known[i]); err != nil {
					return err
				}
			}
		}
	}
	p, err := d.Library.Pending(ctx, rel.Channel)
	if err != nil {
		return err
	}
	if len(p.Blocked) > 0 {
		var b strings.Builder
		for _, x := range p.Blocked {
			fmt.Fprintf(&b, "\n  run %s: %d of %d held back (%.1f %%)", printableText(x.ID), x.Quarantined+x.Refused, x.Documents+x.Refused, 100*x.Share)
		}
		return &refusedError{fmt.Sprintf("nothing was published: over 1 %% of a run is in quarantine.%s\nLook at it: 'rxedge central quarantine list --run %s'. Where it is as it should be: 'rxedge central quarantine approve-run %s --note WHY'", b.String(), p.Blocked[0].ID, p.Blocked[0].ID)}
	}
	if err := d.Verify(ctx, p.Versions); err != nil {
		return fmt.Errorf("nothing was published: %w", err)
	}
	r.pending = p.Versions
	refs := r.refs()
	rel.Documents = publishables(ctx, d.Library, refs)
	waiting, err := d.Library.Counts(ctx)
	if err != nil {
		return err
	}
	if n := waiting[library.Candidate]; n > 0 {
		a.note("Waiting for review, so not part of it: %s. See 'rxedge central review run' and 'rxedge central review list'.\n", amount(n, "version"))
	}
	return nil
}

func publishables(ctx context.Context, l *library.Library, refs []library.Ref) iter.Seq2[bundle.Document, error] {
	return func(yield func(bundle.Document, error) bool) {
		for d, err := range l.Documents(ctx, refs) {
			var x bundle.Document
			if err == nil {
				x, err = box.Publishable(d)
			}
			if !yield(x, err) {
				return
			}
		}
	}
}

func (r *libraryRelease) refs() []library.Ref {
	out := make([]library.Ref, len(r.pending))
	for i, v := range r.pending {
		out[i] = v.Ref
	}
	return out
}

func (r *libraryRelease) Close() error { return r.desk.Library.Close() }

// published notes in the library, where there is one, what a bundle has and has no more.
// r is nil where the documents were not the library's.
func (r *libraryRelease) published(ctx context.Context, f *central.Folder, rel *central.Release, number int64) error {
	var l *library.Library
	var refs []library.Ref
	switch {
	case r != nil:
		l, refs = r.desk.Library, r.refs()
	case len(rel.Withdraw) == 0:
		return nil
	default:
		there, err := library.Exists(f.Dir)
		if err != nil || !there {
			return err
		}
		if l, err = library.Open(f.Dir); err != nil {
			return err
		}
		defer l.Close()
	}
	err := l.Published(ctx, rel.Channel, number, refs, rel.Withdraw, library.By{Who: rel.Who})
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("bundle %d of %s is signed, and the library does not know it: %w; the same command again tells it", number, rel.Channel, err)
	}
	return err
}
