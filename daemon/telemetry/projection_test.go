package telemetry

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Directions are as they were drawn, for good: windows of other ones could not be
// compared. The vectors' length counts for nothing.
func TestProject(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	v, w := make([]float32, 64), make([]float32, 64)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
		w[i] = 0.25 * v[i]
	}
	p := Project(5, v)
	if p.Space != 5 || p.Bins != Project(5, w).Bins {
		t.Errorf("%v, and shorter %v", p, Project(5, w))
	}
	if want := [Projections]uint8{18, 13, 12, 24, 25, 14, 17, 9}; p.Bins != want {
		t.Errorf("bins %v, want %v: the directions are others", p.Bins, want)
	}
	for _, none := range []Projected{Project(0, v), Project(5, nil), Project(5, make([]float32, 64)), Project(5, []float32{float32(math.NaN())}), Project(5, []float32{float32(math.Inf(1)), 1})} {
		if none != (Projected{}) {
			t.Errorf("%v has a place", none)
		}
	}
	// Where every direction is as likely a projection has mean 0 and variance 1.
	sums, squares, n := 0.0, 0.0, 2000
	for range n {
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		x := float64(Project(1, v).Bins[0]) - 16.5
		sums, squares = sums+x/4, squares+x*x/16
	}
	if mean, variance := sums/float64(n), squares/float64(n); math.Abs(mean) > 0.1 || math.Abs(variance-1) > 0.15 {
		t.Errorf("mean %.3f, variance %.3f", mean, variance)
	}
}

// What leaves is of eleven at least, what waits goes later, nothing is lost; and there
// is room for so many spaces.
func TestProjectionsRelease(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	whole := count(nil)
	left := count(nil)
	var waiting *Window
	for range 20 {
		w := count(made(rng, 150))
		if err := whole.Merge(w, false); err != nil {
			t.Fatal(err)
		}
		out, rest, err := w.Release(waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting = rest; out == nil {
			continue
		}
		if !out.Covered() {
			t.Fatal("a release tells of too few")
		}
		if err := left.Merge(out, false); err != nil {
			t.Fatal(err)
		}
	}
	told := int64(0)
	for id, s := range whole.Spaces {
		for k := range s.Bins {
			for i, n := range s.Bins[k] {
				told += left.Spaces[id].Bins[k][i]
				if got := left.Spaces[id].Bins[k][i] + waiting.Spaces[id].Bins[k][i]; got != n {
					t.Fatalf("space %d, projection %d, bin %d: %d of %d", id, k, i, got, n)
				}
			}
		}
		if less := whole.Less(left).Spaces[id]; sumOf(less.Bins[0]) != sumOf(waiting.Spaces[id].Bins[0]) {
			t.Error("what is left is not what waits")
		}
	}
	if told == 0 || len(whole.Spaces) != 3 {
		t.Errorf("%d told in %d spaces", told, len(whole.Spaces))
	}
	few := count(made(rng, 9))
	for _, s := range few.Spaces {
		if s.covered() {
			t.Error("nine questions are covered")
		}
	}
	many := NewWindow(noon, noon, "", "")
	for id := range uint64(2 * MostSpaces) {
		many.Add(&Observation{Projected: Projected{Space: id + 1}})
	}
	if len(many.Spaces) != MostSpaces {
		t.Errorf("%d spaces", len(many.Spaces))
	}
}

func sumOf(ns []int64) (t int64) {
	for _, n := range ns {
		t += n
	}
	return t
}

// A window of the schema before is read, as one without projections.
func TestFirstSchema(t *testing.T) {
	t.Parallel()
	w := NewWindow(noon, noon.Add(time.Hour), "", "gen-000001")
	os := made(rand.New(rand.NewPCG(5, 6)), 30)
	for i := range os {
		os[i].Projected = Projected{}
		w.Add(&os[i])
	}
	b, err := w.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	none := newConcordance()
	old := append([]byte(nil), b[:len(b)-9-len(Explained{}.append(none.append(nil)))]...) // without reasons, pairs, and the number of spaces, which is none
	old[len(magic)] = 1
	got, err := UnmarshalWindow(sealed(old))
	if err != nil || got.Questions != 30 || len(got.Spaces) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, v := range []byte{0, Schema + 1} {
		old[len(magic)] = v
		if _, err := UnmarshalWindow(sealed(old)); !errors.Is(err, ErrSchema) {
			t.Errorf("schema %d: %v", v, err)
		}
	}
}
