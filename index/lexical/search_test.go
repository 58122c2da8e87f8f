package lexical

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// mustBuild makes a segment in memory.
func mustBuild(t testing.TB, a *Analyzer, ps []Passage) (*Segment, [][]byte) {
	t.Helper()
	s, blobs, err := Build(a, ps)
	if err != nil {
		t.Fatal(err)
	}
	return s, blobs
}

// numbered is a live passage with its number in a collection.
type numbered struct {
	n uint32
	p Passage
}

// naive scores every passage by the formula as it is written: Robertson's
// BM25F with one pool, idf as Lucene has it.
func naive(a *Analyzer, live []numbered, q Query, p Params) []Scored {
	weight := [fields]float64{Text: 1, Heading: p.Heading, Title: p.Title}
	df := map[string]float64{}
	var total [fields]float64
	tf := make([]map[string]*[fields]float64, len(live))
	length := make([][fields]float64, len(live))
	for i := range live {
		tf[i] = map[string]*[fields]float64{}
		for f, text := range [fields]string{Text: live[i].p.Text, Heading: live[i].p.Heading, Title: live[i].p.Title} {
			for _, t := range a.Terms(text) {
				if tf[i][t] == nil {
					tf[i][t] = new([fields]float64)
					df[t]++
				}
				tf[i][t][f]++
				length[i][f]++
				total[f]++
			}
		}
	}
	n := float64(len(live))
	mean := total[Text]/n + weight[Heading]*(total[Heading]/n) + weight[Title]*(total[Title]/n)
	if mean == 0 {
		mean = 1
	}
	pooled := func(c [fields]float64) float64 { return c[Text] + weight[Heading]*c[Heading] + weight[Title]*c[Title] }
	// A term that is there twice counts twice; terms add up in their order.
	var order []string
	weights := map[string]float64{}
	for _, w := range q.Terms {
		if df[w.Term] == 0 {
			continue
		}
		if _, ok := weights[w.Term]; !ok {
			order = append(order, w.Term)
		}
		weights[w.Term] += w.Weight * math.Log(1+(n-df[w.Term]+.5)/(df[w.Term]+.5))
	}
	var out []Scored
	for i := range live {
		in := q.Within == nil
		for _, r := range q.Within {
			in = in || r.First <= live[i].n && live[i].n < r.End
		}
		if !in {
			continue
		}
		score := 0.0
		for _, t := range order {
			if c := tf[i][t]; c != nil && pooled(*c) > 0 {
				f := pooled(*c)
				score += weights[t] * (f * (p.K1 + 1) / (f + p.K1*(1-p.B+p.B*pooled(length[i])/mean)))
			}
		}
		if score > 0 {
			out = append(out, Scored{live[i].n, score})
		}
	}
	slices.SortFunc(out, func(a, b Scored) int {
		if a.Score > b.Score || a.Score == b.Score && a.Passage < b.Passage {
			return -1
		}
		return 1
	})
	return out[:min(q.K, len(out))]
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

var somePassage = rapid.Custom(func(t *rapid.T) Passage {
	return Passage{
		Title:   someWords(2).Draw(t, "title"),
		Heading: someWords(3).Draw(t, "heading"),
		Text:    someWords(12).Draw(t, "text"),
	}
})

var someParams = rapid.SampledFrom([]Params{
	DefaultParams, {K1: .9, B: .4, Heading: 1, Title: 1}, {K1: 2, B: 0, Heading: 0, Title: 3}, {K1: 0, B: 1, Heading: 5, Title: .2}, {K1: 4, B: 1, Heading: 0, Title: 0},
})

// someParts draws a collection of segments with gaps between their numbers and
// some passages withdrawn in several steps.
func someParts(t *rapid.T, a *Analyzer) (parts []Part, live []numbered) {
	base := uint32(0)
	for range rapid.IntRange(1, 4).Draw(t, "segments") {
		ps := make([]Passage, rapid.SampledFrom([]int{0, 1, 3, 40, 300}).Draw(t, "passages"))
		for i := range ps {
			ps[i] = somePassage.Draw(t, "passage")
		}
		s, _, err := Build(a, ps)
		if err != nil {
			t.Fatal(err)
		}
		base += uint32(rapid.IntRange(0, 5).Draw(t, "gap"))
		var dead *Dead
		for range rapid.IntRange(0, 3).Draw(t, "withdrawals") {
			var gone []Withdrawn
			for i, p := range ps {
				if rapid.IntRange(0, 5).Draw(t, "withdrawn") == 0 {
					gone = append(gone, Withdrawn{uint32(i), p})
				}
			}
			if dead, err = dead.With(s, a, gone); err != nil {
				t.Fatal(err)
			}
		}
		parts = append(parts, Part{s, base, dead})
		for i, p := range ps {
			if !dead.Has(uint32(i)) {
				live = append(live, numbered{base + uint32(i), p})
			}
		}
		base += uint32(len(ps))
	}
	return parts, live
}

func someQuery(t *rapid.T, end uint32) Query {
	q := Query{K: rapid.IntRange(1, 30).Draw(t, "k")}
	for _, w := range strings.Fields(someWords(7).Draw(t, "query")) {
		q.Terms = append(q.Terms, Weighted{w, rapid.SampledFrom([]float64{1, 1, 1, .1, .25, 2, 7.3}).Draw(t, "weight")})
	}
	if rapid.Bool().Draw(t, "within") {
		q.Within = []Range{}
		for at := uint32(0); at < end; {
			first := at + uint32(rapid.IntRange(0, 60).Draw(t, "gap"))
			at = first + uint32(rapid.IntRange(0, 60).Draw(t, "length"))
			q.Within = append(q.Within, Range{first, at})
		}
	}
	return q
}

func sameScores(t interface{ Fatalf(string, ...any) }, got, want []Scored) {
	if len(got) != len(want) {
		t.Fatalf("%d hits, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("place %d: %v, want %v", i, got[i], want[i])
		}
	}
}

// Whatever segments the passages lie in and whatever was withdrawn: the first k
// and their scores are, to the last bit, those of the formula over the live
// passages alone.
func TestSearchIsExact(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	rapid.Check(t, func(t *rapid.T) {
		parts, live := someParts(t, a)
		p := someParams.Draw(t, "params")
		s, err := NewSearcher(p, parts...)
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			end := uint32(0)
			if len(live) > 0 {
				end = live[len(live)-1].n
			}
			q := someQuery(t, end)
			got, err := s.Search(q)
			if err != nil {
				t.Fatal(err)
			}
			sameScores(t, got, naive(a, live, q, p))
			for _, h := range got[:min(3, len(got))] {
				shares, err := s.Explain(q.Terms, h.Passage)
				if err != nil {
					t.Fatal(err)
				}
				sum := 0.0
				for _, x := range shares {
					sum += x.Score
				}
				if sum != h.Score {
					t.Fatalf("the parts of %v add up to %v", h, sum)
				}
			}
		}
	})
}

// zipf is a corpus of several windows whose words are distributed as in text.
func zipf(n int, seed uint64) (ps []Passage, query func() []Weighted) {
	r := rand.New(rand.NewPCG(seed, 1))
	word := func(most float64) string { return fmt.Sprintf("w%dx", int(math.Pow(most, r.Float64()))) }
	text := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(word(20000))
			b.WriteByte(' ')
		}
		return b.String()
	}
	ps = make([]Passage, n)
	for i := range ps {
		ps[i] = Passage{Title: text(r.IntN(3)), Heading: text(r.IntN(5)), Text: text(5 + r.IntN(60))}
	}
	return ps, func() (q []Weighted) {
		for range 2 + r.IntN(7) {
			q = append(q, Weighted{word(8000), []float64{1, 1, 1, .3, 2}[r.IntN(5)]})
		}
		return q
	}
}

// A thousand queries over three segments with a tenth withdrawn get the scores
// of exhaustive scoring. RXEDGE_LARGE=1 does it on 60,000 passages.
func TestThousandQueries(t *testing.T) {
	t.Parallel()
	n := 6000
	if os.Getenv("RXEDGE_LARGE") != "" {
		n = 60000
	}
	a := NewAnalyzer(nil)
	ps, query := zipf(n, 5)
	var parts []Part
	var live []numbered
	for at, size := range map[int]int{0: n * 7 / 10, n * 7 / 10: n * 29 / 100, n * 99 / 100: n / 100} {
		s, _ := mustBuild(t, a, ps[at:at+size])
		var gone []Withdrawn
		for i := at; i < at+size; i++ {
			if i%10 == 3 {
				gone = append(gone, Withdrawn{uint32(i - at), ps[i]})
			} else {
				live = append(live, numbered{uint32(i), ps[i]})
			}
		}
		dead, err := (*Dead)(nil).With(s, a, gone)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, Part{s, uint32(at), dead})
	}
	slices.SortFunc(parts, func(x, y Part) int { return int(x.Base) - int(y.Base) })
	s, err := NewSearcher(DefaultParams, parts...)
	if err != nil {
		t.Fatal(err)
	}
	all := newExhaustive(a, live, DefaultParams)
	for i := range 1000 {
		q := Query{Terms: query(), K: 20}
		if i%5 == 0 {
			q.Within = []Range{{uint32(i), uint32(i + 700)}, {uint32(2 * i), uint32(3*i + 900)}}
			if q.Within[1].First < q.Within[0].End {
				q.Within = q.Within[1:]
			}
		}
		got, err := s.Search(q)
		if err != nil {
			t.Fatal(err)
		}
		sameScores(t, got, all.search(q))
	}
}

// exhaustive scores each passage that has a term of a query. It keeps counts by
// term so that a thousand queries take a second, and shares nothing with what
// it checks but the analyser.
type exhaustive struct {
	p      Params
	n      float64
	mean   float64
	length map[uint32]float64
	tf     map[string]map[uint32]float64 // pooled, by term and passage
}

func newExhaustive(a *Analyzer, live []numbered, p Params) *exhaustive {
	x := &exhaustive{p: p, n: float64(len(live)), length: map[uint32]float64{}, tf: map[string]map[uint32]float64{}}
	var total [fields]float64
	for _, l := range live {
		for f, text := range [fields]string{Text: l.p.Text, Heading: l.p.Heading, Title: l.p.Title} {
			w := [fields]float64{1, p.Heading, p.Title}[f]
			for _, t := range a.Terms(text) {
				if x.tf[t] == nil {
					x.tf[t] = map[uint32]float64{}
				}
				x.tf[t][l.n] += w
				x.length[l.n] += w
				total[f]++
			}
		}
	}
	x.mean = total[Text]/x.n + p.Heading*(total[Heading]/x.n) + p.Title*(total[Title]/x.n)
	return x
}

func (x *exhaustive) search(q Query) []Scored {
	weights, order := map[string]float64{}, []string(nil)
	for _, w := range q.Terms {
		df := float64(len(x.tf[w.Term]))
		if df == 0 {
			continue
		}
		if _, ok := weights[w.Term]; !ok {
			order = append(order, w.Term)
		}
		weights[w.Term] += w.Weight * math.Log(1+(x.n-df+.5)/(df+.5))
	}
	scores := map[uint32]float64{}
	for _, t := range order {
		for doc, f := range x.tf[t] {
			in := q.Within == nil
			for _, r := range q.Within {
				in = in || r.First <= doc && doc < r.End
			}
			if in {
				scores[doc] += weights[t] * (f * (x.p.K1 + 1) / (f + x.p.K1*(1-x.p.B+x.p.B*x.length[doc]/x.mean)))
			}
		}
	}
	var out []Scored
	for d, s := range scores {
		out = append(out, Scored{d, s})
	}
	slices.SortFunc(out, func(a, b Scored) int {
		if better(a, b) {
			return -1
		}
		return 1
	})
	return out[:min(q.K, len(out))]
}

func TestEqualScoresGoByPassage(t *testing.T) {
	t.Parallel()
	a := NewAnalyzer(nil)
	ps := make([]Passage, 500)
	for i := range ps {
		ps[i].Text = "warfarin interaction"
	}
	one, _ := mustBuild(t, a, ps[:200])
	two, _ := mustBuild(t, a, ps[200:])
	s, err := NewSearcher(DefaultParams, Part{Segment: one, Base: 1000}, Part{Segment: two, Base: 2000})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Search(Query{Terms: []Weighted{{"warfarin", 1}, {"interact", 1}}, K: 205})
	if err != nil || len(got) != 205 {
		t.Fatalf("%d hits, %v", len(got), err)
	}
	for i, h := range got {
		want := uint32(1000 + i)
		if i >= 200 {
			want = uint32(2000 + i - 200)
		}
		if h.Passage != want {
			t.Fatalf("place %d is passage %d, want %d", i, h.Passage, want)
		}
	}
}

func TestNewSearcherRefuses(t *testing.T) {
	t.Parallel()
	s, _ := mustBuild(t, NewAnalyzer(nil), []Passage{{Text: "a b"}, {Text: "c"}})
	if _, err := NewSearcher(DefaultParams, Part{Segment: s}, Part{Segment: s, Base: 1}); err == nil {
		t.Error("overlapping segments are searched")
	}
	for _, p := range []Params{{K1: -1}, {B: 2}, {Heading: math.NaN()}, {Title: math.Inf(1)}} {
		if _, err := NewSearcher(p, Part{Segment: s}); err == nil {
			t.Errorf("%+v is searched with", p)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	ps, query := zipf(20000, 1)
	seg, _ := mustBuild(b, NewAnalyzer(nil), ps)
	s, err := NewSearcher(DefaultParams, Part{Segment: seg})
	if err != nil {
		b.Fatal(err)
	}
	var qs [][]Weighted
	for range 256 {
		qs = append(qs, query())
	}
	i := 0
	for b.Loop() {
		if _, err := s.Search(Query{Terms: qs[i%len(qs)], K: 20}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
