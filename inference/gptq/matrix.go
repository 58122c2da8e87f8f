package gptq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strings"

	"rxedge/inference/gguf"
	"rxedge/inference/safetensors"
)

// Matrix is one quantised matrix. Scales and zeros are in memory, the weights
// stay on disk. It is not for concurrent use.
type Matrix struct {
	In, Out int
	Bits    int

	name    string
	method  Method
	packed  *io.SectionReader
	columns int       // words in a row of packed
	groups  int       // rows of scales
	group   []int     // of each input
	scales  []float32 // [groups][out]
	zeros   []uint8   // [groups][out]
	order   []int     // the input that stands at each place; nil: its own
	strip   strip
}

// block is ggml's block of Q4_0, Q4_1 and Q8_0, in elements.
const block = 32

// awqPlace is the place in a word, lowest first, of each of its eight outputs.
var awqPlace = [8]int{0, 4, 1, 5, 2, 6, 3, 7}

// Has says whether the checkpoint holds the module's weights packed.
func Has(c *safetensors.Checkpoint, module string) bool {
	_, ok := c.Tensor(module + ".qweight")
	return ok
}

// Names are the tensors that a packed module may consist of.
func Names(module string) []string {
	return []string{module + ".qweight", module + ".qzeros", module + ".scales", module + ".g_idx"}
}

// Open reads all of a module's packed matrix but its weights. A tensor that is
// missing or does not fit in and out is an error that names both shapes.
func Open(c *safetensors.Checkpoint, config Config, module string, in, out int) (*Matrix, error) {
	m := &Matrix{In: in, Out: out, Bits: config.Bits, name: module, method: config.Method}
	find := func(suffix string, shape ...int) (safetensors.Tensor, error) {
		t, ok := c.Tensor(module + suffix)
		if !ok {
			return t, fmt.Errorf("the tensor %s%s is missing", module, suffix)
		}
		return t, checkShape(t, shape)
	}
	qweight, ok := c.Tensor(module + ".qweight")
	if !ok {
		return nil, fmt.Errorf("the tensor %s.qweight is missing", module)
	}
	if in < 1 || out < 1 {
		return nil, fmt.Errorf("%s: a matrix of %d inputs and %d outputs", module, in, out)
	}
	if config.Dynamic && config.Method == GPTQ && len(qweight.Shape) == 2 {
		if bits := qweight.Shape[0] * 32 / uint64(in); bits == 2 || bits == 3 || bits == 4 || bits == 8 {
			m.Bits = int(bits)
		}
	}
	rows := in
	if config.Method == AWQ {
		if out%8 != 0 {
			return nil, fmt.Errorf("%s has %d outputs, no multiple of AWQ's 8 in a word", module, out)
		}
		m.columns = out / 8
	} else {
		if in*m.Bits%32 != 0 || out*m.Bits%32 != 0 {
			return nil, fmt.Errorf("%s: %d inputs and %d outputs of %d bits do not fill words of 32 bits", module, in, out, m.Bits)
		}
		rows, m.columns = in*m.Bits/32, out
	}
	qweight, err := find(".qweight", rows, m.columns)
	if err != nil {
		return nil, err
	}
	if qweight.DType != safetensors.I32 {
		return nil, fmt.Errorf("%s.qweight is of the dtype %s; I32 is read", module, qweight.DType)
	}
	m.packed = c.Data(qweight)
	size := config.GroupSize
	if size == -1 || size > in {
		size = in
	}
	m.groups = (in + size - 1) / size
	if t, ok := c.Tensor(module + ".scales"); ok && config.Dynamic && len(t.Shape) == 2 && t.Shape[0] >= 1 && t.Shape[0] <= uint64(in) {
		m.groups = int(t.Shape[0])
		size = (in + m.groups - 1) / m.groups
	}
	scales, err := find(".scales", m.groups, out)
	if err != nil {
		return nil, err
	}
	zeros, err := find(".qzeros", m.groups, out*m.Bits/32)
	if err != nil {
		return nil, err
	}
	if zeros.DType != safetensors.I32 {
		return nil, fmt.Errorf("%s.qzeros is of the dtype %s; I32 is read", module, zeros.DType)
	}
	if err := m.readScales(c, scales); err != nil {
		return nil, err
	}
	if err := m.readZeros(c, zeros, config); err != nil {
		return nil, err
	}
	return m, m.readGroups(c, size)
}

func checkShape(t safetensors.Tensor, want []int) error {
	ok := len(t.Shape) == len(want)
	for i := range want {
		ok = ok && t.Shape[i] == uint64(want[i])
	}
	if !ok {
		return fmt.Errorf("the tensor %s has the shape %v and should have %v", t.Name, t.Shape, want)
	}
	return nil
}

func (m *Matrix) readScales(c *safetensors.Checkpoint, t safetensors.Tensor) error {
	if !t.DType.Float() {
		return fmt.Errorf("%s is of the dtype %s, no floating-point one", t.Name, t.DType)
	}
	b, err := c.ReadAll(t)
	if err != nil {
		return err
	}
	if m.scales, err = safetensors.Floats(make([]float32, 0, m.groups*m.Out), b, t.DType); err != nil {
		return err
	}
	for i, s := range m.scales {
		if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%s: the scale of group %d, output %d is %v", t.Name, i/m.Out, i%m.Out, s)
		}
	}
	return nil
}

func (m *Matrix) readZeros(c *safetensors.Checkpoint, t safetensors.Tensor, config Config) error {
	b, err := c.ReadAll(t)
	if err != nil {
		return err
	}
	words := make([]uint32, len(b)/4)
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	perRow := m.Out * m.Bits / 32
	mask := uint8(1<<m.Bits - 1)
	m.zeros = make([]uint8, m.groups*m.Out)
	for g := range m.groups {
		row, out := words[g*perRow:(g+1)*perRow], m.zeros[g*m.Out:(g+1)*m.Out]
		if m.method == AWQ {
			for o := range out {
				out[o] = uint8(row[o/8]>>(4*awqPlace[o%8])) & mask
			}
			continue
		}
		for o := range out {
			out[o] = bitsAt(row, o*m.Bits, mask)
			if !config.V2 {
				out[o] = (out[o] + 1) & mask
			}
		}
	}
	return nil
}

// bitsAt takes the value that begins at the bit of a stream of words.
func bitsAt(words []uint32, bit int, mask uint8) uint8 {
	v := uint64(words[bit/32])
	if bit%32 > 24 && bit/32+1 < len(words) {
		v |= uint64(words[bit/32+1]) << 32
	}
	return uint8(v>>(bit%32)) & mask
}

func (m *Matrix) readGroups(c *safetensors.Checkpoint, size int) error {
	m.group = make([]int, m.In)
	t, ok := c.Tensor(m.name + ".g_idx")
	if !ok || m.method == AWQ {
		for i := range m.group {
			m.group[i] = i / size
		}
		return nil
	}
	if err := checkShape(t, []int{m.In}); err != nil {
		return err
	}
	b, err := c.ReadAll(t)
	if err != nil {
		return err
	}
	indices, err := safetensors.Ints(nil, b, t.DType)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	for i, g := range indices {
		if g < 0 || g >= int64(m.groups) {
			return fmt.Errorf("%s: input %d belongs to group %d, and there are %d groups", t.Name, i, g, m.groups)
		}
		m.group[i] = int(g)
	}
	return nil
}

// whole says whether every block's inputs belong to one group.
func (m *Matrix) whole() bool {
	for i := range m.In {
		if i%block != 0 && m.group[m.at(i)] != m.group[m.at(i-1)] {
			return false
		}
	}
	return m.In%block == 0
}

// at is the input that stands at place i.
func (m *Matrix) at(i int) int {
	if m.order == nil {
		return i
	}
	return m.order[i]
}

// Mend returns an order of the inputs in which every block's inputs belong to
// one group, or nil where they do already or no order can bring it about. Where
// the caller can put the inputs in that order (because it has a hold of what
// makes them), Reorder makes act-order harmless.
func (m *Matrix) Mend() []int {
	if m.whole() {
		return nil
	}
	order := make([]int, m.In)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return m.group[order[a]] < m.group[order[b]] })
	mended := *m
	mended.order = order
	if !mended.whole() {
		return nil
	}
	return order
}

// Reorder makes the matrix take its inputs in the order given, a permutation.
func (m *Matrix) Reorder(order []int) error {
	seen := make([]bool, m.In)
	for _, i := range order {
		if i < 0 || i >= m.In || seen[i] {
			return errors.New("gptq: the order is no permutation of the inputs")
		}
		seen[i] = true
	}
	if len(order) != m.In {
		return errors.New("gptq: the order is no permutation of the inputs")
	}
	m.order = slices.Clone(order)
	return nil
}

// Plan is how a matrix will be written.
type Plan struct {
	Type gguf.Type
	// Exact: every weight is stored as it is.
	Exact bool
	// Note says in words why it is this type.
	Note string
}

// Plan finds the ggml type that holds the matrix best.
func (m *Matrix) Plan() Plan {
	if m.In%block != 0 {
		return Plan{Type: gguf.F16, Note: fmt.Sprintf("rows of %d are no multiple of the block of %d: dequantised", m.In, block)}
	}
	if !m.whole() {
		return Plan{Type: gguf.Q8_0, Note: "act-order breaks the blocks of 32: dequantised"}
	}
	exact, fits := true, true // the scales in half precision, and m of Q4_1
	low, high := m.zeros[0], m.zeros[0]
	for i, z := range m.zeros {
		low, high = min(low, z), max(high, z)
		s := m.scales[i]
		h := gguf.Float16ToFloat32(gguf.Float16(s))
		exact = exact && h == s
		fits = fits && !math.IsInf(float64(h), 0) && !math.IsInf(float64(gguf.Float16ToFloat32(gguf.Float16(-s*float32(z)))), 0)
	}
	if !fits {
		return Plan{Type: gguf.Q8_0, Note: "scales that half precision can't hold: dequantised"}
	}
	top := uint8(1<<m.Bits - 1)
	p := Plan{Exact: exact}
	switch {
	case high <= 8 && top-low <= 7:
		p.Type = gguf.Q4_0
		if m.Bits < 4 {
			p.Note = fmt.Sprintf("%d-bit weights in 4-bit blocks", m.Bits)
		}
	case m.Bits == 4:
		p.Type, p.Exact = gguf.Q4_1, false
		p.Note = "asymmetric: offsets rounded to half precision"
	case low == 128 && high == 128:
		p.Type = gguf.Q8_0
	default:
		p.Type, p.Exact = gguf.Q8_0, false
		p.Note = "asymmetric 8-bit: blocks that do not fit are dequantised"
	}
	if !exact {
		p.Exact = false
		p.Note = strings.TrimPrefix(p.Note+"; scales rounded to half precision", "; ")
	}
	return p
}

// PackedBytes is the size of the packed weights on disk.
func (m *Matrix) PackedBytes() int64 { return m.packed.Size() }
