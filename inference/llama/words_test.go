package llama

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"rxedge/inference/gguf"
)

// An encoder's texts are cut by our own WordPiece, of which the engine's differs
// in rare characters alone: the vectors are the same.
func TestEmbedWithOwnWords(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	b, err := os.ReadFile(testData(t, "minilm_golden_vectors/corpus_questions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	if err := json.Unmarshal(b, &texts); err != nil {
		t.Fatal(err)
	}
	texts = append(texts[:300:300], "", "[CLS] written out [SEP] and [MASK] [PAD][UNK]", "CAFÉ naïve Ångström — ½ dose", "5-α-reductase (type II) 药物",
		"don't\u00a0exceed\t2.5\u202fmg/kg\u200b/day", strings.Repeat("x", 120)+" end")
	s := ready(t, Options{Model: randomBERT(t, bertShape{layers: 2, dim: 32, ff: 64, heads: 4, positions: 256}, false), Kind: Embed})
	vectors, err := s.Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	differ := 0
	err = s.with(t.Context(), func(k *call) error {
		if k.c.header.words == nil {
			t.Error("the engine cuts the texts")
		}
		for i, text := range texts {
			ours, err := k.input(text)
			if err != nil {
				return err
			}
			theirs, err := k.tokenize(text, true, false)
			if err != nil {
				return err
			}
			if !slices.Equal(ours, theirs) {
				differ++
				t.Logf("%.60q: ours %v, the engine's %v", text, ours, theirs)
				if i < 300 || strings.HasPrefix(text, "[CLS]") {
					t.Errorf("%q", text)
				}
				continue
			}
			v, err := k.embed([][]int{theirs}, 32)
			if err != nil {
				return err
			}
			if c := cosine(v[0], vectors[i]); c < 0.99999 {
				t.Errorf("%q: cosine %v", text, c)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d texts are cut in another way", differ, len(texts))
}

// A vocabulary that the engine takes in another way is left to it.
func TestEmbedWithForeignWords(t *testing.T) {
	t.Parallel()
	engineOrSkip(t)
	model := rewritten(t, randomBERT(t, smallBERT, false), func(m *gguf.Metadata) { m.Set("tokenizer.ggml.normalizer.strip_accents", false) })
	s := ready(t, Options{Model: model, Kind: Embed})
	const text = "a naïve dose"
	err := s.with(t.Context(), func(k *call) error {
		if k.c.header.words != nil {
			t.Error("accents are stripped against the file's word")
		}
		ours, err := k.input(text)
		theirs, err2 := k.tokenize(text, true, false)
		if err != nil || err2 != nil || !slices.Equal(ours, theirs) {
			t.Errorf("%v %v, %v %v", ours, err, theirs, err2)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
