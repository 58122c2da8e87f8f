package huggingface

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
	"rxedge/inference/gptq/gptqtest"
	"rxedge/inference/llama"
	"rxedge/inference/safetensors"
)

// engine is the real server without the supervisor, so that tokens can go in
// and log-probabilities come out.
type engine struct{ http.Client }

func startEngine(t *testing.T, model string) *engine {
	t.Helper()
	found, err := llama.Find()
	if errors.Is(err, inference.ErrEngineMissing) {
		t.Skip("the llama.cpp engine is not built here (make build); the converted model was not run")
	} else if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "hf") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "e.sock")
	var log bytes.Buffer
	cmd := exec.Command(found.Binary, "--model", model, "--host", socket, "--offline", "--no-ui", "--threads", "1", "--parallel", "1",
		"--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off", "--no-warmup", "--ctx-size", "512", "--no-repack")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	e := &engine{http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}}
	t.Cleanup(func() {
		e.CloseIdleConnections()
		cmd.Process.Kill()
		<-ended
	})
	deadline := time.After(time.Minute)
	for {
		if resp, err := e.Get("http://engine/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return e
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the engine refused the model: %v\n%s", err, log.Bytes())
		case <-deadline:
			t.Fatal("the engine was not ready within a minute")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (e *engine) post(t *testing.T, path string, in, out any) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.Post("http://engine"+path, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
}

func (e *engine) tokenize(t *testing.T, text string) []int {
	t.Helper()
	var out struct{ Tokens []int }
	e.post(t, "/tokenize", map[string]any{"content": text, "add_special": true, "parse_special": false}, &out)
	return out.Tokens
}

// logprobs lets the engine write n tokens greedily, none of those forbidden, and
// returns them with the log-probabilities of all tokens at each step, by id.
func (e *engine) logprobs(t *testing.T, prompt []int, n, vocabulary int, forbidden ...int) ([]int, [][]float64) {
	t.Helper()
	type choice struct {
		ID      int     `json:"id"`
		Logprob float64 `json:"logprob"`
	}
	var out struct {
		Tokens []int
		Steps  []struct {
			Top []choice `json:"top_logprobs"`
		} `json:"completion_probabilities"`
	}
	bias := [][2]any{}
	for _, id := range forbidden {
		bias = append(bias, [2]any{id, false})
	}
	e.post(t, "/completion", map[string]any{"logit_bias": bias, "prompt": prompt, "n_predict": n, "temperature": 0, "n_probs": vocabulary, "return_tokens": true, "ignore_eos": true}, &out)
	var steps [][]float64
	for _, s := range out.Steps {
		p := make([]float64, vocabulary)
		for i := range p {
			p[i] = math.NaN()
		}
		for _, c := range s.Top {
			p[c.ID] = c.Logprob
		}
		steps = append(steps, p)
	}
	if len(steps) != n || len(out.Tokens) != n {
		t.Fatalf("%d tokens and %d steps, not %d", len(out.Tokens), len(steps), n)
	}
	return out.Tokens, steps
}

// difference is |a − b| over |b| in the sense of Frobenius, each row less its
// mean: log-probabilities are logits less a constant.
func difference(t *testing.T, a [][]float64, b [][]float32) float64 {
	t.Helper()
	var off, size float64
	for step, row := range a {
		var meanA, meanB float64
		known := func(i int) bool { return row[i] > -1e30 } // ignore_eos forbids a token
		n := 0
		for i := range row {
			if known(i) {
				n++
				meanA += row[i]
				meanB += float64(b[step][i])
			}
		}
		if n < len(row)-2 {
			t.Fatalf("log-probabilities of %d tokens, not %d", n, len(row))
		}
		meanA, meanB = meanA/float64(n), meanB/float64(n)
		for i := range row {
			if known(i) {
				want := float64(b[step][i]) - meanB
				got := row[i] - meanA
				off += (got - want) * (got - want)
				size += want * want
			}
		}
	}
	return math.Sqrt(off / size)
}

// floats copies a GGUF file with all of its tensors as F32.
func floats(t *testing.T, path string) string {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, err := os.Create(filepath.Join(t.TempDir(), "f32.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	tensors := slices.Clone(f.Tensors)
	for i := range tensors {
		tensors[i].Type = gguf.F32
	}
	m := f.Metadata
	w, err := gguf.NewWriter(out, &m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range f.Tensors {
		b := new(bytes.Buffer)
		if _, err := b.ReadFrom(f.Data(tensor)); err != nil {
			t.Fatal(err)
		}
		v, err := gguf.Dequantize(nil, b.Bytes(), tensor.Type)
		if err != nil {
			t.Fatal(err)
		}
		wide, err := gguf.Quantize(nil, v, gguf.F32)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteTensor(tensor.Name, bytes.NewReader(wide)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func convert(t *testing.T, dir string, o Options) (string, Report) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "model.gguf")
	r, err := Convert(t.Context(), dir, out, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out, r
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// distance is the difference of the engine's logits from the reference's over a
// story of its own, and that of the reference with rounded inputs from itself.
func distance(t *testing.T, e *engine, m *stories) (got, rounding float64) {
	t.Helper()
	prompt := m.encode("Once upon a time, Lily")
	if got := e.tokenize(t, "Once upon a time, Lily"); !reflect.DeepEqual(got, prompt) {
		t.Fatalf("the engine reads tokens %v, llama2.c %v", got, prompt)
	}
	tokens, steps := e.logprobs(t, prompt, 8, m.vocab)
	text := append(slices.Clone(prompt), tokens...)
	want := m.forward(text)[len(prompt)-1:]
	m.rounds = true
	var rounded [][]float64
	for _, row := range m.forward(text)[len(prompt)-1:] {
		wide := make([]float64, len(row))
		for i, v := range row {
			wide[i] = float64(v)
		}
		rounded = append(rounded, wide)
	}
	m.rounds = false
	return difference(t, steps, want), difference(t, rounded[:len(steps)], want)
}

// The proof of the import: for every kind of GPTQ and AWQ checkpoint, the logits
// of the GGUF file through llama.cpp are those of an independent float32 forward
// pass over the weights that the checkpoint stands for. ggml's kernels for packed
// weights round a matrix's inputs to 8 bits, which has nothing to do with the
// import and, in a model this narrow, shows: so the file is also run with its
// weights widened to float32, and what the rounding costs is measured on the
// reference itself.
func TestEngineComputesWhatTheCheckpointStandsFor(t *testing.T) {
	t.Parallel()
	m := loadStories(t)
	for i, kind := range gptqtest.Kinds() {
		if raced && i%6 != 0 {
			continue
		}
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			dir, reference := m.folder(t, &kind, safetensors.F32, 1+i%3)
			out, report := convert(t, dir, Options{Name: "x"})
			if kind.V2 { // it is the same model as in the first format
				kind.V2 = false
				dir, _ = m.folder(t, &kind, safetensors.F32, 2)
				first, _ := convert(t, dir, Options{Name: "x"})
				if a, b := read(t, out), read(t, first); !bytes.Equal(a, b) {
					t.Error("gptq_v2 does not become the same file as gptq")
				}
				return
			}
			wide, _ := distance(t, startEngine(t, floats(t, out)), reference)
			direct, cost := distance(t, startEngine(t, out), reference)
			t.Logf("relative error %.2g with the weights as float32, %.2g as written, of which rounding the inputs costs about %.2g\n%s", wide, direct, cost, strings.Join(report.Summary(), "\n"))
			if wide > 1e-2 || direct > 1e-2+cost {
				t.Errorf("relative error %.2g with the weights as float32, %.2g as written; rounding the inputs costs about %.2g", wide, direct, cost)
			}
		})
	}
}

// Plain weights, in each type that they may be written as.
func TestEngineComputesPlainWeights(t *testing.T) {
	t.Parallel()
	m := loadStories(t)
	for _, tc := range []struct {
		dtype safetensors.DType
		as    Type
		limit float64
	}{
		{safetensors.F32, AsIs, 1e-5}, {safetensors.BF16, AsIs, 1e-2}, {safetensors.F32, F16, 5e-3}, {safetensors.BF16, F16, 5e-3},
		{safetensors.F32, Q8_0, 2e-2}, {safetensors.F32, Q4_0, 0.3},
	} {
		t.Run(string(tc.dtype)+" as "+string(tc.as), func(t *testing.T) {
			t.Parallel()
			dir, reference := m.folder(t, nil, tc.dtype, 2)
			out, _ := convert(t, dir, Options{Type: tc.as})
			got, _ := distance(t, startEngine(t, out), reference)
			if t.Logf("relative error %.2g", got); got > tc.limit {
				t.Errorf("relative error %.2g", got)
			}
		})
	}
}

// The tokenizer made of merges reads texts as the original made of scores.
func TestEngineReadsTokensAsSentencePiece(t *testing.T) {
	t.Parallel()
	m := loadStories(t)
	dir, _ := m.folder(t, nil, safetensors.F32, 1)
	out, _ := convert(t, dir, Options{})
	e := startEngine(t, out)
	for _, text := range []string{"", "Once upon a time", "Lily's dog: “naïve” 7 €\n", "The old man  went", "a", "He said: <s> is no end.", "3.5 mg/kg twice daily", "aaaa bbbb aaaa"} {
		if got, want := e.tokenize(t, text), m.encode(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: the engine reads %v, llama2.c %v", text, got, want)
		}
	}
}
