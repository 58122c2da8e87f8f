package validate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/evaluate"
	"rxedge/daemon/rollout/sequential"
	"rxedge/index"
	"rxedge/index/document"
	retrieval "rxedge/index/evaluate"
	"rxedge/inference"
)

// side asks one pair and keeps count of its failures, so that a question that
// fails is one that is not answered and the others are asked all the same.
type side struct {
	Side
	limit time.Duration // after which a question is cut off; 0: never
	errs  int
	last  error
	took  []float64 // milliseconds of each question, without the wait for a place
	cut   int       // of them
	// cohort of the question under way: thresholds of the guard may hang on it.
	cohort string
}

// patience is how many budgets a question may take before it is cut off: it counts as
// over the budget by then, and a slow model does not hold up what comes to that.
const patience = 4

// Ask implements evaluate.Box.
func (s *side) Ask(ctx context.Context, q answer.Question, ev answer.Events) (*answer.Answer, error) {
	q.Fresh = true
	if answer.IsCohort(s.cohort) { // what a bundle calls its cohorts need not be one
		q.Cohort = s.cohort
	}
	limited, cancel := ctx, func() {}
	if s.limit > 0 {
		limited, cancel = context.WithTimeout(ctx, s.limit)
	}
	defer cancel()
	began := time.Now()
	a, err := s.Side.Ask(limited, q, ev)
	took := float64(time.Since(began).Microseconds()) / 1000
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if limited.Err() != nil {
		s.cut++
		s.took = append(s.took, max(took, ms(s.limit)))
		return &answer.Answer{Status: answer.StatusAbstained, Reason: "cut"}, nil
	}
	if err != nil || a == nil {
		s.errs++
		s.last = err
		a = &answer.Answer{Status: answer.StatusAbstained, Reason: "error"}
	}
	s.took = append(s.took, max(took-a.Timings.Queue, 0))
	return a, nil
}

// got is what came of one question at one side.
type got struct {
	line      retrieval.RunLine
	rank      int
	ndcg      float64
	abstained bool
	grounded  bool
	valid     int
	cited     int
}

// one asks one question.
func (s *side) one(ctx context.Context, g Golden, mode string) (got, error) {
	var out got
	s.cohort = g.Cohort
	var box evaluate.Box = s
	_, err := evaluate.Run(ctx, box, []evaluate.Question{g.Question}, mode, func(o evaluate.Outcome) {
		out.line, out.rank = o.RunLine(), o.Rank
		out.abstained = o.Answer.Status == answer.StatusAbstained
		out.grounded = grounded(o.Answer, mode)
		out.ndcg = ndcg(ctx, s.Side, g.Relevant, o.Answer)
		for _, c := range o.Answer.Claims {
			out.cited += max(1, len(c.Citations))
		}
		if v := out.line.Metrics["citation_valid"]; v != nil {
			out.valid = int(*v*float64(out.cited) + 0.5)
		}
	})
	return out, err
}

// grounded: it was answered in the way that was asked for, and every claim is
// borne out by what it cites.
func grounded(a *answer.Answer, mode string) bool {
	if a.Status != answer.StatusAnswered || a.Mode != mode || len(a.Claims) == 0 {
		return false
	}
	return !slices.ContainsFunc(a.Claims, func(c answer.Claim) bool { return c.Support != answer.Grounded })
}

// ndcg at 10 over the distinct sections retrieved.
func ndcg(ctx context.Context, s Side, relevant []string, a *answer.Answer) float64 {
	if len(relevant) == 0 {
		return 0
	}
	found := make([]string, len(a.Retrieved))
	for i, r := range a.Retrieved {
		found[i] = r.SectionID
	}
	ranked, judged := evaluate.Ranking(found, relevant, func(id string) []string {
		ref, err := s.Section(ctx, id)
		if err != nil {
			return nil
		}
		return ref.Section.Aliases
	})
	return retrieval.NDCG(ranked, judged, 10)
}

// pairs are the figures of one set of questions at both sides.
type pairs struct{ serving, candidate map[string][]float64 }

func newPairs() *pairs { return &pairs{map[string][]float64{}, map[string][]float64{}} }

func (p *pairs) add(metric string, s, c float64) {
	p.serving[metric] = append(p.serving[metric], s)
	p.candidate[metric] = append(p.candidate[metric], c)
}

func (p *pairs) count(g Golden, s, c got) {
	if len(g.Relevant) == 0 {
		p.add(Abstains, truth(s.abstained), truth(c.abstained))
		return
	}
	p.add(GoldenNDCG, s.ndcg, c.ndcg)
	p.add(Section, truth(s.rank == 1), truth(c.rank == 1))
	for metric, name := range map[string]string{"evidence_recall": Evidence, "number_recall": Numbers} {
		if x, y := s.line.Metrics[metric], c.line.Metrics[metric]; x != nil && y != nil {
			p.add(name, *x, *y)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// what each figure is of.
var whats = []struct{ name, what string }{
	{GoldenNDCG, "nDCG@10 of the sections found"},
	{Section, "the right section found first"},
	{Evidence, "the evidence cited"},
	{Numbers, "the numbers stated"},
	{Abstains, "abstained from what the documents do not answer"},
}

// ask asks both sides the bundle's own questions and those that were drawn.
func ask(ctx context.Context, cfg Config, serving, candidate Side, drawn []Golden, v *Verdict) error {
	ctx = inference.WithCaller(ctx, inference.Caller{Key: "rollout", Priority: inference.Background})
	s, c := &side{Side: serving}, &side{Side: candidate}
	all := append(slices.Clip(cfg.Golden), drawn...)
	written := pick(all, cfg.Written)
	total, done := len(all), 0
	if cfg.Generated {
		total += 2 * len(written)
	}
	step := func() { done++; cfg.Progress(done, total) }

	own, changed, rest := newPairs(), newPairs(), newPairs()
	cohorts := map[string]*cohort{}
	var cited [2]int
	var valid [2]int
	for _, g := range all {
		x, err := s.one(ctx, g, answer.ModeExtractive)
		if err != nil {
			return err
		}
		y, err := c.one(ctx, g, answer.ModeExtractive)
		if err != nil {
			return err
		}
		switch {
		case !g.drawn:
			own.count(g, x, y)
		case g.changed:
			changed.count(g, x, y)
		default:
			rest.count(g, x, y)
		}
		if len(g.Relevant) > 0 {
			k := cohorts[g.Cohort]
			if k == nil {
				k = &cohort{}
				cohorts[g.Cohort] = k
			}
			k.n++
			k.serving += int(truth(x.abstained))
			k.candidate += int(truth(y.abstained))
		}
		cited[0], cited[1], valid[0], valid[1] = cited[0]+x.cited, cited[1]+y.cited, valid[0]+x.valid, valid[1]+y.valid
		step()
	}
	quick := len(c.took)
	for _, w := range whats {
		for _, set := range []struct {
			of string
			p  *pairs
		}{{"golden questions", own}, {"questions drawn from what changed", changed}, {"questions drawn from the documents", rest}} {
			if n := len(set.p.serving[w.name]); n > 0 {
				v.add(paired(w.name, w.what+", "+set.of, cfg, set.p.serving[w.name], set.p.candidate[w.name]))
			}
		}
	}
	v.add(citations(cited, valid))
	v.add(fairness(cfg, cohorts))
	if !v.Pass || !cfg.Generated {
		v.add(failures(cfg, s, c, 0))
		if cfg.Budget > 0 {
			v.add(latency(cfg, s.took, c.took))
		}
		return nil
	}
	return askWritten(ctx, cfg, s, c, quick, written, step, v)
}

// askWritten lets the candidate's language model write, with documents and alone.
func askWritten(ctx context.Context, cfg Config, s, c *side, quick int, questions []Golden, step func(), v *Verdict) error {
	if cfg.Loads != nil {
		err := cfg.Loads(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c := Check{Name: Loads, Pass: err == nil}
		if err != nil {
			c.Detail = err.Error()
		}
		if !v.add(c) {
			return nil
		}
	}
	before := deaths(cfg)
	s.limit, c.limit = patience*cfg.Budget, patience*cfg.Budget
	stood := newPairs()
	slow := sequential.NewRate(0.05)
	for _, g := range questions {
		y, err := c.one(ctx, g, answer.ModeGenerated)
		if err != nil {
			return err
		}
		step()
		if cfg.Budget > 0 {
			if slow.Observe(c.took[len(c.took)-1] > ms(cfg.Budget)); slow.Over(cfg.Alpha) {
				break // it will not become quicker
			}
		}
		if deaths(cfg)-before > 1 {
			break
		}
		x, err := s.one(ctx, g, answer.ModeGenerated)
		if err != nil {
			return err
		}
		stood.add(Grounded, truth(x.grounded), truth(y.grounded))
	}
	v.add(failures(cfg, s, c, deaths(cfg)-before))
	if cfg.Budget > 0 {
		l := latency(cfg, s.took[min(quick, len(s.took)):], c.took[quick:])
		if c.cut > 0 {
			l.Detail += fmt.Sprintf("; %d were cut off after %v", c.cut, c.limit)
		}
		v.add(l)
	}
	if !v.Pass {
		return nil
	}
	v.add(paired(Grounded, "answers that the model wrote and the documents bear out", cfg, stood.serving[Grounded], stood.candidate[Grounded]))
	if cfg.Generator == nil {
		return nil
	}
	var prompts []string
	for _, g := range questions {
		prompts = append(prompts, g.Question.Question)
	}
	w, err := write(ctx, cfg.Generator, prompts, c.limit, step)
	if err != nil {
		return err
	}
	v.add(degenerate(cfg, w))
	if n := deaths(cfg) - before; n > 0 || w.failed > 0 {
		e := Check{Name: Errors, N: len(prompts), Candidate: figure(float64(n + w.failed)), Limit: figure(0),
			Detail: fmt.Sprintf("asked alone, the model failed at %d of %d prompts and its engine ended %d times", w.failed, len(prompts), n)}
		if w.err != nil {
			e.Detail += ": " + w.err.Error()
		}
		v.add(e)
	}
	return nil
}

func deaths(cfg Config) int {
	if cfg.Deaths == nil {
		return 0
	}
	return cfg.Deaths()
}

// pick n of the questions, evenly, those that can be answered first: an abstention asks no
// model.
func pick(all []Golden, n int) []Golden {
	var can []Golden
	for _, g := range all {
		if len(g.Relevant) > 0 {
			can = append(can, g)
		}
	}
	if len(can) == 0 {
		can = all
	}
	if len(can) <= n {
		return can
	}
	out := make([]Golden, n)
	for i := range out {
		out[i] = can[i*len(can)/n]
	}
	return out
}

func citations(cited, valid [2]int) Check {
	c := Check{Name: Citations, Pass: cited[1] == valid[1], N: cited[1], Limit: figure(1), Untold: cited[1] == 0}
	share := func(i int) *float64 {
		if cited[i] == 0 {
			return nil
		}
		return figure(float64(valid[i]) / float64(cited[i]))
	}
	c.Serving, c.Candidate = share(0), share(1)
	c.Detail = fmt.Sprintf("%d of %d citations read the same in the documents", valid[1], cited[1])
	return c
}

// failures are questions that could not be looked at, and engines that ended. One
// that the pair which serves could not look at either is not the candidate's.
func failures(cfg Config, s, c *side, died int) Check {
	out := Check{Name: Errors, N: len(c.took), Serving: figure(float64(s.errs)), Candidate: figure(float64(c.errs + died)), Limit: figure(float64(s.errs))}
	out.Pass = died == 0 && c.errs <= s.errs
	out.Detail = fmt.Sprintf("%d of %d questions failed", c.errs, len(c.took))
	if c.errs > 0 && c.last != nil {
		out.Detail += ": " + c.last.Error()
	}
	if died > 0 {
		out.Detail += fmt.Sprintf("; the model's engine ended %d times while it was asked", died)
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// latency holds the 95th percentile against the budget: it fails where more than a
// twentieth of all answers would be over it, and that is not chance.
func latency(cfg Config, serving, candidate []float64) Check {
	c := Check{Name: Latency, Pass: true, N: len(candidate), Limit: figure(ms(cfg.Budget))}
	over := 0
	slow := sequential.NewRate(0.05)
	for _, t := range candidate {
		if t > ms(cfg.Budget) {
			over++
		}
		slow.Observe(t > ms(cfg.Budget))
		c.Pass = c.Pass && !slow.Over(cfg.Alpha)
	}
	p95 := evaluate.Percentile(candidate, 0.95)
	c.Candidate = figure(p95)
	if len(serving) > 0 {
		c.Serving = figure(evaluate.Percentile(serving, 0.95))
	}
	c.Untold = c.Pass && p95 > ms(cfg.Budget)
	c.Detail = fmt.Sprintf("p95 of %d answers %.0f ms, %d over the budget of %.0f ms", len(candidate), p95, over, ms(cfg.Budget))
	if c.Untold {
		c.Detail += "; with so few that may be chance"
	}
	return c
}

var (
	_ Corpus       = (*index.Snapshot)(nil)
	_ evaluate.Box = (*side)(nil)
	_              = (*document.Document)(nil)
)
