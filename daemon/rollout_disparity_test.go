package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/trial"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// askFor a patient of a cohort, about a medicine of madeUp; n makes it another question.
func (s *rolloutSite) askFor(t *testing.T, cohort string, medicine, n int) answer.Answer {
	t.Helper()
	section := []string{"dosage and administration", "contraindications", "drug interactions", "adverse reactions"}[n%4]
	var a answer.Answer
	q := map[string]string{"question": fmt.Sprintf("What is the %s number %d of %s?", section, n/4%12, madeUp[medicine]), "cohort": cohort}
	if resp := s.do(t, "POST", "/v1/ask", q, &a); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	return a
}

// A challenger that is better for all together, and answers nothing for one cohort, is not
// promoted by its trial until a person says why; the same challenger, asked by cohorts that
// it serves alike, is promoted. The centre sees the figure, and the reason.
func TestDisparityKeepsAChallengerOut(t *testing.T) {
	t.Parallel()
	for _, apart := range []bool{true, false} {
		t.Run(fmt.Sprintf("apart %v", apart), func(t *testing.T) {
			t.Parallel()
			s := newRolloutSite(t, func(c *config.Config) { c.Cache.Enabled = false })
			s.confirmed(t, central.Release{Documents: madeUpLabels(4)})
			plan := trial.Plan{Format: trial.PlanFormat, ID: "more-labels", Documents: true, Least: 20, Capacity: 1, Harm: 0.5, Promotion: trial.PatchAlone}
			p := s.f.Release(t, central.Release{Documents: madeUpLabels(8), Files: []central.File{jsonFile(t, "plan.json", bundle.KindTrial, plan)}})
			st := s.until(t, "tried", func(st box.RolloutStatus) bool { return st.Trial != nil })
			if d := st.Disparity; d == nil || !d.Pass || !d.Untold || !strings.Contains(d.Detail, "undefined") {
				t.Errorf("before anybody asked: %+v", d)
			}
			// Of medicines 4 to 7 only the challenger has labels; of 8 and more nobody.
			asked := 0
			for range 40 {
				for range 4 {
					adult, child := 4+asked%4, 4+asked%4
					if apart {
						child = 8 + asked%4
					}
					s.askFor(t, "18-64", adult, asked)
					s.askFor(t, "0-17", child, asked)
					asked++
				}
				st = s.until(t, "asked in the shadow", func(st box.RolloutStatus) bool { return st.Trial == nil || st.Trial.Waiting == 0 })
				if st.Trial == nil || st.Trial.Figures.Verdict.Final {
					break
				}
			}
			if !apart {
				s.until(t, "promoted", provisional(p.Number))
				return
			}
			if v := st.Trial.Figures.Verdict; v.Decision != trial.Promote {
				t.Fatalf("%+v", v)
			}
			st = s.until(t, "kept out", func(st box.RolloutStatus) bool { return st.Trial != nil && st.Trial.Waits != "" })
			d := st.Disparity
			if d == nil || d.Pass || d.Name != "group_disparity" || d.Candidate == nil || *d.Candidate < 0.9 || !strings.Contains(st.Trial.Waits, "0-17 is refused in") || st.Candidate.Slot != rollout.Validated {
				t.Fatalf("%+v; %+v", d, st.Trial)
			}
			t.Logf("not promoted: %s", st.Trial.Waits)
			var state struct {
				Rollout struct {
					Bundle   int64             `json:"bundle"`
					Slot     string            `json:"slot"`
					Check    string            `json:"check"`
					Figure   *rollout.Check    `json:"figure"`
					Override *rollout.Override `json:"override"`
				} `json:"rollout"`
			}
			hears := func(what string, is func() bool) {
				t.Helper()
				for end := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
					states, err := s.f.States(t.Context(), nil)
					if err == nil {
						err = json.Unmarshal(states["site-1"].State, &state)
					}
					if err != nil {
						t.Fatal(err)
					}
					if time.Now().After(end) {
						t.Fatalf("%s: the centre knows %+v", what, state)
					}
				}
			}
			hears("kept out", func() bool {
				r := state.Rollout
				return r.Bundle == p.Number && r.Slot == "validated" && r.Check == "group_disparity" && r.Figure != nil && r.Figure.Candidate != nil && *r.Figure.Candidate > 0.9
			})
			q := box.RolloutRequest{Action: box.RolloutApprove, By: "ann", Reason: "  "}
			if _, err := s.k.RolloutDo(t.Context(), q); err == nil || !rollout.Refused(err) || !strings.Contains(err.Error(), "group_disparity") {
				t.Errorf("approved without a reason: %v", err)
			}
			q.Reason = "labels for children follow on Monday"
			if _, err := s.k.RolloutDo(t.Context(), q); err != nil {
				t.Fatal(err)
			}
			st = s.until(t, "promoted", provisional(p.Number))
			if o := st.Candidate.Override; o == nil || o.By != "ann" || o.Reason != q.Reason || o.Check.Name != "group_disparity" {
				t.Errorf("%+v", o)
			}
			hears("overridden", func() bool { return state.Rollout.Slot == "provisional" && state.Rollout.Override != nil })
		})
	}
}

// A pair that is watched, and refuses one cohort of those who ask, is not confirmed without
// a reason; where what served before refused that cohort as often, nothing is lost by new
// documents, and they are confirmed.
func TestDisparityOfDocuments(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprintf("as before %v", before), func(t *testing.T) {
			t.Parallel()
			s := newRolloutSite(t, func(c *config.Config) { c.Cache.Enabled = false })
			s.confirmed(t, central.Release{Documents: madeUpLabels(4)})
			ask := func(adult, child int) {
				t.Helper()
				for i := range 20 {
					s.askFor(t, "18-64", adult, i)
					s.askFor(t, "0-17", child, i)
				}
			}
			if before {
				ask(0, 8)
			}
			p := s.f.Release(t, central.Release{Documents: madeUpLabels(6)})
			s.until(t, "provisional", provisional(p.Number))
			ask(5, 8)
			st := s.until(t, "watched", func(st box.RolloutStatus) bool { return st.Disparity != nil && st.Disparity.N == 40 })
			if st.Disparity.Pass != before {
				t.Errorf("%+v", st.Disparity)
			}
			t.Log(st.Disparity.Detail)
			q := box.RolloutRequest{Action: box.RolloutApprove, By: "ann"}
			if !before {
				if _, err := s.k.RolloutDo(t.Context(), q); err == nil || !rollout.Refused(err) {
					t.Errorf("confirmed without a reason: %v", err)
				}
				q.Reason = "labels for children follow on Monday"
			}
			e, err := s.k.RolloutDo(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if e.Slot != rollout.Confirmed || (e.Override == nil) != before {
				t.Errorf("%+v", e)
			}
		})
	}
}
