package catalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rxedge/inference/gguf"
	"rxedge/inference/gptq/gptqtest"
	"rxedge/inference/safetensors"
)

// hubFolder writes a small random Llama of 4-bit GPTQ as Hugging Face would
// publish it.
func hubFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "Tiny-0.1-GPTQ")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const hidden, vocab, layers = 64, 260, 4
	kind := gptqtest.Kind{Bits: 4, GroupSize: 32, Asym: true}
	save := func(name string, v any) {
		b, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	save("config.json", map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_act": "silu", "hidden_size": hidden, "intermediate_size": hidden, "num_hidden_layers": layers,
		"num_attention_heads": 4, "vocab_size": vocab, "max_position_embeddings": 128, "tie_word_embeddings": true, "quantization_config": kind.Config(),
	})
	words := map[string]int{"▁": 256}
	for b := range 256 {
		words[fmt.Sprintf("<0x%02X>", b)] = b
	}
	save("tokenizer.json", map[string]any{
		"added_tokens": []any{map[string]any{"id": 257, "content": "<unk>", "special": true}},
		"normalizer":   map[string]any{"type": "Replace", "pattern": map[string]string{"String": " "}, "content": "▁"},
		"model":        map[string]any{"type": "BPE", "vocab": words, "merges": []string{}, "byte_fallback": true, "unk_token": "<unk>"},
	})
	var tensors []safetensors.Tensor
	data := make(map[string][]byte)
	r := rand.New(rand.NewPCG(1, 2))
	plain := func(name string, shape ...uint64) {
		n := uint64(1)
		for _, s := range shape {
			n *= s
		}
		var b []byte
		for range n {
			b = binary.LittleEndian.AppendUint16(b, gguf.Float16(float32(r.NormFloat64())))
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.F16, Shape: shape})
		data[name] = b
	}
	plain("model.embed_tokens.weight", vocab, hidden)
	plain("model.norm.weight", hidden)
	for l := range layers {
		p := fmt.Sprintf("model.layers.%d.", l)
		plain(p+"input_layernorm.weight", hidden)
		plain(p+"post_attention_layernorm.weight", hidden)
		for _, module := range []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"} {
			w := make([]float32, hidden*hidden)
			for i := range w {
				w[i] = float32(r.NormFloat64())
			}
			more, packed := gptqtest.Quantise(kind, w, hidden, hidden, r).Tensors(p + module)
			tensors = append(tensors, more...)
			for name, b := range packed {
				data[name] = b
			}
		}
	}
	f, err := os.Create(filepath.Join(dir, safetensors.SingleName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := safetensors.NewWriter(f, nil, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range tensors {
		if err := w.WriteTensor(tensor.Name, bytes.NewReader(data[tensor.Name])); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImportFolder(t *testing.T) {
	t.Parallel()
	c, dir := open(t), hubFolder(t)
	var done, total int64
	e, err := c.Import(t.Context(), dir, ImportOptions{}, func(d, n int64) { done, total = d, n })
	if err != nil {
		t.Fatal(err)
	}
	if e.Name != "Tiny-0.1-GPTQ" || e.ConvertedFrom != "huggingface" || e.Kind != Generator || e.Architecture != "llama" || e.Quantisation != "Q4_1" || e.TokenizerModel != "llama" || e.Source != "Tiny-0.1-GPTQ" {
		t.Errorf("%+v", e)
	}
	if notes := strings.Join(e.Notes, "\n"); !strings.HasPrefix(notes, "quantised by gptq 4-bit, group 32\n") || !strings.Contains(notes, "28 tensors as Q4_1 (asymmetric: offsets rounded to half precision), 0 of them exact; largest error ") {
		t.Errorf("notes:\n%s", notes)
	}
	if done != total || total == 0 {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	if problems, err := c.Verify(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	before := files(t, c)
	again, err := c.Import(t.Context(), dir, ImportOptions{}, nil)
	if err != nil || !reflect.DeepEqual(again, e) || !reflect.DeepEqual(files(t, c), before) {
		t.Errorf("again: %+v, %v", again, err)
	}
	got, err := c.Get(e.Name)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("%+v, %v", got, err)
	}
	other, err := c.Import(t.Context(), dir, ImportOptions{Name: "small", Type: "q8_0", Licence: "mit"}, nil)
	if err != nil || other.SHA256 == e.SHA256 || other.Licence != "mit" || other.Size >= e.Size {
		t.Errorf("%+v, %v", other, err)
	}
	if _, err := c.Import(t.Context(), dir, ImportOptions{Name: "x", Type: "q9"}, nil); err == nil || !strings.Contains(err.Error(), `"q9"`) {
		t.Error(err)
	}
	if left := conversions(t, c); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func conversions(t *testing.T, c *Catalog) []string {
	t.Helper()
	entries, err := os.ReadDir(c.conversions())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// What a killed import leaves is gone on with by the same import, and cleared
// away by another.
func TestImportFolderResumes(t *testing.T) {
	t.Parallel()
	c, dir := open(t), hubFolder(t)
	// A copy of the unfinished files, as they are in the middle of an import.
	saved := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := c.Import(ctx, dir, ImportOptions{}, func(done, total int64) {
		if done > total/2 && ctx.Err() == nil {
			if err := os.CopyFS(saved, os.DirFS(c.conversions())); err != nil {
				t.Error(err)
			}
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || len(conversions(t, c)) != 0 || len(files(t, c)) != 0 {
		t.Fatalf("%v, left %v", err, conversions(t, c))
	}
	restore := func() {
		t.Helper()
		if err := os.CopyFS(c.conversions(), os.DirFS(saved)); err != nil {
			t.Fatal(err)
		}
		if len(conversions(t, c)) != 2 {
			t.Fatalf("%v", conversions(t, c))
		}
	}
	restore()
	sizes := make(map[string]int64)
	e, err := c.Import(t.Context(), dir, ImportOptions{}, func(done, total int64) {
		if len(sizes) > 0 {
			return
		}
		for _, name := range conversions(t, c) {
			if st, err := os.Stat(filepath.Join(c.conversions(), name)); err == nil {
				sizes[filepath.Ext(name)] = st.Size()
			}
		}
	})
	if err != nil || e.Quantisation != "Q4_1" || len(conversions(t, c)) != 0 {
		t.Errorf("%+v, %v, %v", e, err, conversions(t, c))
	}
	if sizes[".part"] < e.Size/2 {
		t.Errorf("at its beginning the second import had %v of %d bytes", sizes, e.Size)
	}
	restore()
	if _, err := c.Import(t.Context(), model(t, t.TempDir(), "other.gguf", nil), ImportOptions{}, nil); err != nil || len(conversions(t, c)) != 0 {
		t.Errorf("%v, left %v", err, conversions(t, c))
	}
}

// A folder of the BERT family goes another way, and is told by its class.
func TestImportBERTFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "encoder")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const hidden, ffn, positions = 32, 64, 16
	words := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c"}
	save := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	save("vocab.txt", []byte(strings.Join(words, "\n")+"\n"))
	save("config.json", fmt.Appendf(nil, `{"architectures":["BertModel"],"model_type":"bert","hidden_act":"gelu","hidden_size":%d,"intermediate_size":%d,"num_hidden_layers":1,"num_attention_heads":2,"vocab_size":%d,"max_position_embeddings":%d,"type_vocab_size":2,"pad_token_id":0,"layer_norm_eps":1e-12}`, hidden, ffn, len(words), positions))
	var tensors []safetensors.Tensor
	add := func(name string, shape ...uint64) {
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: shape})
	}
	both := func(name string, shape ...uint64) {
		add(name+".weight", shape...)
		add(name+".bias", shape[0])
	}
	add("embeddings.word_embeddings.weight", uint64(len(words)), hidden)
	add("embeddings.position_embeddings.weight", positions, hidden)
	add("embeddings.token_type_embeddings.weight", 2, hidden)
	both("embeddings.LayerNorm", hidden)
	for _, name := range []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"} {
		both("encoder.layer.0."+name, hidden, hidden)
	}
	both("encoder.layer.0.attention.output.LayerNorm", hidden)
	both("encoder.layer.0.intermediate.dense", ffn, hidden)
	both("encoder.layer.0.output.dense", hidden, ffn)
	both("encoder.layer.0.output.LayerNorm", hidden)
	f, err := os.Create(filepath.Join(dir, safetensors.SingleName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := safetensors.NewWriter(f, nil, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range tensors {
		n := int64(4)
		for _, d := range tensor.Shape {
			n *= int64(d)
		}
		if err := w.WriteTensor(tensor.Name, io.LimitReader(zeros{}, n)); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t)
	for as, want := range map[string]string{"": "F32", "q8_0": "Q8_0"} {
		e, err := c.Import(t.Context(), dir, ImportOptions{Name: "encoder" + as, Type: as}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != Embedder || e.Architecture != "bert" || e.Quantisation != want || e.ConvertedFrom != "huggingface" {
			t.Errorf("%+v", e)
		}
	}
	if _, err := c.Import(t.Context(), dir, ImportOptions{Name: "x", Type: "q4_0"}, nil); err == nil || !strings.Contains(err.Error(), `not as "q4_0"`) {
		t.Error(err)
	}
	if left := conversions(t, c); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
