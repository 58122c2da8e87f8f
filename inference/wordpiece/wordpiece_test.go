package wordpiece

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rxedge/inference"
	"rxedge/inference/gguf"
)

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

func minilm(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := Open(testdata(t, "tokenizers/all-MiniLM-L6-v2/tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// The ids were made by Hugging Face's tokenizers 0.23.2 from the tokenizer.json
// of all-MiniLM-L6-v2, with truncation and padding off.
func TestGolden(t *testing.T) {
	t.Parallel()
	tok := minilm(t)
	x := func(n int) string { return strings.Repeat("x", n) }
	long := []int{22038}
	for range 49 {
		long = append(long, 20348)
	}
	for _, c := range []struct {
		text string
		ids  []int
	}{
		{"", []int{}},
		{"\x00\ufffd", []int{}},
		{"Metformin 500 mg tablets: take 1 tablet twice daily.", []int{2777, 14192, 2378, 3156, 11460, 17596, 1024, 2202, 1015, 13855, 3807, 3679, 1012}},
		{"CAFÉ naïve Ångström — ½ dose", []int{7668, 15743, 17076, 15687, 1517, 1092, 13004}},
		{"5-α-reductase (type II) 药物 test", []int{1019, 1011, 1155, 1011, 2417, 14194, 18260, 1006, 2828, 2462, 1007, 100, 100, 3231}},
		{"don't\u00a0exceed\t2.5\u202fmg/kg\u200b/day", []int{2123, 1005, 1056, 13467, 1016, 1012, 1019, 11460, 1013, 4705, 1013, 2154}},
		{"[CLS] hello [SEP][MASK]x[mask]", []int{101, 7592, 102, 103, 1060, 1031, 7308, 1033}},
		{"a\u0301e\u0308 İstanbul ǅ ß ŒUVRE", []int{29347, 9960, 100, 1096, 1107, 2226, 12229}},
		{x(101) + " end", []int{100, 2203}},
		{x(100), long},
		{"$5.00 = 10% [of] 50 `quoted` ~ ^ + <tag>", []int{1002, 1019, 1012, 4002, 1027, 2184, 1003, 1031, 1997, 1033, 2753, 1036, 9339, 1036, 1066, 1034, 1009, 1026, 6415, 1028}},
		{"日本語 カタカナ 한국어 русский עִבְרִית", []int{1864, 1876, 1950, 1700, 30235, 30226, 30241, 1469, 30006, 30021, 29991, 30014, 30020, 29999, 30008, 1195, 29748, 29747, 29747, 23925, 15414, 1259, 29789, 29811, 29796, 29813}},
		{"😀 ok 👍🏽", []int{100, 7929, 100}},
		{"e\u0301\u0327q 𝐀𝐁 ﬁ ①", []int{1041, 4160, 100, 1984, 100}},
	} {
		got := tok.Encode(c.text)
		if !reflect.DeepEqual(got, c.ids) {
			t.Errorf("%.60q\n got %v\nwant %v", c.text, got, c.ids)
		}
		if n := tok.Count(c.text); n != len(c.ids) {
			t.Errorf("%.60q: Count is %d", c.text, n)
		}
	}
}

func questions(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile(testdata(t, "minilm_golden_vectors/corpus_questions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	if err := json.Unmarshal(b, &texts); err != nil {
		t.Fatal(err)
	}
	return texts[:2000]
}

// passages cuts the label texts every 1200 characters and keeps the first 1000.
func passages(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, name := range []string{"labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl"} {
		b, err := os.ReadFile(testdata(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			var record struct{ Text string }
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			for r := []rune(record.Text); len(r) > 0; r = r[min(1200, len(r)):] {
				out = append(out, string(r[:min(1200, len(r))]))
			}
		}
	}
	return out[:1000]
}

// The hashes are over the ids that tokenizers 0.23.2 gives, in decimal, with
// spaces between them and a line end after each text.
func TestCorpusAsReference(t *testing.T) {
	t.Parallel()
	tok := minilm(t)
	for _, c := range []struct {
		name, want string
		texts      []string
	}{
		{"2000 questions", "232a580b737fb0c7b6e7b18c28dc97c303a4ddd7a9e75e50d8ddddeba81c6cdc", questions(t)},
		{"1000 label passages", "c7ed470c07158598c3b8085cdb57bd7ab0733b419fc5b010ade843d4f7c148ea", passages(t)},
	} {
		h := sha256.New()
		for _, text := range c.texts {
			ids := fmt.Sprint(tok.Encode(text))
			fmt.Fprintln(h, ids[1:len(ids)-1])
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != c.want {
			t.Errorf("%s: the ids differ from the reference's: %s", c.name, got)
		}
	}
}

// The three forms of one vocabulary: tokenizer.json, vocab.txt, and that of a
// GGUF (bge and MiniLM share bert-base-uncased's).
func TestSameVocabulary(t *testing.T) {
	t.Parallel()
	a := minilm(t)
	for _, name := range []string{"tokenizers/all-MiniLM-L6-v2/vocab.txt", "tokenizers/ggml-vocab-bert-bge.gguf"} {
		b, err := Open(testdata(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: another tokenizer than that of tokenizer.json", name)
		}
	}
}

var small = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "take", "##n", "##s", ".", "de", "##s"}

func TestNew(t *testing.T) {
	t.Parallel()
	if _, err := New(small, Options{}); err == nil || !strings.Contains(err.Error(), `"##s" twice, as 6 and 9`) {
		t.Errorf("a piece twice: %v", err)
	}
	if _, err := New(small[4:9], Options{}); err == nil || !strings.Contains(err.Error(), "[UNK]") {
		t.Errorf("no [UNK]: %v", err)
	}
	tok, err := New(small[:9], Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("Taken takes. taker [SEP]\xff"); !reflect.DeepEqual(got, []int{4, 5, 4, 6, 7, 1, 3}) {
		t.Errorf("%v", got)
	}
	cased, err := New(small[:9], Options{Cased: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := cased.Encode("Take take dé"); !reflect.DeepEqual(got, []int{1, 4, 1}) {
		t.Errorf("cased: %v", got)
	}
}

func TestInputNeverShortens(t *testing.T) {
	t.Parallel()
	tok, err := New(small[:9], Options{})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Input("take take", 4)
	if err != nil || !reflect.DeepEqual(ids, []int{2, 4, 4, 3}) {
		t.Errorf("%v, %v", ids, err)
	}
	var over *inference.ContextError
	if ids, err = tok.Input("take take", 3); ids != nil || !errors.As(err, &over) || over.Tokens != 4 || over.Limit != 3 {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestBrokenVocabularies(t *testing.T) {
	t.Parallel()
	const head = `{"normalizer":{"type":"BertNormalizer","lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},`
	for text, want := range map[string]string{
		`{`:                        "tokenizer.json",
		`{"model":{"type":"BPE"}}`: `"BPE" and only WordPiece`,
		`{"model":{"vocab":{}}}`:   "no vocabulary",
		`{"model":{"vocab":{"a":0}},"normalizer":{"type":"NFC"}}`:                                                                 `normalizer "NFC"`,
		head + `"model":{"unk_token":"[UNK]","continuing_subword_prefix":"##","vocab":{"a":7}}}`:                                  "the id 7",
		head + `"model":{"unk_token":"[UNK]","continuing_subword_prefix":"##","vocab":{"a":0,"b":0}}}`:                            "the id 0",
		head + `"model":{"unk_token":"<unk>","vocab":{"a":0}}}`:                                                                   "<unk>",
		head + `"model":{"unk_token":"[UNK]","continuing_subword_prefix":"##","vocab":{"a":0}}}`:                                  "no [UNK]",
		head + `"added_tokens":[{"content":"q"}],"model":{"unk_token":"[UNK]","continuing_subword_prefix":"##","vocab":{"a":0}}}`: `"q"`,
	} {
		if _, err := ReadJSON(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := ReadVocabulary(strings.NewReader(""), Options{}); err == nil {
		t.Error("an empty vocab.txt was taken")
	}
	if _, err := ReadVocabulary(strings.NewReader("a\n"+strings.Repeat("x", 5000)), Options{}); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a long line: %v", err)
	}
	var m gguf.Metadata
	m.Set("tokenizer.ggml.model", "llama")
	if _, err := FromGGUF(&m); err == nil {
		t.Error("a llama vocabulary was taken")
	}
	m.Set("tokenizer.ggml.model", "bert")
	if _, err := FromGGUF(&m); err == nil {
		t.Error("no vocabulary was taken")
	}
}

func FuzzEncode(f *testing.F) {
	tok, err := New(append(small[:9:9], "##é", "a", "##a"), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Takens. é [SEP] 药 \xff\xfe")
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.Encode(text)
		if len(ids) != tok.Count(text) {
			t.Fatal("Count and Encode differ")
		}
		for _, id := range ids {
			if id < 0 || id >= tok.Size() {
				t.Fatalf("id %d", id)
			}
		}
	})
}

func FuzzReadJSON(f *testing.F) {
	f.Add(`{"normalizer":{"type":"BertNormalizer","lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"added_tokens":[{"id":0,"content":"[UNK]"}],"model":{"unk_token":"[UNK]","continuing_subword_prefix":"##","vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"a":3}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if tok, err := ReadJSON(strings.NewReader(text)); err == nil {
			tok.Encode("a [UNK] b")
		}
	})
}

func BenchmarkCount(b *testing.B) {
	tok := minilm(b)
	texts := passages(b)
	n := 0
	for b.Loop() {
		n += tok.Count(texts[0])
	}
	b.SetBytes(int64(len(texts[0])))
}
