package box

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rxedge/daemon/answer"
	profiles "rxedge/firmware-profiles"
	"rxedge/inference"
)

// BenchRequest says how long each part is measured; 0: five seconds.
type BenchRequest struct {
	Seconds float64 `json:"seconds"`
}

// BenchProgress is what is being measured.
type BenchProgress struct {
	Stage string `json:"stage"`
	Done  int    `json:"done"`
	Total int    `json:"total"`
}

// Verdicts on a figure.
const (
	BenchFine    = "as expected"
	BenchSlow    = "slower than expected"
	BenchUnknown = "no expectation"
	BenchSkipped = "not measured"
)

// BenchFigure is one thing that was measured. Low figures are the good ones where Low.
type BenchFigure struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit"`
	Value    float64 `json:"value"`
	Expected float64 `json:"expected,omitempty"` // 0: nothing is known
	Measured bool    `json:"expected_measured"`  // on such a box; else it is reckoned
	Low      bool    `json:"low_is_good"`
	Verdict  string  `json:"verdict"`
	Basis    string  `json:"basis,omitempty"` // of what is expected, where it is not the profile's
	Why      string  `json:"why,omitempty"`   // of what was not measured, or of no expectation
	Look     string  `json:"look,omitempty"`
}

// BenchReport is what this box can do.
type BenchReport struct {
	Profile  string        `json:"profile"`
	Basis    string        `json:"basis"` // of what is expected
	Passages int           `json:"passages"`
	Model    string        `json:"model,omitempty"`
	Cores    int           `json:"cores"`
	Figures  []BenchFigure `json:"figures"`
}

// A figure is as expected that comes to this share of it at least.
const benchShare = 0.7

// What a disk may take to make a small write last: a card or a disk that takes longer
// holds up whoever gives feedback and every report to the centre.
const benchSync = 20 // ms

// benchPassages is the size of the index that profiles speak of.
const benchPassages = 100_000

// Bench measures this box while it serves: those who ask come first, and nothing of it is
// counted among people's questions.
func (b *Box) Bench(ctx context.Context, r BenchRequest, progress func(BenchProgress)) (BenchReport, error) {
	if r.Seconds < 0 || r.Seconds > 600 {
		return BenchReport{}, &answer.InvalidError{Field: "seconds", Detail: "from 0 to 600"}
	}
	m := &bench{b: b, each: 5 * time.Second, progress: progress, expected: b.Models.chosen().profile.Expected, profile: b.Models.chosen().profile}
	if r.Seconds > 0 {
		m.each = time.Duration(r.Seconds * float64(time.Second))
	}
	m.out = BenchReport{Profile: m.profile.Name, Basis: m.expected.Basis, Passages: b.Index.Stats().Generation.Passages, Model: b.writes(), Cores: runtime.GOMAXPROCS(0)}
	ctx = inference.WithCaller(ctx, inference.Caller{Key: "bench", Priority: inference.Background})
	parts := []struct {
		stage string
		do    func(context.Context) error
	}{{"disk", m.disk}, {"memory", m.memory}, {"questions", m.questions}, {"embeddings", m.embeddings}, {"language model", m.model}}
	for i, p := range parts {
		progress(BenchProgress{p.stage, i, len(parts)})
		if err := p.do(ctx); err != nil {
			return m.out, fmt.Errorf("measuring the %s: %w", p.stage, err)
		}
	}
	progress(BenchProgress{"done", len(parts), len(parts)})
	return m.out, ctx.Err()
}

type bench struct {
	b        *Box
	each     time.Duration
	progress func(BenchProgress)
	expected profiles.Expected
	profile  profiles.Profile
	out      BenchReport
}

// add a figure; name is the profile's of what is expected, "" where it has none.
func (m *bench) add(f BenchFigure, name string) {
	f.Measured = name != "" && slices.Contains(m.expected.Measured, name)
	switch {
	case f.Verdict == BenchSkipped:
	case f.Expected == 0:
		f.Verdict = BenchUnknown
	case f.Low && f.Value*benchShare <= f.Expected, !f.Low && f.Value >= f.Expected*benchShare:
		f.Verdict = BenchFine
	default:
		f.Verdict = BenchSlow
	}
	if f.Verdict != BenchSlow {
		f.Look = ""
	}
	if f.Verdict == BenchFine || f.Verdict == BenchSlow {
		f.Why = ""
	}
	m.out.Figures = append(m.out.Figures, f)
}

func (m *bench) skip(name, unit, why string) {
	m.add(BenchFigure{Name: name, Unit: unit, Verdict: BenchSkipped, Why: why}, "")
}

// disk: a small write in the data folder until it is on disk.
func (m *bench) disk(ctx context.Context) (err error) {
	path := filepath.Join(m.b.Config.Data, ".bench")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	block := make([]byte, 4096)
	var took []float64
	for end := time.Now().Add(m.each); len(took) < 200 && time.Now().Before(end) && ctx.Err() == nil; {
		began := time.Now()
		if _, err := f.WriteAt(block, int64(len(took))*4096); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		took = append(took, ms(began))
	}
	m.add(BenchFigure{Name: "a write that lasts, p95", Unit: "ms", Value: at(took, 95), Expected: benchSync, Low: true, Basis: "what a disk may take, on any box",
		Look: "is the disk an SSD, is it nearly full or worn ('smartctl -a'), does another program write ('iotop')?"}, "")
	return ctx.Err()
}

// memory: how fast all cores together read what is in no cache.
func (m *bench) memory(ctx context.Context) error {
	block := make([]uint64, 16<<20) // 128 MiB
	for i := range block {
		block[i] = uint64(i)
	}
	n := runtime.GOMAXPROCS(0)
	best, sink := 0.0, atomic.Uint64{}
	for end := time.Now().Add(min(m.each, 2*time.Second)); time.Now().Before(end) && ctx.Err() == nil; {
		began := time.Now()
		var wg sync.WaitGroup
		for w := range n {
			part := block[w*len(block)/n : (w+1)*len(block)/n]
			wg.Go(func() {
				var a, b, c, d uint64
				for i := 0; i+3 < len(part); i += 4 {
					a, b, c, d = a+part[i], b+part[i+1], c+part[i+2], d+part[i+3]
				}
				sink.Add(a + b + c + d)
			})
		}
		wg.Wait()
		best = max(best, float64(len(block)*8)/1e9/time.Since(began).Seconds())
	}
	m.add(BenchFigure{Name: "memory read", Unit: "GB/s", Value: best, Why: "a profile says none"}, "")
	return ctx.Err()
}

// forms of questions that any label can be asked.
var benchForms = []string{"What are the contraindications of %s?", "What is the maximum dose of %s?", "What are common side effects of %s?", "Does %s interact with warfarin?",
	"Is %s safe in pregnancy?", "How is %s dosed in renal impairment?", "What is %s used for?"}

func (m *bench) asked(ctx context.Context) ([]string, error) {
	docs, err := m.b.Documents(ctx)
	if err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(1, 1)) // the same each time
	rnd.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	var out []string
	for _, form := range benchForms {
		for _, d := range docs[:min(len(docs), 300)] {
			name := d.Title
			if len(d.Names) > 0 {
				name = d.Names[0].Text
			}
			out = append(out, fmt.Sprintf(form, name))
		}
	}
	return out, nil
}

// questions: extractive answers, one after another, then as many at a time as there
// are cores.
func (m *bench) questions(ctx context.Context) error {
	qs, err := m.asked(ctx)
	if err != nil || len(qs) == 0 {
		m.skip("an answer, p95", "ms", "there are no documents")
		return err
	}
	ask := func(i int) error {
		_, err := m.b.Examine(ctx, answer.Question{Text: qs[i%len(qs)], Mode: answer.ModeExtractive, Fresh: true}, answer.Events{})
		return err
	}
	var took []float64
	for end := time.Now().Add(m.each); len(took) < 10 || time.Now().Before(end); {
		began := time.Now()
		if err := ask(len(took)); err != nil {
			return err
		}
		took = append(took, ms(began))
	}
	p95 := BenchFigure{Name: "an answer, p95", Unit: "ms", Value: at(took, 95), Expected: m.expected.QuestionP95, Low: true, Why: "such a box was never measured",
		Look: "what else runs ('top'), is the processor throttled or shared, does the index fit into memory beside the models ('rxedge status')?"}
	if m.out.Passages > benchPassages*6/5 {
		p95.Expected, p95.Why = 0, fmt.Sprintf("it is known for %d passages", benchPassages)
	}
	m.add(BenchFigure{Name: "an answer, median", Unit: "ms", Value: at(took, 50), Low: true, Why: "the profile says none"}, "")
	m.add(p95, "question_p95_ms")
	var n atomic.Int64
	var failed error
	var once sync.Once
	var wg sync.WaitGroup
	began := time.Now()
	end := began.Add(m.each)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Now().Before(end) {
				if err := ask(int(n.Add(1))); err != nil {
					once.Do(func() { failed = err })
					return
				}
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	m.add(BenchFigure{Name: "answers, all cores", Unit: "/s", Value: float64(n.Load()) / time.Since(began).Seconds(), Why: "the profile says none"}, "")
	return nil
}

// embeddings of texts of about 128 tokens by the embedder that is in use.
func (m *bench) embeddings(ctx context.Context) error {
	const name, unit = "texts embedded", "/s"
	if m.b.embedder == "" {
		m.skip(name, unit, "no embedder is configured")
		return nil
	}
	e, err := m.b.Models.Embedder(ctx, m.b.embedder)
	if err != nil {
		m.skip(name, unit, err.Error())
		return nil
	}
	batch := make([]string, 16)
	n := 0
	one := func() error {
		for i := range batch {
			batch[i] = fmt.Sprintf("Label %d. ", n+i) + strings.Repeat("The dose is taken once daily with food and water. ", 11)
		}
		_, err := e.Embed(ctx, batch)
		return err
	}
	if err := m.loaded(ctx, one); err != nil {
		m.skip(name, unit, err.Error())
		return ctx.Err()
	}
	began := time.Now()
	for time.Since(began) < m.each {
		if err := one(); err != nil {
			return err
		}
		n += len(batch)
	}
	f := BenchFigure{Name: name + " by " + m.b.embedder, Unit: unit, Value: float64(n) / time.Since(began).Seconds(), Why: "the profile's is for " + m.profile.Embedder.Model,
		Look: "'rxedge gpu' says whether the card is slowed down; on the processor see what else runs ('top')"}
	if m.b.embedder == m.profile.Embedder.Model {
		f.Expected = m.expected.Embeddings
	}
	m.add(f, "embeddings_per_s")
	return nil
}

// model: how fast the language model reads and writes, for one caller.
func (m *bench) model(ctx context.Context) error {
	const read, written, unit = "tokens read", "tokens written", "/s"
	name := m.out.Model
	if name == "" {
		m.skip(read, unit, "no language model is configured")
		m.skip(written, unit, "no language model is configured")
		return nil
	}
	g, err := m.b.Models.Generator(ctx, name)
	if err != nil {
		m.skip(read, unit, err.Error())
		m.skip(written, unit, err.Error())
		return nil
	}
	var reads, writes []float64
	words := 700
	for round := 0; round < 4 && ctx.Err() == nil; round++ {
		prompt := fmt.Sprintf("Round %d of %d. ", round, time.Now().UnixNano()) + strings.Repeat("The dose is taken with food. ", words/6) // none is in the prompt's cache
		var res inference.GenerateResult
		var began time.Time
		err := m.loaded(ctx, func() (err error) {
			began = time.Now()
			res, err = g.Generate(ctx, inference.GenerateRequest{Prompt: prompt, MaxTokens: 64}, func(string) error { return nil })
			return err
		})
		var long *inference.ContextError
		if errors.As(err, &long) && words > 20 {
			words, round = words*(long.Limit-70)/max(long.Tokens, 1)*9/10, round-1
			continue
		}
		if err != nil {
			m.skip(read, unit, err.Error())
			m.skip(written, unit, err.Error())
			return ctx.Err()
		}
		if round == 0 {
			continue // it was loaded
		}
		first := (res.TimeToFirst - res.Queued).Seconds()
		reads = append(reads, float64(res.PromptTokens-res.CachedTokens)/max(first, 1e-9))
		if rest := time.Since(began).Seconds() - res.TimeToFirst.Seconds(); res.CompletionTokens > 1 && rest > 0 {
			writes = append(writes, float64(res.CompletionTokens-1)/rest)
		}
	}
	look := "'rxedge gpu' says whether the card is slowed down, and 'rxedge profile check' whether the model is where it belongs; on the processor see what else runs ('top')"
	r := BenchFigure{Name: read + " by " + name, Unit: unit, Value: at(reads, 50), Why: "the profile's is for " + m.profile.Generator.Model, Look: look}
	w := BenchFigure{Name: written + " by " + name, Unit: unit, Value: at(writes, 50), Why: r.Why, Look: look}
	if name == m.profile.Generator.Model {
		r.Expected, w.Expected = m.expected.Prompt, m.expected.Generate
	}
	m.add(r, "prompt_tokens_per_s")
	if len(writes) == 0 {
		m.skip(written, unit, "it wrote next to nothing")
		return ctx.Err()
	}
	m.add(w, "generate_tokens_per_s")
	return ctx.Err()
}

// loaded does it once the model's engine has started.
func (m *bench) loaded(ctx context.Context, do func() error) error {
	for end := time.Now().Add(time.Duration(m.b.Config.Model.Start)); ; {
		err := do()
		if !errors.Is(err, inference.ErrEngineStarting) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ms(since time.Time) float64 { return float64(time.Since(since)) / float64(time.Millisecond) }

// at is a percentile; 0 where there is nothing.
func at(v []float64, percent int) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Clone(v)
	slices.Sort(s)
	return s[min(len(s)-1, percent*len(s)/100)]
}
