package answer

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"rxedge/index"
	"rxedge/inference"
)

// letters makes vectors of letters, and fails when it is told to.
type letters struct{ broken bool }

func (l *letters) Embed(_ context.Context, texts []string) ([][]float32, error) {
	if l.broken {
		return nil, inference.ErrEngineLost
	}
	out := make([][]float32, len(texts))
	for i, t := range texts {
		out[i] = make([]float32, 32)
		for _, r := range strings.ToLower(t) {
			out[i][int(r)%32]++
		}
	}
	return out, nil
}

func fallbacksOf(a *Answer) (out []string) {
	for _, f := range a.Fallbacks {
		out = append(out, f.Name)
		if f.Text == "" || !strings.Contains(a.Fallback, f.Text) {
			out = append(out, "(not in words)")
		}
	}
	return out
}

// Each stage that fails is named in the answer, which is made all the same.
func TestFallbacksAreNamed(t *testing.T) {
	t.Parallel()
	const question = "Can metformin be started with an eGFR of 40?"
	info := index.EmbedderInfo{Name: "letters", SHA256: "x", Dimension: 32}
	e := &letters{}
	ix, words := sampleWith(t, index.Options{Embedder: e, EmbedderInfo: info}), sample(t)
	for _, c := range []struct {
		name   string
		change func(*Service)
		want   string
	}{
		{"nothing fails", func(*Service) {}, ""},
		{"embedder", func(*Service) { e.broken = true }, FallbackWords},
		{"model too", func(s *Service) {
			e.broken = true
			s.Generator = func(context.Context) (inference.Generator, error) { return nil, inference.ErrEngineMissing }
		}, FallbackWords + " " + FallbackExtract},
		{"reranker", func(s *Service) {
			s.Reranker = func(context.Context) (inference.Reranker, error) { return nil, inference.ErrEngineLost }
		}, FallbackOrder},
		{"reranker's scores", func(s *Service) {
			s.Reranker = func(context.Context) (inference.Reranker, error) {
				return orders(func(int) float32 { return float32(math.NaN()) }), nil
			}
		}, FallbackOrder},
		{"no reranker", func(s *Service) {
			s.Reranker = func(context.Context) (inference.Reranker, error) { return nil, nil }
		}, ""},
		{"model alone", func(s *Service) {
			s.Generator = func(context.Context) (inference.Generator, error) { return writes{err: inference.ErrEngineLost}, nil }
		}, FallbackExtract},
		{"model in the middle", func(s *Service) {
			s.Index, s.Embedder, s.Vectors, s.Entailer = words, index.EmbedderInfo{}, false, service(words, nil, nil).Entailer
			s.Generator = func(context.Context) (inference.Generator, error) {
				return writes{text: "Metformin is contraindicated when the eGFR is below 30 mL/min/1.73 m². And then", err: inference.ErrEngineLost}, nil
			}
		}, FallbackCut},
		{"an earlier index serves", func(s *Service) { s.Retreated = func() string { return "yes" } }, FallbackGeneration},
	} {
		e.broken = false
		m := &memory{}
		s := &Service{Index: ix, Embedder: info, Vectors: true, Cache: m, Entailer: builtinJudge}
		c.change(s)
		a, err := s.Ask(t.Context(), Question{Text: question}, Events{})
		if err != nil || a.Status != StatusAnswered || strings.Join(fallbacksOf(a), " ") != c.want || (a.Fallback == "") != (c.want == "") {
			t.Errorf("%s: %v, fallbacks %q (%q), %+v", c.name, err, fallbacksOf(a), a.Fallback, a.Claims)
		}
		// An earlier index is told of each time, also with what is kept.
		if b, err := s.Ask(t.Context(), Question{Text: question}, Events{}); err != nil || strings.Join(fallbacksOf(b), " ") != c.want {
			t.Errorf("%s, again: %v %q", c.name, err, fallbacksOf(b))
		}
		s.Wait()
	}
}

// archive is a memory that lets an answer be served as new for no time at all.
type archive struct{ memory }

func (a *archive) Get(string) (*Kept, bool)         { return nil, false }
func (a *archive) Earlier(key string) (*Kept, bool) { return a.memory.Get(key) }

// Where nothing can be searched, what was answered to the very same question is
// given, with its date and its generation; an abstention is not, nor anything to
// who asks for a fresh answer.
func TestEarlierAnswers(t *testing.T) {
	t.Parallel()
	const question, unknown = "Can metformin be started with an eGFR of 40?", "Which wine goes with roast duck?"
	ix := sample(t)
	kept := &archive{}
	s := &Service{Index: ix, Cache: kept, Retreat: func(context.Context, string, error) error { return index.ErrNoEarlier }}
	ask := func(q Question) (*Answer, error) { return s.Ask(t.Context(), q, Events{}) }
	first, err := ask(Question{Text: question})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(Question{Text: unknown}); err != nil {
		t.Fatal(err)
	}
	for _, k := range kept.kept {
		k.Made = k.Made.Add(-5 * time.Hour)
	}
	s.Lost = func() bool { return true }
	a, err := ask(Question{Text: "  " + question + " "})
	if err != nil || strings.Join(fallbacksOf(a), " ") != FallbackEarlier || !a.Cached || a.Made == nil || time.Since(*a.Made) < 5*time.Hour ||
		a.Generation != first.Generation || !strings.Contains(a.Fallback, first.Generation) || a.ID == first.ID || len(a.Claims) != len(first.Claims) {
		t.Fatalf("%v %+v", err, a)
	}
	for name, q := range map[string]Question{"another": {Text: "Can metformin be started with an eGFR of 41?"}, "of another mode": {Text: question, Mode: ModeExtractive},
		"abstained from": {Text: unknown}, "fresh": {Text: question, Fresh: true}} {
		if b, err := ask(q); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v %+v", name, err, b)
		}
	}
	s.Lost = nil
	left, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Ask(left, Question{Text: question}, Events{}); !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	s.Wait()
}
