package compress

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rxedge/inference/gguf"
)

// small writes a model of random weights of one type in two layers.
func small(t testing.TB, as gguf.Type, value func(name string, i int) float32) string {
	t.Helper()
	var m gguf.Metadata
	m.Set("general.architecture", "llama")
	m.Set("general.file_type", uint32(7))
	tensors := []gguf.Tensor{
		{Name: "token_embd.weight", Shape: []uint64{64, 10}, Type: as},
		{Name: "blk.0.attn_norm.weight", Shape: []uint64{64}, Type: gguf.F32},
		{Name: "blk.0.attn_q.weight", Shape: []uint64{64, 64}, Type: as},
		{Name: "blk.0.ffn_up.weight", Shape: []uint64{64, 96}, Type: as},
		{Name: "blk.1.attn_q.weight", Shape: []uint64{64, 64}, Type: as},
		{Name: "blk.1.attn_q.bias", Shape: []uint64{64}, Type: gguf.F32},
		{Name: "output.weight", Shape: []uint64{64, 10}, Type: as},
	}
	path := filepath.Join(t.TempDir(), "small.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := gguf.NewWriter(f, &m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, ten := range tensors {
		v := make([]float32, ten.Elements())
		for i := range v {
			v[i] = value(ten.Name, i)
		}
		b, err := gguf.Quantize(nil, v, ten.Type)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteTensor(ten.Name, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func random(seed uint64) func(string, int) float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(string, int) float32 { return float32(r.NormFloat64()) }
}

func numbers(t testing.TB, path, name string) []float32 {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ten, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	b, err := io.ReadAll(f.Data(ten))
	if err != nil {
		t.Fatal(err)
	}
	v, err := gguf.Dequantize(nil, b, ten.Type)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// byMagnitude is pruning as the definition says it: sort, and cut the first k.
func byMagnitude(v []float32, sparsity float64) []float32 {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := math.Abs(float64(v[i])), math.Abs(float64(v[j]))
		switch {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	out := slices.Clone(v)
	for _, i := range order[:int(math.Round(sparsity*float64(len(v))))] {
		out[i] = 0
	}
	return out
}

func TestPruneIsTheDefinition(t *testing.T) {
	t.Parallel()
	for _, as := range []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0, gguf.Q4_0, gguf.Q4_1} {
		for _, sparsity := range []float64{0.0001, 0.1, 0.3, 0.5, 0.999} {
			in := small(t, as, random(uint64(as)+1))
			out := filepath.Join(t.TempDir(), "pruned.gguf")
			var last, total int64
			rep, err := Prune(t.Context(), in, out, PruneOptions{Sparsity: sparsity, Progress: func(d, n int64) { last, total = d, n }})
			if err != nil {
				t.Fatal(err)
			}
			if last != total || total == 0 {
				t.Errorf("%s: progress ended at %d of %d", as, last, total)
			}
			if len(rep.Pruned) != 3 || rep.Untouched != 4 {
				t.Fatalf("%+v", rep)
			}
			for _, ts := range rep.Pruned {
				want, got := byMagnitude(numbers(t, in, ts.Tensor), sparsity), numbers(t, out, ts.Tensor)
				if pruned(as) == gguf.F16 { // what the matrix is kept as
					for i, v := range want {
						want[i] = gguf.Float16ToFloat32(gguf.Float16(v))
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s at %v: %s is not what sorting gives", as, sparsity, ts.Tensor)
				}
				if zeros := float64(countZeros(got)) / float64(len(got)); zeros != ts.After || ts.After < ts.Before || zeros < sparsity-1/float64(len(got)) {
					t.Errorf("%s at %v: %+v, counted %v", as, sparsity, ts, zeros)
				}
				if (ts.Converted != "") != (as == gguf.Q8_0 || as == gguf.Q4_0 || as == gguf.Q4_1) {
					t.Errorf("%s: converted %q", as, ts.Converted)
				}
			}
			for _, name := range []string{"token_embd.weight", "blk.0.attn_norm.weight", "blk.1.attn_q.bias", "output.weight"} {
				if !slices.Equal(numbers(t, in, name), numbers(t, out, name)) {
					t.Errorf("%s: %s was touched", as, name)
				}
			}
			if st, err := os.Stat(out); err != nil || st.Size() != rep.BytesAfter {
				t.Errorf("%d bytes said, %v, %v", rep.BytesAfter, st, err)
			}
		}
	}
}

// Equal magnitudes must not make more zeros than asked for, nor fewer.
func TestPruneTies(t *testing.T) {
	t.Parallel()
	in := small(t, gguf.F32, func(_ string, i int) float32 { return []float32{1, -1, 2, -2, 0}[i%5] })
	for _, sparsity := range []float64{0.1, 0.2, 0.25, 0.6, 0.61} {
		out := filepath.Join(t.TempDir(), "pruned.gguf")
		rep, err := Prune(t.Context(), in, out, PruneOptions{Sparsity: sparsity})
		if err != nil {
			t.Fatal(err)
		}
		for _, ts := range rep.Pruned {
			// A fifth was zero before.
			want := max(math.Round(sparsity*float64(ts.Elements)), math.Round(ts.Before*float64(ts.Elements)))
			if got := ts.After * float64(ts.Elements); math.Abs(got-want) > 1e-6 {
				t.Errorf("%v: %+v: %v zeros, want %v", sparsity, ts, got, want)
			}
			if got := numbers(t, out, ts.Tensor); !slices.Equal(got, byMagnitude(numbers(t, in, ts.Tensor), sparsity)) {
				t.Errorf("%v: %s", sparsity, ts.Tensor)
			}
		}
	}
}

func TestPruneLayers(t *testing.T) {
	t.Parallel()
	in := small(t, gguf.F32, random(3))
	layers, err := ParseLayers("1")
	if err != nil {
		t.Fatal(err)
	}
	rep, err := Prune(t.Context(), in, filepath.Join(t.TempDir(), "p.gguf"), PruneOptions{Sparsity: 0.5, Layers: layers})
	if err != nil || len(rep.Pruned) != 1 || rep.Pruned[0].Tensor != "blk.1.attn_q.weight" || rep.Achieved != 0.5 || rep.Whole >= 0.5 || rep.Layers != "1" {
		t.Errorf("%+v, %v", rep, err)
	}
	none, _ := ParseLayers("7-9")
	out := filepath.Join(t.TempDir(), "p.gguf")
	if _, err := Prune(t.Context(), in, out, PruneOptions{Sparsity: 0.5, Layers: none}); err == nil {
		t.Error("layers that are not there")
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was left behind")
	}
}

func TestPruneRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := small(t, gguf.F32, random(4))
	for _, s := range []float64{0, 1, -0.5, 2, math.NaN()} {
		if _, err := Prune(t.Context(), in, filepath.Join(dir, "x"), PruneOptions{Sparsity: s}); err == nil {
			t.Errorf("sparsity %v", s)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Prune(ctx, in, filepath.Join(dir, "x"), PruneOptions{Sparsity: 0.5, Progress: func(int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	broken := small(t, gguf.F32, func(name string, i int) float32 {
		if name == "blk.1.attn_q.weight" && i == 77 {
			return float32(math.NaN())
		}
		return 1
	})
	if _, err := Prune(t.Context(), broken, filepath.Join(dir, "x"), PruneOptions{Sparsity: 0.5}); err == nil || !strings.Contains(err.Error(), "blk.1.attn_q.weight") {
		t.Errorf("NaN: %v", err)
	}
	// A type that Go does not take apart.
	var m gguf.Metadata
	m.Set("general.architecture", "llama")
	k := filepath.Join(dir, "k.gguf")
	f, _ := os.Create(k)
	w, err := gguf.NewWriter(f, &m, []gguf.Tensor{{Name: "blk.0.attn_q.weight", Shape: []uint64{256, 2}, Type: gguf.Q4_K}})
	if err != nil {
		t.Fatal(err)
	}
	w.WriteTensor("blk.0.attn_q.weight", bytes.NewReader(make([]byte, 288)))
	f.Close()
	var unreadable *UnreadableTypeError
	if _, err := Prune(t.Context(), k, filepath.Join(dir, "x"), PruneOptions{Sparsity: 0.5}); !errors.As(err, &unreadable) || unreadable.Type != "Q4_K" {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); err == nil {
		t.Error("a file was left behind")
	}
}

func TestParseLayers(t *testing.T) {
	t.Parallel()
	l, err := ParseLayers("0-3, 7")
	if err != nil || !l.Has(0) || !l.Has(3) || l.Has(4) || !l.Has(7) || l.Has(8) {
		t.Errorf("%v, %v", l, err)
	}
	for _, all := range []string{"", "all"} {
		if l, err := ParseLayers(all); err != nil || !l.Has(0) || !l.Has(999) || l.String() != "" {
			t.Errorf("%q: %v, %v", all, l, err)
		}
	}
	for _, bad := range []string{"x", "3-1", "-", "1,", "1--2", "-1", "99999999"} {
		if _, err := ParseLayers(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseLayers(f *testing.F) {
	for _, s := range []string{"", "0-3,7", "3-1", "1,,2", "65535"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLayers(s)
		if err != nil {
			return
		}
		again, err := ParseLayers(l.String())
		if err != nil || again.Has(3) != l.Has(3) {
			t.Errorf("%q: %v", s, err)
		}
	})
}

// The threshold is exact for any numbers, of any number of ties.
func FuzzThreshold(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 128, 191, 0, 0, 0, 0, 1, 0, 0, 0}, 0.5)
	f.Fuzz(func(t *testing.T, raw []byte, sparsity float64) {
		if !(sparsity > 0 && sparsity < 1) || len(raw) < 8 || len(raw) > 1<<16 {
			return
		}
		raw = raw[:len(raw)/4*4]
		v := make([]float32, len(raw)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
			if f := float64(v[i]); math.IsNaN(f) || math.IsInf(f, 0) {
				return
			}
		}
		var m gguf.Metadata
		m.Set("general.architecture", "llama")
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
		file, err := os.Create(in)
		if err != nil {
			t.Fatal(err)
		}
		w, err := gguf.NewWriter(file, &m, []gguf.Tensor{{Name: "blk.0.a.weight", Shape: []uint64{uint64(len(v)), 1}, Type: gguf.F32}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteTensor("blk.0.a.weight", bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		file.Close()
		if _, err := Prune(t.Context(), in, out, PruneOptions{Sparsity: sparsity}); err != nil {
			t.Fatal(err)
		}
		if got, want := numbers(t, out, "blk.0.a.weight"), byMagnitude(v, sparsity); !slices.Equal(got, want) {
			t.Errorf("%v at %v: %v, want %v", v, sparsity, got, want)
		}
	})
}
