package gptq

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"rxedge/inference/gguf"
	"rxedge/inference/gptq/gptqtest"
	"rxedge/inference/safetensors"
)

// checkpoint holds the matrix under the name "m"; change, which may be nil, may
// alter its tensors.
func checkpoint(t testing.TB, m *gptqtest.Matrix, change func([]safetensors.Tensor, map[string][]byte) []safetensors.Tensor) *safetensors.Checkpoint {
	t.Helper()
	tensors, data := m.Tensors("m")
	if change != nil {
		tensors = change(tensors, data)
	}
	var b bytes.Buffer
	w, err := safetensors.NewWriter(&b, nil, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range tensors {
		if err := w.WriteTensor(tensor.Name, bytes.NewReader(data[tensor.Name])); err != nil {
			t.Fatal(err)
		}
	}
	c, err := safetensors.Read(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func config(t testing.TB, k gptqtest.Kind) Config {
	t.Helper()
	b, err := json.Marshal(k.Config())
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func random(in, out int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	w := make([]float32, in*out)
	for i := range w {
		w[i] = float32(r.NormFloat64()*0.05 + 0.01)
	}
	return w
}

// Every kind: the blocks written, read by ggml's formulas, are the weights that
// the checkpoint stands for; exactly where the plan says so, and as far off as
// Stats says where not.
func TestEveryKind(t *testing.T) {
	t.Parallel()
	const in, out = 256, 96
	for _, k := range gptqtest.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			q := gptqtest.Quantise(k, random(in, out, 7), in, out, rand.New(rand.NewPCG(3, 4)))
			m, err := Open(checkpoint(t, q, nil), config(t, k), "m", in, out)
			if err != nil {
				t.Fatal(err)
			}
			broken := k.DescAct && k.GroupSize != -1
			p := m.Plan()
			want, exact := gguf.Q8_0, k.Bits == 8 && !k.Asym
			switch {
			case broken:
				exact = false
			case k.Bits < 4 || k.Bits == 4 && !k.Asym:
				want, exact = gguf.Q4_0, true
			case k.Bits == 4:
				want = gguf.Q4_1
			}
			if p.Type != want || p.Exact != exact {
				t.Fatalf("plan %+v, want %s, exact %v", p, want, exact)
			}
			if (broken || !exact) != (p.Note != "") && k.Bits >= 4 {
				t.Errorf("note %q", p.Note)
			}
			check(t, m, q, p, nil, nil)
			if !broken {
				return
			}
			// Where the inputs can be put in order, act-order does no harm.
			order := m.Mend()
			if err := m.Reorder(order); err != nil {
				t.Fatal(err)
			}
			p = m.Plan()
			if k.Bits == 4 && !k.Asym && (p.Type != gguf.Q4_0 || !p.Exact) {
				t.Errorf("in order: %+v", p)
			}
			check(t, m, q, p, order, func(i int) int { return (i*5 + 3) % out })
		})
	}
}

func check(t *testing.T, m *Matrix, q *gptqtest.Matrix, p Plan, order []int, rows func(int) int) {
	t.Helper()
	var b bytes.Buffer
	stats, err := m.Write(&b, p, rows)
	if err != nil {
		t.Fatal(err)
	}
	got, err := gguf.Dequantize(nil, b.Bytes(), p.Type)
	if err != nil {
		t.Fatal(err)
	}
	weights := q.Dequantise()
	var off, top float64
	for o := range q.Out {
		from := o
		if rows != nil {
			from = rows(o)
		}
		again, err := m.Dequantize(from)
		if err != nil {
			t.Fatal(err)
		}
		for i := range q.In {
			at := i
			if order != nil {
				at = order[i]
			}
			want := weights[from*q.In+at]
			if again[i] != want {
				t.Fatalf("output %d, input %d dequantised to %v, not %v", from, at, again[i], want)
			}
			off = max(off, math.Abs(float64(want)-float64(got[o*q.In+i])))
			top = max(top, math.Abs(float64(want)))
		}
	}
	if p.Exact && off != 0 {
		t.Errorf("said to be exact, and off by %g", off)
	}
	// Q4_1's sum is rounded to float32 once more, here and in ggml.
	if math.Abs(off-stats.MaxError) > 1e-7*top || math.Abs(top-stats.MaxWeight) > 1e-7*top {
		t.Errorf("off by %g of at most %g; reported %g of %g", off, top, stats.MaxError, stats.MaxWeight)
	}
	if limit := map[gguf.Type]float64{gguf.Q4_0: 0, gguf.Q4_1: 1. / 1024, gguf.Q8_0: 1. / 220, gguf.F16: 1. / 2048}[p.Type]; off > limit*top {
		t.Errorf("%s is off by %g of at most %g", p.Type, off, top)
	}
}

// Symmetric 4-bit: the very nibbles and scales of the checkpoint.
func TestSymmetricFourBitIsBitExact(t *testing.T) {
	t.Parallel()
	const in, out = 128, 32
	for _, k := range []gptqtest.Kind{{Bits: 4, GroupSize: 32}, {Bits: 4, GroupSize: 64, V2: true}, {Bits: 4, GroupSize: 128}, {Bits: 4, GroupSize: -1}, {AWQ: true, Bits: 4, GroupSize: 64}} {
		q := gptqtest.Quantise(k, random(in, out, 9), in, out, nil)
		m, err := Open(checkpoint(t, q, nil), config(t, k), "m", in, out)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := m.Write(&b, m.Plan(), nil); err != nil {
			t.Fatal(err)
		}
		raw := b.Bytes()
		for o := range out {
			for first := 0; first < in; first += 32 {
				if d := binary.LittleEndian.Uint16(raw); d != q.Scales[q.Group[first]*out+o] {
					t.Fatalf("%s: output %d, input %d: the scale %x became %x", k, o, first, q.Scales[q.Group[first]*out+o], d)
				}
				for j := range 32 {
					n := raw[2+j%16] >> (j / 16 * 4) & 15
					if want := q.Q[(first+j)*out+o]; n != want {
						t.Fatalf("%s: output %d, input %d: %d became %d", k, o, first+j, want, n)
					}
				}
				raw = raw[18:]
			}
		}
		if len(raw) != 0 {
			t.Fatalf("%d bytes too many", len(raw))
		}
	}
}

// A word by hand: eight inputs of output 0 are 1…8, zero stored as 7.
func TestPackingByHand(t *testing.T) {
	t.Parallel()
	const in, out = 32, 8
	var qweight, scales []byte
	for r := range in / 8 {
		for o := range out {
			word := uint32(0x88888888) // all zero weights
			if r == 0 && o == 0 {
				word = 0x87654321
			}
			qweight = binary.LittleEndian.AppendUint32(qweight, word)
		}
	}
	for range out {
		scales = binary.LittleEndian.AppendUint16(scales, gguf.Float16(0.5))
	}
	tensors := []safetensors.Tensor{{Name: "m.qweight", DType: safetensors.I32, Shape: []uint64{4, 8}}, {Name: "m.qzeros", DType: safetensors.I32, Shape: []uint64{1, 1}}, {Name: "m.scales", DType: safetensors.F16, Shape: []uint64{1, 8}}}
	c := checkpoint(t, &gptqtest.Matrix{Kind: gptqtest.Kind{Bits: 4}, In: 0, Out: 1}, func(_ []safetensors.Tensor, data map[string][]byte) []safetensors.Tensor {
		data["m.qweight"], data["m.qzeros"], data["m.scales"] = qweight, []byte{0x77, 0x77, 0x77, 0x77}, scales
		return tensors
	})
	m, err := Open(c, Config{Method: GPTQ, Bits: 4, GroupSize: 32}, "m", in, out)
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.Dequantize(0)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(w[:9]); got != "[-3.5 -3 -2.5 -2 -1.5 -1 -0.5 0 0]" {
		t.Error(got)
	}
}

// More packed weights than a strip holds, and a row length that no block fits.
func TestStripsAndOddRows(t *testing.T) {
	t.Parallel()
	k := gptqtest.Kind{Bits: 4, GroupSize: -1}
	const in, out = 40, 64
	q := gptqtest.Quantise(k, random(in, out, 5), in, out, nil)
	m, err := Open(checkpoint(t, q, nil), config(t, k), "m", in, out)
	if err != nil {
		t.Fatal(err)
	}
	p := m.Plan()
	if p.Type != gguf.F16 {
		t.Errorf("%+v", p)
	}
	check(t, m, q, p, nil, nil)
}

func TestScales(t *testing.T) {
	t.Parallel()
	k := gptqtest.Kind{Bits: 4, GroupSize: 32}
	const in, out = 64, 8
	q := gptqtest.Quantise(k, random(in, out, 5), in, out, nil)
	with := func(set func(i int) float32) *safetensors.Checkpoint {
		return checkpoint(t, q, func(tensors []safetensors.Tensor, data map[string][]byte) []safetensors.Tensor {
			for i := range tensors {
				if tensors[i].Name == "m.scales" {
					tensors[i].DType = safetensors.F32
				}
			}
			data["m.scales"] = nil
			for i := range 2 * out {
				data["m.scales"] = binary.LittleEndian.AppendUint32(data["m.scales"], math.Float32bits(set(i)))
			}
			return tensors
		})
	}
	m, err := Open(with(func(i int) float32 { return 0.1 }), config(t, k), "m", in, out)
	if err != nil {
		t.Fatal(err)
	}
	if p := m.Plan(); p.Exact || p.Type != gguf.Q4_0 || !strings.Contains(p.Note, "rounded") {
		t.Errorf("a float32 scale: %+v", p)
	}
	if m, err = Open(with(func(i int) float32 { return 1e6 }), config(t, k), "m", in, out); err != nil {
		t.Fatal(err)
	}
	if p := m.Plan(); p.Type != gguf.Q8_0 || p.Exact {
		t.Errorf("a scale over half precision: %+v", p)
	} else {
		var b bytes.Buffer
		if stats, err := m.Write(&b, p, nil); err != nil || stats.MaxError > stats.MaxWeight/200 {
			t.Errorf("%+v, %v", stats, err)
		}
	}
	if _, err = Open(with(func(i int) float32 { return float32(math.NaN()) }), config(t, k), "m", in, out); err == nil || !strings.Contains(err.Error(), "group 0, output 0 is NaN") {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	k := gptqtest.Kind{Bits: 4, GroupSize: 32}
	const in, out = 64, 16
	q := gptqtest.Quantise(k, random(in, out, 5), in, out, nil)
	change := func(f func([]safetensors.Tensor, map[string][]byte) []safetensors.Tensor) *safetensors.Checkpoint {
		return checkpoint(t, q, f)
	}
	drop := func(name string) *safetensors.Checkpoint {
		return change(func(ts []safetensors.Tensor, _ map[string][]byte) []safetensors.Tensor {
			var out []safetensors.Tensor
			for _, t := range ts {
				if t.Name != name {
					out = append(out, t)
				}
			}
			return out
		})
	}
	whole := change(nil)
	c := config(t, k)
	for _, tc := range []struct {
		want    string
		c       *safetensors.Checkpoint
		config  Config
		in, out int
	}{
		{"m.qweight is missing", drop("m.qweight"), c, in, out},
		{"m.qzeros is missing", drop("m.qzeros"), c, in, out},
		{"m.scales is missing", drop("m.scales"), c, in, out},
		{"m.qweight has the shape [8 16] and should have [16 16]", whole, c, 128, out},
		{"m.qweight has the shape [8 16] and should have [8 8]", whole, c, in, 8},
		{"m.scales has the shape [2 16] and should have [4 16]", whole, Config{Method: GPTQ, Bits: 4, GroupSize: 16}, in, out},
		{"m.qweight has the shape [8 16] and should have [64 2]", whole, Config{Method: AWQ, Bits: 4, GroupSize: 32}, in, out},
		{"do not fill words", whole, c, 63, out},
		{"group 7, and there are 2", change(func(ts []safetensors.Tensor, data map[string][]byte) []safetensors.Tensor {
			data["m.g_idx"][4] = 7
			return ts
		}), c, in, out},
		{"belongs to group -1", change(func(ts []safetensors.Tensor, data map[string][]byte) []safetensors.Tensor {
			copy(data["m.g_idx"], []byte{255, 255, 255, 255})
			return ts
		}), c, in, out},
		{"dtype F32; I32", change(func(ts []safetensors.Tensor, _ map[string][]byte) []safetensors.Tensor {
			ts[0].DType = safetensors.F32
			return ts
		}), c, in, out},
	} {
		if _, err := Open(tc.c, tc.config, "m", tc.in, tc.out); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %q", err, tc.want)
		}
	}
	m, err := Open(whole, c, "m", in, out)
	if err != nil {
		t.Fatal(err)
	}
	if m.Mend() != nil {
		t.Error("an order for what is in order")
	}
	for _, order := range [][]int{{0}, make([]int, in), append(make([]int, in-1), in)} {
		if m.Reorder(order) == nil {
			t.Errorf("taken for a permutation: %v", order)
		}
	}
	if _, err := m.Write(&bytes.Buffer{}, m.Plan(), func(int) int { return out }); err == nil {
		t.Error("a row that is not there")
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Config{
		`{"bits":4,"group_size":128,"desc_act":true,"sym":true}`:                                             {Method: GPTQ, Bits: 4, GroupSize: 128, DescAct: true, Sym: true},
		`{"quant_method":"gptq","bits":3,"group_size":-1,"sym":false,"checkpoint_format":"gptq_v2"}`:         {Method: GPTQ, Bits: 3, GroupSize: -1, V2: true},
		`{"zero_point":true,"q_group_size":128,"w_bit":4,"version":"GEMM"}`:                                  {Method: AWQ, Bits: 4, GroupSize: 128, Sym: true},
		`{"quant_method":"awq","bits":4,"group_size":64,"version":"gemm","modules_to_not_convert":null}`:     {Method: AWQ, Bits: 4, GroupSize: 64, Sym: true},
		`{"quant_method":"gptq","bits":4,"group_size":32,"dynamic":{"+:.*down":{"bits":8}},"lm_head":false}`: {Method: GPTQ, Bits: 4, GroupSize: 32, Sym: true, Dynamic: true},
	} {
		if got, err := ParseConfig([]byte(in)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		`{"bits":5}`:                      `bits is "5"`,
		`{}`:                              `bits is "0"`,
		`{"quant_method":"bitsandbytes"}`: `quant_method is "bitsandbytes"`,
		`{"bits":4,"checkpoint_format":"marlin"}`:          `checkpoint_format is "marlin"`,
		`{"bits":4,"is_marlin_format":true}`:               `is_marlin_format`,
		`{"bits":4,"group_size":0}`:                        `group_size is "0"`,
		`{"quant_method":"awq","bits":4,"version":"gemv"}`: `version is "gemv"`,
		`{"quant_method":"awq","bits":8}`:                  `bits is "8"`,
		`{"bits":4,"pack_dtype":"int8"}`:                   `pack_dtype is "int8"`,
		`{"quant_method":"awq","bits":4,"desc_act":true}`:  `desc_act is "true"`,
		`[]`: "can't be read",
	} {
		if _, err := ParseConfig([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := gptqtest.Kind{Bits: 3, GroupSize: 32, Asym: true, DescAct: true}
	q := gptqtest.Quantise(k, random(64, 32, 5), 64, 32, rand.New(rand.NewPCG(1, 1)))
	_, data := q.Tensors("m")
	f.Add(data["m.qweight"], data["m.qzeros"], data["m.scales"], data["m.g_idx"], uint8(3), false)
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, uint8(8), true)
	f.Fuzz(func(t *testing.T, qweight, qzeros, scales, index []byte, bits uint8, awq bool) {
		c := checkpoint(t, q, func(ts []safetensors.Tensor, data map[string][]byte) []safetensors.Tensor {
			for i, b := range [][]byte{qweight, qzeros, scales, index} {
				n := 1
				for _, d := range ts[i].Shape {
					n *= int(d)
				}
				data[ts[i].Name] = append(bytes.Clone(b), make([]byte, n*ts[i].DType.Size())...)[:n*ts[i].DType.Size()]
			}
			return ts
		})
		config := Config{Method: GPTQ, Bits: int(bits), GroupSize: 32}
		if awq {
			config.Method = AWQ
		}
		m, err := Open(c, config, "m", 64, 32)
		if err != nil {
			return
		}
		p := m.Plan()
		var b bytes.Buffer
		if _, err := m.Write(&b, p, nil); err != nil {
			return
		}
		if b.Len() != 64*32/p.Type.BlockSize()*p.Type.BlockBytes() {
			t.Fatalf("%d bytes of %s", b.Len(), p.Type)
		}
	})
}
