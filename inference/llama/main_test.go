package llama

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

func TestMain(m *testing.M) {
	if os.Getenv("RXEDGE_TEST_DAEMON") != "" {
		playDaemon()
		return
	}
	if pid := os.Getenv("RXEDGE_TEST_HOLD"); pid != "" {
		hold(pid)
	}
	goleak.VerifyTestMain(m)
}

// playDaemon is a daemon with two models in a pool, both at work, until it is
// killed. It says in lines how far it is, with the children's process ids.
func playDaemon() {
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	engine, err := Find()
	fail(err)
	language, encoder, _ := strings.Cut(os.Getenv("RXEDGE_TEST_DAEMON"), ",")
	p, err := NewPool(PoolOptions{Memory: 1 << 40, Load: func(name string) (Options, error) {
		o := Options{Engine: engine, Model: language, Kind: Generate, Context: 4096, Threads: 1, RunDir: os.Getenv("RXEDGE_TEST_RUNDIR")}
		if name == "encoder" {
			o.Model, o.Kind = encoder, Embed
		}
		return o, nil
	}})
	fail(err)
	var servers []*Server
	for _, name := range []string{"language", "encoder"} {
		l, err := p.Acquire(context.Background(), name)
		fail(err)
		servers = append(servers, l.Server())
	}
	for servers[0].State().PID == 0 || servers[1].State().PID == 0 {
		time.Sleep(time.Millisecond)
	}
	say := func(what string) { fmt.Println(what, servers[0].State().PID, servers[1].State().PID) }
	say("loading")
	for _, s := range servers {
		fail(s.WaitReady(context.Background()))
		go func() {
			for {
				ask(context.Background(), s)
			}
		}()
	}
	for servers[0].State().Running == 0 || servers[1].State().Running == 0 {
		time.Sleep(time.Millisecond)
	}
	say("busy")
	select {}
}

// engineOrSkip finds the engine or says why the test cannot run.
func engineOrSkip(t testing.TB) Engine {
	t.Helper()
	e, err := Find()
	if errors.Is(err, inference.ErrEngineMissing) {
		t.Skip("the engine is not built: run make engine")
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// testData is the folder of real files, or a skip.
func testData(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the test data %s is missing; RXEDGE_TESTDATA names its folder", name)
	}
	return path
}

func tinyLlama(t testing.TB) string {
	t.Helper()
	return testData(t, "models/llama-2-tiny-random.gguf")
}

// start starts a server that ends with the test.
func start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Engine == (Engine{}) {
		o.Engine = engineOrSkip(t)
	}
	if o.Threads == 0 {
		o.Threads = 1
	}
	if o.Context == 0 {
		o.Context = 512
	}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// ready is start and the wait for the model.
func ready(t testing.TB, o Options) *Server {
	t.Helper()
	s := start(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// bertShape is a small encoder over the real BERT vocabulary.
type bertShape struct{ layers, dim, ff, heads, positions int }

// randomBERT writes an encoder of random weights; broken fills one of its
// matrices with NaN.
func randomBERT(t testing.TB, shape bertShape, broken bool) string {
	t.Helper()
	m, tensors := bertOf(t, shape, gguf.F32)
	path := filepath.Join(t.TempDir(), "bert.gguf")
	r := rand.New(rand.NewPCG(1, 2))
	writeModel(t, path, m, tensors, func(ten gguf.Tensor, i int) float32 {
		switch {
		case broken && ten.Name == "blk.0.ffn_down.weight":
			return float32(math.NaN())
		case ten.Name == "token_embd.weight":
			return float32(r.NormFloat64()) * 0.5
		case len(ten.Shape) == 1 && ten.Name[len(ten.Name)-6:] == "weight":
			return 1 + float32(r.NormFloat64())*0.05
		case len(ten.Shape) == 1:
			return float32(r.NormFloat64()) * 0.02
		}
		return float32(r.NormFloat64() / math.Sqrt(float64(ten.Shape[0])))
	})
	return path
}

// bertOf is what an encoder's file holds, with its matrices in a type.
func bertOf(t testing.TB, shape bertShape, weights gguf.Type) (*gguf.Metadata, []gguf.Tensor) {
	t.Helper()
	vocabulary, err := gguf.Open(testData(t, "tokenizers/ggml-vocab-bert-bge.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer vocabulary.Close()
	var m gguf.Metadata
	m.Set("general.architecture", "bert")
	m.Set("general.name", "random encoder")
	m.Set("general.file_type", uint32(0))
	m.Set("bert.block_count", uint32(shape.layers))
	m.Set("bert.context_length", uint32(shape.positions))
	m.Set("bert.embedding_length", uint32(shape.dim))
	m.Set("bert.feed_forward_length", uint32(shape.ff))
	m.Set("bert.attention.head_count", uint32(shape.heads))
	m.Set("bert.attention.layer_norm_epsilon", float32(1e-12))
	m.Set("bert.attention.causal", false)
	m.Set("bert.pooling_type", uint32(1))
	for _, key := range vocabulary.Metadata.Keys() {
		if len(key) > 10 && key[:10] == "tokenizer." {
			v, _ := vocabulary.Metadata.Get(key)
			m.Set(key, v)
		}
	}
	words, _ := vocabulary.Metadata.Texts("tokenizer.ggml.tokens")
	d, ff := uint64(shape.dim), uint64(shape.ff)
	var tensors []gguf.Tensor
	add := func(name string, dims ...uint64) {
		kind := weights
		if len(dims) == 1 || name == "position_embd.weight" || name == "token_types.weight" {
			kind = gguf.F32
		}
		tensors = append(tensors, gguf.Tensor{Name: name, Shape: dims, Type: kind})
	}
	add("token_embd.weight", d, uint64(len(words)))
	add("position_embd.weight", d, uint64(shape.positions))
	add("token_types.weight", d, 2)
	add("token_embd_norm.weight", d)
	add("token_embd_norm.bias", d)
	for i := range shape.layers {
		p := fmt.Sprintf("blk.%d.", i)
		for _, n := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			add(p+n+".weight", d, d)
			add(p+n+".bias", d)
		}
		add(p+"attn_output_norm.weight", d)
		add(p+"attn_output_norm.bias", d)
		add(p+"ffn_up.weight", d, ff)
		add(p+"ffn_up.bias", ff)
		add(p+"ffn_down.weight", ff, d)
		add(p+"ffn_down.bias", d)
		add(p+"layer_output_norm.weight", d)
		add(p+"layer_output_norm.bias", d)
	}
	return &m, tensors
}

func writeModel(t testing.TB, path string, m *gguf.Metadata, tensors []gguf.Tensor, value func(gguf.Tensor, int) float32) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := gguf.NewWriter(f, m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, ten := range tensors {
		numbers := make([]float32, ten.Elements())
		for i := range numbers {
			numbers[i] = value(ten, i)
		}
		if err := w.WriteTensor(ten.Name, bytesOf(numbers)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// withTemplate copies a model and gives it a chat template.
func withTemplate(t *testing.T, model, template string) string {
	t.Helper()
	return rewritten(t, model, func(m *gguf.Metadata) { m.Set("tokenizer.chat_template", template) })
}

// rewritten copies a model and changes its metadata.
func rewritten(t *testing.T, model string, change func(*gguf.Metadata)) string {
	t.Helper()
	f, err := gguf.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := f.Metadata
	change(&m)
	path := filepath.Join(t.TempDir(), "chat.gguf")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w, err := gguf.NewWriter(out, &m, f.Tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, ten := range f.Tensors {
		if err := w.WriteTensor(ten.Name, f.Data(ten)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
