package validate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/evaluate"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference/llama"
)

func judge(t *testing.T, cfg Config, serving, candidate pair) Verdict {
	t.Helper()
	cfg.ServingCorpus, cfg.CandidateCorpus = serving.snap, candidate.snap
	v, err := Run(t.Context(), cfg, serving, candidate)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.Checks {
		t.Logf("%-20s pass=%-5v untold=%-5v %s", c.Name, c.Pass, c.Untold, c.Detail)
	}
	return v
}

// drawnAlone asks the drawn questions alone: whether these notice, too, what the comparison
// of texts finds at once.
func drawnAlone(t *testing.T, serving, candidate pair, changed []string) Verdict {
	t.Helper()
	cfg := Config{Questions: 24}.complete()
	drawn, err := Draw(t.Context(), serving.snap, candidate.snap, DrawOptions{N: cfg.Questions, Changed: changed})
	if err != nil {
		t.Fatal(err)
	}
	v := Verdict{Pass: true}
	if err := ask(t.Context(), cfg, serving, candidate, drawn, &v); err != nil {
		t.Fatal(err)
	}
	for _, c := range v.Checks {
		t.Logf("%-20s pass=%-5v untold=%-5v %s", c.Name, c.Pass, c.Untold, c.Detail)
	}
	return v
}

func failed(v Verdict) string {
	if c := v.Failed(); c != nil {
		return c.Name
	}
	return ""
}

// A bundle whose texts stand under each other's titles, or under another
// medicine, is refused, by the comparison and by the questions each for itself; a
// good revision passes.
func TestShuffledTexts(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		name string
		docs func(testing.TB) []*document.Document
	}{{"sample", sample}, {"labels", labels}} {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			docs := of.docs(t)
			serving := pairOf(t, docs)
			better, changed := revised(docs, rand.New(rand.NewPCG(3, 1)))
			one := clone(docs)
			some := one[slices.IndexFunc(one, func(d *document.Document) bool { return len(d.Sections) > 1 })]
			some.Sections[0].Text, some.Sections[1].Text = some.Sections[1].Text, some.Sections[0].Text
			for _, c := range []struct {
				name            string
				docs            []*document.Document
				changed         []string
				fails, detected string
			}{
				{"the same", docs, []string{}, "", "-"},
				{"revised", better, changed, "", "-"},
				{"shuffled", shuffled(docs), ids(docs), Texts, GoldenNDCG},
				{"crossed", crossed(docs), ids(docs), Texts, GoldenNDCG},
				{"one label", one, []string{some.ID}, Texts, "-"},
			} {
				t.Run(c.name, func(t *testing.T) {
					candidate := pairOf(t, c.docs)
					if got := failed(judge(t, Config{Changed: c.changed, Questions: 24}, serving, candidate)); got != c.fails {
						t.Errorf("failed at %q, want %q", got, c.fails)
					}
					if c.detected == "-" {
						return
					}
					if got := failed(drawnAlone(t, serving, candidate, c.changed)); got != c.detected {
						t.Errorf("questions alone failed at %q, want %q", got, c.detected)
					}
				})
			}
		})
	}
}

// A dose that is wrong in the new label is found by a golden question that knows it.
func TestGoldenNumbers(t *testing.T) {
	t.Parallel()
	docs := sample(t)
	wrong := clone(docs)
	var golden []Golden
	for _, d := range wrong {
		for i := range d.Sections {
			d.Sections[i].Text = strings.ReplaceAll(d.Sections[i].Text, "0 mg", "00 mg")
		}
		golden = append(golden, Golden{Question: evaluate.Question{ID: d.ID, Question: "What is the adult starting dose of " + d.Names[0].Text + "?",
			Relevant: []string{sectionOf(d, "Dosage and Administration")}, Numbers: numbersOf(docs, d.ID)}})
	}
	golden = slices.DeleteFunc(golden, func(g Golden) bool { return len(g.Numbers) == 0 || g.Relevant[0] == "" })
	v := judge(t, Config{Golden: golden, Changed: ids(docs), Questions: 10}, pairOf(t, docs), pairOf(t, wrong))
	if failed(v) != Numbers {
		t.Errorf("failed at %q, want %q", failed(v), Numbers)
	}
}

func sectionOf(d *document.Document, title string) string {
	for _, s := range d.Sections {
		if s.Title == title {
			return s.ID
		}
	}
	return ""
}

// numbersOf a document: the first dose of its dosage that ends in 0 mg.
func numbersOf(docs []*document.Document, id string) []string {
	for _, d := range docs {
		if d.ID != id {
			continue
		}
		for _, s := range d.Sections {
			if s.Title != "Dosage and Administration" {
				continue
			}
			ws := strings.Fields(s.Text)
			for i := 1; i < len(ws); i++ {
				if strings.HasPrefix(ws[i], "mg") && strings.HasSuffix(ws[i-1], "0") {
					return []string{ws[i-1] + " mg"}
				}
			}
		}
	}
	return nil
}

// What can't be opened, is damaged or does not fit is asked nothing.
func TestNothingIsAskedOfWhatCanNotServe(t *testing.T) {
	t.Parallel()
	no := func(context.Context) error { return errors.New("torn") }
	yes := func(context.Context) error { return nil }
	big := &Needs{Host: 1 << 30, Models: []ModelNeed{{Name: "m", Estimate: llama.Estimate{Weights: 900 << 20, KV: 300 << 20}}}}
	for want, cfg := range map[string]Config{
		Opens: {Opens: no, Verifies: yes}, Verifies: {Opens: yes, Verifies: no}, Memory: {Opens: yes, Needs: big},
	} {
		v, err := Run(t.Context(), cfg, nil, nil)
		if err != nil || failed(v) != want || v.Reason() == "" {
			t.Errorf("want %s: %v %+v", want, err, v)
		}
	}
	if c := big.Check(); *c.Candidate != 1200<<20 || *c.Limit != 1<<30 || !strings.Contains(c.Detail, "1258 MB") {
		t.Errorf("%+v", c)
	}
	fits := &Needs{Host: 2 << 30, ServingHost: 1 << 30, Models: big.Models}
	if c := fits.Check(); !c.Pass || !strings.Contains(c.Detail, "not beside") {
		t.Errorf("%+v", c)
	}
}

// fake stands in for pairs that are slow or fail, which no real one does on demand.
type fake struct {
	pair
	err   func(n int) error
	delay func(n int) time.Duration
	n     int
}

func (f *fake) Ask(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
	f.n++
	if f.err != nil {
		if err := f.err(f.n); err != nil {
			return nil, err
		}
	}
	if f.delay != nil {
		select {
		case <-time.After(f.delay(f.n)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return f.pair.Ask(ctx, q, ev)
}

func TestSlowAndFailing(t *testing.T) {
	t.Parallel()
	p := pairOf(t, sample(t))
	cfg := Config{ServingCorpus: p.snap, CandidateCorpus: p.snap, Changed: []string{}, Questions: 14, Budget: 400 * time.Millisecond}
	for _, c := range []struct {
		want string
		side *fake
	}{
		{"", &fake{pair: p}},
		{Errors, &fake{pair: p, err: func(n int) error {
			if n == 7 {
				return errors.New("broken pipe")
			}
			return nil
		}}},
		{Latency, &fake{pair: p, delay: func(n int) time.Duration {
			if n%2 == 0 {
				return 401 * time.Millisecond
			}
			return 0
		}}},
	} {
		v, err := Run(t.Context(), cfg, p, c.side)
		if err != nil || failed(v) != c.want {
			t.Errorf("want %q: %v, %s", c.want, err, v.Reason())
		}
	}
	cfg.Within = 50 * time.Millisecond
	v, err := Run(t.Context(), cfg, p, &fake{pair: p, delay: func(int) time.Duration { return time.Second }})
	if err != nil || failed(v) != Interrupted {
		t.Errorf("%v %+v", err, v)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, cfg, p, p); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A model that never comes to its end is cut off, counts as over the budget, and is
// left after a few.
func TestCutOff(t *testing.T) {
	t.Parallel()
	p := pairOf(t, sample(t))
	var written int
	slow := asked(func(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
		if q.Mode != answer.ModeGenerated {
			return p.Ask(ctx, q, ev)
		}
		written++
		<-ctx.Done()
		return nil, ctx.Err()
	})
	budget := 10 * time.Millisecond
	v, err := Run(t.Context(), Config{ServingCorpus: p.snap, CandidateCorpus: p.snap, Changed: []string{}, Questions: 14, Generated: true, Budget: budget}, p, struct {
		asked
		lookup
	}{slow, p})
	c := v.Failed()
	if err != nil || c == nil || c.Name != Latency || *c.Candidate < ms(patience*budget) || !strings.Contains(c.Detail, "cut off after 40ms") {
		t.Fatalf("%v %+v", err, c)
	}
	if written > 4 {
		t.Errorf("%d were waited for", written)
	}
}

type asked func(context.Context, answer.Question, answer.Events) (*answer.Answer, error)

func (f asked) Ask(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
	return f(ctx, q, ev)
}

// lookup is a Side but for its answers.
type lookup interface {
	Document(context.Context, string) (*document.Document, error)
	Section(context.Context, string) (index.SectionRef, error)
}

func TestReadGolden(t *testing.T) {
	t.Parallel()
	good := "{\"id\":\"a\",\"question\":\"How much?\",\"relevant\":[\"d#1\"],\"cohort\":\"children\"}\n\n{\"id\":\"b\",\"question\":\"Why?\"}\n"
	g, err := ReadGolden("g.jsonl", strings.NewReader(good))
	if err != nil || len(g) != 2 || g[0].Cohort != "children" || g[1].Cohort != "" || g[0].Relevant[0] != "d#1" {
		t.Fatalf("%v %+v", err, g)
	}
	for want, text := range map[string]string{
		"holds no questions": "",
		"line 1":             "[]",
		`"cohort"`:           `{"id":"a","question":"q","cohort":7}`,
		"coarse group":       fmt.Sprintf(`{"id":"a","question":"q","cohort":%q}`, strings.Repeat("x", 41)),
		"at most 2000":       fmt.Sprintf(`{"id":"a","question":%q}`, strings.Repeat("x", 2001)),
	} {
		if _, err := ReadGolden("g.jsonl", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func FuzzReadGolden(f *testing.F) {
	f.Add("{\"id\":\"a\",\"question\":\"How much?\",\"relevant\":[\"d#1\"],\"cohort\":\"children\"}")
	f.Add("\xef\xbb\xbf{\"id\":\"a\",\"question\":\"q\"}\n{}")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ReadGolden("f", strings.NewReader(text))
		if err == nil && len(g) == 0 {
			t.Fatal("nothing, without an error")
		}
		for _, q := range g {
			if q.ID == "" || q.Question.Question == "" || len(q.Cohort) > maxCohort {
				t.Fatalf("%+v", q)
			}
		}
	})
}
