// Package validate judges a pair of index and models that is staged beside the
// pair that serves, before anybody is answered by it. Each check has a name that
// stays the same and says its figures; a figure is a count, a share or a time,
// never the text of a question or an answer. What a check can't tell with the
// questions there are it says, and passes: what is wrong only now and then is
// found by ../watch, which sees many more answers. The statistics are in DESIGN.md.
package validate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rxedge/daemon/answer"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference"
)

// Names of the checks, in the order in which they are made.
const (
	Opens       = "opens"
	Verifies    = "verifies"
	Memory      = "memory"
	Loads       = "loads"          // its model becomes ready
	Texts       = "texts_in_place" // what stood under one title does not stand under another
	GoldenNDCG  = "golden_ndcg"
	Section     = "golden_section" // the right one is found first
	Evidence    = "golden_evidence"
	Numbers     = "golden_numbers"
	Abstains    = "golden_abstain" // from what the documents do not answer
	Citations   = "citations"      // read again byte for byte
	Fairness    = "abstention_fairness"
	Errors      = "errors" // and engines that ended
	Latency     = "latency_p95"
	Degenerate  = "degenerate"
	Grounded    = "grounded"
	Interrupted = "interrupted" // the validation itself did not come to its end
)

// Check is one thing that was looked at.
type Check struct {
	Name string `json:"name"`
	Pass bool   `json:"pass"`
	// Untold: it passes because nothing speaks against it, and not because there
	// were enough questions to tell.
	Untold bool `json:"untold,omitempty"`
	// Serving and Candidate are the figures of the two pairs, Limit what the
	// candidate's is held against; nil where there is none.
	Serving   *float64 `json:"serving,omitempty"`
	Candidate *float64 `json:"candidate,omitempty"`
	Limit     *float64 `json:"limit,omitempty"`
	N         int      `json:"n,omitempty"` // questions, answers or sections it rests on
	Detail    string   `json:"detail,omitempty"`
}

// Verdict is all that was looked at. The first check that failed is the reason.
type Verdict struct {
	Pass   bool          `json:"pass"`
	Checks []Check       `json:"checks"`
	Took   time.Duration `json:"took"`
}

// Failed is the first check that failed, or nil.
func (v *Verdict) Failed() *Check {
	for i := range v.Checks {
		if !v.Checks[i].Pass {
			return &v.Checks[i]
		}
	}
	return nil
}

// Reason in words; "" where it passed.
func (v *Verdict) Reason() string {
	if c := v.Failed(); c != nil {
		return c.Name + ": " + c.Detail
	}
	return ""
}

func (v *Verdict) add(c Check) bool {
	v.Checks = append(v.Checks, c)
	v.Pass = v.Pass && c.Pass
	return c.Pass
}

// Side is one pair of index and models, asked by nobody else.
type Side interface {
	Ask(context.Context, answer.Question, answer.Events) (*answer.Answer, error)
	Document(ctx context.Context, id string) (*document.Document, error)
	Section(ctx context.Context, id string) (index.SectionRef, error)
}

// Corpus is a generation of the index; an *index.Snapshot is one.
type Corpus interface {
	Documents() ([]index.DocumentSummary, error)
	Document(id string) (*document.Document, error)
	Terms(text string) []string
	IDF(term string) float64
}

// Config says what is judged, and how strictly. What is 0 is as Default has it.
type Config struct {
	// Opens and Verifies look at the candidate's files; nil: not looked at.
	Opens    func(context.Context) error
	Verifies func(context.Context) error
	// Needs is what the candidate's models take; nil: unknown, and not checked.
	Needs *Needs
	// Loads loads the candidate's model, before it is asked; nil: the first question does.
	Loads func(context.Context) error
	// ServingCorpus and CandidateCorpus are the two generations, where the
	// candidate has another index; questions are drawn from what both have.
	ServingCorpus, CandidateCorpus Corpus
	// Changed are the ids of the documents that the candidate has anew or
	// otherwise than the serving generation; nil: unknown, all are compared.
	Changed []string
	// Golden are the bundle's own questions.
	Golden []Golden

	// Generated: the candidate has a language model. Generator is that model
	// alone, without documents; nil: it is not asked. Deaths counts its engine's
	// unexpected ends; may be nil.
	Generated bool
	Generator inference.Generator
	Deaths    func() int
	// Budget of the 95th percentile of an answer; 0: not checked.
	Budget time.Duration

	// Margin is how much worse a share may be, and Alpha the probability with
	// which a check fails though the candidate is no worse.
	Margin, Alpha float64
	// Questions is how many are asked at least: where there are fewer golden ones
	// the rest is drawn from the documents. Written is how many of them a language
	// model answers.
	Questions, Written int
	// Disparity is how far the shares of abstention of two cohorts may lie apart.
	Disparity float64
	// Within is how long it may take; what is not answered by then fails.
	Within   time.Duration
	Seed     uint64
	Progress func(done, total int)
}

// Default figures.
const (
	DefaultMargin    = 0.02
	DefaultAlpha     = 0.01
	DefaultQuestions = 240
	DefaultWritten   = 24
	DefaultDisparity = 0.10
	DefaultWithin    = 20 * time.Minute
)

func (c Config) complete() Config {
	set := func(f *float64, d float64) {
		if *f <= 0 {
			*f = d
		}
	}
	set(&c.Margin, DefaultMargin)
	set(&c.Alpha, DefaultAlpha)
	set(&c.Disparity, DefaultDisparity)
	if c.Questions <= 0 {
		c.Questions = DefaultQuestions
	}
	if c.Written <= 0 {
		c.Written = DefaultWritten
	}
	if c.Within <= 0 {
		c.Within = DefaultWithin
	}
	if c.Progress == nil {
		c.Progress = func(int, int) {}
	}
	return c
}

// Run makes the checks. A check that fails ends it where those after it would
// only cost time: what can't be opened is not asked. An error means that ctx
// ended and nothing is known.
func Run(ctx context.Context, cfg Config, serving, candidate Side) (Verdict, error) {
	began := time.Now()
	cfg = cfg.complete()
	v := Verdict{Pass: true}
	limited, cancel := context.WithTimeout(ctx, cfg.Within)
	defer cancel()
	err := run(limited, cfg, serving, candidate, &v)
	v.Took = time.Since(began)
	switch {
	case ctx.Err() != nil:
		return v, ctx.Err()
	case err == nil:
		return v, nil
	case errors.Is(err, context.DeadlineExceeded):
		if v.Pass {
			v.add(Check{Name: Interrupted, Detail: fmt.Sprintf("not all could be asked within %v; a candidate that is this slow does not serve", cfg.Within)})
		}
		return v, nil
	}
	v.add(Check{Name: Interrupted, Detail: err.Error()})
	return v, nil
}

func run(ctx context.Context, cfg Config, serving, candidate Side, v *Verdict) error {
	for _, f := range []struct {
		name string
		look func(context.Context) error
	}{{Opens, cfg.Opens}, {Verifies, cfg.Verifies}} {
		if f.look == nil {
			continue
		}
		err := f.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c := Check{Name: f.name, Pass: err == nil}
		if err != nil {
			c.Detail = err.Error()
		}
		if !v.add(c) {
			return nil
		}
	}
	if cfg.Needs != nil && !v.add(cfg.Needs.Check()) {
		return nil
	}
	var drawn []Golden
	if cfg.ServingCorpus != nil && cfg.CandidateCorpus != nil {
		c, err := compareTexts(ctx, cfg)
		if err != nil {
			return err
		}
		if !v.add(c) {
			return nil
		}
		if missing := cfg.Questions - len(cfg.Golden); missing > 0 {
			if drawn, err = Draw(ctx, cfg.ServingCorpus, cfg.CandidateCorpus, DrawOptions{N: missing, Seed: cfg.Seed, Changed: cfg.Changed}); err != nil {
				return err
			}
		}
		if len(cfg.Golden)+len(drawn) == 0 {
			// Nothing of it was here before. That it answers, and how fast, can be told.
			if drawn, err = Draw(ctx, cfg.CandidateCorpus, cfg.CandidateCorpus, DrawOptions{N: cfg.Questions, Seed: cfg.Seed}); err != nil {
				return err
			}
		}
	}
	return ask(ctx, cfg, serving, candidate, drawn, v)
}

func figure(f float64) *float64 { return &f }
