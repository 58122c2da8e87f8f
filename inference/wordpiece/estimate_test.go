package wordpiece

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestEstimate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"":                                   0,
		" \t\x00":                            0,
		"a":                                  1,
		"of it":                              4, // no more than its characters
		"药物":                                 2,
		"take one tablet of ibuprofen daily": 13,
	} {
		if got := (Estimate{}).Count(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestEstimateIsOnTheSafeSide(t *testing.T) {
	t.Parallel()
	tok := minilm(t)
	sets := map[string][]string{"questions": questions(t), "label passages": passages(t)}
	for name, file := range map[string]string{"label questions": "labels/questions_dev.jsonl", "abstracts": "nfcorpus/corpus.jsonl", "queries": "nfcorpus/queries.jsonl"} {
		b, err := os.ReadFile(testdata(t, file))
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for line := range strings.Lines(string(b)) {
			if i++; name == "abstracts" && i%10 != 0 {
				continue // all of them take seconds
			}
			var r struct{ Question, Text string }
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			sets[name] = append(sets[name], r.Question+r.Text)
		}
	}
	said, real := 0, 0
	for name, texts := range sets {
		s, r := 0, 0
		for _, text := range texts {
			e, n := (Estimate{}).Count(text), tok.Count(text)
			if e < n {
				t.Errorf("%s: %.80q has %d tokens, estimated %d", name, text, n, e)
			}
			s, r = s+e, r+n
		}
		t.Logf("%s: %d texts, estimate is %.2f of the tokens", name, len(texts), float64(s)/float64(r))
		said, real = said+s, real+r
	}
	if ratio := float64(said) / float64(real); ratio > 1.6 {
		t.Errorf("the estimate is %.2f of the tokens", ratio)
	}
}
