package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"rxedge/centre/trainer"
	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/rollout/trial"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/telemetrytest"
	"rxedge/index/document"
	"rxedge/inference/semantic"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/record"
	"rxedge/sync/synctest"
)

// monographs are made-up labels of real medicines: sections as labels have them, each with
// words of its own.
func monographs(dose int) func(func(bundle.Document, error) bool) {
	sections := []struct{ loinc, title, text string }{
		{"34068-7", "DOSAGE AND ADMINISTRATION", "The recommended starting dose of %[1]s is %[2]d mg once daily. The maximum is %[3]d mg daily, taken whole with water."},
		{"88828-9", "RENAL IMPAIRMENT", "With a creatinine clearance below 30 mL/min the exposure to %[1]s doubles. Give %[4]d mg every other day; on haemodialysis give it after the session."},
		{"34073-7", "DRUG INTERACTIONS", "Strong inhibitors of CYP3A4 raise the concentration of %[1]s. Avoid ketoconazole and ritonavir; lower the dose with verapamil."},
		{"34084-4", "ADVERSE REACTIONS", "In trials of %[1]s the common reactions were nausea, headache and rash, in more than 5%% of patients."},
		{"34070-3", "CONTRAINDICATIONS", "%[1]s is contraindicated in patients with a history of hypersensitivity to it, and in active bleeding."},
		{"42228-7", "PREGNANCY", "Animal studies of %[1]s showed harm to the fetus. Women who may become pregnant use effective contraception."},
	}
	return func(yield func(bundle.Document, error) bool) {
		for i, name := range strings.Fields("apixaban warfarin rivaroxaban metformin lisinopril ramipril atorvastatin simvastatin sertraline citalopram ibuprofen naproxen morphine omeprazole metoprolol losartan glipizide azithromycin") {
			d := &document.Document{ID: "label-" + name, Version: fmt.Sprint(dose), Title: strings.ToUpper(name[:1]) + name[1:] + " tablets", Kind: "label", Source: "labels", Effective: "2026-05-01",
				Names: []document.Name{{Text: name, Kind: "generic"}}}
			for _, s := range sections {
				d.Sections = append(d.Sections, document.Section{ID: d.ID + "#" + s.loinc, LOINC: s.loinc, Title: s.title, Text: fmt.Sprintf(s.text, name, dose+i, 4*(dose+i), dose/2+i)})
			}
			if !yield(box.Publishable(d)) {
				return
			}
		}
	}
}

// startBoxes enrols boxes that search by the built-in embedder; each was asked about
// kidneys and anticoagulants far more often in the last week than before.
func startBoxes(t *testing.T, f *synctest.Fleet, n int) map[string]*box.Box {
	t.Helper()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	boxes := map[string]*box.Box{}
	for i := range n {
		name := fmt.Sprintf("pharmacy-zebra-%d", i)
		cfg := config.Default()
		zero := 0
		cfg.Data, cfg.Index.DiskFloorMB = t.TempDir(), &zero
		cfg.Rollout.Watch, cfg.Rollout.Defer = config.Wait(100*time.Millisecond), 0
		cfg.Cache.Enabled = false // what is answered from it tells a trial nothing
		if err := telemetrytest.Replay(filepath.Join(cfg.Data, "telemetry"), uint64(170+i), today, 15, func(before int) telemetrytest.Change {
			return func(rng *rand.Rand, o *telemetry.Observation) {
				o.Model, o.In[telemetry.Mode] = "", answer.ModeExtractive
				if before <= 7 && rng.Float64() < 0.5 {
					o.In[telemetry.Kind], o.In[telemetry.Section], o.In[telemetry.Class] = "renal", "88828-9", "anticoagulant"
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		b, err := box.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		go b.RunRollout(t.Context())
		if err := b.RunSync(t.Context()); err != nil {
			t.Fatal(err)
		}
		file, err := f.AddSite(name, "stable", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Enroll(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		boxes[name] = b
	}
	return boxes
}

// until what is asked for holds.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

// Three boxes are asked other questions than before: the centre asks for training, a
// person approves, the built-in embedder is trained anew, the boxes judge it and try it in
// the shadow in two waves, an approver signs, they take it, and the centre puts on record
// that it is confirmed.
func TestRetrainLoop(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	cmd := centralCommand(t, f.Dir)
	f.Release(t, central.Release{Documents: monographs(40)})
	boxes := startBoxes(t, f, 3)
	builtin, err := semantic.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	serve := func(sum string) func() bool {
		return func() bool {
			for _, b := range boxes {
				st := b.Index.Stats()
				if st.Generation.Documents != 18 || st.Generation.Embedder.SHA256 != sum || !st.Dense {
					return false
				}
			}
			return true
		}
	}
	until(t, "the documents at all sites", serve(builtin.Info().SHA256))
	until(t, "every window at the centre", func() bool {
		cmd(0, "fleet", "drift", "--json")
		taken, err := f.Taken()
		return err == nil && taken.Windows == 3*15
	})

	// Drift, and the request.
	var l fleetLook
	if err := json.Unmarshal([]byte(cmd(0, "fleet", "run", "--once", "--json")), &l); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(l.Requested, func(m *central.Matter) bool { return m.Cause == "/data_drift/kind" })
	if i < 0 {
		t.Fatalf("%+v", l)
	}
	id := l.Requested[i].ID
	cmd(0, "retrain", "run", "--once")
	if out := cmd(0, "retrain", "list"); !strings.Contains(out, "requested") || strings.Contains(out, "exported") {
		t.Fatalf("exported before it was approved:\n%s", out)
	}
	cmd(4, "retrain", "register", id, "--model", "centralretrain_test.go", "--metrics", "centralretrain_test.go", "--local")
	cmd(0, "fleet", "approve", id, "--as", "ann")

	// What is exported names no site, and is as its schema says.
	if out := cmd(0, "retrain", "run", "--once", "--waves", "30%,100%", "--soak", "0s", "--confirmed", "100"); !strings.Contains(out, id+" is exported") {
		t.Fatal(out)
	}
	dir := filepath.Join(f.Dir, "retrain", id)
	raw, err := os.ReadFile(filepath.Join(dir, trainer.RequestFile))
	if err != nil {
		t.Fatal(err)
	}
	valid(t, raw)
	q, err := trainer.ParseRequest(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("zebra")) {
		t.Error("the request names a site")
	}
	if k := q.Questions.Kinds[0]; k.Value != "renal" || k.Before == nil || k.Weight < 2*k.Before.Weight || q.Windows.Sites != 3 || len(q.Windows.SHA256) != 21 || q.Documents.Count != 18 || !q.Model.Champion.Builtin {
		t.Errorf("%+v, %+v, %+v", q.Questions.Kinds[0], q.Windows, q.Model)
	}

	// Trained and measured; what is another model than was measured is refused.
	out := t.TempDir()
	t.Logf("%s", cmd(0, "retrain", "train", id, "--out", out))
	model, metrics := filepath.Join(out, trainer.ModelFile), filepath.Join(out, trainer.MetricsFile)
	sum, err := semantic.Sum(model)
	if err != nil || sum == "" || sum == builtin.Info().SHA256 {
		t.Fatal(sum, err)
	}
	bent := filepath.Join(t.TempDir(), "bent.rxe")
	b, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(bent, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd(4, "retrain", "register", id, "--model", bent, "--metrics", metrics)
	cmd(0, "retrain", "register", id, "--model", model, "--metrics", metrics, "--as", "ann")
	cmd(0, "retrain", "register", id, "--model", model, "--metrics", metrics, "--as", "ann") // again: nothing

	// Published, held, and out in waves.
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- f.RunRollouts(ctx, central.RunOptions{Who: "controller", Every: 50 * time.Millisecond})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	cmd(4, "retrain", "run", "--once", "--trial", metrics)
	cmd(5, "retrain", "run", "--once", "--trial", filepath.Join(out, "none.json"))
	keys := t.TempDir()
	plan, approval := filepath.Join(keys, "plan.json"), filepath.Join(keys, "approval.json")
	cmd(0, "root", "key", filepath.Join(keys, "ann"))
	cmd(0, "trial", "plan", plan, "--id", "embedder", "--margin", "0.2", "--effect", "0.2", "--least", "10", "--capacity", "1", "--approver", "ann="+filepath.Join(keys, "ann.pub"))
	cmd(0, "retrain", "run", "--once", "--trial", plan, "--waves", "30%,100%", "--soak", "0s", "--confirmed", "100")
	if out := cmd(0, "retrain", "show", id); !strings.Contains(out, "Sites try it first") {
		t.Error(out)
	}
	tryIt(t, boxes)
	waits := func() (n int, to box.RolloutTrial) {
		for _, b := range boxes {
			if st, err := b.RolloutStatus(t.Context()); err == nil && st.Trial != nil && st.Trial.Waits != "" && st.Trial.Figures.Verdict.Decision == trial.Promote {
				n, to = n+1, *st.Trial
			}
		}
		return n, to
	}
	until(t, "a verdict to promote, which waits for an approval", func() bool {
		for name, b := range boxes {
			if st, err := b.RolloutStatus(t.Context()); err == nil && st.Last != nil && st.Last.Check == "trial" {
				t.Fatalf("%s: %s", name, st.Last.Reason)
			}
		}
		n, _ := waits()
		return n == 1
	})
	_, tried := waits()
	if serve(sum)() || tried.Figures.Verdict.N < 10 || tried.Figures.Config.Margin != 0.2 {
		t.Errorf("%+v", tried)
	}
	var told []siteTrial
	until(t, "the verdict at the centre", func() bool {
		if err := json.Unmarshal([]byte(cmd(0, "trial", "show", "embedder", "--json")), &told); err != nil {
			t.Fatal(err)
		}
		return len(told) == 1 && told[0].Figures.Verdict.Final
	})
	t.Logf("%s", cmd(0, "trial", "show"))
	if strings.Contains(cmd(0, "trial", "show", "other"), "embedder") {
		t.Error("another's trial was shown")
	}
	sign := func(id, to string) {
		cmd(0, "trial", "approve", approval, "--trial", id, "--from", told[0].From, "--to", to, "--as", "ann", "--key", filepath.Join(keys, "ann.key"))
	}
	cmd(2, "rollout", "promote", "2")
	sign("another", told[0].To)
	cmd(4, "rollout", "promote", "2", "--approval", approval)
	sign("embedder", told[0].To)
	cmd(4, "rollout", "promote", "1", "--approval", approval)
	cmd(5, "rollout", "promote", "7", "--approval", approval)
	cmd(0, "rollout", "promote", "2", "--approval", approval, "--as", "ann")
	until(t, "the new embedder at all sites", serve(sum))
	until(t, "the end of it", func() bool {
		cmd(0, "retrain", "run", "--once")
		return strings.Contains(cmd(0, "retrain", "list", "--json"), `"confirmed"`)
	})
	t.Logf("%s", cmd(0, "retrain", "show", id))
	var m central.Matter
	if err := json.Unmarshal([]byte(cmd(0, "retrain", "show", id, "--json")), &m); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, s := range m.Steps {
		steps = append(steps, string(s.Action))
	}
	if want := []string{"retrain.exported", "retrain.registered", "retrain.published", "retrain.rolling", "retrain.confirmed"}; !slices.Equal(steps, want) || m.State != "confirmed" || !m.Ended() {
		t.Errorf("%v, %s", steps, m.State)
	}
	var p trainer.Published
	if err := json.Unmarshal(m.Step(record.RetrainRolling).Data, &p); err != nil || p.Bundle != 2 || p.Trial != "embedder" {
		t.Errorf("%+v, %v", p, err)
	}
	for name, b := range boxes {
		a, err := b.Answers.Ask(t.Context(), answer.Question{Text: "How is apixaban dosed with weak kidneys?"}, answer.Events{})
		if err != nil || len(a.Claims) == 0 || a.Claims[0].Citations[0].LOINC != "88828-9" {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	cmd(5, "retrain", "show", "retrain-99")
	cmd(2, "retrain", "register", id)
	cmd(5, "retrain", "train", "retrain-99")
}

// tryIt asks boxes that try something what pharmacies ask, until the test ends.
func tryIt(t *testing.T, boxes map[string]*box.Box) {
	medicines := strings.Fields("apixaban warfarin rivaroxaban metformin lisinopril ramipril atorvastatin simvastatin sertraline citalopram")
	for _, b := range boxes {
		go func() {
			for i := 0; t.Context().Err() == nil; i++ {
				// Some at a time, as whoever asks breaks off what is asked unseen.
				if st, err := b.RolloutStatus(t.Context()); i%6 == 0 && (err != nil || st.Trial == nil || st.Trial.Waiting > 0 || st.Trial.Figures.Verdict.Final) {
					time.Sleep(10 * time.Millisecond)
					i--
					continue
				}
				ask := []string{"What is the starting dose of %s?", "How is %s given with weak kidneys?", "What must not be taken with %s?", "Who must not take %s?", "May %s be taken in pregnancy?"}[i%5]
				_, _ = b.Answers.Ask(t.Context(), answer.Question{Text: fmt.Sprintf(ask, medicines[i/5%len(medicines)])}, answer.Events{})
			}
		}()
	}
}

// valid says whether a request is as its schema has it.
func valid(t *testing.T, b []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(trainer.RequestSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("request.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("request.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("the request is not as its schema says: %v", err)
	}
}
