package catalog

import (
	"errors"
	"fmt"
	"strings"

	"rxedge/inference/bert"
	"rxedge/inference/gguf"
)

// Kind is what a model does.
type Kind string

const (
	Generator Kind = "generator"
	Embedder  Kind = "embedder"
	Reranker  Kind = "reranker"
	Entailer  Kind = "entailer"
)

// Facts are what a GGUF file says about the model in it.
type Facts struct {
	Kind            Kind   `json:"kind"`
	Architecture    string `json:"architecture"`
	Parameters      uint64 `json:"parameters"`
	ContextLength   uint64 `json:"context_length"`   // tokens
	EmbeddingLength uint64 `json:"embedding_length"` // of the hidden state
	Quantisation    string `json:"quantisation"`     // such as Q4_K_M
	TokenizerModel  string `json:"tokenizer_model"`
	Pooling         string `json:"pooling,omitempty"`
	ChatTemplate    bool   `json:"chat_template"`
	Licence         string `json:"licence,omitempty"` // as the file or the importer states it
}

// llama.cpp's enum llama_pooling_type.
var poolings = []string{"none", "mean", "cls", "last", "rank"}

// llama.cpp's enum llama_ftype, where it says more than the tensors' type.
var fileTypes = map[uint64]string{
	11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 21: "Q2_K_S",
}

// Inspect tells what a model is. A file that is no model that can be served
// alone (a vocabulary, an adapter, a part of a split model) is an error.
//
// It is an entailer where it is of the BERT family and its labels are those of
// entailment, a reranker where the pooling is rank or it has a classification head,
// an embedder where there is any other pooling or the architecture is one of
// the BERT family, and a generator otherwise.
func Inspect(f *gguf.File) (Facts, error) {
	m := &f.Metadata
	arch, _ := m.Text("general.architecture")
	if arch == "" {
		return Facts{}, errors.New("the GGUF file has no general.architecture: it does not say which kind of model it is")
	}
	if t, _ := m.Text("general.type"); t != "" && t != "model" {
		return Facts{}, fmt.Errorf("the GGUF file is of the type %q and no model of its own", t)
	}
	if arch == "clip" {
		return Facts{}, errors.New("the GGUF file is an image projector and no model of its own")
	}
	if n, _ := m.Uint("split.count"); n > 1 {
		no, _ := m.Uint("split.no")
		return Facts{}, fmt.Errorf("the GGUF file is part %d of %d of a split model; put the parts together with llama-gguf-split --merge", no+1, n)
	}
	if len(f.Tensors) == 0 {
		return Facts{}, errors.New("the GGUF file holds a vocabulary only, no weights")
	}
	out := Facts{Kind: Generator, Architecture: arch}
	if out.TokenizerModel, _ = m.Text("tokenizer.ggml.model"); out.TokenizerModel == "" {
		return Facts{}, errors.New("the GGUF file has no tokenizer (tokenizer.ggml.model); convert the model again with its tokenizer")
	}
	out.ContextLength, _ = m.Uint(arch + ".context_length")
	out.EmbeddingLength, _ = m.Uint(arch + ".embedding_length")
	out.Licence, _ = m.Text("general.license")
	template, _ := m.Text("tokenizer.chat_template")
	out.ChatTemplate = template != ""

	byType := make(map[gguf.Type]uint64)
	head := false
	for _, t := range f.Tensors {
		out.Parameters += t.Elements()
		if len(t.Shape) > 1 {
			byType[t.Type] += t.Elements()
		}
		head = head || t.Name == "cls.weight" || t.Name == "cls.output.weight"
	}
	out.Quantisation = quantisation(m, byType)

	pooling, pooled := m.Uint(arch + ".pooling_type")
	if pooled && pooling < uint64(len(poolings)) {
		out.Pooling = poolings[pooling]
	}
	switch {
	case bert.KindOf(m) == bert.Entailer:
		out.Kind = Entailer
	case out.Pooling == "rank" || head:
		out.Kind = Reranker
	case out.Pooling != "" && out.Pooling != "none", strings.Contains(arch, "bert"):
		out.Kind = Embedder
	}
	return out, nil
}

// quantisation is the type of most of the matrices' elements, in llama.cpp's
// finer words where those fit.
func quantisation(m *gguf.Metadata, byType map[gguf.Type]uint64) string {
	most := gguf.F32
	for t, n := range byType {
		if n > byType[most] || n == byType[most] && t > most {
			most = t
		}
	}
	if n, ok := m.Uint("general.file_type"); ok && strings.HasPrefix(fileTypes[n], most.String()) {
		return fileTypes[n]
	}
	return most.String()
}
