package suite

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"unicode"

	"rxedge/daemon/answer/evaluate"
)

// shingle is how many characters of a question, its words one space apart, are
// looked at together; NearDuplicate is the Jaccard similarity from which two
// questions are much the same (Broder 1997; of sets, so without estimate).
const (
	shingle       = 5
	NearDuplicate = 0.7
)

// Leak is a question of the test set that the tuning set has too.
type Leak struct {
	Test       string  `json:"test"` // ids
	Tuning     string  `json:"tuning"`
	Exact      bool    `json:"exact"` // the same but for case, marks and space
	Similarity float64 `json:"similarity"`
}

// Leakage of a test set.
type Leakage struct {
	Tuning int `json:"tuning"` // questions
	Test   int `json:"test"`
	// Exact and Near count questions of the test set that are in the tuning set.
	Exact int    `json:"exact"`
	Near  int    `json:"near"`
	Leaks []Leak `json:"leaks"` // the most alike first, one a question
	// Share of the test set that leaked.
	Share float64 `json:"share"`
}

// Leaks compares each question of a test set with each of a tuning set: the same
// text, or at least threshold of their shingles in common.
func Leaks(tuning, test []evaluate.Question, threshold float64) Leakage {
	out := Leakage{Tuning: len(tuning), Test: len(test), Leaks: []Leak{}}
	texts := make([]string, len(tuning))
	sizes := make([]int, len(tuning))
	by := map[uint64][]int{} // which of the tuning set have a shingle
	for i, q := range tuning {
		texts[i] = letters(q.Question)
		set := shingles(texts[i])
		sizes[i] = len(set)
		for h := range set {
			by[h] = append(by[h], i)
		}
	}
	for _, q := range test {
		text := letters(q.Question)
		set := shingles(text)
		common := map[int]int{}
		for h := range set {
			for _, i := range by[h] {
				common[i]++
			}
		}
		best := Leak{Test: q.ID}
		for _, i := range slices.Sorted(keys(common)) {
			n := common[i]
			s := float64(n) / float64(len(set)+sizes[i]-n)
			exact := texts[i] == text
			if exact && !best.Exact || exact == best.Exact && s > best.Similarity {
				best.Tuning, best.Exact, best.Similarity = tuning[i].ID, exact, s
			}
		}
		switch {
		case best.Exact:
			out.Exact++
		case best.Similarity >= threshold && best.Tuning != "":
			out.Near++
		default:
			continue
		}
		out.Leaks = append(out.Leaks, best)
	}
	slices.SortStableFunc(out.Leaks, func(a, b Leak) int { return cmp.Compare(b.Similarity, a.Similarity) })
	if len(test) > 0 {
		out.Share = float64(out.Exact+out.Near) / float64(len(test))
	}
	return out
}

func keys(m map[int]int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// letters is a text's words in lower case, one space apart.
func letters(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), " ")
}

func shingles(s string) map[uint64]bool {
	rs := []rune(s)
	out := map[uint64]bool{}
	for i := 0; i == 0 || i+shingle <= len(rs); i++ {
		h := fnv.New64a()
		_, _ = h.Write([]byte(string(rs[i:min(i+shingle, len(rs))])))
		out[h.Sum64()] = true
	}
	return out
}
