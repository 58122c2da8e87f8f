package huggingface

import (
	"fmt"
	"math"
	"slices"

	"rxedge/inference/gguf"
)

// family is one of llama.cpp's architectures and the models that become it.
type family struct {
	arch     string   // general.architecture
	kinds    []string // model_type
	classes  []string // architectures
	acts     []string // hidden_act that the graph computes
	defaults defaults

	// permute: ggml rotates neighbouring pairs of a head's elements for this
	// architecture, Hugging Face's weights are laid out for halves.
	permute bool
	// shiftNorms: the norms' weights are stored less 1.
	shiftNorms bool
	headNorms  bool // norms of queries and keys
	postNorms  bool // norms behind attention and feed-forward layer
	fused      bool // q, k and v in one matrix, gate and up in another
	biases     bool // llama.cpp adds biases of all projections; else of q, k, v only
	plainHeads bool // the heads divide the hidden state exactly
	tied       bool // there never is an output matrix of its own

	check    func(*model)
	metadata func(*model, *gguf.Metadata)
}

// defaults of a config.json that leaves keys out; 0: the key must be there.
type defaults struct {
	hidden, ffn, layers, heads, kvHeads, headDim, vocabulary, positions int

	act   string
	tied  bool
	theta float64
	eps   float64
}

// gemmaActs are the two names of the same tanh approximation of GELU.
var gemmaActs = []string{"gelu_pytorch_tanh", "gelu_new"}

var families = []*family{
	{
		arch: "llama", kinds: []string{"llama", "mistral"}, classes: []string{"LlamaForCausalLM", "MistralForCausalLM"},
		acts: []string{"silu"}, defaults: defaults{act: "silu", theta: 10000, eps: 1e-6},
		permute: true, biases: true, check: checkWindow,
	},
	{
		arch: "qwen2", kinds: []string{"qwen2"}, classes: []string{"Qwen2ForCausalLM"},
		acts: []string{"silu"}, defaults: defaults{act: "silu", theta: 10000, eps: 1e-6},
		plainHeads: true, check: checkWindow,
	},
	{
		arch: "qwen3", kinds: []string{"qwen3"}, classes: []string{"Qwen3ForCausalLM"},
		acts: []string{"silu"}, defaults: defaults{headDim: 128, act: "silu", theta: 10000, eps: 1e-6},
		headNorms: true, check: checkWindow,
	},
	{
		arch: "phi3", kinds: []string{"phi3"}, classes: []string{"Phi3ForCausalLM"},
		acts: []string{"silu"}, defaults: defaults{act: "silu", theta: 10000, eps: 1e-5},
		fused: true, plainHeads: true, check: checkWindow, metadata: phiMetadata,
	},
	{
		arch: "gemma2", kinds: []string{"gemma2"}, classes: []string{"Gemma2ForCausalLM"},
		acts:       gemmaActs,
		defaults:   defaults{headDim: 256, kvHeads: 4, act: "gelu_pytorch_tanh", tied: true, theta: 10000, eps: 1e-6},
		shiftNorms: true, postNorms: true, tied: true, check: checkGemma, metadata: gemma2Metadata,
	},
	{
		arch: "gemma3", kinds: []string{"gemma3_text", "gemma3"}, classes: []string{"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"},
		acts: gemmaActs,
		defaults: defaults{
			hidden: 2304, ffn: 9216, layers: 26, heads: 8, kvHeads: 4, headDim: 256, vocabulary: 262208, positions: 131072,
			act: "gelu_pytorch_tanh", tied: true, theta: 1e6, eps: 1e-6,
		},
		shiftNorms: true, headNorms: true, postNorms: true, check: checkGemma, metadata: gemma3Metadata,
	},
}

func familyOf(kind string, classes []string) *family {
	for _, f := range families {
		for _, c := range classes {
			if slices.Contains(f.classes, c) {
				return f
			}
		}
	}
	for _, f := range families {
		if len(classes) == 0 && slices.Contains(f.kinds, kind) {
			return f
		}
	}
	return nil
}

func supported() []string {
	var out []string
	for _, f := range families {
		out = append(out, f.classes...)
	}
	return out
}

// checkWindow: llama.cpp attends to everything in these architectures, which is
// the same as a sliding window up to its length.
func checkWindow(m *model) {
	if !m.has("sliding_window") || m.has("use_sliding_window") && !m.flag("use_sliding_window", false) {
		return
	}
	if window := m.count("sliding_window", 1); window < m.positions {
		m.note("attention reaches over the whole context, not over a sliding window of %d tokens; texts up to that length are the same", window)
	}
}

// windowPeriod is how many layers it takes to come to one that attends to
// everything: the last of each period.
func windowPeriod(m *model) int {
	period := map[string]int{"gemma2": 2, "gemma3": 6}[m.family.arch]
	period = m.count("sliding_window_pattern", period)
	var kinds []string
	if m.decode("layer_types", &kinds) {
		if first := slices.Index(kinds, "full_attention"); first >= 0 {
			period = first + 1
		} else {
			period = len(kinds) + 1
		}
		for i, kind := range kinds {
			want := "sliding_attention"
			if (i+1)%period == 0 {
				want = "full_attention"
			}
			if kind != want {
				m.unsupported("layer_types", fmt.Sprintf("%q at layer %d", kind, i), fmt.Sprintf("%q is, as the layers before repeat", want))
			}
		}
	}
	return period
}

func checkGemma(m *model) {
	want := float64(m.headDim)
	if big := map[string]int{"gemma2": 46, "gemma3": 62}[m.family.arch]; m.layers == big {
		want = float64(m.hidden / m.heads) // llama.cpp tells the 27B models by their layers
	}
	if got := m.number("query_pre_attn_scalar", want); got != want {
		m.unsupported("query_pre_attn_scalar", got, fmt.Sprintf("%v is", want))
	}
	if m.family.arch == "gemma3" && m.has("attn_logit_softcapping") {
		m.unsupported("attn_logit_softcapping", m.number("attn_logit_softcapping", 0), "gemma3 has none")
	}
	if m.flag("use_bidirectional_attention", false) {
		m.unsupported("use_bidirectional_attention", true, "false is")
	}
	windowPeriod(m)
}

func gemma2Metadata(m *model, g *gguf.Metadata) {
	g.Set("gemma2.attn_logit_softcapping", float32(m.number("attn_logit_softcapping", 50)))
	g.Set("gemma2.final_logit_softcapping", float32(m.number("final_logit_softcapping", 30)))
	g.Set("gemma2.attention.sliding_window", uint32(m.count("sliding_window", 4096)))
	g.Set("gemma2.attention.sliding_window_pattern", uint32(windowPeriod(m)))
}

func gemma3Metadata(m *model, g *gguf.Metadata) {
	if m.has("final_logit_softcapping") {
		g.Set("gemma3.final_logit_softcapping", float32(m.number("final_logit_softcapping", 0)))
	}
	if period := windowPeriod(m); period > 1 {
		g.Set("gemma3.attention.sliding_window", uint32(m.count("sliding_window", 4096)))
		g.Set("gemma3.attention.sliding_window_pattern", uint32(period))
	}
	g.Set("gemma3.rope.freq_base_swa", float32(m.rope.localTheta))
}

func phiMetadata(m *model, g *gguf.Metadata) {
	g.Set("phi3.attention.sliding_window", uint32(0))
}

// rope is how positions are turned into angles.
type rope struct {
	kind              string // "", linear, llama3, yarn, longrope
	theta, localTheta float64
	dims              int // of a head that are rotated
	factor            float64
	original          int // the context before it was stretched
	attention         float64
	betaFast          float64
	betaSlow          float64
	long, short       []float32 // longrope's factors, or llama3's in long
}

func (m *model) readRope() {
	r := &m.rope
	d := m.family.defaults
	scaling := m.object("rope_scaling")
	if p := m.object("rope_parameters"); p != nil { // transformers 5
		scaling = p
	}
	if scaling == nil {
		scaling = &settings{file: m.file}
	}
	local := 10000.0
	if full := scaling.object("full_attention"); full != nil {
		if sliding := scaling.object("sliding_attention"); sliding != nil {
			local = sliding.number("rope_theta", local)
		}
		scaling = full
	}
	r.theta = scaling.number("rope_theta", m.number("rope_theta", d.theta))
	r.localTheta = m.number("rope_local_base_freq", local)
	part := scaling.number("partial_rotary_factor", m.number("partial_rotary_factor", 1))
	r.dims = int(part * float64(m.headDim))
	if r.dims < 2 || r.dims > m.headDim || r.dims%2 != 0 || r.dims != m.headDim && m.family.arch != "phi3" {
		m.unsupported("partial_rotary_factor", part, "1 is, and for Phi-3 what makes an even number of elements")
		return
	}
	r.kind = scaling.text("rope_type", scaling.text("type", "default"))
	r.factor = scaling.number("factor", 1)
	r.original = scaling.count("original_max_position_embeddings", m.count("original_max_position_embeddings", m.positions))
	r.attention = scaling.number("attention_factor", 0)
	r.betaFast, r.betaSlow = scaling.number("beta_fast", 32), scaling.number("beta_slow", 1)
	if only, ok := map[string]string{"llama3": "llama", "su": "phi3", "longrope": "phi3"}[r.kind]; ok && m.family.arch != only {
		m.unsupported("rope_scaling.rope_type", fmt.Sprintf("%q", r.kind), "not for "+m.family.arch)
		return
	}
	switch r.kind {
	case "default", "none":
		r.kind = ""
	case "dynamic":
		m.note("rope scaling %q only changes what lies beyond the context of %d tokens, and is left out", r.kind, m.positions)
		r.kind = ""
	case "linear":
		if !(r.factor >= 1) {
			scaling.unsupported("factor", r.factor, "1 or more is")
		}
	case "yarn":
		if !(r.factor > 1) {
			scaling.unsupported("factor", r.factor, "more than 1 is")
		}
	case "llama3":
		m.llama3Factors(scaling)
	case "su", "longrope":
		r.kind = "longrope"
		m.longFactors(scaling)
	default:
		scaling.unsupported("rope_type", fmt.Sprintf("%q", r.kind), "default, linear, dynamic, llama3, yarn and longrope are")
	}
	if m.family.arch == "gemma2" && r.kind != "" {
		m.unsupported("rope_scaling.rope_type", fmt.Sprintf("%q", r.kind), "gemma2 has none")
	}
	if m.err == nil {
		m.err = scaling.err
	}
}

// llama3Factors is what each frequency is divided by: nothing where the wave is
// short, factor where it is longer than the original context, and between the
// two ends a smooth step. Source: _compute_llama3_parameters of transformers'
// modeling_rope_utils.py.
func (m *model) llama3Factors(s *settings) {
	r := &m.rope
	low, high := s.number("low_freq_factor", 1), s.number("high_freq_factor", 4)
	if !(low > 0 && high > low && r.factor > 0) {
		s.unsupported("low_freq_factor", low, fmt.Sprintf("with high_freq_factor %v and factor %v", high, r.factor))
		return
	}
	for i := range r.dims / 2 {
		frequency := math.Pow(r.theta, -float64(2*i)/float64(r.dims))
		turns := float64(r.original) * frequency / (2 * math.Pi) // within the original context
		switch {
		case turns > high:
			r.long = append(r.long, 1)
		case turns < low:
			r.long = append(r.long, float32(r.factor))
		default:
			smooth := (turns - low) / (high - low)
			r.long = append(r.long, float32(1/((1-smooth)/r.factor+smooth)))
		}
	}
}

func (m *model) longFactors(s *settings) {
	r := &m.rope
	s.decode("long_factor", &r.long)
	s.decode("short_factor", &r.short)
	for key, v := range map[string][]float32{"long_factor": r.long, "short_factor": r.short} {
		if len(v) != r.dims/2 {
			s.fail(key, "has %d numbers and should have %d", len(v), r.dims/2)
		}
	}
	// Source: _compute_longrope_parameters of the same file.
	scale := float64(m.positions) / float64(r.original)
	if r.original == m.positions {
		scale = r.factor
	}
	if r.attention == 0 {
		r.attention = 1
		if scale > 1 {
			r.attention = math.Sqrt(1 + math.Log(scale)/math.Log(float64(r.original)))
		}
	}
}

func (m *model) ropeMetadata(g *gguf.Metadata) {
	r, arch := m.rope, m.family.arch
	g.Set(arch+".rope.dimension_count", uint32(r.dims))
	g.Set(arch+".rope.freq_base", float32(r.theta))
	switch r.kind {
	case "linear", "yarn":
		g.Set(arch+".rope.scaling.type", r.kind)
		g.Set(arch+".rope.scaling.factor", float32(r.factor))
	}
	switch r.kind {
	case "yarn":
		g.Set(arch+".rope.scaling.original_context_length", uint32(r.original))
		g.Set(arch+".rope.scaling.yarn_beta_fast", float32(r.betaFast))
		g.Set(arch+".rope.scaling.yarn_beta_slow", float32(r.betaSlow))
		if r.attention > 0 { // llama.cpp multiplies what follows from the factor
			g.Set(arch+".rope.scaling.attn_factor", float32(r.attention/(0.1*math.Log(r.factor)+1)))
		}
	case "longrope":
		g.Set(arch+".rope.scaling.original_context_length", uint32(r.original))
		g.Set(arch+".rope.scaling.attn_factor", float32(r.attention))
	}
}

// metadata says everything but the tokenizer.
func (m *model) metadata(g *gguf.Metadata, name, licence string, fileType uint32) {
	arch := m.family.arch
	g.Set("general.architecture", arch)
	g.Set("general.type", "model")
	if name != "" {
		g.Set("general.name", name)
	}
	if licence != "" {
		g.Set("general.license", licence)
	}
	g.Set("general.file_type", fileType)
	g.Set("general.quantization_version", uint32(2))
	for _, p := range []struct {
		key   string
		value int
	}{
		{"vocab_size", m.vocabulary},
		{"context_length", m.positions},
		{"embedding_length", m.hidden},
		{"block_count", m.layers},
		{"feed_forward_length", m.ffn},
		{"attention.head_count", m.heads},
		{"attention.head_count_kv", m.kvHeads},
		{"attention.key_length", m.headDim},
		{"attention.value_length", m.headDim},
	} {
		g.Set(arch+"."+p.key, uint32(p.value))
	}
	g.Set(arch+".attention.layer_norm_rms_epsilon", float32(m.number("rms_norm_eps", m.family.defaults.eps)))
	m.ropeMetadata(g)
	if m.family.metadata != nil {
		m.family.metadata(m, g)
	}
}
