package bert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rxedge/inference/gguf"
)

// tinyWords is a WordPiece vocabulary.
var tinyWords = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "warfarin", "##s", "bleeding", "the", ",", "risk", "of"}

func tinyBERT(labels int) *checkpoint {
	c := &checkpoint{hidden: 32, ffn: 64, layers: 1, heads: 2, vocabulary: len(tinyWords), positions: 16, segments: 2, labels: labels, eps: 1e-12}
	if labels > 0 {
		c.prefix = "bert."
	}
	return c.fill(1)
}

// tinyFolder is a whole model; more goes into config.json.
func tinyFolder(t testing.TB, c *checkpoint, more map[string]any) string {
	t.Helper()
	dir := t.TempDir()
	c.write(t, dir, more)
	if err := os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(strings.Join(tinyWords, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func floats(t *testing.T, f *gguf.File, name string) []float32 {
	t.Helper()
	ten, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	b, err := io.ReadAll(f.Data(ten))
	if err != nil {
		t.Fatal(err)
	}
	out, err := gguf.Dequantize(nil, b, ten.Type)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSegmentsGoIntoTheVocabulary(t *testing.T) {
	t.Parallel()
	c := tinyBERT(1)
	dir := tinyFolder(t, c, map[string]any{"id2label": map[string]string{"0": "LABEL_0"}})
	path, report := convert(t, dir, Options{})
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	word, kind := c.weights["bert.embeddings.word_embeddings.weight"], c.weights["bert.embeddings.token_type_embeddings.weight"]
	table := floats(t, f, "token_embd.weight")
	if len(table) != 2*len(word) {
		t.Fatalf("%d numbers", len(table))
	}
	for i, w := range word {
		if table[i] != w+kind[i%32] || table[len(word)+i] != w+kind[32+i%32] {
			t.Fatalf("number %d: %v and %v", i, table[i], table[len(word)+i])
		}
	}
	for _, v := range floats(t, f, "token_types.weight") {
		if v != 0 {
			t.Fatal("the table of segments is not zero")
		}
	}
	if n, _ := f.Metadata.Uint("bert.embedding_length_out"); n != 1 {
		t.Errorf("embedding_length_out is %d", n)
	}
	if !slices.Equal(report.Left, []string{"bert.embeddings.position_ids"}) {
		t.Errorf("left %q", report.Left)
	}
	st, err := os.Stat(path)
	if err != nil || st.Size() != report.Bytes {
		t.Errorf("%d bytes, the report says %d", st.Size(), report.Bytes)
	}

	m, err := FromGGUF(&f.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	const b = 12
	got, err := m.Pair("Warfarins", "risk, [B:7] bleeding", 16)
	if want := []int{2, 5, 6, 3, 10 + b, 9 + b, 1 + b, 1 + b, 1 + b, 1 + b, 1 + b, 7 + b, 3 + b}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestPairOfRoBERTa(t *testing.T) {
	t.Parallel()
	c := (&checkpoint{prefix: "roberta.", roberta: true, hidden: 32, ffn: 64, layers: 1, heads: 2, vocabulary: 961, positions: 34, segments: 1, labels: 3, pad: 1, eps: 1e-5}).fill(1)
	dir := robertaFolder(t, 961)
	c.write(t, dir, map[string]any{"id2label": map[string]string{"0": "contradiction", "1": "entailment", "2": "neutral"}})
	path, report := convert(t, dir, Options{Type: gguf.Q8_0})
	if report.MaxTokens != 32 || report.TwoSegments {
		t.Errorf("%+v", report)
	}
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	// As the tokenizers library puts the two together.
	got, err := m.Pair("a premise", "a hypothesis", 32)
	if want := []int{0, 101, 319, 277, 113, 285, 105, 2, 2, 101, 336, 125, 116, 311, 270, 119, 285, 2}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	positions := c.weights["roberta.embeddings.position_embeddings.weight"]
	if got := floats(t, f, "position_embd.weight"); !slices.Equal(got, positions[2*32:]) {
		t.Error("positions do not begin after the padding's")
	}
}

func TestOldNames(t *testing.T) {
	t.Parallel()
	c := tinyBERT(0)
	for i, name := range c.names {
		if p, ok := strings.CutSuffix(name, "LayerNorm.weight"); ok {
			c.names[i] = p + "LayerNorm.gamma"
		} else if p, ok := strings.CutSuffix(name, "LayerNorm.bias"); ok {
			c.names[i] = p + "LayerNorm.beta"
		}
		c.shapes[c.names[i]], c.weights[c.names[i]] = c.shapes[name], c.weights[name]
	}
	_, report := convert(t, tinyFolder(t, c, nil), Options{})
	if report.Pooling != Mean || len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "the mean is taken") {
		t.Errorf("%+v", report)
	}
}

func TestConvertRefuses(t *testing.T) {
	t.Parallel()
	three := map[string]any{"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
	for name, c := range map[string]struct {
		labels int
		more   map[string]any
		files  map[string]any // written over those of the folder; nil removes
		damage func(*checkpoint)
		o      Options
		want   string
	}{
		"no config":            {files: map[string]any{"config.json": nil}, want: "has no config.json"},
		"another model":        {more: map[string]any{"architectures": []string{"LlamaForCausalLM"}}, want: "only BertForSequenceClassification, BertModel"},
		"other kind":           {more: map[string]any{"model_type": "roberta"}, want: "model_type"},
		"no vocabulary":        {files: map[string]any{"vocab.txt": nil}, want: "neither tokenizer.json nor vocab.txt"},
		"relu":                 {more: map[string]any{"hidden_act": "relu"}, want: "hidden_act"},
		"relative":             {more: map[string]any{"position_embedding_type": "relative_key"}, want: "position_embedding_type"},
		"heads":                {more: map[string]any{"num_attention_heads": 5}, want: "no multiple"},
		"layers":               {more: map[string]any{"num_hidden_layers": 2}, want: "no tensor encoder.layer.1.attention.self.query.weight"},
		"fewer layers":         {damage: func(c *checkpoint) { c.layers = 2; c.fill(1) }, more: map[string]any{"num_hidden_layers": 1}, want: "does not have"},
		"shape":                {more: map[string]any{"intermediate_size": 65}, want: "config.json says [65 32]"},
		"small vocabulary":     {more: map[string]any{"vocab_size": 11}, want: "vocab.txt"},
		"two labels":           {labels: 2, more: map[string]any{"id2label": map[string]any{"0": "no", "1": "yes"}}, want: "2 labels"},
		"dumb labels":          {labels: 3, more: map[string]any{"id2label": three}, want: "do not say which is entailment"},
		"wrong labels":         {labels: 3, more: map[string]any{"id2label": three}, o: Options{Labels: []string{"entailment", "neutral"}}, want: "2 labels were given"},
		"labels of an encoder": {o: Options{Labels: []string{"x"}}, want: "has none"},
		"max pooling":          {files: map[string]any{"1_Pooling/config.json": map[string]any{"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true}}, want: "alone is supported"},
		"dense":                {files: map[string]any{"modules.json": []map[string]any{{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}}}, want: "models.Dense"},
		"far pooling":          {files: map[string]any{"modules.json": []map[string]any{{"type": "sentence_transformers.models.Pooling", "path": "../x"}}}, want: "lies elsewhere"},
		"NaN": {damage: func(c *checkpoint) { c.weights["encoder.layer.0.output.dense.weight"][70] = float32(math.NaN()) },
			want: "row 1 of tensor encoder.layer.0.output.dense.weight: NaN is no number"},
		"too large": {damage: func(c *checkpoint) { c.weights["encoder.layer.0.output.dense.weight"][0] = 70000 }, o: Options{Type: gguf.F16}, want: "too large for F16"},
		"type":      {o: Options{Type: gguf.Q4_K}, want: "not as Q4_K"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref := tinyBERT(c.labels)
			if c.damage != nil {
				c.damage(ref)
			}
			dir := tinyFolder(t, ref, c.more)
			for file, content := range c.files {
				path := filepath.Join(dir, file)
				if content == nil {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				writeJSON(t, path, content)
			}
			_, err := Convert(t.Context(), dir, io.Discard, c.o, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestConvertWithGivenLabels(t *testing.T) {
	t.Parallel()
	dir := tinyFolder(t, tinyBERT(3), map[string]any{"id2label": map[string]string{"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}})
	path, _ := convert(t, dir, Options{Labels: []string{"neutral", "contradiction", "entailment"}})
	m, err := Open(path)
	if err != nil || m.Kind != Entailer || m.Labels[2] != "entailment" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestConvertProgressAndCancel(t *testing.T) {
	t.Parallel()
	dir := tinyFolder(t, tinyBERT(0), nil)
	var last, total int64
	if _, err := Convert(t.Context(), dir, io.Discard, Options{}, func(d, n int64) {
		if d < last {
			t.Errorf("%d after %d", d, last)
		}
		last, total = d, n
	}); err != nil || last != total || total == 0 {
		t.Errorf("%d of %d, %v", last, total, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Convert(ctx, dir, io.Discard, Options{}, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A cross-encoder that another tool converted would be judged without segments.
func TestForeignCrossEncoder(t *testing.T) {
	t.Parallel()
	dir := tinyFolder(t, tinyBERT(1), map[string]any{"id2label": map[string]string{"0": "LABEL_0"}})
	path, _ := convert(t, dir, Options{})
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var m gguf.Metadata
	for _, key := range f.Metadata.Keys() {
		if v, _ := f.Metadata.Get(key); key != keySecondSegment {
			m.Set(key, v)
		}
	}
	if _, err := FromGGUF(&m); err == nil || !strings.Contains(err.Error(), "segments") {
		t.Error(err)
	}
	if KindOf(&m) != Reranker {
		t.Error(KindOf(&m))
	}
	m.Set("general.architecture", "llama")
	if KindOf(&m) != "" {
		t.Error(KindOf(&m))
	}
}

func TestRealVocabularyBothWays(t *testing.T) {
	t.Parallel()
	dir := testdata(t, "tokenizers/all-MiniLM-L6-v2")
	c := &config{vocabulary: 30522}
	fromJSON, err := readVocabulary(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	fromText, err := readVocabTxt(dir, 30522)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(fromJSON.tokens, fromText.tokens) || !slices.Equal(fromJSON.types, fromText.types) || fromJSON.special != fromText.special || !fromText.lowercase || !fromJSON.lowercase {
		t.Error("tokenizer.json and vocab.txt differ")
	}
}

func FuzzConfig(f *testing.F) {
	base := map[string]any{"architectures": []string{"BertForSequenceClassification"}, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
		"num_attention_heads": 2, "vocab_size": 12, "max_position_embeddings": 16, "id2label": map[string]string{"0": "a"}}
	for _, more := range []map[string]any{{}, {"architectures": []string{"RobertaModel"}}, {"pad_token_id": 99}, {"id2label": map[string]string{"7": "x"}}, {"layer_norm_eps": 0}} {
		j := maps.Clone(base)
		maps.Copy(j, more)
		b, err := json.Marshal(j)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig(b, nil)
		if err == nil && (c.maxTokens() < 1 || c.hidden%c.heads != 0 || c.kind != Encoder && len(c.labels) == 0) {
			t.Errorf("%+v", c)
		}
		parseModules(b)
		parsePooling(b, 32)
	})
}

func FuzzVocabulary(f *testing.F) {
	b, err := os.ReadFile("testdata/bpe.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, 961)
	f.Add([]byte(`{"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"a":3,"##a":4}},"normalizer":{"type":"BertNormalizer","lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"}}`), 5)
	f.Add([]byte(strings.Join(tinyWords, "\n")), 12)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 1 || n > 1<<12 {
			return
		}
		for _, parse := range []func() (*vocabulary, error){
			func() (*vocabulary, error) { return parseBPE(b, n) },
			func() (*vocabulary, error) { return parseWordPiece(b, n) },
			func() (*vocabulary, error) { return parseVocabTxt(b, nil, n) },
		} {
			v, err := parse()
			if err != nil {
				continue
			}
			// What was taken can be written, and read again.
			m := (&config{kind: Reranker, labels: []string{"x"}, vocabulary: n, positions: 16, pooling: rank}).metadata("", gguf.F32)
			v.metadata(m, 2, true)
			var out bytes.Buffer
			if _, err := gguf.NewWriter(&out, m, nil); err != nil {
				return // such as text that is no UTF-8
			}
			if _, err := FromGGUF(m); err != nil {
				t.Errorf("%v", err)
			}
		}
	})
}
