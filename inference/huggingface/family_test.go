package huggingface

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rxedge/inference/gptq/gptqtest"
	"rxedge/inference/safetensors"
)

// random is a small model of random weights of some family, in Hugging Face's
// layout, and its forward pass after transformers' modeling files: what they
// have in common once, what differs by the fields.
type random struct {
	config map[string]any

	hidden, ffn, layers, heads, kv, dim, vocab, rotated int

	fused, headNorms, postNorms, gemma bool
	gelu                               bool
	capScores, capLogits               float64
	window, period                     int // of layers; every period-th attends to everything
	theta, local                       float64
	frequency                          func(i int) float64 // of the i-th pair, of layers that attend to everything
	amplitude                          float64             // of sine and cosine
	tied                               bool
	bias                               []string // modules of a layer that have one
	prefix, head                       string

	w map[string][]float32
}

const (
	testHidden = 64
	testVocab  = 300
)

func newRandom(class, kind string, more map[string]any) *random {
	m := &random{
		hidden: testHidden, ffn: 96, layers: 3, heads: 4, kv: 2, dim: 16, vocab: testVocab, period: 1, theta: 10000, amplitude: 1,
		prefix: "model.", head: "lm_head.weight", w: make(map[string][]float32),
	}
	m.config = map[string]any{
		"architectures": []string{class}, "model_type": kind, "hidden_size": m.hidden, "intermediate_size": m.ffn, "num_hidden_layers": m.layers,
		"num_attention_heads": m.heads, "num_key_value_heads": m.kv, "vocab_size": m.vocab, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "eos_token_id": []int{257},
	}
	maps.Copy(m.config, more)
	return m
}

func (m *random) pair(i int) float64 { return math.Pow(m.theta, -2*float64(i)/float64(m.rotated)) }

// tensors makes the weights and returns their shapes.
func (m *random) tensors() []safetensors.Tensor {
	if m.rotated == 0 {
		m.rotated = m.dim
	}
	if m.frequency == nil {
		m.frequency = m.pair
	}
	r := rand.New(rand.NewPCG(5, 6))
	var out []safetensors.Tensor
	add := func(name string, shape ...uint64) {
		n := uint64(1)
		for _, s := range shape {
			n *= s
		}
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(r.NormFloat64() / math.Sqrt(float64(shape[len(shape)-1])) * 1.2)
			if len(shape) == 1 {
				w[i] = float32(r.NormFloat64() * 0.3)
				if !m.gemma && name[len(name)-6:] == "weight" {
					w[i]++
				}
			}
		}
		m.w[name] = w
		out = append(out, safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: shape})
	}
	h, f, q, kv := uint64(m.hidden), uint64(m.ffn), uint64(m.heads*m.dim), uint64(m.kv*m.dim)
	add(m.prefix+"embed_tokens.weight", uint64(m.vocab), h)
	if !m.tied {
		add(m.head, uint64(m.vocab), h)
	}
	add(m.prefix+"norm.weight", h)
	for l := range m.layers {
		p := fmt.Sprintf("%slayers.%d.", m.prefix, l)
		linear := func(name string, in, out uint64) {
			add(p+name+".weight", out, in)
			if slices.Contains(m.bias, name) {
				add(p+name+".bias", out)
			}
		}
		add(p+"input_layernorm.weight", h)
		add(p+"post_attention_layernorm.weight", h)
		if m.postNorms {
			add(p+"pre_feedforward_layernorm.weight", h)
			add(p+"post_feedforward_layernorm.weight", h)
		}
		if m.headNorms {
			add(p+"self_attn.q_norm.weight", uint64(m.dim))
			add(p+"self_attn.k_norm.weight", uint64(m.dim))
		}
		if m.fused {
			linear("self_attn.qkv_proj", h, q+2*kv)
			linear("mlp.gate_up_proj", h, 2*f)
		} else {
			linear("self_attn.q_proj", h, q)
			linear("self_attn.k_proj", h, kv)
			linear("self_attn.v_proj", h, kv)
			linear("mlp.gate_proj", h, f)
			linear("mlp.up_proj", h, f)
		}
		linear("self_attn.o_proj", q, h)
		linear("mlp.down_proj", f, h)
	}
	return out
}

func (m *random) folder(t *testing.T) string {
	t.Helper()
	return m.write(t, m.tensors(), nil)
}

// write writes the tensors, whose data are in packed or else the weights.
func (m *random) write(t *testing.T, tensors []safetensors.Tensor, packed map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	data := make(map[string][]byte)
	maps.Copy(data, packed)
	for _, tensor := range tensors {
		if packed[tensor.Name] != nil {
			continue
		}
		var b []byte
		for _, v := range m.w[tensor.Name] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		data[tensor.Name] = b
	}
	writeShards(t, dir, tensors, data, 2)
	writeJSON(t, dir, "config.json", m.config)
	writeJSON(t, dir, "tokenizer.json", byteLevel(m.vocab, cutQwen2, false))
	return dir
}

func (m *random) norm(name string, x []float64) []float64 {
	weight := m.w[name+".weight"]
	out := make([]float64, len(x))
	for from := 0; from < len(x); from += len(weight) { // head by head
		var sum float64
		for _, v := range x[from : from+len(weight)] {
			sum += v * v
		}
		scale := 1 / math.Sqrt(sum/float64(len(weight))+1e-5)
		for i, w := range weight {
			g := float64(w)
			if m.gemma {
				g++
			}
			out[from+i] = x[from+i] * scale * g
		}
	}
	return out
}

func (m *random) linear(name string, x []float64) []float64 {
	w, bias := m.w[name+".weight"], m.w[name+".bias"]
	out := make([]float64, len(w)/len(x))
	for r := range out {
		if bias != nil {
			out[r] = float64(bias[r])
		}
		for i, v := range x {
			out[r] += float64(w[r*len(x)+i]) * v
		}
	}
	return out
}

func (m *random) rotate(x []float64, pos int, everything bool) {
	for head := 0; head < len(x); head += m.dim {
		for i := range m.rotated / 2 {
			frequency, amplitude := m.frequency(i), m.amplitude
			if !everything && m.local > 0 {
				frequency, amplitude = math.Pow(m.local, -2*float64(i)/float64(m.rotated)), 1
			}
			s, c := math.Sincos(float64(pos) * frequency)
			a, b := x[head+i], x[head+i+m.rotated/2]
			x[head+i], x[head+i+m.rotated/2] = amplitude*(a*c-b*s), amplitude*(b*c+a*s)
		}
	}
}

func (m *random) forward(tokens []int) [][]float32 {
	var logits [][]float32
	keys, values := make([][]float64, m.layers), make([][]float64, m.layers)
	embedding := m.w[m.prefix+"embed_tokens.weight"]
	q, kv := m.heads*m.dim, m.kv*m.dim
	for pos, token := range tokens {
		x := make([]float64, m.hidden)
		for i := range x {
			x[i] = float64(embedding[token*m.hidden+i])
			if m.gemma {
				x[i] *= math.Sqrt(float64(m.hidden))
			}
		}
		plus := func(y []float64) {
			for i, v := range y {
				x[i] += v
			}
		}
		for l := range m.layers {
			p := fmt.Sprintf("%slayers.%d.", m.prefix, l)
			everything := m.window == 0 || (l+1)%m.period == 0
			h := m.norm(p+"input_layernorm", x)
			var query, key, value []float64
			if m.fused {
				all := m.linear(p+"self_attn.qkv_proj", h)
				query, key, value = all[:q], all[q:q+kv], all[q+kv:]
			} else {
				query, key, value = m.linear(p+"self_attn.q_proj", h), m.linear(p+"self_attn.k_proj", h), m.linear(p+"self_attn.v_proj", h)
			}
			if m.headNorms {
				query, key = m.norm(p+"self_attn.q_norm", query), m.norm(p+"self_attn.k_norm", key)
			}
			m.rotate(query, pos, everything)
			m.rotate(key, pos, everything)
			keys[l], values[l] = append(keys[l], key...), append(values[l], value...)
			mixed := make([]float64, q)
			for head := range m.heads {
				from := head / (m.heads / m.kv) * m.dim
				scores := make([]float64, pos+1)
				var sum float64
				for at := range scores {
					if !everything && pos-at >= m.window {
						continue
					}
					for i := range m.dim {
						scores[at] += query[head*m.dim+i] * keys[l][at*kv+from+i]
					}
					scores[at] /= math.Sqrt(float64(m.dim))
					if m.capScores > 0 {
						scores[at] = m.capScores * math.Tanh(scores[at]/m.capScores)
					}
					scores[at] = math.Exp(scores[at])
					sum += scores[at]
				}
				for at, score := range scores {
					for i := range m.dim {
						mixed[head*m.dim+i] += score / sum * values[l][at*kv+from+i]
					}
				}
			}
			y := m.linear(p+"self_attn.o_proj", mixed)
			before := "post_attention_layernorm"
			if m.postNorms {
				y = m.norm(p+"post_attention_layernorm", y)
				before = "pre_feedforward_layernorm"
			}
			plus(y)
			h = m.norm(p+before, x)
			var gate, up []float64
			if m.fused {
				both := m.linear(p+"mlp.gate_up_proj", h)
				gate, up = both[:m.ffn], both[m.ffn:]
			} else {
				gate, up = m.linear(p+"mlp.gate_proj", h), m.linear(p+"mlp.up_proj", h)
			}
			for i, g := range gate {
				act := g / (1 + math.Exp(-g))
				if m.gelu {
					act = g / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(g+0.044715*g*g*g)))
				}
				gate[i] = act * up[i]
			}
			y = m.linear(p+"mlp.down_proj", gate)
			if m.postNorms {
				y = m.norm(p+"post_feedforward_layernorm", y)
			}
			plus(y)
		}
		name := m.head[:len(m.head)-len(".weight")]
		if m.tied {
			name = m.prefix + "embed_tokens"
		}
		row := make([]float32, m.vocab)
		for i, v := range m.linear(name, m.norm(m.prefix+"norm", x)) {
			if m.capLogits > 0 {
				v = m.capLogits * math.Tanh(v/m.capLogits)
			}
			row[i] = float32(v)
		}
		logits = append(logits, row)
	}
	return logits
}

func qkv(more ...string) []string {
	return append([]string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, more...)
}

// Every family, with what makes it different: llama.cpp's logits of the
// converted file are those of the forward pass in Hugging Face's layout.
func TestEngineComputesEveryFamily(t *testing.T) {
	t.Parallel()
	models := map[string]func() *random{
		"llama": func() *random {
			m := newRandom("LlamaForCausalLM", "llama", map[string]any{"hidden_act": "silu", "attention_bias": true, "mlp_bias": true})
			m.bias = qkv("self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
			return m
		},
		"llama 3": func() *random {
			m := newRandom("LlamaForCausalLM", "llama", map[string]any{
				"hidden_act": "silu", "tie_word_embeddings": true, "rope_theta": 500000.0,
				"rope_scaling": map[string]any{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
			})
			m.tied, m.theta = true, 500000
			m.frequency = func(i int) float64 {
				f := m.pair(i)
				wave := 2 * math.Pi / f
				switch {
				case wave < 64./4:
					return f
				case wave > 64./1:
					return f / 8
				}
				smooth := (64/wave - 1) / (4 - 1)
				return (1-smooth)*f/8 + smooth*f
			}
			return m
		},
		"mistral with its own head size": func() *random {
			m := newRandom("MistralForCausalLM", "mistral", map[string]any{"hidden_act": "silu", "head_dim": 24, "sliding_window": nil})
			m.dim = 24
			return m
		},
		"llama with linear scaling": func() *random {
			m := newRandom("LlamaForCausalLM", "llama", map[string]any{"hidden_act": "silu", "rope_scaling": map[string]any{"type": "linear", "factor": 4.0}})
			m.frequency = func(i int) float64 { return m.pair(i) / 4 }
			return m
		},
		"qwen2": func() *random {
			m := newRandom("Qwen2ForCausalLM", "qwen2", map[string]any{"hidden_act": "silu", "rope_theta": 1e6, "use_sliding_window": false, "sliding_window": 8})
			m.theta, m.bias = 1e6, qkv()
			return m
		},
		"qwen2 with yarn": func() *random {
			m := newRandom("Qwen2ForCausalLM", "qwen2", map[string]any{
				"hidden_act": "silu", "tie_word_embeddings": true, "rope_parameters": map[string]any{"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 128},
			})
			m.tied, m.bias, m.amplitude = true, qkv(), 0.1*math.Log(4)+1
			place := func(turns float64) float64 { return 16 * math.Log(128/(turns*2*math.Pi)) / (2 * math.Log(10000)) }
			low, high := math.Floor(place(32)), math.Ceil(place(1))
			m.frequency = func(i int) float64 {
				ramp := max(0, min(1, (float64(i)-max(low, 0))/(min(high, 15)-max(low, 0))))
				return m.pair(i)/4*ramp + m.pair(i)*(1-ramp)
			}
			return m
		},
		"qwen3": func() *random {
			m := newRandom("Qwen3ForCausalLM", "qwen3", map[string]any{"hidden_act": "silu", "rope_theta": 1e6, "head_dim": 32})
			m.theta, m.dim, m.headNorms = 1e6, 32, true
			return m
		},
		"phi3": func() *random {
			m := newRandom("Phi3ForCausalLM", "phi3", map[string]any{"hidden_act": "silu", "sliding_window": 300, "original_max_position_embeddings": 512})
			m.fused = true
			return m
		},
		"phi3 with long context": func() *random {
			long, short := make([]float64, 6), make([]float64, 6)
			for i := range long {
				long[i], short[i] = 1.5+float64(i), 1+float64(i)/10
			}
			m := newRandom("Phi3ForCausalLM", "phi3", map[string]any{
				"hidden_act": "silu", "partial_rotary_factor": 0.75, "original_max_position_embeddings": 64,
				"rope_scaling": map[string]any{"type": "longrope", "long_factor": long, "short_factor": short},
			})
			m.fused, m.rotated, m.amplitude = true, 12, math.Sqrt(1+math.Log(8)/math.Log(64))
			m.frequency = func(i int) float64 { return m.pair(i) / long[i] }
			return m
		},
		"gemma2": func() *random {
			m := newRandom("Gemma2ForCausalLM", "gemma2", map[string]any{
				"hidden_activation": "gelu_pytorch_tanh", "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 7,
				"attn_logit_softcapping": 4.0, "final_logit_softcapping": 5.0,
			})
			m.dim, m.gemma, m.gelu, m.postNorms, m.tied = 32, true, true, true, true
			m.window, m.period, m.capScores, m.capLogits = 7, 2, 4, 5
			return m
		},
		"gemma3": func() *random {
			m := newRandom("Gemma3ForCausalLM", "gemma3_text", map[string]any{
				"hidden_activation": "gelu_pytorch_tanh", "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 7, "num_hidden_layers": 7,
				"rope_theta": 1e6, "rope_local_base_freq": 5000.0, "rope_scaling": map[string]any{"rope_type": "linear", "factor": 8.0},
			})
			m.layers, m.dim, m.gemma, m.gelu, m.postNorms, m.headNorms, m.tied = 7, 32, true, true, true, true, true
			m.window, m.period, m.theta, m.local = 7, 6, 1e6, 5000
			m.frequency = func(i int) float64 { return m.pair(i) / 8 }
			return m
		},
		"gemma3 with eyes": func() *random {
			m := newRandom("", "", map[string]any{"head_dim": 32, "sliding_window": 7, "rms_norm_eps": 1e-5, "layer_types": []string{"sliding_attention", "full_attention", "sliding_attention"}})
			delete(m.config, "architectures")
			delete(m.config, "model_type")
			m.config = map[string]any{"architectures": []string{"Gemma3ForConditionalGeneration"}, "model_type": "gemma3", "text_config": m.config, "vision_config": map[string]any{"hidden_size": 8}, "eos_token_id": []int{257}}
			m.prefix, m.head = "language_model.model.", "language_model.lm_head.weight"
			m.dim, m.gemma, m.gelu, m.postNorms, m.headNorms, m.tied = 32, true, true, true, true, true
			m.window, m.period, m.theta, m.local = 7, 2, 1e6, 10000
			return m
		},
	}
	for name, make := range models {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := make()
			dir := m.folder(t)
			out, report := convert(t, dir, Options{})
			for _, tensor := range report.Tensors {
				if !tensor.Exact {
					t.Errorf("%s: %+v", name, tensor)
				}
			}
			e := startEngine(t, out)
			r := rand.New(rand.NewPCG(1, 1))
			prompt := []int{}
			for range 24 {
				prompt = append(prompt, r.IntN(256))
			}
			// A byte that is no letter of its own is not reported at once.
			var halves []int
			for id := 128; id < m.vocab; id++ {
				halves = append(halves, id)
			}
			tokens, steps := e.logprobs(t, prompt, 6, m.vocab, halves...)
			want := m.forward(append(slices.Clone(prompt), tokens...))
			limit := 1e-5
			if m.gelu { // ggml looks it up in a table of half-precision numbers
				limit = 2e-3
			}
			got := difference(t, steps, want[len(prompt)-1:])
			if t.Logf("relative error %.2g; %q", got, report.Notes); got > limit {
				t.Errorf("relative error %.2g", got)
			}
		})
	}
}

// quantise packs the matrices of the layers in place: the forward pass then has
// the weights that the checkpoint stands for.
func (m *random) quantise(kind gptqtest.Kind, tensors []safetensors.Tensor) ([]safetensors.Tensor, map[string][]byte) {
	r := rand.New(rand.NewPCG(21, 22))
	var out []safetensors.Tensor
	data := make(map[string][]byte)
	for _, tensor := range tensors {
		module, ok := strings.CutSuffix(tensor.Name, "_proj.weight")
		if !ok {
			out = append(out, tensor)
			continue
		}
		module += "_proj"
		q := gptqtest.Quantise(kind, m.w[tensor.Name], int(tensor.Shape[1]), int(tensor.Shape[0]), r)
		m.w[tensor.Name] = q.Dequantise()
		more, packed := q.Tensors(module)
		out = append(out, more...)
		maps.Copy(data, packed)
	}
	return out, data
}

// Packed weights beside biases, and in fused matrices, whose halves take the
// order that undoes down_proj's act-order.
func TestEngineComputesPackedFamilies(t *testing.T) {
	t.Parallel()
	phi := newRandom("Phi3ForCausalLM", "phi3", map[string]any{"hidden_act": "silu"})
	phi.fused = true
	llama := newRandom("LlamaForCausalLM", "llama", map[string]any{"hidden_act": "silu"})
	llama.bias = qkv("self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
	qwen := newRandom("Qwen2ForCausalLM", "qwen2", map[string]any{"hidden_act": "silu"})
	qwen.bias = qkv()
	for name, m := range map[string]*random{"phi3": phi, "llama": llama, "qwen2": qwen} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := gptqtest.Kind{Bits: 8, GroupSize: 32, DescAct: true}
			m.config["quantization_config"] = kind.Config()
			tensors, packed := m.quantise(kind, m.tensors())
			dir := m.write(t, tensors, packed)
			out, report := convert(t, dir, Options{})
			undone := 0
			for _, tensor := range report.Tensors {
				if strings.Contains(tensor.Note, "act-order undone") && tensor.Exact && strings.Contains(tensor.Name, "ffn_down") {
					undone++
				}
			}
			if undone != m.layers {
				t.Errorf("act-order undone in %d matrices, not %d", undone, m.layers)
			}
			e := startEngine(t, floats(t, out))
			prompt := []int{72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100}
			var halves []int
			for id := 128; id < m.vocab; id++ {
				halves = append(halves, id)
			}
			// What act-order breaks elsewhere is dequantised, and costs some 2 %.
			tokens, steps := e.logprobs(t, prompt, 6, m.vocab, halves...)
			got := difference(t, steps, m.forward(append(slices.Clone(prompt), tokens...))[len(prompt)-1:])
			if t.Logf("relative error %.2g", got); got > 4e-2 {
				t.Errorf("relative error %.2g", got)
			}
		})
	}
}
