package bert

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/inference"
	"rxedge/inference/gguf"
	"rxedge/inference/llama"
)

// big says whether the whole shapes are run, which takes minutes.
var big = os.Getenv("RXEDGE_BIG") != ""

func layers(all int) int {
	switch {
	case big:
		return all
	case raced:
		return 1
	}
	return 2
}

func testdata(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real file %s is not on this machine (RXEDGE_TESTDATA names the folder)", name)
	}
	return path
}

// bertFolder is a folder with the real tokenizer of MiniLM.
func bertFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(testdata(t, "tokenizers/all-MiniLM-L6-v2/tokenizer.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "tokenizer.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// robertaFolder has the small tokenizer of testdata, with pieces that no text
// reaches up to n tokens.
func robertaFolder(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile("testdata/bpe.json")
	if err != nil {
		t.Fatal(err)
	}
	var j map[string]any
	if err := json.Unmarshal(b, &j); err != nil {
		t.Fatal(err)
	}
	vocab := j["model"].(map[string]any)["vocab"].(map[string]any)
	for id := len(vocab); id < n; id++ {
		vocab["piece"+strconv.Itoa(id)] = id
	}
	writeJSON(t, filepath.Join(dir, "tokenizer.json"), j)
	return dir
}

func convert(t testing.TB, dir string, o Options) (string, Report) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Convert(t.Context(), dir, f, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return path, r
}

// startEngine serves a model.
func startEngine(t testing.TB, model string, kind llama.Kind) *llama.Server {
	t.Helper()
	found, err := llama.Find()
	if errors.Is(err, inference.ErrEngineMissing) {
		t.Skip("the llama.cpp engine is not built here (make build); the converted model was not run")
	} else if err != nil {
		t.Fatal(err)
	}
	s, err := llama.Start(llama.Options{Engine: found, Model: model, Kind: kind, Context: 512, Threads: 1, Wait: time.Minute})
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

// compare holds got against want: no difference over tolerance, and the order
// of any two whose difference is larger than it can be the same.
func compare(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	var worst, sum, squares float64
	for i := range want {
		worst = max(worst, math.Abs(got[i]-want[i]))
		sum += want[i]
		squares += want[i] * want[i]
		for j := range i {
			if d := want[i] - want[j]; math.Abs(d) > 2*tolerance && (d > 0) != (got[i]-got[j] > 0) {
				t.Errorf("%s: %d and %d are in another order: %v %v, want %v %v", what, i, j, got[i], got[j], want[i], want[j])
			}
		}
	}
	n := float64(len(want))
	spread := math.Sqrt(max(0, squares/n-sum/n*sum/n))
	t.Logf("%s: %d values of spread %.3f, largest error %.2g", what, len(want), spread, worst)
	if !(worst <= tolerance) {
		t.Errorf("%s: the largest error is %v, more than %v", what, worst, tolerance)
	}
	if spread < 50*tolerance && !raced {
		t.Errorf("%s: the spread of %v is too small to prove anything", what, spread)
	}
}

// parallel calls f for 0 … n−1 on all processors.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range 2 {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func words(m *Model) []string {
	if m.pieces != nil {
		return []string{"inference", "returns", "the", "model", "500", "mg", "answer", "question", "don't", "it", "text", "error", "a", "file", "of", "passage", "takes", "token"}
	}
	return []string{"warfarin", "and", "aspirin", "bleeding", "dose", "the", "is", "500", "mg", "twice", "daily", "kidney", "failure", "metformin",
		"contraindicated", "patients", "with", "lactic", "acidosis", "pregnancy", "not", "should", "be", "taken", "orally", "tablet", "pain", "ibuprofen"}
}

func TestEncoderEqualsReference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pooling Pooling
		as      gguf.Type
	}{{Mean, gguf.F32}, {Mean, gguf.F16}, {CLS, gguf.F16}, {Mean, gguf.Q8_0}} {
		t.Run(string(c.pooling)+c.as.String(), func(t *testing.T) {
			t.Parallel()
			// all-MiniLM-L6-v2
			ref := (&checkpoint{hidden: 384, ffn: 1536, layers: layers(6), heads: 12, vocabulary: 30522, positions: 512, segments: 2, eps: 1e-12}).fill(1)
			dir := bertFolder(t)
			ref.write(t, dir, nil)
			writeJSON(t, filepath.Join(dir, "modules.json"), []map[string]any{
				{"path": "", "type": "sentence_transformers.models.Transformer"},
				{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
				{"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
			})
			if err := os.Mkdir(filepath.Join(dir, "1_Pooling"), 0o700); err != nil {
				t.Fatal(err)
			}
			writeJSON(t, filepath.Join(dir, "1_Pooling", "config.json"), map[string]any{
				"word_embedding_dimension": ref.hidden, "pooling_mode_cls_token": c.pooling == CLS, "pooling_mode_mean_tokens": c.pooling == Mean, "pooling_mode_max_tokens": false,
			})
			path, report := convert(t, dir, Options{Type: c.as})
			if report.Kind != Encoder || report.Pooling != c.pooling || report.MaxTokens != 512 || report.TwoSegments {
				t.Errorf("report %+v", report)
			}
			m, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind != Encoder || m.Pooling != c.pooling || m.MaxTokens != 512 {
				t.Errorf("model %+v", m)
			}
			texts := randomTexts(3, words(m), 12, 1, 16)
			inputs := make([][]int, len(texts))
			for i := range texts {
				if inputs[i], err = m.Input(texts[i], 512); err != nil {
					t.Fatal(err)
				}
			}
			got, err := startEngine(t, path, llama.Embed).Embed(t.Context(), texts)
			if err != nil {
				t.Fatal(err)
			}
			least := 1.0
			if c.as == gguf.Q8_0 {
				least = .999 // what eight bits leave
			} else {
				least = .9999
			}
			worst := make([]float64, len(texts))
			parallel(len(texts), func(i int) {
				var dot, size float64
				for k, want := range ref.embedding(inputs[i], c.pooling) {
					dot += want * float64(got[i][k])
					size += float64(got[i][k]) * float64(got[i][k])
				}
				worst[i] = dot / math.Sqrt(size)
			})
			t.Logf("least cosine of %d texts: %.7f", len(texts), slices.Min(worst))
			if slices.Min(worst) < least {
				t.Errorf("cosines %v", worst)
			}
		})
	}
}

// undouble returns the ids of the checkpoint's own vocabulary, and the segments as
// BERT defines them: the second begins after the first [SEP].
func (c *checkpoint) undouble(input []int) (ids, segments []int) {
	const sep = 102
	ids, segments = make([]int, len(input)), make([]int, len(input))
	second := false
	for i, id := range input {
		ids[i] = id % c.vocabulary
		if second {
			segments[i] = 1
		}
		second = second || ids[i] == sep && c.segments > 1
	}
	return ids, segments
}

// judged is 50 pairs of texts and what the reference makes of them.
type judged struct {
	ref     *checkpoint
	a, b    []string
	model   *Model // for its tokenizer
	logits  [][]float64
	ignored [][]float64 // of the first ten, the second text's segment ignored
	table   [][]float64 // of the first ten, with ggml's own GELU
}

func newJudged(t *testing.T, ref *checkpoint, dir string) *judged {
	t.Helper()
	path, _ := convert(t, dir, Options{})
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 50
	if raced {
		n = 12
	}
	j := &judged{ref: ref, model: m, a: randomTexts(7, words(m), n, 3, 10), b: randomTexts(8, words(m), n, 4, 14),
		logits: make([][]float64, n), ignored: make([][]float64, 10), table: make([][]float64, 10)}
	rough := *ref
	rough.gelu = tableGELU
	parallel(len(j.a), func(i int) {
		input, err := m.Pair(j.a[i], j.b[i], 512)
		if err != nil {
			panic(err)
		}
		ids, segments := ref.undouble(input)
		j.logits[i] = ref.logits(ids, segments)
		if i < 10 {
			j.ignored[i] = ref.logits(ids, make([]int, len(ids)))
			j.table[i] = rough.logits(ids, segments)
		}
	})
	return j
}

// check holds the engine's logits against the reference.
func (j *judged) check(t *testing.T, e *llama.Server, as gguf.Type) {
	t.Helper()
	inputs := make([][]int, len(j.a))
	for i := range inputs {
		var err error
		if inputs[i], err = j.model.Pair(j.a[i], j.b[i], 512); err != nil {
			t.Fatal(err)
		}
	}
	labels := len(j.model.Labels)
	got, err := e.Classify(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	for k, label := range j.model.Labels {
		var want, is []float64
		for i := range got {
			if len(got[i]) != labels {
				t.Fatalf("the engine returned %d numbers for %d labels", len(got[i]), labels)
			}
			want, is = append(want, j.logits[i][k]), append(is, float64(got[i][k]))
		}
		compare(t, "logits of "+label, is, want, logitTolerance)
		var worst float64
		for i := range j.table {
			worst = max(worst, math.Abs(j.table[i][k]-is[i]))
		}
		t.Logf("logits of %s, the reference with ggml's GELU: largest error %.2g", label, worst)
		if as == gguf.F32 && worst > tableTolerance {
			t.Errorf("logits of %s differ by %v even with ggml's own GELU", label, worst)
		}
	}
	if j.ref.segments == 1 {
		return
	}
	// Were the second text's segment ignored, the logits would be others: here in
	// the definition, and in the engine, fed as if there were one segment.
	plain := make([][]int, 10)
	for i := range plain {
		plain[i], _ = j.ref.undouble(inputs[i])
	}
	flat, err := e.Classify(t.Context(), plain)
	if err != nil {
		t.Fatal(err)
	}
	for k := range labels {
		var matters, same float64
		for i := range plain {
			matters = max(matters, math.Abs(j.ignored[i][k]-j.logits[i][k]))
			same = max(same, math.Abs(j.ignored[i][k]-float64(flat[i][k])))
		}
		if matters < 20*logitTolerance || same > logitTolerance {
			t.Errorf("without segments logit %d moves by %v, and the engine is %v from that", k, matters, same)
		}
	}
}

const (
	logitTolerance = 5e-3 // GELU's table, and half precision where weights are
	tableTolerance = 5e-4
)

// crossEncoder has the shape of ms-marco-MiniLM-L6-v2.
func crossEncoder(t testing.TB) (*checkpoint, string) {
	ref := (&checkpoint{prefix: "bert.", hidden: 384, ffn: 1536, layers: layers(6), heads: 12, vocabulary: 30522, positions: 512, segments: 2, labels: 1, eps: 1e-12}).fill(2)
	dir := bertFolder(t)
	ref.write(t, dir, map[string]any{"id2label": map[string]string{"0": "LABEL_0"}})
	return ref, dir
}

func TestRerankerEqualsReference(t *testing.T) {
	t.Parallel()
	ref, dir := crossEncoder(t)
	j := newJudged(t, ref, dir)
	for _, as := range []gguf.Type{gguf.F32, gguf.F16} {
		path, report := convert(t, dir, Options{Type: as})
		if report.Kind != Reranker || !report.TwoSegments || report.MaxTokens != 512 {
			t.Errorf("report %+v", report)
		}
		m, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		e := startEngine(t, path, llama.Rank)
		t.Logf("%s:", as)
		j.check(t, e, as)
		r, err := NewReranker(e, m, JudgeOptions{Name: "cross"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			scores, err := r.Rerank(t.Context(), j.a[i], j.b[i:i+3])
			if err != nil || len(scores) != 3 {
				t.Fatal(scores, err)
			}
			want := 1 / (1 + math.Exp(-j.logits[i][0]))
			if d := math.Abs(float64(scores[0]) - want); !(d <= logitTolerance) {
				t.Errorf("%s: score %d is %v, want %v", as, i, scores[0], want)
			}
		}
	}
}

func TestEntailerEqualsReference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		ref    checkpoint
		types  []gguf.Type
		labels []string
	}{
		{"bert", checkpoint{prefix: "bert.", hidden: 384, ffn: 1536, layers: layers(6), heads: 12, vocabulary: 30522, positions: 512, segments: 2, eps: 1e-12},
			[]gguf.Type{gguf.F32, gguf.F16}, []string{"CONTRADICTION", "NEUTRAL", "ENTAILMENT"}},
		{"roberta", robertaShape(), // nli-MiniLM2-L6-H768
			[]gguf.Type{gguf.F32, gguf.F16}, []string{"contradiction", "entailment", "neutral"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ref := &c.ref
			ref.labels = 3
			ref.fill(3)
			var dir string
			if ref.roberta {
				dir = robertaFolder(t, ref.vocabulary)
			} else {
				dir = bertFolder(t)
			}
			names := make(map[string]string)
			for i, label := range c.labels {
				names[strconv.Itoa(i)] = label
			}
			ref.write(t, dir, map[string]any{"id2label": names})
			j := newJudged(t, ref, dir)
			for _, as := range c.types {
				path, report := convert(t, dir, Options{Type: as})
				if report.Kind != Entailer || !slices.Equal(report.Labels, c.labels) || report.MaxTokens != 512 || report.TwoSegments == ref.roberta {
					t.Errorf("report %+v", report)
				}
				m, err := Open(path)
				if err != nil {
					t.Fatal(err)
				}
				engine := startEngine(t, path, llama.Rank)
				t.Logf("%s:", as)
				j.check(t, engine, as)
				j.checkEntailer(t, engine, m)
			}
		})
	}
}

func robertaShape() checkpoint {
	c := checkpoint{prefix: "roberta.", roberta: true, hidden: 256, ffn: 1024, layers: 2, heads: 4, vocabulary: 961, positions: 514, segments: 1, pad: 1, eps: 1e-5}
	if big {
		c.hidden, c.ffn, c.layers, c.heads, c.vocabulary = 768, 3072, 6, 12, 50265
	}
	return c
}

// checkEntailer: each probability is that of its own label.
func (j *judged) checkEntailer(t *testing.T, engine *llama.Server, m *Model) {
	t.Helper()
	e, err := NewEntailer(engine, m, JudgeOptions{Name: "nli"})
	if err != nil {
		t.Fatal(err)
	}
	pairs := make([]inference.Pair, len(j.a))
	for i := range pairs {
		pairs[i] = inference.Pair{Premise: j.a[i], Hypothesis: j.b[i]}
	}
	result, err := e.Entail(t.Context(), pairs)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range result {
		var sum float64
		for _, l := range j.logits[i] {
			sum += math.Exp(l)
		}
		for k, label := range m.Labels {
			is := map[string]float32{"entailment": p.Entail, "neutral": p.Neutral, "contradiction": p.Contradict}[strings.ToLower(label)]
			if d := math.Abs(float64(is) - math.Exp(j.logits[i][k])/sum); !(d <= logitTolerance) {
				t.Errorf("pair %d: %s has %v, want %v", i, label, is, math.Exp(j.logits[i][k])/sum)
			}
		}
	}
}
