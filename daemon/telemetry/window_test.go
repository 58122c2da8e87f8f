package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/guard"
	"rxedge/daemon/telemetry/drift"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// made are n observations as a busy site might have them.
func made(rng *rand.Rand, n int) []Observation {
	out := make([]Observation, n)
	for i := range out {
		o := &out[i]
		o.At, o.Generation = noon, "gen-000001"
		for f := range o.Values {
			o.Values[f] = math.NaN()
			if rng.IntN(10) > 0 {
				e := definitions[f].edges
				o.Values[f] = e[len(e)-1] * math.Pow(rng.Float64(), 3) * 1.1
			}
		}
		pick := func(words ...string) string { return words[rng.IntN(len(words))] }
		o.In = [dimensions]string{Outcome: pick("answered", "answered", "no_evidence"), Kind: pick("dose", "renal", "interaction", None), Section: pick("34068-7", "34073-7", "43685-7"),
			Class: fmt.Sprintf("class-%d", rng.IntN(60)), Mode: "extractive", Fallback: None, Severity: None, Cached: pick("yes", "no"), Cohort: pick("0-17", "18-64", "65+", None), Occupancy: centroidNames[rng.IntN(32)]}
		o.Abstained = o.In[Outcome] != "answered"
		o.Flagged = rng.IntN(9) == 0
		for s := range o.Stages {
			o.Stages[s] = math.Exp(rng.NormFloat64()*1.2 + 1)
		}
		o.Person = rng.Uint64()
		o.Projected.Space = o.Person%3 + 1
		for k := range o.Projected.Bins {
			o.Projected.Bins[k] = uint8(o.Person >> (4 * k) % 34)
		}
	}
	return out
}

func count(os []Observation) *Window {
	w := NewWindow(noon, noon.Add(time.Hour), "", "gen-000001")
	for i := range os {
		w.Add(&os[i])
		if i%14 == 0 {
			w.Judge(&os[i], i%28 == 0)
		}
		if i%7 == 0 {
			c := NewCompared()
			for k := range checks {
				if os[i].Person>>k&3 > 0 {
					c.Set(k, os[i].Person>>(8+k)&1 == 1)
				}
			}
			for m := range measures {
				c.Values[m] = float64(os[i].Person>>(16+4*m)%64) / 32
			}
			w.Concordance.Add(&c)
			var v guard.Vector
			for k := range v {
				v[k] = float64(os[i].Person>>(3*k%60)%100)/100 - 0.5
			}
			w.Explained.of(os[i].In[Cohort], reasonsOf[os[i].Person%3]).Add(&v, 0.4, 0.1)
		}
	}
	return w
}

// A whole is its parts, wherever it is cut.
func TestMergeEqualsWhole(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 1))
	all := made(rng, 1400) // a multiple of 28, so that Judge picks the same
	whole := count(all)
	bytesOf := func(w *Window) []byte {
		b, err := w.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	base := count(made(rand.New(rand.NewPCG(9, 2)), 700))
	for split := range 200 {
		at := 28 * rng.IntN(len(all)/28+1)
		a, b := count(all[:at]), count(all[at:])
		if split%2 == 1 {
			a, b = b, a
		}
		if err := a.Merge(b, false); err != nil {
			t.Fatal(err)
		}
		if a.Questions != whole.Questions {
			t.Fatal("questions")
		}
		for f := range Features() {
			if !slices.Equal(a.Bins[f], whole.Bins[f]) {
				t.Fatalf("split at %d: bins of %s differ", at, Feature(f))
			}
			x, _, err1 := drift.PSI(base.Bins[f], a.Bins[f])
			y, _, err2 := drift.PSI(base.Bins[f], whole.Bins[f])
			if err1 != nil || err2 != nil || x != y {
				t.Fatalf("PSI of %s: %g and %g (%v, %v)", Feature(f), x, y, err1, err2)
			}
		}
		for d := range a.Slices {
			for v, s := range whole.Slices[d] {
				if *a.Slices[d][v] != *s {
					t.Fatalf("split at %d: %s %s: %+v, want %+v", at, Dimension(d), v, *a.Slices[d][v], *s)
				}
			}
		}
		if !reflect.DeepEqual(a.Explained, whole.Explained) {
			t.Fatalf("split at %d: reasons differ", at)
		}
		if !reflect.DeepEqual(a.Concordance, whole.Concordance) {
			t.Fatalf("split at %d: %+v, want %+v", at, a.Concordance, whole.Concordance)
		}
		for id, s := range whole.Spaces {
			if got := a.Spaces[id]; got == nil || !reflect.DeepEqual(got, s) {
				t.Fatalf("split at %d: projections in space %d differ", at, id)
			}
		}
		for i, stage := range Stages {
			times := make([]float64, len(all))
			for j := range all {
				times[j] = all[j].Stages[i]
			}
			slices.Sort(times)
			for _, q := range []float64{0.5, 0.95, 0.99} {
				got, ok := a.Quantile(stage, q)
				want := times[int(q*float64(len(times)-1))]
				if !ok || math.Abs(got/want-1) > 0.0101 {
					t.Fatalf("%s at %g is %g, want %g", stage, q, got, want)
				}
			}
		}
		if n := a.Distinct(); math.Abs(float64(n)/float64(len(all))-1) > 0.08 {
			t.Fatalf("%d distinct of %d", n, len(all))
		}
	}
	if !bytes.Equal(bytesOf(whole), bytesOf(whole.Clone())) {
		t.Error("a clone has other bytes")
	}
	o := NewWindow(noon, noon, "other", "gen-000001")
	if err := whole.Clone().Merge(o, false); !errors.Is(err, ErrForeign) {
		t.Error("merged with another model's:", err)
	}
}

func TestEncoding(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 3, 5000} {
		w := count(made(rand.New(rand.NewPCG(5, uint64(n))), n))
		b, err := w.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again, err := UnmarshalWindow(b)
		if err != nil {
			t.Fatal(err)
		}
		b2, err := again.MarshalBinary()
		if err != nil || !bytes.Equal(b, b2) {
			t.Fatalf("%d questions: other bytes when written again (%v)", n, err)
		}
		if n == 5000 {
			t.Logf("a week of %d questions has %d bytes", n, len(b))
		}
		if n == 5000 && len(b) > 64<<10 {
			t.Errorf("a week of %d questions has %d bytes", n, len(b))
		}
		for i := range b {
			x := slices.Clone(b)
			x[i] ^= 1 << (i % 8)
			if _, err := UnmarshalWindow(x); err == nil {
				t.Fatalf("byte %d of %d was changed, and nothing noticed", i, len(b))
			}
			if n > 3 && i > 2000 {
				break
			}
		}
	}
}

func FuzzUnmarshalWindow(f *testing.F) {
	for _, n := range []int{0, 2, 40} {
		b, err := count(made(rand.New(rand.NewPCG(1, uint64(n))), n)).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-8])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := UnmarshalWindow(sealed(body))
		if err != nil {
			return
		}
		if _, err := w.MarshalBinary(); err != nil {
			t.Fatal(err)
		}
		if err := w.Clone().Merge(w, true); err != nil {
			t.Fatal(err)
		}
	})
}

// What a client calls a cohort, and an outcome that is none of ours, don't get in.
func TestNothingAPersonWrote(t *testing.T) {
	t.Parallel()
	const canary = "Erika Mustermann, 3.4.1950"
	o := Of(&answer.Answer{Question: canary, Status: answer.StatusAbstained, Reason: canary, Mode: canary, Message: canary}, nil, canary, -1, noon)
	w := NewWindow(noon, noon, "", "")
	w.Add(&o)
	b, err := w.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"Erika", "Mustermann", "1950"} {
		if bytes.Contains(b, []byte(word)) {
			t.Errorf("%q is in the window", word)
		}
	}
	if w.Slices[Cohort][Other] == nil || w.Slices[Outcome][Other] == nil {
		t.Errorf("%v", w.Slices)
	}
}
