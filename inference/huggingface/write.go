package huggingface

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"

	"rxedge/inference/gguf"
	"rxedge/inference/gptq"
	"rxedge/inference/safetensors"
)

// PartSuffix and JournalSuffix are what the names of unfinished work end with.
const (
	PartSuffix    = ".part"
	JournalSuffix = ".journal"
)

// chunk is how much of a plain tensor is in memory at a time, in bytes.
const chunk = 4 << 20

// Write writes the GGUF file to out, whole and synced or not at all. progress,
// which may be nil, is told the bytes of tensors that are done and of all.
//
// What an earlier call left beside out when its process was killed is verified
// and gone on with, where it is of the same source and plan. On an error and
// when ctx ends nothing is left behind. Two calls for one out at a time are the
// caller's to prevent.
func (v *Conversion) Write(ctx context.Context, out string, progress func(done, total int64)) (Report, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	r := Report{Architecture: v.m.family.arch, Quantisation: v.quantised, Notes: v.m.notes}
	err := v.write(ctx, out, &r, progress)
	if err != nil {
		os.Remove(out + PartSuffix)
		os.Remove(out + JournalSuffix)
		return Report{}, err
	}
	return r, nil
}

func (v *Conversion) write(ctx context.Context, out string, r *Report, progress func(done, total int64)) error {
	tensors := make([]gguf.Tensor, len(v.items))
	var total int64
	for i, it := range v.items {
		tensors[i] = it.tensor()
		total += int64(tensors[i].Bytes())
	}
	var head bytes.Buffer
	if _, err := gguf.NewWriter(&head, &v.metadata, tensors); err != nil {
		return err
	}
	j, err := openJournal(out, v.fingerprint(head.Bytes()))
	if err != nil {
		return err
	}
	defer j.close()
	done, err := j.verify(ctx, head.Bytes(), tensors)
	if err != nil {
		return err
	}
	r.Resumed = len(done)

	f := &position{f: j.part}
	w := &counter{ctx: ctx, progress: progress, total: total}
	f.skip = len(done) > 0
	writer, err := gguf.NewWriter(f, &v.metadata, tensors)
	if err != nil {
		return err
	}
	for i, it := range v.items {
		if i < len(done) {
			// The bytes are there; the writer only counts them.
			n := int64(tensors[i].Bytes())
			if err := writer.WriteTensor(it.name, io.LimitReader(zeros{}, n)); err != nil {
				return err
			}
			r.Tensors = append(r.Tensors, done[i].TensorReport)
			w.n += n
			progress(w.n, total)
			continue
		}
		if f.skip {
			f.skip = false
			if err := f.f.Truncate(f.at); err != nil {
				return err
			}
		}
		var t TensorReport
		sum := sha256.New()
		err := writer.WriteTensorFunc(it.name, func(dst io.Writer) (err error) {
			w.w, w.hash = dst, sum
			b := bufio.NewWriterSize(w, 1<<20)
			if t, err = v.tensor(b, it); err != nil {
				return err
			}
			return b.Flush()
		})
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		r.Tensors = append(r.Tensors, t)
		if err := j.add(entry{TensorReport: t, SHA256: hex.EncodeToString(sum.Sum(nil))}); err != nil {
			return err
		}
	}
	if err := errors.Join(writer.Close(), ctx.Err()); err != nil {
		return err
	}
	r.Size = f.at
	return j.finish(out, f.at)
}

// tensor writes one tensor's data.
func (v *Conversion) tensor(w io.Writer, it *item) (TensorReport, error) {
	t := TensorReport{Name: it.name, Source: it.module, Type: it.as.String(), Note: it.note}
	var stats gptq.Stats
	var err error
	switch {
	case it.packed != nil:
		stats, err = it.packed.Write(w, it.plan, it.rows)
	case it.values != nil:
		t.Source = "config.json"
		var b []byte
		if b, err = gguf.Quantize(nil, it.values, it.as); err == nil {
			_, err = w.Write(b)
		}
	case it.rows != nil && len(it.shape) == 1:
		stats, err = v.reordered(w, it)
	default:
		stats, err = v.copy(w, it)
	}
	t.MaxError, t.MaxWeight = stats.MaxError, stats.MaxWeight
	t.Exact = stats.MaxError == 0
	return t, err
}

// reordered writes a vector whose elements take another order.
func (v *Conversion) reordered(w io.Writer, it *item) (gptq.Stats, error) {
	raw, err := v.c.ReadAll(it.plain)
	if err != nil {
		return gptq.Stats{}, err
	}
	from, err := safetensors.Floats(nil, raw, it.plain.DType)
	if err != nil {
		return gptq.Stats{}, err
	}
	to := make([]float32, len(from))
	for i := range to {
		to[i] = from[it.rows(i)]
	}
	c := quantiser{it: it}
	return c.stats, c.write(w, to)
}

// copy writes a plain tensor row by row, several at a time where they keep
// their order.
func (v *Conversion) copy(w io.Writer, it *item) (gptq.Stats, error) {
	if kept(it) {
		return v.verbatim(w, it)
	}
	row := int(it.shape[0])
	rows := int(it.tensor().Elements()) / row
	size := it.plain.DType.Size()
	atOnce := max(1, chunk/(row*size))
	if it.rows != nil {
		atOnce = 1
	}
	data := v.c.Data(it.plain)
	raw := make([]byte, min(atOnce, rows)*row*size)
	floats := make([]float32, 0, len(raw)/size)
	c := quantiser{it: it}
	for i := 0; i < rows; i += atOnce {
		from := i
		if it.rows != nil {
			from = it.rows(i)
		}
		part := raw[:min(atOnce, rows-i)*row*size]
		if _, err := data.ReadAt(part, int64(from)*int64(row*size)); err != nil && !errors.Is(err, io.EOF) {
			return c.stats, fmt.Errorf("%s: %w", it.module, err)
		}
		var err error
		if floats, err = safetensors.Floats(floats[:0], part, it.plain.DType); err != nil {
			return c.stats, err
		}
		if err := c.write(w, floats); err != nil {
			return c.stats, err
		}
	}
	return c.stats, nil
}

// kept says whether a plain tensor's bytes are what will be written.
func kept(it *item) bool {
	same := map[safetensors.DType]gguf.Type{safetensors.F32: gguf.F32, safetensors.F16: gguf.F16, safetensors.BF16: gguf.BF16}
	t, ok := same[it.plain.DType]
	return ok && t == it.as && it.rows == nil && it.shift == 0
}

// verbatim copies a plain tensor's bytes and looks only for what is no number.
func (v *Conversion) verbatim(w io.Writer, it *item) (gptq.Stats, error) {
	data := v.c.Data(it.plain)
	raw := make([]byte, min(chunk, data.Size()))
	size := it.plain.DType.Size()
	// The bits of a float less its sign are ordered as its magnitude is.
	var top uint32
	for at := int64(0); at < data.Size(); at += int64(len(raw)) {
		part := raw[:min(int64(len(raw)), data.Size()-at)]
		if _, err := data.ReadAt(part, at); err != nil && !errors.Is(err, io.EOF) {
			return gptq.Stats{}, fmt.Errorf("%s: %w", it.module, err)
		}
		if size == 2 {
			for i := 0; i < len(part); i += 2 {
				top = max(top, uint32(binary.LittleEndian.Uint16(part[i:]))&0x7fff)
			}
		} else {
			for i := 0; i < len(part); i += 4 {
				top = max(top, binary.LittleEndian.Uint32(part[i:])&0x7fffffff)
			}
		}
		if _, err := w.Write(part); err != nil {
			return gptq.Stats{}, err
		}
	}
	largest, err := safetensors.Floats(nil, binary.LittleEndian.AppendUint32(nil, top)[:size], it.plain.DType)
	if err != nil {
		return gptq.Stats{}, err
	}
	if f := float64(largest[0]); math.IsNaN(f) || math.IsInf(f, 0) {
		return gptq.Stats{}, fmt.Errorf("%s holds %v; the checkpoint is damaged", it.module, f)
	}
	return gptq.Stats{MaxWeight: float64(largest[0])}, nil
}

// quantiser writes floats as an item's type and measures what that costs.
type quantiser struct {
	it    *item
	stats gptq.Stats
	dst   []byte
	back  []float32
}

func (c *quantiser) write(w io.Writer, floats []float32) error {
	if c.it.shift != 0 {
		for i := range floats {
			floats[i] += c.it.shift
		}
	}
	for _, f := range floats {
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return fmt.Errorf("%s holds %v; the checkpoint is damaged", c.it.module, f)
		}
	}
	var err error
	if c.dst, err = gguf.Quantize(c.dst[:0], floats, c.it.as); err != nil {
		return err
	}
	if c.back, err = gguf.Dequantize(c.back[:0], c.dst, c.it.as); err != nil {
		return err
	}
	for i, f := range floats {
		got := float64(c.back[i])
		if math.IsInf(got, 0) {
			return fmt.Errorf("%s holds %v, which %s can't; leave its type as it is", c.it.module, f, c.it.as)
		}
		c.stats.MaxWeight = max(c.stats.MaxWeight, math.Abs(float64(f)))
		c.stats.MaxError = max(c.stats.MaxError, math.Abs(float64(f)-got))
	}
	_, err = w.Write(c.dst)
	return err
}

// position writes to a file at a place of its own; while skip is set it only
// moves on.
type position struct {
	f    *os.File
	at   int64
	skip bool
}

func (p *position) Write(b []byte) (int, error) {
	n := len(b)
	if !p.skip {
		var err error
		if n, err = p.f.WriteAt(b, p.at); err != nil {
			return n, err
		}
	}
	p.at += int64(n)
	return n, nil
}

// counter hashes and counts what passes, and refuses it when ctx has ended.
type counter struct {
	ctx      context.Context
	w        io.Writer
	hash     hash.Hash
	n, total int64
	progress func(done, total int64)
}

func (c *counter) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(b)
	c.hash.Write(b[:n])
	c.n += int64(n)
	c.progress(c.n, c.total)
	return n, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
