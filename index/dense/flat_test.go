package dense

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func random(n, dim int) [][]float32 {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([][]float32, n)
	for i := range out {
		out[i] = make([]float32, dim)
		for j := range out[i] {
			out[i][j] = float32(r.NormFloat64())
		}
		if err := Normalise(out[i]); err != nil {
			panic(err)
		}
	}
	return out
}

func flat(t *testing.T, vs [][]float32, dim int) *Flat {
	t.Helper()
	f := NewFlat(dim, len(vs))
	w := NewBlockWriter(dim, func(b []byte) error { return f.Load(bytes.Clone(b)) })
	for i, v := range vs {
		if err := w.Add(uint32(i*2), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSearchIsExact(t *testing.T) {
	t.Parallel()
	for _, dim := range []int{1, 7, 64, 384} {
		vs := random(3000, dim)
		f := flat(t, vs, dim)
		if f.Len() != 3000 || !slices.Equal(f.Vector(34), vs[17]) || f.Vector(35) != nil {
			t.Errorf("dimension %d: vectors are not what was written", dim)
		}
		q := vs[5]
		got, err := f.Search(q, 10)
		if err != nil {
			t.Fatal(err)
		}
		var want []Scored
		for i, v := range vs {
			s := 0.0
			for j := range v {
				s += float64(v[j]) * float64(q[j])
			}
			want = append(want, Scored{uint32(i * 2), s})
		}
		slices.SortFunc(want, order)
		for i := range got {
			if math.Abs(got[i].Score-want[i].Score) > 1e-5 || dim > 1 && got[i].Passage != want[i].Passage {
				t.Errorf("dimension %d, place %d: %v, want %v", dim, i, got[i], want[i])
			}
		}
		if len(got) != 10 {
			t.Errorf("%d hits", len(got))
		}
	}
}

func TestEqualVectorsGoByPassage(t *testing.T) {
	t.Parallel()
	vs := make([][]float32, 100)
	for i := range vs {
		vs[i] = []float32{1, 0}
	}
	got, err := flat(t, vs, 2).Search([]float32{1, 0}, 3)
	if err != nil || len(got) != 3 || got[0].Passage != 0 || got[1].Passage != 2 || got[2].Passage != 4 {
		t.Errorf("%v %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, v := range [][]float32{{0, 0}, {float32(math.NaN()), 1}, {float32(math.Inf(1)), 1}} {
		if Normalise(v) == nil {
			t.Errorf("%v is taken for a vector", v)
		}
	}
	f := flat(t, random(2, 4), 4)
	if _, err := f.Search([]float32{1}, 3); err == nil {
		t.Error("a query of another dimension is searched")
	}
	w := NewBlockWriter(4, func(b []byte) error { return nil })
	if w.Add(0, []float32{1}) == nil {
		t.Error("a vector of another dimension is written")
	}
	if got, err := NewFlat(4, 0).Search([]float32{1, 0, 0, 0}, 3); err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
}

func FuzzLoad(f *testing.F) {
	w := NewBlockWriter(3, func(b []byte) error { f.Add(bytes.Clone(b)); return nil })
	_ = w.Add(7, []float32{1, 0, 0})
	_ = w.Add(9, []float32{0, 1, 0})
	_ = w.Flush()
	f.Add([]byte{255, 255, 255, 255, 3, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		x := NewFlat(3, 0)
		if x.Load(b) == nil {
			if _, err := x.Search([]float32{1, 0, 0}, 2); err != nil {
				t.Error(err)
			}
		}
	})
}
