package compress

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"

	"rxedge/inference/gguf"
)

// PruneNote is what whoever prunes should know.
const PruneNote = "llama.cpp stores and multiplies a zero like any other number: the pruned model is neither smaller nor faster by itself. " +
	"Zeros survive Q8_0, Q4_0 and Q5_0 as zeros, and help only where the file is compressed on its way, or where a later format leaves them out."

// PruneOptions of Prune.
type PruneOptions struct {
	Sparsity float64 // share of each matrix that becomes zero, 0 < Sparsity < 1
	Layers   Layers  // zero value: all
	Progress func(done, total int64)
}

// TensorSparsity is what became of one matrix.
type TensorSparsity struct {
	Tensor   string  `json:"tensor"`
	Elements uint64  `json:"elements"`
	Before   float64 `json:"sparsity_before"` // share of zeros
	After    float64 `json:"sparsity_after"`
	// Threshold is the greatest magnitude that became zero.
	Threshold float64 `json:"threshold"`
	// Type where it was changed, as pruning dequantises: "Q8_0 → F16".
	Converted string `json:"converted,omitempty"`
}

// PruneReport says what came of Prune.
type PruneReport struct {
	Sparsity    float64          `json:"sparsity"` // asked for
	Layers      string           `json:"layers,omitempty"`
	BytesBefore int64            `json:"bytes_before"` // of the file
	BytesAfter  int64            `json:"bytes_after"`
	Pruned      []TensorSparsity `json:"pruned"`
	Untouched   int              `json:"untouched"` // tensors: embeddings, norms, heads, other layers
	// Achieved is the share of zeros over the pruned matrices together, Whole
	// over all the model's numbers.
	Achieved float64 `json:"achieved"`
	Whole    float64 `json:"whole_model"`
	Note     string  `json:"note"`
}

// Layers is a choice of a model's layers, counted from 0.
type Layers struct {
	text   string
	ranges [][2]int
}

// ParseLayers reads "0-3,7"; "" and "all" are all layers.
func ParseLayers(s string) (Layers, error) {
	s = strings.TrimSpace(s)
	if s == "" || s == "all" {
		return Layers{}, nil
	}
	l := Layers{text: s}
	for part := range strings.SplitSeq(s, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 16)
		b, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || a > b {
			return Layers{}, fmt.Errorf("%q are no layers: write them as 0-3,7", s)
		}
		l.ranges = append(l.ranges, [2]int{int(a), int(b)})
	}
	return l, nil
}

// String is what ParseLayers read, "" for all.
func (l Layers) String() string { return l.text }

// Has says whether layer n is chosen.
func (l Layers) Has(n int) bool {
	for _, r := range l.ranges {
		if r[0] <= n && n <= r[1] {
			return true
		}
	}
	return len(l.ranges) == 0
}

// layerWeight is the name of a weight of a layer.
var layerWeight = regexp.MustCompile(`^blk\.(\d{1,5})\.(.+)\.weight$`)

// prunes says whether a tensor is one of the matrices that pruning is for:
// two-dimensional weights of a chosen layer, but no norm and no embedding.
func (o PruneOptions) prunes(t gguf.Tensor) bool {
	m := layerWeight.FindStringSubmatch(t.Name)
	if m == nil || len(t.Shape) != 2 || strings.Contains(m[2], "norm") || strings.Contains(m[2], "embd") {
		return false
	}
	n, _ := strconv.Atoi(m[1])
	return o.Layers.Has(n)
}

// pruned is the type in which a pruned tensor is kept: plain numbers stay what
// they are, the rest becomes F16.
func pruned(t gguf.Type) gguf.Type {
	switch t {
	case gguf.F32, gguf.F16, gguf.BF16:
		return t
	}
	return gguf.F16
}

// UnreadableTypeError says that a matrix is in a form that this package does
// not take apart. Quantize with the type F16 does.
type UnreadableTypeError struct {
	Tensor string
	Type   string
}

func (e *UnreadableTypeError) Error() string {
	return fmt.Sprintf("tensor %s is %s, which can't be pruned; make an F16 model of it first", e.Tensor, e.Type)
}

// Prune writes the model at in with the smallest weights of each matrix set to
// zero to out. Of weights of the same magnitude at the threshold the first
// ones go, so that the share is met exactly. Memory stays at a few megabytes,
// whatever the model's size: it reads each matrix three times, twice to find
// the threshold and once to write. Where it fails or ctx ends, out is removed.
//
// Magnitude pruning, uniform over the layers' matrices: Han et al., Learning
// both Weights and Connections for Efficient Neural Networks, 2015.
func Prune(ctx context.Context, in, out string, o PruneOptions) (PruneReport, error) {
	rep, err := prune(ctx, in, out, o)
	if err != nil {
		os.Remove(out)
		return PruneReport{}, err
	}
	return rep, nil
}

func prune(ctx context.Context, in, out string, o PruneOptions) (PruneReport, error) {
	rep := PruneReport{Sparsity: o.Sparsity, Layers: o.Layers.String(), Note: PruneNote, Pruned: []TensorSparsity{}}
	if !(o.Sparsity > 0 && o.Sparsity < 1) {
		return rep, fmt.Errorf("a sparsity of %v is none: it lies between 0 and 1, 0.3 makes 30 %% of each matrix zero", o.Sparsity)
	}
	f, err := gguf.Open(in)
	if err != nil {
		return rep, err
	}
	defer f.Close()
	tensors := make([]gguf.Tensor, len(f.Tensors))
	var total int64
	for i, t := range f.Tensors {
		tensors[i] = t
		total += int64(t.Bytes())
		if !o.prunes(t) {
			continue
		}
		total += 2 * int64(t.Bytes())
		if !readable(t.Type) {
			return rep, &UnreadableTypeError{Tensor: t.Name, Type: t.Type.String()}
		}
		tensors[i].Type = pruned(t.Type)
	}
	m := f.Metadata
	m.Set("rxedge.prune.sparsity", float32(o.Sparsity))
	if s := o.Layers.String(); s != "" {
		m.Set("rxedge.prune.layers", s)
	}
	if changed(f.Tensors, tensors) {
		m.Set("general.file_type", uint32(1)) // mostly F16
	}
	file, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return rep, err
	}
	defer file.Close()
	buffered := bufio.NewWriterSize(file, 1<<20)
	w, err := gguf.NewWriter(buffered, &m, tensors)
	if err != nil {
		return rep, err
	}
	p := &pruner{ctx: ctx, file: f, total: total, progress: o.Progress, sparsity: o.Sparsity}
	var all, zeros, allZeros, elements uint64
	for i, t := range f.Tensors {
		if !o.prunes(t) {
			n, err := p.copy(w, t)
			if err != nil {
				return rep, err
			}
			all, allZeros = all+t.Elements(), allZeros+n
			rep.Untouched++
			continue
		}
		ts, n, err := p.prune(w, t, tensors[i].Type)
		if err != nil {
			return rep, err
		}
		rep.Pruned = append(rep.Pruned, ts)
		all, allZeros = all+t.Elements(), allZeros+n
		elements, zeros = elements+t.Elements(), zeros+n
	}
	if elements == 0 {
		return rep, errors.New("the model has no matrix to prune in these layers; 'blk.N.*.weight' of two dimensions are")
	}
	rep.Achieved, rep.Whole = float64(zeros)/float64(elements), float64(allZeros)/float64(all)
	if err := errors.Join(w.Close(), buffered.Flush()); err != nil {
		return rep, err
	}
	before, err := os.Stat(in)
	if err != nil {
		return rep, err
	}
	after, err := file.Stat()
	if err != nil {
		return rep, err
	}
	rep.BytesBefore, rep.BytesAfter = before.Size(), after.Size()
	return rep, file.Close()
}

func changed(a, b []gguf.Tensor) bool {
	for i := range a {
		if a[i].Type != b[i].Type {
			return true
		}
	}
	return false
}

// readable says whether gguf.Dequantize takes the type.
func readable(t gguf.Type) bool {
	_, err := gguf.Dequantize(nil, make([]byte, t.BlockBytes()), t)
	return err == nil
}

// pruner reads tensors of one file.
type pruner struct {
	ctx      context.Context
	file     *gguf.File
	sparsity float64
	progress func(done, total int64)
	done     int64
	total    int64

	raw    []byte
	floats []float32
}

// each gives the numbers of a tensor as they come, some at a time.
func (p *pruner) each(t gguf.Tensor, do func([]float32) error) error {
	if p.raw == nil {
		p.raw = make([]byte, 256<<10)
	}
	raw := p.raw[:len(p.raw)/t.Type.BlockBytes()*t.Type.BlockBytes()] // whole blocks
	r := p.file.Data(t)
	for {
		n, err := io.ReadFull(r, raw)
		if n > 0 {
			if p.ctx.Err() != nil {
				return p.ctx.Err()
			}
			var bad error
			if p.floats, bad = gguf.Dequantize(p.floats[:0], raw[:n], t.Type); bad != nil {
				return fmt.Errorf("tensor %s: %w", t.Name, bad)
			}
			if bad := do(p.floats); bad != nil {
				return bad
			}
			p.done += int64(n)
			if p.progress != nil {
				p.progress(p.done, p.total)
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
	}
}

// copy writes a tensor as it is, and counts its zeros where it holds plain
// numbers or those of a known form.
func (p *pruner) copy(w *gguf.Writer, t gguf.Tensor) (zeros uint64, err error) {
	if readable(t.Type) {
		err := p.each(t, func(v []float32) error {
			zeros += countZeros(v)
			return nil
		})
		if err != nil {
			return 0, err
		}
		return zeros, w.WriteTensor(t.Name, p.file.Data(t))
	}
	p.done += int64(t.Bytes())
	return 0, w.WriteTensor(t.Name, p.file.Data(t))
}

func (p *pruner) prune(w *gguf.Writer, t gguf.Tensor, as gguf.Type) (TensorSparsity, uint64, error) {
	out := TensorSparsity{Tensor: t.Name, Elements: t.Elements()}
	if as != t.Type {
		out.Converted = t.Type.String() + " → " + as.String()
	}
	cut, err := p.threshold(t, uint64(math.Round(p.sparsity*float64(t.Elements()))))
	if err != nil {
		return out, 0, err
	}
	out.Before = float64(cut.zeros) / float64(out.Elements)
	out.Threshold = float64(math.Float32frombits(cut.bits))
	var zeros uint64
	var bytes []byte
	err = w.WriteTensorFunc(t.Name, func(dst io.Writer) error {
		return p.each(t, func(v []float32) error {
			cut.apply(v)
			var err error
			if bytes, err = gguf.Quantize(bytes[:0], v, as); err != nil {
				return fmt.Errorf("tensor %s: %w", t.Name, err)
			}
			zeros += zerosAs(bytes, as)
			_, err = dst.Write(bytes)
			return err
		})
	})
	out.After = float64(zeros) / float64(out.Elements)
	return out, zeros, err
}

// cut is where a matrix is cut: magnitudes below bits become zero, and of those
// equal to it the first ties.
type cut struct {
	bits  uint32 // of the threshold, a float32 without its sign
	ties  uint64
	zeros uint64 // there were before
	none  bool   // nothing is to be cut
}

// threshold finds the k-th smallest magnitude exactly, as the bits of a float32
// without its sign are in the order of the magnitudes: first their upper half
// is counted, then the lower half of those that share the upper one found.
func (p *pruner) threshold(t gguf.Tensor, k uint64) (cut, error) {
	var c cut
	if k == 0 {
		c.none = true
	}
	counts := make([]uint64, 1<<16)
	err := p.each(t, func(v []float32) error {
		for _, f := range v {
			b := math.Float32bits(f) &^ (1 << 31)
			if b >= 0x7f800000 {
				return fmt.Errorf("tensor %s holds %v, which is no weight; the model is damaged", t.Name, f)
			}
			if b == 0 {
				c.zeros++
			}
			counts[b>>16]++
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	upper, below := kth(counts, k)
	clear(counts)
	err = p.each(t, func(v []float32) error {
		for _, f := range v {
			if b := math.Float32bits(f) &^ (1 << 31); b>>16 == upper {
				counts[b&0xffff]++
			}
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	lower, less := kth(counts, k-min(k, below))
	c.bits = upper<<16 | lower
	c.ties = k - min(k, below+less)
	return c, nil
}

// kth returns the cell in which the k-th lies (from 1), and how many lie in the
// cells before it.
func kth(counts []uint64, k uint64) (cell uint32, before uint64) {
	for i, n := range counts {
		if before+n >= k {
			return uint32(i), before
		}
		before += n
	}
	return uint32(len(counts) - 1), before
}

// apply cuts the next numbers of the matrix.
func (c *cut) apply(v []float32) {
	if c.none {
		return
	}
	for i, f := range v {
		b := math.Float32bits(f) &^ (1 << 31)
		if b < c.bits {
			v[i] = 0
		} else if b == c.bits && c.ties > 0 {
			v[i] = 0
			c.ties--
		}
	}
}

func countZeros(v []float32) (n uint64) {
	for _, f := range v {
		if f == 0 {
			n++
		}
	}
	return n
}

// zerosAs counts the zeros in what was written: of F16, small numbers may have
// become zero too.
func zerosAs(b []byte, t gguf.Type) (n uint64) {
	if t == gguf.F32 {
		for ; len(b) >= 4; b = b[4:] {
			if binary.LittleEndian.Uint32(b)&^(1<<31) == 0 {
				n++
			}
		}
		return n
	}
	for ; len(b) >= 2; b = b[2:] {
		if binary.LittleEndian.Uint16(b)&^(1<<15) == 0 {
			n++
		}
	}
	return n
}
