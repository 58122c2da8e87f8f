package main

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	wholeCount = 5    // a word this frequent is a piece
	merges     = 4000 // pieces that rarer words are made of
	longest    = 40   // bytes of a word that is looked at
)

// vocabulary learned from the texts: [UNK], [CLS], [SEP], all characters, the
// frequent words whole, and pieces by byte pair encoding (Sennrich and others,
// 2016) over all the words, so that rarer ones have parts.
func vocabulary(all []string) []string {
	counts := map[string]int{}
	for _, t := range all {
		for _, w := range split(t) {
			counts[w]++
		}
	}
	words := make([]string, 0, len(counts))
	for w := range counts {
		if len(w) <= longest {
			words = append(words, w)
		}
	}
	slices.SortFunc(words, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	seen := map[string]bool{}
	out := []string{"[UNK]", "[CLS]", "[SEP]"}
	add := func(p string) {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	// A character that is no piece would make the whole word unknown.
	runes := map[rune]int{}
	for _, w := range words {
		for _, r := range w {
			runes[r] += counts[w]
		}
	}
	for _, r := range slices.Sorted(maps.Keys(runes)) {
		if runes[r] >= wholeCount {
			add(string(r))
			add("##" + string(r))
		}
	}
	for _, w := range words {
		if counts[w] >= wholeCount {
			add(w)
		}
	}
	for _, p := range bytePairs(words, counts, merges) {
		add(p)
	}
	return out
}

// split is the words of a text: lower-case runs of letters and digits, accents
// left out as wordpiece does.
func split(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r >= utf8.RuneSelf)
	})
}

// bytePairs are the pieces that n merges make.
func bytePairs(words []string, counts map[string]int, n int) []string {
	type symbols []string
	parts := make([]symbols, len(words))
	pairs := map[[2]string]int{}
	where := map[[2]string]map[int]bool{}
	note := func(i int, sign int) {
		p := parts[i]
		for j := 1; j < len(p); j++ {
			k := [2]string{p[j-1], p[j]}
			pairs[k] += sign * counts[words[i]]
			if sign > 0 {
				if where[k] == nil {
					where[k] = map[int]bool{}
				}
				where[k][i] = true
			}
		}
	}
	for i, w := range words {
		for j, r := range w {
			s := string(r)
			if j > 0 {
				s = "##" + s
			}
			parts[i] = append(parts[i], s)
		}
		note(i, 1)
	}
	var h pairHeap
	for k, c := range pairs {
		h = append(h, counted{k, c})
	}
	heap.Init(&h)
	var out []string
	for len(out) < n && len(h) > 0 {
		top := heap.Pop(&h).(counted)
		if c := pairs[top.pair]; c != top.count { // it has changed since
			if c > 0 {
				heap.Push(&h, counted{top.pair, c})
			}
			continue
		}
		if top.count < wholeCount {
			break
		}
		joined := top.pair[0] + strings.TrimPrefix(top.pair[1], "##")
		out = append(out, joined)
		changed := map[[2]string]bool{}
		for i := range where[top.pair] {
			note(i, -1)
			p := parts[i]
			merged := p[:0:0]
			for j := 0; j < len(p); j++ {
				if j+1 < len(p) && p[j] == top.pair[0] && p[j+1] == top.pair[1] {
					merged = append(merged, joined)
					j++
				} else {
					merged = append(merged, p[j])
				}
			}
			parts[i] = merged
			note(i, 1)
			for j := 1; j < len(merged); j++ {
				changed[[2]string{merged[j-1], merged[j]}] = true
			}
		}
		delete(pairs, top.pair)
		for k := range changed {
			heap.Push(&h, counted{k, pairs[k]})
		}
	}
	return out
}

type counted struct {
	pair  [2]string
	count int
}

// pairHeap has the most frequent pair first, of equal ones the first in order.
type pairHeap []counted

func (h pairHeap) Len() int { return len(h) }
func (h pairHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.pair[0], b.pair[0]), cmp.Compare(a.pair[1], b.pair[1])) < 0
}
func (h pairHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *pairHeap) Push(x any)   { *h = append(*h, x.(counted)) }
func (h *pairHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
