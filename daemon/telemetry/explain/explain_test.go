package explain

import (
	"encoding/json"
	"log/slog"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/guard"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/telemetrytest"
)

// Values of sklearn.metrics.roc_auc_score and mutual_info_score / ln 2.
func TestProxiesAsSklearn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b      []int64
		auc, bits float64
	}{
		{[]int64{0, 11}, []int64{11, 0}, 1, 1.0000000000000002},
		{[]int64{5, 7, 9}, []int64{5, 7, 9}, 0.5, 0},
		{[]int64{0, 53}, []int64{0, 8}, 0.5, 0},
		{[]int64{57, 59, 55, 22, 43, 58, 34}, []int64{55, 35, 10, 27, 36, 18, 42}, 0.50101170294214148, 0.058289624072985928},
		{[]int64{56, 12, 39, 5}, []int64{8, 31, 29, 29}, 0.2766016200294551, 0.2358225041909722},
		{[]int64{51, 30, 21, 57, 53}, []int64{20, 12, 13, 9, 31}, 0.47744173140954499, 0.030419035916511083},
		{[]int64{38, 53, 56, 32, 34, 4}, []int64{16, 59, 55, 1, 29, 29}, 0.4456269963182406, 0.11758553168152928},
		{[]int64{6, 28, 22, 13, 48, 41}, []int64{10, 46, 32, 11, 39, 27}, 0.60042194092827006, 0.024893852282834149},
	} {
		if got := auc(c.a, c.b); math.Abs(got-c.auc) > 1e-12 {
			t.Errorf("AUC of %v and %v: %g, want %g", c.a, c.b, got, c.auc)
		}
		if got := information(c.a, c.b); math.Abs(got-c.bits) > 1e-12 {
			t.Errorf("bits of %v and %v: %g, want %g", c.a, c.b, got, c.bits)
		}
	}
}

func vectors(n int) []guard.Vector {
	rng := rand.New(rand.NewPCG(5, 5))
	m := guard.Builtin()
	out := make([]guard.Vector, n)
	for i := range out {
		out[i] = m.Background[rng.IntN(len(m.Background))]
		for f := range out[i] {
			if rng.IntN(3) == 0 {
				out[i][f] = m.Background[rng.IntN(len(m.Background))][f]
			}
		}
	}
	return out
}

// The values of all features add up to the doubt less the baseline, summed and merged
// in any order; one feature's is that of the definition, all coalitions gone through.
func TestShapleySums(t *testing.T) {
	t.Parallel()
	m := guard.Builtin()
	vs := vectors(5)
	whole, a, b := NewTable(time.Time{}, time.Time{}), NewTable(time.Time{}, time.Time{}), NewTable(time.Time{}, time.Time{})
	for i := range vs {
		whole.Add(m, "65+", Refused, &vs[i])
		if i%3 == 0 {
			a.Add(m, "65+", Refused, &vs[i])
		} else {
			b.Add(m, "65+", Refused, &vs[i])
		}
	}
	b.Merge(a)
	w, s := whole.Why["65+"][Refused], b.Why["65+"][Refused]
	sum := 0.0
	for i := range w.Values {
		sum += w.Values[i]
		if math.Abs(w.Values[i]-s.Values[i]) > 1e-9 {
			t.Errorf("%s: %g merged, %g at once", guard.Names[i], s.Values[i], w.Values[i])
		}
	}
	if w.N != 5 || math.Abs(sum-(w.Doubt-w.Baseline)) > 1e-9 {
		t.Errorf("%d answers: the values add up to %g, the doubt less the baseline is %g", w.N, sum, w.Doubt-w.Baseline)
	}
	// By brute force, of the first answer: every coalition of all features.
	v := &vs[0]
	phi, _ := m.Shapley(v)
	// The last feature of those that differ, against all coalitions of the others that
	// differ: features that don't differ add nothing.
	all := []int{}
	for f := range guard.Size {
		for _, x := range m.Background {
			if x[f] != v[f] {
				all = append(all, f)
				break
			}
		}
	}
	worth := func(set int) float64 {
		sum := 0.0
		for _, x := range m.Background {
			for k, f := range all {
				if set>>k&1 == 1 {
					x[f] = v[f]
				}
			}
			sum += m.Wrong(&x)
		}
		return sum / float64(len(m.Background))
	}
	n := len(all)
	factorial := func(k int) float64 { g, _ := math.Lgamma(float64(k + 1)); return math.Exp(g) }
	want := 0.0
	for set := range 1 << (n - 1) {
		k := bits.OnesCount(uint(set))
		want += factorial(k) * factorial(n-k-1) / factorial(n) * (worth(set|1<<(n-1)) - worth(set))
	}
	if got := phi[all[n-1]]; math.Abs(got-want) > 1e-9 {
		t.Errorf("%s: %g, by all %d coalitions %g", guard.Names[all[n-1]], got, 1<<(n-1), want)
	}
}

// A box's week is kept over a restart, tells of no fewer than eleven, and is small.
func TestKeeper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := func() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }
	sent := telemetry.NewWindow(now(), now().Add(time.Hour), "m", "g")
	sink := func(model, generation, cohort, what string, values *guard.Vector, doubt, baseline float64) {
		if sent.Explained[cohort] == nil {
			sent.Explained[cohort] = map[string]*telemetry.Reasons{}
		}
		if sent.Explained[cohort][what] == nil {
			sent.Explained[cohort][what] = &telemetry.Reasons{}
		}
		sent.Explained[cohort][what].Add(values, doubt, baseline)
	}
	open := func() *Keeper {
		k, err := Open(dir, guard.Builtin(), sink, nil, now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open()
	rng := rand.New(rand.NewPCG(6, 6))
	for i, v := range vectors(15) {
		o := telemetrytest.Question(rng)
		o.In[telemetry.Cohort] = []string{"65+", "18-64"}[min(i/12, 1)]
		if o.In[telemetry.Cohort] == "65+" {
			o.Values[telemetry.QuestionWords] += 20
		}
		k.Observe(&answer.Answer{ID: string(rune('a' + i)), Decision: &guard.Decision{Wrong: 0.9, Threshold: 0.5, Features: v}}, &o)
	}
	for i := range 60 {
		o := telemetrytest.Question(rng)
		o.In[telemetry.Cohort] = []string{"18-64", "0-17"}[i%2]
		k.Observe(nil, &o)
	}
	k.Judge("a")
	k.Judge("a")
	k.Judge("nobody's")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		k.mu.Lock()
		n := int64(0)
		for _, w := range k.table.Why {
			for _, s := range w {
				n += s.N
			}
		}
		k.mu.Unlock()
		if n == 16 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d explained", n)
		}
	}
	k.Close()
	k = open()
	defer k.Close()
	r := k.Report()
	if len(r.Why) != 1 || r.Why[0].Cohort != "65+" || r.Why[0].What != Refused || r.Why[0].N != 12 || r.Hidden < 2 {
		t.Errorf("%+v", r)
	}
	sum := 0.0
	for _, d := range r.Why[0].Drivers {
		sum += d.Points / 100
	}
	if math.Abs(sum-(r.Why[0].Doubt-r.Why[0].Baseline)) > 1e-9 {
		t.Errorf("drivers add up to %g of %+v", sum, r.Why[0])
	}
	// The same is in what leaves the box, but for what is of fewer than eleven.
	sent.Questions = 100
	out, rest, err := sent.Release(nil)
	if err != nil || len(out.Explained["65+"]) != 1 || rest.Explained["18-64"][Refused].N != 3 || rest.Explained["65+"][Wrong].N != 1 || len(out.Explained["18-64"]) != 0 || !out.Covered() {
		t.Fatalf("%v: %+v leaves, %+v waits", err, out.Explained, rest.Explained)
	}
	there := Of(out.Explained).All().Report()
	if len(there.Why) != 1 || there.Why[0].Cohort != Everybody || there.Why[0].N != 12 {
		t.Fatalf("%+v", there)
	}
	for i, d := range there.Why[0].Drivers[:5] {
		if w := r.Why[0].Drivers[i]; w.Feature != d.Feature || math.Abs(w.Points-d.Points) > 0.0051 {
			t.Errorf("%+v at the centre, %+v on the box", d, w)
		}
	}
	if p := r.Proxies[0]; p.Feature != "question_words" || p.Cohort != "65+" || p.AUC < 0.9 {
		t.Errorf("%+v", p)
	}
	full := NewTable(now(), now())
	for i := range 40 {
		for _, what := range []string{Refused, Wrong, Usual} {
			full.add(string(rune('a'+i)), what, &Sums{N: 400, Doubt: 1.23456789012345, Values: vectors(1)[0]})
		}
		for range 200 {
			o := telemetrytest.Question(rng)
			o.In[telemetry.Cohort] = string(rune('a' + i))
			full.Count(&o)
		}
	}
	if b, err := json.Marshal(full); err != nil || len(b) > 64<<10 || len(full.Why) > mostCohorts+1 {
		t.Errorf("%d bytes of %d cohorts, %v", len(b), len(full.Why), err)
	}
}
