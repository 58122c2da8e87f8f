package huggingface

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"rxedge/inference/gguf"
	"rxedge/inference/safetensors"
)

// stream is endless numbers: random words with mask and set applied.
type stream struct {
	state     uint64
	mask, set uint64
	left      []byte
	word      [8]byte
}

func (s *stream) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(s.left) == 0 {
			s.state ^= s.state << 13
			s.state ^= s.state >> 7
			s.state ^= s.state << 17
			word := s.state&s.mask | s.set
			for len(p)-n >= 8 {
				binary.LittleEndian.PutUint64(p[n:], word)
				n += 8
				s.state ^= s.state << 13
				s.state ^= s.state >> 7
				s.state ^= s.state << 17
				word = s.state&s.mask | s.set
			}
			binary.LittleEndian.PutUint64(s.word[:], word)
			s.left = s.word[:]
		}
		k := copy(p[n:], s.left)
		s.left = s.left[k:]
		n += k
	}
	return n, nil
}

// A checkpoint of random numbers in the shape of Qwen2.5-7B-Instruct-GPTQ-Int4,
// in shards of about 2 GB as its publisher's, is imported with less than 1 GB of
// memory. It takes 12 GB of disk and some minutes:
//
//	go test -c -o big.test ./inference/huggingface
//	RXEDGE_BIG=1 /usr/bin/time -v ./big.test -test.run TestSevenB -test.v
//
// RXEDGE_BIG_DIR names a folder in which the checkpoint and the GGUF file stay,
// for more to be done with them.
func TestSevenB(t *testing.T) {
	if os.Getenv("RXEDGE_BIG") == "" {
		t.Skip("RXEDGE_BIG is not set: it writes 12 GB")
	}
	dir := os.Getenv("RXEDGE_BIG_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	source := filepath.Join(dir, "random-7b-gptq")
	if err := os.MkdirAll(source, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(source, safetensors.IndexName)); err != nil {
		writeSevenB(t, source)
	}
	debug.FreeOSMemory()
	began := time.Now()
	out := filepath.Join(dir, "random-7b.gguf")
	r, err := Convert(t.Context(), source, out, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.2f GB in %v (%.0f MB/s), peak memory %d MB", float64(r.Size)/1e9, took.Round(time.Second), float64(r.Size)/1e6/took.Seconds(), use.Maxrss>>10)
	for _, line := range r.Summary() {
		t.Log(line)
	}
	if use.Maxrss > 1<<20 {
		t.Errorf("the import took %d MB of memory", use.Maxrss>>10)
	}
	f, err := gguf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	q4 := 0
	for _, tensor := range f.Tensors {
		if tensor.Type == gguf.Q4_0 {
			q4++
		}
	}
	if q4 != 28*7 {
		t.Errorf("%d matrices as Q4_0, not %d", q4, 28*7)
	}
}

// writeSevenB writes the checkpoint shard by shard; nothing of it is in memory.
func writeSevenB(t *testing.T, dir string) {
	t.Helper()
	const hidden, ffn, layers, heads, kvHeads, vocab, bits, group = 3584, 18944, 28, 28, 4, 152064, 4, 128
	writeJSON(t, dir, "config.json", map[string]any{
		"architectures": []string{"Qwen2ForCausalLM"}, "model_type": "qwen2", "hidden_act": "silu", "hidden_size": hidden, "intermediate_size": ffn,
		"num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kvHeads, "vocab_size": vocab, "max_position_embeddings": 32768,
		"rms_norm_eps": 1e-6, "rope_theta": 1e6, "sliding_window": 131072, "use_sliding_window": false, "tie_word_embeddings": false, "bos_token_id": 256, "eos_token_id": 257,
		"quantization_config": map[string]any{"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": false, "sym": true},
	})
	writeJSON(t, dir, "tokenizer.json", byteLevel(vocab, cutQwen2, false))
	writeJSON(t, dir, "tokenizer_config.json", map[string]any{"eos_token": "<|im_end|>", "bos_token": nil, "add_bos_token": false, "chat_template": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"})

	type source struct {
		t    safetensors.Tensor
		data io.Reader
	}
	const (
		anyBits   = ^uint64(0)
		halfSign  = 0x83ff83ff83ff83ff // sign and fraction of four half-precision numbers
		small     = 0x2400240024002400 // exponent: 1/64 … 1/32
		fraction  = 0x03ff03ff03ff03ff
		tiny      = 0x1400140014001400 // 1/1024 … 1/512
		ones      = 0x3c003c003c003c00
		zeroIsAt8 = 0x7777777777777777
	)
	seed := uint64(88172645463325252)
	random := func(mask, set uint64) io.Reader { seed += 2; return &stream{state: seed, mask: mask, set: set} }
	var shard []source
	index := make(map[string]string)
	var size, total int64
	number := 0
	flush := func() {
		number++
		name := fmt.Sprintf("model-%05d.safetensors", number)
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var tensors []safetensors.Tensor
		for _, s := range shard {
			tensors = append(tensors, s.t)
		}
		w, err := safetensors.NewWriter(f, map[string]string{"format": "pt"}, tensors)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range shard {
			n := int64(s.t.DType.Size())
			for _, d := range s.t.Shape {
				n *= int64(d)
			}
			index[s.t.Name] = name
			total += n
			if err := w.WriteTensor(s.t.Name, io.LimitReader(s.data, n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		shard, size = nil, 0
	}
	add := func(name string, d safetensors.DType, data io.Reader, shape ...uint64) {
		n := int64(d.Size())
		for _, s := range shape {
			n *= int64(s)
		}
		if size+n > 2<<30 && len(shard) > 0 {
			flush()
		}
		size += n
		shard = append(shard, source{safetensors.Tensor{Name: name, DType: d, Shape: shape}, data})
	}
	linear := func(module string, in, out uint64, bias bool) {
		add(module+".qweight", safetensors.I32, random(anyBits, 0), in*bits/32, out)
		add(module+".qzeros", safetensors.I32, random(0, zeroIsAt8), in/group, out*bits/32)
		add(module+".scales", safetensors.F16, random(fraction, tiny), in/group, out)
		var groups bytes.Buffer
		for i := range in {
			binary.Write(&groups, binary.LittleEndian, int32(i/group))
		}
		add(module+".g_idx", safetensors.I32, &groups, in)
		if bias {
			add(module+".bias", safetensors.F16, random(halfSign, small), out)
		}
	}
	add("model.embed_tokens.weight", safetensors.F16, random(halfSign, small), vocab, hidden)
	for l := range layers {
		p := fmt.Sprintf("model.layers.%d.", l)
		const kv = hidden / heads * kvHeads
		add(p+"input_layernorm.weight", safetensors.F16, random(0, ones), hidden)
		linear(p+"self_attn.q_proj", hidden, hidden, true)
		linear(p+"self_attn.k_proj", hidden, kv, true)
		linear(p+"self_attn.v_proj", hidden, kv, true)
		linear(p+"self_attn.o_proj", hidden, hidden, false)
		add(p+"post_attention_layernorm.weight", safetensors.F16, random(0, ones), hidden)
		linear(p+"mlp.gate_proj", hidden, ffn, false)
		linear(p+"mlp.up_proj", hidden, ffn, false)
		linear(p+"mlp.down_proj", ffn, hidden, false)
	}
	add("model.norm.weight", safetensors.F16, random(0, ones), hidden)
	add("lm_head.weight", safetensors.F16, random(halfSign, small), vocab, hidden)
	flush()
	if err := safetensors.WriteIndex(dir, index, total); err != nil {
		t.Fatal(err)
	}
}
