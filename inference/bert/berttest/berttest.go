// Package berttest writes small models of the BERT family with random weights,
// as Hugging Face publishes them, for tests.
package berttest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/inference/safetensors"
)

const (
	hidden, ffn, heads, layers = 64, 128, 2, 2
	positions                  = 512
)

// Folder writes a model into a new folder and returns it: a sentence encoder
// where labels is empty, a cross-encoder with one label, an entailment model
// with the three of entailment. Its vocabulary has every letter, digit and
// mark of ASCII, so it reads any English text.
func Folder(t testing.TB, labels ...string) string {
	t.Helper()
	words := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := byte('!'); c <= '~'; c++ {
		if c >= 'A' && c <= 'Z' {
			continue
		}
		words = append(words, string(c))
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			words = append(words, "##"+string(c))
		}
	}
	words = append(words, "the", "warfarin", "metformin", "bleeding", "renal", "dose", "risk")
	dir := t.TempDir()
	arch, prefix := "BertModel", ""
	if len(labels) > 0 {
		arch, prefix = "BertForSequenceClassification", "bert."
	}
	config := map[string]any{
		"architectures": []string{arch}, "model_type": "bert", "hidden_act": "gelu", "hidden_size": hidden, "intermediate_size": ffn,
		"num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": len(words), "max_position_embeddings": positions,
		"type_vocab_size": 2, "pad_token_id": 0, "layer_norm_eps": 1e-12,
	}
	if len(labels) > 0 {
		id2label := map[string]string{}
		for i, l := range labels {
			id2label[fmt.Sprint(i)] = l
		}
		config["id2label"], config["num_labels"] = id2label, len(labels)
	}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"config.json": b, "vocab.txt": []byte(strings.Join(words, "\n") + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, safetensors.SingleName), prefix, len(words), len(labels))
	return dir
}

func write(t testing.TB, path, prefix string, vocabulary, labels int) {
	t.Helper()
	r := rand.New(rand.NewPCG(11, 7))
	var tensors []safetensors.Tensor
	data := map[string][]byte{}
	add := func(name string, mean, std float64, shape ...uint64) {
		n := uint64(1)
		for _, d := range shape {
			n *= d
		}
		var b []byte
		for range n {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(mean+std*r.NormFloat64())))
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: shape})
		data[name] = b
	}
	linear := func(name string, out, in uint64) {
		add(name+".weight", 0, 1.4/math.Sqrt(float64(in)), out, in)
		add(name+".bias", 0, .02, out)
	}
	norm := func(name string) {
		add(name+".weight", 1, .05, hidden)
		add(name+".bias", 0, .02, hidden)
	}
	e := prefix + "embeddings."
	add(e+"word_embeddings.weight", 0, .5, uint64(vocabulary), hidden)
	add(e+"position_embeddings.weight", 0, .2, positions, hidden)
	add(e+"token_type_embeddings.weight", 0, .3, 2, hidden)
	norm(e + "LayerNorm")
	for i := range layers {
		p := fmt.Sprintf("%sencoder.layer.%d.", prefix, i)
		for _, part := range []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"} {
			linear(p+part, hidden, hidden)
		}
		norm(p + "attention.output.LayerNorm")
		linear(p+"intermediate.dense", ffn, hidden)
		linear(p+"output.dense", hidden, ffn)
		norm(p + "output.LayerNorm")
	}
	linear(prefix+"pooler.dense", hidden, hidden)
	if labels > 0 {
		linear("classifier", uint64(labels), hidden)
	}
	f, err := os.Create(path)
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
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
