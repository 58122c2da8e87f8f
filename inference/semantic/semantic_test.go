package semantic

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// small is a model of five words in two dimensions.
func small(t *testing.T) []byte {
	t.Helper()
	file, err := Write("small", "none", "nothing", 2,
		[]string{"[UNK]", "[CLS]", "[SEP]", "renal", "kidney", "skin", "##s"}, "kidney trouble\trenal disease\n",
		[]float32{0, -1, 0, 0, 0, 0, 3, 1, 1, 0.5, -2, 4, 0.25, 0})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEmbedSumsThePieces(t *testing.T) {
	t.Parallel()
	m, err := Read(small(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Embed(t.Context(), []string{"Renal, kidneys! renal", "", "???"})
	if err != nil {
		t.Fatal(err)
	}
	// (1 + ln 2)·(3, 1) + (1, ½) + (¼, 0), of length one; rows are rounded to 1/127.
	x, y := 3*(1+math.Ln2)+1.25, (1+math.Ln2)+0.5
	l := math.Hypot(x, y)
	if v := got[0]; math.Abs(float64(v[0])-x/l) > 0.005 || math.Abs(float64(v[1])-y/l) > 0.005 {
		t.Errorf("%v, want %.3f %.3f", v, x/l, y/l)
	}
	for i := 1; i < 3; i++ {
		if v := got[i]; v[0] != 0 || v[1] != -1 {
			t.Errorf("a text without a word is %v, want the unknown piece's direction", v)
		}
	}
	if _, err := m.Embed(cancelled(t), []string{"renal"}); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancellation: %v", err)
	}
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestADamagedFileIsRefused(t *testing.T) {
	t.Parallel()
	file := small(t)
	for _, i := range []int{0, len(magic) + 6, len(file) / 2, len(file) - 1} {
		bad := append([]byte(nil), file...)
		bad[i] ^= 1
		if _, err := Read(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for _, n := range []int{0, 7, 20, len(file) - 1} {
		if _, err := Read(file[:n]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

// What the built-in model is for: words that mean the same are near.
func TestBuiltinKnowsWhatMeansTheSame(t *testing.T) {
	t.Parallel()
	m, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, near, far string }{
		{"kidney disease", "renal impairment", "skin rash"},
		{"high blood pressure", "hypertension", "asthma"},
	} {
		vs, err := m.Embed(t.Context(), []string{c.text, c.near, c.far})
		if err != nil {
			t.Fatal(err)
		}
		if near, far := Dot(vs[0], vs[1]), Dot(vs[0], vs[2]); near < far+0.1 {
			t.Errorf("%q: %.3f to %q and %.3f to %q", c.text, near, c.near, far, c.far)
		}
		if l := Norm(vs[0]); math.Abs(float64(l)-1) > 1e-5 {
			t.Errorf("%q has length %v", c.text, l)
		}
	}
}

// BenchmarkLoad reads the built-in model: what it adds to a start.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Read([]byte(builtin)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEmbedQuery(b *testing.B) {
	m, err := Builtin()
	if err != nil {
		b.Fatal(err)
	}
	a, err := m.Adapt(b.Context(), slices.Values(labels()))
	if err != nil {
		b.Fatal(err)
	}
	q := []string{"can a patient with kidney disease take a blood thinner?"}
	for name, e := range map[string]interface {
		Embed(context.Context, []string) ([][]float32, error)
	}{"trained": m, "adapted": a} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := e.Embed(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
