package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rxedge/inference"
	"rxedge/inference/support"
)

// searched is how many abstracts are found for a claim by its words.
const searched = 10

// passageWeights of the kinds for a forest of whole passages.
var passageWeights = map[string]float64{supports: 1, contradicts: 1, cited: 0.5, other: 0.1}

// judged is a claim beside a whole abstract, as a search would hand it over.
type judged struct {
	claim, premise string
	kind           string
	group          uint64
}

// passages gives each claim of SciFact with the abstracts that were judged for it,
// and with those that a search by words finds beside them.
func passages(m *support.Model, c *corpus) []judged {
	var texts []string
	for _, id := range c.order {
		a := c.abstracts[id]
		texts = append(texts, a.Title+"\n"+strings.Join(a.Abstract, " "))
	}
	at := map[string]int{}
	for i, id := range c.order {
		at[id] = i
	}
	col := index(m, texts)
	var out []judged
	type known struct {
		cited map[string]bool
		text  string
	}
	claims, order := map[string]*known{}, []string{}
	for _, cl := range c.claims {
		k := claims[cl.ID]
		if k == nil {
			k = &known{map[string]bool{}, cl.Claim}
			claims[cl.ID] = k
			order = append(order, cl.ID)
		}
		add := func(id, kind string) {
			if i, ok := at[id]; ok && !k.cited[id+kind] {
				k.cited[id+kind] = true
				out = append(out, judged{cl.Claim, texts[i], kind, group("scifact " + cl.ID)})
			}
		}
		switch cl.Label {
		case "SUPPORT":
			add(cl.DocID, supports)
		case "CONTRADICT":
			add(cl.DocID, contradicts)
		default:
			for _, id := range cl.Cited {
				add(id, cited)
			}
		}
		for _, id := range append(slices.Clone(cl.Cited), cl.DocID) {
			k.cited[id] = true
		}
	}
	for _, id := range order {
		k := claims[id]
		ids, _ := col.search(m.Terms(k.text), searched)
		for _, i := range ids {
			if !k.cited[c.order[i]] {
				out = append(out, judged{k.text, texts[i], other, group("scifact " + id)})
			}
		}
	}
	return out
}

// reportPassages prints what models trained without a claim say of it beside
// whole abstracts.
func reportPassages(m *support.Model, js []judged, sup, con []support.Forest) error {
	scores := make([]float64, len(js))
	for k := range folds {
		f := *m
		f.Support, f.Contradict = sup[k], con[k]
		checker := support.Of(&f)
		var pairs []inference.Pair
		var of []int
		for i, j := range js {
			if int(j.group%folds) == k {
				pairs, of = append(pairs, inference.Pair{Premise: j.premise, Hypothesis: j.claim}), append(of, i)
			}
		}
		ps, err := checker.Entail(context.Background(), pairs)
		if err != nil {
			return err
		}
		for n, i := range of {
			scores[i] = float64(ps[n].Entail)
		}
	}
	var rows []row
	for _, j := range js {
		rows = append(rows, row{x: m.PassageVector(j.claim, j.premise), y: j.kind == supports, weight: passageWeights[j.kind], group: j.group, kind: j.kind})
	}
	_, _, whole := crossed(rows, options{trees: 100, depth: 3, rate: 0.06, ridge: 5, least: 3})
	fmt.Println("SciFact, whole abstracts that support a claim against (best window; a forest of passages, which is not in the file)")
	against := func(title string, kinds ...string) {
		var v, u []float64
		var y []bool
		n := 0
		for i, j := range js {
			if j.kind == supports || slices.Contains(kinds, j.kind) {
				v, u, y = append(v, scores[i]), append(u, whole[i]), append(y, j.kind == supports)
				if j.kind == supports {
					n++
				}
			}
		}
		fmt.Printf("  AUC %.4f; %.4f  %6d against %6d  %s\n", auc(v, y), auc(u, y), n, len(v)-n, title)
	}
	against("those that contradict it", contradicts)
	against("those that were judged to say nothing of it", cited)
	against("all that were judged", contradicts, cited)
	against("those that a search finds and nobody judged", other)
	against("all that a search finds, contradicting ones left out", cited, other)
	against("all", contradicts, cited, other)
	return nil
}
