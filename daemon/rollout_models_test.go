package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/inference/gguf"
	"rxedge/inference/llama2c"
)

// storiesModel writes the real, small language model as GGUF, changed: metadata may be set,
// tensors left out of the sum (all zeros), and layers that do nothing put behind.
func storiesModel(t *testing.T, name string, change modelChange) string {
	t.Helper()
	dir := filepath.Join(testdata(t), "models", "stories260K")
	var plain bytes.Buffer
	if err := llama2c.ConvertFiles(&plain, filepath.Join(dir, "stories260K.bin"), filepath.Join(dir, "tok512.bin"), llama2c.Options{Name: name, Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Read(bytes.NewReader(plain.Bytes()), int64(plain.Len()))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name+".gguf")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	type source struct {
		of   gguf.Tensor
		zero bool
	}
	var tensors []gguf.Tensor
	var from []source
	last := ""
	for _, s := range f.Tensors {
		tensors, from = append(tensors, s), append(from, source{s, change.zero != "" && strings.HasSuffix(s.Name, change.zero)})
		if strings.HasPrefix(s.Name, "blk.") {
			last = strings.Split(s.Name, ".")[1]
		}
	}
	layers := 0
	_, _ = fmt.Sscan(last, &layers)
	layers++
	for i := range change.idle {
		for _, s := range f.Tensors {
			if rest, ok := strings.CutPrefix(s.Name, "blk.0."); ok {
				c := s
				c.Name = fmt.Sprintf("blk.%d.%s", layers+i, rest)
				// What it adds to the stream is nothing, and costs as much.
				tensors, from = append(tensors, c), append(from, source{s, rest == "attn_output.weight" || rest == "ffn_down.weight"})
			}
		}
	}
	quantised := map[string]bool{}
	for i := range tensors {
		if t := &tensors[i]; change.weights != gguf.F32 && len(t.Shape) > 1 && t.Shape[0]%32 == 0 {
			t.Type, quantised[t.Name] = change.weights, true
		}
	}
	m := f.Metadata
	if change.idle > 0 {
		m.Set("llama.block_count", uint32(layers+change.idle))
	}
	for k, v := range change.set {
		m.Set(k, v)
	}
	w, err := gguf.NewWriter(out, &m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range from {
		var r io.Reader = f.Data(s.of)
		if s.zero {
			r = bytes.NewReader(make([]byte, s.of.Bytes()))
		}
		if quantised[tensors[i].Name] {
			floats := make([]float32, s.of.Elements())
			if err := binary.Read(r, binary.LittleEndian, floats); err != nil {
				t.Fatal(err)
			}
			b, err := gguf.Quantize(nil, floats, change.weights)
			if err != nil {
				t.Fatal(err)
			}
			r = bytes.NewReader(b)
		}
		if err := w.WriteTensor(tensors[i].Name, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

type modelChange struct {
	set  map[string]any // metadata
	zero string         // suffix of the tensors that are all zeros
	idle int            // layers behind that add nothing
	// weights are F32 by default; of another type are those matrices whose rows are whole
	// blocks of it.
	weights gguf.Type
}

// The real engine is made to do what updates get wrong.
var (
	// Without attention a model sees the last token alone, which is that of the
	// template: whatever is asked, it says the same.
	alwaysTheSame = modelChange{zero: "attn_output.weight", set: map[string]any{"llama.context_length": uint32(2048)}}
	// A template that calls itself without an end where the question begins with a certain word: the
	// engine runs out of stack.
	crashesOnOne = modelChange{set: map[string]any{"llama.context_length": uint32(2048), "tokenizer.chat_template": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}" +
		"{% for m in messages %}{% if 'Question: Please' in m.content %}{{ f(0) }}{% endif %}{{ m.content }}\n{% endfor %}"}}
)
