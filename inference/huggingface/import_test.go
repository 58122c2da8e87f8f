package huggingface

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rxedge/inference/gguf"
	"rxedge/inference/gptq/gptqtest"
	"rxedge/inference/safetensors"
)

// Symmetric 4-bit: in the GGUF file lie the very integers and scales of the
// checkpoint, in the rows where llama.cpp looks for them.
func TestSymmetricFourBitIsBitExact(t *testing.T) {
	t.Parallel()
	m := loadStories(t)
	for _, kind := range []gptqtest.Kind{{Bits: 4, GroupSize: 32}, {Bits: 4, GroupSize: 64, V2: true}, {Bits: 4, GroupSize: 128}, {Bits: 4, GroupSize: -1}, {Bits: 4, GroupSize: -1, DescAct: true}, {AWQ: true, Bits: 4, GroupSize: 32}} {
		dir, _ := m.folder(t, &kind, safetensors.F32, 1)
		out, report := convert(t, dir, Options{})
		for _, tensor := range report.Tensors {
			if !tensor.Exact || tensor.MaxError != 0 {
				t.Errorf("%s: %+v", kind, tensor)
			}
		}
		f, err := gguf.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		// The same random numbers make the same matrices again.
		r := rand.New(rand.NewPCG(11, 12))
		names := map[string]string{"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}
		seen := 0
		for _, module := range sorted(m.matrices) {
			if module == "model.embed_tokens" {
				continue
			}
			in, rows := m.shape(module)
			q := gptqtest.Quantise(kind, m.matrices[module], in, rows, r)
			part := strings.Split(module, ".")
			ours := names[part[len(part)-1]]
			tensor, ok := f.Tensor("blk." + part[2] + "." + ours + ".weight")
			if !ok || tensor.Type != gguf.Q4_0 {
				t.Fatalf("%s: %s is %+v", kind, module, tensor)
			}
			raw, err := io.ReadAll(f.Data(tensor))
			if err != nil {
				t.Fatal(err)
			}
			d := m.dim / m.heads
			for row := range rows {
				o := row
				if ours == "attn_q" || ours == "attn_k" { // neighbours were half a head apart
					o = row/d*d + row%d/2
					if row%2 == 1 {
						o += d / 2
					}
				}
				for first := 0; first < in; first += 32 {
					if got, want := binary.LittleEndian.Uint16(raw), q.Scales[q.Group[first]*rows+o]; got != want {
						t.Fatalf("%s: %s: output %d, input %d: the scale %x became %x", kind, module, o, first, want, got)
					}
					for j := range 32 {
						if got, want := raw[2+j%16]>>(j/16*4)&15, q.Q[(first+j)*rows+o]; got != want {
							t.Fatalf("%s: %s: output %d, input %d: %d became %d", kind, module, o, first+j, want, got)
						}
					}
					raw = raw[18:]
				}
			}
			seen++
		}
		if seen != 7*m.layers {
			t.Errorf("%d matrices", seen)
		}
	}
}

// copyFolder copies a folder so that files of it can be changed.
func copyFolder(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit changes a JSON file of the folder.
func edit(t *testing.T, dir, name string, change func(map[string]any)) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	change(v)
	writeJSON(t, dir, name, v)
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	plain := newRandom("LlamaForCausalLM", "llama", map[string]any{"hidden_act": "silu"}).folder(t)
	set := func(file string, more map[string]any) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			edit(t, dir, file, func(v map[string]any) { maps.Copy(v, more) })
		}
	}
	config := func(key string, value any) func(*testing.T, string) {
		return set("config.json", map[string]any{key: value})
	}
	tokenizer := func(change func(v map[string]any)) func(*testing.T, string) {
		return func(t *testing.T, dir string) { edit(t, dir, "tokenizer.json", change) }
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, name)) }
	}
	// rewrite changes the tensors of the checkpoint.
	rewrite := func(change func([]safetensors.Tensor, map[string][]byte) []safetensors.Tensor) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			c, err := safetensors.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			data := make(map[string][]byte)
			tensors := slices.Clone(c.Tensors())
			for _, tensor := range tensors {
				if data[tensor.Name], err = c.ReadAll(tensor); err != nil {
					t.Fatal(err)
				}
			}
			tensors = change(tensors, data)
			for _, e := range leftovers(t, filepath.Join(dir, "x")) {
				if strings.Contains(e, "safetensors") {
					os.Remove(filepath.Join(dir, e))
				}
			}
			writeShards(t, dir, tensors, data, 1)
		}
	}
	for _, tc := range []struct {
		name, want string
		change     func(*testing.T, string)
	}{
		{"no config", "has no config.json", remove("config.json")},
		{"broken config", "config.json can't be read", func(t *testing.T, dir string) { os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o644) }},
		{"another architecture", `architectures ["MixtralForCausalLM"]), which is not supported (models of LlamaForCausalLM`, config("architectures", []string{"MixtralForCausalLM"})},
		{"activation", `hidden_act is "relu", which is not supported`, config("hidden_act", "relu")},
		{"no size", "hidden_size is missing", config("hidden_size", nil)},
		{"size", "hidden_size is -64, no number between", config("hidden_size", -64)},
		{"size text", `hidden_size is "big"`, config("hidden_size", "big")},
		{"heads", "no multiple of num_key_value_heads", config("num_key_value_heads", 3)},
		{"huge", "num_hidden_layers is 100000, more than", config("num_hidden_layers", 100000)},
		{"rope", `rope_scaling.rope_type is "ntk"`, config("rope_scaling", map[string]any{"rope_type": "ntk", "factor": 2})},
		{"long rope", `rope_type is "longrope", which is not supported`, config("rope_scaling", map[string]any{"rope_type": "longrope", "factor": 2})},
		{"partial rotary", "partial_rotary_factor is 0.5", config("partial_rotary_factor", 0.5)},
		{"quantisation", `quant_method is "fp8", which is not supported`, config("quantization_config", map[string]any{"quant_method": "fp8"})},
		{"bits", `bits is "5"`, config("quantization_config", map[string]any{"quant_method": "gptq", "bits": 5})},
		{"layers", "18 tensors are missing: model.layers.3", config("num_hidden_layers", 5)},
		{"fewer layers", "9 tensors of the checkpoint have no place in the architecture llama: model.layers.2.", config("num_hidden_layers", 2)},
		{"shape", "model.layers.0.mlp.down_proj.weight has the shape [64 96] and config.json calls for [64 128]", config("intermediate_size", 128)},
		{"tied", "", config("tie_word_embeddings", true)},
		{"no weights", "holds no safetensors file", func(t *testing.T, dir string) {
			for _, e := range leftovers(t, filepath.Join(dir, "x")) {
				if strings.Contains(e, "safetensors") {
					os.Remove(filepath.Join(dir, e))
				}
			}
		}},
		{"no shard", "model-00002-of-00002.safetensors, which is missing", remove("model-00002-of-00002.safetensors")},
		{"no output", "1 tensors are missing: lm_head.weight", rewrite(func(ts []safetensors.Tensor, _ map[string][]byte) []safetensors.Tensor {
			return slices.DeleteFunc(ts, func(t safetensors.Tensor) bool { return t.Name == "lm_head.weight" })
		})},
		{"integers", "model.norm.weight is of the dtype I32", rewrite(func(ts []safetensors.Tensor, _ map[string][]byte) []safetensors.Tensor {
			for i := range ts {
				if ts[i].Name == "model.norm.weight" {
					ts[i].DType = safetensors.I32
				}
			}
			return ts
		})},
		{"zero bias", "", rewrite(func(ts []safetensors.Tensor, data map[string][]byte) []safetensors.Tensor {
			data["model.layers.0.self_attn.o_proj.bias"] = make([]byte, 4*testHidden)
			return append(ts, safetensors.Tensor{Name: "model.layers.0.self_attn.o_proj.bias", DType: safetensors.F32, Shape: []uint64{testHidden}})
		})},
		{"inv_freq", "", rewrite(func(ts []safetensors.Tensor, data map[string][]byte) []safetensors.Tensor {
			data["model.layers.0.self_attn.rotary_emb.inv_freq"] = make([]byte, 4)
			return append(ts, safetensors.Tensor{Name: "model.layers.0.self_attn.rotary_emb.inv_freq", DType: safetensors.F32, Shape: []uint64{1}})
		})},
		{"an adapter", "model.layers.0.self_attn.q_proj.lora_A.weight", rewrite(func(ts []safetensors.Tensor, data map[string][]byte) []safetensors.Tensor {
			data["model.layers.0.self_attn.q_proj.lora_A.weight"] = make([]byte, 4)
			return append(ts, safetensors.Tensor{Name: "model.layers.0.self_attn.q_proj.lora_A.weight", DType: safetensors.F32, Shape: []uint64{1}})
		})},
		{"NaN", "model.layers.1.mlp.up_proj.weight holds NaN", rewrite(func(ts []safetensors.Tensor, data map[string][]byte) []safetensors.Tensor {
			copy(data["model.layers.1.mlp.up_proj.weight"], []byte{0, 0, 0xc0, 0x7f})
			return ts
		})},
		{"no tokenizer", "has no tokenizer.json", remove("tokenizer.json")},
		{"broken tokenizer", "tokenizer.json: can't be read", func(t *testing.T, dir string) {
			os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("[]"), 0o644)
		}},
		{"unigram", `model.type is "Unigram", which is not supported`, tokenizer(func(v map[string]any) { v["model"].(map[string]any)["type"] = "Unigram" })},
		{"cut", `splits by "\\p{Han}"`, tokenizer(func(v map[string]any) {
			v["pre_tokenizer"].(map[string]any)["pretokenizers"].([]any)[0].(map[string]any)["pattern"] = map[string]string{"Regex": `\p{Han}`}
		})},
		{"normalizer", `normalizer.type is "Lowercase"`, tokenizer(func(v map[string]any) { v["normalizer"] = map[string]any{"type": "Lowercase"} })},
		{"token out of range", `the token "<x>" has the id 300, and the model has 300 tokens`, tokenizer(func(v map[string]any) {
			v["added_tokens"] = append(v["added_tokens"].([]any), map[string]any{"id": 300, "content": "<x>"})
		})},
		{"two of one id", `the id 5 belongs to`, tokenizer(func(v map[string]any) { v["model"].(map[string]any)["vocab"].(map[string]any)["zz"] = 5 })},
		{"merge", "is not two pieces", tokenizer(func(v map[string]any) { v["model"].(map[string]any)["merges"] = []string{"a b c"} })},
		{"ending", "eos_token_id holds 4711", config("eos_token_id", []int{257, 4711})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := copyFolder(t, plain)
			tc.change(t, dir)
			out := filepath.Join(t.TempDir(), "out.gguf")
			_, err := Convert(t.Context(), dir, out, Options{}, nil)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if left := leftovers(t, out); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// gemma's checks of what llama.cpp takes for granted.
func TestRefusesGemma(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]map[string]any{
		`rope_type is "llama3", which is not`:   {"rope_scaling": map[string]any{"rope_type": "llama3", "factor": 8}},
		"query_pre_attn_scalar is 100":          {"query_pre_attn_scalar": 100},
		`layer_types is "sliding_attention" at`: {"layer_types": []string{"full_attention", "sliding_attention", "full_attention"}},
		"attn_logit_softcapping is 50":          {"attn_logit_softcapping": 50.0},
		"use_bidirectional_attention is true":   {"use_bidirectional_attention": true},
	} {
		more := map[string]any{"head_dim": 16}
		maps.Copy(more, change)
		m := newRandom("Gemma3ForCausalLM", "gemma3_text", more)
		m.gemma, m.headNorms, m.postNorms, m.tied = true, true, true, true
		if _, err := Prepare(m.folder(t), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	m := newRandom("Qwen2ForCausalLM", "qwen2", map[string]any{"hidden_act": "silu", "rope_theta": 1e6, "eos_token_id": 257})
	m.bias = qkv()
	dir := m.folder(t)
	edit(t, dir, "tokenizer.json", func(v map[string]any) {
		v["added_tokens"] = append(v["added_tokens"].([]any), map[string]any{"id": 297, "content": "<tool_call>", "special": false}, map[string]any{"id": 298, "content": "<|stop|>", "special": false}, map[string]any{"id": 299, "content": "▁▁", "special": false})
	})
	writeJSON(t, dir, "tokenizer_config.json", map[string]any{
		"bos_token": nil, "eos_token": map[string]any{"content": "<|im_end|>"}, "pad_token": "<|im_start|>", "add_bos_token": false,
		"chat_template": []any{map[string]any{"name": "default", "template": "D"}, map[string]any{"name": "tool_use", "template": "T"}, map[string]any{"name": "../x", "template": "X"}},
	})
	writeJSON(t, dir, "generation_config.json", map[string]any{"eos_token_id": []int{257, 298, 297}})
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("---\nlanguage: en\nlicense: apache-2.0\n---\n# Text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, report := convert(t, dir, Options{Name: "a name", Type: F16})
	f, err := gguf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !strings.Contains(fmt.Sprint(report.Summary()), "tensors as F16, 0 of them exact; largest error") {
		t.Errorf("%q", report.Summary())
	}
	for key, want := range map[string]any{
		"general.architecture": "qwen2", "general.name": "a name", "general.license": "apache-2.0", "general.file_type": uint32(1),
		"qwen2.context_length": uint32(512), "qwen2.attention.head_count_kv": uint32(2), "qwen2.rope.freq_base": float32(1e6), "qwen2.vocab_size": uint32(300),
		"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.eos_token_id": uint32(257), "tokenizer.ggml.padding_token_id": uint32(256),
		"tokenizer.ggml.eot_token_id": uint32(298), "tokenizer.ggml.eom_token_id": uint32(297), "tokenizer.ggml.add_bos_token": false, "tokenizer.ggml.add_eos_token": false,
		"tokenizer.chat_template": "D", "tokenizer.chat_template.tool_use": "T",
	} {
		if got, _ := f.Metadata.Get(key); got != want {
			t.Errorf("%s is %v (%T), not %v", key, got, got, want)
		}
	}
	for _, key := range []string{"tokenizer.ggml.bos_token_id", "tokenizer.chat_template.../x", "tokenizer.ggml.scores"} {
		if got, ok := f.Metadata.Get(key); ok {
			t.Errorf("%s is %v", key, got)
		}
	}
	tokens, _ := f.Metadata.Texts("tokenizer.ggml.tokens")
	types, _ := f.Metadata.Get("tokenizer.ggml.token_type")
	kinds := types.([]int32)
	for id, want := range map[int]struct {
		text string
		kind int32
	}{65: {"A", 1}, 32: {"Ġ", 1}, 257: {"<|im_end|>", 3}, 295: {"[PAD295]", 5}, 297: {"<tool_call>", 4}, 298: {"<|stop|>", 3}, 299: {"  ", 4}} {
		if tokens[id] != want.text || kinds[id] != want.kind {
			t.Errorf("token %d is %q of type %d, not %v", id, tokens[id], kinds[id], want)
		}
	}
	// A file of its own comes before the settings.
	if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte("J"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ = convert(t, dir, Options{})
	g, err := gguf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if got, _ := g.Metadata.Text("tokenizer.chat_template"); got != "J" {
		t.Errorf("the template is %q", got)
	}
}

// How byte-level tokenizers cut a text is told by their expression.
func TestPreTokenizers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cut    string
		ignore bool
		want   string
	}{{cutLlama3, true, "llama-bpe"}, {cutLlama3, false, "dbrx"}, {cutQwen2, false, "qwen2"}, {cutTekken, true, "tekken"}, {cutGPT4o, false, "gpt-4o"}, {"", false, "gpt-2"}} {
		b, err := json.Marshal(byteLevel(300, tc.cut, tc.ignore))
		if err != nil {
			t.Fatal(err)
		}
		if v, _, err := parseVocabulary(b, 300); err != nil || v.pre != tc.want {
			t.Errorf("%+v, %v, want %s", v, err, tc.want)
		}
	}
}

// Byte-level BPE through the engine: what the merges say, text by text.
func TestEngineReadsByteLevelTokens(t *testing.T) {
	t.Parallel()
	m := newRandom("Qwen2ForCausalLM", "qwen2", map[string]any{"hidden_act": "silu", "tie_word_embeddings": true})
	m.tied = true
	out, _ := convert(t, m.folder(t), Options{})
	e := startEngine(t, out)
	number := func(n int) int { // 0…9 are bytes; the chain of numbers begins at 258 with 10
		if n < 10 {
			return '0' + n
		}
		return 258 + n - 10
	}
	for text, want := range map[string][]int{
		"ab":       {'a', 'b'},
		" é":       {' ', 0xc3, 0xa9},
		"12":       {'1', '2'}, // Qwen cuts between digits
		"\n\n\x01": {'\n', '\n', 1},
	} {
		if got := e.tokenize(t, text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	// Another cut leaves three digits together, and then they merge.
	m = newRandom("LlamaForCausalLM", "llama", map[string]any{"hidden_act": "silu", "tie_word_embeddings": true})
	m.tied = true
	dir := m.folder(t)
	writeJSON(t, dir, "tokenizer.json", byteLevel(m.vocab, cutLlama3, true))
	out, _ = convert(t, dir, Options{})
	e = startEngine(t, out)
	if got, want := e.tokenize(t, "12 345 a"), []int{number(12), ' ', number(34), '5', ' ', 'a'}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestIsModel(t *testing.T) {
	t.Parallel()
	dir := newRandom("LlamaForCausalLM", "llama", map[string]any{"hidden_act": "silu"}).folder(t)
	if !IsModel(dir) || !slices.Equal(Architectures(dir), []string{"LlamaForCausalLM"}) {
		t.Error("not taken for a model")
	}
	if IsModel(t.TempDir()) || IsModel(filepath.Join(dir, "none")) || Architectures(t.TempDir()) != nil {
		t.Error("taken for a model")
	}
}

func FuzzVocabulary(f *testing.F) {
	for _, v := range []any{byteLevel(300, cutQwen2, false), byteLevel(300, "", true)} {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"▁":1},"merges":["a ▁",["a","a"]],"byte_fallback":true},"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, _, err := parseVocabulary(b, 300)
		if err != nil {
			return
		}
		var m gguf.Metadata
		v.metadata(&m)
		if _, err := gguf.NewWriter(&bytes.Buffer{}, &m, nil); err != nil && !strings.Contains(err.Error(), "UTF-8") {
			t.Fatal(err)
		}
	})
}

func FuzzConfig(f *testing.F) {
	for _, m := range []*random{newRandom("Gemma3ForCausalLM", "gemma3_text", nil), newRandom("Phi3ForCausalLM", "phi3", map[string]any{"rope_scaling": map[string]any{"type": "longrope", "long_factor": []float64{1}}})} {
		b, err := json.Marshal(m.config)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"architectures":["LlamaForCausalLM"],"rope_scaling":{"rope_type":"llama3","factor":8}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := readModel(dir)
		if err != nil {
			return
		}
		var g gguf.Metadata
		m.metadata(&g, "", "", 0)
		if m.err != nil {
			return
		}
		if _, err := gguf.NewWriter(&bytes.Buffer{}, &g, nil); err != nil {
			t.Fatal(err)
		}
	})
}
