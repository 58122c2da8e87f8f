package main

import (
	"math/rand/v2"
	"strings"
	"testing"

	"rxedge/inference/quantity"
)

// Claims that were judged by the same abstract are never on both sides of a fold,
// and neither is the abstract.
func TestRelated(t *testing.T) {
	t.Parallel()
	c := &corpus{claims: []claim{
		{ID: "1", DocID: "a", Label: "SUPPORT", Cited: []string{"a"}},
		{ID: "2", Cited: []string{"b", "c"}},
		{ID: "3", DocID: "c", Label: "CONTRADICT", Cited: []string{"c", "a"}},
		{ID: "4", Cited: []string{"d"}},
		{ID: "1", DocID: "e", Label: "SUPPORT", Cited: []string{"a", "e"}},
	}}
	claims, abstracts := related(c)
	for _, id := range []string{"2", "3"} {
		if claims[id] != claims["1"] {
			t.Errorf("claim %s is apart from claim 1", id)
		}
	}
	for _, id := range []string{"a", "b", "c", "e"} {
		if abstracts[id] != claims["1"] {
			t.Errorf("abstract %s is apart from claim 1", id)
		}
	}
	if claims["4"] == claims["1"] || abstracts["d"] != claims["4"] {
		t.Error("claim 4 has nothing to do with claim 1")
	}
	r := row{group: 5, about: 7}
	if r.fold() != 0 || r.in(0) || r.in(2) || !r.in(1) {
		t.Error("a row is trained on in its own fold, or in that of the text it is about")
	}
	if r.about = 0; !r.in(1) || r.in(0) {
		t.Error("a row about nobody's text")
	}
}

// A changed dose is a number, or a unit, that the sentence does not state.
func TestWrong(t *testing.T) {
	t.Parallel()
	const s = "Give 25 mg of the medicine once a day."
	want := map[string]string{tenTimes: "250 mg", tenth: "2.5 mg", twice: "50 mg", half: "12.5 mg", oneMore: "26 mg", unit: "25 mcg", exchanged: "52 mg"}
	n := quantity.Numbers(s)[0]
	got := wrong(s, n)
	if len(got) != len(want) {
		t.Errorf("%d ways, want %d: %v", len(got), len(want), got)
	}
	for way, amount := range want {
		if w := got[way]; w != strings.Replace(s, "25 mg", amount, 1) || len(quantity.Missing(w, s)) == 0 {
			t.Errorf("%s: %q", way, w)
		}
	}
	if got := wrong("Give 0 mg of it.", quantity.Numbers("Give 0 mg of it.")[0]); len(got) > 0 {
		t.Errorf("nothing times ten: %v", got)
	}
}

func TestDoses(t *testing.T) {
	t.Parallel()
	const text = "Give 25 mg of the medicine once a day. Give at most 100 mg of it in a day to adults. The tablets are white and round in shape."
	c := &corpus{sections: []section{{Drug: "Example", Section: "Dosage", Text: text}, {Drug: "Example", Section: "Again", Text: text}}}
	kinds := map[string]int{}
	for _, p := range doses(c, rand.New(rand.NewPCG(1, 2))) {
		kinds[p.kind]++
		if p.supports != (p.kind == asItStands) || p.group != group("label example") {
			t.Errorf("%+v", p)
		}
		if p.kind != asItStands && p.kind != ofTheLabel && len(quantity.Missing(p.claim, p.window)) == 0 {
			t.Errorf("%q is borne out by %q", p.claim, p.window)
		}
	}
	if kinds[asItStands] != 2 || len(kinds) < 4 {
		t.Errorf("%v: the sentences of a label that is there twice count once", kinds)
	}
}
