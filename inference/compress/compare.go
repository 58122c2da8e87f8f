package compress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"rxedge/inference/gguf"
)

// Model is one of the two that are compared.
type Model struct {
	Name         string
	Path         string
	SHA256       string
	Quantisation string
}

// CompareOptions of Compare. The zero value measures with the defaults named.
type CompareOptions struct {
	Texts string // a file of plain text, paragraphs parted by empty lines

	Context int // tokens of a chunk; 0: 512, or what the models were trained for if that is less
	Chunks  int // most chunks that are scored; 0: as many as 2 GiB of A's distributions take

	Prompts      int // of greedy answers; 0: 16
	AnswerTokens int // most in a greedy answer; 0: 64

	Rounds         int // of the speed measurement; 0: 3
	PromptTokens   int // of its prompt; 0: 512, less where the context is
	GenerateTokens int // of its answer; 0: 64

	Threads   int // 0: the tools' choice, one a core
	GPULayers int // on the GPU, for perplexity and speed; 0: the tools' choice, what fits
	Gate      Gate
	TempDir   string // for A's distributions; "": the system's
	Progress  Progress
}

func (o CompareOptions) withDefaults() CompareOptions {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&o.Prompts, 16)
	set(&o.AnswerTokens, 64)
	set(&o.Rounds, 3)
	set(&o.PromptTokens, 512)
	set(&o.GenerateTokens, 64)
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	return o
}

// speedTokens are a prompt and an answer that fit the context together; 0: it
// is not known.
func (o CompareOptions) speedTokens(context int) (p, g int) {
	p, g = o.PromptTokens, o.GenerateTokens
	if context > 1 && p+g > context {
		g = min(g, max(context/4, 1))
		p = context - g
	}
	return p, g
}

// place is where the tools compute.
func (o CompareOptions) place() []string {
	var args []string
	if o.Threads > 0 {
		args = append(args, "-t", strconv.Itoa(o.Threads))
	}
	if o.GPULayers > 0 {
		args = append(args, "-ngl", strconv.Itoa(o.GPULayers))
	}
	return args
}

// Side is what was measured of one model.
type Side struct {
	Name         string  `json:"name"`
	SHA256       string  `json:"sha256"`
	Quantisation string  `json:"quantisation,omitempty"`
	SizeBytes    int64   `json:"size_bytes"` // of the file
	Perplexity   float64 `json:"perplexity"`
	Speed
}

// SpeedSettings say what the speeds and latencies are of.
type SpeedSettings struct {
	PromptTokens   int `json:"prompt_tokens"`
	GenerateTokens int `json:"generate_tokens"`
	Rounds         int `json:"rounds"`
	Threads        int `json:"threads"` // 0: the tools' choice
}

// Texts say what the perplexities are of.
type Texts struct {
	SHA256  string `json:"sha256"`
	Context int    `json:"context"` // tokens of a chunk, whose second half is scored
	Chunks  int    `json:"chunks"`
	Scored  int    `json:"scored_tokens"`
}

// Comparison of B with A. Its JSON keys are part of the interface.
type Comparison struct {
	A             Side          `json:"a"`
	B             Side          `json:"b"`
	Texts         Texts         `json:"texts"`
	LogRatio      float64       `json:"log_perplexity_ratio"` // ln(B/A)
	LogRatioError float64       `json:"log_perplexity_ratio_standard_error"`
	KL            Divergence    `json:"kl_divergence"`
	Top1Agreement float64       `json:"top1_agreement"`
	Greedy        Greedy        `json:"greedy"`
	Speed         SpeedSettings `json:"speed"`
	Verdict       Verdict       `json:"verdict"`
}

// ErrVocabularies: two models do not read text alike.
var ErrVocabularies = errors.New("the models have different vocabularies: their perplexities are of different tokens and can't be compared")

type side struct {
	name, path, sha256 string
	shape              shape
}

// Compare measures what B costs and gains against A, from which it was made. It
// takes minutes for a model of a billion weights, and twice the bytes of A's
// distributions on disk. When ctx ends it stops and leaves nothing.
func (t Tools) Compare(ctx context.Context, a, b Model, o CompareOptions) (Comparison, error) {
	o = o.withDefaults()
	if err := o.Gate.Check(); err != nil {
		return Comparison{}, err
	}
	sa, err := open(a)
	if err != nil {
		return Comparison{}, err
	}
	sb, err := open(b)
	if err != nil {
		return Comparison{}, err
	}
	if same, err := sameVocabulary(sa.path, sb.path); err != nil {
		return Comparison{}, err
	} else if !same {
		return Comparison{}, ErrVocabularies
	}
	dir, err := os.MkdirTemp(o.TempDir, "compare-")
	if err != nil {
		return Comparison{}, err
	}
	defer os.RemoveAll(dir)
	c := Comparison{A: Side{Name: a.Name, SHA256: a.SHA256, Quantisation: a.Quantisation, SizeBytes: sa.shape.size},
		B: Side{Name: b.Name, SHA256: b.SHA256, Quantisation: b.Quantisation, SizeBytes: sb.shape.size}}
	if c.Texts.SHA256, err = copyTexts(o.Texts, filepath.Join(dir, textsFile)); err != nil {
		return c, err
	}
	p, err := t.predict(ctx, sa, sb, dir, o)
	if err != nil {
		return c, err
	}
	c.Texts.Context, c.Texts.Chunks, c.Texts.Scored = p.Context, p.Chunks, p.Scored
	c.A.Perplexity, c.B.Perplexity = p.PerplexityA, p.PerplexityB
	c.LogRatio, c.LogRatioError, c.KL, c.Top1Agreement = p.LogRatio, p.LogRatioStandardError, p.KL, p.Top1Agreement
	text, err := os.ReadFile(filepath.Join(dir, textsFile))
	if err != nil {
		return c, err
	}
	if c.Greedy, err = t.greedy(ctx, sa, sb, prompts(string(text), o.Prompts), o); err != nil {
		return c, err
	}
	c.Speed = SpeedSettings{Rounds: o.Rounds, Threads: o.Threads}
	c.Speed.PromptTokens, c.Speed.GenerateTokens = o.speedTokens(min(sa.shape.context, sb.shape.context))
	if c.A.Speed, c.B.Speed, err = t.speed(ctx, sa, sb, dir, o); err != nil {
		return c, err
	}
	c.Verdict = o.Gate.Judge(c.A.Perplexity, c.B.Perplexity, c.A.LatencyMS, c.B.LatencyMS)
	c.Verdict.LatencyCertain = c.B.LatencyMaxMS < c.A.LatencyMinMS || c.A.LatencyMaxMS < c.B.LatencyMinMS
	c.Verdict.SizeGainPercent = 100 * (1 - float64(c.B.SizeBytes)/float64(c.A.SizeBytes))
	return c, nil
}

func open(m Model) (side, error) {
	path, err := filepath.Abs(m.Path)
	if err != nil {
		return side{}, err
	}
	s, err := look(path)
	if err != nil {
		return side{}, fmt.Errorf("model %s: %w", m.Name, err)
	}
	return side{name: m.Name, path: path, sha256: m.SHA256, shape: s}, nil
}

func sameVocabulary(a, b string) (bool, error) {
	var words [2][]string
	for i, p := range []string{a, b} {
		f, err := gguf.Open(p)
		if err != nil {
			return false, err
		}
		words[i], _ = f.Metadata.Texts("tokenizer.ggml.tokens")
		f.Close()
	}
	return slices.Equal(words[0], words[1]), nil
}
