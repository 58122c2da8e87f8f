package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"rxedge/inference/support"
)

// questionsTaken of MedQuAD, candidates of each question beside its answer, and
// words of a passage.
const (
	questionsTaken = 1600
	candidates     = 15
	passageWords   = 200
)

// asked is a question with the passages that a search by words finds.
type asked struct {
	rows  []row
	words []float64 // BM25 of each
}

// collection is searched by words alone.
type collection struct {
	postings map[string][]posting
	length   []int
	mean     float64
	texts    []string // heading, line break, text
}

type posting struct {
	doc int32
	tf  int32
}

func index(m *support.Model, texts []string) *collection {
	c := &collection{postings: map[string][]posting{}, texts: texts}
	for i, t := range texts {
		tf := map[string]int32{}
		terms := m.Terms(t)
		for _, w := range terms {
			tf[w]++
		}
		c.length = append(c.length, len(terms))
		c.mean += float64(len(terms)) / float64(len(texts))
		for w, n := range tf {
			c.postings[w] = append(c.postings[w], posting{int32(i), n})
		}
	}
	return c
}

// search gives the best documents by BM25 (k1 1.2, b 0.65) with their scores.
func (c *collection) search(terms []string, k int) ([]int, map[int]float64) {
	scores := map[int]float64{}
	n := float64(len(c.texts))
	for _, t := range slices.Sorted(slices.Values(slices.Compact(terms))) {
		ps := c.postings[t]
		idf := math.Log(1 + (n-float64(len(ps))+0.5)/(float64(len(ps))+0.5))
		for _, p := range ps {
			tf := float64(p.tf)
			scores[int(p.doc)] += idf * tf * 2.2 / (tf + 1.2*(0.35+0.65*float64(c.length[p.doc])/c.mean))
		}
	}
	ids := make([]int, 0, len(scores))
	for id := range scores {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b int) int {
		if scores[a] != scores[b] {
			return cmp.Compare(scores[b], scores[a])
		}
		return cmp.Compare(a, b)
	})
	return ids[:min(k, len(ids))], scores
}

func begin(s string) string {
	w := strings.Fields(s)
	return strings.Join(w[:min(passageWords, len(w))], " ")
}

// questions gives the questions of MedQuAD and the claims of SciFact, each with
// what answers it and what a search finds beside it.
func questions(m *support.Model, c *corpus, rng *rand.Rand) []asked {
	var out []asked
	ask := func(col *collection, q string, right map[int]bool, group uint64) {
		ids, scores := col.search(m.Terms(q), candidates)
		for _, id := range slices.Sorted(mapKeys(right)) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		a := asked{}
		for _, id := range ids {
			a.rows = append(a.rows, row{x: m.QuestionVector(q, col.texts[id]), y: right[id], weight: 1, group: group})
			a.words = append(a.words, scores[id])
		}
		out = append(out, a)
	}
	texts := make([]string, len(c.medquad))
	for i, q := range c.medquad {
		texts[i] = q.Focus + "\n" + begin(q.Answer)
	}
	col := index(m, texts)
	for _, i := range rng.Perm(len(texts))[:min(questionsTaken, len(texts))] {
		q := c.medquad[i]
		ask(col, q.Question, map[int]bool{i: true}, group("medquad "+q.document()))
	}
	texts, at := nil, map[string]int{}
	for i, id := range c.order {
		a := c.abstracts[id]
		at[id] = i
		texts = append(texts, a.Title+"\n"+begin(strings.Join(a.Abstract, " ")))
	}
	col = index(m, texts)
	right, claims := map[string]map[int]bool{}, []claim{}
	for _, cl := range c.claims {
		if cl.Label == "" {
			continue
		}
		if right[cl.ID] == nil {
			right[cl.ID] = map[int]bool{}
			claims = append(claims, cl)
		}
		right[cl.ID][at[cl.DocID]] = true
	}
	for _, cl := range claims {
		ask(col, cl.Claim, right[cl.ID], group("scifact "+cl.ID))
	}
	return out
}

func mapKeys(m map[int]bool) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// reportQuestions prints the mean reciprocal rank of the right passages among the
// candidates, by words alone and by forests trained without the question.
func reportQuestions(as []asked, scores []float64) {
	var words, judged, both float64
	at := 0
	var all []row
	for _, a := range as {
		s := scores[at : at+len(a.rows)]
		at += len(a.rows)
		all = append(all, a.rows...)
		sum := make([]float64, len(s))
		most := slices.Max(a.words)
		for i := range s {
			sum[i] = s[i] + a.words[i]/max(most, 1e-9)
		}
		words += reciprocal(a.rows, a.words)
		judged += reciprocal(a.rows, s)
		both += reciprocal(a.rows, sum)
	}
	n := float64(len(as))
	y := make([]bool, len(all))
	for i, r := range all {
		y[i] = r.y
	}
	fmt.Printf("Questions: %d, candidates %d; AUC %.4f; MRR by words %.4f, by the forest %.4f, by the sum %.4f\n", len(as), len(all), auc(scores, y), words/n, judged/n, both/n)
	reliability(scores, all)
}

func reciprocal(rows []row, s []float64) float64 {
	best := math.Inf(-1)
	for i, r := range rows {
		if r.y {
			best = max(best, s[i])
		}
	}
	rank := 1
	for i, r := range rows {
		if !r.y && s[i] >= best {
			rank++
		}
	}
	return 1 / float64(rank)
}
