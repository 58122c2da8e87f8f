// Package quality measures texts against references, raters against each other
// and scores against outcomes. Overlap of words says nothing of a dose: those
// are compared by number and unit elsewhere.
package quality

import (
	"errors"
	"math"
	"regexp"
	"strings"
	"unicode"
)

// Text figures over pairs.
type Text struct {
	Pairs  int     `json:"pairs"`
	RougeL float64 `json:"rougeL"` // mean F, 0 to 1
	BLEU   float64 `json:"bleu"`   // of all pairs together, 0 to 100
	Exact  float64 `json:"exact"`  // share that is the same but for space around it
}

// Pair of a text and what it should say.
type Pair struct {
	Prediction string `json:"prediction"`
	Reference  string `json:"reference"`
}

// Texts measures pairs.
func Texts(pairs []Pair) (Text, error) {
	if len(pairs) == 0 {
		return Text{}, errors.New("there are no pairs")
	}
	t := Text{Pairs: len(pairs)}
	for _, p := range pairs {
		t.RougeL += RougeL(p.Prediction, p.Reference)
		if strings.TrimSpace(p.Prediction) == strings.TrimSpace(p.Reference) {
			t.Exact++
		}
	}
	t.RougeL /= float64(len(pairs))
	t.Exact /= float64(len(pairs))
	t.BLEU = BLEU(pairs)
	return t, nil
}

// RougeL is the F-measure of the longest common subsequence of words (Lin 2004),
// as the package rouge-score has it without stemming: words are runs of a–z and
// 0–9 in lower case; 0 where either side has none.
func RougeL(prediction, reference string) float64 {
	p, r := rougeWords(prediction), rougeWords(reference)
	if len(p) == 0 || len(r) == 0 {
		return 0
	}
	n := float64(CommonSubsequence(p, r))
	precision, recall := n/float64(len(p)), n/float64(len(r))
	if precision+recall == 0 {
		return 0
	}
	return 2 * precision * recall / (precision + recall)
}

func rougeWords(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// CommonSubsequence is the length of the longest common subsequence of words.
func CommonSubsequence(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, w := range a {
		diagonal := 0
		for j, v := range b {
			above := row[j+1]
			if w == v {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}

// order of the longest n-grams.
const order = 4

// BLEU (Papineni et al. 2002) of all pairs together, 0 to 100, as sacrebleu has
// it by default: one reference, words of the 13a tokenizer with their case,
// n-grams up to 4, exponential smoothing, brevity penalty. 0 where nothing is in
// common.
func BLEU(pairs []Pair) float64 {
	var correct, total [order]int
	var length, wanted int
	for _, p := range pairs {
		h, r := tokens13a(p.Prediction), tokens13a(p.Reference)
		length, wanted = length+len(h), wanted+len(r)
		for n := 1; n <= order; n++ {
			ref := ngrams(r, n)
			for g, c := range ngrams(h, n) {
				total[n-1] += c
				correct[n-1] += min(c, ref[g])
			}
		}
	}
	if correct == [order]int{} {
		return 0
	}
	penalty := 1.0
	if length < wanted {
		penalty = math.Exp(1 - float64(wanted)/float64(length))
	}
	smooth, sum := 1.0, 0.0
	for n := range order {
		switch {
		case total[n] == 0:
			return 0 // an order that no text is long enough for
		case correct[n] == 0:
			smooth *= 2
			sum += math.Log(100 / (smooth * float64(total[n])))
		default:
			sum += math.Log(100 * float64(correct[n]) / float64(total[n]))
		}
	}
	return penalty * math.Exp(sum/order)
}

func ngrams(words []string, n int) map[string]int {
	out := map[string]int{}
	for i := 0; i+n <= len(words); i++ {
		out[strings.Join(words[i:i+n], "\x00")]++
	}
	return out
}

// The steps of mteval-v13a: punctuation apart from words, full stops and commas
// apart but for those within numbers, a dash apart behind a digit.
var (
	marks = []string{"<skipped>", "", "-\n", "", "\n", " ", "&quot;", `"`, "&amp;", "&", "&lt;", "<", "&gt;", ">"}
	steps = []struct {
		re *regexp.Regexp
		to string
	}{
		{regexp.MustCompile("([{-~\\[-` -&(-+:-@/])"), " $1 "},
		{regexp.MustCompile(`([^0-9])([.,])`), "$1 $2 "},
		{regexp.MustCompile(`([.,])([^0-9])`), " $1 $2"},
		{regexp.MustCompile(`([0-9])(-)`), "$1 $2 "},
	}
)

func tokens13a(s string) []string {
	s = strings.TrimRightFunc(s, unicode.IsSpace)
	for i := 0; i < len(marks); i += 2 { // one after the other: "&amp;lt;" becomes "<"
		s = strings.ReplaceAll(s, marks[i], marks[i+1])
	}
	s = " " + s + " "
	for _, st := range steps {
		s = st.re.ReplaceAllString(s, st.to)
	}
	return strings.Fields(s)
}
