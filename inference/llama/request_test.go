package llama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

func TestGrammar(t *testing.T) {
	t.Parallel()
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate})
	ask := func(req inference.GenerateRequest) (inference.GenerateResult, error) {
		req.Prompt = "The dose is"
		if req.MaxTokens == 0 {
			req.MaxTokens = 60
		}
		return s.Generate(t.Context(), req, nil)
	}
	for _, temperature := range []float64{0, 1} {
		got, err := ask(inference.GenerateRequest{Grammar: `root ::= ("yes" | "no") " " [0-9] [0-9] " mg"`, Temperature: temperature})
		if err != nil || !regexp.MustCompile(`^(yes|no) [0-9]{2} mg$`).MatchString(got.Text) || got.FinishReason != "stop" {
			t.Errorf("grammar: %+v, %v", got, err)
		}
		schema := json.RawMessage(`{"type":"object","properties":{"unit":{"enum":["mg","mL"]},"dose":{"type":"integer","minimum":1,"maximum":99}},"required":["unit","dose"],"additionalProperties":false}`)
		got, err = ask(inference.GenerateRequest{JSONSchema: schema, Temperature: temperature})
		var value struct {
			Unit string
			Dose int
		}
		if err != nil || json.Unmarshal([]byte(got.Text), &value) != nil || value.Unit != "mg" && value.Unit != "mL" || value.Dose < 1 || value.Dose > 99 {
			t.Errorf("schema: %+v, %v", got, err)
		}
	}
	pid := s.State().PID
	for name, req := range map[string]inference.GenerateRequest{
		"no rule":        {Grammar: "root ::= nothing"},
		"no root":        {Grammar: `other ::= "a"`},
		"no end":         {Grammar: `root ::= root "secret"`},
		"torn":           {Grammar: `root ::= "secret`},
		"deep":           {Grammar: "root ::= " + strings.Repeat("(", 50_000) + `"a"` + strings.Repeat(")", 50_000)},
		"long":           {Grammar: "root ::= " + strings.Repeat(`"a" `, longestRule)},
		"not JSON":       {JSONSchema: json.RawMessage(`{"type":`)},
		"no such type":   {JSONSchema: json.RawMessage(`{"type":"secret"}`)},
		"no such ref":    {JSONSchema: json.RawMessage(`{"$ref":"#/definitions/secret"}`)},
		"deep schema":    {JSONSchema: json.RawMessage(strings.Repeat(`{"items":`, 500) + "{}" + strings.Repeat("}", 500))},
		"llguidance":     {Grammar: "%llguidance {}"},
		"5 to 2":         {Grammar: `root ::= "secret"{5,2}`},
		"5 to 2, spaced": {Grammar: "root ::= \"a\"{ 5 , 2 }"},
		"pattern 5 to 2": {JSONSchema: json.RawMessage(`{"type":"array","items":{"type":"string","pattern":"^(ab){\u0035,2}$"}}`)},
		"length 5 to 2":  {JSONSchema: json.RawMessage(`{"properties":{"a":{"type":"string","minLength":5,"maxLength":2}}}`)},
		"items 5 to 2":   {JSONSchema: json.RawMessage(`{"anyOf":[{"type":"array","minItems":5,"maxItems":2}]}`)},
		"endless string": {JSONSchema: json.RawMessage(`{"type":"string","minLength":100000000}`)},
	} {
		_, err := ask(req)
		if !errors.Is(err, inference.ErrGrammar) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ask(inference.GenerateRequest{Grammar: "root ::= [a]", JSONSchema: json.RawMessage("{}")}); err == nil {
		t.Error("a grammar and a schema")
	}
	// As deep as we let through is no danger.
	for _, rule := range []string{strings.Repeat("(", deepestRule) + `"a"` + strings.Repeat(")", deepestRule), strings.Repeat(`"a" `, longestRule/4-10)} {
		if _, err := ask(inference.GenerateRequest{Grammar: "root ::= " + rule, MaxTokens: 2}); err != nil && !errors.Is(err, inference.ErrGrammar) {
			t.Error(err)
		}
	}
	if st := s.State(); st.PID != pid || st.Restarts != 0 {
		t.Errorf("the engine did not outlive them: %+v", st)
	}
}

func TestSamplingParameters(t *testing.T) {
	t.Parallel()
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate})
	ask := func(req inference.GenerateRequest) string {
		t.Helper()
		req.Prompt, req.MaxTokens = "The dose is", 24
		got, err := s.Generate(t.Context(), req, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Text
	}
	greedy := ask(inference.GenerateRequest{})
	hot := ask(inference.GenerateRequest{Temperature: 3, Seed: 5})
	if hot == greedy {
		t.Fatal("temperature 3 writes what greedy does")
	}
	// Each of these alone leaves one token to choose.
	for name, req := range map[string]inference.GenerateRequest{
		"top k 1":     {TopK: 1},
		"min p 1":     {MinP: 1},
		"top p 0.000": {TopP: 1e-9},
	} {
		req.Temperature, req.Seed = 3, 5
		if got := ask(req); got != greedy {
			t.Errorf("%s: %q, greedy %q", name, got, greedy)
		}
	}
	if got := ask(inference.GenerateRequest{RepeatPenalty: 10}); got == greedy {
		t.Logf("greedy repeats nothing: %q", greedy)
	}
	for name, req := range map[string]inference.GenerateRequest{
		"top k": {TopK: -1}, "min p": {MinP: 2}, "repeat": {RepeatPenalty: -1}, "NaN": {MinP: math.NaN()}, "logprobs": {LogProbs: 21},
	} {
		req.Prompt = "a"
		if _, err := s.Generate(t.Context(), req, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a", Adapters: []inference.Adapter{{Name: "x"}}}, nil); !errors.Is(err, inference.ErrNoAdapter) {
		t.Errorf("no such adapter: %v", err)
	}
}

func TestLogProbs(t *testing.T) {
	t.Parallel()
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate})
	req := inference.GenerateRequest{Prompt: "The dose is", MaxTokens: 24, LogProbs: 3}
	got, err := s.Generate(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	n := 0
	for _, p := range got.LogProbs {
		text.WriteString(p.Piece)
		n += 1 + p.Skipped
		if sum := math.Exp(p.Top[0].LogProb) + math.Exp(p.Top[1].LogProb) + math.Exp(p.Top[2].LogProb); sum > 1.00001 || sum <= 0 {
			t.Errorf("probabilities whose sum is %v", sum)
		}
		if len(p.Top) != 3 || p.LogProb > 0 || p.Top[0].LogProb < p.Top[1].LogProb || p.Top[0].Token != p.Token || math.Abs(p.Top[0].LogProb-p.LogProb) > 1e-6 {
			t.Errorf("greedy took %+v", p)
		}
	}
	if n != 24 || text.String() != got.Text && len(got.LogProbs) == n {
		t.Errorf("%d tokens that say %q, of %q", n, text.String(), got.Text)
	}
	// They are the model's, whatever the temperature.
	req.Temperature, req.TopK = 5, 1
	warm, err := s.Generate(t.Context(), req, nil)
	if err != nil || warm.LogProbs[0].LogProb != got.LogProbs[0].LogProb {
		t.Errorf("at temperature 5: %v (%v), at 0: %v", warm.LogProbs[0], err, got.LogProbs[0])
	}
	// What a stop string cuts off has none.
	word := got.LogProbs[10].Piece
	cutAt := strings.Index(got.Text, word)
	cut, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "The dose is", MaxTokens: 24, LogProbs: 1, Stop: []string{word}}, nil)
	if err != nil || len(cut.Text) != cutAt || len(cut.LogProbs) > 10 {
		t.Errorf("stop at %q: %q with %d, %v", word, cut.Text, len(cut.LogProbs), err)
	}
}

// A repeated beginning is not read again; what it is not is read.
func TestPrefixIsKept(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	model := filepath.Join(t.TempDir(), "middle.gguf")
	randomLlama(t, model, llamaShape{layers: 2, dim: 256, ff: 512, heads: 8, kvHeads: 4, context: 4096, weights: gguf.Q8_0})
	s := ready(t, Options{Model: model, Kind: Generate, Context: 2048, Slots: 2, pulse: 50 * time.Millisecond, idle: 100 * time.Millisecond})
	ask := func(prompt string) inference.GenerateResult {
		t.Helper()
		got, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: prompt, MaxTokens: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	system, passages := strings.Repeat("You answer from labels. ", 40), strings.Repeat("Take with food. ", 200)
	first := ask(system + passages + "How much?")
	if first.CachedTokens > 2 || first.PromptTokens < 1000 {
		t.Fatalf("the first: %+v", first)
	}
	proved := s.State().Proved
	eventually(t, 20*time.Second, "tried while idle", func() bool { return s.State().Proved.After(proved) })
	second := ask(system + passages + "How often?")
	if left := second.PromptTokens - second.CachedTokens; left > 8 {
		t.Errorf("of %d tokens %d were read again", second.PromptTokens, left)
	}
	t.Logf("%d tokens: first piece after %v; with %d of them known after %v", first.PromptTokens, first.TimeToFirst, second.CachedTokens, second.TimeToFirst)
	other := ask(strings.Repeat("Something else. ", 100))
	if other.CachedTokens > 2 {
		t.Errorf("another prompt: %+v", other)
	}
	// The other slot has it still.
	if third := ask(system + passages + "How long?"); third.PromptTokens-third.CachedTokens > 8 {
		t.Errorf("after another prompt: %+v", third)
	}
}

// adapterFor writes a LoRA adapter of rank one for the first layer's queries of
// the tiny model, or, merged, the model that it makes of it at the scale 1.
func adapterFor(t *testing.T, merged bool) string {
	t.Helper()
	source, err := gguf.Open(tinyLlama(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	const name = "blk.0.ffn_down.weight" // 32 numbers in, 8 out
	down := func(i int) float32 { return float32(math.Sin(float64(i) + 1)) }
	up := func(i int) float32 { return 4 * float32(math.Cos(float64(i))) }
	path := filepath.Join(t.TempDir(), "lora.gguf")
	if !merged {
		var m gguf.Metadata
		m.Set("general.type", "adapter")
		m.Set("general.architecture", "llama")
		m.Set("adapter.type", "lora")
		m.Set("adapter.lora.alpha", float32(1))
		tensors := []gguf.Tensor{{Name: name + ".lora_a", Shape: []uint64{32, 1}, Type: gguf.F32}, {Name: name + ".lora_b", Shape: []uint64{1, 8}, Type: gguf.F32}}
		writeModel(t, path, &m, tensors, func(ten gguf.Tensor, i int) float32 {
			if strings.HasSuffix(ten.Name, "a") {
				return down(i)
			}
			return up(i)
		})
		return path
	}
	m := source.Metadata
	var tensors []gguf.Tensor
	values := map[string][]float32{}
	for _, ten := range source.Tensors {
		raw := make([]byte, ten.Bytes())
		if _, err := source.Data(ten).ReadAt(raw, 0); err != nil {
			t.Fatal(err)
		}
		v, err := gguf.Dequantize(make([]float32, 0, ten.Elements()), raw, ten.Type)
		if err != nil {
			t.Fatal(err)
		}
		if ten.Name == name {
			for i := range v {
				v[i] += up(i/32) * down(i%32)
			}
		}
		values[ten.Name] = v
		ten.Type = gguf.F32
		tensors = append(tensors, ten)
	}
	writeModel(t, path, &m, tensors, func(ten gguf.Tensor, i int) float32 { return values[ten.Name][i] })
	return path
}

// An adapter chosen for a request makes of the model what merging it would, and
// leaves nothing behind for the next.
func TestAdapters(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate, Slots: 2, Adapters: map[string]string{"zeta": adapterFor(t, false), "alpha": adapterFor(t, false)}})
	merged := ready(t, Options{Model: adapterFor(t, true), Kind: Generate})
	ask := func(s *Server, adapters ...inference.Adapter) inference.GenerateResult {
		t.Helper()
		got, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "The dose is twice a day", MaxTokens: 8, LogProbs: 1, Adapters: adapters}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	same := func(what string, a, b inference.GenerateResult) {
		t.Helper()
		if a.Text != b.Text {
			t.Errorf("%s: %q and %q", what, a.Text, b.Text)
		}
		for i := range min(len(a.LogProbs), len(b.LogProbs)) {
			if d := math.Abs(a.LogProbs[i].LogProb - b.LogProbs[i].LogProb); d > 0.02 {
				t.Errorf("%s: token %d differs by %v", what, i, d)
			}
		}
	}
	base := ask(s)
	adapted := ask(s, inference.Adapter{Name: "zeta", Scale: 1})
	if adapted.Text == base.Text {
		t.Fatal("the adapter changes nothing")
	}
	same("adapted and merged", adapted, ask(merged))
	same("the model as it is, after an adapter", base, ask(s))
	same("at scale 0", base, ask(s, inference.Adapter{Name: "zeta", Scale: 0}))
	// Side by side, each request has its own.
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			req := inference.GenerateRequest{Prompt: "The dose is twice a day", MaxTokens: 8}
			want := base.Text
			if i%2 == 1 {
				req.Adapters, want = []inference.Adapter{{Name: "zeta", Scale: 1}}, adapted.Text
			}
			if got, err := s.Generate(t.Context(), req, nil); err != nil || got.Text != want {
				t.Errorf("request %d among others: %q, %v; alone %q", i, got.Text, err, want)
			}
		})
	}
	wg.Wait()
	same("two halves", adapted, ask(s, inference.Adapter{Name: "zeta", Scale: 0.5}, inference.Adapter{Name: "alpha", Scale: 0.5}))
}

// A caller who goes frees the slot within one token.
func TestCancelWithinOneToken(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	// About 20 ms a token, so that the engine is not far ahead of us.
	model := filepath.Join(t.TempDir(), "middle.gguf")
	randomLlama(t, model, llamaShape{layers: 8, dim: 512, ff: 2048, heads: 8, kvHeads: 8, context: 4096, weights: gguf.F32})
	s := ready(t, Options{Model: model, Kind: Generate, Context: 4096})
	slot := func() (processing bool, written int) {
		var slots []struct {
			Processing bool `json:"is_processing"`
			Next       []struct {
				Decoded int `json:"n_decoded"`
			} `json:"next_token"`
		}
		if err := s.with(context.Background(), func(k *call) error { return k.do("/slots", nil, &slots) }); err != nil || len(slots) != 1 || len(slots[0].Next) != 1 {
			t.Fatalf("%+v %v", slots, err)
		}
		return slots[0].Processing, slots[0].Next[0].Decoded
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var left time.Time
	got, err := s.Generate(ctx, inference.GenerateRequest{Prompt: "a", Temperature: 1, Grammar: "root ::= [a-z]*"}, func(string) error {
		if _, n := slot(); n >= 5 {
			left = time.Now()
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	after := 0 // a slot that is free counts from 0
	eventually(t, 5*time.Second, "the slot is free", func() bool { p, n := slot(); after = max(after, n); return !p })
	t.Logf("%d tokens when the caller left, %d at most were seen until the slot was free, %v later", got.CompletionTokens, after, time.Since(left))
	if after > got.CompletionTokens+3 { // one in the making, one or two on their way to us
		t.Errorf("the engine wrote %d tokens for a caller who left at %d", after, got.CompletionTokens)
	}
}

// Callers take turns, however much one of them asks for.
func TestCallersTakeTurns(t *testing.T) {
	t.Parallel()
	s := ready(t, Options{Model: tinyLlama(t), Kind: Generate, Queue: 40, Wait: time.Minute})
	var mu sync.Mutex
	var ended []string
	var wg sync.WaitGroup
	ask := func(key string, p inference.Priority) {
		wg.Go(func() {
			ctx := inference.WithCaller(t.Context(), inference.Caller{Key: key, Priority: p})
			got, err := s.Generate(ctx, inference.GenerateRequest{Prompt: "a", MaxTokens: 30}, nil)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || got.CompletionTokens != 30 {
				t.Errorf("%s: %+v %v", key, got, err)
			}
			ended = append(ended, key)
		})
	}
	hold, err := s.queue.enter(inference.Caller{Key: "hold"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 21 {
		if i < 10 {
			ask("greedy", inference.Question)
		} else if i < 20 {
			ask("work", inference.Background)
		} else {
			ask("modest", inference.Question)
		}
		eventually(t, 10*time.Second, "it waits", func() bool { _, n := s.queue.counts(); return n == i+1 })
	}
	if st := s.State(); st.Running != 1 || st.Waiting != 21 {
		t.Errorf("state %+v", st)
	}
	hold.leave()
	wg.Wait()
	place := map[string]int{}
	for i, key := range ended {
		if _, ok := place[key]; !ok {
			place[key] = i
		}
	}
	if place["modest"] > 1 || place["work"] < 10 {
		t.Errorf("in this order: %v", ended)
	}
	// A full queue says when to come again; a caller who waits may go.
	short := ready(t, Options{Model: tinyLlama(t), Kind: Generate, Queue: -1})
	hold, _ = short.queue.enter(inference.Caller{})
	var busy *inference.BusyError
	if _, err := short.Generate(t.Context(), inference.GenerateRequest{Prompt: "a"}, nil); !errors.As(err, &busy) || busy.RetryAfter < time.Second {
		t.Errorf("full: %v", err)
	}
	hold.leave()
	hold, _ = s.queue.enter(inference.Caller{})
	defer hold.leave()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := s.Generate(ctx, inference.GenerateRequest{Prompt: "a"}, nil); !errors.Is(err, context.DeadlineExceeded) || got.Queued <= 0 {
		t.Errorf("gave up waiting: %+v %v", got, err)
	}
	if _, waiting := s.queue.counts(); waiting != 0 {
		t.Errorf("%d wait", waiting)
	}
}

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	engine := engineOrSkip(t)
	good := Options{Engine: engine, Model: tinyLlama(t), Kind: Generate}
	for name, change := range map[string]func(*Options){
		"KV type":           func(o *Options) { o.KV = "q5_7" },
		"flash":             func(o *Options) { o.Flash = "perhaps" },
		"KV without flash":  func(o *Options) { o.KV, o.Flash = KVQ4_0, FlashOff },
		"batches":           func(o *Options) { o.Batch, o.MicroBatch = 128, 256 },
		"layers":            func(o *Options) { o.GPULayers = -2 },
		"device":            func(o *Options) { o.Device = "--model" },
		"layers on nothing": func(o *Options) { o.Device, o.GPULayers = NoDevice, 4 },
		"slots":             func(o *Options) { o.Slots = 1 << 20 },
		"kind":              func(o *Options) { o.Kind = "paint" },
		"adapter":           func(o *Options) { o.Adapters = map[string]string{"a": "no/such/file"} },
		"adapter's path":    func(o *Options) { o.Adapters = map[string]string{"a": "a,b"} },
	} {
		o := good
		change(&o)
		if s, err := Start(o); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// Each option is a flag that the engine knows and serves with.
func TestOptionsServe(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	model := filepath.Join(t.TempDir(), "middle.gguf")
	randomLlama(t, model, llamaShape{layers: 2, dim: 256, ff: 512, heads: 4, kvHeads: 2, context: 1024, weights: gguf.Q8_0})
	for name, o := range map[string]Options{
		"everything": {Slots: 2, Batch: 256, MicroBatch: 64, KV: KVQ8_0, Flash: FlashOn, Device: NoDevice, PromptCache: 16},
		"q4_0":       {KV: KVQ4_0, GPULayers: AllLayers},
		"no flash":   {Flash: FlashOff, GPULayers: 1, MicroBatch: 32},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Model, o.Kind = model, Generate
			s := ready(t, o)
			got, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: strings.Repeat("a ", 300), MaxTokens: 4}, nil)
			if err != nil || got.CompletionTokens != 4 {
				t.Errorf("%+v %v", got, err)
			}
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.State().PID))
			if err == nil && o.KV != "" && !strings.Contains(string(line), "--cache-type-k\x00"+string(o.KV)) {
				t.Errorf("%q", line)
			}
		})
	}
}
