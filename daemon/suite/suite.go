// Package suite asks a box golden questions, at night or when it is told to, and
// keeps how well it did: numbers by question, never a text. It counts how often a
// test set was looked at, and finds what of a test set is in a tuning set.
package suite

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/evaluate"
	"rxedge/daemon/telemetry/quality"
	"rxedge/index"
	retrieval "rxedge/index/evaluate"
	"rxedge/index/names"
)

// Box is what is asked: without being counted, and giving way to people.
type Box interface {
	evaluate.Box
	Search(context.Context, index.Query) (index.Result, error)
}

// depth is how many passages are read for the ranking of sections, of which the
// first ten count.
const depth = 60

// Figures of a set of questions. Nil is undefined: there was nothing to measure.
// Of retrieval over the questions that the documents answer; of words over those
// that say what the answer is; of faithfulness over the answers given.
type Figures struct {
	Questions int      `json:"questions"`
	Recall5   *float64 `json:"recall@5"`
	MRR       *float64 `json:"mrr"`
	NDCG10    *float64 `json:"ndcg@10"`
	RougeL    *float64 `json:"rougeL"`
	BLEU      *float64 `json:"bleu"` // of all together, 0 to 100
	// Faithfulness: claims that are grounded and whose citations read again.
	Faithfulness *float64 `json:"faithfulness"`
	// Abstention: questions that were answered where they can be, and not where
	// they can't.
	Abstention *float64 `json:"abstention"`
	// Composite of all but BLEU and abstention; undefined where one of them is.
	Composite *float64 `json:"composite"`
}

// Run is one run of the suite, as it is kept.
type Run struct {
	ID   string    `json:"id"`
	At   time.Time `json:"at"`
	Took float64   `json:"seconds"`
	// Set is the SHA-256 of the questions' file, Name what it is called.
	Set  string `json:"set"`
	Name string `json:"name"`
	// By is what started it: night or command.
	By         string `json:"by"`
	Version    string `json:"version"` // of rxedge
	Generation string `json:"generation"`
	Model      string `json:"model,omitempty"`
	Mode       string `json:"mode,omitempty"` // asked for
	Figures
	// Ablation is what retrieval comes to without a part of it.
	Ablation map[string]Figures `json:"ablation,omitempty"`
	// Lines are the questions' own figures, by a hash of their ids.
	Lines []retrieval.RunLine `json:"lines,omitempty"`
}

// Options of a run.
type Options struct {
	Mode     string // as answer.Question.Mode
	Ablation bool   // measure retrieval without vectors and without names too
	// Pause is called between questions and may wait; an error ends the run. May be
	// nil, as Progress.
	Pause    func(context.Context) error
	Progress func(done, of int)
}

// Parts that an ablation leaves out.
const (
	WithoutVectors = "without_vectors"
	WithoutNames   = "without_names"
)

// Measure asks the questions. The run has no id, time or set yet. Nothing of a run
// that ends early is given.
func Measure(ctx context.Context, box Box, questions []evaluate.Question, o Options) (Run, error) {
	run := Run{Mode: o.Mode}
	whole := &sums{}
	parts := map[string]*sums{}
	var pairs []quality.Pair
	for i, q := range questions {
		if o.Pause != nil {
			if err := o.Pause(ctx); err != nil {
				return Run{}, err
			}
		}
		line := retrieval.RunLine{ID: hash(q.ID), Kind: kindOf(q.Kind), Metrics: map[string]*float64{}}
		add := func(s *sums, name string, v float64) {
			if !math.IsNaN(v) {
				s.add(name, v)
				if s == whole {
					line.Metrics[name] = &v
				}
			}
		}
		searches := map[string]index.Query{"": {Text: q.Question, K: depth}}
		if o.Ablation {
			searches[WithoutVectors] = index.Query{Text: q.Question, K: depth, Mode: index.ModeBM25}
			searches[WithoutNames] = index.Query{Text: q.Question, K: depth, Without: names.Parts{NoNames: true}}
		}
		for part, query := range searches {
			s := whole
			if part != "" {
				if s = parts[part]; s == nil {
					s = &sums{}
					parts[part] = s
				}
			}
			r, j, gen, err := rank(ctx, box, query, q.Relevant)
			if err != nil {
				return Run{}, fmt.Errorf("question %d: %w", i+1, err)
			}
			run.Generation = gen
			if len(q.Relevant) == 0 {
				continue
			}
			add(s, "recall@5", retrieval.Recall(r, j, 5))
			add(s, "mrr", retrieval.ReciprocalRank(r, j))
			add(s, "ndcg@10", retrieval.NDCG(r, j, 10))
		}
		a, err := box.Ask(ctx, answer.Question{Text: q.Question, Mode: o.Mode, Fresh: true}, answer.Events{})
		if err != nil {
			return Run{}, fmt.Errorf("question %d: %w", i+1, err)
		}
		if a.Model != "" {
			run.Model = a.Model
		}
		answered := a.Status == answer.StatusAnswered
		add(whole, "abstention", truth(answered == (len(q.Relevant) > 0)))
		if reference := reference(q); reference != "" && len(q.Relevant) > 0 {
			p := quality.Pair{Prediction: said(a), Reference: reference}
			pairs = append(pairs, p)
			add(whole, "rougeL", quality.RougeL(p.Prediction, p.Reference))
		}
		if answered {
			add(whole, "faithfulness", faithful(ctx, box, a))
		}
		run.Lines = append(run.Lines, line)
		if o.Progress != nil {
			o.Progress(i+1, len(questions))
		}
	}
	run.Figures = whole.figures(len(questions))
	if len(pairs) > 0 {
		b := quality.BLEU(pairs)
		run.BLEU = &b
	}
	for part, s := range parts {
		if run.Ablation == nil {
			run.Ablation = map[string]Figures{}
		}
		run.Ablation[part] = s.figures(len(questions))
	}
	return run, nil
}

func rank(ctx context.Context, box Box, q index.Query, relevant []string) ([]retrieval.Scored, retrieval.Judgements, string, error) {
	res, err := box.Search(ctx, q)
	if err != nil {
		return nil, nil, "", err
	}
	found := make([]string, len(res.Hits))
	for i, h := range res.Hits {
		found[i] = h.Passage.SectionID
	}
	r, j := evaluate.Ranking(found, relevant, func(id string) []string {
		ref, err := box.Section(ctx, id)
		if err != nil {
			return nil
		}
		return ref.Section.Aliases
	})
	return r, j, res.Generation, nil
}

// reference is what an answer should say.
func reference(q evaluate.Question) string {
	if q.Answer != "" {
		return q.Answer
	}
	return strings.Join(q.Evidence, " ")
}

func said(a *answer.Answer) string {
	texts := make([]string, len(a.Claims))
	for i, c := range a.Claims {
		texts[i] = c.Text
	}
	return strings.Join(texts, " ")
}

// faithful is the share of the claims that are grounded and whose every citation
// reads again.
func faithful(ctx context.Context, box Box, a *answer.Answer) float64 {
	if len(a.Claims) == 0 {
		return math.NaN()
	}
	n := 0
	for _, c := range a.Claims {
		one := *a
		one.Claims = []answer.Claim{c}
		ok := c.Support == answer.Grounded
		for _, v := range evaluate.Valid(ctx, box, &one) {
			ok = ok && v
		}
		if ok {
			n++
		}
	}
	return float64(n) / float64(len(a.Claims))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// sums of figures by name.
type sums struct {
	of map[string]float64
	n  map[string]int
}

func (s *sums) add(name string, v float64) {
	if s.of == nil {
		s.of, s.n = map[string]float64{}, map[string]int{}
	}
	s.of[name] += v
	s.n[name]++
}

func (s *sums) mean(name string) *float64 {
	if s.n[name] == 0 {
		return nil
	}
	m := s.of[name] / float64(s.n[name])
	return &m
}

func (s *sums) figures(questions int) Figures {
	f := Figures{Questions: questions, Recall5: s.mean("recall@5"), MRR: s.mean("mrr"), NDCG10: s.mean("ndcg@10"), RougeL: s.mean("rougeL"),
		Faithfulness: s.mean("faithfulness"), Abstention: s.mean("abstention")}
	for _, v := range []*float64{f.Recall5, f.MRR, f.NDCG10, f.RougeL, f.Faithfulness} {
		if v == nil {
			return f
		}
	}
	c := quality.Composite(*f.Recall5, *f.MRR, *f.NDCG10, *f.RougeL, *f.Faithfulness)
	f.Composite = &c
	return f
}

// hash of a question's id: what somebody called it is not kept.
func hash(id string) string {
	h := sha256.Sum256([]byte("rxedge question " + id))
	return hex.EncodeToString(h[:8])
}

var plain = regexp.MustCompile(`^[a-z][a-z_]{0,31}$`)

// kindOf a question, where it is a plain word.
func kindOf(k string) string {
	if k != "" && !plain.MatchString(k) {
		return "other"
	}
	return k
}
