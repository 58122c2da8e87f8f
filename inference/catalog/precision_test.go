package catalog

import (
	"testing"

	"rxedge/inference/gguf"
)

func TestBits(t *testing.T) {
	t.Parallel()
	for q, want := range map[string]int{"F32": 32, "F16": 16, "BF16": 16, "Q8_0": 8, "Q4_K_M": 4, "IQ2_XXS": 2, "q5_1": 5, "TQ1_0": 1, "MXFP4": 4, "": 0, "unknown": 0} {
		if got := Bits(q); got != want {
			t.Errorf("%q: %d bits, want %d", q, got, want)
		}
	}
}

// The variant at full precision is found by what was made of what, or by name and shape;
// another model of the same shape is none.
func TestFullPrecision(t *testing.T) {
	t.Parallel()
	c, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	add := func(name string, as gguf.Type, l *Lineage, set func(*gguf.Metadata)) Entry {
		t.Helper()
		mark := func(m *gguf.Metadata) { // another file each
			m.Set("general.name", name)
			if set != nil {
				set(m)
			}
		}
		path := model(t, dir, name+".gguf", mark, gguf.Tensor{Name: "token_embd.weight", Shape: []uint64{32, 4}, Type: as}, gguf.Tensor{Name: "output_norm.weight", Shape: []uint64{32}, Type: gguf.F32})
		e, err := c.Import(t.Context(), path, ImportOptions{Name: name, Lineage: l}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	longer := func(m *gguf.Metadata) { m.Set("llama.context_length", uint32(4096)) }
	none := func(e Entry) {
		t.Helper()
		if x, ok := c.FullPrecision(e); ok {
			t.Errorf("%s is taken for that of %s", x.Name, e.Name)
		}
	}
	is := func(e Entry, want string) {
		t.Helper()
		if x, ok := c.FullPrecision(e); !ok || x.Name != want {
			t.Errorf("of %s: %q %v, want %s", e.Name, x.Name, ok, want)
		}
	}
	small := add("Qwen-1B-Q4_0", gguf.Q4_0, nil, nil)
	none(small)
	add("Other-1B-F16", gguf.F16, nil, nil)
	add("Qwen-1B-long-F16", gguf.F16, nil, longer)
	longName := add("qwen-1b-F32", gguf.F32, nil, longer) // of another context
	none(small)
	eight := add("qwen-1b-Q8_0", gguf.Q8_0, nil, nil)
	is(small, "qwen-1b-Q8_0")
	none(eight)
	half := add("Qwen-1B.F16", gguf.F16, nil, nil)
	is(small, "Qwen-1B.F16")
	is(eight, "Qwen-1B.F16")
	none(half)
	none(longName)
	// By lineage, whatever it is called; over a step between, and where the origin is gone.
	origin := add("ours", gguf.F16, nil, nil)
	pruned := add("lean", gguf.F16, &Lineage{From: origin.SHA256, FromName: "ours", How: "prune"}, nil)
	is(pruned, "ours")
	none(origin)
	is(add("quick", gguf.Q4_0, &Lineage{From: pruned.SHA256, FromName: "lean", How: "quantize"}, nil), "ours")
	gone := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	add("kept", gguf.Q8_0, &Lineage{From: gone, How: "quantize"}, nil)
	is(add("smaller", gguf.Q4_0, &Lineage{From: gone, How: "quantize"}, nil), "kept")
}
