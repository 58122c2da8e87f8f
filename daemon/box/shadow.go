package box

import (
	"context"
	"errors"
	"sync"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/rollout/watch"
	"rxedge/inference"
)

// shadowed is a question that was answered, to be asked of something else, too. It is
// in memory alone.
type shadowed struct {
	question answer.Question
	answer   *answer.Answer
	err      error
	at       time.Time
}

const (
	shadowTries   = 5
	shadowPatient = 4 // budgets that a question in the shadow may take
)

// shadow asks again, of something else, what somebody was answered: of a trial's
// challenger, or of the model at full precision. Nobody sees what that says. It asks one
// question after another, in one goroutine, while nobody waits for an answer, and breaks
// off as somebody comes.
type shadow struct {
	b      *Box
	key    string        // that its requests to an engine have
	age    time.Duration // until which a question waits
	budget time.Duration // of an answer; 0: none
	// take what is asked; nil: it can't be had.
	take func(shadowed) *question
	// begin says whether it may work now, and is told how long that took.
	begin func(now time.Time, asking int) (done func(time.Duration), yes bool)
	over  func() bool // nothing is asked any more
	// told of both answers.
	told func(j shadowed, a *answer.Answer, err error)

	mu      sync.Mutex
	stop    context.CancelFunc // of the question under way; nil: none
	dropped RolloutDropped
}

// giveWay breaks off the question under way.
func (s *shadow) giveWay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
	}
}

// drop counts a question that was not asked, or not to the end.
func (s *shadow) drop(count func(*RolloutDropped)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count(&s.dropped)
}

// Dropped until now.
func (s *shadow) Dropped() RolloutDropped {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// again asks a question that was answered.
func (s *shadow) again(ctx context.Context, j shadowed) {
	asking := &s.b.rollout.asking
	for range shadowTries {
		site{s.b}.Idle(ctx, time.Until(j.at.Add(s.age)))
		if ctx.Err() != nil {
			return
		}
		if asking.Count() > 0 || time.Since(j.at) > s.age {
			break
		}
		done, yes := s.begin(time.Now(), asking.Count())
		if !yes {
			if asking.Count() > 0 {
				continue
			}
			if !s.over() {
				s.drop(func(d *RolloutDropped) { d.Capacity++ })
			}
			return
		}
		began := time.Now()
		a, err, whole := s.ask(ctx, j)
		done(time.Since(began))
		if !whole {
			s.drop(func(d *RolloutDropped) { d.GaveWay++ })
			continue
		}
		if watch.Counts(a, err) {
			s.told(j, a, err)
		}
		return
	}
	s.drop(func(d *RolloutDropped) { d.Busy++ })
}

// ask what nobody sees; whole: it was not broken off as somebody asked.
func (s *shadow) ask(ctx context.Context, j shadowed) (a *answer.Answer, err error, whole bool) {
	by := s.take(j)
	if by == nil {
		return nil, nil, true
	}
	defer by.Release()
	if by.snap == nil {
		return nil, nil, true
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.mu.Lock()
	s.stop = stop
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.stop = nil
		s.mu.Unlock()
	}()
	if s.b.rollout.asking.Count() > 0 { // who began before stop was there to be called
		return nil, nil, false
	}
	limited := inference.WithCaller(ctx, inference.Caller{Key: s.key, Priority: inference.Background})
	if s.budget > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(limited, shadowPatient*s.budget)
		defer cancel()
	}
	a, err = s.b.Answers.Ask(answer.WithServing(limited, by), j.question, answer.Events{})
	if ctx.Err() != nil {
		return nil, nil, false
	}
	if errors.Is(limited.Err(), context.DeadlineExceeded) {
		return nil, context.DeadlineExceeded, true
	}
	return a, err, true
}
