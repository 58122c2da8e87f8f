package compress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"rxedge/inference"
	"rxedge/inference/llama"
)

// Greedy compares what two models write, each taking the likeliest token.
type Greedy struct {
	Prompts int `json:"prompts"`
	Tokens  int `json:"tokens"` // most in an answer
	// ExactMatch is the share of answers that are the same, byte for byte.
	ExactMatch float64 `json:"exact_match"`
	// RougeL is the mean F of the longest common subsequence of words, and
	// CommonPrefix the mean share of the longer answer's words before the first
	// difference.
	RougeL       float64 `json:"rouge_l"`
	CommonPrefix float64 `json:"common_prefix"`
}

// promptWords of a paragraph are what the models go on from.
const promptWords = 24

// prompts takes n beginnings of paragraphs, evenly over the text: the first
// words of each, at most half of it. A text of fewer paragraphs gives fewer.
func prompts(text string, n int) []string {
	var all []string
	for _, p := range paragraphs(text) {
		words := strings.Fields(p)
		if k := min(promptWords, len(words)/2); k > 0 {
			all = append(all, strings.Join(words[:k], " "))
		}
	}
	if len(all) <= n {
		return all
	}
	out := make([]string, n)
	for i := range out {
		out[i] = all[i*len(all)/n]
	}
	return out
}

// paragraphs are parted by empty lines, or are lines where there are none.
func paragraphs(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	parts := strings.Split(text, "\n\n")
	if len(parts) < 2 {
		parts = strings.Split(text, "\n")
	}
	return slices.DeleteFunc(parts, func(p string) bool { return strings.TrimSpace(p) == "" })
}

// greedy has one model after the other write, so that the machine need hold one only.
func (t Tools) greedy(ctx context.Context, a, b side, asked []string, o CompareOptions) (Greedy, error) {
	g := Greedy{Prompts: len(asked), Tokens: o.AnswerTokens}
	if len(asked) == 0 {
		return g, errors.New("the texts hold no paragraph to begin an answer with")
	}
	var answers [2][]string
	for i, m := range []side{a, b} {
		var err error
		answers[i], err = t.write(ctx, m, asked, o, func(done int) {
			o.Progress(StageGreedy, int64(i*len(asked)+done), int64(2*len(asked)))
		})
		if err != nil {
			return g, err
		}
	}
	for i := range asked {
		x, y := answers[0][i], answers[1][i]
		if x == y {
			g.ExactMatch++
		}
		wx, wy := words(x), words(y)
		g.RougeL += rougeL(wx, wy)
		g.CommonPrefix += commonPrefix(wx, wy)
	}
	n := float64(len(asked))
	g.ExactMatch, g.RougeL, g.CommonPrefix = g.ExactMatch/n, g.RougeL/n, g.CommonPrefix/n
	return g, nil
}

func (t Tools) write(ctx context.Context, m side, asked []string, o CompareOptions, step func(int)) (out []string, err error) {
	size := 4096
	if m.shape.context > 0 {
		size = min(size, m.shape.context)
	}
	s, err := llama.Start(llama.Options{Engine: t.engine, Model: m.path, Name: m.name, SHA256: m.sha256, Kind: llama.Generate,
		Context: size, Threads: o.Threads, Wait: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.WaitReady(ctx); err != nil {
		return nil, err
	}
	for i, p := range asked {
		r, err := s.Generate(ctx, inference.GenerateRequest{Prompt: p, MaxTokens: o.AnswerTokens}, func(string) error { return nil })
		if err != nil {
			return nil, fmt.Errorf("prompt %d to model %s: %w", i+1, m.name, err)
		}
		out = append(out, r.Text)
		step(i + 1)
	}
	return out, nil
}

// words are lower-cased runs of letters and digits, as rouge-score has them.
func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// rougeL is the F of the longest common subsequence; 1 where both are empty.
func rougeL(a, b []string) float64 {
	if len(a)+len(b) == 0 {
		return 1
	}
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	// F = 2PR/(P+R) with P = lcs/|b| and R = lcs/|a|.
	return 2 * float64(row[len(b)]) / float64(len(a)+len(b))
}

// commonPrefix is the share of the longer that both begin with; 1 where both are empty.
func commonPrefix(a, b []string) float64 {
	n := max(len(a), len(b))
	if n == 0 {
		return 1
	}
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return float64(i) / float64(n)
}
