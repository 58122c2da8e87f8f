package answer

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"rxedge/daemon/answer/guard"
	"rxedge/inference"
	"rxedge/inference/quantity"
)

// guarded gives the guard's decision about an answer. It is of numbers alone; no
// decision where there is nothing to decide about.
func (s *Service) guarded(ctx context.Context, a *Answer, p *looked) *guard.Decision {
	if a.Status != StatusAnswered || len(a.Claims) == 0 {
		return nil
	}
	return s.guards().DecideFor(features(ctx, s.Relevance, a, p), p.q.Explain, s.group(ctx, &p.q))
}

// features of an answer, as package guard names them.
func features(ctx context.Context, judge inference.Reranker, a *Answer, p *looked) guard.Vector {
	var v guard.Vector
	v[guard.Coverage] = min(1, p.ex.Coverage)
	for _, s := range p.ex.Sentences {
		v[guard.Sentence] = max(v[guard.Sentence], s.Score)
	}
	first := a.Claims[0].Citations[0]
	if hits := p.found.Hits; len(hits) > 0 {
		at := 0 // of the passage that is cited first
		for i := range hits {
			if h := &hits[i]; h.Passage.SectionID == first.SectionID && h.Passage.Start <= first.Start && first.End <= h.Passage.End {
				at = i
				break
			}
		}
		v[guard.Rank] = 1 / float64(1+at)
		if w, d := hits[at].BM25Rank, hits[at].DenseRank; w > 0 && d > 0 {
			v[guard.Agreement] = 1 / (1 + math.Abs(math.Log2(float64(w)/float64(d))))
		}
		for i := range hits {
			if hits[i].Passage.SectionID != hits[0].Passage.SectionID && hits[0].Score > 0 {
				v[guard.Margin] = max(0, min(1, (hits[0].Score-hits[i].Score)/hits[0].Score))
				break
			}
		}
	}
	v[guard.Rival], v[guard.Stated] = p.ex.Rival, p.ex.Stated
	v[guard.Named] = 0.5
	if len(p.about) > 0 {
		v[guard.Named] = 0
		if p.about[first.SetID] {
			v[guard.Named] = 1
		}
	} else if len(p.strangers) > 0 {
		v[guard.Named] = 0
	}
	v[guard.Section] = 0.5
	if len(p.reading.Sections) > 0 {
		v[guard.Section] = 0
		if slices.ContainsFunc(a.Claims, func(c Claim) bool { return p.reading.Section(c.Citations[0].LOINC) > 0 }) {
			v[guard.Section] = 1
		}
	}
	v[guard.Unknown] = float64(len(p.ex.Missing) + len(p.ex.Absent))
	v[guard.Claims] = float64(len(a.Claims))
	v[guard.Support] = 1
	var said strings.Builder
	for _, c := range a.Claims {
		v[guard.Support] = min(v[guard.Support], c.Score)
		said.WriteString(c.Text)
		said.WriteByte('\n')
	}
	v[guard.Length] = math.Log1p(float64(len(strings.Fields(said.String()))) / 20)
	if a.Mode == ModeGenerated {
		v[guard.LogProb], v[guard.LeastProb] = a.probabilities.mean(), a.probabilities.least
	}
	v[guard.Age] = labelAge(a)
	lex := lexicon{p.snap}
	have, all := 0.0, 0.0
	terms := termSet(lex, quantity.Words(said.String()+" "+first.DocumentTitle))
	for t := range termSet(lex, quantity.Words(p.q.Text)) {
		all += lex.Weight(t)
		if terms[t] {
			have += lex.Weight(t)
		}
	}
	if all > 0 {
		v[guard.Said] = math.Round(1e9*have/all) / 1e9 // a sum in no order
	}
	if judge != nil {
		if r, err := judge.Rerank(ctx, p.q.Text, []string{first.DocumentTitle + " " + first.SectionTitle + "\n" + said.String()}); err == nil && len(r) == 1 {
			v[guard.Answers] = float64(r[0])
		}
	}
	return v
}

// probabilities of the tokens that a language model wrote; zero where none did.
type probabilities struct {
	sum, least float64
	n          int
}

func (p *probabilities) take(tokens []inference.TokenLogProb) {
	for _, t := range tokens {
		if math.IsNaN(t.LogProb) || math.IsInf(t.LogProb, 0) {
			continue
		}
		p.sum, p.least, p.n = p.sum+t.LogProb, min(p.least, t.LogProb), p.n+1
	}
}

func (p *probabilities) mean() float64 {
	if p.n == 0 {
		return 0
	}
	return p.sum / float64(p.n)
}

// labelAge is the age in years of the oldest label cited, at the time of the answer;
// 0 where it has no date.
func labelAge(a *Answer) float64 {
	oldest, now := "", a.now
	for _, c := range a.Claims {
		for _, ci := range c.Citations {
			if d := ci.EffectiveDate; d != "" && (oldest == "" || d < oldest) {
				oldest = d
			}
		}
	}
	at, err := time.Parse(time.DateOnly, oldest)
	if err != nil || now.IsZero() {
		return 0
	}
	return max(0, math.Round(now.Sub(at).Hours()/24/365.25*10)/10)
}
