package monitor

import (
	"testing"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/telemetrytest"
)

// Vectors are compared in a space that both windows have, and in no other: a box with
// another embedder asks no other questions.
func TestProjectedInACommonSpace(t *testing.T) {
	t.Parallel()
	month := telemetrytest.Month(3, nil)
	base, now := month[0].Clone(), month[1].Clone()
	l := DefaultLimits()
	f, ok := projected(base, now, l)
	if !ok || f.Verdict != drift.VerdictStable || f.Kind != EmbeddingDrift || f.KS == nil || f.P < 1e-3 {
		t.Errorf("%+v, %v", f, ok)
	}
	// Another embedder came this morning; a few questions went before it.
	rest := now.Spaces[telemetrytest.Space]
	delete(now.Spaces, telemetrytest.Space)
	now.Spaces[9] = rest
	if f, ok := projected(base, now, l); ok {
		t.Errorf("of no common space: %+v", f)
	}
	few := telemetry.NewWindow(now.From, now.To, now.Model, now.Generation)
	for i := range l.Least / 2 {
		o := telemetry.Observation{Projected: telemetry.Projected{Space: telemetrytest.Space}}
		o.Projected.Bins[0] = uint8(i % 3)
		few.Add(&o)
	}
	if f, ok := projected(base, few, l); !ok || f.Verdict != drift.VerdictInsufficient {
		t.Errorf("of few: %+v, %v", f, ok)
	}
}
