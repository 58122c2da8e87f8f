package bundle

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const rid = "00112233445566ff"

func gatesOf(gs ...Gate) *Gates {
	return &Gates{Format: 1, Channel: "stable", Serial: 3, Signed: time.Unix(1e9, 0).UTC(), Gates: gs}
}

// Who may have what, gate by gate.
func TestGates(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000_000, 0).UTC()
	soon, past := now.Add(time.Hour), now
	mine := Bucket(rid, "site-1")
	run := func(n int64, below uint64, only ...string) Gate {
		return Gate{Bundle: n, Rollout: rid, State: GateRunning, Below: below, Only: only, Until: soon}
	}
	is := func(n int64, s GateState) Gate { return Gate{Bundle: n, Rollout: rid, State: s} }
	for _, x := range []struct {
		name  string
		gates []Gate
		// of bundles 5, 6, 7
		want string
	}{
		{"none", nil, "yes yes yes"},
		{"held", []Gate{is(6, GateHeld)}, "yes no no"},
		{"its wave is open", []Gate{run(7, mine+1)}, "yes yes yes"},
		{"its wave is not", []Gate{run(7, mine)}, "yes yes no"},
		{"what is later waits, wave or not", []Gate{run(6, Buckets)}, "yes yes no"},
		{"paused", []Gate{is(6, GatePaused)}, "yes no no"},
		{"halted", []Gate{is(6, GateHalted)}, "yes no no"},
		{"aborted holds nothing behind it", []Gate{is(6, GateAborted)}, "yes no yes"},
		{"aborted, and the next held", []Gate{is(6, GateAborted), is(7, GateHeld)}, "yes no no"},
		{"run out", []Gate{{Bundle: 7, Rollout: rid, State: GateRunning, Below: Buckets, Until: past}}, "yes yes no"},
		{"for others", []Gate{run(7, Buckets, SiteMark(rid, "site-2"))}, "yes yes no"},
		{"for it by name", []Gate{run(7, Buckets, SiteMark(rid, "site-1"))}, "yes yes yes"},
		{"for it by name, and not its wave", []Gate{run(7, mine, SiteMark(rid, "site-1"))}, "yes yes no"},
		{"done for others, which holds nothing", []Gate{{Bundle: 6, Rollout: rid, State: GateDone, Only: []string{SiteMark(rid, "site-2")}}}, "yes no yes"},
		{"done for all, with an approval", []Gate{{Bundle: 6, Rollout: rid, State: GateDone, Approvals: []string{"{}"}}}, "yes yes yes"},
		{"done for it", []Gate{{Bundle: 6, Rollout: rid, State: GateDone, Only: []string{SiteMark(rid, "site-1")}}}, "yes yes yes"},
	} {
		g := gatesOf(x.gates...)
		var got []string
		for n := int64(5); n <= 7; n++ {
			o := g.Of("site-1", n, now)
			got = append(got, map[bool]string{true: "yes", false: "no"}[o.Allowed])
			if o.Allowed != (o.Why == "") {
				t.Errorf("%s: %+v", x.name, o)
			}
		}
		if s := strings.Join(got, " "); s != x.want {
			t.Errorf("%s: %s, want %s", x.name, s, x.want)
		}
		if b, err := EncodeGates(g); err != nil {
			t.Errorf("%s: %v", x.name, err)
		} else if again, err := ParseGates(b); err != nil || fmt.Sprint(again.Of("site-1", 7, now)) != fmt.Sprint(g.Of("site-1", 7, now)) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if gatesOf(run(7, Buckets)).Of("", 7, now).Allowed {
		t.Error("a box without a name was let in")
	}
	if !gatesOf(Gate{Bundle: 7, Rollout: rid, State: GateDone, Approvals: []string{"{}"}}).Of("", 7, now).Allowed {
		t.Error("a box without a name was shut out of what is for all")
	}
	if !(*Gates)(nil).Of("", 7, now).Allowed {
		t.Error("where there are no gates all is open")
	}
	if o := gatesOf(Gate{Bundle: 7, Rollout: rid, State: GateAborted, Rollback: true}).Of("site-1", 7, now); o.Allowed || !o.Rollback {
		t.Errorf("%+v", o)
	}
}

// Buckets are spread evenly, and another rollout deals them anew.
func TestBuckets(t *testing.T) {
	t.Parallel()
	const n = 20_000
	var tenths [10]int
	same := 0
	for i := range n {
		site := fmt.Sprintf("site-%d", i)
		b := Bucket(rid, site)
		tenths[b*10/Buckets]++
		if b*10/Buckets == Bucket("ffeeddccbbaa9988", site)*10/Buckets {
			same++
		}
	}
	for _, k := range append(tenths[:], same) {
		if k < n/10-5*42 || k > n/10+5*42 { // five standard deviations
			t.Fatal(tenths, same)
		}
	}
}

// What is not exactly what the centre writes is refused, whole.
func TestParseGatesIsStrict(t *testing.T) {
	t.Parallel()
	good, err := EncodeGates(gatesOf(Gate{Bundle: 6, Rollout: rid, State: GateAborted}, Gate{Bundle: 7, Rollout: rid, State: GateRunning, Below: 5, Until: time.Unix(2e9, 0).UTC()}))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range [][2]string{
		{`"bundle":7`, `"bundle":6`}, {`"bundle":7`, `"bundle":5`}, {`"bundle":6`, `"bundle":0`}, {`"running"`, `"open"`}, {`"running"`, `"done"`}, {`"below":5`, `"below":4294967297`},
		{`"below":5`, `"below":-1`}, {`"below":5`, `"below":5.0`}, {`"below":5`, `"below":5,"unless":"x"`}, {`"below":5`, `"below":5,"below":9`}, {`"below":5`, `"Below":5`}, {`,"until":"2033-05-18T03:33:20Z"`, ``},
		{`"aborted"`, `"halted","rollback":true`}, {`"serial":3`, `"serial":0`}, {`"channel":"stable"`, `"channel":"../x"`}, {rid, "0011"}, {`]}`, `]} `}, {`{"format"`, ` {"format"`}, {`]}`, `]}{}`},
		{`"below":5`, `"below":5,"only":["00112233445566fg"]`}, {`"below":5`, `"below":5,"only":["1111111111111111","0000000000000000"]`},
	} {
		b := bytes.Replace(good, []byte(x[0]), []byte(x[1]), 1)
		if bytes.Equal(b, good) {
			t.Fatal("nothing was changed:", x)
		}
		if g, err := ParseGates(b); CodeOf(err) != BadGate {
			t.Errorf("%s for %s: %+v, %v", x[1], x[0], g, err)
		}
	}
	if _, err := ParseGates(bytes.Replace(good, []byte(`"format":1`), []byte(`"format":2`), 1)); CodeOf(err) != NeedsRxedge {
		t.Error(err)
	}
	if _, err := EncodeGates(gatesOf(slices.Repeat([]Gate{{Rollout: rid, State: GateHeld}}, MaxGates+1)...)); err == nil {
		t.Error("too many")
	}
}

func FuzzParseGates(f *testing.F) {
	for _, g := range []*Gates{gatesOf(), gatesOf(Gate{Bundle: 7, Rollout: rid, State: GateRunning, Below: Buckets, Only: []string{rid}, Until: time.Unix(2e9, 0).UTC()}), gatesOf(Gate{Bundle: 6, Rollout: rid, State: GateAborted, Rollback: true}, Gate{Bundle: 7, Rollout: rid, State: GateHalted})} {
		b, err := EncodeGates(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"format":1,"channel":"a","serial":1,"signed":"2026-01-01T00:00:00Z","audit":{"seq":1,"hash":"00"},"gates":null}`))
	now := time.Unix(1.5e9, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := ParseGates(b)
		if err != nil {
			if CodeOf(err) == "" {
				t.Fatal(err)
			}
			return
		}
		if again, err := EncodeGates(g); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%s\n%s\n%v", b, again, err)
		}
		for _, x := range g.Gates {
			o := g.Of("site-1", x.Bundle, now)
			if o.Allowed && (x.State == GateHeld || x.State == GatePaused || x.State == GateHalted || x.State == GateAborted) {
				t.Fatalf("%+v opens %+v", o, x)
			}
			if o.Rollback && x.State != GateAborted {
				t.Fatalf("%+v", o)
			}
		}
	})
}
