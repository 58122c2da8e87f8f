package trial

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/rollout/sequential"
)

var start = time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)

// tally of many trials.
type tally struct {
	decided map[Decision]int
	n       int // observations, in all
}

func (c tally) String() string { return fmt.Sprintf("%v, after %d on average", c.decided, c.n) }

// shadows runs trials in the shadow: each question is grounded in the champion's answer
// with probability a and in the challenger's with b; with probability together the same
// chance decides both.
func shadows(runs int, seed uint64, margin, a, b, together float64) tally {
	out := tally{decided: map[Decision]int{}}
	rng := rand.New(rand.NewPCG(seed, 1))
	for range runs {
		t := New(Config{Margin: margin}, start)
		v := Verdict{Decision: Undecided}
		for i := 0; i < 20000 && v.Decision == Undecided; i++ {
			x := rng.Float64()
			y := x
			if rng.Float64() >= together {
				y = rng.Float64()
			}
			t.Shadowed(Outcome{Grounded: x < a}, Outcome{Grounded: y < b}, true)
			v = t.Verdict(start)
		}
		out.decided[v.Decision]++
		out.n += v.N
	}
	out.n /= runs
	return out
}

// splits runs trials in which clients are answered by one arm each, for a day. Clients
// differ: what one asks is grounded more often by up to spread than what another does.
func splits(runs int, seed uint64, clients, perDay int, a, b, spread float64, days int) tally {
	out := tally{decided: map[Decision]int{}}
	rng := rand.New(rand.NewPCG(seed, 2))
	for r := range runs {
		t := New(Config{ID: strconv.Itoa(r), Percent: 50}, start)
		ease := make([]float64, clients)
		for i := range ease {
			ease[i] = spread * (2*rng.Float64() - 1)
		}
		v := Verdict{Decision: Undecided}
		for d := 0; d < days && v.Decision == Undecided; d++ {
			now := start.Add(time.Duration(d) * 24 * time.Hour)
			for c := range clients {
				name := fmt.Sprintf("client %d of %d", c, r)
				p := [2]float64{a, b}[t.Assign(name, now)] + ease[c]
				for range perDay {
					t.Answered(name, t.Assign(name, now), now, Outcome{Grounded: rng.Float64() < p})
				}
			}
			v = t.Verdict(now.Add(24 * time.Hour))
		}
		out.decided[v.Decision]++
		out.n += v.N
	}
	out.n /= runs
	return out
}

// runsOf simulated trials: 100, or as many as RXEDGE_TRIAL_RUNS says.
func runsOf() int {
	if n, err := strconv.Atoi(os.Getenv("RXEDGE_TRIAL_RUNS")); err == nil && n > 0 {
		return n
	}
	return 100
}

// A challenger whose answers are grounded 5 % more often is promoted, one that is as good or
// worse is stopped, in 95 of 100 trials; at most 5 of 100 promote what is no better.
// The verdict is asked for after every question.
func TestRightVerdict(t *testing.T) {
	t.Parallel()
	runs := runsOf()
	for _, c := range []struct {
		name string
		want Decision
		got  tally
	}{
		{"shadow, better", Promote, shadows(runs, 1, 0, 0.80, 0.85, 0.5)},
		{"shadow, equal", Stop, shadows(runs, 2, 0, 0.80, 0.80, 0.5)},
		{"shadow, worse", Stop, shadows(runs, 3, 0, 0.80, 0.75, 0.5)},
		{"shadow, better, by chances of its own", Promote, shadows(runs, 4, 0, 0.80, 0.85, 0)},
		{"shadow, equal, by chances of its own", Stop, shadows(runs, 5, 0, 0.80, 0.80, 0)},
		{"shadow, equal, may be a little worse", Promote, shadows(runs, 9, 0.05, 0.80, 0.80, 0.5)},
		{"shadow, alike in all, may be a little worse", Promote, shadows(runs, 10, 0.05, 0.80, 0.80, 1)},
		{"shadow, worse by what it may be", Stop, shadows(runs, 11, 0.05, 0.80, 0.75, 0.5)},
		{"split, better", Promote, splits(runs, 6, 60, 10, 0.80, 0.85, 0.1, 200)},
		{"split, equal", Stop, splits(runs, 7, 60, 10, 0.80, 0.80, 0.1, 200)},
		{"split, worse", Stop, splits(runs, 8, 60, 10, 0.80, 0.75, 0.1, 200)},
	} {
		t.Logf("%-38s of %d: %v", c.name, runs, c.got)
		if right := c.got.decided[c.want]; right*100 < 95*runs {
			t.Errorf("%s: %d of %d are %s: %v", c.name, right, runs, c.want, c.got)
		}
		if c.want != Promote && c.got.decided[Promote]*100 > 5*runs {
			t.Errorf("%s: %d of %d promoted", c.name, c.got.decided[Promote], runs)
		}
	}
}

// The wealth of a sequence of differences, as testdata/wealth.py reckons it.
func TestWealthAgainstPython(t *testing.T) {
	t.Parallel()
	better, not := sequential.NewMean(0, 0.05), sequential.NewMean(-0.05, 0.05)
	x := uint32(12345)
	for range 500 {
		x = x*1664525 + 1013904223
		d := 0.0
		switch u := float64(x>>8) / (1 << 24); {
		case u < 0.20:
			d = 1
		case u < 0.32:
			d = -1
		case u < 0.40:
			d = 0.25
		}
		better.Observe(d)
		not.Observe(-d)
	}
	if math.Abs(better.Log-wealthBetter) > 1e-9 || math.Abs(not.Log-wealthNotBetter) > 1e-9 {
		t.Errorf("%.12f and %.12f, want %.12f and %.12f", better.Log, not.Log, wealthBetter, wealthNotBetter)
	}
}

// A client stays with its arm for a day, shares come out as they were set, and what
// was stopped answers nobody.
func TestAssign(t *testing.T) {
	t.Parallel()
	tr := New(Config{ID: "t", Percent: 20}, start)
	n, moved := 0, 0
	for i := range 5000 {
		c := fmt.Sprint("client", i)
		a := tr.Assign(c, start)
		if a != tr.Assign(c, start.Add(time.Hour)) {
			t.Fatal("a client changed its arm within a day")
		}
		n += int(a)
		if a != tr.Assign(c, start.Add(48*time.Hour)) {
			moved++
		}
	}
	if n < 900 || n > 1100 || moved < 1400 || moved > 1800 {
		t.Errorf("%d of 5000 to the challenger, want about 1000; %d moved, want about 1600", n, moved)
	}
	if tr.Assign("", start) != Champion {
		t.Error("a client without an id is answered by the champion")
	}
	for range 50 {
		tr.Shadowed(Outcome{Grounded: true}, Outcome{Failed: true}, false)
	}
	if v := tr.Verdict(start); v.Decision != Stop || !strings.Contains(v.Reason, "failed") {
		t.Fatalf("%+v", v)
	}
	for i := range 100 {
		if tr.Assign(fmt.Sprint(i), start) != Champion {
			t.Fatal("the stopped challenger answers somebody")
		}
	}
}

// Guards stop what is better by one figure and does harm by another.
func TestGuards(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 9))
	for want, o := range map[string]func() Outcome{
		"longer than":  func() Outcome { return Outcome{Grounded: true, Took: 1500 * time.Millisecond} },
		"failed":       func() Outcome { return Outcome{Grounded: true, Failed: rng.IntN(10) == 0} },
		"abstains":     func() Outcome { a := rng.IntN(3) == 0; return Outcome{Grounded: !a, Abstained: a} },
		"is borne out": func() Outcome { return Outcome{Grounded: true, Took: 100 * time.Millisecond} },
	} {
		tr := New(Config{Budget: time.Second}, start)
		for i := 0; i < 3000 && tr.Verdict(start).Decision == Undecided; i++ {
			tr.Shadowed(Outcome{Grounded: rng.IntN(2) == 0}, o(), true)
		}
		v := tr.Verdict(start)
		if want == "is borne out" {
			want = "are borne out"
			if v.Decision != Promote || v.N < Default().Least {
				t.Errorf("%+v", v)
			}
		} else if v.Decision != Stop {
			t.Errorf("%s: %+v", want, v)
		}
		if !strings.Contains(v.Reason, want) {
			t.Errorf("%q does not say %q", v.Reason, want)
		}
	}
}

// A restart loses nothing and gives nobody a second look: the same questions after it
// come to the same evidence.
func TestKeptOverRestart(t *testing.T) {
	t.Parallel()
	a, b := New(Config{ID: "k", Percent: 30, Budget: time.Second}, start), New(Config{ID: "k", Percent: 30, Budget: time.Second}, start)
	rng := rand.New(rand.NewPCG(4, 4))
	for i := range 300 {
		now := start.Add(time.Duration(i) * time.Hour)
		x, y := Outcome{Grounded: rng.IntN(2) == 0, Took: time.Duration(rng.IntN(900)) * time.Millisecond}, Outcome{Grounded: rng.IntN(2) == 0}
		for _, t := range []*Trial{a, b} {
			t.Shadowed(x, y, i%3 == 0)
			c := fmt.Sprint("c", i%7)
			t.Answered(c, t.Assign(c, now), now, x)
		}
		if i%50 == 0 {
			raw, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(raw), `"c1"`) {
				t.Fatal("a client's id is kept")
			}
			b = &Trial{}
			if err := json.Unmarshal(raw, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) != string(y) {
		t.Errorf("\n%s\n%s", x, y)
	}
	for _, bad := range []string{`{}`, `{"Better":{"n":-1}}`, strings.Replace(string(x), `"N":1`, `"N":-1`, 1), `[`} {
		if bad == string(x) {
			continue
		}
		if err := json.Unmarshal([]byte(bad), &Trial{}); err == nil {
			t.Errorf("read: %.60s", bad)
		}
	}
}

// The challenger works in the shadow for its share of the time, never beside somebody who asks.
func TestShadowIsPaced(t *testing.T) {
	t.Parallel()
	tr := New(Config{Capacity: 0.2}, start)
	var spent time.Duration
	for i := range 6000 { // a question every 100 ms, each takes the challenger 300 ms
		now := start.Add(time.Duration(i) * 100 * time.Millisecond)
		if _, yes := tr.Shadow(now, 1); yes {
			t.Fatal("while somebody was asking")
		}
		if done, yes := tr.Shadow(now, 0); yes {
			if _, again := tr.Shadow(now, 0); again {
				t.Fatal("two at a time")
			}
			done(300 * time.Millisecond)
			spent += 300 * time.Millisecond
		}
	}
	if share := spent.Seconds() / 600; share < 0.15 || share > 0.22 {
		t.Errorf("it worked for %.3f of the time, want about 0.2", share)
	}
}

func TestMayPromote(t *testing.T) {
	t.Parallel()
	pub, key, _ := ed25519.GenerateKey(nil)
	_, other, _ := ed25519.GenerateKey(nil)
	keys := map[string]ed25519.PublicKey{"ann": pub}
	yes := Verdict{Decision: Promote}
	approval := func(change func(*Approval), k ed25519.PrivateKey) *Approval {
		a := &Approval{Trial: "t", From: "1.2.3", To: "1.3.0", By: "ann", At: start}
		a.Sign(k)
		if change != nil {
			change(a)
		}
		return a
	}
	for _, c := range []struct {
		name     string
		p        Policy
		v        Verdict
		from, to string
		a        *Approval
		want     error
	}{
		{"approved", NeedsApproval, yes, "1.2.3", "1.3.0", approval(nil, key), nil},
		{"no approval", NeedsApproval, yes, "1.2.3", "1.2.4", nil, ErrNotApproved},
		{"a patch", PatchAlone, yes, "1.2.3", "1.2.4", nil, nil},
		{"no patch", PatchAlone, yes, "1.2.3", "1.3.0", nil, ErrNotApproved},
		{"backwards", PatchAlone, yes, "1.2.3", "1.2.2", nil, ErrNotApproved},
		{"no versions", PatchAlone, yes, "a", "b", nil, ErrNotApproved},
		{"another's key", NeedsApproval, yes, "1.2.3", "1.3.0", approval(nil, other), ErrNotApproved},
		{"changed", NeedsApproval, yes, "1.2.3", "1.3.0", approval(func(a *Approval) { a.At = a.At.Add(1) }, key), ErrNotApproved},
		{"for another", NeedsApproval, yes, "1.2.3", "2.0.0", approval(nil, key), ErrNotApproved},
		{"a stranger", NeedsApproval, yes, "1.2.3", "1.3.0", approval(func(a *Approval) { a.By = "bob"; a.Sign(key) }, key), ErrNotApproved},
		{"not better", PatchAlone, Verdict{Decision: Undecided}, "1.2.3", "1.2.4", approval(nil, key), ErrNotPromoted},
	} {
		if err := MayPromote(c.p, "t", c.v, c.from, c.to, IsPatch(c.from, c.to), c.a, keys); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	var s Times
	for i := range 1000 {
		s.Add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]float64{0.5: 500, 0.95: 950, 1: 1000} {
		if got := float64(s.Quantile(q)) / 1e6; math.Abs(got/want-1) > 0.06 {
			t.Errorf("quantile %v: %v ms, want %v", q, got, want)
		}
	}
}
