package bert

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"rxedge/inference/gguf"
	"rxedge/inference/safetensors"
)

// step is one tensor of the GGUF and where its rows come from.
type step struct {
	target gguf.Tensor
	parts  []part
}

// part is rows of a tensor of the checkpoint, with a vector added to each.
type part struct {
	source safetensors.Tensor // the zero Tensor: zeros
	from   int                // first row
	rows   int
	width  int
	add    []float32 // nil: nothing
}

// planner finds the tensors of the checkpoint and keeps the first error.
type planner struct {
	c      *config
	ckpt   *safetensors.Checkpoint
	matrix gguf.Type
	prefix string
	taken  map[string]bool
	steps  []step
	err    error
}

// plan says how every tensor of the GGUF is made. Every tensor of the
// checkpoint is accounted for; left are those that the model has no use for.
func plan(c *config, ckpt *safetensors.Checkpoint, matrix gguf.Type) (steps []step, left []string, err error) {
	p := &planner{c: c, ckpt: ckpt, matrix: matrix, taken: make(map[string]bool)}
	const words = "embeddings.word_embeddings.weight"
	found := false
	for _, p.prefix = range []string{"bert.", "roberta.", ""} {
		if _, found = ckpt.Tensor(p.prefix + words); found {
			break
		}
	}
	if !found {
		return nil, nil, fmt.Errorf("the checkpoint has no tensor %s: it is no BERT, or not as transformers writes it", words)
	}
	p.embeddings()
	for i := range c.layers {
		p.layer(i)
	}
	p.head()
	if p.err != nil {
		return nil, nil, p.err
	}
	for _, t := range ckpt.Tensors() {
		switch rest := strings.TrimPrefix(t.Name, p.prefix); {
		case p.taken[t.Name]:
		case rest == "embeddings.position_ids", rest == "embeddings.token_type_ids", // counted, not learnt
			strings.HasPrefix(rest, "pooler."),                                       // encoders pool without it
			strings.HasPrefix(t.Name, "cls."), strings.HasPrefix(t.Name, "lm_head."): // what it was pretrained with
			left = append(left, t.Name)
		default:
			return nil, nil, fmt.Errorf("the checkpoint holds the tensor %.200q, which a %s of %d layers does not have; config.json may belong to another model", t.Name, c.architecture, c.layers)
		}
	}
	sort.Strings(left)
	return p.steps, left, nil
}

// find takes a tensor by the first of its names that is there and checks its
// shape.
func (p *planner) find(shape []int, names ...string) (safetensors.Tensor, bool) {
	for _, name := range names {
		t, ok := p.ckpt.Tensor(name)
		if !ok {
			continue
		}
		p.taken[name] = true
		same := len(t.Shape) == len(shape)
		for i := range shape {
			same = same && t.Shape[i] == uint64(shape[i])
		}
		if !same {
			p.fail("%s: tensor %s has the shape %s, and config.json says %v", p.ckpt.File(t), name, t.ShapeText(), shape)
			return t, false
		}
		if !t.DType.Float() {
			p.fail("%s: tensor %s holds %s and no floating-point numbers", p.ckpt.File(t), name, t.DType)
			return t, false
		}
		return t, true
	}
	p.fail("the checkpoint has no tensor %s", names[0])
	return safetensors.Tensor{}, false
}

func (p *planner) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *planner) put(name string, as gguf.Type, width int, parts ...part) {
	rows := 0
	for i := range parts {
		parts[i].width = width
		rows += parts[i].rows
	}
	if width%max(as.BlockSize(), 1) != 0 {
		as = gguf.F16 // Q8_0's blocks of 32 do not part such a row
	}
	p.steps = append(p.steps, step{gguf.Tensor{Name: name, Shape: []uint64{uint64(width), uint64(rows)}, Type: as}, parts})
}

// vector writes a bias or a norm, which llama.cpp wants in full precision.
func (p *planner) vector(target string, n int, names ...string) {
	if t, ok := p.find([]int{n}, names...); ok {
		p.steps = append(p.steps, step{gguf.Tensor{Name: target, Shape: []uint64{uint64(n)}, Type: gguf.F32}, []part{{source: t, rows: 1, width: n}}})
	}
}

func (p *planner) linear(target, name string, as gguf.Type, in, out int) {
	if t, ok := p.find([]int{out, in}, name+".weight"); ok {
		p.put(target+".weight", as, in, part{source: t, rows: out})
	}
	p.vector(target+".bias", out, name+".bias")
}

func (p *planner) norm(target, name string) {
	p.vector(target+".weight", p.c.hidden, name+".weight", name+".gamma")
	p.vector(target+".bias", p.c.hidden, name+".bias", name+".beta")
}

func (p *planner) embeddings() {
	c, pre := p.c, p.prefix+"embeddings."
	words, _ := p.find([]int{c.vocabulary, c.hidden}, pre+"word_embeddings.weight")
	positions, _ := p.find([]int{c.positions, c.hidden}, pre+"position_embeddings.weight")
	segments, ok := p.find([]int{c.segments, c.hidden}, pre+"token_type_embeddings.weight")
	if !ok || p.err != nil {
		return
	}
	table := []part{{source: words, rows: c.vocabulary}}
	kinds := part{source: segments, rows: c.segments}
	if c.doubled() {
		vectors, err := p.floats(segments)
		if err != nil {
			p.err = err
			return
		}
		table = append(table, table[0])
		table[0].add, table[1].add = vectors[:c.hidden], vectors[c.hidden:2*c.hidden]
		kinds.source = safetensors.Tensor{}
	}
	p.put("token_embd.weight", p.matrix, c.hidden, table...)
	p.put("position_embd.weight", gguf.F32, c.hidden, part{source: positions, from: c.firstPosition(), rows: c.maxTokens()})
	p.put("token_types.weight", gguf.F32, c.hidden, kinds)
	p.norm("token_embd_norm", pre+"LayerNorm")
}

func (p *planner) floats(t safetensors.Tensor) ([]float32, error) {
	b, err := p.ckpt.ReadAll(t)
	if err != nil {
		return nil, err
	}
	return safetensors.Floats(nil, b, t.DType)
}

func (p *planner) layer(i int) {
	c, from, to := p.c, fmt.Sprintf("%sencoder.layer.%d.", p.prefix, i), fmt.Sprintf("blk.%d.", i)
	p.linear(to+"attn_q", from+"attention.self.query", p.matrix, c.hidden, c.hidden)
	p.linear(to+"attn_k", from+"attention.self.key", p.matrix, c.hidden, c.hidden)
	p.linear(to+"attn_v", from+"attention.self.value", p.matrix, c.hidden, c.hidden)
	p.linear(to+"attn_output", from+"attention.output.dense", p.matrix, c.hidden, c.hidden)
	p.norm(to+"attn_output_norm", from+"attention.output.LayerNorm")
	p.linear(to+"ffn_up", from+"intermediate.dense", p.matrix, c.hidden, c.ffn)
	p.linear(to+"ffn_down", from+"output.dense", p.matrix, c.ffn, c.hidden)
	p.norm(to+"layer_output_norm", from+"output.LayerNorm")
}

// head is small and decides: it stays in full precision.
func (p *planner) head() {
	if p.c.kind == Encoder {
		return
	}
	dense, out := p.prefix+"pooler.dense", "classifier"
	if p.c.roberta {
		dense, out = "classifier.dense", "classifier.out_proj"
	}
	p.linear("cls", dense, gguf.F32, p.c.hidden, p.c.hidden)
	p.linear("cls.output", out, gguf.F32, p.c.hidden, len(p.c.labels))
}

// metadata of the model, the tokenizer aside.
func (c *config) metadata(name string, as gguf.Type) *gguf.Metadata {
	m := &gguf.Metadata{}
	m.Set("general.architecture", "bert")
	m.Set("general.type", "model")
	if name != "" {
		m.Set("general.name", name)
	}
	m.Set("general.file_type", fileTypes[as])
	m.Set("bert.vocab_size", uint32(c.tokens()))
	m.Set("bert.block_count", uint32(c.layers))
	m.Set("bert.context_length", uint32(c.maxTokens()))
	m.Set("bert.embedding_length", uint32(c.hidden))
	m.Set("bert.feed_forward_length", uint32(c.ffn))
	m.Set("bert.attention.head_count", uint32(c.heads))
	m.Set("bert.attention.layer_norm_epsilon", float32(c.eps))
	m.Set("bert.attention.causal", false)
	m.Set("bert.pooling_type", poolingNumbers[c.pooling])
	if c.kind != Encoder {
		m.Set(keyLabels, slices.Clone(c.labels))
		// The engine copies so many numbers of a classifier's answer.
		m.Set("bert.embedding_length_out", uint32(len(c.labels)))
	}
	return m
}

// tokens is the number of ids that the model takes.
func (c *config) tokens() int {
	if c.doubled() {
		return 2 * c.vocabulary
	}
	return c.vocabulary
}

// llama.cpp's enum llama_ftype.
var fileTypes = map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.Q8_0: 7}
