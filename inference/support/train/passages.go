package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rxedge/inference/support"
)

// searched is how many abstracts are found for a claim by its words.
const searched = 10

// passageWeights of the kinds for the forest of whole passages; labelWeight of
// sentences of labels.
var passageWeights = map[string]float64{supports: 1, contradicts: 1, cited: 0.5, other: 0.1}

const labelWeight = 0.1

// judged is a claim beside a whole abstract, as a search would hand it over, or a
// sentence of a label, as it stands or changed, beside the whole section.
type judged struct {
	claim, premise string
	kind           string
	group, about   uint64 // as of a row
}

func (j judged) weight() float64 {
	if isLabel(j.kind) {
		return labelWeight
	}
	return passageWeights[j.kind]
}

// passages gives each claim of SciFact with the abstracts that were judged for it,
// and with those that a search by words finds beside them; and the sentences of
// labels beside their sections.
func passages(m *support.Model, c *corpus, pairs []pair) []judged {
	var texts []string
	at := map[string]int{}
	for i, id := range c.order {
		a := c.abstracts[id]
		at[id] = i
		texts = append(texts, a.Title+"\n"+strings.Join(a.Abstract, " "))
	}
	col := index(m, texts)
	groups, about := related(c)
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
				out = append(out, judged{cl.Claim, texts[i], kind, groups[cl.ID], about[id]})
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
				out = append(out, judged{k.text, texts[i], other, groups[id], about[c.order[i]]})
			}
		}
	}
	for _, p := range pairs {
		// Another sentence of the section is true beside the whole of it.
		if isLabel(p.kind) && p.kind != labelOther {
			out = append(out, judged{p.claim, p.heading + "\n" + p.section, p.kind, p.group, 0})
		}
	}
	return out
}

// whole trains the forest of passages, prints what is said of each claim by models
// trained without it, and writes it to the scores.
func whole(m *support.Model, js []judged, without []support.Model, to *scores) {
	rows := make([]row, len(js))
	window, conflict := make([]float64, len(js)), make([]bool, len(js))
	var last *support.Premise
	for i, j := range js {
		if i == 0 || js[i-1].premise != j.premise {
			last = m.Premise(j.premise)
		}
		r := row{y: j.kind == supports || isTrue(j.kind), weight: j.weight(), group: j.group, about: j.about, kind: j.kind}
		r.x, window[i], conflict[i] = without[r.fold()].PassageVector(j.claim, last)
		rows[i] = r
	}
	var raw []float64
	var forests []support.Forest
	m.Passages, forests, raw = crossed(rows, options{trees: 150, depth: 3, rate: 0.06, ridge: 5, least: 3})
	for k := range without {
		without[k].Passages = forests[k]
	}
	final := make([]float64, len(js))
	for i, j := range js {
		final[i] = support.ResolvePassage(conflict[i], raw[i])
		to.add("passage", rows[i], j.claim, final[i])
	}
	against := func(title string, positive func(string) bool, kinds ...string) {
		var best, alone, v []float64
		var y []bool
		n, under := 0, 0
		for i, j := range js {
			if p := positive(j.kind); p || slices.Contains(kinds, j.kind) {
				best, alone, v, y = append(best, window[i]), append(alone, raw[i]), append(v, final[i]), append(y, p)
				switch {
				case p:
					n++
				case final[i] < support.Threshold:
					under++
				}
			}
		}
		fmt.Printf("  AUC %.4f (best window %.4f, forest alone %.4f)  %5d against %5d, %.1f %% of these under %.2f  %s\n",
			auc(v, y), auc(best, y), auc(alone, y), n, len(v)-n, 100*float64(under)/float64(len(v)-n), support.Threshold, title)
	}
	fmt.Println("SciFact, whole abstracts that support a claim against")
	sup := func(k string) bool { return k == supports }
	against("those that contradict it", sup, contradicts)
	against("those that were judged to say nothing of it", sup, cited)
	against("all that were judged", sup, contradicts, cited)
	against("those that a search finds and nobody judged", sup, other)
	against("all that a search finds, contradicting ones left out", sup, cited, other)
	against("all", sup, contradicts, cited, other)
	fmt.Println("Labels, true sentences beside their whole section against")
	kinds := map[string]int{}
	over, conflicts := map[string]int{}, map[string]int{}
	for i, j := range js {
		kinds[j.kind]++
		if final[i] >= support.Threshold {
			over[j.kind]++
		}
		if conflict[i] {
			conflicts[j.kind]++
		}
	}
	var changed []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		if isLabel(k) && !isTrue(k) {
			against(k, isTrue, k)
			changed = append(changed, k)
		}
	}
	against("all", isTrue, changed...)
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Printf("  %5.1f %% of %d reach %.2f, beside %5.1f %% every window conflicts: %s\n",
			100*float64(over[k])/float64(kinds[k]), kinds[k], support.Threshold, 100*float64(conflicts[k])/float64(kinds[k]), k)
	}
	fmt.Println("Reliability of support by whole passages")
	reliability(final, rows)
}
