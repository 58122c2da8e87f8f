package dense

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestFilters(t *testing.T) {
	t.Parallel()
	vs := clustered(3000, 96, 30, 1)
	r := rand.New(rand.NewPCG(1, 1))
	bitmap := func(share float64) Bitmap {
		b := make(Bitmap, (len(vs)+63)/64)
		for i := range vs {
			if r.Float64() < share {
				b[i/64] |= 1 << (i % 64)
			}
		}
		return b
	}
	some, few, none := bitmap(.5), bitmap(.01), Bitmap{}
	dead := bitmap(.3)
	segments := []*Segment{build(t, vs, BuildOptions{}), build(t, vs, BuildOptions{Lists: 40, heldOut: 150})}
	qs := clustered(20, 96, 30, 2)
	for name, o := range map[string]SearchOptions{
		"dead": {Dead: dead}, "half": {Allow: some}, "few": {Allow: few}, "none": {Allow: none},
		"half of the living": {Allow: some, Dead: dead}, "few of the living": {Allow: few, Dead: dead},
		"a short bitmap": {Allow: some[:20]}, "dead, short": {Dead: dead[:9]},
		"few, a range": {Within: []Range{{700, 720}}}, "few, ranges": {Within: []Range{{2990, 5000}, {63, 65}, {64, 128}, {9, 9}, {5, 4}}, Dead: dead},
		"half, a range": {Within: []Range{{1000, 2500}}}, "half, ranges": {Within: []Range{{1700, 3000}, {0, 600}}, Dead: dead},
		"no range": {Within: []Range{}}, "a range beyond": {Within: []Range{{3000, 1 << 31}}},
		"half, both": {Within: []Range{{100, 2900}}, Allow: some, Dead: dead}, "few, both": {Within: []Range{{100, 300}}, Allow: few},
	} {
		for _, s := range segments {
			o.Vector = func(r int) []float32 { return vs[r] }
			sum := 0.0
			for _, q := range qs {
				want := bruteForce(vs, q, 10, func(r int) bool { return allowed(o, r) })
				got, err := s.Search(nil, q, 10, o)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != len(want) {
					t.Fatalf("%s: %d hits, want %d", name, len(got), len(want))
				}
				for _, h := range got {
					if !allowed(o, int(h.Row)) {
						t.Fatalf("%s: row %d is found", name, h.Row)
					}
				}
				if len(want) > 0 {
					sum += recallOf(got, want) / 20
				} else {
					sum = 1
				}
				if strings.HasPrefix(name, "few") && !exact(got, want) {
					t.Errorf("%s: not exact", name)
				}
			}
			if sum < .99 {
				t.Errorf("%s, %d lists: recall %v", name, s.Lists(), sum)
			}
		}
	}
}

// allowed is the filters' plain meaning.
func allowed(o SearchOptions, r int) bool {
	in := o.Within == nil
	for _, w := range o.Within {
		in = in || uint64(r) >= uint64(w.First) && uint64(r) < uint64(w.End)
	}
	return in && !o.Dead.Has(r) && (o.Allow == nil || o.Allow.Has(r))
}

// What one query may find says nothing about the next.
func TestFiltersEnd(t *testing.T) {
	t.Parallel()
	vs := clustered(1100, 64, 9, 1)
	s := build(t, vs, BuildOptions{})
	q := vs[3]
	want, err := s.Search(nil, q, 20, SearchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range [][]Range{{{0, 1100}}, {{0, 1}, {1099, 1100}}, {{64, 128}}, {{5, 9}}} {
		for _, r := range w {
			if _, err := s.Search(nil, q, 20, SearchOptions{Within: w[:1]}); err != nil {
				t.Fatal(err)
			}
			got, err := s.Search(nil, q, 20, SearchOptions{Within: []Range{r}, Exact: true})
			if err != nil || len(got) != min(20, int(r.End-r.First)) {
				t.Errorf("%d rows of %v, %v", len(got), r, err)
			}
		}
	}
	if got, err := s.Search(nil, q, 20, SearchOptions{}); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v after filters, %v before, %v", got, want, err)
	}
}

func TestBitmap(t *testing.T) {
	t.Parallel()
	b := Bitmap{^uint64(0), 1<<3 | 1<<40}
	for n, want := range map[int]int{0: 0, 5: 5, 64: 64, 67: 64, 68: 65, 104: 65, 105: 66, 1000: 66} {
		if got := b.count(nil, 0, 2, n); got != want {
			t.Errorf("%d of the first %d, want %d", got, n, want)
		}
	}
	for from := range 130 {
		for end := from; end <= 192; end += 1 + from%7 {
			c := make(Bitmap, 3)
			c.SetRange(from, end)
			if got := c.count(nil, 0, 3, 192); got != end-from || got > 0 && (!c.Has(from) || !c.Has(end-1)) {
				t.Fatalf("%d rows from %d to %d", got, from, end)
			}
		}
	}
	if got := b.count(Bitmap{1}, 0, 2, 1000); got != 65 || !b.Has(67) || b.Has(66) || b.Has(128) {
		t.Errorf("%d without the first", got)
	}
}
