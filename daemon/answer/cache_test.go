package answer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference"
)

// memory is a Cache of the test's own.
type memory struct {
	mu              sync.Mutex
	kept            map[string]*Kept
	same, different int
}

func (m *memory) Get(key string) (*Kept, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.kept[key]
	return k, ok
}

func (m *memory) Put(key string, k *Kept) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[string]*Kept{}
	}
	m.kept[key] = k
}

func (m *memory) Checked(same bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if same {
		m.same++
	} else {
		m.different++
	}
}

func label(id, name, text string) *document.Document {
	return &document.Document{ID: id, Title: name + " tablets", Kind: document.KindMarkdown, Names: []document.Name{{Text: name, Kind: "generic"}},
		Sections: []document.Section{{ID: id + "#dose", LOINC: "34068-7", Title: "Dosage and Administration", Text: text}}}
}

func apply(t *testing.T, ix *index.Index, ch index.Changes) {
	t.Helper()
	if _, err := ix.Apply(t.Context(), ch, nil); err != nil {
		t.Fatal(err)
	}
}

// An answer is kept while what it was made from is as it was, through updates
// that do not concern it; an abstention ends with the document that answers.
func TestKeptWhileItIsTrue(t *testing.T) {
	t.Parallel()
	ix := sample(t)
	m := &memory{}
	s := &Service{Index: ix, Cache: m}
	ask := func(q string) *Answer {
		t.Helper()
		a, err := s.Ask(t.Context(), Question{Text: q}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	const metformin, examplol, wine = "Can metformin be started with an eGFR of 40?", "What is the starting dose of examplol?", "Which wine goes with roast duck?"
	for _, q := range []string{metformin, examplol, wine} {
		first, second := ask(q), ask("  "+q[:len(q)-1]+"  ")
		if first.Cached || !second.Cached || first.ID == second.ID || first.Status != second.Status || len(first.Claims) != len(second.Claims) || second.Explain == nil || second.Timings.Total <= 0 {
			t.Errorf("%s: %+v, then %+v", q, first, second)
		}
	}
	if a, err := s.Ask(t.Context(), Question{Text: metformin, Fresh: true}, Events{}); err != nil || a.Cached || a.Status != StatusAnswered {
		t.Errorf("asked for anew: %v %+v", err, a)
	}
	if a := ask(examplol); a.Status != StatusAbstained {
		t.Fatalf("there is no examplol yet: %+v", a.Claims)
	}

	apply(t, ix, index.Changes{Put: index.Documents(label("examplol", "examplol", "The starting dose of examplol is 25 mg once a day."))})
	if a := ask(examplol); a.Cached || a.Status != StatusAnswered {
		t.Errorf("its document came: %+v", a)
	}
	a := ask(metformin)
	if !a.Cached || a.Timings.Retrieve <= 0 || a.Generation == "" {
		t.Errorf("of no concern: %+v", a)
	}
	if b := ask(metformin); !b.Cached || b.Timings.Retrieve != 0 || b.Generation != a.Generation {
		t.Errorf("compared once: %+v", b.Timings)
	}
	if m.same != 1 || m.different != 1 {
		t.Errorf("%d were the same, %d not", m.same, m.different)
	}

	apply(t, ix, index.Changes{Put: index.Documents(label("examplol", "examplol", "The starting dose of examplol is 50 mg once a day."))})
	if a := ask(examplol); a.Cached || a.Claims[0].Text != "The starting dose of examplol is 50 mg once a day." {
		t.Errorf("its document changed: %+v", a)
	}
	// Taken back: what was kept of that generation is compared, and is no longer so.
	if _, err := ix.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := ask(examplol); a.Cached || a.Claims[0].Text != "The starting dose of examplol is 25 mg once a day." {
		t.Errorf("the change was taken back: %+v", a)
	}
	apply(t, ix, index.Changes{Delete: []string{"examplol"}})
	if a := ask(examplol); a.Cached || a.Status != StatusAbstained {
		t.Errorf("its document was withdrawn: %+v", a)
	}
}

// What was made in a lesser way, and what failed, is made anew the next time.
func TestFallbackIsNotKept(t *testing.T) {
	t.Parallel()
	ix := sample(t)
	const question = "Can metformin be started with an eGFR of 40?"
	const sentence = "Metformin is contraindicated when the eGFR is below 30 mL/min/1.73 m²."
	var gen writes
	s := &Service{Index: ix, Cache: &memory{}, Generator: func(context.Context) (inference.Generator, error) { return gen, nil }, Entailer: builtinJudge}
	ask := func(mode string) *Answer {
		t.Helper()
		a, err := s.Ask(t.Context(), Question{Text: question, Mode: mode}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, w := range []writes{{err: inference.ErrEngineLost}, {text: sentence + " And", err: inference.ErrEngineLost}, {text: "It cures baldness for good in all."}} {
		gen = w
		for range 2 {
			if a := ask(""); a.Cached || a.Fallback == "" {
				t.Errorf("%+v: cached %v, fallback %q", w, a.Cached, a.Fallback)
			}
		}
	}
	gen = writes{text: sentence}
	if a := ask(""); a.Cached || a.Mode != ModeGenerated {
		t.Errorf("first: %+v", a)
	}
	gen = writes{err: inference.ErrEngineLost} // and now it is kept, the engine need not be there
	if a := ask(""); !a.Cached || a.Mode != ModeGenerated || a.Claims[0].Text != sentence {
		t.Errorf("second: %+v", a)
	}
	if a := ask(ModeExtractive); a.Cached || a.Mode != ModeExtractive {
		t.Errorf("another mode: %+v", a)
	}
	variant := "other model"
	s.Variant = func() string { return variant }
	gen = writes{text: sentence}
	if a := ask(""); a.Cached {
		t.Errorf("another model: %+v", a)
	}
}

// gate is a Generator that waits for the test.
type gate struct {
	calls atomic.Int32
	open  chan struct{}
	ended chan error
}

func (g *gate) Model() string { return "gate" }
func (g *gate) Generate(ctx context.Context, _ inference.GenerateRequest, emit func(string) error) (inference.GenerateResult, error) {
	g.calls.Add(1)
	if err := emit("Metformin is contraindicated when the eGFR is below 30 mL/min/1.73 m². Stop"); err != nil {
		return inference.GenerateResult{}, err
	}
	select {
	case <-g.open:
		return inference.GenerateResult{}, emit(" metformin if the eGFR falls below 30 mL/min/1.73 m².")
	case <-ctx.Done():
		g.ended <- ctx.Err()
		return inference.GenerateResult{}, ctx.Err()
	}
}

// The same question asked by many at the same time is worked on once; each of
// them sees the claims as they come. Who leaves ends it only as the last.
func TestSameQuestionInFlight(t *testing.T) {
	t.Parallel()
	g := &gate{open: make(chan struct{}), ended: make(chan error, 1)}
	s := &Service{Index: sample(t), Cache: &memory{}, Generator: func(context.Context) (inference.Generator, error) { return g, nil }, Entailer: builtinJudge}
	const question = "Can metformin be started with an eGFR of 20?"
	type result struct {
		a   *Answer
		err error
	}
	results := make(chan result)
	claimed := make(chan struct{})
	ask := func(ctx context.Context) {
		go func() {
			said := 0
			a, err := s.Ask(ctx, Question{Text: question}, Events{Claim: func(Claim) {
				if said++; said == 1 {
					claimed <- struct{}{}
				}
			}})
			if err == nil && said != len(a.Claims) {
				err = fmt.Errorf("%d claims were told of %d", said, len(a.Claims))
			}
			results <- result{a, err}
		}()
	}
	leaving, leave := context.WithCancel(t.Context())
	ask(leaving) // the one who began it
	<-claimed
	for range 3 {
		ask(t.Context())
		<-claimed // those who come later are told what was said already
	}
	leave()
	if r := <-results; !errors.Is(r.err, context.Canceled) {
		t.Errorf("who left got %v", r.err)
	}
	close(g.open)
	ids := map[string]bool{}
	for range 3 {
		r := <-results
		if r.err != nil || len(r.a.Claims) != 2 || r.a.Cached {
			t.Fatalf("%v %+v", r.err, r.a)
		}
		ids[r.a.ID] = true
	}
	if n := g.calls.Load(); n != 1 || len(ids) != 3 {
		t.Errorf("the model was asked %d times; ids %v", n, ids)
	}
	s.Wait()

	// All leave: the work ends, and who asks then begins anew.
	g.open = make(chan struct{})
	s.Cache = &memory{}
	leaving, leave = context.WithCancel(t.Context())
	ask(leaving)
	<-claimed
	leave()
	if r := <-results; !errors.Is(r.err, context.Canceled) {
		t.Errorf("who left got %v", r.err)
	}
	if err := <-g.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the model went on: %v", err)
	}
	close(g.open)
	ask(t.Context())
	<-claimed
	if r := <-results; r.err != nil || g.calls.Load() != 3 {
		t.Errorf("%v, the model was asked %d times", r.err, g.calls.Load())
	}
	s.Wait()
}

type bomb struct{}

func (bomb) Model() string { return "bomb" }
func (bomb) Generate(context.Context, inference.GenerateRequest, func(string) error) (inference.GenerateResult, error) {
	panic("boom")
}

// A panic in the work is an error of that question.
func TestPanicInFlight(t *testing.T) {
	t.Parallel()
	s := service(sample(t), bomb{}, nil)
	s.Cache = &memory{}
	if _, err := s.Ask(t.Context(), Question{Text: "Can metformin be started with an eGFR of 40?"}, Events{}); !errors.Is(err, errPanicked) {
		t.Errorf("got %v", err)
	}
}

func TestNormalise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b string }{{"Dose of  metformin ?", "Dose of metformin"}, {"\tDose\nof metformin...", "Dose of metformin"}, {"cafe\u0301", "café"}} {
		if Normalise(c.a) != Normalise(c.b) {
			t.Errorf("%q and %q differ", c.a, c.b)
		}
	}
	if Normalise("ASA dose") == Normalise("asa dose") {
		t.Error("case was lost")
	}
}

// An answer that is kept beside one that is made anew.
func BenchmarkAsk(b *testing.B) {
	ix := sample(b)
	const question = "Can metformin be started with an eGFR of 40?"
	for _, c := range []struct {
		name string
		s    *Service
	}{{"anew", &Service{Index: ix}}, {"kept", &Service{Index: ix, Cache: &memory{}}}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.s.Ask(b.Context(), Question{Text: question}, Events{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
