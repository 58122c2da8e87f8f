// Package safetensors reads and writes safetensors, the file format in which
// Hugging Face keeps weights, in one file or in shards with an index.
//
//	length of the header u64, little endian
//	header: JSON { name: { dtype, shape, data_offsets: [begin, end] }, …, "__metadata__": { text: text } }
//	data: the tensors' bytes, row by row, side by side
//
// Offsets count from the end of the header. As the reference implementation
// does, the reader refuses a file whose tensors overlap, leave a gap or do not
// reach its end, and a name that comes twice. It holds the header and never a
// tensor's data.
//
// Source: README and safetensors/src/tensor.rs of github.com/huggingface/safetensors.
package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strings"

	"rxedge/inference/gguf"
)

// DType is the form of a tensor's elements, as the header spells it.
type DType string

// The dtypes that are read. The format knows smaller floats (F8_E4M3, …) that
// are refused by name.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U64  DType = "U64"
	U32  DType = "U32"
	U16  DType = "U16"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// Size of an element in bytes, 0 for a dtype that is not read.
func (d DType) Size() int {
	switch d {
	case F64, I64, U64:
		return 8
	case F32, I32, U32:
		return 4
	case F16, BF16, I16, U16:
		return 2
	case I8, U8, Bool:
		return 1
	}
	return 0
}

// Float says whether the elements are floating-point numbers.
func (d DType) Float() bool { return d == F64 || d == F32 || d == F16 || d == BF16 }

const (
	lengthBytes = 8
	// maxHeader is the reference implementation's limit, in bytes.
	maxHeader  = 100_000_000
	maxTensors = 1 << 20
	maxName    = 1 << 12 // bytes
	maxDims    = 16
	metaKey    = "__metadata__"
)

// Tensor says what a tensor looks like and where it lies.
type Tensor struct {
	Name  string
	DType DType
	// Shape, the outermost dimension first; none at all is one element. The
	// elements of the last dimension lie side by side.
	Shape []uint64

	file       int   // index into Checkpoint.files
	begin, end int64 // in that file's data, bytes
}

// Elements is the product of the shape.
func (t Tensor) Elements() uint64 { return uint64(t.Bytes()) / uint64(max(t.DType.Size(), 1)) }

// Bytes is the length of the data of a tensor that a Checkpoint returned.
func (t Tensor) Bytes() int64 { return t.end - t.begin }

// ShapeText writes the shape as people do: [2 3].
func (t Tensor) ShapeText() string { return fmt.Sprint(t.Shape) }

// bytesOf is the length of the data that dtype and shape call for, or what is
// wrong with them.
func bytesOf(d DType, shape []uint64) (int64, string) {
	size := d.Size()
	if size == 0 {
		return 0, fmt.Sprintf("the dtype %.40q is not one that is read", string(d))
	}
	if len(shape) > maxDims {
		return 0, fmt.Sprintf("it has %d dimensions, more than %d", len(shape), maxDims)
	}
	n, over := uint64(size), false
	for _, dim := range shape {
		var high uint64
		high, n = bits.Mul64(n, dim)
		over = over || high != 0 || n > math.MaxInt64
	}
	if over {
		// A later dimension of 0 makes nothing of it, and is no honest shape.
		return 0, fmt.Sprintf("its shape %v is too large", shape)
	}
	return int64(n), ""
}

// FormatError says what is wrong with a file.
type FormatError struct {
	File   string // base name; "" where the file has no name
	Tensor string // "" where it is about the file
	Reason string
}

func (e *FormatError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	b.WriteString("not a usable safetensors file: ")
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %.200q: ", e.Tensor)
	}
	b.WriteString(e.Reason)
	return b.String()
}

// Floats appends the numbers that src holds in the form d, a float, to dst.
// F64 is rounded to float32.
func Floats(dst []float32, src []byte, d DType) ([]float32, error) {
	size := d.Size()
	if !d.Float() || len(src)%size != 0 {
		return nil, fmt.Errorf("safetensors: %d bytes of %s are no floating-point numbers", len(src), d)
	}
	for ; len(src) > 0; src = src[size:] {
		switch d {
		case F64:
			dst = append(dst, float32(math.Float64frombits(binary.LittleEndian.Uint64(src))))
		case F32:
			dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(src)))
		case F16:
			dst = append(dst, gguf.Float16ToFloat32(binary.LittleEndian.Uint16(src)))
		case BF16:
			dst = append(dst, gguf.BFloat16ToFloat32(binary.LittleEndian.Uint16(src)))
		}
	}
	return dst, nil
}

// Ints appends the integers that src holds in the form d to dst. A U64 over the
// range of int64 is an error.
func Ints(dst []int64, src []byte, d DType) ([]int64, error) {
	size := d.Size()
	if size == 0 || d.Float() || len(src)%size != 0 {
		return nil, fmt.Errorf("safetensors: %d bytes of %s are no integers", len(src), d)
	}
	for ; len(src) > 0; src = src[size:] {
		var v int64
		switch d {
		case I64:
			v = int64(binary.LittleEndian.Uint64(src))
		case U64:
			u := binary.LittleEndian.Uint64(src)
			if u > math.MaxInt64 {
				return nil, fmt.Errorf("safetensors: %d is too large", u)
			}
			v = int64(u)
		case I32:
			v = int64(int32(binary.LittleEndian.Uint32(src)))
		case U32:
			v = int64(binary.LittleEndian.Uint32(src))
		case I16:
			v = int64(int16(binary.LittleEndian.Uint16(src)))
		case U16:
			v = int64(binary.LittleEndian.Uint16(src))
		case I8:
			v = int64(int8(src[0]))
		default: // U8, Bool
			v = int64(src[0])
		}
		dst = append(dst, v)
	}
	return dst, nil
}

// Data reads the bytes of one of the checkpoint's tensors.
func (c *Checkpoint) Data(t Tensor) *io.SectionReader {
	f := c.files[t.file]
	return io.NewSectionReader(f.r, f.data+t.begin, t.end-t.begin)
}

// ReadAll reads a whole tensor, for those that are small.
func (c *Checkpoint) ReadAll(t Tensor) ([]byte, error) {
	b := make([]byte, t.Bytes())
	if _, err := io.ReadFull(c.Data(t), b); err != nil {
		return nil, fmt.Errorf("%s: tensor %q: %w", c.files[t.file].name, t.Name, err)
	}
	return b, nil
}
