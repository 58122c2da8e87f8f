package llama2c_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"rxedge/inference/gguf"
	"rxedge/inference/llama2c"
)

// tiny builds a checkpoint whose weights are their own position in the file.
func tiny(dim, hidden, layers, heads, kvHeads, vocab, context int) []byte {
	var b []byte
	for _, n := range []int{dim, hidden, layers, heads, kvHeads, vocab, context} {
		b = binary.LittleEndian.AppendUint32(b, uint32(int32(n)))
	}
	kv := dim / heads * kvHeads
	v := max(vocab, -vocab)
	n := v*dim + layers*(2*dim+2*dim*dim+2*dim*kv+3*dim*hidden) + dim + context*dim/heads
	if vocab < 0 {
		n += v * dim
	}
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)))
	}
	return b
}

func tinyTokenizer(n int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 6)
	piece := func(s string) {
		b = append(b, 0, 0, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	piece("<unk>")
	piece("\n<s>\n")
	piece("\n</s>\n")
	const hex = "0123456789ABCDEF"
	for i := range 256 {
		piece("<0x" + hex[i>>4:i>>4+1] + hex[i&15:i&15+1] + ">")
	}
	for i := 259; i < n; i++ {
		piece(" " + string(rune('a'+i-259)))
	}
	return b
}

func TestConvert(t *testing.T) {
	t.Parallel()
	for _, vocab := range []int{260, -260} {
		data := tiny(8, 12, 2, 2, 1, vocab, 16)
		c, err := llama2c.Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := llama2c.ReadTokenizer(bytes.NewReader(tinyTokenizer(260)), 260)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := llama2c.Convert(&out, c, tok, llama2c.Options{Name: "tiny"}); err != nil {
			t.Fatal(err)
		}
		g, err := gguf.Read(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		first := func(name string) float32 {
			tensor, ok := g.Tensor(name)
			if !ok {
				t.Fatalf("no tensor %s", name)
			}
			b, err := io.ReadAll(g.Data(tensor))
			if err != nil {
				t.Fatal(err)
			}
			return math.Float32frombits(binary.LittleEndian.Uint32(b))
		}
		// The order of the checkpoint: embedding, attention norms, q, k, v,
		// output, feed-forward norms, w1, w2, w3, last norm.
		at := 260 * 8
		for _, p := range []struct {
			name string
			n    int
		}{{"attn_norm", 8}, {"attn_q", 64}, {"attn_k", 32}, {"attn_v", 32}, {"attn_output", 64}, {"ffn_norm", 8}, {"ffn_gate", 96}, {"ffn_down", 96}, {"ffn_up", 96}} {
			for _, layer := range []string{"0", "1"} {
				if got := first("blk." + layer + "." + p.name + ".weight"); got != float32(at) {
					t.Errorf("blk.%s.%s begins with weight %v, not %d", layer, p.name, got, at)
				}
				at += p.n
			}
		}
		if got := first("output_norm.weight"); got != float32(at) {
			t.Errorf("output_norm begins with weight %v, not %d", got, at)
		}
		_, own := g.Tensor("output.weight")
		if own != (vocab < 0) {
			t.Errorf("vocabulary %d: output matrix of its own: %v", vocab, own)
		}
		if own && first("output.weight") != float32(at+8+16*4) {
			t.Errorf("output begins with weight %v", first("output.weight"))
		}
		tokens, _ := g.Metadata.Texts("tokenizer.ggml.tokens")
		if tokens[1] != "<s>" || tokens[3] != "<0x00>" || tokens[259] != "▁a" {
			t.Errorf("tokens %q, %q, %q", tokens[1], tokens[3], tokens[259])
		}
		types, _ := g.Metadata.Get("tokenizer.ggml.token_type")
		if got := types.([]int32); !reflect.DeepEqual(got[:4], []int32{2, 3, 3, 6}) || got[259] != 1 {
			t.Errorf("token types %v … %v", got[:4], got[259])
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	t.Parallel()
	data := tiny(8, 12, 1, 2, 2, 260, 4)
	binary.LittleEndian.PutUint32(data[28+4*10:], math.Float32bits(float32(math.NaN())))
	c, err := llama2c.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := llama2c.ReadTokenizer(bytes.NewReader(tinyTokenizer(260)), 260)
	if err != nil {
		t.Fatal(err)
	}
	if err := llama2c.Convert(io.Discard, c, tok, llama2c.Options{}); err == nil || !strings.Contains(err.Error(), "at byte 68 of the checkpoint is NaN") {
		t.Errorf("a NaN among the weights: %v", err)
	}
	if err := llama2c.Convert(io.Discard, c, tok, llama2c.Options{Type: gguf.Q4_K}); err == nil {
		t.Error("Q4_K was promised")
	}
	if err := llama2c.Convert(io.Discard, c, tok, llama2c.Options{Type: gguf.Q8_0}); err == nil {
		t.Error("rows of 8 were put into blocks of 32")
	}
	tok.Pieces = tok.Pieces[:259]
	if err := llama2c.Convert(io.Discard, c, tok, llama2c.Options{}); err == nil {
		t.Error("a tokenizer of another size was taken")
	}
}

func TestBrokenCheckpoints(t *testing.T) {
	t.Parallel()
	good := tiny(8, 12, 1, 2, 2, 260, 4)
	with := func(i, n int) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[4*i:], uint32(int32(n)))
		return b
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "less than its head", nil},
		{"cut off", "cut off", good[:len(good)-1]},
		{"too long", "calls for", append(bytes.Clone(good), 0)},
		{"later version", "--version 0", with(0, 0x616b3432)},
		{"gguf", "not a llama2.c checkpoint", append([]byte("GGUF"), good...)},
		{"dim 0", "at byte 0, dim is 0", with(0, 0)},
		{"negative layers", "n_layers is -1", with(2, -1)},
		{"huge", "seq_len is 2147483647", with(6, math.MaxInt32)},
		{"least", "vocab_size is", with(5, math.MinInt32)},
		{"heads", "does not split", with(3, 3)},
		{"odd head", "even length", with(3, 8)},
		{"kv heads", "no multiple of n_kv_heads", with(4, 3)},
		{"all large", "calls for", func() []byte {
			b := bytes.Clone(good)
			for i, n := range []int{1 << 16, 1 << 18, 1 << 10, 1 << 10, 1 << 10, -1 << 20, 1 << 20} {
				binary.LittleEndian.PutUint32(b[4*i:], uint32(int32(n)))
			}
			return b
		}()},
	} {
		if _, err := llama2c.Read(bytes.NewReader(c.data), int64(len(c.data))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestBrokenTokenizers(t *testing.T) {
	t.Parallel()
	good := tinyTokenizer(260)
	change := func(at int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[at:], b)
		return out
	}
	for _, c := range []struct {
		name, want string
		n          int
		data       []byte
	}{
		{"empty", "ends at byte 0", 260, nil},
		{"cut off", "cut off", 260, good[:len(good)-1]},
		{"more pieces", "larger vocabulary", 259, good},
		{"fewer pieces", "smaller vocabulary", 261, good},
		{"tiny vocabulary", "between 259", 100, good},
		{"longest", "longest piece", 260, change(0, 0xff, 0xff, 0xff, 0xff)},
		{"long piece", "piece 0 has 1000", 260, change(8, 0xe8, 3, 0, 0)},
		{"negative length", "piece 0 has", 260, change(8, 0xff, 0xff, 0xff, 0xff)},
		{"score", "score NaN", 260, change(4, 0, 0, 0xc0, 0x7f)},
		{"no byte piece", "should be", 260, bytes.Replace(good, []byte("<0x41>"), []byte("<0x42>"), 1)},
	} {
		if _, err := llama2c.ReadTokenizer(bytes.NewReader(c.data), c.n); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestConvertIsDeterministic(t *testing.T) {
	t.Parallel()
	a, err := os.ReadFile(convert(t, gguf.F16))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(convert(t, gguf.F16))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two conversions differ")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(tiny(8, 12, 1, 2, 2, 260, 4), tinyTokenizer(260))
	f.Add(tiny(4, 4, 1, 1, 1, -259, 2), tinyTokenizer(259))
	f.Fuzz(func(t *testing.T, checkpoint, tokenizer []byte) {
		c, err := llama2c.Read(bytes.NewReader(checkpoint), int64(len(checkpoint)))
		if err != nil {
			return
		}
		tok, err := llama2c.ReadTokenizer(bytes.NewReader(tokenizer), c.Config.Vocabulary)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := llama2c.Convert(&out, c, tok, llama2c.Options{}); err != nil {
			return
		}
		if _, err := gguf.Read(bytes.NewReader(out.Bytes()), int64(out.Len())); err != nil {
			t.Fatal(err)
		}
	})
}
