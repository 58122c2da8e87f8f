// Package gptqtest makes GPTQ and AWQ matrices for tests. It packs as the
// originals' Python does, word by word, and shares no code with package gptq.
package gptqtest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"rxedge/inference/gguf"
	"rxedge/inference/safetensors"
)

// Kind is a way to quantise.
type Kind struct {
	AWQ       bool
	Bits      int
	GroupSize int // inputs; -1: all
	Asym      bool
	DescAct   bool
	V2        bool
}

// String names the kind, for subtests.
func (k Kind) String() string {
	s := fmt.Sprintf("%d-bit group %d", k.Bits, k.GroupSize)
	for _, p := range []struct {
		on   bool
		text string
	}{{k.AWQ, " awq"}, {!k.AWQ && !k.V2, " gptq"}, {k.V2, " gptq_v2"}, {k.Asym, " asymmetric"}, {!k.Asym, " symmetric"}, {k.DescAct, " act-order"}} {
		if p.on {
			s += p.text
		}
	}
	return s
}

// Config is what config.json says of the kind under quantization_config.
func (k Kind) Config() map[string]any {
	if k.AWQ {
		return map[string]any{"quant_method": "awq", "bits": k.Bits, "group_size": k.GroupSize, "zero_point": true, "version": "gemm"}
	}
	format := "gptq"
	if k.V2 {
		format = "gptq_v2"
	}
	return map[string]any{"quant_method": "gptq", "bits": k.Bits, "group_size": k.GroupSize, "sym": !k.Asym, "desc_act": k.DescAct, "checkpoint_format": format, "damp_percent": 0.01, "true_sequential": true}
}

// Matrix is a quantised matrix.
type Matrix struct {
	Kind    Kind
	In, Out int
	Q       []uint8  // [in][out]
	Zeros   []uint8  // [groups][out]
	Scales  []uint16 // [groups][out], half precision
	Group   []int    // of each input
}

// Groups is the number of groups.
func (m *Matrix) Groups() int { return len(m.Scales) / m.Out }

// Quantise rounds the weights, [out][in], to the kind.
func Quantise(k Kind, w []float32, in, out int, r *rand.Rand) *Matrix {
	size := k.GroupSize
	if size == -1 || size > in {
		size = in
	}
	groups := (in + size - 1) / size
	m := &Matrix{Kind: k, In: in, Out: out, Q: make([]uint8, in*out), Zeros: make([]uint8, groups*out), Scales: make([]uint16, groups*out), Group: make([]int, in)}
	order := make([]int, in)
	for i := range order {
		order[i] = i
	}
	if k.DescAct {
		order = r.Perm(in)
	}
	for i, at := range order {
		m.Group[at] = i / size
	}
	top := float64(int(1)<<k.Bits - 1)
	for o := range out {
		row := w[o*in : (o+1)*in]
		low, high := make([]float64, groups), make([]float64, groups)
		for i, v := range row {
			g := m.Group[i]
			low[g], high[g] = min(low[g], float64(v)), max(high[g], float64(v))
		}
		for g := range groups {
			if low[g] == 0 && high[g] == 0 {
				low[g], high[g] = -1, 1
			}
			scale, zero := 2*max(-low[g], high[g])/top, (top+1)/2
			if k.Asym {
				scale = (high[g] - low[g]) / top
				zero = math.Round(-low[g] / scale)
			}
			m.Scales[g*out+o] = gguf.Float16(float32(scale))
			m.Zeros[g*out+o] = uint8(zero)
		}
		for i, v := range row {
			at := m.Group[i]*out + o
			scale := float64(gguf.Float16ToFloat32(m.Scales[at]))
			q := math.Round(float64(v)/scale) + float64(m.Zeros[at])
			m.Q[i*out+o] = uint8(max(0, min(top, q)))
		}
	}
	return m
}

// Dequantise returns the weights that the matrix stands for, [out][in].
func (m *Matrix) Dequantise() []float32 {
	w := make([]float32, m.In*m.Out)
	for o := range m.Out {
		for i := range m.In {
			at := m.Group[i]*m.Out + o
			w[o*m.In+i] = gguf.Float16ToFloat32(m.Scales[at]) * float32(int(m.Q[i*m.Out+o])-int(m.Zeros[at]))
		}
	}
	return w
}

// Tensors are the tensors of the matrix under the module's name, and their data.
func (m *Matrix) Tensors(module string) ([]safetensors.Tensor, map[string][]byte) {
	groups := m.Groups()
	zeros := make([]uint32, groups*m.Out)
	for i, z := range m.Zeros {
		zeros[i] = uint32(z)
		if !m.Kind.AWQ && !m.Kind.V2 {
			zeros[i] = (zeros[i] - 1) & (1<<m.Kind.Bits - 1)
		}
	}
	q := make([]uint32, len(m.Q))
	for i, v := range m.Q {
		q[i] = uint32(v)
	}
	data := make(map[string][]byte)
	var tensors []safetensors.Tensor
	add := func(name string, d safetensors.DType, b []byte, shape ...int) {
		t := safetensors.Tensor{Name: module + name, DType: d}
		for _, n := range shape {
			t.Shape = append(t.Shape, uint64(n))
		}
		tensors = append(tensors, t)
		data[t.Name] = b
	}
	if m.Kind.AWQ {
		add(".qweight", safetensors.I32, awqColumns(q, m.In, m.Out), m.In, m.Out/8)
		add(".qzeros", safetensors.I32, awqColumns(zeros, groups, m.Out), groups, m.Out/8)
	} else {
		add(".qweight", safetensors.I32, packRows(q, m.In, m.Out, m.Kind.Bits), m.In*m.Kind.Bits/32, m.Out)
		add(".qzeros", safetensors.I32, transpose(packRows(transposed(zeros, groups, m.Out), m.Out, groups, m.Kind.Bits), m.Out*m.Kind.Bits/32, groups), groups, m.Out*m.Kind.Bits/32)
	}
	var scales []byte
	for _, s := range m.Scales {
		scales = binary.LittleEndian.AppendUint16(scales, s)
	}
	add(".scales", safetensors.F16, scales, groups, m.Out)
	if !m.Kind.AWQ {
		var index []byte
		for _, g := range m.Group {
			index = binary.LittleEndian.AppendUint32(index, uint32(g))
		}
		add(".g_idx", safetensors.I32, index, m.In)
	}
	return tensors, data
}

// packRows packs the rows of v, [rows][columns], as AutoGPTQ's pack does.
func packRows(v []uint32, rows, columns, bits int) []byte {
	packed := make([]uint32, rows*bits/32*columns)
	for c := range columns {
		at := func(i int) uint32 { return v[i*columns+c] }
		word := func(r int) *uint32 { return &packed[r*columns+c] }
		i, row := 0, 0
		for row < rows*bits/32 {
			if bits != 3 {
				for j := i; j < i+32/bits; j++ {
					*word(row) |= at(j) << (bits * (j - i))
				}
				i += 32 / bits
				row++
				continue
			}
			for j := i; j < i+10; j++ {
				*word(row) |= at(j) << (3 * (j - i))
			}
			i += 10
			*word(row) |= at(i) << 30
			row++
			*word(row) |= at(i) >> 2 & 1
			i++
			for j := i; j < i+10; j++ {
				*word(row) |= at(j) << (3*(j-i) + 1)
			}
			i += 10
			*word(row) |= at(i) << 31
			row++
			*word(row) |= at(i) >> 1 & 3
			i++
			for j := i; j < i+10; j++ {
				*word(row) |= at(j) << (3*(j-i) + 2)
			}
			i += 10
			row++
		}
	}
	return words(packed)
}

// awqColumns packs the columns of v, [rows][columns], as AutoAWQ's gemm does.
func awqColumns(v []uint32, rows, columns int) []byte {
	orderMap := []int{0, 2, 4, 6, 1, 3, 5, 7}
	packed := make([]uint32, rows*columns/8)
	for r := range rows {
		for c := range columns / 8 {
			for i := range 8 {
				packed[r*columns/8+c] |= v[r*columns+c*8+orderMap[i]] << (i * 4)
			}
		}
	}
	return words(packed)
}

func transposed(v []uint32, rows, columns int) []uint32 {
	out := make([]uint32, len(v))
	for r := range rows {
		for c := range columns {
			out[c*rows+r] = v[r*columns+c]
		}
	}
	return out
}

func transpose(b []byte, rows, columns int) []byte {
	v := make([]uint32, len(b)/4)
	for i := range v {
		v[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return words(transposed(v, rows, columns))
}

func words(v []uint32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, w := range v {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

// Kinds are all the kinds that an import must know, for matrices of any size.
func Kinds() []Kind {
	var out []Kind
	for _, bits := range []int{2, 3, 4, 8} {
		for _, size := range []int{-1, 32, 64, 128} {
			for _, asym := range []bool{false, true} {
				for _, act := range []bool{false, true} {
					for _, v2 := range []bool{false, true} {
						out = append(out, Kind{Bits: bits, GroupSize: size, Asym: asym, DescAct: act, V2: v2})
					}
				}
			}
		}
	}
	for _, size := range []int{-1, 32, 64, 128} {
		for _, asym := range []bool{false, true} {
			out = append(out, Kind{AWQ: true, Bits: 4, GroupSize: size, Asym: asym})
		}
	}
	return out
}
