package semantic

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Saying is what people say of something, and how labels and papers put it; each
// list holds several ways.
type Saying struct{ Lay, Clinical []string }

// ParseSayings reads a table of them: a line each, lay and clinical ways in two
// columns with a tab between them, "|" between several; # begins a comment.
func ParseSayings(table string) ([]Saying, error) {
	var out []Saying
	for n, l := range strings.Split(table, "\n") {
		if l == "" || l[0] == '#' {
			continue
		}
		a, b, ok := strings.Cut(l, "\t")
		if !ok || a == "" || b == "" || strings.Contains(b, "\t") {
			return nil, fmt.Errorf("line %d of the table of sayings has not two columns", n+1)
		}
		out = append(out, Saying{strings.Split(a, "|"), strings.Split(b, "|")})
	}
	return out, nil
}

// phrase is a lay way to say something, as an index reads it.
type phrase struct {
	words []string // lower case
	// learned words of the clinical ways, each with its weight.
	learned []int32
	weights []float32
}

// phrases by their first word, longest first: those of which the index has a
// clinical way.
func (a *Adapted) phrasesOf(sayings []Saying) map[string][]phrase {
	s := newStemmer()
	out := map[string][]phrase{}
	for _, say := range sayings {
		weights := map[int32]float32{}
		ways := 0
	next:
		for _, c := range say.Clinical {
			var ids []int32
			for _, stem := range s.stems(c) {
				id, ok := a.words[stem]
				if !ok {
					continue next
				}
				ids = append(ids, id)
			}
			ways++
			for _, id := range ids {
				weights[id]++
			}
		}
		if ways == 0 {
			continue
		}
		var p phrase
		for id := range weights {
			p.learned = append(p.learned, id)
		}
		slices.Sort(p.learned)
		for _, id := range p.learned {
			p.weights = append(p.weights, weights[id]/float32(math.Sqrt(float64(ways))))
		}
		for _, l := range say.Lay {
			p.words = nil
			s.each(l, func(word, _ string) { p.words = append(p.words, strings.Clone(word)) })
			if len(p.words) > 0 {
				out[p.words[0]] = append(out[p.words[0]], p)
			}
		}
	}
	for _, ps := range out {
		slices.SortStableFunc(ps, func(a, b phrase) int { return len(b.words) - len(a.words) })
	}
	return out
}

// phraseAt is the longest phrase at a place in words; nil where there is none.
func (a *Adapted) phraseAt(words []string, at int) *phrase {
	ps := a.phrases[words[at]]
	for i := range ps {
		w := ps[i].words
		if at+len(w) <= len(words) && slices.Equal(w, words[at:at+len(w)]) {
			return &ps[i]
		}
	}
	return nil
}
