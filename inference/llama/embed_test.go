package llama

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"rxedge/inference"
)

func bytesOf(numbers []float32) io.Reader {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, numbers)
	return &b
}

var smallBERT = bertShape{layers: 2, dim: 32, ff: 64, heads: 4, positions: 128}

func TestEmbed(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	s := ready(t, Options{Model: randomBERT(t, smallBERT, false), Kind: Embed, Name: "enc", SHA256: "cafe", Context: 128, Slots: 2})
	if got, want := s.Info(), (inference.EmbedderInfo{Name: "enc", SHA256: "cafe", Dimension: 32, MaxTokens: 128}); got != want {
		t.Errorf("info %+v, want %+v", got, want)
	}
	texts := []string{"metformin 500 mg twice daily", "", "warfarin and aspirin", "[CLS] taken as text"}
	for i := range 2 * textsPerCall {
		texts = append(texts, strings.Repeat("renal impairment ", 1+i%30))
	}
	together, err := s.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range together {
		var norm float64
		for _, x := range v {
			norm += float64(x) * float64(x)
		}
		if len(v) != 32 || math.Abs(norm-1) > 1e-5 {
			t.Fatalf("vector %d has %d numbers and squared length %v", i, len(v), norm)
		}
	}
	// Order and neighbours do not matter: each alone is the same.
	for _, i := range []int{0, 1, 2, 3, 40, 67} {
		alone, err := s.Embed(t.Context(), texts[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		if c := cosine(alone[0], together[i]); c < 0.99999 {
			t.Errorf("text %d alone and among others: cosine %v", i, c)
		}
	}
	if c := cosine(together[0], together[2]); c > 0.999 {
		t.Errorf("different texts have cosine %v", c)
	}
	if none, err := s.Embed(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("no texts: %v, %v", none, err)
	}
	_, err = s.Embed(t.Context(), []string{"short", strings.Repeat("the ", 127)})
	var over *inference.ContextError
	if !errors.As(err, &over) || over.Tokens != 129 || over.Limit != 128 {
		t.Errorf("over-long text: %v", err)
	}
	if v, err := s.Embed(t.Context(), []string{strings.Repeat("the ", 126)}); err != nil || len(v) != 1 {
		t.Errorf("a text that just fits: %v", err)
	}
	if _, err := s.Generate(t.Context(), inference.GenerateRequest{Prompt: "a"}, nil); err == nil {
		t.Error("an encoder wrote text")
	}
}

// An encoder reads no longer texts than it has places for, and takes no memory
// for longer ones.
func TestEncoderContextIsTrained(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	o := Options{Model: randomBERT(t, smallBERT, false), Kind: Embed, Context: 512}
	s := ready(t, o)
	var over *inference.ContextError
	if _, err := s.Embed(t.Context(), []string{strings.Repeat("the ", 200)}); !errors.As(err, &over) || over.Limit != smallBERT.positions {
		t.Errorf("200 words: %v", err)
	}
	if _, err := s.Embed(t.Context(), []string{strings.Repeat("the ", smallBERT.positions-2)}); err != nil {
		t.Errorf("as many as there are places: %v", err)
	}
	if n := s.Info().MaxTokens; n != smallBERT.positions || s.State().Restarts != 0 {
		t.Errorf("%d tokens, state %+v", n, s.State())
	}
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.State().PID)); err == nil && !strings.Contains(string(line), "--ubatch-size\x00128") {
		t.Errorf("%q", line)
	}
	much, err := EstimateMemory(o)
	o.Context = smallBERT.positions
	if little, _ := EstimateMemory(o); err != nil || much != little {
		t.Errorf("%+v for what cannot be used, %+v, %v", much, little, err)
	}
}

// A damaged model must not put vectors without a direction into the index.
func TestEmbedDamagedModel(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	s := start(t, Options{Model: randomBERT(t, smallBERT, true), Kind: Embed, Context: 128})
	var failed *FailedError
	if err := s.WaitReady(t.Context()); !errors.As(err, &failed) || !strings.Contains(failed.Reason, "no direction") {
		t.Errorf("a model full of NaN: %v", err)
	}
}

func TestNormalise(t *testing.T) {
	t.Parallel()
	v := []float32{3, 4}
	if err := normalise(v); err != nil || v[0] != 0.6 || v[1] != 0.8 {
		t.Errorf("%v, %v", v, err)
	}
	for _, bad := range [][]float32{{0, 0}, {1, float32(math.NaN())}, {float32(math.Inf(1)), 1}} {
		if normalise(bad) == nil {
			t.Errorf("%v passed", bad)
		}
	}
}

func cosine(a, b []float32) float64 {
	var s float64
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}
