package answer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rxedge/index"
)

// Fallback is a lesser way in which an answer was made.
type Fallback struct {
	Name string `json:"name" enum:"bm25,not_reranked,extractive,cut_short,last_generation,earlier_answer"`
	Text string `json:"text"` // why, and what it means for the answer
}

// Names of the fallbacks, in the order in which they are tried.
const (
	FallbackWords      = "bm25"            // the embedder failed: searched by words alone
	FallbackOrder      = "not_reranked"    // the reranker failed: in the order of the search
	FallbackExtract    = "extractive"      // the model failed: sentences of the documents
	FallbackCut        = "cut_short"       // the model failed after it had said something
	FallbackGeneration = "last_generation" // the index is damaged: the last good one was searched
	FallbackEarlier    = "earlier_answer"  // nothing can be searched: what was said before
)

// ErrLost: the documents were damaged beyond use and nothing took their place.
var ErrLost = errors.New("the documents of this box are damaged and can't be searched; ask your technician to run 'rxedge doctor' and to ingest them again")

const wordsAlone = "search by meaning is not available; the documents were searched by words alone"

// Archive keeps answers that were asked for before, longer than they may be
// served as new. What Earlier gives is not changed by the caller.
type Archive interface {
	Earlier(key string) (*Kept, bool)
}

// searchError says in which generation of the index looking failed.
type searchError struct {
	generation string
	err        error
}

func (e *searchError) Error() string { return e.err.Error() }
func (e *searchError) Unwrap() error { return e.err }

// rescue is what is left where a question could not be looked at: the last good
// generation, and then what was answered before.
func (s *Service) rescue(ctx context.Context, q Question, ev Events, began time.Time, err error) (*Answer, error) {
	if isHidden(ctx) {
		return nil, err
	}
	for index.Damaged(err) && s.Retreat != nil {
		var at *searchError
		if !errors.As(err, &at) || s.Retreat(ctx, at.generation, err) != nil {
			break
		}
		var a *Answer
		fresh, done := s.pinned(ctx)
		a, err = s.answer(fresh, q, ev, began)
		done()
		if err == nil {
			return a, nil
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, index.ErrClosed) || q.Fresh {
		return nil, err
	}
	a := s.earlier(ctx, q)
	if a == nil {
		return nil, err
	}
	if s.Log != nil {
		s.Log.Error("the documents can't be searched; an earlier answer was given", "error", err)
	}
	tell(a, ev)
	a.Timings = Timings{Total: since(began)}
	return a, nil
}

// earlier is what was answered to the same question before, however long ago;
// nil where nothing was.
func (s *Service) earlier(ctx context.Context, q Question) *Answer {
	archive, ok := s.Cache.(Archive)
	if !ok {
		return nil
	}
	k, ok := archive.Earlier(s.key(ctx, q))
	if !ok || k.Answer.Status != StatusAnswered {
		return nil
	}
	a := k.Answer
	made := k.Made
	a.ID, a.Question, a.Cached, a.Made = newID(), q.Text, true, &made
	a.Fallbacks = append(a.Fallbacks, Fallback{FallbackEarlier, fmt.Sprintf(
		"the documents can't be searched now; this is what was answered on %s, from %s of the index: the labels may have changed since",
		made.Format("2 January 2006 at 15:04"), k.Answer.Generation)})
	return &a
}

// named gives the fallbacks of an answer their names; Fallback has their texts.
func (s *Service) named(a *Answer) {
	if s.Retreated != nil && a.Made == nil {
		if why := s.Retreated(); why != "" {
			a.Fallbacks = append(a.Fallbacks[:len(a.Fallbacks):len(a.Fallbacks)], Fallback{FallbackGeneration,
				fmt.Sprintf("the newest documents are damaged; this is from the last good index, %s: labels that came later are missing", a.Generation)})
		}
	}
	a.Fallback = ""
	for i, f := range a.Fallbacks {
		if i > 0 {
			a.Fallback += "; "
		}
		a.Fallback += f.Text
	}
}

// fellBack names what became of the search and of the model.
func (s *Service) fellBack(a *Answer, p *looked) {
	if s.degraded(p) {
		a.Fallbacks = append(a.Fallbacks, Fallback{FallbackWords, wordsAlone})
	}
	if p.unranked != "" {
		a.Fallbacks = append(a.Fallbacks, Fallback{FallbackOrder, p.unranked})
	}
	if a.Fallback != "" {
		name := FallbackExtract
		if a.Mode == ModeGenerated {
			name = FallbackCut
		}
		a.Fallbacks = append(a.Fallbacks, Fallback{name, a.Fallback})
	}
}

// tell an answer that is there as a whole.
func tell(a *Answer, ev Events) {
	if ev.Retrieved != nil {
		ev.Retrieved(a.Retrieved)
	}
	for _, c := range a.Claims {
		if ev.Claim != nil {
			ev.Claim(c)
		}
	}
	if a.Withheld > 0 && ev.Withheld != nil {
		ev.Withheld(a.Withheld)
	}
}
