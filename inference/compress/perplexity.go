package compress

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// ShortTextsError says that there is too little text to measure with.
type ShortTextsError struct {
	Tokens int // that the texts have; 0: not known
	Want   int // at least
}

func (e *ShortTextsError) Error() string {
	if e.Tokens == 0 {
		return fmt.Sprintf("the texts are too short: %d tokens at least are needed", e.Want)
	}
	return fmt.Sprintf("the texts are too short: they have %d tokens, and %d at least are needed", e.Tokens, e.Want)
}

// Divergence of the next-token distributions of B from those of A, over the
// scored positions: KL(A‖B) in nats.
type Divergence struct {
	Mean          float64 `json:"mean"`
	StandardError float64 `json:"standard_error"`
	Median        float64 `json:"median"`
	P99           float64 `json:"p99"`
	Max           float64 `json:"max"`
}

// Predictions are two models' next-token distributions over the same texts.
//
// The texts are cut into chunks of Context tokens; of each the second half is
// scored, so that every scored token has at least half a chunk before it.
// Perplexity is e to the mean negative log-likelihood of those tokens.
type Predictions struct {
	Context     int     `json:"context"`
	Chunks      int     `json:"chunks"`
	Scored      int     `json:"scored"` // tokens
	PerplexityA float64 `json:"perplexity_a"`
	PerplexityB float64 `json:"perplexity_b"`
	// LogRatio is ln(perplexity B / perplexity A), and its standard error over
	// the pairs of scored tokens.
	LogRatio              float64    `json:"log_ratio"`
	LogRatioStandardError float64    `json:"log_ratio_standard_error"`
	KL                    Divergence `json:"kl_divergence"`
	Top1Agreement         float64    `json:"top1_agreement"` // share of positions with the same likeliest token
}

// fewestScored is llama-perplexity's own floor for statistics.
const fewestScored = 100

// mostLogProbs bounds each model's file of distributions: two bytes for each
// word of the vocabulary at each scored position.
const mostLogProbs = 1 << 30

// predict lets llama-perplexity keep both models' distributions in dir, and
// compares them. texts is a file in dir.
//
// The tool could compare them itself, but prints what it found just before it
// exits, from a thread that is not waited for: now and then the lines are lost
// (llama.cpp's issue 22142). Its files are whole, or seen not to be.
func (t Tools) predict(ctx context.Context, a, b side, dir string, o CompareOptions) (Predictions, error) {
	p := Predictions{Context: chunkContext(o.Context, min(a.shape.context, b.shape.context))}
	if p.Context < 4 {
		return p, fmt.Errorf("chunks of %d tokens are too short to score", p.Context)
	}
	scored := p.Context - 1 - p.Context/2 // of a chunk
	chunks := max(mostLogProbs/(2*(a.shape.vocab+5)*scored), 1)
	if o.Chunks > 0 {
		chunks = min(chunks, o.Chunks)
	}
	n := strconv.Itoa(p.Context)
	var files [2]*distributions
	for i, m := range []side{a, b} {
		kept := filepath.Join(dir, strconv.Itoa(i)+".logits")
		defer os.Remove(kept)
		args := []string{"-m", m.path, "-f", textsFile, "-c", n, "-b", n, "-ub", n, "--chunks", strconv.Itoa(chunks), "--save-all-logits", kept}
		out := perplexityOutput{progress: func(done, total int) { o.Progress(StagePerplexity, int64(i*total+done), int64(2*total)) }}
		if _, err := t.run(ctx, invocation{tool: toolPerplexity, args: append(args, o.place()...), dir: dir, ends: "\n,", piece: out.piece}); err != nil {
			return p, out.explain(err)
		}
		if out.short != nil {
			return p, out.short
		}
		f, err := openDistributions(kept, p.Context)
		if errors.Is(err, errNoDistributions) {
			return p, &ShortTextsError{Want: 2 * p.Context}
		}
		if err != nil {
			return p, err
		}
		defer f.Close()
		files[i] = f
	}
	if p.Chunks = files[0].chunks; p.Chunks*scored < fewestScored {
		return p, &ShortTextsError{Tokens: p.Chunks * p.Context, Want: p.Context * ((fewestScored + scored - 1) / scored)}
	}
	return compareDistributions(ctx, files[0], files[1])
}

var errBroken = errors.New("a model gives probabilities that are no numbers; it is broken: import it again, or prune and quantise less")

// perplexityOutput reads what llama-perplexity and llama-imatrix say, cut at
// newlines and commas.
type perplexityOutput struct {
	progress func(done, total int)

	chunks int     // that are computed
	last   float64 // perplexity of the chunks so far
	short  *ShortTextsError
}

var (
	chunksLine = regexp.MustCompile(`over (\d{1,8}) chunks`)
	chunkDone  = regexp.MustCompile(`^\[(\d{1,8})\](-?nan|-?inf|\d{1,30}(?:\.\d{1,30})?)`)
	tooShort   = regexp.MustCompile(`you need at least (\d{1,9}) tokens`)
	shortHas   = regexp.MustCompile(`tokenizes to only (\d{1,9}) tokens`)
)

func (p *perplexityOutput) piece(s string) {
	if m := chunkDone.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1])
		if p.progress != nil && n > 0 && n <= p.chunks {
			p.progress(n, p.chunks)
		}
		p.last, _ = strconv.ParseFloat(m[2], 64) // "-nan" is none to Go
		if strings.HasSuffix(m[2], "nan") {
			p.last = math.NaN()
		}
	} else if m := chunksLine.FindStringSubmatch(s); m != nil {
		p.chunks, _ = strconv.Atoi(m[1])
	} else if m := tooShort.FindStringSubmatch(s); m != nil {
		want, _ := strconv.Atoi(m[1])
		p.short = &ShortTextsError{Want: want}
	} else if m := shortHas.FindStringSubmatch(s); m != nil && p.short != nil {
		p.short.Tokens, _ = strconv.Atoi(m[1])
	}
}

// explain prefers what is known to be the cause.
func (p *perplexityOutput) explain(err error) error {
	switch {
	case p.short != nil:
		return p.short
	case math.IsNaN(p.last):
		return errBroken
	}
	return err
}
