package fusion

import (
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestRRF(t *testing.T) {
	t.Parallel()
	got := RRF([][]string{{"a", "b", "c"}, {"c", "d", "a"}}, K, 0)
	// a: 1/61+1/63, c: 1/63+1/61, b: 1/62, d: 1/62. Equal ones by id.
	want := []struct {
		id    string
		score float64
		ranks [2]int
	}{
		{"a", 1./61 + 1./63, [2]int{1, 3}},
		{"c", 1./63 + 1./61, [2]int{3, 1}},
		{"b", 1. / 62, [2]int{2, 0}},
		{"d", 1. / 62, [2]int{0, 2}},
	}
	if len(got) != len(want) {
		t.Fatalf("%d items, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.ID != w.id || math.Abs(g.Score-w.score) > 1e-15 || [2]int(g.Ranks) != w.ranks {
			t.Errorf("place %d: %+v, want %+v", i, g, w)
		}
	}
}

func TestRRFKeepsTheFirstPlaceOfAnItemNamedTwice(t *testing.T) {
	t.Parallel()
	got := RRF([][]int{{7, 8, 7}}, 0, 0)
	if len(got) != 2 || got[0].ID != 7 || got[0].Score != 1 || got[1].Score != 0.5 {
		t.Errorf("%+v", got)
	}
	if got := RRF[int](nil, K, 0); len(got) != 0 {
		t.Errorf("no lists: %+v", got)
	}
}

// The best few are the first of all, whichever way they are fused.
func TestBest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var lists [][]int
		var sources []Source[int]
		for range 2 {
			list := rapid.SliceOfN(rapid.IntRange(0, 40), 0, 40).Draw(t, "list")
			lists = append(lists, list)
			s := Source[int]{Weight: rapid.Float64Range(0, 1).Draw(t, "weight")}
			for i, id := range list {
				s.Items = append(s.Items, Scored[int]{id, float64(100 - i/3)})
			}
			sources = append(sources, s)
		}
		most := rapid.IntRange(1, 50).Draw(t, "most")
		all := RRF(lists, K, 0)
		if got := RRF(lists, K, most); !reflect.DeepEqual(got, all[:min(most, len(all))]) {
			t.Fatalf("RRF: %v of %v", got, all)
		}
		all = Convex(sources, 0)
		if got := Convex(sources, most); !reflect.DeepEqual(got, all[:min(most, len(all))]) {
			t.Fatalf("Convex: %v of %v", got, all)
		}
	})
}
