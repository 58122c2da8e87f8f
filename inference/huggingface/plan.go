package huggingface

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"rxedge/inference/gguf"
	"rxedge/inference/gptq"
	"rxedge/inference/safetensors"
)

// item is one tensor of the GGUF file and where it comes from.
type item struct {
	name   string   // as llama.cpp calls it
	module string   // as the checkpoint does, with .weight or .bias where plain
	shape  []uint64 // ggml's order: row length first
	as     gguf.Type

	plain  safetensors.Tensor // where packed and values are nil
	packed *gptq.Matrix
	plan   gptq.Plan
	values []float32

	rows  func(int) int // the row of the source for each of ours; nil: the same
	shift float32       // added to every element
	note  string
}

func (it *item) tensor() gguf.Tensor {
	return gguf.Tensor{Name: it.name, Shape: it.shape, Type: it.as}
}

// planner finds the tensors of a model.
type planner struct {
	m      *model
	c      *safetensors.Checkpoint
	quant  *gptq.Config // nil: nothing is packed
	as     Type
	prefix string // before "embed_tokens.weight"
	head   string // before "weight" of the output matrix

	items   []*item
	used    map[string]bool
	missing []string
	wrong   []string // shapes
}

// prefixes under which transformers keeps the same model.
var prefixes = []struct{ body, head string }{
	{"model.", "lm_head"},
	{"language_model.model.", "language_model.lm_head"},
	{"model.language_model.", "lm_head"},
}

// leftOut are parts of a checkpoint that text needs nothing of.
var leftOut = []string{".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"}

func (p *planner) plan() error {
	p.used = make(map[string]bool)
	for _, f := range prefixes {
		if _, ok := p.c.Tensor(f.body + "embed_tokens.weight"); ok {
			p.prefix, p.head = f.body, f.head
			break
		}
	}
	if p.prefix == "" {
		p.prefix, p.head = prefixes[0].body, prefixes[0].head
	}
	m, f := p.m, p.m.family
	p.matrix("token_embd", p.prefix+"embed_tokens", m.hidden, m.vocabulary, nil)
	if !m.tied {
		p.matrix("output", p.head, m.hidden, m.vocabulary, nil)
	}
	p.used[p.head+".weight"] = true // the same numbers where it is tied
	for _, name := range gptq.Names(p.head) {
		p.used[name] = p.used[name] || m.tied
	}
	p.norm("output_norm", p.prefix+"norm", m.hidden)
	p.factors()
	for i := range m.layers {
		p.layer(i)
	}
	if err := p.complaints(); err != nil {
		return err
	}
	if f.arch == "gemma3" && p.prefix != prefixes[0].body {
		m.note("the parts of the model that see pictures are left out")
	}
	return p.unused()
}

// factors adds what rope scaling keeps as tensors.
func (p *planner) factors() {
	r := p.m.rope
	add := func(name string, values []float32) {
		p.items = append(p.items, &item{name: name, shape: []uint64{uint64(len(values))}, as: gguf.F32, values: values})
	}
	switch r.kind {
	case "llama3":
		add("rope_freqs.weight", r.long)
	case "longrope":
		add("rope_factors_long.weight", r.long)
		add("rope_factors_short.weight", r.short)
	}
}

func (p *planner) layer(i int) {
	m, f := p.m, p.m.family
	ours, theirs := fmt.Sprintf("blk.%d.", i), fmt.Sprintf("%slayers.%d.", p.prefix, i)
	attention, mlp := theirs+"self_attn.", theirs+"mlp."
	q, kv := m.heads*m.headDim, m.kvHeads*m.headDim

	p.norm(ours+"attn_norm", theirs+"input_layernorm", m.hidden)
	if f.fused {
		p.linear(ours+"attn_qkv", attention+"qkv_proj", m.hidden, q+2*kv, nil, true)
	} else {
		p.linear(ours+"attn_q", attention+"q_proj", m.hidden, q, m.halves(), true)
		p.linear(ours+"attn_k", attention+"k_proj", m.hidden, kv, m.halves(), true)
		p.linear(ours+"attn_v", attention+"v_proj", m.hidden, kv, nil, true)
	}
	if f.headNorms {
		p.norm(ours+"attn_q_norm", attention+"q_norm", m.headDim)
		p.norm(ours+"attn_k_norm", attention+"k_norm", m.headDim)
	}
	p.linear(ours+"attn_output", attention+"o_proj", q, m.hidden, nil, f.biases)
	ffnNorm := "post_attention_layernorm"
	if f.postNorms {
		p.norm(ours+"post_attention_norm", theirs+"post_attention_layernorm", m.hidden)
		p.norm(ours+"post_ffw_norm", theirs+"post_feedforward_layernorm", m.hidden)
		ffnNorm = "pre_feedforward_layernorm"
	}
	p.norm(ours+"ffn_norm", theirs+ffnNorm, m.hidden)

	// What gate and up put out in whatever order, down takes in that order: so
	// down's act-order can be undone, and the model stays the same.
	down := p.linear(ours+"ffn_down", mlp+"down_proj", m.ffn, m.hidden, nil, f.biases)
	order := p.mend(down)
	if f.fused {
		p.linear(ours+"ffn_up", mlp+"gate_up_proj", m.hidden, 2*m.ffn, twice(order), f.biases)
		return
	}
	p.linear(ours+"ffn_gate", mlp+"gate_proj", m.hidden, m.ffn, rowsOf(order), f.biases)
	p.linear(ours+"ffn_up", mlp+"up_proj", m.hidden, m.ffn, rowsOf(order), f.biases)
}

// maxMended bounds the packed matrices whose rows are put in another order, in
// bytes: they have to be in memory whole.
const maxMended = 256 << 20

// mend undoes the act-order of a layer's last matrix, where it has one that can
// be undone, and returns the order.
func (p *planner) mend(down *item) []int {
	if down == nil || down.packed == nil || down.packed.PackedBytes() > maxMended {
		return nil
	}
	order := down.packed.Mend()
	if order == nil || down.packed.Reorder(order) != nil {
		return nil
	}
	p.settle(down)
	down.note = strings.TrimPrefix(down.note+"; act-order undone by the order of what feeds it", "; ")
	return order
}

func rowsOf(order []int) func(int) int {
	if order == nil {
		return nil
	}
	return func(i int) int { return order[i] }
}

// twice is the order for two matrices one above the other.
func twice(order []int) func(int) int {
	if order == nil {
		return nil
	}
	n := len(order)
	return func(i int) int { return i/n*n + order[i%n] }
}

// halves is the row that each row of a query or key matrix is taken from:
// ggml's pairs are neighbours, Hugging Face's are half a head apart.
func (m *model) halves() func(int) int {
	if !m.family.permute {
		return nil
	}
	d := m.headDim
	return func(i int) int { return i/d*d + i%d/2 + i%2*d/2 }
}

// norm adds a vector of weights.
func (p *planner) norm(name, module string, n int) {
	it := p.vector(name+".weight", module+".weight", n)
	if it != nil && p.m.family.shiftNorms {
		it.shift = 1
	}
}

func (p *planner) vector(name, source string, n int) *item {
	t, ok := p.find(source, n)
	if !ok {
		return nil
	}
	if !t.DType.Float() {
		p.wrong = append(p.wrong, fmt.Sprintf("%s is of the dtype %s, no floating-point one", source, t.DType))
		return nil
	}
	it := &item{name: name, module: source, shape: []uint64{uint64(n)}, as: gguf.F32, plain: t}
	p.items = append(p.items, it)
	return it
}

// find looks a tensor up; what is missing or of another shape is noted.
func (p *planner) find(name string, shape ...int) (safetensors.Tensor, bool) {
	p.used[name] = true
	t, ok := p.c.Tensor(name)
	if !ok {
		p.missing = append(p.missing, name)
		return t, false
	}
	same := len(t.Shape) == len(shape)
	for i := range shape {
		same = same && t.Shape[i] == uint64(shape[i])
	}
	if !same {
		p.wrong = append(p.wrong, fmt.Sprintf("%s has the shape %v and config.json calls for %v", name, t.Shape, shape))
	}
	return t, same
}

// linear adds a matrix and, where the checkpoint has one, its bias. Where
// llama.cpp adds none there, a bias must be all zeros.
func (p *planner) linear(name, module string, in, out int, rows func(int) int, bias bool) *item {
	it := p.matrix(name, module, in, out, rows)
	source := module + ".bias"
	t, ok := p.c.Tensor(source)
	if !ok {
		return it
	}
	zero, err := p.zero(t)
	switch {
	case err != nil:
		p.wrong = append(p.wrong, err.Error())
	case zero:
		p.used[source] = true
	case !bias:
		p.wrong = append(p.wrong, fmt.Sprintf("%s is not zero, and llama.cpp adds no such bias for %s", source, p.m.family.arch))
	default:
		if b := p.vector(name+".bias", source, out); b != nil {
			b.rows = rows
		}
	}
	return it
}

// zero says whether all of a small tensor's numbers are 0.
func (p *planner) zero(t safetensors.Tensor) (bool, error) {
	if !t.DType.Float() || t.Bytes() > 1<<26 {
		return false, fmt.Errorf("%s is no vector of floating-point numbers", t.Name)
	}
	b, err := p.c.ReadAll(t)
	if err != nil {
		return false, err
	}
	v, err := safetensors.Floats(nil, b, t.DType)
	return !slices.ContainsFunc(v, func(f float32) bool { return f != 0 }), err
}

// matrix adds a matrix of in inputs and out outputs, packed or plain.
func (p *planner) matrix(name, module string, in, out int, rows func(int) int) *item {
	it := &item{name: name + ".weight", shape: []uint64{uint64(in), uint64(out)}, rows: rows}
	if p.quant != nil && gptq.Has(p.c, module) {
		for _, n := range gptq.Names(module) {
			p.used[n] = true
		}
		var err error
		if it.packed, err = gptq.Open(p.c, *p.quant, module, in, out); err != nil {
			p.wrong = append(p.wrong, err.Error())
			return nil
		}
		it.module = module
		p.settle(it)
		p.items = append(p.items, it)
		return it
	}
	it.module = module + ".weight"
	t, ok := p.find(it.module, out, in)
	if !ok {
		return nil
	}
	it.plain = t
	if it.as, it.note = p.as.of(t.DType, it.name, in); it.as.BlockSize() == 0 {
		p.wrong = append(p.wrong, fmt.Sprintf("%s is of the dtype %s, no floating-point one", it.module, t.DType))
		return nil
	}
	p.items = append(p.items, it)
	return it
}

func (p *planner) settle(it *item) {
	it.plan = it.packed.Plan()
	it.as, it.note = it.plan.Type, it.plan.Note
}

// of is the type of a plain matrix with rows of n.
func (as Type) of(d safetensors.DType, name string, n int) (gguf.Type, string) {
	kept := map[safetensors.DType]gguf.Type{safetensors.F64: gguf.F32, safetensors.F32: gguf.F32, safetensors.F16: gguf.F16, safetensors.BF16: gguf.BF16}
	t, ok := kept[d]
	if !ok {
		return gguf.Type(math.MaxUint32), ""
	}
	switch as {
	case F16:
		t = gguf.F16
	case Q8_0:
		t = gguf.Q8_0
	case Q4_0:
		t = gguf.Q4_0
		// What every token passes through shows errors most.
		if name == "token_embd.weight" || name == "output.weight" {
			t = gguf.Q8_0
		}
	}
	if n%t.BlockSize() != 0 {
		return gguf.F16, fmt.Sprintf("rows of %d are no multiple of the block of %d", n, t.BlockSize())
	}
	return t, ""
}

const named = 8 // of what is missing or wrong, in an error

// complaints are the error for what is missing or wrong.
func (p *planner) complaints() error {
	list := func(what []string) string {
		rest := ""
		if len(what) > named {
			rest = fmt.Sprintf(" and %d more", len(what)-named)
			what = what[:named]
		}
		return strings.Join(what, ", ") + rest
	}
	var parts []string
	if len(p.missing) > 0 {
		parts = append(parts, fmt.Sprintf("%d tensors are missing: %s", len(p.missing), list(p.missing)))
	}
	if len(p.wrong) > 0 {
		parts = append(parts, list(p.wrong))
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New(strings.Join(parts, "; "))
}

// unused refuses tensors that no one asked for: the model would be another.
func (p *planner) unused() error {
	var left []string
	for _, t := range p.c.Tensors() {
		ignored := p.used[t.Name] || slices.ContainsFunc(leftOut, func(s string) bool { return strings.HasSuffix(t.Name, s) })
		// What sees pictures lies beside the language model.
		if p.m.family.arch == "gemma3" && p.prefix != prefixes[0].body {
			ignored = ignored || strings.Contains(t.Name, "vision_tower.") || strings.Contains(t.Name, "multi_modal_projector.")
		}
		if !ignored {
			left = append(left, t.Name)
		}
	}
	if len(left) == 0 {
		return nil
	}
	sort.Strings(left)
	n := len(left)
	return fmt.Errorf("%d tensors of the checkpoint have no place in the architecture %s: %s", n, p.m.family.arch, strings.Join(left[:min(n, named)], ", "))
}
