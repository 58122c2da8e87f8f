package compress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rxedge/inference/gguf"
)

// Types that Quantize makes, smallest first. Others of llama-quantize need an
// importance matrix to be of any use, or no current engine runs them well.
var Types = []string{"Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "IQ4_XS", "IQ4_NL", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M",
	"Q5_0", "Q5_1", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0", "F16", "BF16"}

// Stages of Quantize and Compare, for progress.
const (
	StageImportance = "importance matrix" // chunks of the texts
	StageQuantize   = "quantize"          // tensors
	StagePerplexity = "perplexity"        // chunks of the texts
	StageGreedy     = "greedy answers"    // prompts
	StageSpeed      = "speed"             // runs
)

// Progress is told what is being done, and how much of it.
type Progress func(stage string, done, total int64)

// QuantizeOptions of Quantize.
type QuantizeOptions struct {
	Type string // one of Types
	// Texts is a file for the importance matrix, plain text; "": none.
	Texts   string
	Context int // tokens of a chunk of the texts; 0: 512, or the model's if that is less
	Chunks  int // most chunks of the texts that are read; 0: all
	// Requantize allows a source that is quantised already; quality is lost
	// twice then.
	Requantize bool
	Threads    int // 0: one a core
	Progress   Progress
}

// Fallback is a tensor that could not have the type asked for.
type Fallback struct {
	Tensor  string `json:"tensor"`
	Columns int    `json:"columns"` // length of its rows
	Block   int    `json:"block"`   // that the type wants them to be a multiple of
	Wanted  string `json:"wanted"`
	Got     string `json:"got"`
}

// Importance says of which texts an importance matrix was made.
type Importance struct {
	TextsSHA256 string `json:"texts_sha256"`
	Chunks      int    `json:"chunks"`
	Context     int    `json:"context"` // tokens of a chunk
}

// QuantizeReport says what came of Quantize.
type QuantizeReport struct {
	Type          string      `json:"type"`
	BytesBefore   int64       `json:"bytes_before"` // of the file
	BytesAfter    int64       `json:"bytes_after"`
	BitsPerWeight float64     `json:"bits_per_weight"` // of all tensors, scales included
	Tensors       int         `json:"tensors"`
	Importance    *Importance `json:"importance,omitempty"`
	// Fallbacks are tensors whose rows are no multiple of the type's block.
	Fallbacks []Fallback `json:"fallbacks"`
}

// ErrQuantised: the source is quantised already.
var ErrQuantised = errors.New("the model is quantised already, and to quantise it again loses quality twice; start from the F16 or F32 model, or say --requantize")

// CheckType says which types there are where t is none of them.
func CheckType(t string) (string, error) {
	up := strings.ToUpper(t)
	if !slices.Contains(Types, up) {
		return "", fmt.Errorf("%q is no type to quantise to; there are %s", t, strings.Join(Types, ", "))
	}
	return up, nil
}

// Quantize writes the model at in, quantised, to out. Where it fails or ctx
// ends, out is removed. Same input, same bytes.
func (t Tools) Quantize(ctx context.Context, in, out string, o QuantizeOptions) (QuantizeReport, error) {
	rep, err := t.quantize(ctx, in, out, o)
	if err != nil {
		os.Remove(out)
		return QuantizeReport{}, err
	}
	return rep, nil
}

func (t Tools) quantize(ctx context.Context, in, out string, o QuantizeOptions) (QuantizeReport, error) {
	rep := QuantizeReport{Fallbacks: []Fallback{}}
	var err error
	if rep.Type, err = CheckType(o.Type); err != nil {
		return rep, err
	}
	if in, err = filepath.Abs(in); err != nil {
		return rep, err
	}
	if out, err = filepath.Abs(out); err != nil {
		return rep, err
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	shape, err := look(in)
	if err != nil {
		return rep, err
	}
	if shape.quantised && !o.Requantize {
		return rep, ErrQuantised
	}
	rep.BytesBefore = shape.size
	// The tools write the names of their files into the model: relative names
	// in a folder of our own say nothing of this machine, and are always the same.
	dir, err := os.MkdirTemp(filepath.Dir(out), "quantize-")
	if err != nil {
		return rep, err
	}
	defer os.RemoveAll(dir)
	args := []string{}
	if o.Texts != "" {
		if rep.Importance, err = t.importance(ctx, in, dir, shape, o); err != nil {
			return rep, err
		}
		args = append(args, "--imatrix", importanceFile)
	}
	if o.Requantize {
		args = append(args, "--allow-requantize")
	}
	args = append(args, in, "model.gguf", rep.Type)
	if o.Threads > 0 {
		args = append(args, strconv.Itoa(o.Threads))
	}
	q := quantizeOutput{progress: o.Progress}
	if _, err := t.run(ctx, invocation{tool: toolQuantize, args: args, dir: dir, piece: q.line}); err != nil {
		return rep, err
	}
	made := filepath.Join(dir, "model.gguf")
	after, err := look(made)
	if err != nil {
		return rep, fmt.Errorf("%s wrote no usable model: %w", toolQuantize, err)
	}
	if after.tensors != shape.tensors {
		return rep, fmt.Errorf("%s wrote %d tensors of %d", toolQuantize, after.tensors, shape.tensors)
	}
	rep.BytesAfter, rep.Tensors, rep.BitsPerWeight = after.size, after.tensors, after.bits
	if q.fallbacks != nil {
		rep.Fallbacks = q.fallbacks
	}
	return rep, os.Rename(made, out)
}

const importanceFile = "imatrix.gguf"

// importance makes the importance matrix in dir.
func (t Tools) importance(ctx context.Context, model, dir string, s shape, o QuantizeOptions) (*Importance, error) {
	im := &Importance{Context: chunkContext(o.Context, s.context)}
	var err error
	if im.TextsSHA256, err = copyTexts(o.Texts, filepath.Join(dir, textsFile)); err != nil {
		return nil, err
	}
	defer os.Remove(filepath.Join(dir, textsFile))
	// A token takes a byte at least, but for the one at the beginning.
	if st, err := os.Stat(filepath.Join(dir, textsFile)); err != nil {
		return nil, err
	} else if st.Size()+1 < int64(2*im.Context) {
		return nil, &ShortTextsError{Want: 2 * im.Context}
	}
	c := strconv.Itoa(im.Context)
	args := []string{"-m", model, "-f", textsFile, "-o", importanceFile, "-c", c, "-b", c, "-ub", c}
	if o.Chunks > 0 {
		args = append(args, "--chunks", strconv.Itoa(o.Chunks))
	}
	if o.Threads > 0 {
		args = append(args, "-t", strconv.Itoa(o.Threads))
	}
	p := perplexityOutput{progress: func(done, total int) { o.Progress(StageImportance, int64(done), int64(total)) }}
	if _, err := t.run(ctx, invocation{tool: toolImatrix, args: args, dir: dir, ends: "\n,", piece: p.piece}); err != nil {
		// A text that is too short is the usual cause, and the tool's word of
		// it is often lost.
		var silent *ToolError
		if errors.As(err, &silent) && silent.Reason == "" {
			silent.Reason = fmt.Sprintf("it gave no reason; it needs a model that writes text, and texts of at least %d tokens", 2*im.Context)
		}
		return nil, p.explain(err)
	}
	if err := p.explain(nil); err != nil {
		return nil, err
	}
	// What the tool prints can be lost at its end; its file says it too.
	f, err := gguf.Open(filepath.Join(dir, importanceFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", toolImatrix, err)
	}
	defer f.Close()
	n, _ := f.Metadata.Uint("imatrix.chunk_count")
	if im.Chunks = int(min(n, 1<<30)); im.Chunks == 0 {
		return nil, fmt.Errorf("%s read no chunk of the texts", toolImatrix)
	}
	return im, nil
}

const textsFile = "texts.txt"

// copyTexts copies a file and returns its SHA-256. Only the owner may read the copy.
func copyTexts(from, to string) (string, error) {
	in, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), in)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, out.Close())
}

// chunkContext is the length of a chunk of texts in tokens.
func chunkContext(asked, trained int) int {
	if asked <= 0 {
		asked = 512
	}
	if trained > 0 {
		asked = min(asked, trained)
	}
	return asked
}

// shape is what is asked of a model file.
type shape struct {
	size      int64
	tensors   int
	context   int // that it was trained for; 0: not said
	vocab     int
	quantised bool
	bits      float64 // a weight
}

func look(path string) (shape, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return shape{}, err
	}
	defer f.Close()
	st, err := os.Stat(path)
	if err != nil {
		return shape{}, err
	}
	s := shape{size: st.Size(), tensors: len(f.Tensors)}
	arch, _ := f.Metadata.Text("general.architecture")
	if n, ok := f.Metadata.Uint(arch + ".context_length"); ok {
		s.context = int(min(n, 1<<24))
	}
	words, _ := f.Metadata.Texts("tokenizer.ggml.tokens")
	s.vocab = len(words)
	var elements, bytes uint64
	for _, t := range f.Tensors {
		elements += t.Elements()
		bytes += t.Bytes()
		if len(t.Shape) > 1 && t.Type.BlockSize() > 1 {
			s.quantised = true
		}
	}
	if elements > 0 {
		s.bits = 8 * float64(bytes) / float64(elements)
	}
	return s, nil
}

// quantizeOutput reads what llama-quantize says.
type quantizeOutput struct {
	progress  Progress
	fallbacks []Fallback
}

var (
	tensorLine   = regexp.MustCompile(`^\[ *(\d{1,7})/ *(\d{1,7})\] `)
	fallbackLine = regexp.MustCompile(`^warning: (\S{1,200}) +- ncols +(\d{1,12}) not divisible by +(\d{1,7}) \(required for type +(\w{1,20})\) .*-> falling back to +(\w{1,20})$`)
)

func (q *quantizeOutput) line(s string) {
	if m := tensorLine.FindStringSubmatch(s); m != nil {
		done, _ := strconv.ParseInt(m[1], 10, 64)
		total, _ := strconv.ParseInt(m[2], 10, 64)
		if q.progress != nil && done <= total {
			q.progress(StageQuantize, done, total)
		}
		return
	}
	m := fallbackLine.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || len(q.fallbacks) >= 1<<17 {
		return
	}
	columns, _ := strconv.Atoi(m[2])
	block, _ := strconv.Atoi(m[3])
	q.fallbacks = append(q.fallbacks, Fallback{Tensor: m[1], Columns: columns, Block: block, Wanted: strings.ToUpper(m[4]), Got: strings.ToUpper(m[5])})
}
