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

// Small segments are seeded as well, so that small tests try it.
func init() { seedFrom = 100 }

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

// exhaustive scores each passage that has a term of a query, by the formula as
// it is written: Robertson's BM25F with one pool, idf as Lucene has it. It keeps
// nothing but counts, so that a thousand queries are quick.
type exhaustive struct {
	p        Params
	live     []numbered
	mean     float64
	lengths  []float64
	postings map[string][]pooledPosting
}

type pooledPosting struct {
	at int // in live
	f  float64
}

// newExhaustive of passages in the order of their numbers. terms gives those of
// a text.
func newExhaustive(terms func(string) []string, live []numbered, p Params) *exhaustive {
	x := &exhaustive{p: p, live: live, mean: 1, postings: map[string][]pooledPosting{}}
	weight := [fields]float64{Text: 1, Heading: p.Heading, Title: p.Title}
	pooled := func(c [fields]float64) float64 {
		return c[Text] + weight[Heading]*c[Heading] + weight[Title]*c[Title]
	}
	var total [fields]float64
	for i, l := range live {
		tf := map[string]*[fields]float64{}
		var length [fields]float64
		for f, text := range [fields]string{Text: l.p.Text, Heading: l.p.Heading, Title: l.p.Title} {
			for _, t := range terms(text) {
				if tf[t] == nil {
					tf[t] = new([fields]float64)
				}
				tf[t][f]++
				length[f]++
				total[f]++
			}
		}
		x.lengths = append(x.lengths, pooled(length))
		for t, c := range tf {
			x.postings[t] = append(x.postings[t], pooledPosting{i, pooled(*c)})
		}
	}
	n := float64(len(live))
	if m := total[Text]/n + weight[Heading]*(total[Heading]/n) + weight[Title]*(total[Title]/n); m > 0 {
		x.mean = m
	}
	return x
}

func (x *exhaustive) search(q Query) []Scored {
	// A term that is there twice counts twice; terms add up in their order.
	var order []string
	weights := map[string]float64{}
	for _, w := range q.Terms {
		df := float64(len(x.postings[w.Term]))
		if df == 0 {
			continue
		}
		if _, ok := weights[w.Term]; !ok {
			order = append(order, w.Term)
		}
		weights[w.Term] += w.Weight * math.Log(1+(float64(len(x.live))-df+.5)/(df+.5))
	}
	scores, have := make([]float64, len(x.live)), make([]int, len(x.live))
	for _, t := range order {
		for _, p := range x.postings[t] {
			if p.f > 0 {
				scores[p.at] += weights[t] * (p.f * (x.p.K1 + 1) / (p.f + x.p.K1*(1-x.p.B+x.p.B*x.lengths[p.at]/x.mean)))
			}
		}
	}
	for _, t := range q.Must {
		for _, p := range x.postings[t] {
			have[p.at]++
		}
	}
	var out []Scored
	for i, s := range scores {
		if s <= 0 || have[i] < len(q.Must) {
			continue
		}
		n := x.live[i].n
		in := q.Within == nil
		for _, r := range q.Within {
			in = in || r.First <= n && n < r.End
		}
		if !in {
			continue
		}
		at := len(out) // passages ascend: of equal scores the earlier stays before
		for at > 0 && out[at-1].Score < s {
			at--
		}
		if at < q.K {
			out = slices.Insert(out, at, Scored{n, s})
			out = out[:min(q.K, len(out))]
		}
	}
	return out
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
		ps := make([]Passage, rapid.SampledFrom([]int{0, 1, 3, 40, 150}).Draw(t, "passages"))
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
	if len(q.Terms) > 0 && rapid.IntRange(0, 3).Draw(t, "must") == 0 {
		q.Must = []string{q.Terms[len(q.Terms)-1].Term}
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
		all := newExhaustive(a.Terms, live, p)
		for range 8 {
			end := uint32(0)
			if len(live) > 0 {
				end = live[len(live)-1].n
			}
			q := someQuery(t, end)
			got, err := s.Search(q)
			if err != nil {
				t.Fatal(err)
			}
			sameScores(t, got, all.search(q))
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
func zipf(n, words int, seed uint64) (ps []Passage, query func() []Weighted) {
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
		ps[i] = Passage{Title: text(r.IntN(3)), Heading: text(r.IntN(5)), Text: text(5 + r.IntN(words))}
	}
	return ps, func() (q []Weighted) {
		for range 2 + r.IntN(7) {
			q = append(q, Weighted{word(8000), []float64{1, 1, 1, .3, 2}[r.IntN(5)]})
		}
		return q
	}
}

// A thousand queries over three segments with a tenth withdrawn get the scores
// of exhaustive scoring. RXEDGE_LARGE=1 does it on 60,000 longer passages.
func TestThousandQueries(t *testing.T) {
	t.Parallel()
	n := 10_000 // the largest segment spans three windows
	words := 30
	if os.Getenv("RXEDGE_LARGE") != "" {
		n, words = 60_000, 120
	}
	a := NewAnalyzer(nil)
	ps, query := zipf(n, words, 5)
	var parts []Part
	var live []numbered
	for at, size := range map[int]int{0: n * 9 / 10, n * 9 / 10: n * 9 / 100, n * 99 / 100: n / 100} {
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
	slices.SortFunc(live, func(x, y numbered) int { return int(x.n) - int(y.n) })
	known := map[string][]string{} // words that stand alone are analysed once
	all := newExhaustive(func(text string) (out []string) {
		for w := range strings.FieldsSeq(text) {
			if _, ok := known[w]; !ok {
				known[w] = a.Terms(w)
			}
			out = append(out, known[w]...)
		}
		return out
	}, live, DefaultParams)
	for i := range 1000 {
		q := Query{Terms: query(), K: 20}
		if i%7 == 0 {
			q.Must = []string{q.Terms[0].Term}
		}
		if i%5 == 0 {
			q.Within = []Range{{uint32(i), uint32(i + 700)}, {uint32(2 * i), uint32(3*i + 900)}}
			if q.Within[1].First < q.Within[0].End {
				q.Within = q.Within[1:]
			}
		}
		if i%5 == 1 { // many, as a section of every document has them
			q.Within = []Range{}
			length, gap := uint32(1+i%9), uint32(i%300)
			for at := uint32(i % 11); at < uint32(n); at += length + gap {
				q.Within = append(q.Within, Range{at, at + length})
			}
		}
		got, err := s.Search(q)
		if err != nil {
			t.Fatal(err)
		}
		sameScores(t, got, all.search(q))
	}
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

// Of everything, of a section that is one passage in eight, of one document in a
// hundred, of one document.
func BenchmarkWithin(b *testing.B) {
	ps, query := zipf(100_000, 60, 1)
	seg, _ := mustBuild(b, NewAnalyzer(nil), ps)
	s, err := NewSearcher(DefaultParams, Part{Segment: seg})
	if err != nil {
		b.Fatal(err)
	}
	var qs [][]Weighted
	for range 256 {
		qs = append(qs, query())
	}
	for name, every := range map[string]struct{ length, of uint32 }{"all": {}, "section": {1, 8}, "documents": {20, 2000}, "one": {20, 1 << 20}} {
		var within []Range
		if every.length > 0 {
			for at := uint32(0); at < uint32(len(ps)); at += every.of {
				within = append(within, Range{at, at + every.length})
			}
		}
		b.Run(name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				if _, err := s.Search(Query{Terms: qs[i%len(qs)], K: 20, Within: within}); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkSearch(b *testing.B) {
	ps, query := zipf(20000, 60, 1)
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
