package bert

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"rxedge/inference/gguf"
	"rxedge/inference/safetensors"
)

// Options of a conversion.
type Options struct {
	Name string    // general.name; "": the folder's
	Type gguf.Type // of the matrices: F32 (the zero value), F16 or Q8_0; the rest is F32
	// Pooling of an encoder; "": as the folder says, and Mean where it does not.
	Pooling Pooling
	// Labels of a classifier in the order of its logits, where config.json does
	// not tell which is which; nil: as it says.
	Labels []string
}

// Report is what was written.
type Report struct {
	Kind         Kind      `json:"kind"`
	Architecture string    `json:"architecture"`      // as config.json names it
	Labels       []string  `json:"labels,omitempty"`  // of a classifier, by logit
	Pooling      Pooling   `json:"pooling,omitempty"` // of an encoder
	Type         gguf.Type `json:"-"`                 // of the matrices
	Quantisation string    `json:"quantisation"`      // the same as people write it
	MaxTokens    int       `json:"max_tokens"`        // longest input, special tokens included
	Dimension    int       `json:"dimension"`         // of the hidden state
	Parameters   uint64    `json:"parameters"`        // as stored; a second segment's rows count
	TwoSegments  bool      `json:"two_segments"`      // the vocabulary is doubled
	Left         []string  `json:"left,omitempty"`    // tensors that the model has no use for
	Notes        []string  `json:"notes,omitempty"`   // what a person should know
	Bytes        int64     `json:"bytes"`             // written
}

// chunk is the numbers that are converted at once.
const chunk = 1 << 18

// Convert reads the folder of a model and writes it as GGUF. progress, which may
// be nil, is told the bytes written and their total. Everything is found and
// checked before the first byte is written; afterwards the error is a disk's, a
// number that is none (NaN, infinity) or too large for the type, or ctx's, and
// what was written is to be thrown away. Memory does not grow with the model.
func Convert(ctx context.Context, dir string, out io.Writer, o Options, progress func(done, total int64)) (Report, error) {
	switch o.Type {
	case gguf.F32, gguf.F16, gguf.Q8_0:
	default:
		return Report{}, fmt.Errorf("models of the BERT family are written as F32, F16 or Q8_0, not as %s", o.Type)
	}
	if o.Name == "" {
		if abs, err := filepath.Abs(dir); err == nil {
			o.Name = filepath.Base(abs)
		}
	}
	c, err := readConfig(dir, o)
	if err != nil {
		return Report{}, err
	}
	v, err := readVocabulary(dir, c)
	if err != nil {
		return Report{}, err
	}
	ckpt, err := safetensors.Open(dir)
	if err != nil {
		return Report{}, err
	}
	defer ckpt.Close()
	steps, left, err := plan(c, ckpt, o.Type)
	if err != nil {
		return Report{}, err
	}
	m := c.metadata(o.Name, o.Type)
	v.metadata(m, c.segments, c.doubled())

	r := Report{
		Kind: c.kind, Architecture: c.architecture, Labels: c.labels, Type: o.Type, Quantisation: o.Type.String(),
		MaxTokens: c.maxTokens(), Dimension: c.hidden, TwoSegments: c.doubled(), Left: left, Notes: c.notes,
	}
	if c.kind == Encoder {
		r.Pooling = c.pooling
	}
	tensors := make([]gguf.Tensor, len(steps))
	var total int64
	for i, s := range steps {
		tensors[i] = s.target
		r.Parameters += s.target.Elements()
		total += int64(s.target.Bytes())
		if s.target.Type == gguf.F16 && o.Type == gguf.Q8_0 && len(r.Notes) == len(c.notes) {
			r.Notes = append(r.Notes, fmt.Sprintf("rows of %d numbers do not part into blocks of 32; they are stored as F16", s.target.Shape[0]))
		}
	}
	w := &counter{ctx: ctx, w: out, total: total, progress: progress}
	buffered := bufio.NewWriterSize(w, 1<<20)
	g, err := gguf.NewWriter(buffered, m, tensors)
	if err != nil {
		return Report{}, err
	}
	for _, s := range steps {
		err := g.WriteTensorFunc(s.target.Name, func(dst io.Writer) error { return s.write(dst, ckpt) })
		if err != nil {
			return Report{}, err
		}
	}
	if err := g.Close(); err != nil {
		return Report{}, err
	}
	if err := buffered.Flush(); err != nil {
		return Report{}, err
	}
	r.Bytes = w.n
	return r, nil
}

// write makes the tensor's data.
func (s step) write(dst io.Writer, ckpt *safetensors.Checkpoint) error {
	var numbers []float32
	var out []byte
	for _, p := range s.parts {
		size := p.source.DType.Size() // 0: zeros
		in := make([]byte, size*p.width*max(1, chunk/p.width))
		var src io.Reader
		if size > 0 {
			data := ckpt.Data(p.source)
			if _, err := data.Seek(int64(p.from)*int64(p.width)*int64(size), io.SeekStart); err != nil {
				return err
			}
			src = data
		}
		for row := 0; row < p.rows; {
			rows := min(max(1, chunk/p.width), p.rows-row)
			if size == 0 {
				numbers = append(numbers[:0], make([]float32, rows*p.width)...)
			} else {
				piece := in[:rows*p.width*size]
				if _, err := io.ReadFull(src, piece); err != nil {
					return fmt.Errorf("%s: %w", ckpt.File(p.source), err)
				}
				var err error
				if numbers, err = safetensors.Floats(numbers[:0], piece, p.source.DType); err != nil {
					return err
				}
			}
			for i := range numbers {
				if p.add != nil {
					numbers[i] += p.add[i%p.width]
				}
				if bad := unfit(numbers[i], s.target.Type); bad != "" {
					return fmt.Errorf("%s: row %d of tensor %s: %v %s", ckpt.File(p.source), p.from+row+i/p.width, p.source.Name, numbers[i], bad)
				}
			}
			var err error
			if out, err = gguf.Quantize(out[:0], numbers, s.target.Type); err != nil {
				return err
			}
			if _, err := dst.Write(out); err != nil {
				return err
			}
			row += rows
		}
	}
	return nil
}

// unfit says why a number cannot be stored, "" if it can.
func unfit(v float32, as gguf.Type) string {
	size := math.Abs(float64(v))
	switch {
	case !(size <= math.MaxFloat32):
		return "is no number; the checkpoint is damaged"
	case as == gguf.F16 && size >= 65520, as == gguf.Q8_0 && size >= 65520*127:
		return fmt.Sprintf("is too large for %s; convert to F32", as)
	}
	return ""
}

// counter refuses to write when ctx has ended and tells how far it is.
type counter struct {
	ctx      context.Context
	w        io.Writer
	n, total int64
	progress func(done, total int64)
}

func (c *counter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	if c.progress != nil {
		c.progress(min(c.n, c.total), c.total)
	}
	return n, err
}
