package main

import (
	"math/rand/v2"
	"slices"

	"rxedge/inference/support"
)

// Kinds of pairs of a claim and a sentence.
const (
	supports    = "supports"              // evidence that supports
	contradicts = "contradicts"           // evidence that contradicts
	beside      = "same abstract"         // another sentence of the abstract that has the evidence
	cited       = "cited, no evidence"    // a sentence of a cited abstract without evidence
	other       = "another abstract"      // a sentence of an abstract that has nothing to do with it
	label       = "label: "               // of a sentence of a label, true …
	labelOther  = "label: other sentence" // … or compared with another sentence
)

// weights of the kinds: as if of the sentences that a search finds for a claim a
// third supported it.
var weights = map[string]float64{supports: 1, contradicts: 1, beside: 0.15, cited: 0.15, other: 0.15}

// pair of a claim and a window, before its features.
type pair struct {
	claim, window, heading string
	kind                   string
	section                string // of a label's sentence, whole
	supports, contradicts  bool
	weight                 float64
	group, about           uint64 // as of a row
}

// related gives the group of each claim, and of each abstract that is judged for
// one: those that are joined by claims and abstracts that were judged for one
// another are of one group.
func related(c *corpus) (claims, abstracts map[string]uint64) {
	parent := map[string]string{}
	root := func(s string) string {
		for parent[s] != "" {
			s = parent[s]
		}
		return s
	}
	for _, cl := range c.claims {
		for _, id := range append(slices.Clone(cl.Cited), cl.DocID) {
			if id == "" {
				continue
			}
			if a, b := root("claim "+cl.ID), root("abstract "+id); a != b {
				parent[max(a, b)] = min(a, b)
			}
		}
	}
	claims, abstracts = map[string]uint64{}, map[string]uint64{}
	for _, cl := range c.claims {
		claims[cl.ID] = group("scifact " + root("claim "+cl.ID))
		for _, id := range append(slices.Clone(cl.Cited), cl.DocID) {
			if id != "" {
				abstracts[id] = group("scifact " + root("abstract "+id))
			}
		}
	}
	return claims, abstracts
}

// scifact gives the pairs of a claim with the sentences of its abstracts.
func scifact(c *corpus, rng *rand.Rand) []pair {
	groups, about := related(c)
	var out []pair
	for _, cl := range c.claims {
		add := func(a abstract, i int, kind string) {
			out = append(out, pair{claim: cl.Claim, window: a.Abstract[i], heading: a.Title, kind: kind, group: groups[cl.ID], about: about[a.DocID],
				weight: weights[kind], supports: kind == supports, contradicts: kind == contradicts})
		}
		if cl.Label != "" {
			a := c.abstracts[cl.DocID]
			evidence := map[int]bool{}
			for _, i := range cl.Sentences {
				evidence[i] = true
			}
			for i := range a.Abstract {
				switch {
				case evidence[i] && cl.Label == "SUPPORT":
					add(a, i, supports)
				case evidence[i]:
					add(a, i, contradicts)
				default:
					add(a, i, beside)
				}
			}
		} else {
			for _, id := range cl.Cited {
				a := c.abstracts[id]
				for i := range a.Abstract {
					add(a, i, cited)
				}
			}
		}
		for range 2 {
			a := c.abstracts[c.order[rng.IntN(len(c.order))]]
			if a.DocID != cl.DocID && len(a.Abstract) > 0 {
				add(a, rng.IntN(len(a.Abstract)), other)
			}
		}
	}
	return out
}

// vectors turns pairs into rows, for support and for contradiction.
func vectors(m *support.Model, pairs []pair) (sup, con []row) {
	for _, p := range pairs {
		x := m.ClaimVector(p.claim, p.window, p.heading)
		r := row{x: x, weight: p.weight, group: p.group, about: p.about, kind: p.kind, y: p.supports}
		sup = append(sup, r)
		r.y = p.contradicts
		con = append(con, r)
	}
	return sup, con
}

func group(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
