package main

import (
	"crypto/ed25519"
	"net/http"
	"strings"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/guard"
	"rxedge/daemon/box"
	"rxedge/daemon/rollout"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/record"
)

// Thresholds by cohort hold at a site once another person than who proposed them has
// approved, and the records of both came signed with a bundle: the answer and the status
// say so, other cohorts keep the guard's own, and a bundle without them withdraws them.
func TestThresholdsByCohort(t *testing.T) {
	t.Parallel()
	s := newRolloutSite(t, nil) // answers are cached
	s.confirmed(t, central.Release{Documents: madeUpLabels(4)})
	g := guard.Groups{Guard: guard.Hash(), Own: guard.Builtin().Threshold, Groups: []guard.Group{{Cohort: "0-17", Threshold: 1e-6}}}
	m, _, err := s.f.OpenMatter(central.ThresholdsProposed, "0-17", g, 0, central.By{Who: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.f.Approved(m.ID); err == nil {
		t.Error("what nobody decided travels")
	}
	if _, err := s.f.Decide(m.ID, true, central.By{Who: "ann"}); err == nil {
		t.Error("ann approved of her own proposal")
	}
	if _, err := s.f.Decide(m.ID, true, central.By{Who: "rui"}); err != nil {
		t.Fatal(err)
	}
	approved, err := s.f.Approved(m.ID)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(cohort string) *guard.Decision {
		t.Helper()
		var a answer.Answer
		if resp := s.do(t, "POST", "/v1/ask", map[string]any{"question": "What is the dosage and administration number 3 of cortexane?", "cohort": cohort, "explain": true}, &a); resp.StatusCode != http.StatusOK || a.Decision == nil {
			t.Fatalf("%s: %+v", resp.Status, a)
		}
		return a.Decision
	}
	before := ask("0-17")
	if before.Group != nil || before.Threshold != g.Own {
		t.Errorf("before they came: %+v", before)
	}

	forged := *approved
	forged.Approval.Signature = strings.Repeat("00", 64)
	// Right in itself, by a key that is not this fleet's.
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign := record.Approved{Format: 1, Proposal: record.Seal(record.FleetContext, approved.Proposal.Record, stranger), Approval: record.Seal(record.FleetContext, approved.Approval.Record, stranger)}
	var drop []string // with the next: a bundle without would be watched, and nothing fetched meanwhile
	for name, bad := range map[string]any{"forged.json": forged, "foreign.json": foreign, "proposal.json": record.Approved{Format: 1, Proposal: approved.Proposal, Approval: approved.Proposal}} {
		p := s.f.Release(t, central.Release{Drop: drop, Files: []central.File{jsonFile(t, name, bundle.KindThresholds, bad)}})
		st := s.until(t, "refused", func(st box.RolloutStatus) bool {
			return st.Last != nil && st.Last.Bundle == p.Number && st.Candidate == nil
		})
		if st.Last.Check != "thresholds_approved" {
			t.Errorf("%s: %+v", name, st.Last)
		}
		drop = []string{name}
	}

	file := jsonFile(t, "approved.json", bundle.KindThresholds, approved)
	s.confirmed(t, central.Release{Documents: madeUpLabels(5), Drop: drop, Files: []central.File{file}})
	holds := func() {
		t.Helper()
		d := ask("0-17")
		if d.Threshold != 1e-6 || d.Doubt != guard.High || d.Group == nil || d.Group.ID != m.ID || d.Group.Approved != "rui" || d.Group.Own != g.Own {
			t.Errorf("%+v, %+v", d, d.Group)
		}
		if last := d.Summary[len(d.Summary)-1]; !strings.Contains(last, m.ID) || strings.Contains(last, "0-17") {
			t.Errorf("the explanation says %q", last)
		}
		if d := ask("18-64"); d.Group != nil || d.Threshold != g.Own || d.Doubt != before.Doubt {
			t.Errorf("another cohort: %+v", d)
		}
		h, err := s.k.Status(t.Context())
		if err != nil || h.Thresholds == nil || h.Thresholds.ID != m.ID || h.Thresholds.Proposed != "ann" || h.Thresholds.Approved != "rui" {
			t.Errorf("%v; status %+v", err, h.Thresholds)
		}
	}
	holds()
	s.again()
	holds()

	s.confirmed(t, central.Release{Drop: []string{"approved.json"}})
	if d := ask("0-17"); d.Group != nil || d.Threshold != g.Own {
		t.Errorf("after they were withdrawn: %+v", d)
	}
	if h, err := s.k.Status(t.Context()); err != nil || h.Thresholds != nil {
		t.Errorf("%v; status %+v", err, h.Thresholds)
	}
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutBack, By: "ann"}); err != nil {
		t.Fatal(err)
	}
	if st := s.until(t, "back", func(st box.RolloutStatus) bool { return st.Candidate == nil }); st.Confirmed.Slot != rollout.Confirmed {
		t.Errorf("%+v", st.Confirmed)
	}
	holds()
}
