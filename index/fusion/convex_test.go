package fusion

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestConvex(t *testing.T) {
	t.Parallel()
	words := []Scored[string]{{"a", 10}, {"b", 6}, {"c", 2}}
	near := []Scored[string]{{"c", 0.9}, {"d", 0.8}, {"b", 0.5}}
	got := Convex([]Source[string]{{words, 0.75}, {near, 0.25}}, 0)
	// By hand: a .75·1, b .75·.5 + .25·0, c .75·0 + .25·1, d .25·.75.
	want := []Ranked[string]{
		{"a", 0.75, []int{1, 0}, []float64{0.75, 0}}, {"b", 0.375, []int{2, 3}, []float64{0.375, 0}},
		{"c", 0.25, []int{3, 1}, []float64{0, 0.25}}, {"d", 0.1875, []int{0, 2}, []float64{0, 0.1875}},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, w := range want {
		if got[i].ID != w.ID || math.Abs(got[i].Score-w.Score) > 1e-12 || !slices.Equal(got[i].Ranks, w.Ranks) ||
			math.Abs(got[i].Shares[0]-w.Shares[0])+math.Abs(got[i].Shares[1]-w.Shares[1]) > 1e-12 {
			t.Errorf("%d: %+v, want %+v", i, got[i], w)
		}
	}
	for _, c := range []struct {
		name    string
		sources []Source[string]
		want    []string
	}{
		{"a source that found nothing is as if it were not there", []Source[string]{{words, 0.01}, {nil, 0.99}}, []string{"a", "b", "c"}},
		{"weight 0 adds its items behind", []Source[string]{{words, 1}, {near, 0}}, []string{"a", "b", "c", "d"}},
		{"equal scores", []Source[string]{{[]Scored[string]{{"y", 3}, {"x", 3}}, 1}}, []string{"x", "y"}},
		{"twice", []Source[string]{{[]Scored[string]{{"x", 3}, {"y", 2}, {"x", 1}}, 1}}, []string{"x", "y"}},
		{"nothing", nil, nil},
		{"no weights", []Source[string]{{words, 0}}, []string{"a", "b", "c"}},
	} {
		var ids []string
		for _, r := range Convex(c.sources, 0) {
			ids = append(ids, r.ID)
			if math.IsNaN(r.Score) {
				t.Errorf("%s: %s scores NaN", c.name, r.ID)
			}
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: %v, want %v", c.name, ids, c.want)
		}
	}
}

// What scale and offset a source scores in makes no difference, and an item that
// is no worse in any source is no worse in the end.
func TestConvexScales(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) []Scored[int] {
			var out []Scored[int]
			for _, id := range rapid.SliceOfNDistinct(rapid.IntRange(0, 20), 1, 10, rapid.ID[int]).Draw(t, label) {
				out = append(out, Scored[int]{id, float64(rapid.IntRange(0, 50).Draw(t, "score"))})
			}
			return out
		}
		a, b := draw("a"), draw("b")
		w := rapid.Float64Range(0, 1).Draw(t, "w")
		one := Convex([]Source[int]{{a, w}, {b, 1 - w}}, 0)
		scaled := slices.Clone(b)
		for i := range scaled {
			scaled[i].Score = 4*scaled[i].Score - 32
		}
		two := Convex([]Source[int]{{a, w}, {scaled, 1 - w}}, 0)
		if len(one) != len(two) {
			t.Fatal(one, two)
		}
		at := map[int]float64{}
		for _, r := range two {
			at[r.ID] = r.Score
		}
		for _, r := range one {
			if math.Abs(at[r.ID]-r.Score) > 1e-9 {
				t.Fatalf("%v in one scale, %v in the other", r, at[r.ID])
			}
			if r.Score < 0 || r.Score > 1+1e-12 {
				t.Fatalf("%v is outside 0 to 1", r)
			}
		}
	})
}
