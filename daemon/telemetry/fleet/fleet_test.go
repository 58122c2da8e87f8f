package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/telemetrytest"
)

// Values by the definition, all ranks gone through, in numpy: the least rate at which
// the step-up rule rejects.
func TestAdjusted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ p, want []float64 }{} {
		for i, q := range adjusted(c.p) {
			if math.Abs(q-c.want[i]) > 1e-12 {
				t.Errorf("%v: %g, want %g", c.p, q, c.want[i])
			}
		}
	}
}

// released is what a site's month sends upstream.
func released(t testing.TB, site string, seed uint64, change telemetrytest.Change) []Day {
	t.Helper()
	var out []Day
	var waiting *telemetry.Window
	for _, w := range telemetrytest.Month(seed, change) {
		o, rest, err := w.Release(waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting = rest; o != nil {
			out = append(out, Day{site, "", o})
		}
	}
	return out
}

// fleetOf sites, of which some have a change from telemetrytest.Changed on.
func fleetOf(t testing.TB, seed uint64, sites int, changes map[int]telemetrytest.Change) []Day {
	var out []Day
	for i := range sites {
		out = append(out, released(t, fmt.Sprintf("box-%02d", i), 1000*seed+uint64(i), changes[i])...)
	}
	return out
}

var week = DefaultOptions(telemetrytest.First.AddDate(0, 0, 28))

func replays(usual int) uint64 {
	if n, err := strconv.Atoi(os.Getenv("RXEDGE_REPLAYS")); err == nil {
		usual = n
	}
	return uint64(usual)
}

// In fleets on which nothing happens no site stands out, and neither they nor a site
// have an alarm.
func TestQuietFleets(t *testing.T) {
	t.Parallel()
	const sites = 6
	alarms, out, n := 0, 0, replays(1)
	for seed := range n {
		days := fleetOf(t, seed, sites, nil)
		r, err := Drift(days, week)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Models[0].StandingOut {
			out++
			t.Log(o.Text)
		}
		f, err1 := Fairness(days, week)
		q, err2 := Quality(days, week)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for _, o := range append(f.StandingOut, q.StandingOut...) {
			out++
			t.Log(o.Text)
		}
		for _, m := range r.Models {
			for _, a := range m.Alarms {
				alarms++
				t.Log("fleet:", a.Text)
			}
			for _, s := range m.Sites {
				for _, a := range s.Alarms {
					alarms++
					t.Log(s.Site, a.Text)
				}
			}
		}
		if c := Causes(r, days, nil); len(c) > 0 {
			t.Errorf("%d causes, %s", len(c), c[0].Key())
		}
	}
	t.Logf("%d quiet fleets of %d sites: %d stand out, %d alarms of a week, of sites and fleets", n, sites, out, alarms)
	if out > int(n)/10 || alarms > int(n)/4 {
		t.Errorf("%d stand out, %d alarms", out, alarms)
	}
}

// The site that changed stands out, in what changed, and no other does; the fleet has a
// cause for training anew that names it and what it was made from.
func TestChangedSite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change      telemetrytest.Change
		of, feature string
		value       string
		cause       string
	}{
		"a new class": {func(rng *rand.Rand, o *telemetry.Observation) {
			if rng.Float64() < 0.25 {
				o.In[telemetry.Class] = "glp-1-agonist"
			}
		}, "drift", "class", "glp-1-agonist", "qwen-1b/data_drift/class"},
		"long questions": {func(_ *rand.Rand, o *telemetry.Observation) { o.Values[telemetry.QuestionWords] += 6 }, "drift", "question_words", "", "qwen-1b/data_drift/question_words"},
		"a cohort that is refused": {func(rng *rand.Rand, o *telemetry.Observation) {
			if o.In[telemetry.Cohort] == "65+" && rng.Float64() < 0.25 {
				telemetrytest.Abstain(o)
			}
		}, "fairness", "refused", "65+", ""},
		"answers that are not borne out": {func(rng *rand.Rand, o *telemetry.Observation) {
			if !o.Abstained {
				o.Ungrounded = o.Ungrounded || rng.Float64() < 0.2
			}
		}, "quality", "ungrounded", "", "qwen-1b/concept_drift/ungrounded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sizes := []int{4}
			if os.Getenv("RXEDGE_REPLAYS") != "" {
				sizes = []int{3, 8}
			}
			for seed := range replays(1) {
				for _, sites := range sizes {
					days := fleetOf(t, 50+seed, sites, map[int]telemetrytest.Change{1: c.change})
					r, err := Drift(days, week)
					if err != nil {
						t.Fatal(err)
					}
					found := r.Models[0].StandingOut
					switch c.of {
					case "fairness":
						f, err := Fairness(days, week)
						if err != nil {
							t.Fatal(err)
						}
						found = f.StandingOut
					case "quality":
						q, err := Quality(days, week)
						if err != nil {
							t.Fatal(err)
						}
						found = q.StandingOut
					}
					if !slices.ContainsFunc(found, func(o Outlier) bool {
						return o.Site == "box-01" && o.Feature == c.feature && (c.value == "" || o.Value == c.value)
					}) {
						t.Errorf("seed %d, %d sites: not found: %+v", seed, sites, found)
					}
					for _, o := range found {
						if o.Site != "box-01" {
							t.Errorf("seed %d, %d sites: %s", seed, sites, o.Text)
						}
					}
					causes := Causes(r, days, nil)
					i := slices.IndexFunc(causes, func(x Cause) bool { return x.Key() == c.cause })
					if (c.cause != "") != (i >= 0) {
						t.Errorf("seed %d, %d sites: %d causes, not %s", seed, sites, len(causes), c.cause)
					}
					if i >= 0 && (fmt.Sprint(causes[i].Sites) != "[box-01]" || causes[i].Lineage.Windows != 7 || causes[i].Lineage.Baseline == nil) {
						t.Errorf("seed %d, %d sites: %v, %d windows", seed, sites, causes[i].Sites, causes[i].Lineage.Windows)
					}
				}
			}
		})
	}
}

// Sites that are too small, or too few, are not compared, and are named.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	days := fleetOf(t, 7, 4, nil)
	small := telemetry.NewWindow(week.Since, week.Since.AddDate(0, 0, 1), telemetrytest.Model, telemetrytest.Generation)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		o := telemetrytest.Question(rng)
		small.Add(&o)
	}
	days = append(days, Day{"kiosk", "", small})
	r, err := Drift(days, week)
	if err != nil {
		t.Fatal(err)
	}
	if l := r.Models[0].LeftOut; len(l) != 1 || l[0].Site != "kiosk" || l[0].Questions != 60 {
		t.Errorf("%+v", l)
	}
	two, err := Quality(between(fleetOf(t, 7, 2, nil), week.Since, week.Until), week)
	if err != nil {
		t.Fatal(err)
	}
	if len(two.LeftOut) != 2 || two.Sites[0].Abstained == nil {
		t.Errorf("%+v", two.LeftOut)
	}
	for name, f := range map[string]func() (int, error){
		"drift":    func() (int, error) { r, err := Drift(nil, week); return len(r.Models), err },
		"fairness": func() (int, error) { r, err := Fairness(nil, week); return len(r.Groups), err },
		"quality":  func() (int, error) { r, err := Quality(nil, week); return len(r.Sites), err },
	} {
		if n, err := f(); n != 0 || err != nil {
			t.Errorf("%s of nothing: %d, %v", name, n, err)
		}
	}
}

// What sites send adds up to what they counted, but for what waits: a cohort's few
// errors are there.
func TestFeedbackArrives(t *testing.T) {
	t.Parallel()
	whole, err := telemetry.Sum(telemetrytest.Month(4, nil))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := sum(released(t, "box-00", 4, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []string{"0-17", "18-64", "65+"} {
		a, b := whole.Slices[telemetry.Cohort][g].Judged, sent.Slices[telemetry.Cohort][g].Judged
		t.Logf("%s: counted %+v, sent %+v", g, a, b)
		for _, d := range []int64{a.TP - b.TP, a.FP - b.FP, a.TN - b.TN, a.FN - b.FN} {
			if d < 0 || d >= telemetry.LeastCell {
				t.Errorf("%s: counted %+v, sent %+v", g, a, b)
			}
		}
	}
}
