package check_test

import (
	"math"
	"testing"

	"rxedge/centre/check"
	"rxedge/daemon/telemetry/drift"
	"rxedge/index/document"
)

func TestProfile(t *testing.T) {
	t.Parallel()
	d := &document.Document{Sections: []document.Section{{Text: "One two, two three."}, {Text: "One"}, {}}}
	p := check.ProfileOf(d)
	words := int64(0)
	for _, n := range p.Words {
		words += n
	}
	if p.Lengths[0] != 1 || p.Lengths[2] != 1 || p.Lengths[5] != 1 || words != 5 {
		t.Errorf("%+v", p)
	}
	p.Add(p)
	b, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var q check.Profile
	if err := q.UnmarshalBinary(b); err != nil || q != *p {
		t.Errorf("read again: %v, %+v", err, q)
	}
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(b, 1)} {
		if err := q.UnmarshalBinary(bad); err == nil {
			t.Errorf("%d bytes were read", len(bad))
		}
	}
}

// TestDriftByHand: shares .5, .3, .2 against .4, .4, .2 give
// .1·ln(1.25) + (−.1)·ln(.75) = 0.022314 + 0.028768 = 0.051082.
func TestDriftByHand(t *testing.T) {
	t.Parallel()
	a, b := &check.Profile{}, &check.Profile{}
	for i, n := range []int64{5000, 3000, 2000} {
		a.Lengths[3+i] = n
	}
	for i, n := range []int64{1600, 1600, 800} {
		b.Lengths[3+i] = n
	}
	m := b.Drift(a).Lengths
	if math.Abs(m.PSI-0.051082) > 1e-6 || m.Verdict != drift.VerdictStable || m.Baseline != 4000 || m.Current != 10000 {
		t.Errorf("%+v", m)
	}
	if w := b.Drift(a).Words; w.Verdict != drift.VerdictInsufficient {
		t.Errorf("no words at all: %+v", w)
	}
}

// TestDriftOfRealLabels halves the real labels, and turns one half's words into others.
func TestDriftOfRealLabels(t *testing.T) {
	t.Parallel()
	one, two, other := &check.Profile{}, &check.Profile{}, &check.Profile{}
	for i, d := range labels(t) {
		if i%2 == 0 {
			one.Add(check.ProfileOf(d))
			continue
		}
		two.Add(check.ProfileOf(d))
		c := clone(d)
		for j := range c.Sections {
			c.Sections[j].Text = spanish
		}
		for range 20 {
			other.Add(check.ProfileOf(c))
		}
	}
	if m := one.Drift(two).Words; m.Verdict != drift.VerdictStable {
		t.Errorf("of one half from the other: %+v", m)
	}
	if m := one.Drift(other).Words; m.Verdict != drift.VerdictAct {
		t.Errorf("of another language: %+v", m)
	}
}
