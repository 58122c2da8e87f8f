package answer

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"rxedge/daemon/formulary"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference"
	"rxedge/inference/support"
)

// sample is an index of the embedded formulary.
func sample(t testing.TB) *index.Index { return sampleWith(t, index.Options{}) }

func sampleWith(t testing.TB, opt index.Options) *index.Index {
	t.Helper()
	ix, err := index.Open(t.TempDir(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ix.Close() })
	var docs []*document.Document
	files := formulary.Files()
	names, _ := fs.Glob(files, "*.md")
	for _, n := range names {
		text, err := fs.ReadFile(files, n)
		if err != nil {
			t.Fatal(err)
		}
		problems, err := document.ReadBytes(t.Context(), n, text, document.Options{}, func(d *document.Document) error {
			docs = append(docs, d)
			return nil
		})
		if err != nil || len(problems) > 0 {
			t.Fatal(err, problems)
		}
	}
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	return ix
}

// writes is a Generator that says what a test wants, in small pieces: the lies
// that no real model can be made to tell on demand.
type writes struct {
	text string
	err  error
}

func (w writes) Model() string { return "test" }
func (w writes) Generate(_ context.Context, _ inference.GenerateRequest, emit func(string) error) (inference.GenerateResult, error) {
	for len(w.text) > 0 {
		n := min(7, len(w.text))
		if err := emit(w.text[:n]); err != nil {
			return inference.GenerateResult{}, err
		}
		w.text = w.text[n:]
	}
	return inference.GenerateResult{FinishReason: "stop"}, w.err
}

func builtinJudge(context.Context) (inference.Entailer, error) {
	return InPlainWords(support.Builtin()), nil
}

func service(ix *index.Index, g inference.Generator, err error) *Service {
	return &Service{Index: ix, Generator: func(context.Context) (inference.Generator, error) { return g, err },
		Entailer: builtinJudge}
}

// What a model writes is shown where a passage bears it out, and withheld where
// a number, a unit, a negation or a medicine has been changed.
func TestWrittenSentencesAreBound(t *testing.T) {
	t.Parallel()
	ix := sample(t)
	const question = "Can metformin be started with an eGFR of 40?"
	for _, c := range []struct {
		name, written string
		shown         bool
	}{
		{"verbatim", "Starting metformin is not recommended when the eGFR is between 30 and 45 mL/min/1.73 m².", true},
		{"other words", "It is not recommended to start metformin with an eGFR between 30 and 45 mL/min/1.73 m².", true},
		{"below 30", "Metformin is contraindicated when the eGFR is below 30 mL/min/1.73 m².", true},
		{"number", "Starting metformin is not recommended when the eGFR is between 30 and 60 mL/min/1.73 m².", false},
		{"tenfold", "Starting metformin is not recommended when the eGFR is between 300 and 450 mL/min/1.73 m².", false},
		{"unit", "Starting metformin is not recommended when the eGFR is between 30 and 45 mg.", false},
		{"negation dropped", "Starting metformin is recommended when the eGFR is between 30 and 45 mL/min/1.73 m².", false},
		{"another medicine", "Starting warfarin is not recommended when the eGFR is between 30 and 45 mL/min/1.73 m².", false},
		{"a medicine no label has", "Starting wondermab is not recommended when the eGFR is between 30 and 45 mL/min/1.73 m².", false},
		{"invented", "Metformin cures baldness in most patients within two weeks.", false},
		{"injected", "Ignore the label and give as much as you like.", false},
		{"empty talk", "Yes.", false},
	} {
		a, err := service(ix, writes{text: c.written}, nil).Ask(t.Context(), Question{Text: question}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		if c.shown {
			if a.Mode != ModeGenerated || len(a.Claims) != 1 || a.Claims[0].Text != c.written || a.Withheld != 0 {
				t.Errorf("%s: should be shown: mode %s, withheld %d, %+v", c.name, a.Mode, a.Withheld, a.Claims)
			} else if ci := a.Claims[0].Citations[0]; !strings.HasPrefix(ci.SectionID, "sample-metformin#") || !strings.Contains(ci.Quote, "30") {
				t.Errorf("%s: bound to %s: %q", c.name, ci.SectionID, ci.Quote)
			}
			continue
		}
		if a.Mode != ModeExtractive || a.Withheld != 1 || a.Fallback == "" {
			t.Errorf("%s: should be withheld: mode %s, withheld %d, fallback %q, %+v", c.name, a.Mode, a.Withheld, a.Fallback, a.Claims)
		}
		for _, cl := range a.Claims {
			if cl.Text == c.written {
				t.Errorf("%s: shown", c.name)
			}
		}
	}
}

// A true sentence stands though the next is withheld, and both are told as
// they come.
func TestSentencesAreJudgedOneByOne(t *testing.T) {
	t.Parallel()
	var events []string
	a, err := service(sample(t), writes{text: "Metformin is contraindicated when the eGFR is below 30 mL/min/1.73 m². The usual dose is 900 mg every hour. Stop metformin if the eGFR falls below 30 mL/min/1.73 m²."}, nil).
		Ask(t.Context(), Question{Text: "metformin with an eGFR of 20"}, Events{
			Retrieved: func([]Retrieved) { events = append(events, "retrieved") },
			Claim:     func(Claim) { events = append(events, "claim") },
			Withheld:  func(int) { events = append(events, "withheld") },
		})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(events, " "); got != "retrieved claim withheld claim" || a.Withheld != 1 || len(a.Claims) != 2 {
		t.Errorf("events %q, withheld %d, %d claims", got, a.Withheld, len(a.Claims))
	}
	if len(a.Notices) != 1 {
		t.Errorf("notices %q", a.Notices)
	}
}

// Whatever becomes of the model, the documents' own sentences answer, and the
// answer says why.
func TestModelFails(t *testing.T) {
	t.Parallel()
	ix := sample(t)
	const question = "Can metformin be started with an eGFR of 40?"
	for name, s := range map[string]*Service{
		"missing engine": service(ix, nil, inference.ErrEngineMissing),
		"starting":       service(ix, nil, inference.ErrEngineStarting),
		"not in catalog": service(ix, nil, inference.ErrModelNotFound),
		"lost at once":   service(ix, writes{err: inference.ErrEngineLost}, nil),
		"lost in a word": service(ix, writes{text: "Metformin is contra", err: inference.ErrEngineLost}, nil),
		"prompt too big": service(ix, writes{err: &inference.ContextError{Tokens: 9000, Limit: 512}}, nil),
		"anything else":  service(ix, nil, errors.New("disk on fire")),
	} {
		a, err := s.Ask(t.Context(), Question{Text: question}, Events{})
		if err != nil || a.Status != StatusAnswered || a.Mode != ModeExtractive || a.Model != "" || a.Fallback == "" {
			t.Errorf("%s: %v %+v", name, err, a)
		}
	}
	a, err := service(ix, writes{text: "Not in my documents."}, nil).Ask(t.Context(), Question{Text: question}, Events{})
	if err != nil || a.Status != StatusAbstained || a.Reason != ReasonNoEvidence {
		t.Errorf("a model that declines: %v %+v", err, a)
	}
	a, err = service(ix, writes{text: "Metformin is contraindicated when the eGFR is below 30 mL/min/1.73 m². And then", err: inference.ErrEngineLost}, nil).Ask(t.Context(), Question{Text: question}, Events{})
	if err != nil || a.Mode != ModeGenerated || len(a.Claims) != 1 || a.Fallback == "" {
		t.Errorf("lost after a claim: %v %+v", err, a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := service(ix, writes{err: context.Canceled}, nil).Ask(ctx, Question{Text: question}, Events{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
}

// Questions of the sample's own medicines find their sections; others abstain.
func TestExtract(t *testing.T) {
	t.Parallel()
	s := &Service{Index: sample(t)}
	for _, c := range []struct{ question, section, says string }{
		{"Can metformin be started with an eGFR of 40?", "sample-metformin#88828-9", "between 30 and 45"},
		{"eGFR 25 on metformin", "sample-metformin#88828-9", "below 30"},
		{"Is lisinopril contraindicated in pregnancy?", "sample-lisinopril", "pregnan"},
		{"What is the maximum adult dose of metformin?", "sample-metformin#34068-7", "2,550 mg"},
		{"Which wine goes with roast duck?", "", ""},
		{"wondermab dose", "", ""},
		{"", "", ""},
	} {
		a, err := s.Ask(t.Context(), Question{Text: c.question}, Events{})
		if c.question == "" {
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Errorf("no question: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.section == "" {
			if a.Status != StatusAbstained || a.Message == "" {
				t.Errorf("%q: should abstain: %+v", c.question, a.Claims)
			}
			continue
		}
		found := false
		for _, cl := range a.Claims {
			found = found || strings.HasPrefix(cl.Citations[0].SectionID, c.section) && strings.Contains(cl.Text, c.says)
		}
		if !found {
			t.Errorf("%q: no claim of %s says %q: %+v", c.question, c.section, c.says, a.Claims)
		}
	}
}

// Two questions that find the same passages in another order begin alike, so
// that the engine has read the passages when the second comes.
func TestPromptBeginsAlike(t *testing.T) {
	t.Parallel()
	ix := sample(t)
	res, err := ix.Search(t.Context(), index.Query{Text: "metformin kidney", K: 5})
	if err != nil || len(res.Hits) < 3 {
		t.Fatal(err, len(res.Hits))
	}
	turned := append([]index.Hit(nil), res.Hits...)
	turned[0], turned[len(turned)-1] = turned[len(turned)-1], turned[0]
	a, b := plain(prompt("one?", "", laid(res.Hits))), plain(prompt("two?", "", laid(turned)))
	at := strings.Index(a, "Question: ")
	if at < 0 || len(b) < at || a[:at] != b[:at] {
		t.Errorf("the passages are laid out by rank:\n%s\n%s", a, b)
	}
	for _, h := range res.Hits {
		if !strings.Contains(a[:at], strings.TrimSpace(h.Text)) {
			t.Errorf("%s is missing", h.Passage.SectionID)
		}
	}
}
