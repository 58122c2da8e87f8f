package guard

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func random(rng *rand.Rand) (v Vector) {
	m := Builtin()
	for i := range v {
		v[i] = m.Mean[i] + m.Scale[i]*rng.NormFloat64()
	}
	return v
}

// shapley by the definition: the mean over all orders of what a feature adds.
func shapley(worth func(set int) float64, n int) []float64 {
	phi := make([]float64, n)
	var orders func(done, at int)
	count := 0.0
	var walk []int
	orders = func(done, at int) {
		if at == n {
			count++
			set := 0
			for _, i := range walk {
				phi[i] += worth(set|1<<i) - worth(set)
				set |= 1 << i
			}
			return
		}
		for i := range n {
			if done>>i&1 == 0 {
				walk = append(walk, i)
				orders(done|1<<i, at+1)
				walk = walk[:len(walk)-1]
			}
		}
	}
	orders(0, 0)
	for i := range phi {
		phi[i] /= count
	}
	return phi
}

// worth of a coalition, by the definition: nothing is built up.
func worth(m *Model, v *Vector, set int) float64 {
	sum := 0.0
	for b := range m.Background {
		u := m.Background[b]
		for i := range u {
			if set>>i&1 == 1 {
				u[i] = v[i]
			}
		}
		sum += m.Wrong(&u)
	}
	return sum / float64(len(m.Background))
}

// The values add up to the probability less the baseline, and every coalition is
// worth what it is by brute force.
func TestShapley(t *testing.T) {
	t.Parallel()
	m := Builtin()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		v := random(rng)
		phi, base := m.Shapley(&v)
		sum := 0.0
		for _, p := range phi {
			sum += p
		}
		if d := math.Abs(sum - (m.Wrong(&v) - base)); d > 1e-9 {
			t.Errorf("the values are off their sum by %g", d)
		}
	}
	v := random(rng)
	active := m.active(&v)
	fast := make([]float64, 1<<len(active))
	m.worths(&v, active, fast)
	slow := make([]float64, len(fast))
	for s := range slow {
		set := 0
		for i, f := range active {
			set |= s >> i & 1 << f
		}
		slow[s] = worth(m, &v, set)
		if d := math.Abs(fast[s] - slow[s]); d > 1e-9 {
			t.Fatalf("coalition %b is worth %v, want %v", s, fast[s], slow[s])
		}
	}
	// All orders of seven features, the others as they are in the answer.
	const n = 7
	rest := (len(slow) - 1) &^ (1<<n - 1)
	want := shapley(func(set int) float64 { return slow[set|rest] }, n)
	small := make([]float64, 1<<n)
	for s := range small {
		small[s] = slow[s|rest]
	}
	got := values(small, n)
	for i := range want {
		if d := math.Abs(got[i] - want[i]); d > 1e-9 {
			t.Errorf("feature %d: %v, want %v by all orders", i, got[i], want[i])
		}
	}
	phi, _ := m.Shapley(&v)
	for i, p := range values(slow, len(active)) {
		if math.Abs(p-phi[active[i]]) > 1e-9 {
			t.Errorf("feature %d: %v and %v", active[i], p, phi[active[i]])
		}
	}
	// What is left out adds nothing to any coalition.
	for f := range Size {
		if !slices.Contains(active, f) {
			for _, set := range []int{0, 1, 5, 1<<Size - 1} {
				if worth(m, &v, set|1<<f) != worth(m, &v, set&^(1<<f)) || phi[f] != 0 {
					t.Errorf("feature %d is not nothing", f)
				}
			}
		}
	}
}

// A feature that no member reads gets nothing, and two that do the same get the same.
func TestShapleyOfLinear(t *testing.T) {
	t.Parallel()
	m := &Model{Members: []Member{{Weights: make([]float64, Size)}}, Stack: []float64{1}, Background: []Vector{{}}}
	for i := range m.Scale {
		m.Scale[i] = 1
	}
	m.Members[0].Weights[2], m.Members[0].Weights[5] = 1.5, 1.5
	v := Vector{2: 1, 5: 1, 7: 3}
	phi, _ := m.Shapley(&v)
	if phi[7] != 0 || math.Abs(phi[2]-phi[5]) > 1e-12 || phi[2] <= 0 {
		t.Errorf("%v", phi)
	}
}

func TestLime(t *testing.T) {
	t.Parallel()
	m := Builtin()
	v := random(rand.New(rand.NewPCG(3, 4)))
	a, b := m.Lime(&v, 7), m.Lime(&v, 7)
	ja, _ := json.Marshal(a)
	jb, _ := json.Marshal(b)
	if !bytes.Equal(ja, jb) || len(a.Weights) != Size || !(a.R2 >= 0 && a.R2 <= 1) {
		t.Errorf("%s\n%s", ja, jb)
	}
	// Of a model that is nearly linear the fit is nearly all.
	l := &Model{Members: []Member{{Weights: make([]float64, Size)}}, Stack: []float64{1}, Background: []Vector{{}}}
	for i := range l.Scale {
		l.Scale[i] = 1
	}
	l.Members[0].Weights[3] = 0.2
	fit := l.Lime(&Vector{}, 1)
	if fit.R2 < 0.99 || fit.Weights[0].Feature != Names[3] || math.Abs(fit.Weights[0].Weight-0.05) > 0.005 {
		t.Errorf("%+v", fit)
	}
}

// What is not known is not trusted, and JSON can say it.
func TestNotANumber(t *testing.T) {
	t.Parallel()
	m := Builtin()
	v := m.Mean
	v[3] = math.NaN()
	d := m.Decide(v, true)
	if d.Wrong != 1 || d.Doubt != High || d.Contributions != nil {
		t.Errorf("%+v", d)
	}
	if _, err := json.Marshal(d); err != nil {
		t.Error(err)
	}
}

func TestDecisionInWords(t *testing.T) {
	t.Parallel()
	m := Builtin()
	d := m.Decide(m.Mean, true)
	if len(d.Contributions) != Size || len(d.Summary) == 0 || !d.Advisory {
		t.Errorf("%+v", d)
	}
	for _, c := range d.Contributions {
		if c.Text == "" || strings.Contains(c.Text, "%!") {
			t.Errorf("%+v", c)
		}
	}
	if m.Decide(m.Mean, false).Contributions != nil {
		t.Error("explained without being asked")
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	b, err := Builtin().Encode()
	if err != nil || !bytes.Equal(b, embedded) {
		t.Errorf("%v: the model is not written as it was read", err)
	}
}

func FuzzDecode(f *testing.F) {
	small := *Builtin() // a whole one is slow to vary
	small.Members, small.Stack, small.Background = small.Members[:1], small.Stack[:1], small.Background[:1]
	b, err := small.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"members":[{"trees":[{"f":[99,0,0]}]}],"stack":[1],"background":[[]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Decode(b); err == nil {
			m.Decide(Vector{}, false)
		}
	})
}

func BenchmarkWrong(b *testing.B) {
	m := Builtin()
	v := m.Mean
	for b.Loop() {
		m.Wrong(&v)
	}
}

func BenchmarkExplain(b *testing.B) {
	m := Builtin()
	for b.Loop() {
		m.Decide(m.Mean, true)
	}
}
