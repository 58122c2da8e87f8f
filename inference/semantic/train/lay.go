package main

import (
	_ "embed"
	"math/rand/v2"
	"strings"

	"rxedge/inference/semantic"
)

//go:embed lay.tsv
var layTable string

const (
	// layTimes is how often an epoch has each pair of the table.
	layTimes = 2
	// layPassages of the texts are sought for each line of the table.
	layPassages = 24
	// layBefore and layAfter words beside a clinical term make its passage.
	layBefore, layAfter = 25, 45
)

// layPairs are the table's own, and each line's lay words with passages of the
// texts that say the thing in clinical ones.
func layPairs(sayings []semantic.Saying, texts []string, rng *rand.Rand) []pair {
	type term struct {
		words []string
		line  int
	}
	first := map[string][]term{}
	for i, l := range sayings {
		for _, c := range l.Clinical {
			if w := split(c); len(w) > 0 {
				first[w[0]] = append(first[w[0]], term{w, i})
			}
		}
	}
	found := make([][]string, len(sayings))
	seen := make([]int, len(sayings))
	for _, t := range texts {
		words := split(t)
		last := map[int]int{} // a line is found once in so many words
	next:
		for at, w := range words {
			for _, c := range first[w] {
				if at+len(c.words) > len(words) {
					continue
				}
				same := true
				for k, x := range c.words {
					same = same && words[at+k] == x
				}
				if before, ok := last[c.line]; !same || ok && at < before+layAfter {
					continue
				}
				last[c.line] = at
				seen[c.line]++
				k := len(found[c.line])
				if k == layPassages {
					if k = rng.IntN(seen[c.line]); k >= layPassages {
						continue next
					}
				} else {
					found[c.line] = append(found[c.line], "")
				}
				found[c.line][k] = strings.Join(words[max(0, at-layBefore):min(len(words), at+layAfter)], " ")
			}
		}
	}
	var out []pair
	for i, l := range sayings {
		for _, a := range l.Lay {
			for _, b := range l.Clinical {
				for range layTimes {
					out = append(out, pair{a, b})
				}
			}
		}
		for k, p := range found[i] {
			out = append(out, pair{l.Lay[k%len(l.Lay)], p})
		}
	}
	return out
}
