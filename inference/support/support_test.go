package support

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"rxedge/inference"
)

var (
	_ inference.Entailer = (*Checker)(nil)
	_ inference.Reranker = (*Checker)(nil)
)

const metformin = "Metformin Dosage and administration\n" +
	"The recommended starting dose of metformin is 500 mg orally twice a day, given with meals. " +
	"Increase the dose in increments of 500 mg weekly, up to a maximum dose of 2550 mg per day. " +
	"Starting metformin is not recommended in patients with an eGFR between 30 and 45 mL/min/1.73 m². " +
	"Discontinue metformin if the eGFR falls below 30 mL/min/1.73 m²."

func entail(t testing.TB, premise, hypothesis string) inference.Probabilities {
	t.Helper()
	ps, err := Builtin().Entail(context.Background(), []inference.Pair{{Premise: premise, Hypothesis: hypothesis}})
	if err != nil {
		t.Fatal(err)
	}
	return ps[0]
}

// What the passage says is supported; what differs from it in a number, a unit, a
// limit, a denial, how often or the medicine never is.
func TestEntail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claim     string
		supported bool
	}{
		{"The recommended starting dose of metformin is 500 mg orally twice a day.", true},
		{"The starting dose is 500 mg two times a day, with meals.", true},
		{"The maximum dose of metformin is 2.55 g per day.", true},
		{"Starting metformin is not recommended with an eGFR between 30 and 45 mL/min/1.73 m².", true},
		{"It is not recommended to start metformin in patients with an eGFR between 30 and 45 mL/min/1.73 m².", true},
		{"Discontinue metformin if the eGFR falls below 30 mL/min/1.73 m².", true},

		{"The recommended starting dose of metformin is 5000 mg orally twice a day.", false},
		{"The recommended starting dose of metformin is 500 mcg orally twice a day.", false},
		{"The recommended starting dose of metformin is 500 mg orally once a day.", false},
		{"The recommended starting dose of metformin is 500 mg intravenously twice a day.", false},
		{"The recommended starting dose of warfarin is 500 mg orally twice a day.", false},
		{"The recommended starting dose of metformin is 2550 mg orally twice a day.", false},
		{"Starting metformin is recommended in patients with an eGFR between 30 and 45 mL/min/1.73 m².", false},
		{"Starting metformin is not recommended in patients with an eGFR between 30 and 60 mL/min/1.73 m².", false},
		{"Discontinue metformin if the eGFR rises above 30 mL/min/1.73 m².", false},
		{"Starting metformin is not recommended in patients with an eGFR between 45 and 45 mL/min/1.73 m².", false},
		{"Increase the dose in increments of 500 mg weekly, up to a maximum dose of 500 mg per day.", false},
		{"Do not increase the dose in increments of 500 mg weekly.", false},
		{"Metformin cures baldness in most patients.", false},
		{"", false},
		{"Yes.", false},
	} {
		p := entail(t, metformin, c.claim)
		if (p.Entail >= Threshold) != c.supported {
			t.Errorf("%q: %+v, want supported %v", c.claim, p, c.supported)
		}
		if s := p.Entail + p.Neutral + p.Contradict; math.Abs(float64(s)-1) > 1e-5 || p.Entail < 0 || p.Neutral < 0 || p.Contradict < 0 {
			t.Errorf("%q: %+v are no probabilities", c.claim, p)
		}
	}
}

// What was so in some of a number was not so in all of it.
func TestPart(t *testing.T) {
	t.Parallel()
	const first = "Horizant Adverse reactions\nThe 600-mg dose of HORIZANT was a treatment arm in 2 of the 3 double-blind, placebo-controlled, 12-week clinical trials. "
	const second = "The 1,200-mg dose of HORIZANT was a treatment arm in each of the 3 double-blind, placebo-controlled, 12-week clinical trials."
	for claim, supported := range map[string]bool{
		"The 600-mg dose of HORIZANT was a treatment arm in 2 of the 3 double-blind, placebo-controlled, 12-week clinical trials.":      true,
		"The 1,200-mg dose of HORIZANT was a treatment arm in each of the 3 double-blind, placebo-controlled, 12-week clinical trials.": true,
		"The 600-mg dose of HORIZANT was a treatment arm in each of the 3 double-blind, placebo-controlled, 12-week clinical trials.":   false,
	} {
		// The letters of footnotes keep a splitter from cutting there.
		const placebo = "a  Placebo was a treatment arm in each of the 3 double-blind, placebo-controlled, 12-week clinical trials.  b  "
		for _, premise := range []string{first + second, first + "c " + second, placebo + first + " c  " + second, placebo + first + " c"} {
			if supported && !strings.Contains(premise, claim) {
				continue
			}
			if p := entail(t, premise, claim); (p.Entail >= Threshold) != supported {
				t.Errorf("%q beside %q: %+v, want supported %v", claim, premise, p, supported)
			}
		}
	}
}

// However much else agrees, a changed dose stays under the ceiling, and under the
// same claim with the right dose.
func TestNothingOutweighsAChangedDose(t *testing.T) {
	t.Parallel()
	words := strings.Fields("adults patients hypertension oral therapy meals tablets recommended treatment renal severe daily elderly infusion")
	drugs := strings.Fields("metformin lisinopril atorvastatin warfarin amoxicillin sertraline")
	rapid.Check(t, func(t *rapid.T) {
		drug := rapid.SampledFrom(drugs).Draw(t, "drug")
		dose := rapid.IntRange(1, 999).Draw(t, "dose")
		other := rapid.IntRange(1, 999).Filter(func(n int) bool { return n != dose }).Draw(t, "other")
		unit := rapid.SampledFrom(strings.Fields("mg mcg mL units tablets")).Draw(t, "unit")
		more := strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 12).Draw(t, "words"), " ")
		say := func(n int) string {
			return strings.TrimSpace("The dose of "+drug+" is "+itoa(n)+" "+unit+" in "+more) + "."
		}
		m := Builtin().m
		right, _ := m.Judge(m.ClaimVector(say(dose), say(dose), drug))
		wrong, contradicted := m.Judge(m.ClaimVector(say(other), say(dose), drug))
		if wrong > ceiling || wrong > right {
			t.Fatalf("%q beside %q: %.3f, the right dose %.3f", say(other), say(dose), wrong, right)
		}
		if contradicted < wrong {
			t.Fatalf("%q beside %q: contradicted %.3f, supported %.3f", say(other), say(dose), contradicted, wrong)
		}
	})
	// By construction, for any features at all: a conflict is never over the ceiling.
	rapid.Check(t, func(t *rapid.T) {
		x := make([]float32, claimFeatures)
		for i := range x {
			x[i] = rapid.Float32Range(0, 20).Draw(t, "x")
		}
		x[fNumbersMissing] = float32(rapid.IntRange(1, 3).Draw(t, "missing"))
		if e, _ := Builtin().m.Judge(x); e > ceiling {
			t.Fatalf("%v: %.3f", x, e)
		}
	})
}

// metforminLabel is longer than what is judged by its best window alone.
const metforminLabel = metformin + " Diarrhea, nausea and vomiting were reported in more than 5 % of patients. " +
	"Lactic acidosis is rare and serious. Take the tablets with a meal. Do not use metformin in patients with metabolic acidosis."

// Beside a whole passage, too, what it says is supported, and what conflicts with
// every window of it never is.
func TestPassage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claim     string
		supported bool
	}{
		{"The recommended starting dose of metformin is 500 mg orally twice a day.", true},
		{"The maximum dose of metformin is 2.55 g per day.", true},
		{"Discontinue metformin if the eGFR falls below 30 mL/min/1.73 m².", true},
		{"Do not use metformin in patients with metabolic acidosis.", true},

		{"The recommended starting dose of metformin is 5000 mg orally twice a day.", false},
		{"The recommended starting dose of metformin is 500 mcg orally twice a day.", false},
		{"The maximum dose of metformin is 25.5 g per day.", false},
		{"The recommended starting dose of warfarin is 500 mg orally twice a day.", false},
		{"Discontinue metformin if the eGFR falls below 60 mL/min/1.73 m².", false},
		{"Metformin cures baldness in most patients.", false},
		{"", false},
		{"Yes.", false},
		{"Metformin.", false},
		{"Metformin is a medicine.", false},
	} {
		p := entail(t, metforminLabel, c.claim)
		if (p.Entail >= Threshold) != c.supported {
			t.Errorf("%q: %+v, want supported %v", c.claim, p, c.supported)
		}
		if s := p.Entail + p.Neutral + p.Contradict; math.Abs(float64(s)-1) > 1e-5 || p.Entail < 0 || p.Neutral < 0 || p.Contradict < 0 {
			t.Errorf("%q: %+v are no probabilities", c.claim, p)
		}
	}
	m := Builtin().m
	if n := len(m.passage(metforminLabel).sentences); n <= windowed {
		t.Fatalf("%d sentences are judged by their best window", n)
	}
	// A number that the passage does not state conflicts with every window, and the
	// forest of passages is never over the ceiling then.
	rapid.Check(t, func(t *rapid.T) {
		dose := rapid.IntRange(1, 999).Filter(func(n int) bool { return n != 500 && n != 45 && n != 30 && n != 5 }).Draw(t, "dose")
		unit := rapid.SampledFrom(strings.Fields("mg mcg mL units tablets")).Draw(t, "unit")
		begin := rapid.SampledFrom([]string{"The recommended starting dose of metformin is ", "Increase the dose in increments of ", "Take the tablets with a meal, at most "}).Draw(t, "begin")
		ps, err := Builtin().Entail(context.Background(), []inference.Pair{{Premise: metforminLabel, Hypothesis: begin + itoa(dose) + " " + unit + "."}})
		if err != nil || ps[0].Entail > ceiling {
			t.Fatalf("%d %s: %+v %v", dose, unit, ps, err)
		}
		if p := rapid.Float64Range(0, 1).Draw(t, "p"); ResolvePassage(true, p) > ceiling || ResolvePassage(false, p) != p {
			t.Fatalf("%v: %v, %v", p, ResolvePassage(true, p), ResolvePassage(false, p))
		}
	})
}

func itoa(n int) string {
	if n >= 1000 {
		return "1,000"
	}
	return strings.TrimLeft(string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)}), "0")
}

func TestRerank(t *testing.T) {
	t.Parallel()
	passages := []string{
		"Warfarin Dosage\nThe dose of warfarin is adjusted by the INR.",
		"Metformin Adverse reactions\nDiarrhea, nausea and vomiting were reported.",
		metformin,
		"",
	}
	s, err := Builtin().Rerank(context.Background(), "What is the starting dose of metformin?", passages)
	if err != nil || len(s) != len(passages) {
		t.Fatal(s, err)
	}
	for i, v := range s {
		if i != 2 && v >= s[2] || v < 0 || v > 1 || math.IsNaN(float64(v)) {
			t.Errorf("passage %d scores %v, the right one %v", i, v, s[2])
		}
	}
	if s, err := Builtin().Rerank(context.Background(), "x", nil); err != nil || len(s) != 0 {
		t.Error(s, err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Builtin().Entail(ctx, []inference.Pair{{Premise: "a", Hypothesis: "b"}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := Builtin().Rerank(ctx, "a", []string{"b"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What Encode writes is read back, and a damaged file is refused, never followed.
func TestModelFile(t *testing.T) {
	t.Parallel()
	m, err := decode(embedded)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Encode()) != string(embedded) {
		t.Error("the model is not what it was after reading and writing")
	}
	for _, n := range []int{0, 3, len(magic), 100, len(embedded) / 2, len(embedded) - 1} {
		if _, err := decode(embedded[:n]); err == nil {
			t.Errorf("the first %d bytes are taken for a model", n)
		}
	}
	if _, err := decode(append(append([]byte(nil), embedded...), 0)); err == nil {
		t.Error("a longer file is taken for a model")
	}
	loop := &Model{Support: Forest{Roots: []int32{0}, Nodes: []Node{{Feature: 0, Left: 0}, {Feature: -1}}}}
	if _, err := decode(loop.Encode()); err == nil {
		t.Error("a tree that leads back to itself is taken for a model")
	}
}

func FuzzEntail(f *testing.F) {
	f.Add(metformin, "The dose is 500 mg.")
	f.Add(metforminLabel, "The dose is 5 mg.")
	f.Add("\n", "don't")
	f.Add("IL-2 ’s 5-", "’n't 1.73 m2 µg ≥ 5%")
	f.Fuzz(func(t *testing.T, premise, claim string) {
		p := entail(t, premise, claim)
		if s := float64(p.Entail + p.Neutral + p.Contradict); !(math.Abs(s-1) < 1e-4) {
			t.Fatalf("%+v", p)
		}
	})
}

func BenchmarkEntail(b *testing.B) {
	c := Builtin()
	for b.Loop() {
		_, _ = c.Entail(context.Background(), []inference.Pair{{Premise: metformin, Hypothesis: "The recommended starting dose of metformin is 500 mg orally twice a day."}})
	}
}

// BenchmarkLoad reads the embedded model: what it adds to a start.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := decode(embedded); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEntailPassage(b *testing.B) {
	c := Builtin()
	for b.Loop() {
		_, _ = c.Entail(context.Background(), []inference.Pair{{Premise: metforminLabel, Hypothesis: "The recommended starting dose of metformin is 500 mg orally twice a day."}})
	}
}

func BenchmarkRerank(b *testing.B) {
	c := Builtin()
	for b.Loop() {
		_, _ = c.Rerank(context.Background(), "What is the starting dose of metformin?", []string{metformin})
	}
}
