package gguf

import (
	"fmt"
	"math/bits"
)

// Type is the form in which ggml keeps the elements of a tensor. The numbers
// are those of ggml's enum ggml_type.
type Type uint32

// The types of ggml as of llama.cpp v0.5.0.
const (
	F32     Type = 0
	F16     Type = 1
	Q4_0    Type = 2
	Q4_1    Type = 3
	Q5_0    Type = 6
	Q5_1    Type = 7
	Q8_0    Type = 8
	Q8_1    Type = 9
	Q2_K    Type = 10
	Q3_K    Type = 11
	Q4_K    Type = 12
	Q5_K    Type = 13
	Q6_K    Type = 14
	Q8_K    Type = 15
	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	I8      Type = 24
	I16     Type = 25
	I32     Type = 26
	I64     Type = 27
	F64     Type = 28
	IQ1_M   Type = 29
	BF16    Type = 30
	TQ1_0   Type = 34
	TQ2_0   Type = 35
	MXFP4   Type = 39
	NVFP4   Type = 40
	Q1_0    Type = 41
	Q2_0    Type = 42
)

type layout struct {
	name  string
	block uint64 // elements in a block
	bytes uint64 // bytes a block takes
}

// Block sizes as ggml_blck_size and ggml_type_size give them.
var layouts = map[Type]layout{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2}, F64: {"F64", 1, 8},
	I8: {"I8", 1, 1}, I16: {"I16", 1, 2}, I32: {"I32", 1, 4}, I64: {"I64", 1, 8},
	Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20}, Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24},
	Q8_0: {"Q8_0", 32, 34}, Q8_1: {"Q8_1", 32, 36},
	Q2_K: {"Q2_K", 256, 84}, Q3_K: {"Q3_K", 256, 110}, Q4_K: {"Q4_K", 256, 144},
	Q5_K: {"Q5_K", 256, 176}, Q6_K: {"Q6_K", 256, 210}, Q8_K: {"Q8_K", 256, 292},
	IQ2_XXS: {"IQ2_XXS", 256, 66}, IQ2_XS: {"IQ2_XS", 256, 74}, IQ3_XXS: {"IQ3_XXS", 256, 98},
	IQ1_S: {"IQ1_S", 256, 50}, IQ4_NL: {"IQ4_NL", 32, 18}, IQ3_S: {"IQ3_S", 256, 110},
	IQ2_S: {"IQ2_S", 256, 82}, IQ4_XS: {"IQ4_XS", 256, 136}, IQ1_M: {"IQ1_M", 256, 56},
	TQ1_0: {"TQ1_0", 256, 54}, TQ2_0: {"TQ2_0", 256, 66},
	MXFP4: {"MXFP4", 32, 17}, NVFP4: {"NVFP4", 64, 36}, Q1_0: {"Q1_0", 128, 18}, Q2_0: {"Q2_0", 64, 18},
}

// Known says whether ggml has such a type.
func (t Type) Known() bool { _, ok := layouts[t]; return ok }

// String is the name as people write it, such as Q4_K.
func (t Type) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("ggml type %d", uint32(t))
}

// BlockSize is the number of elements in a block, 0 for an unknown type.
func (t Type) BlockSize() int { return int(layouts[t].block) }

// BlockBytes is the number of bytes a block takes, 0 for an unknown type.
func (t Type) BlockBytes() int { return int(layouts[t].bytes) }

// Tensor names a tensor and says what it looks like and where it lies.
type Tensor struct {
	Name string
	// Shape in ggml's order: Shape[0] is the length of a row, whose elements
	// lie side by side. At most four dimensions; none at all is one element.
	Shape []uint64
	Type  Type
	// Offset in bytes from the start of the data section. The writer sets it.
	Offset uint64
}

// Elements is the product of the shape. It is right for every tensor that
// Read or NewWriter has passed; a wild shape wraps.
func (t Tensor) Elements() uint64 {
	n := uint64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes is the length of the tensor's data, without padding. The same caution
// as for Elements.
func (t Tensor) Bytes() uint64 {
	l, ok := layouts[t.Type]
	if !ok {
		return 0
	}
	return t.Elements() / l.block * l.bytes
}

const (
	maxDims       = 4  // GGML_MAX_DIMS
	maxTensorName = 63 // GGML_MAX_NAME less the closing zero
	maxDataBytes  = 1 << 46
)

// check says what is wrong with a tensor's name, type or shape, "" if nothing.
func (t Tensor) check() string {
	l, ok := layouts[t.Type]
	switch {
	case t.Name == "":
		return "the tensor has no name"
	case len(t.Name) > maxTensorName:
		return fmt.Sprintf("the tensor's name has %d bytes and ggml allows %d", len(t.Name), maxTensorName)
	case !ok:
		return fmt.Sprintf("its type, number %d, is unknown; a newer rxedge may read it", uint32(t.Type))
	case len(t.Shape) > maxDims:
		return fmt.Sprintf("it has %d dimensions and ggml allows %d", len(t.Shape), maxDims)
	}
	n := uint64(1)
	for i, d := range t.Shape {
		if d == 0 {
			return fmt.Sprintf("dimension %d is zero", i)
		}
		hi, lo := bits.Mul64(n, d)
		if hi != 0 || lo > maxDataBytes {
			return fmt.Sprintf("its shape %v is too large", t.Shape)
		}
		n = lo
	}
	row := uint64(1)
	if len(t.Shape) > 0 {
		row = t.Shape[0]
	}
	if row%l.block != 0 {
		return fmt.Sprintf("its rows of %d elements are no multiple of %s's block of %d", row, l.name, l.block)
	}
	if hi, lo := bits.Mul64(n/l.block, l.bytes); hi != 0 || lo > maxDataBytes {
		return fmt.Sprintf("its shape %v is too large", t.Shape)
	}
	return ""
}

func pad(n, alignment uint64) uint64 {
	return (n + alignment - 1) / alignment * alignment
}
