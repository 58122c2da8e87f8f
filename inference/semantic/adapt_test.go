package semantic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// labels of medicines that no text of the training has.
func labels() []string {
	var out []string
	for i := range 40 {
		out = append(out,
			fmt.Sprintf("Zorvexaban lowers clotting. Bleeding is seen in %d patients. Stop zorvexaban before surgery.", i),
			fmt.Sprintf("Quilmestat calms asthma. Wheezing returns in %d patients. Rinse the mouth after quilmestat.", i))
	}
	return out
}

func adapted(t *testing.T, texts []string) *Adapted {
	t.Helper()
	m, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Adapt(t.Context(), slices.Values(texts))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A name that was never seen in training lies with the words that it is used with.
func TestAdaptLearnsNames(t *testing.T) {
	t.Parallel()
	a := adapted(t, labels())
	vs, err := a.Embed(t.Context(), []string{"zorvexaban", "bleeding after surgery", "wheezing in asthma", ""})
	if err != nil {
		t.Fatal(err)
	}
	near, far := Dot(vs[0], vs[1]), Dot(vs[0], vs[2])
	if near < far+0.3 {
		t.Errorf("zorvexaban is %.3f near to bleeding and %.3f to wheezing", near, far)
	}
	for i, v := range vs {
		if l := Norm(v); len(v) != a.Info().Dimension || math.Abs(float64(l)-1) > 1e-5 {
			t.Errorf("vector %d has %d numbers and length %v", i, len(v), l)
		}
	}
}

func TestAdaptIsRepeatedExactly(t *testing.T) {
	t.Parallel()
	a, b := adapted(t, labels()), adapted(t, labels())
	state := a.State()
	if !bytes.Equal(state, b.State()) {
		t.Fatal("the same texts gave two results")
	}
	m, _ := Builtin()
	r, err := m.Restore(state)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"zorvexaban and bleeding", "renal impairment"}
	x, _ := a.Embed(t.Context(), texts)
	y, _ := r.Embed(t.Context(), texts)
	for i := range x {
		if !slices.Equal(x[i], y[i]) {
			t.Errorf("%q is embedded otherwise after a restart", texts[i])
		}
	}
	for _, i := range []int{0, 20, len(state) / 2, len(state) - 1} {
		bad := slices.Clone(state)
		bad[i] ^= 1
		if _, err := m.Restore(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestAdaptToLittle(t *testing.T) {
	t.Parallel()
	for _, texts := range [][]string{nil, {""}, {"one text"}, {"the same", "the same"}, {"a few words", "other words"}} {
		a := adapted(t, texts)
		m, _ := Builtin()
		if _, err := m.Restore(a.State()); err != nil {
			t.Errorf("%q: %v", texts, err)
		}
		vs, err := a.Embed(t.Context(), []string{"words of a text"})
		if err != nil || math.Abs(float64(Norm(vs[0]))-1) > 1e-5 {
			t.Errorf("%q: %v %v", texts, vs, err)
		}
	}
	m, _ := Builtin()
	if _, err := m.Adapt(cancelled(t), slices.Values(labels())); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancellation: %v", err)
	}
}

// Directions that Latent finds are orthonormal and span what the singular vectors
// of a small matrix span.
func TestLatent(t *testing.T) {
	t.Parallel()
	// Two groups of texts, of words 0–1 and of words 2–3, the first twice as heavy.
	m := &Sparse{Columns: 4}
	for range 6 {
		m.Append([]int32{0, 1}, []float32{2, 2})
		m.Append([]int32{2, 3}, []float32{1, 1})
	}
	w := Latent(m, 2, 3, 2, 1)
	row := func(i int) []float32 { return w[2*i : 2*i+2] }
	for i := range 4 {
		for j := range 4 {
			want := 0.0
			if i/2 == j/2 {
				want = 0.5 // of (1,1,0,0)/√2 and (0,0,1,1)/√2
			}
			if got := float64(Dot(row(i), row(j))); math.Abs(got-want) > 1e-4 {
				t.Errorf("words %d and %d: %.4f, want %.1f", i, j, got, want)
			}
		}
	}
}

// BenchmarkAdapt fits the model to made-up labels and embeds them all, as a build of
// so many passages does.
func BenchmarkAdapt(b *testing.B) {
	for _, n := range []int{2000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { adaptTo(b, n) })
	}
}

func adaptTo(b *testing.B, n int) {
	m, err := Builtin()
	if err != nil {
		b.Fatal(err)
	}
	// 90 words each of 20,000, rare ones seldom.
	rng := rand.New(rand.NewPCG(1, 1))
	texts := make([]string, n)
	for i := range texts {
		var t strings.Builder
		for range 90 {
			fmt.Fprintf(&t, "w%d ", int(20000*math.Pow(rng.Float64(), 4)))
		}
		texts[i] = t.String()
	}
	fit := time.Duration(0)
	for b.Loop() {
		start := time.Now()
		a, err := m.Adapt(b.Context(), slices.Values(texts))
		if err != nil {
			b.Fatal(err)
		}
		fit += time.Since(start)
		if _, err := a.Embed(b.Context(), texts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(fit.Seconds()/float64(b.N), "s/adaptation")
	b.ReportMetric(float64(n*b.N)/(b.Elapsed()-fit).Seconds(), "embedded/s")
}

// Nothing is known of a word that neither the training nor the texts had, whatever
// its pieces are like; grammar alone is nothing to search by.
func TestKnows(t *testing.T) {
	t.Parallel()
	a := adapted(t, labels())
	for text, want := range map[string]bool{
		"zorvexaban": true, "Bleeding?": true, "wondermab": false, "contraindicatio": false, "what is the": false, "what is wondermab": false,
		"wondermab bleeding": true, "": false, "???": false,
	} {
		if got := a.Knows(text); got != want {
			t.Errorf("Knows(%q) is %v", text, got)
		}
	}
	vs, err := a.Embed(t.Context(), []string{"bleeding after surgery", "wondermab bleeding after surgery"})
	if err != nil {
		t.Fatal(err)
	}
	if c := Dot(vs[0], vs[1]); c < 0.9999 {
		t.Errorf("a word of which nothing is known turns a text by %.4f", 1-c)
	}
}

// What people say lies near what the indexed texts call it, though they use some
// of its words for something else.
func TestAdaptedSayings(t *testing.T) {
	t.Parallel()
	var texts []string
	for i := range 60 {
		texts = append(texts, fmt.Sprintf("Anticoagulants raise the risk of hemorrhage; %d had one.", i),
			fmt.Sprintf("It lowers blood pressure in hypertension; blood pressure fell by %d.", i),
			fmt.Sprintf("Renal impairment: reduce the dose to %d mg.", i),
			fmt.Sprintf("Skin rash was seen in %d patients.", i))
	}
	a := adapted(t, texts)
	for lay, want := range map[string]int{"Can I take it with blood thinners?": 0, "blood thinner": 0, "kidney disease": 2, "high blood pressure": 1, "red spots": 3} {
		vs, err := a.Embed(t.Context(), append([]string{lay}, texts[:4]...))
		if err != nil {
			t.Fatal(err)
		}
		best := 1
		for i := range vs[1:] {
			if Dot(vs[0], vs[1+i]) > Dot(vs[0], vs[best]) {
				best = 1 + i
			}
		}
		if best-1 != want {
			t.Errorf("%q is nearest to %q, not to %q", lay, texts[best-1], texts[want])
		}
	}
}

func TestParseSayings(t *testing.T) {
	t.Parallel()
	got, err := ParseSayings("# what it is\na b|c\td|e f\n")
	if err != nil || len(got) != 1 || !slices.Equal(got[0].Lay, []string{"a b", "c"}) || !slices.Equal(got[0].Clinical, []string{"d", "e f"}) {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"a", "\tb", "a\t", "a\tb\tc"} {
		if _, err := ParseSayings(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// What the model was trained to stays the same, whatever texts it is fitted to.
func TestTrainedPartStays(t *testing.T) {
	t.Parallel()
	m, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	const question = "What is the maximum daily dose of metformin?"
	plain, err := m.Embed(t.Context(), []string{question})
	if err != nil {
		t.Fatal(err)
	}
	for name, texts := range map[string][]string{"labels": labels(), "few": labels()[:40]} {
		a, err := m.Adapt(t.Context(), slices.Values(texts))
		if err != nil {
			t.Fatal(err)
		}
		vs, err := a.Embed(t.Context(), []string{question})
		if err != nil {
			t.Fatal(err)
		}
		v := Trained(vs[0])
		if c := Dot(v, plain[0]) / Norm(v); math.Abs(float64(c)-1) > 1e-5 {
			t.Errorf("fitted to %s: the cosine to the model's own is %g", name, c)
		}
	}
	if Trained(make([]float32, LearnedDimension)) != nil {
		t.Error("a vector without a trained part has one")
	}
}
