package validate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"rxedge/daemon/rollout/sequential"
	"rxedge/daemon/telemetry/quality"
	"rxedge/inference"
)

// Fault of a text that a model wrote; "" is none.
type Fault string

// Faults.
const (
	Empty  Fault = "empty"
	Looped Fault = "repeats itself"
	Echo   Fault = "echoes the prompt"
	Same   Fault = "is the same whatever is asked"
)

const (
	writtenTokens = 64
	fewestWords   = 3   // fewer than these can't echo
	longWords     = 40  // bytes of a text of few words from which its letters are looked at
	loopShare     = 0.6 // of the words lie in one repeated stretch
	echoShare     = 0.8 // of the words are the prompt's, in its order
	sameShare     = 0.9 // of the words are another answer's, in its order
	degenerateMax = 0.05
)

// faultOf one text by itself.
func faultOf(prompt, text string) Fault {
	w := wordsOf(text)
	switch {
	case len(w) == 0:
		return Empty
	case len(w) >= 12 && looped(w) >= loopShare || len(w) < 12 && len(text) >= longWords && looped(strings.Split(text, "")) >= loopShare:
		return Looped
	case len(w) < fewestWords:
		return ""
	}
	if p := wordsOf(prompt); len(p) >= fewestWords {
		// The prompt said again is an echo, a sentence that has its words is an answer.
		n := min(len(p), len(w))
		if run := quality.CommonSubsequence(p, w[:n]); float64(run) >= echoShare*float64(n) && n >= fewestWords {
			return Echo
		}
	}
	return ""
}

// looped is the share of the words that lie in a stretch of at most 24 words said
// at least three times in a row.
func looped(w []string) float64 {
	best := 0
	for period := 1; period <= 24 && period*3 <= len(w); period++ {
		run := 0
		for i := period; i < len(w); i++ {
			if w[i] == w[i-period] {
				if run++; run >= 2*period {
					best = max(best, run+period)
				}
			} else {
				run = 0
			}
		}
	}
	return float64(best) / float64(len(w))
}

func wordsOf(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// same counts texts that are nearly those of another question: of each group of
// nearly equal texts all count, where it has three or more.
func same(texts []string) []bool {
	ws := make([][]string, len(texts))
	for i, t := range texts {
		ws[i] = wordsOf(t)
	}
	out := make([]bool, len(texts))
	for i := range ws {
		if len(ws[i]) < fewestWords {
			continue // "Not in my documents." may be said of many
		}
		n := 1
		for j := range ws {
			if i != j && float64(quality.CommonSubsequence(ws[i], ws[j])) >= sameShare*float64(max(len(ws[i]), len(ws[j]))) {
				n++
			}
		}
		out[i] = n >= 3
	}
	return out
}

// wrote is what a model wrote to the prompts.
type wrote struct {
	prompts, texts []string
	failed         int
	err            error // the last
}

// write asks the model alone, without documents, each prompt for at most limit; 0: without
// a limit. What was written by then is judged as it is.
func write(ctx context.Context, g inference.Generator, prompts []string, limit time.Duration, step func()) (wrote, error) {
	var out wrote
	for _, p := range prompts {
		text, err := writeOne(ctx, g, p, limit)
		step()
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if err != nil {
			out.failed++
			out.err = err
			continue
		}
		out.prompts, out.texts = append(out.prompts, p), append(out.texts, text)
	}
	return out, nil
}

func writeOne(ctx context.Context, g inference.Generator, prompt string, limit time.Duration) (string, error) {
	limited, cancel := ctx, func() {}
	if limit > 0 {
		limited, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	var text strings.Builder
	emit := func(piece string) error {
		text.WriteString(piece)
		return nil
	}
	req := inference.GenerateRequest{Messages: []inference.Message{{Role: "user", Content: prompt}}, MaxTokens: writtenTokens}
	_, err := g.Generate(limited, req, emit)
	if errors.Is(err, inference.ErrNoChatTemplate) {
		req.Messages, req.Prompt = nil, prompt
		_, err = g.Generate(limited, req, emit)
	}
	if err != nil && limited.Err() != nil {
		err = nil
	}
	return text.String(), err
}

// degenerate judges what was written: it fails where more than degenerateMax of
// all texts would be no answers, and that is not chance.
func degenerate(cfg Config, w wrote) Check {
	c := Check{Name: Degenerate, Pass: true, N: len(w.texts), Limit: figure(degenerateMax)}
	if len(w.texts) == 0 {
		c.Untold, c.Detail = true, "nothing was written"
		return c
	}
	counts := map[Fault]int{}
	bad := 0
	alike := same(w.texts)
	for i, t := range w.texts {
		f := faultOf(w.prompts[i], t)
		if f == "" && alike[i] {
			f = Same
		}
		if f != "" {
			counts[f]++
			bad++
		}
	}
	share := float64(bad) / float64(len(w.texts))
	c.Candidate = figure(share)
	low, high := sequential.Wilson(bad, len(w.texts), cfg.Alpha)
	var parts []string
	for _, f := range []Fault{Empty, Looped, Echo, Same} {
		if counts[f] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[f], f))
		}
	}
	c.Pass = low <= degenerateMax
	c.Untold = c.Pass && high > degenerateMax
	c.Detail = fmt.Sprintf("%d of %d texts of the model alone are no answers", bad, len(w.texts))
	if len(parts) > 0 {
		c.Detail += ": " + strings.Join(parts, ", ")
	}
	return c
}
