package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/rollout"
	"rxedge/daemon/rollout/trial"
	"rxedge/index/document"
	"rxedge/inference/llama"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// jsonFile writes v, to be published under that name.
func jsonFile(t *testing.T, name, kind string, v any) central.File {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return central.File{Name: name, Kind: kind, Path: path}
}

var madeUp = []string{"abrocitil", "belumosan", "cortexane", "dravopine", "eltrombin", "fostemavir", "glasdegol", "histremide", "ibrexafen", "jolcetine", "kevzanide", "lumatepar"}

// madeUpLabels are of the first n medicines: names of which none is like another, so
// that a question about one is not answered by another's label.
func madeUpLabels(n int) iter.Seq2[bundle.Document, error] {
	return func(yield func(bundle.Document, error) bool) {
		for _, name := range madeUp[:n] {
			d := &document.Document{ID: name, Kind: document.KindJSONL, Title: name, Names: []document.Name{{Text: name, Kind: "generic"}}}
			for _, title := range []string{"Dosage and Administration", "Contraindications", "Drug Interactions", "Adverse Reactions"} {
				text := ""
				for i := range 12 {
					text += fmt.Sprintf("The %s of %s number %d is %d mg every %d hours. ", title, name, i, 100+i, 4+i)
				}
				d.Sections = append(d.Sections, document.Section{ID: name + "#" + title, Title: title, Text: text})
			}
			if !yield(box.Publishable(d)) {
				return
			}
		}
	}
}

// Two generations on one box. A better one is tried in the shadow: nobody is answered by it
// until the verdict, and a signed approval that comes with a bundle, let it serve. A worse
// one answers its share of the clients, each of them always the same way, and is stopped;
// the centre hears of both.
func TestTrialOfGenerations(t *testing.T) {
	t.Parallel()
	tokens := map[string]string{}
	s := newRolloutSite(t, func(c *config.Config) {
		c.Cache.Enabled = false // what is answered from it tells nothing
		for i := range 12 {
			name := fmt.Sprintf("till-%d", i)
			tokens[name] = fmt.Sprintf("0123456789abcdef-%d", i)
			file := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(file, []byte(tokens[name]), 0o600); err != nil {
				t.Fatal(err)
			}
			c.API.Clients = append(c.API.Clients, config.Client{Name: name, TokenFile: file})
		}
	})
	asked := 0
	next := func() string {
		asked++
		section := []string{"dosage and administration", "contraindications", "drug interactions", "adverse reactions"}[asked%4]
		return fmt.Sprintf("What is the %s number %d of %s?", section, asked/4%12, madeUp[6+asked/48%6])
	}
	askAs := func(client string) answer.Answer {
		t.Helper()
		status, _, body := s.send(t, "POST", "/v1/ask", fmt.Sprintf(`{"question": %q}`, next()), "Authorization", "Bearer "+tokens[client])
		var a answer.Answer
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != http.StatusOK {
			t.Fatal(status, err, body)
		}
		return a
	}
	tried := func() *box.RolloutTrial {
		t.Helper()
		return s.until(t, "tried", func(st box.RolloutStatus) bool { return st.Trial != nil && st.Candidate.Slot == rollout.Validated }).Trial
	}
	quiet := func(st box.RolloutStatus) bool { return st.Trial == nil || st.Trial.Waiting == 0 }

	s.confirmed(t, central.Release{Documents: madeUpLabels(6)})
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	plan := trial.Plan{Format: trial.PlanFormat, ID: "more-labels", Documents: true, Least: 20, Capacity: 1, Harm: 0.5,
		Promotion: trial.NeedsApproval, Approvers: []trial.Approver{{Name: "ann", Key: base64.StdEncoding.EncodeToString(pub)}}}
	s.f.Release(t, central.Release{Documents: madeUpLabels(12), Files: []central.File{jsonFile(t, "plan.json", bundle.KindTrial, plan)}})
	began := tried()
	if began.From == began.To || began.Candidate != "bundle-2" {
		t.Fatalf("%+v", began)
	}
	served := s.until(t, "serving", func(box.RolloutStatus) bool { return true }).Serving.Generation
	var now *box.RolloutTrial
	for range 40 {
		for range 8 {
			if a := s.ask(t, next()); a.Generation != served || a.Status != answer.StatusAbstained {
				t.Fatalf("somebody was answered by the challenger: %+v", a)
			}
		}
		if now = s.until(t, "asked in the shadow", quiet).Trial; now.Figures.Verdict.Final {
			break
		}
	}
	v := now.Figures.Verdict
	if v.Decision != trial.Promote || v.Gain < 0.9 || now.Arms[0].Questions == 0 || now.Arms[1].P95 == nil || *now.Arms[1].Grounded < 0.9 {
		t.Fatalf("%+v, %+v", now.Figures, now.Arms)
	}
	t.Logf("promote after %d pairs, gain %.2f; dropped %+v; p95 of the challenger %.1f ms", v.N, v.Gain, now.Dropped, *now.Arms[1].P95)
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutApprove, By: "tester"}); err == nil || !rollout.Refused(err) || !strings.Contains(err.Error(), "signed approval") {
		t.Errorf("approved without a signature: %v", err)
	}
	s.until(t, "waits for an approval", func(st box.RolloutStatus) bool { return st.Trial != nil && st.Trial.Waits != "" })
	forged := trial.Approval{Trial: plan.ID, From: now.From, To: now.To, By: "ann", At: time.Now()}
	forged.Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutApprove, Approval: &forged}); err == nil || !rollout.Refused(err) {
		t.Errorf("approved by a forged signature: %v", err)
	}
	approval := trial.Approval{Trial: plan.ID, From: now.From, To: now.To, By: "ann", At: time.Now()}
	approval.Sign(key)
	s.f.Release(t, central.Release{Files: []central.File{jsonFile(t, "approval.json", bundle.KindApproval, approval)}})
	st := s.until(t, "promoted", provisional(3))
	if st.Trial != nil || st.Candidate.Approved != "ann" || st.Serving.Generation == served {
		t.Errorf("%+v", st)
	}
	if a := s.ask(t, next()); a.Status != answer.StatusAnswered {
		t.Errorf("%+v", a)
	}
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutApprove, By: "tester"}); err != nil {
		t.Fatal(err)
	}
	waitActive(t, s.k, 3)

	plan.ID, plan.Percent, plan.Effect = "fewer-labels", 50, 0.01
	p := s.f.Release(t, central.Release{Documents: madeUpLabels(3), Replace: true, Drop: []string{"approval.json"}, Files: []central.File{jsonFile(t, "plan.json", bundle.KindTrial, plan)}})
	tried()
	arms := map[string]string{} // the generation that a client is answered by
	worse := ""
	said, asks := 0, map[string]int{} // by generation
	for pass := range 2 {
		for i := range len(tokens) / (pass + 1) { // eighteen pairs at most: too few to stop it meanwhile
			client := fmt.Sprintf("till-%d", i)
			a := askAs(client)
			if was := arms[client]; was != "" && was != a.Generation {
				t.Errorf("%s is answered by %s and by %s", client, was, a.Generation)
			}
			arms[client] = a.Generation
			asks[a.Generation]++
			if a.Status == answer.StatusAbstained {
				worse = a.Generation
				status, _, body := s.send(t, "POST", "/v1/feedback", fmt.Sprintf(`{"answer_id": %q, "thumb": "down", "reason": "should_have_answered"}`, a.ID))
				if status/100 != 2 {
					t.Fatal(status, body)
				}
				said++
			}
		}
	}
	share := 0
	for _, g := range arms {
		if g == worse {
			share++
		}
	}
	f := s.until(t, "figures", func(st box.RolloutStatus) bool { return st.Trial != nil }).Trial.Figures
	if share == 0 || share == len(arms) || f.Split[trial.Challenger].Asked != asks[worse] || f.Split[trial.Champion].Asked != asks[st.Serving.Generation] || f.Split[trial.Challenger].Unhelpful != said || said != asks[worse] {
		t.Errorf("%d of %d clients were answered by the challenger, %d complaints; counted %+v", share, len(arms), said, f.Split)
	}
	for i := 0; s.until(t, "asked in the shadow", quiet).Trial != nil; i++ {
		if i == 60 {
			t.Fatalf("not stopped: %+v", s.until(t, "", quiet).Trial)
		}
		for client := range tokens {
			askAs(client)
		}
	}
	st = s.until(t, "stopped", func(st box.RolloutStatus) bool {
		return st.Candidate == nil && st.Last != nil && st.Last.Bundle == p.Number
	})
	if st.Serving.Bundle != 3 || st.Last.Check != "trial" {
		t.Errorf("%+v", st)
	}
	for client := range tokens {
		if a := askAs(client); a.Generation == worse {
			t.Errorf("%s is answered by what was stopped", client)
		}
	}
	var heard told
	trials := map[string]trial.Decision{}
	for end := time.Now().Add(30 * time.Second); heard.Check == "" || len(trials) < 2; time.Sleep(20 * time.Millisecond) {
		if err := s.f.Collect(t.Context(), nil, 0, func(r central.Report) error {
			switch r.Kind {
			case "rollout":
				var m told
				if json.Unmarshal(r.Data, &m) == nil && m.Bundle == p.Number && m.Slot == rollout.RolledBack {
					heard = m
				}
			case "trial":
				var m box.RolloutTrial
				if err := json.Unmarshal(r.Data, &m); err != nil {
					return err
				}
				if m.Figures.Verdict.Final {
					trials[m.ID] = m.Figures.Verdict.Decision
				}
				if strings.Contains(string(r.Data), "till-") {
					t.Error("a client's name reached the centre")
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("the centre heard %+v and %v", heard, trials)
		}
	}
	t.Logf("stopped: %s", heard.Reason)
	if heard.Check != "trial" || trials["more-labels"] != trial.Promote || trials["fewer-labels"] != trial.Stop {
		t.Errorf("the centre heard %+v and %v", heard, trials)
	}
}

// Nobody waits for a challenger: under twenty questions a second answers take as long with
// a trial in the shadow, which may work all the time, as before and after it.
func TestTrialCostsNobody(t *testing.T) {
	n := 40
	long := os.Getenv("RXEDGE_TRIAL_LOAD") != ""
	if long {
		n = 300
	} else {
		t.Parallel()
	}
	s := newRolloutSite(t, func(c *config.Config) { c.Cache.Enabled = false })
	s.confirmed(t, central.Release{Documents: madeUpLabels(11)})
	ask := func(phase string) (p50, p99 float64) {
		t.Helper()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		took := make([]float64, n)
		for i := range n {
			<-tick.C
			began := time.Now()
			a := s.ask(t, fmt.Sprintf("What is the dosage and administration number %d of %s?", i/11%12, madeUp[i%11]))
			took[i] = float64(time.Since(began).Microseconds()) / 1000
			if a.Status != answer.StatusAnswered || a.Cached {
				t.Fatalf("%+v", a)
			}
		}
		slices.Sort(took)
		p50, p99 = took[n/2], took[n*99/100]
		t.Logf("%-12s %d questions at 20 a second: p50 %.1f ms, p99 %.1f ms", phase, n, p50, p99)
		return p50, p99
	}
	_, before := ask("before")
	plan := trial.Plan{Format: trial.PlanFormat, ID: "load", Documents: true, Least: 20000, Most: 20000, Effect: 0.001, Capacity: 1, Promotion: trial.PatchAlone}
	s.f.Release(t, central.Release{Documents: madeUpLabels(12), Files: []central.File{jsonFile(t, "plan.json", bundle.KindTrial, plan)}})
	s.until(t, "tried", func(st box.RolloutStatus) bool { return st.Trial != nil })
	_, during := ask("in a trial")
	tr := s.until(t, "done", func(st box.RolloutStatus) bool { return st.Trial != nil && st.Trial.Waiting == 0 }).Trial
	t.Logf("%d pairs, agreement %.2f; %+v", tr.Figures.Verdict.N, tr.Figures.Verdict.Agreement, tr.Dropped)
	if tr.Figures.Verdict.N == 0 || tr.Figures.Verdict.Agreement < 0.9 {
		t.Errorf("%+v", tr.Figures.Verdict)
	}
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutReject, By: "tester"}); err != nil {
		t.Fatal(err)
	}
	_, after := ask("after")
	if long && during > 1.5*max(before, after)+2 {
		t.Errorf("p99 is %.1f ms in a trial, %.1f ms before and %.1f ms after", during, before, after)
	}
}

// A real language model, which writes nothing that the labels bear out, is tried in the
// shadow of the labels' own sentences: whoever asks breaks it off, and it is stopped.
func TestTrialOfModel(t *testing.T) {
	if os.Getenv("RXEDGE_POISON") == "" {
		t.Skip("a model writes some twenty answers on two cores: RXEDGE_POISON=1 runs it")
	}
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skipf("%v", err)
	}
	testdata(t)
	s := newRolloutSite(t, func(c *config.Config) {
		c.Model.Threads, c.Rollout.Questions, c.Answer.ShortPath = 1, 2, false
	})
	s.confirmed(t, central.Release{Documents: madeUpLabels(12)})
	model := storiesModel(t, "good", modelChange{set: map[string]any{"llama.context_length": uint32(2048)}})
	plan := trial.Plan{Format: trial.PlanFormat, ID: "stories", Capacity: 1, Harm: 0.5, Promotion: trial.PatchAlone}
	p := s.f.Release(t, central.Release{Files: append(modelFile(model), jsonFile(t, "plan.json", bundle.KindTrial, plan))})
	s.until(t, "tried", func(st box.RolloutStatus) bool {
		if l := st.Last; l != nil && l.Bundle == p.Number {
			t.Fatalf("refused: %+v", l)
		}
		return st.Trial != nil
	})
	began := time.Now()
	var last *box.RolloutTrial
	for i := 0; last == nil || s.until(t, "", func(box.RolloutStatus) bool { return true }).Trial != nil; i++ {
		for j := range 3 { // one after another: the model has hardly begun when the next comes
			if a := s.ask(t, fmt.Sprintf("What is the dosage and administration number %d of %s?", i%12, madeUp[(3*i+j+i/12)%12])); a.Status != answer.StatusAnswered || a.Model != "" {
				t.Fatalf("%+v", a)
			}
		}
		st := s.until(t, "asked in the shadow", func(st box.RolloutStatus) bool { return st.Trial == nil || st.Trial.Waiting == 0 })
		if st.Trial != nil {
			last = st.Trial
		}
		if i == 100 {
			t.Fatalf("not stopped: %+v", last)
		}
	}
	st := s.until(t, "stopped", func(st box.RolloutStatus) bool { return st.Last != nil && st.Last.Bundle == p.Number })
	t.Logf("stopped after %v: %s; challenger p95 %.0f ms; %+v", time.Since(began).Round(time.Millisecond), st.Last.Reason, *last.Arms[1].P95, last.Dropped)
	if st.Last.Check != "trial" || st.Serving.Model != "" || last.Arms[1].Model != "good" {
		t.Errorf("%+v, %+v", st.Last, last)
	}
}
