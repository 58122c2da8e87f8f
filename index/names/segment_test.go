package names

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rxedge/index/document"
)

// invented makes names that look like brands: of few syllables, so that many
// are near to one another, and some repeat.
func invented(r *rand.Rand) string {
	syllables := strings.Fields("za ri no lex tro pa mi du ve co ba ly xa fen gor tin max el or sy")
	var b strings.Builder
	for range 2 + r.IntN(3) {
		b.WriteString(syllables[r.IntN(len(syllables))])
	}
	w := b.String()
	return strings.ToUpper(w[:1]) + w[1:]
}

// randomLabels are labels as there are: of medicines that the table has, of
// combinations, of ingredients and brands that it has not, of brands alone,
// guidelines.
func randomLabels(r *rand.Rand, n int) []Labelled {
	b, err := bases()
	if err != nil {
		panic(err)
	}
	known := func() string { return b.medicines[r.IntN(len(b.medicines))].name }
	salt := []string{"", " hydrochloride", " sodium", " tablets"}
	out := make([]Labelled, n)
	for i := range out {
		d := Labelled{ID: fmt.Sprintf("%08x-%04d", r.Uint32(), i), Title: "A label", Label: true}
		switch r.IntN(8) {
		case 0:
			d.Generics = []string{strings.ToUpper(known() + salt[r.IntN(4)])}
		case 1:
			d.Generics, d.Brands = []string{known()}, []string{invented(r)}
		case 2:
			d.Generics, d.Brands = []string{known() + " and " + known() + salt[r.IntN(4)]}, []string{invented(r) + " Plus"}
		case 3:
			d.Generics, d.Brands = []string{strings.ToLower(invented(r)) + "ib" + salt[r.IntN(4)]}, []string{invented(r) + "®"}
		case 4:
			d.Brands = []string{invented(r), invented(r) + " XR"}
		case 5:
			d.Generics = []string{known() + ", " + known() + ", " + strings.ToLower(invented(r)) + "ol"}
			d.Brands = []string{"Night Time " + invented(r)}
		case 6:
			d.Title = invented(r) + "® (" + strings.ToLower(invented(r)) + "ib mesylate) tablets"
			d.Brands = []string{invented(r) + " " + invented(r)}
		case 7:
			d.Label = false
		}
		out[i] = d
	}
	return out
}

// naive is what documents teach, held in maps.
type naive struct {
	names         map[string][levelFirst + 1][]taught
	alone, within map[taught][]string
}

func naively(t testing.TB, docs []Labelled) *naive {
	t.Helper()
	b, err := bases()
	if err != nil {
		t.Fatal(err)
	}
	n := &naive{map[string][levelFirst + 1][]taught{}, map[taught][]string{}, map[taught][]string{}}
	for i := range docs {
		l := b.learn(state(&docs[i]))
		for _, x := range l.names {
			by := n.names[x.key]
			if !slices.Contains(by[x.level], x.of) {
				by[x.level] = append(by[x.level], x.of)
			}
			n.names[x.key] = by
		}
		for _, x := range l.alone {
			n.alone[x] = append(n.alone[x], docs[i].ID)
		}
		for _, x := range l.within {
			n.within[x] = append(n.within[x], docs[i].ID)
		}
	}
	return n
}

// say writes medicines with their documents.
func (n *naive) say(b *base, ts []taught) string {
	var out []string
	for _, t := range ts {
		docs := n.alone[t]
		if len(docs) == 0 {
			docs = n.within[t]
		}
		docs = slices.Clone(docs)
		slices.Sort(docs)
		name := t.ident
		if name == "" {
			name = "0" + b.medicines[t.table].name
		}
		out = append(out, name+" "+strings.Join(slices.Compact(docs), ","))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func (l *Lexicon) say(rs []ref) string {
	var out []string
	for _, r := range rs {
		var docs []string
		for _, d := range l.documents(r) {
			docs = append(docs, l.id(d))
		}
		name := "0"
		if int(r) >= len(l.medicines) {
			name = l.ident(r)[:1]
		}
		out = append(out, name+l.med(r).name+" "+strings.Join(docs, ","))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// same checks a lexicon against maps, name by name.
func (n *naive) same(t *testing.T, l *Lexicon) {
	t.Helper()
	all := slices.Collect(func(yield func(string) bool) {
		for k := range n.names {
			if !yield(k) {
				return
			}
		}
	})
	slices.Sort(all)
	for _, k := range all {
		by := n.names[k]
		want := append([]taught{}, by[levelOwn]...)
		for _, r := range l.names[k] {
			want = append(want, taught{table: r})
		}
		isName := true
		switch {
		case len(want) > 0:
		case len(by[levelBrand]) > 0:
			if want = by[levelBrand]; len(want) > maxBrand {
				want = nil
			}
		case len(by[levelFirst]) <= maxFirst:
			want = by[levelFirst]
		}
		got, is := l.named(k)
		if l.say(got) != n.say(l.base, want) || is != isName {
			t.Fatalf("%q: %s, %v; want %s", k, l.say(got), is, n.say(l.base, want))
		}
	}
	for i := range l.medicines {
		if got, want := l.say([]ref{ref(i)}), n.say(l.base, []taught{{table: ref(i)}}); got != want {
			t.Fatalf("%s; want %s", got, want)
		}
	}
	have := l.Names()
	for _, k := range have {
		if _, ok := n.names[k]; !ok && l.names[k] == nil {
			t.Fatalf("%q is a name, and no document is left that says so", k)
		}
	}
	// Spelling against all names, one by one.
	r := rand.New(rand.NewPCG(9, 9))
	for range 300 {
		k := have[r.IntN(len(have))]
		if !spelt(k) {
			continue
		}
		at := 1 + r.IntN(len(k)-1)
		w := k[:at] + string(rune('a'+r.IntN(26))) + k[at+r.IntN(2):]
		limit := edits(len(w))
		var want []string
		for _, n := range have {
			if !spelt(n) || l.ordinary[n] || n[0] != w[0] {
				continue
			}
			want, limit = nearer(w, n, limit, want)
		}
		if got, d := l.near(w); !slices.Equal(got, want) || d != limit {
			t.Fatalf("near %q: %v at %d, want %v at %d", w, got, d, want, limit)
		}
	}
}

func segment(t testing.TB, docs []Labelled) *Segment {
	t.Helper()
	blobs, err := BuildSegment(docs, 4000)
	if err != nil {
		t.Fatal(err)
	}
	s, err := LoadSegment(blobs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// However documents are spread over segments, whichever are withdrawn, and
// merged or not, the lexicon is that of the documents which are left.
func TestCombine(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		docs := randomLabels(r, 300)
		var left []Labelled
		var parts []Part
		var merge []Numbered
		for from := 0; from < len(docs); {
			to := min(len(docs), from+1+r.IntN(150))
			dead := map[uint32]bool{}
			number := map[uint32]uint32{}
			for i := from; i < to; i++ {
				if n := uint32(i - from); r.IntN(3) == 0 {
					dead[n] = true
				} else {
					number[n] = uint32(len(left))
					left = append(left, docs[i])
				}
			}
			s := segment(t, docs[from:to])
			parts = append(parts, Part{s, func(d uint32) bool { return dead[d] }})
			merge = append(merge, Numbered{s, func(d uint32) (uint32, bool) { n, ok := number[d]; return n, ok }})
			from = to
		}
		want := naively(t, left)
		l, err := Combine(parts)
		if err != nil {
			t.Fatal(err)
		}
		want.same(t, l)
		whole, err := New(left)
		if err != nil {
			t.Fatal(err)
		}
		want.same(t, whole)
		merged, err := Merge(merge, 3000)
		if err != nil {
			t.Fatal(err)
		}
		built, err := BuildSegment(left, 3000)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(merged, built) {
			t.Fatal("merging gives other bytes than building")
		}
		if !slices.Equal(l.Names(), whole.Names()) {
			t.Fatal("other names")
		}
		for i, d := range left {
			for _, q := range append(append([]string{}, d.Brands...), d.Generics...) {
				a, b := l.Read(q+" and warfarin", nothing), whole.Read(q+" and warfarin", nothing)
				if !alike(a, b) {
					t.Fatalf("%q is read as\n%+v\n%+v", q, a, b)
				}
			}
			s := segment(t, left)
			if i == 0 {
				for j := range left {
					if s.ID(uint32(j)) != left[j].ID || s.Label(uint32(j)) != left[j].Label || s.Documents() != len(left) || s.Relearned() {
						t.Fatalf("document %d is %s, %v", j, s.ID(uint32(j)), s.Label(uint32(j)))
					}
				}
			}
		}
	}
	if _, err := Merge([]Numbered{{segment(t, labels), func(uint32) (uint32, bool) { return 0, true }}}, 0); err != ErrNumbers {
		t.Errorf("numbers that are there twice: %v", err)
	}
}

// alike compares readings but for where documents lie.
func alike(a, b Reading) bool {
	for _, r := range []*Reading{&a, &b} {
		r.Subjects = slices.Clone(r.Subjects)
		for i := range r.Subjects {
			r.Subjects[i].Refs = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

// A brand of many medicines names none, and is a name all the same: nothing is
// corrected to it or from it.
func TestNameOfTooMany(t *testing.T) {
	t.Parallel()
	var docs []Labelled
	for i, g := range []string{"ibuprofen", "aspirin", "loratadine", "cetirizine"} {
		docs = append(docs, Labelled{ID: fmt.Sprint(i), Brands: []string{"Zelmarket " + g + " relief"}, Generics: []string{g}})
	}
	for n, want := range map[int]int{3: 3, 4: 0} {
		l, err := New(docs[:n])
		if err != nil {
			t.Fatal(err)
		}
		if got, is := l.named("zelmarket"); len(got) != want || !is {
			t.Errorf("of %d labels: %d medicines, %v", n, len(got), is)
		}
		if r := l.Read("zelmarket", nothing); want == 0 && len(r.Subjects) > 0 {
			t.Errorf("read as %+v", r.Subjects)
		}
	}
}

// The documents of the real data, however they are spread, give the same
// readings of all questions.
func TestCombineQuestions(t *testing.T) {
	t.Parallel()
	root := os.Getenv("RXEDGE_TESTDATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(root, "labels")); err != nil {
		t.Skipf("the real labels are not on this machine (%s); set RXEDGE_TESTDATA to their folder", root)
	}
	var docs []Labelled
	for _, p := range []string{"spl_xml", "labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl"} {
		if _, err := document.Read(context.Background(), filepath.Join(root, p), document.Options{}, func(d *document.Document) error {
			l := Labelled{ID: d.ID, Title: d.Title}
			for _, n := range d.Names {
				if n.Kind == "brand" {
					l.Brands = append(l.Brands, n.Text)
				} else {
					l.Generics = append(l.Generics, n.Text)
				}
			}
			docs = append(docs, l)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := New(docs)
	if err != nil {
		t.Fatal(err)
	}
	var parts []Part
	for i := 0; i < len(docs); i += 17 {
		parts = append(parts, Part{Segment: segment(t, docs[i:min(len(docs), i+17)])})
	}
	spread, err := Combine(parts)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(root, "labels", "questions_dev.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	n, about := 0, 0
	for sc.Scan() {
		var q struct{ Question string }
		if err := json.Unmarshal(sc.Bytes(), &q); err != nil {
			t.Fatal(err)
		}
		a, b := whole.Read(q.Question, nothing), spread.Read(q.Question, nothing)
		if !alike(a, b) {
			t.Errorf("%q is read as\n%+v\n%+v", q.Question, a, b)
		}
		for _, s := range b.Subjects {
			for i, d := range s.Refs {
				if spread.id(d) != s.Documents[i] {
					t.Errorf("%q: %v is not %s", q.Question, d, s.Documents[i])
				}
			}
		}
		if n++; len(a.About()) > 0 {
			about++
		}
	}
	if n < 100 || about < n/2 {
		t.Errorf("%d questions, %d of them about a medicine of the documents", n, about)
	}
}

// A segment of another table is learned again, to the same bytes as if it were
// built by this one.
func TestRelearn(t *testing.T) {
	t.Parallel()
	docs := randomLabels(rand.New(rand.NewPCG(5, 5)), 60)
	blobs, err := BuildSegment(docs, 0)
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.Clone(blobs[0])
	old[8] ^= 1 // its version
	s, err := LoadSegment([][]byte{old})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Relearned() || s.s != string(blobs[0]) {
		t.Error("it was not learned again")
	}
}

// Bytes that are changed are noticed, or lead to another reading; nothing
// panics. The store's checksums name them all.
func TestSegmentDamage(t *testing.T) {
	t.Parallel()
	blobs, err := BuildSegment(randomLabels(rand.New(rand.NewPCG(6, 6)), 12), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range blobs[0] {
		bad := bytes.Clone(blobs[0])
		bad[i] ^= 0x15
		use(t, bad)
	}
	for n := range blobs[0] {
		if _, err := LoadSegment([][]byte{blobs[0][:n]}); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(blobs[0]))
		}
	}
}

func use(t *testing.T, data []byte) {
	t.Helper()
	s, err := LoadSegment([][]byte{data})
	if err != nil {
		return
	}
	l, err := Combine([]Part{{Segment: s}, {Segment: s, Dead: func(d uint32) bool { return d%2 == 0 }}})
	if err != nil {
		t.Fatal(err)
	}
	l.Read("warfarin and zarinolex with pamiduib, nsaid", nothing)
	l.Names()
	_, _ = Merge([]Numbered{{s, func(d uint32) (uint32, bool) { return d, true }}}, 0)
}

func FuzzLoadSegment(f *testing.F) {
	for n := range 4 {
		blobs, err := BuildSegment(randomLabels(rand.New(rand.NewPCG(7, uint64(n))), n*3), 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(slices.Concat(blobs...))
	}
	f.Fuzz(func(t *testing.T, data []byte) { use(t, data) })
}

func FuzzLearn(f *testing.F) {
	f.Add("LIPITOR® (atorvastatin calcium) tablets", "Lipitor", "atorvastatin calcium and xyz")
	f.Add("", "®", "/,+")
	f.Add("A (b\xff)", "\x00", "and and")
	f.Fuzz(func(t *testing.T, title, brand, generic string) {
		docs := []Labelled{{ID: "a", Title: title, Brands: []string{brand}, Generics: []string{generic}}, {ID: "b", Brands: []string{brand}}, {ID: "c", Title: title, Generics: []string{generic}}}
		l, err := New(docs)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{title, brand, generic} {
			l.Read(q, nothing)
		}
		for i := range docs {
			docs[i].ID += "!"
		}
		naively(t, docs)
	})
}

// manyLabels are n labels of as many different medicines, brands and makers as
// DailyMed has by proportion: half of them generics that the table knows.
func manyLabels(n int) []Labelled {
	r := rand.New(rand.NewPCG(8, 8))
	docs := randomLabels(r, n)
	b, _ := bases()
	for i := range docs {
		docs[i].ID = fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.Uint32N(1<<16), r.Uint32N(1<<12), r.Uint32N(1<<12), i)
		if i%2 == 0 {
			m := b.medicines[r.IntN(len(b.medicines))].name
			docs[i] = Labelled{ID: docs[i].ID, Title: m + " tablets", Generics: []string{strings.ToUpper(m)}, Brands: []string{m}, Label: true}
		}
	}
	return docs
}

var benchSizes = []int{1_000, 100_000}

func BenchmarkBuildSegment(b *testing.B) {
	for _, n := range benchSizes {
		docs := manyLabels(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			size := 0
			for b.Loop() {
				blobs, err := BuildSegment(docs, 0)
				if err != nil {
					b.Fatal(err)
				}
				size = len(slices.Concat(blobs...))
			}
			b.ReportMetric(float64(size)/float64(n), "bytes/document")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/document")
		})
	}
}

// BenchmarkLoad is from blobs to a lexicon that reads.
func BenchmarkLoad(b *testing.B) {
	for _, n := range benchSizes {
		blobs, err := BuildSegment(manyLabels(n), 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				s, err := LoadSegment(blobs)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Combine([]Part{{Segment: s}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadLarge(b *testing.B) {
	docs := manyLabels(100_000)
	for _, parts := range []int{1, 8} {
		var ps []Part
		for i := range parts {
			ps = append(ps, Part{Segment: segment(b, docs[i*len(docs)/parts:(i+1)*len(docs)/parts])})
			if parts > 1 {
				ps[i].Dead = func(d uint32) bool { return d%10 == 0 }
			}
		}
		l, err := Combine(ps)
		if err != nil {
			b.Fatal(err)
		}
		for name, q := range map[string]string{"medicines": "pt stable on metformin and sertaline, kidney fxn just dropped to gfr 27 - stop it or halve the dose?",
			"words": "what is the right starting dose in a patient with advanced kidney disease and low blood pressure?", "class": "can I give an nsaid with a statin"} {
			b.Run(fmt.Sprintf("%d-parts/%s", parts, name), func(b *testing.B) {
				for b.Loop() {
					l.Read(q, nothing)
				}
			})
		}
	}
}
