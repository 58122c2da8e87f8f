package huggingface

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"rxedge/inference/gguf"
	"rxedge/inference/gptq/gptqtest"
	"rxedge/inference/safetensors"
)

func testdata(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real file %s is not on this machine (RXEDGE_TESTDATA names the folder)", name)
	}
	return path
}

// stories is stories260K in Hugging Face's layout: the matrices by the name of
// their module, [out][in], its feed-forward layer padded with zeros from 172 to
// 192, which changes nothing.
type stories struct {
	dim, ffn, layers, heads, kvHeads, vocab, context int

	matrices map[string][]float32
	vectors  map[string][]float32
	pieces   []string
	scores   []float32

	// rounds: the inputs of packed matrices are rounded as ggml's CPU kernels
	// do; where order has the module, in blocks of inputs in that order.
	rounds bool
	order  map[string][]int
}

const storiesEps = 1e-5

func loadStories(t testing.TB) *stories {
	t.Helper()
	b, err := os.ReadFile(testdata(t, "models/stories260K/stories260K.bin"))
	if err != nil {
		t.Fatal(err)
	}
	n := func(i int) int { return int(int32(binary.LittleEndian.Uint32(b[4*i:]))) }
	m := &stories{dim: n(0), ffn: 192, layers: n(2), heads: n(3), kvHeads: n(4), vocab: n(5), context: n(6), matrices: make(map[string][]float32), vectors: make(map[string][]float32)}
	hidden, at := n(1), 28
	take := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[at+4*i:]))
		}
		at += 4 * n
		return out
	}
	d := m.dim / m.heads
	kv := d * m.kvHeads
	each := func(rows, columns int, name string, put func([]float32) []float32) {
		for l := range m.layers {
			w := take(rows * columns)
			if put != nil {
				w = put(w)
			}
			name := fmt.Sprintf("model.layers.%d.%s", l, name)
			if columns == 1 {
				m.vectors[name+".weight"] = w
			} else {
				m.matrices[name] = w
			}
		}
	}
	// llama2.c rotates neighbours; Hugging Face halves.
	halves := func(w []float32) []float32 {
		out := make([]float32, len(w))
		for r := range len(w) / m.dim {
			head, j := r/d, r%d
			to := head*d + j%2*(d/2) + j/2
			copy(out[to*m.dim:(to+1)*m.dim], w[r*m.dim:])
		}
		return out
	}
	moreRows := func(w []float32) []float32 { return append(w, make([]float32, (m.ffn-hidden)*m.dim)...) }
	moreColumns := func(w []float32) []float32 {
		out := make([]float32, m.dim*m.ffn)
		for r := range m.dim {
			copy(out[r*m.ffn:], w[r*hidden:(r+1)*hidden])
		}
		return out
	}
	m.matrices["model.embed_tokens"] = take(m.vocab * m.dim)
	each(m.dim, 1, "input_layernorm", nil)
	each(m.dim, m.dim, "self_attn.q_proj", halves)
	each(kv, m.dim, "self_attn.k_proj", halves)
	each(kv, m.dim, "self_attn.v_proj", nil)
	each(m.dim, m.dim, "self_attn.o_proj", nil)
	each(m.dim, 1, "post_attention_layernorm", nil)
	each(hidden, m.dim, "mlp.gate_proj", moreRows)
	each(m.dim, hidden, "mlp.down_proj", moreColumns)
	each(hidden, m.dim, "mlp.up_proj", moreRows)
	m.vectors["model.norm.weight"] = take(m.dim)

	if b, err = os.ReadFile(testdata(t, "models/stories260K/tok512.bin")); err != nil {
		t.Fatal(err)
	}
	for at := 4; at < len(b); {
		size := int(binary.LittleEndian.Uint32(b[at+4:]))
		m.scores = append(m.scores, math.Float32frombits(binary.LittleEndian.Uint32(b[at:])))
		m.pieces = append(m.pieces, string(b[at+8:at+8+size]))
		at += 8 + size
	}
	return m
}

func (m *stories) shape(module string) (in, out int) {
	kv := m.dim / m.heads * m.kvHeads
	switch module[strings.LastIndexByte(module, '.')+1:] {
	case "embed_tokens":
		return m.dim, m.vocab
	case "k_proj", "v_proj":
		return m.dim, kv
	case "gate_proj", "up_proj":
		return m.dim, m.ffn
	case "down_proj":
		return m.ffn, m.dim
	}
	return m.dim, m.dim
}

func (m *stories) config() map[string]any {
	return map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_act": "silu",
		"hidden_size": m.dim, "intermediate_size": m.ffn, "num_hidden_layers": m.layers, "num_attention_heads": m.heads, "num_key_value_heads": m.kvHeads,
		"vocab_size": m.vocab, "max_position_embeddings": m.context, "rms_norm_eps": storiesEps, "rope_theta": 10000.0, "rope_scaling": nil,
		"tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32",
	}
}

// tokenizer is the tokenizer.json that transformers makes of a SentencePiece
// model: for each piece every way to make it of two others, by score.
func (m *stories) tokenizer() map[string]any {
	piece := func(id int) string {
		switch id {
		case 0:
			return "<unk>"
		case 1:
			return "<s>"
		case 2:
			return "</s>"
		}
		return strings.ReplaceAll(m.pieces[id], " ", "▁")
	}
	vocab := make(map[string]int)
	for id := range m.pieces {
		vocab[piece(id)] = id
	}
	type made struct {
		pair  [2]string
		score float32
	}
	var all []made
	for id := 259; id < len(m.pieces); id++ {
		text := []rune(piece(id))
		for cut := 1; cut < len(text); cut++ {
			left, right := string(text[:cut]), string(text[cut:])
			if _, ok := vocab[left]; !ok {
				continue
			}
			if _, ok := vocab[right]; ok {
				all = append(all, made{[2]string{left, right}, m.scores[id]})
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].score > all[j].score })
	merges := make([]string, len(all))
	for i, a := range all {
		merges[i] = a.pair[0] + " " + a.pair[1]
	}
	special := func(id int) map[string]any {
		return map[string]any{"id": id, "content": piece(id), "special": true, "normalized": false, "lstrip": false, "rstrip": false, "single_word": false}
	}
	return map[string]any{
		"version": "1.0", "added_tokens": []any{special(0), special(1), special(2)},
		"normalizer": map[string]any{"type": "Sequence", "normalizers": []any{
			map[string]any{"type": "Prepend", "prepend": "▁"},
			map[string]any{"type": "Replace", "pattern": map[string]string{"String": " "}, "content": "▁"},
		}},
		"pre_tokenizer": nil,
		"post_processor": map[string]any{"type": "TemplateProcessing", "single": []any{
			map[string]any{"SpecialToken": map[string]any{"id": "<s>", "type_id": 0}},
			map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}},
		}},
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": true, "unk_token": "<unk>", "fuse_unk": true},
	}
}

// folder writes the model as a folder of Hugging Face and returns it with the
// weights that it now stands for. kind nil: plain weights in the dtype.
func (m *stories) folder(t testing.TB, kind *gptqtest.Kind, dtype safetensors.DType, shards int) (string, *stories) {
	t.Helper()
	dir := t.TempDir()
	config := m.config()
	if kind != nil {
		config["quantization_config"] = kind.Config()
	}
	writeJSON(t, dir, "config.json", config)
	writeJSON(t, dir, "tokenizer.json", m.tokenizer())
	writeJSON(t, dir, "tokenizer_config.json", map[string]any{
		"bos_token": "<s>", "eos_token": map[string]any{"content": "</s>", "__type": "AddedToken"}, "unk_token": "<unk>", "add_bos_token": true, "add_eos_token": false,
		"chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}", "tokenizer_class": "LlamaTokenizer",
	})
	writeJSON(t, dir, "generation_config.json", map[string]any{"bos_token_id": 1, "eos_token_id": []int{2}})
	now := &stories{}
	*now = *m
	now.matrices, now.order = make(map[string][]float32), make(map[string][]int)
	var tensors []safetensors.Tensor
	data := make(map[string][]byte)
	add := func(name string, w []float32, shape ...uint64) {
		var b []byte
		for _, v := range w {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		if dtype == safetensors.BF16 {
			short := make([]byte, 0, len(b)/2)
			for i := 2; i < len(b); i += 4 {
				short = append(short, b[i], b[i+1])
			}
			b = short
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: dtype, Shape: shape})
		data[name] = b
	}
	r := rand.New(rand.NewPCG(11, 12))
	for _, module := range sorted(m.matrices) {
		in, out := m.shape(module)
		w := m.matrices[module]
		if kind == nil || module == "model.embed_tokens" {
			if dtype == safetensors.BF16 {
				cut := make([]float32, len(w))
				for i, v := range w {
					cut[i] = math.Float32frombits(math.Float32bits(v) &^ 0xffff)
				}
				w = cut
			}
			add(module+".weight", w, uint64(out), uint64(in))
			now.matrices[module] = w
			continue
		}
		q := gptqtest.Quantise(*kind, w, in, out, r)
		now.matrices[module] = q.Dequantise()
		if order := byGroup(q.Group); kind.DescAct && strings.HasSuffix(module, "down_proj") && kind.GroupSize != -1 {
			now.order[module] = order
		}
		more, packed := q.Tensors(module)
		tensors = append(tensors, more...)
		for name, b := range packed {
			data[name] = b
		}
	}
	// Vectors stay float32: the reference then need not round them.
	dtype = safetensors.F32
	for _, name := range sorted(m.vectors) {
		add(name, m.vectors[name], uint64(m.dim))
	}
	writeShards(t, dir, tensors, data, shards)
	return dir, now
}

// byGroup is the inputs in the order of their groups.
func byGroup(group []int) []int {
	order := make([]int, len(group))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return group[order[a]] < group[order[b]] })
	return order
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func writeJSON(t testing.TB, dir, name string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func writeShards(t testing.TB, dir string, tensors []safetensors.Tensor, data map[string][]byte, shards int) {
	t.Helper()
	index := make(map[string]string)
	var total int64
	for s := range shards {
		part := tensors[s*len(tensors)/shards : (s+1)*len(tensors)/shards]
		name := safetensors.SingleName
		if shards > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", s+1, shards)
		}
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		w, err := safetensors.NewWriter(f, map[string]string{"format": "pt"}, part)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range part {
			index[tensor.Name] = name
			total += int64(len(data[tensor.Name]))
			if err := w.WriteTensor(tensor.Name, bytes.NewReader(data[tensor.Name])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if shards > 1 {
		if err := safetensors.WriteIndex(dir, index, total); err != nil {
			t.Fatal(err)
		}
	}
}

// forward is an independent float32 forward pass in Hugging Face's layout (after
// modeling_llama.py): it returns the logits behind each of the tokens.
func (m *stories) forward(tokens []int) [][]float32 {
	d := m.dim / m.heads
	kv := d * m.kvHeads
	var out [][]float32
	keys, values := make([][]float32, m.layers), make([][]float32, m.layers)
	for pos, token := range tokens {
		x := append([]float32(nil), m.matrices["model.embed_tokens"][token*m.dim:(token+1)*m.dim]...)
		for l := range m.layers {
			w := func(name string, x []float32) []float32 {
				return m.times(fmt.Sprintf("model.layers.%d.%s", l, name), x)
			}
			v := func(name string) []float32 { return m.vectors[fmt.Sprintf("model.layers.%d.%s.weight", l, name)] }
			h := norm(x, v("input_layernorm"))
			q, k := w("self_attn.q_proj", h), w("self_attn.k_proj", h)
			rotateHalves(q, d, pos)
			rotateHalves(k, d, pos)
			keys[l] = append(keys[l], k...)
			values[l] = append(values[l], w("self_attn.v_proj", h)...)
			mixed := make([]float32, m.dim)
			for head := range m.heads {
				from := head / (m.heads / m.kvHeads) * d
				weights := make([]float64, pos+1)
				var sum float64
				for t := range weights {
					var dot float64
					for i := range d {
						dot += float64(q[head*d+i]) * float64(keys[l][t*kv+from+i])
					}
					weights[t] = math.Exp(dot / math.Sqrt(float64(d)))
					sum += weights[t]
				}
				for t, weight := range weights {
					for i := range d {
						mixed[head*d+i] += float32(weight / sum * float64(values[l][t*kv+from+i]))
					}
				}
			}
			addTo(x, w("self_attn.o_proj", mixed))
			h = norm(x, v("post_attention_layernorm"))
			gate, up := w("mlp.gate_proj", h), w("mlp.up_proj", h)
			for i, g := range gate {
				gate[i] = float32(float64(g)/(1+math.Exp(-float64(g)))) * up[i]
			}
			addTo(x, w("mlp.down_proj", gate))
		}
		out = append(out, times(m.matrices["model.embed_tokens"], norm(x, m.vectors["model.norm.weight"])))
	}
	return out
}

func (m *stories) times(module string, x []float32) []float32 {
	if m.rounds {
		x = roundedLikeGGML(x, m.order[module])
	}
	return times(m.matrices[module], x)
}

// roundedLikeGGML is what ggml's CPU kernels make of the inputs of a matrix in
// blocks: 32 at a time they become 8-bit integers with a scale (Q8_0).
//
//go:norace
func roundedLikeGGML(x []float32, order []int) []float32 {
	at := func(i int) int {
		if order == nil {
			return i
		}
		return order[i]
	}
	out := make([]float32, len(x))
	for first := 0; first < len(x); first += 32 {
		var top float32
		for i := first; i < first+32; i++ {
			top = max(top, x[at(i)], -x[at(i)])
		}
		d := top / 127
		half := gguf.Float16ToFloat32(gguf.Float16(d))
		for i := first; i < first+32 && d != 0; i++ {
			out[at(i)] = half * float32(math.RoundToEven(float64(x[at(i)]*(127/top))))
		}
	}
	return out
}

func addTo(x, y []float32) {
	for i, v := range y {
		x[i] += v
	}
}

//go:norace
func times(w, x []float32) []float32 {
	out := make([]float32, len(w)/len(x))
	for r := range out {
		var sum float64
		for i, v := range x {
			sum += float64(w[r*len(x)+i]) * float64(v)
		}
		out[r] = float32(sum)
	}
	return out
}

func norm(x, weight []float32) []float32 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	scale := 1 / math.Sqrt(sum/float64(len(x))+storiesEps)
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = weight[i] * float32(float64(v)*scale)
	}
	return out
}

func rotateHalves(x []float32, d, pos int) {
	for head := 0; head < len(x); head += d {
		for i := range d / 2 {
			angle := float64(pos) * math.Pow(10000, -2*float64(i)/float64(d))
			c, s := math.Cos(angle), math.Sin(angle)
			a, b := float64(x[head+i]), float64(x[head+i+d/2])
			x[head+i], x[head+i+d/2] = float32(a*c-b*s), float32(b*c+a*s)
		}
	}
}

// encode is llama2.c's greedy merging by score.
func (m *stories) encode(text string) []int {
	find := func(s string) int {
		for id := 3; id < len(m.pieces); id++ {
			if m.pieces[id] == s {
				return id
			}
		}
		return -1
	}
	ids := []int{1}
	if text == "" {
		return ids
	}
	for _, r := range " " + text {
		if id := find(string(r)); id >= 0 {
			ids = append(ids, id)
			continue
		}
		for _, c := range []byte(string(r)) {
			ids = append(ids, int(c)+3)
		}
	}
	for {
		best, bestID, score := -1, -1, float32(-1e10)
		for i := 1; i+1 < len(ids); i++ {
			if id := find(m.pieces[ids[i]] + m.pieces[ids[i+1]]); id >= 0 && m.scores[id] > score {
				best, bestID, score = i, id, m.scores[id]
			}
		}
		if best < 0 {
			return ids
		}
		ids[best] = bestID
		ids = append(ids[:best+1], ids[best+2:]...)
	}
}
