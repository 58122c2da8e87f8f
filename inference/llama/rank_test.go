package llama

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

// withHead copies an encoder of random weights and gives it a classification
// head of three labels, whose biases are 1, 2 and 3 and whose weights are value.
// exact says in the file that an embedding has as many numbers as labels.
func withHead(t *testing.T, encoder string, value float32, exact bool) string {
	t.Helper()
	f, err := gguf.Open(encoder)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := f.Metadata
	m.Set("bert.pooling_type", uint32(4))
	m.Set("bert.classifier.output_labels", []string{"a", "b", "c"})
	if exact {
		m.Set("bert.embedding_length_out", uint32(3))
	}
	d := uint64(smallBERT.dim)
	tensors := append([]gguf.Tensor(nil), f.Tensors...)
	tensors = append(tensors,
		gguf.Tensor{Name: "cls.output.weight", Shape: []uint64{d, 3}, Type: gguf.F32},
		gguf.Tensor{Name: "cls.output.bias", Shape: []uint64{3}, Type: gguf.F32})
	path := filepath.Join(t.TempDir(), "rank.gguf")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w, err := gguf.NewWriter(out, &m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, ten := range f.Tensors {
		if err := w.WriteTensor(ten.Name, f.Data(ten)); err != nil {
			t.Fatal(err)
		}
	}
	weights := make([]float32, 3*d)
	for i := range weights {
		weights[i] = value
	}
	if err := w.WriteTensor("cls.output.weight", bytesOf(weights)); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteTensor("cls.output.bias", bytesOf([]float32{1, 2, 3})); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestClassify(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	encoder := randomBERT(t, smallBERT, false)
	for _, exact := range []bool{true, false} { // other tools' files say nothing
		s := ready(t, Options{Model: withHead(t, encoder, 0, exact), Kind: Rank, Context: 128, Slots: 2})
		var lists [][]int
		for i := range 2*textsPerCall + 3 {
			lists = append(lists, make([]int, 2+i))
		}
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				logits, err := s.Classify(t.Context(), lists)
				if err != nil || len(logits) != len(lists) {
					t.Errorf("%d answers, %v", len(logits), err)
					return
				}
				for i, l := range logits {
					if len(l) != 3 || l[0] != 1 || l[1] != 2 || l[2] != 3 {
						t.Errorf("answer %d is %v", i, l)
					}
				}
			})
		}
		callers.Wait()
		var over *inference.ContextError
		logits, err := s.Classify(t.Context(), [][]int{{1, 2}, make([]int, 129)})
		if !errors.As(err, &over) || over.Tokens != 129 || over.Limit != 128 || logits != nil || !strings.Contains(err.Error(), "input 2") {
			t.Errorf("an over-long input: %v, %v", logits, err)
		}
		if _, err := s.Classify(t.Context(), [][]int{{}}); err == nil {
			t.Error("an empty input passed")
		}
		if logits, err := s.Classify(t.Context(), nil); err != nil || len(logits) != 0 {
			t.Errorf("no input: %v, %v", logits, err)
		}
		if _, err := s.Embed(t.Context(), []string{"a"}); err == nil {
			t.Error("a classifier made an embedding")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Classify(ctx, lists); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who went: %v", err)
		}
	}
}

func TestClassifyDamagedModel(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	s := start(t, Options{Model: withHead(t, randomBERT(t, smallBERT, false), float32(math.NaN()), true), Kind: Rank, Context: 128})
	var failed *FailedError
	if err := s.WaitReady(t.Context()); !errors.As(err, &failed) || !strings.Contains(failed.Reason, "no number") {
		t.Errorf("a head full of NaN: %v", err)
	}
}

func TestPoolingFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind       Kind
		says, want string
	}{{Embed, "", "mean"}, {Embed, "mean", "mean"}, {Embed, "cls", "cls"}, {Embed, "rank", "mean"}, {Rank, "", "rank"}, {Rank, "cls", "rank"}} {
		if got := (Options{Kind: c.kind, pooling: c.says}).poolingFor(); got != c.want {
			t.Errorf("%s of a file that says %q: %s", c.kind, c.says, got)
		}
	}
}
