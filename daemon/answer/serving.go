package answer

import (
	"context"

	"rxedge/daemon/answer/guard"
	"rxedge/index"
	"rxedge/inference"
)

// Serving is what answers one question from beginning to end: a generation of the
// index with the model that goes with it, whatever is swapped meanwhile.
type Serving interface {
	// Acquire gives the same generation each time; nil where the index is closed.
	Acquire() *index.Snapshot
	// Generator is as Service.Generator.
	Generator(ctx context.Context) (inference.Generator, error)
	// HasGenerator says whether there is one.
	HasGenerator() bool
	// Variant is as Service.Variant.
	Variant() string
	// Thresholds of cohorts that take the place of the guard's own; nil: there are none.
	Thresholds() *guard.Applied
	// Keep makes one that is released by itself.
	Keep() Serving
	Release()
}

type servingKey struct{}

// WithServing lets questions asked with the context be answered by v and not by
// what serves. Nothing of them is observed, and none of it is kept.
func WithServing(ctx context.Context, v Serving) context.Context {
	return context.WithValue(ctx, servingKey{}, hidden{v})
}

// hidden is a Serving that somebody asks whom nobody sees.
type hidden struct{ Serving }

// ServingOf is what answers the question that the context is of, nil where it is not
// known, and inside a call of Observe never hidden.
func ServingOf(ctx context.Context) Serving { return servingOf(ctx) }

func servingOf(ctx context.Context) Serving {
	v, _ := ctx.Value(servingKey{}).(Serving)
	return v
}

func isHidden(ctx context.Context) bool {
	_, ok := servingOf(ctx).(hidden)
	return ok
}

// pinned takes what serves now for a question, unless it was said what is to
// answer it.
func (s *Service) pinned(ctx context.Context) (context.Context, func()) {
	if s.Serving == nil || isHidden(ctx) {
		return ctx, func() {}
	}
	v := s.Serving(ctx)
	return context.WithValue(ctx, servingKey{}, v), v.Release
}

// keepServing keeps what answers a question for work that may outlast it.
func keepServing(ctx context.Context) (context.Context, func()) {
	v := servingOf(ctx)
	if v == nil || isHidden(ctx) {
		return ctx, func() {}
	}
	v = v.Keep()
	return context.WithValue(ctx, servingKey{}, v), v.Release
}

func (s *Service) acquire(ctx context.Context) *index.Snapshot {
	if v := servingOf(ctx); v != nil {
		return v.Acquire()
	}
	return s.Index.Acquire()
}

func (s *Service) generator(ctx context.Context) (inference.Generator, error) {
	if v := servingOf(ctx); v != nil {
		return v.Generator(ctx)
	}
	if s.Generator == nil {
		return nil, nil
	}
	return s.Generator(ctx)
}

func (s *Service) hasGenerator(ctx context.Context) bool {
	if v := servingOf(ctx); v != nil {
		return v.HasGenerator()
	}
	return s.Generator != nil
}

func (s *Service) variant(ctx context.Context) string {
	if v := servingOf(ctx); v != nil {
		return v.Variant()
	}
	if s.Variant != nil {
		return s.Variant()
	}
	return ""
}

// group is the threshold of a question's cohort; nil: the guard's own holds.
func (s *Service) group(ctx context.Context, q *Question) *guard.Mitigation {
	v := servingOf(ctx)
	if v == nil {
		return nil
	}
	return v.Thresholds().For(q.Cohort, s.guards().Threshold)
}

// guards is the model that judges answers.
func (s *Service) guards() *guard.Model {
	if s.guard != nil {
		return s.guard
	}
	return guard.Builtin()
}
