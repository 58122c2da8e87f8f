package lexical

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"pgregory.net/rapid"
)

func TestTerms(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer([]string{"Abilify", "Metformin Hydrochloride Tablets", "Actos"})
	for text, want := range map[string]string{
		"Patients were DISCONTINUED":       "patient discontinu",
		"do not take; without food":        "not take without food",
		"500 mg":                           "500 500mg mg",
		"500mg twice":                      "500mg 500 mg twice",
		"2,000 mg":                         "2000 2000mg mg",
		"2000 milligrams":                  "2000 2000mg mg",
		"0.50 mg, .5 mg":                   "0.5 0.5mg mg 0.5 0.5mg mg",
		"50 µg or 50 mcg":                  "50 50mcg mcg 50 50mcg mcg",
		"5% and 5 %":                       "5 5% 5 5%",
		"30-45 mL/min/1.73 m²":             "30 45 45ml ml min 1.73 m 2",
		"NDC 0074-3799-02":                 "ndc 0074379902 0074 3799 02",
		"a beta-blocker":                   "betablock beta blocker",
		"co‑trimoxazole":                   "cotrimoxazol co trimoxazol",
		"β-blockers":                       "betablock beta blocker",
		"TNFα TNF-α":                       "tnfalpha tnfalpha tnf alpha",
		"Crohn’s, Crohn's":                 "crohn crohn",
		"naïve Sjögren":                    "naiv sjogren",
		"e.g. U.S.A. dose.The end":         "eg usa dose end",
		"Abilify actos Metformin":          "abilify actos metformin",
		"tablets":                          "tablet",
		"T2DM B12 omega-3":                 "t2dm b12 omega3 omega 3",
		"λ":                                "lambda",
		"λόγος":                            "λογος",
		"ﬁne":                              "fine",
		"":                                 "",
		" \x00\xff ! ":                     "",
		strings.Repeat("x", 100):           strings.Repeat("x", 64),
		"12 units, 1 unit, 3 liters of it": "12 12unit unit 1 1unit unit 3 3l l",
	} {
		if got := strings.Join(a.Terms(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Each spelling meets the others.
func TestSpellingsMeet(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	for _, same := range [][]string{
		{"500 mg", "500mg", "500-mg", "500 milligrams"},
		{"2,000 mg", "2000mg"},
		{"0.5 mg", "0.50mg", ".5 mg"},
		{"beta-blocker", "β-blocker", "betablocker"},
		{"Crohn's", "Crohn’s", "crohn"},
		{"co-trimoxazole", "cotrimoxazole"},
	} {
		for _, s := range same {
			for _, r := range same {
				ts := a.Terms(r)
				if !slices.ContainsFunc(a.Terms(s), func(t string) bool { return slices.Contains(ts, t) }) {
					t.Errorf("%q %q and %q %q share no term", s, a.Terms(s), r, ts)
				}
			}
		}
	}
}

func FuzzTerms(f *testing.F) {
	for _, s := range []string{"Take 500 mg.", "a-b-c-d-e", "µg β λόγος 5%", ".5mg 1,0,0", "\xff-\x00-", "x'''s 'S"} {
		f.Add(s)
	}
	a := NewAnalyzer([]string{"Abilify"})
	f.Fuzz(func(t *testing.T, s string) {
		for _, term := range a.Terms(s) {
			if term == "" || len(term) > 2*maxTerm {
				t.Errorf("%q gives the term %q", s, term)
			}
		}
		if !reflect.DeepEqual(a.Terms(s), a.appendTerms(nil, s, map[string]string{})) {
			t.Errorf("%q: the cache of stems changes the terms", s)
		}
	})
}

// build makes an index of passages of plain words.
func build(t testing.TB, passages [][2]string, p Params) *Index {
	t.Helper()
	b := NewBuilder(NewAnalyzer(nil))
	for _, s := range passages {
		if err := b.Add(s[0], s[1]); err != nil {
			t.Fatal(err)
		}
	}
	x, err := Load(finish(t, b), p)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func finish(t testing.TB, b *Builder) (blobs [][]byte) {
	t.Helper()
	if err := b.Finish(func(blob []byte) error { blobs = append(blobs, bytes.Clone(blob)); return nil }); err != nil {
		t.Fatal(err)
	}
	return blobs
}

// naive scores every passage by the formula as it is written.
func naive(passages [][2]string, query []string, k int, p Params) []Scored {
	a := NewAnalyzer(nil)
	tf := make([]map[string]float64, len(passages))
	length := make([]float64, len(passages))
	df := map[string]float64{}
	total := 0.0
	for i, s := range passages {
		tf[i] = map[string]float64{}
		for field, w := range []float64{p.Heading, 1} {
			for _, t := range a.Terms(s[field]) {
				if _, ok := tf[i][t]; !ok {
					df[t]++
					tf[i][t] = 0
				}
				tf[i][t] += w
				length[i] += w
			}
		}
		total += length[i]
	}
	n := float64(len(passages))
	var out []Scored
	for i := range passages {
		score := 0.0
		for _, t := range query {
			if f := tf[i][t]; f > 0 {
				score += math.Log(1+(n-df[t]+.5)/(df[t]+.5)) * f * (p.K1 + 1) / (f + p.K1*(1-p.B+p.B*length[i]/(total/n)))
			}
		}
		if score > 0 {
			out = append(out, Scored{uint32(i), score})
		}
	}
	slices.SortStableFunc(out, func(a, b Scored) int {
		switch {
		case math.Abs(a.Score-b.Score) < 1e-9:
			return 0
		case a.Score > b.Score:
			return -1
		}
		return 1
	})
	return out[:min(k, len(out))]
}

// someWords draws text of few words, so that scores and ties are many.
func someWords(n int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			i := rapid.IntRange(0, 15).Draw(t, "word")
			return "zq" + string(rune('b'+i*i/15))
		}), 0, n).Draw(t, "words"), " ")
	})
}

func TestSearchIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 3, 40, 300}).Draw(t, "passages")
		passages := make([][2]string, n)
		for i := range passages {
			passages[i] = [2]string{someWords(3).Draw(t, "heading"), someWords(12).Draw(t, "text")}
		}
		p := rapid.SampledFrom([]Params{DefaultParams, {K1: .9, B: .4, Heading: 1}, {K1: 2, B: 0, Heading: 0}}).Draw(t, "params")
		query := NewAnalyzer(nil).Terms(someWords(6).Draw(t, "query"))
		k := rapid.IntRange(1, 20).Draw(t, "k")
		b := NewBuilder(NewAnalyzer(nil))
		for _, s := range passages {
			if err := b.Add(s[0], s[1]); err != nil {
				t.Fatal(err)
			}
		}
		var blobs [][]byte
		if err := b.Finish(func(blob []byte) error { blobs = append(blobs, bytes.Clone(blob)); return nil }); err != nil {
			t.Fatal(err)
		}
		x, err := Load(blobs, p)
		if err != nil {
			t.Fatal(err)
		}
		got, want := x.Search(query, k), naive(passages, query, k, p)
		if len(got) != len(want) {
			t.Fatalf("%d hits, want %d", len(got), len(want))
		}
		for i := range got {
			// Sums of the same numbers round differently by the order of a term
			// that the query repeats; among equals the passages may then differ.
			if math.Abs(got[i].Score-want[i].Score) > 1e-9 {
				t.Fatalf("place %d: %v, want %v", i, got[i], want[i])
			}
			if i > 0 && !better(got[i-1], got[i]) {
				t.Fatalf("places %d and %d are out of order", i-1, i)
			}
		}
	})
}

// A search within ranges gives what the search of everything gives, less what
// lies outside, and weights multiply what a term adds.
func TestSearchWithin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := NewBuilder(NewAnalyzer(nil))
		n := rapid.SampledFrom([]int{1, 40, 300}).Draw(t, "passages")
		for range n {
			if err := b.Add(someWords(3).Draw(t, "heading"), someWords(12).Draw(t, "text")); err != nil {
				t.Fatal(err)
			}
		}
		var blobs [][]byte
		if err := b.Finish(func(blob []byte) error { blobs = append(blobs, bytes.Clone(blob)); return nil }); err != nil {
			t.Fatal(err)
		}
		x, err := Load(blobs, DefaultParams)
		if err != nil {
			t.Fatal(err)
		}
		weights := map[string]float64{}
		var query []Weighted
		for _, term := range NewAnalyzer(nil).Terms(someWords(6).Draw(t, "query")) {
			w := rapid.Float64Range(0.1, 2).Draw(t, "weight")
			query = append(query, Weighted{term, w})
			weights[term] += w
		}
		var ranges []Range
		for at := uint32(0); at < uint32(n); {
			first := at + uint32(rapid.IntRange(0, 30).Draw(t, "gap"))
			at = first + uint32(rapid.IntRange(0, 30).Draw(t, "length"))
			ranges = append(ranges, Range{first, at})
			at++
		}
		k := rapid.IntRange(1, 20).Draw(t, "k")
		one := func(p uint32) float64 {
			sum := 0.0
			for term, w := range weights {
				for _, s := range x.Search([]string{term}, n) {
					if s.Passage == p {
						sum += w * s.Score
					}
				}
			}
			return sum
		}
		var want []Scored
		for _, s := range x.SearchWeighted(query, n) {
			for _, r := range ranges {
				if r.First <= s.Passage && s.Passage < r.End && len(want) < k {
					want = append(want, s)
				}
			}
		}
		got := x.SearchWithin(query, ranges, k)
		if len(got) != len(want) {
			t.Fatalf("%d hits, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("place %d: %v, want %v", i, got[i], want[i])
			}
		}
		if len(got) > 0 && math.Abs(got[0].Score-one(got[0].Passage)) > 1e-9 {
			t.Fatalf("passage %d scores %v, its terms add up to %v", got[0].Passage, got[0].Score, one(got[0].Passage))
		}
	})
}

func TestEqualScoresGoByPassage(t *testing.T) {
	t.Parallel()
	passages := make([][2]string, 500)
	for i := range passages {
		passages[i] = [2]string{"", "warfarin interaction"}
	}
	got := build(t, passages, DefaultParams).Search([]string{"warfarin", "interact"}, 5)
	for i, h := range got {
		if h.Passage != uint32(i) {
			t.Errorf("place %d is passage %d", i, h.Passage)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d hits", len(got))
	}
}

func TestEachGivesBackWhatWasAdded(t *testing.T) {
	t.Parallel()
	var passages [][2]string
	for i := range 1000 { // several blocks of postings
		passages = append(passages, [2]string{strings.Repeat("head ", i%3), fmt.Sprintf("common rare%d %s", i, strings.Repeat("zqa ", i%300))})
	}
	x := build(t, passages, DefaultParams)
	want, have := map[string][2]uint32{}, map[string][2]uint32{}
	for i, s := range passages {
		Count(NewAnalyzer(nil), s[0], s[1], func(term string, tf [2]uint32) { want[fmt.Sprint(term, " ", i)] = tf })
	}
	err := x.Each(func(term string, passage uint32, tf [2]uint32) error {
		have[fmt.Sprint(term, " ", passage)] = tf
		return nil
	})
	if err != nil || !reflect.DeepEqual(want, have) {
		t.Errorf("%d postings instead of %d, %v", len(have), len(want), err)
	}
	if got := x.DocumentFrequency("common"); got != 1000 {
		t.Errorf("df %d", got)
	}
	if got := x.DocumentFrequency("nowhere"); got != 0 {
		t.Errorf("df %d", got)
	}
}

func TestSeekSkips(t *testing.T) {
	t.Parallel()
	l := &list{}
	for i := range 5000 {
		l.add(uint32(i*3), [2]uint32{1, uint32(i % 2)})
	}
	l.flush()
	check := func(to uint32) bool {
		to %= 16000
		c := cursor{data: l.data}
		c.next()
		ok := c.seek(to)
		want := (to + 2) / 3 * 3
		return ok == (want < 15000) && (!ok || c.doc == want)
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	b := NewBuilder(NewAnalyzer(nil))
	for i := range 300 {
		_ = b.Add("heading", fmt.Sprintf("text with warfarin %d", i))
	}
	blobs := finish(f, b)
	f.Add(blobs[0], blobs[1])
	f.Add(blobs[0], blobs[1][:len(blobs[1])-1])
	f.Add([]byte{}, []byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, lengths, terms []byte) {
		x, err := Load([][]byte{lengths, terms}, DefaultParams)
		if err != nil {
			return
		}
		if err := x.Each(func(string, uint32, [2]uint32) error { return nil }); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		x.Search([]string{"warfarin", "text", "head", "7"}, 5)
	})
}

func BenchmarkSearch(b *testing.B) {
	var passages [][2]string
	seed := uint32(1)
	for range 20000 {
		var s strings.Builder
		for range 100 {
			seed = seed*1664525 + 1013904223
			r := float64(seed>>8) / (1 << 24)
			fmt.Fprintf(&s, "w%dx ", int(math.Pow(20000, r)))
		}
		passages = append(passages, [2]string{"", s.String()})
	}
	x := build(b, passages, DefaultParams)
	for b.Loop() {
		x.Search([]string{"w3x", "w50x", "w700x", "w9000x"}, 20)
	}
}
