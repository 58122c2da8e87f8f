package compress

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rxedge/inference"
	"rxedge/inference/gguf"
	"rxedge/inference/llama"
	"rxedge/inference/llama2c"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const storiesText = "testdata/stories.txt"

func toolsOrSkip(t testing.TB) Tools {
	t.Helper()
	tools, err := FindTools()
	if errors.Is(err, ErrToolsMissing) || errors.Is(err, inference.ErrEngineMissing) {
		t.Skip("llama.cpp's tools are not built here (make engine-tools)")
	}
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

// stories writes the real stories260K as GGUF. Padded, its feed-forward width
// of 172 is filled with zeros to 192, which is the same model and fits blocks
// of 32.
func stories(t testing.TB, padded bool) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir = filepath.Join(dir, "models", "stories260K")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the real stories260K is not on this machine (RXEDGE_TESTDATA names the folder)")
	}
	path := filepath.Join(t.TempDir(), "stories260K.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := llama2c.ConvertFiles(f, filepath.Join(dir, "stories260K.bin"), filepath.Join(dir, "tok512.bin"), llama2c.Options{Name: "stories260K", Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	if padded {
		return pad(t, path)
	}
	return path
}

func pad(t testing.TB, path string) string {
	t.Helper()
	const width, wide = 172, 192
	in, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	m := in.Metadata
	m.Set("llama.feed_forward_length", uint32(wide))
	tensors := append([]gguf.Tensor(nil), in.Tensors...)
	for i, ten := range tensors {
		tensors[i].Shape = append([]uint64(nil), ten.Shape...)
		for d, n := range ten.Shape {
			if n == width {
				tensors[i].Shape[d] = wide
			}
		}
	}
	out := filepath.Join(t.TempDir(), "padded.gguf")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := gguf.NewWriter(f, &m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for i, ten := range in.Tensors {
		old := numbers(t, path, ten.Name)
		v := make([]float32, tensors[i].Elements())
		for j := range old {
			row, col := j/int(ten.Shape[0]), j%int(ten.Shape[0])
			v[row*int(tensors[i].Shape[0])+col] = old[j]
		}
		b, err := gguf.Quantize(nil, v, gguf.F32)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteTensor(ten.Name, strings.NewReader(string(b))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func storiesAs(t testing.TB, tools Tools, in, as string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), as+".gguf")
	if _, err := tools.Quantize(t.Context(), in, out, QuantizeOptions{Type: as, Threads: 1}); err != nil {
		t.Fatal(err)
	}
	return out
}

func storiesPruned(t testing.TB, in string, sparsity float64) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "pruned.gguf")
	if _, err := Prune(t.Context(), in, out, PruneOptions{Sparsity: sparsity}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestQuantizeStories(t *testing.T) {
	t.Parallel()
	tools := toolsOrSkip(t)
	in, padded := stories(t, false), stories(t, true)
	for _, c := range []struct {
		as        string
		in        string
		texts     string
		fallbacks int
		bits      float64 // at most
	}{
		{"Q8_0", in, "", 5, 10.2}, // ffn_down of five layers becomes F16
		{"q8_0", padded, "", 0, 8.7},
		{"Q4_0", padded, storiesText, 1, 6}, // the embedding would be Q6_K
		{"Q4_K_M", in, storiesText, 35, 9},
		{"Q5_K_M", padded, "", 35, 8.5},
		{"F16", in, "", 0, 16.2},
	} {
		out := filepath.Join(t.TempDir(), "out.gguf")
		var stages []string
		rep, err := tools.Quantize(t.Context(), c.in, out, QuantizeOptions{Type: c.as, Texts: c.texts, Context: 128, Threads: 1, Progress: func(stage string, done, total int64) {
			if len(stages) == 0 || stages[len(stages)-1] != stage {
				stages = append(stages, stage)
			}
			if done < 1 || done > total {
				t.Errorf("%s: %s %d of %d", c.as, stage, done, total)
			}
		}})
		if err != nil {
			t.Errorf("%s: %v", c.as, err)
			continue
		}
		if len(rep.Fallbacks) != c.fallbacks || rep.Tensors != 47 || rep.BitsPerWeight > c.bits || rep.BytesAfter >= rep.BytesBefore || rep.Type != strings.ToUpper(c.as) {
			t.Errorf("%s: %d fallbacks, %+v", c.as, len(rep.Fallbacks), rep)
		}
		want := []string{StageQuantize}
		if c.texts != "" {
			want = []string{StageImportance, StageQuantize}
			if rep.Importance == nil || rep.Importance.Chunks != 14 || rep.Importance.Context != 128 || len(rep.Importance.TextsSHA256) != 64 {
				t.Errorf("%s: %+v", c.as, rep.Importance)
			}
		}
		if !reflect.DeepEqual(stages, want) {
			t.Errorf("%s: stages %v", c.as, stages)
		}
		f, err := gguf.Open(out)
		if err != nil {
			t.Errorf("%s: %v", c.as, err)
			continue
		}
		for _, key := range f.Metadata.Keys() {
			if s, ok := f.Metadata.Text(key); ok && strings.Contains(s, string(filepath.Separator)+"tmp") {
				t.Errorf("%s: %s tells of this machine: %q", c.as, key, s)
			}
		}
		for _, fb := range rep.Fallbacks {
			if ten, ok := f.Tensor(fb.Tensor); !ok || ten.Type.String() != fb.Got || fb.Columns%fb.Block == 0 {
				t.Errorf("%s: %+v, the file has %v", c.as, fb, ten)
			}
		}
		f.Close()
		entries, _ := os.ReadDir(filepath.Dir(out))
		if len(entries) != 1 {
			t.Errorf("%s: left behind: %v", c.as, entries)
		}
		again := filepath.Join(t.TempDir(), "again.gguf")
		if _, err := tools.Quantize(t.Context(), c.in, again, QuantizeOptions{Type: c.as, Texts: c.texts, Context: 128, Threads: 1}); err != nil {
			t.Error(err)
		}
		x, _ := os.ReadFile(out)
		y, _ := os.ReadFile(again)
		if string(x) != string(y) {
			t.Errorf("%s: made again it differs", c.as)
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	t.Parallel()
	tools := toolsOrSkip(t)
	in := stories(t, true)
	dir := t.TempDir()
	out := filepath.Join(dir, "out.gguf")
	if _, err := tools.Quantize(t.Context(), in, out, QuantizeOptions{Type: "Q9_Z"}); err == nil || !strings.Contains(err.Error(), "Q4_K_M") {
		t.Errorf("%v", err)
	}
	q8 := storiesAs(t, tools, in, "Q8_0")
	if _, err := tools.Quantize(t.Context(), q8, out, QuantizeOptions{Type: "Q4_0"}); !errors.Is(err, ErrQuantised) {
		t.Errorf("%v", err)
	}
	if _, err := tools.Quantize(t.Context(), q8, filepath.Join(t.TempDir(), "x.gguf"), QuantizeOptions{Type: "Q4_0", Requantize: true, Threads: 1}); err != nil {
		t.Errorf("%v", err)
	}
	short := filepath.Join(t.TempDir(), "short.txt")
	os.WriteFile(short, []byte("Once upon a time there was a secret."), 0o600)
	_, err := tools.Quantize(t.Context(), in, out, QuantizeOptions{Type: "Q4_0", Texts: short})
	var few *ShortTextsError
	// The tool's own word of it is lost now and then.
	if errors.As(err, &few) && few.Want != 1024 || err == nil || !strings.Contains(err.Error(), "1024") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	// A damaged model: the tool's own word, and no word of the texts.
	b, _ := os.ReadFile(in)
	i := strings.Index(string(b), "llama.block_count")
	b[i+len("llama.block_count")+4] = 99
	broken := filepath.Join(t.TempDir(), "broken.gguf")
	os.WriteFile(broken, b, 0o600)
	_, err = tools.Quantize(t.Context(), broken, out, QuantizeOptions{Type: "Q4_0", Texts: storiesText})
	var failed *ToolError
	if !errors.As(err, &failed) || failed.Reason == "" || strings.Contains(err.Error(), "Once") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = tools.Quantize(ctx, in, out, QuantizeOptions{Type: "Q4_0", Texts: storiesText, Context: 64, Threads: 1, Progress: func(string, int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The figures of llama-perplexity are those of an independent forward pass over
// the weights: perplexities, divergence, agreement.
func TestPredictionsAreThoseOfAnIndependentForwardPass(t *testing.T) {
	t.Parallel()
	tools := toolsOrSkip(t)
	base := stories(t, true)
	const chunk = 64
	tokens := tokenize(t, base)[:6*chunk]
	reach := loadTransformer(t, base)
	for _, c := range []struct {
		name, path string
		tolerance  float64 // of the divergence; quantised products are rounded on the way
	}{
		{"itself", base, 0},
		{"pruned", storiesPruned(t, base, 0.3), 0.01},
		{"Q4_0", storiesAs(t, tools, base, "Q4_0"), 0.1},
	} {
		want := reference(reach, loadTransformer(t, c.path), tokens, chunk, 1)
		dir := t.TempDir()
		if _, err := copyTexts(storiesText, filepath.Join(dir, textsFile)); err != nil {
			t.Fatal(err)
		}
		a, err := open(Model{Path: base})
		if err != nil {
			t.Fatal(err)
		}
		b, err := open(Model{Path: c.path})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tools.predict(t.Context(), a, b, dir, CompareOptions{Context: chunk, Chunks: 6, Threads: 1}.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: perplexity %.4f → %.4f (reference %.4f → %.4f), KL %.6f (%.6f), agreement %.4f (%.4f) over %d tokens", c.name,
			got.PerplexityA, got.PerplexityB, want.PerplexityA, want.PerplexityB, got.KL.Mean, want.KL.Mean, got.Top1Agreement, want.Top1Agreement, got.Scored)
		if got.Chunks != want.Chunks || got.Scored != want.Scored {
			t.Errorf("%s: %d chunks and %d tokens, want %d and %d", c.name, got.Chunks, got.Scored, want.Chunks, want.Scored)
		}
		if math.Abs(got.PerplexityA/want.PerplexityA-1) > 1e-3 || math.Abs(got.PerplexityB/want.PerplexityB-1) > max(1e-3, c.tolerance/10) {
			t.Errorf("%s: perplexity %v and %v, want %v and %v", c.name, got.PerplexityA, got.PerplexityB, want.PerplexityA, want.PerplexityB)
		}
		if math.Abs(got.KL.Mean-want.KL.Mean) > 2e-5+c.tolerance*want.KL.Mean {
			t.Errorf("%s: divergence %v, want %v", c.name, got.KL.Mean, want.KL.Mean)
		}
		if math.Abs(got.Top1Agreement-want.Top1Agreement) > 0.005+c.tolerance/10 {
			t.Errorf("%s: agreement %v, want %v", c.name, got.Top1Agreement, want.Top1Agreement)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func tokenize(t *testing.T, model string) []int {
	t.Helper()
	engine, err := llama.Find()
	if err != nil {
		t.Fatal(err)
	}
	s, err := llama.Start(llama.Options{Engine: engine, Model: model, Kind: llama.Generate, Threads: 1, Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(storiesText)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := s.Tokenize(t.Context(), strings.TrimSuffix(string(text), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if ids[0] != 1 {
		ids = append([]int{1}, ids...)
	}
	return ids
}

func TestCompareStories(t *testing.T) {
	t.Parallel()
	tools := toolsOrSkip(t)
	base := stories(t, false)
	if testing.Short() {
		t.Skip("it runs the engine for half a minute")
	}
	o := CompareOptions{Texts: storiesText, Context: 128, Prompts: 8, AnswerTokens: 40, Rounds: 3, PromptTokens: 96, GenerateTokens: 16, Threads: 1, Gate: DefaultGate}
	var last Comparison
	for _, c := range []struct {
		name, path string
		worst      float64 // quality drop, percent
	}{
		{"Q8_0", storiesAs(t, tools, base, "Q8_0"), 2},
		{"pruned30", storiesPruned(t, base, 0.3), 100},
		{"pruned50", storiesPruned(t, base, 0.5), 1000},
	} {
		o.TempDir = t.TempDir()
		stages := map[string]int64{}
		o.Progress = func(stage string, done, total int64) {
			if done < stages[stage] || done > total {
				t.Errorf("%s: %s %d of %d after %d", c.name, stage, done, total, stages[stage])
			}
			stages[stage] = done
		}
		got, err := tools.Compare(t.Context(), Model{Name: "stories260K", Path: base, SHA256: "aa"}, Model{Name: c.name, Path: c.path, SHA256: "bb"}, o)
		if err != nil {
			t.Fatal(err)
		}
		js, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", js)
		if len(stages) != 3 {
			t.Errorf("%s: stages %v", c.name, stages)
		}
		v := got.Verdict
		if v.QualityDropPercent > c.worst || got.KL.Mean <= 0 || got.KL.Mean <= last.KL.Mean || got.Top1Agreement >= 1 || got.Greedy.RougeL <= 0 || got.Greedy.RougeL > 1 || got.Greedy.ExactMatch > got.Greedy.CommonPrefix {
			t.Errorf("%s: %+v", c.name, got)
		}
		for _, s := range []Side{got.A, got.B} {
			if s.PromptTokensPerSecond < 100 || s.GenerateTokensPerSecond < 100 || s.LatencyMS <= 0 || s.PeakResidentBytes < s.SizeBytes || s.PeakResidentBytes > 1<<30 {
				t.Errorf("%s: %+v", c.name, s)
			}
		}
		if v.Passed != (v.QualityDropPercent < 2 && v.LatencyGainPercent > 30) || v.Passed == (len(v.Reasons) > 0) {
			t.Errorf("%s: %+v", c.name, v)
		}
		if left, _ := os.ReadDir(o.TempDir); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		last = got
	}
}

func TestCompareRefuses(t *testing.T) {
	t.Parallel()
	tools := toolsOrSkip(t)
	base := stories(t, false)
	other := small(t, gguf.F32, random(1))
	o := CompareOptions{Texts: storiesText, TempDir: t.TempDir(), Gate: DefaultGate}
	if _, err := tools.Compare(t.Context(), Model{Path: base}, Model{Path: other}, o); !errors.Is(err, ErrVocabularies) {
		t.Errorf("%v", err)
	}
	o.Gate.LatencyGain = 100
	if _, err := tools.Compare(t.Context(), Model{Path: base}, Model{Path: base}, o); err == nil {
		t.Error("a gate that nothing can pass")
	}
	o.Gate = DefaultGate
	o.Texts = filepath.Join(t.TempDir(), "short.txt")
	os.WriteFile(o.Texts, []byte("Too little to say."), 0o600)
	var few *ShortTextsError
	if _, err := tools.Compare(t.Context(), Model{Path: base}, Model{Path: base}, o); !errors.As(err, &few) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Texts, o.Context, o.Progress = storiesText, 64, func(string, int64, int64) { cancel() }
	if _, err := tools.Compare(ctx, Model{Path: base}, Model{Path: base}, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(o.TempDir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFindToolsSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"rxedge-llama", "llama-quantize"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RXEDGE_LLAMA", dir)
	if _, err := FindTools(); !errors.Is(err, ErrToolsMissing) || !strings.Contains(err.Error(), "make engine-tools") {
		t.Errorf("%v", err)
	}
}
