package trainer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/inference/semantic"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/record"
	"rxedge/sync/synctest"
)

// canary is whom a site could have been told about: nobody.
const canary = "Quetzalmann"

// window of a day in which canaries stand where a site could put a word, each of them
// asked often enough to be told.
func window(from time.Time, renal int) *telemetry.Window {
	w := telemetry.NewWindow(from, from.AddDate(0, 0, 1), "", "gen-"+canary)
	for i := range 200 {
		var o telemetry.Observation
		for d := range o.In {
			o.In[d] = telemetry.None
		}
		o.In[telemetry.Outcome] = "answered"
		o.In[telemetry.Kind] = "dose"
		if i < renal {
			o.In[telemetry.Kind] = "renal"
		}
		switch {
		case i < 40:
			o.In[telemetry.Class], o.In[telemetry.Cohort], o.In[telemetry.Section] = "Mr-"+canary, canary, canary
		case i < 45: // too few to be told
			o.In[telemetry.Class], o.In[telemetry.Cohort] = "opioid", "0-17"
		default:
			o.In[telemetry.Class], o.In[telemetry.Cohort] = "statin", "65+"
		}
		o.Abstained = i < 5
		w.Add(&o)
	}
	return w
}

func cause() *fleet.Cause {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	c := &fleet.Cause{Kind: monitor.DataDrift, Feature: "kind", Sites: []string{"pharmacy-" + strings.ToLower(canary)}, Fleet: true,
		Found: []fleet.Found{
			{Site: "pharmacy-" + strings.ToLower(canary), Told: true, Alarm: monitor.Alarm{Kind: monitor.DataDrift, Level: monitor.Act, Feature: "kind", By: "cohort", Value: canary, Figure: 0.5, N: 200, Text: canary + " asked"}},
			{Alarm: monitor.Alarm{Kind: "kind of " + canary, Level: canary, Feature: canary, By: canary, Value: canary, Figure: 0.4, N: 11, Text: canary}},
			{Alarm: monitor.Alarm{Kind: monitor.DataDrift, Level: monitor.Act, Feature: "class", By: "class", Value: "statin", Figure: 0.9, N: 10}}, // of too few
		}}
	c.Lineage = fleet.Lineage{Generations: []string{canary}, From: from, To: from.AddDate(0, 0, 7), Windows: 2, Baseline: &fleet.Scope{From: from.AddDate(0, 0, -7), To: from, Questions: 10},
		Hashes: []fleet.WindowHash{{Site: "pharmacy-" + canary, Day: "2026-11-02", Generation: canary, SHA256: strings.Repeat("b", 64)}, {Site: "a", SHA256: strings.Repeat("a", 64)}, {Site: "a", SHA256: canary}}}
	return c
}

// Whatever sites have put into their windows and alarms, a request has words of our own
// alone, no site, and no count of fewer than eleven; it is as its schema says.
func TestRequestTellsOfNobody(t *testing.T) {
	t.Parallel()
	f, tr := centre(t)
	c := cause()
	d, err := describe(c, window(c.Lineage.From, 120), window(c.Lineage.From.AddDate(0, 0, -7), 20))
	if err != nil {
		t.Fatal(err)
	}
	m := ask(t, f, c)
	q := &Request{Schema: Schema, ID: m.ID, Record: m.Hash.String(), Requested: m.At, Approved: m.Decided.At, Deadline: m.Decided.At.Add(time.Hour),
		Model: Wanted{Kind: KindEmbedder, Format: FormatStatic, MaxBytes: 1 << 20}, Drift: d.drift, Windows: d.windows, Questions: d.questions, Beat: Beat{Answers: d.rates}}
	if _, err := tr.fill(q, tr.Dir(m.ID)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(tr.Dir(m.ID), RequestFile))
	if err != nil {
		t.Fatal(err)
	}
	if low := bytes.ToLower(b); bytes.Contains(low, []byte(strings.ToLower(canary))) || bytes.Contains(low, []byte("pharmacy")) {
		t.Errorf("it tells what a site has put in:\n%s", b)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(RequestSchema))
	if err != nil {
		t.Fatal(err)
	}
	k := jsonschema.NewCompiler()
	if err := k.AddResource("request.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := k.Compile("request.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Error(err)
	}
	got := func(shares []Share) (out []string) {
		for _, s := range shares {
			out = append(out, fmt.Sprint(s.Value, " ", s.N))
		}
		return out
	}
	if x := got(q.Questions.Classes); !slices.Equal(x, []string{"statin 155", "other 40"}) {
		t.Errorf("classes %q", x)
	}
	if x := got(q.Questions.Cohorts); !slices.Equal(x, []string{"65+ 155", "other 40"}) {
		t.Errorf("cohorts %q", x)
	}
	if x := q.Questions.Kinds[0]; x.Value != "renal" || x.N != 120 || x.Weight != 0.6 || x.Before.N != 20 {
		t.Errorf("%+v", x)
	}
	if len(q.Drift) != 2 || q.Drift[0].Value != telemetry.Other || q.Drift[1].Feature != telemetry.Other || q.Windows.Sites != 1 || q.Windows.Compared != nil || len(q.Windows.SHA256) != 2 || q.Windows.SHA256[0][0] != 'a' {
		t.Errorf("%+v\n%+v", q.Drift, q.Windows)
	}
	if q.Beat.Answers.Abstained != nil { // five of 200
		t.Errorf("%v", *q.Beat.Answers.Abstained)
	}
}

// A request reads again as it was written, and nothing else is read.
func TestParseRequest(t *testing.T) {
	t.Parallel()
	f, tr := centre(t)
	m := ask(t, f, cause())
	if _, err := tr.Step(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(tr.Dir(m.ID), RequestFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRequest(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{`"schema": 1`: `"schema": 2`, `"id": "retrain-1"`: `"id": "../x"`, `"file": "documents.jsonl"`: `"file": "../../etc/passwd"`, `"kind": "embedder"`: `"kind": "generator"`, `"golden": []`: `"golden": [], "question": "x"`, "{": "[{"} {
		bad := strings.Replace(string(b), from, to, 1)
		if _, err := ParseRequest(strings.NewReader(bad)); !errors.Is(err, ErrRequest) || bad == string(b) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"schema":1,"id":"retrain-1","model":{"kind":"embedder","format":"rxedge-static","max_bytes":1}}`))
	f.Add([]byte(`{"schema":9}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := ParseRequest(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, _, err := q.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseRequest(bytes.NewReader(again)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseMetrics(f *testing.F) {
	f.Add([]byte(`{"schema":1,"request":"retrain-1","held_out":{"questions":3}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMetrics(b)
		var no *RefusedError
		if err != nil && !errors.As(err, &no) {
			t.Fatal(err)
		}
		if err == nil {
			_ = (&Beat{}).judge(m)
		}
	})
}

// centre is a folder without a hub, and its trainer.
func centre(t *testing.T) (*central.Folder, *Trainer) {
	t.Helper()
	f, err := central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "test", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	return f, of(f)
}

// of a folder, the trainer; it gives nothing to the hub.
func of(f *central.Folder) *Trainer {
	o := DefaultOptions()
	o.Local = true
	return &Trainer{Folder: f, Options: o, Line: func(_ string, c []byte) ([]byte, error) { return bytes.TrimSpace(c), nil }, Push: func(context.Context) error { return nil }}
}

// ask for training, approved.
func ask(t *testing.T, f *central.Folder, c *fleet.Cause) *central.Matter {
	t.Helper()
	m, _, err := f.OpenMatter(central.RetrainRequested, c.Key(), c, 0, central.By{Who: "controller"})
	if err == nil {
		m, err = f.Decide(m.ID, true, central.By{Who: "ann"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// made is a model and metrics for a request.
func made(t *testing.T, id, name string) (model, metrics string) {
	t.Helper()
	b, err := semantic.Write(name, "none", "test", 2, []string{"[UNK]", "[CLS]", "[SEP]", "renal"}, "kidney\trenal\n", []float32{0, -1, 0, 0, 0, 0, 3, 1})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	m, err := json.Marshal(Metrics{Schema: Schema, Request: id, Model: hex.EncodeToString(sum[:]), HeldOut: Contest{Questions: 20, Champion: Quality{NDCG10: 0.5}, Challenger: Quality{NDCG10: 0.6}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	model, metrics = filepath.Join(dir, "m.rxe"), filepath.Join(dir, "m.json")
	if err := errors.Join(os.WriteFile(model, b, 0o600), os.WriteFile(metrics, m, 0o600)); err != nil {
		t.Fatal(err)
	}
	return model, metrics
}

// Killed after any act and before it is on record, the next run does not act twice: there
// is one folder, one bundle, one rollout, one record of each.
func TestKilledBetweenActAndRecord(t *testing.T) {
	t.Parallel()
	fl := synctest.NewFleet(t)
	fl.Enroll(t, filepath.Join(t.TempDir(), "sync"), "box-1", "stable")
	f, tr := fl.Folder, of(fl.Folder)
	tr.Options.Trial = []byte(`{"format":1,"id":"embedder","percent":0,"promotion":"patch"}`)
	publishOne(t, f)
	m := ask(t, f, cause())
	if _, err := tr.export(m); err != nil { // and killed
		t.Fatal(err)
	}
	again := func(state string) *central.Matter {
		t.Helper()
		var m2 *central.Matter
		for range 2 { // an event comes twice
			var err error
			if m2, err = tr.Step(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
		}
		if m2.State != state {
			t.Fatalf("%s, not %s", m2.State, state)
		}
		return m2
	}
	again("exported")
	model, metrics := made(t, m.ID, "made")
	for range 2 {
		if _, err := tr.Register(t.Context(), m.ID, model, metrics, central.By{Who: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	now, err := tr.matter(m.ID)
	if err != nil {
		t.Fatal(err)
	}
	first, err := tr.publish(t.Context(), now) // and killed
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.create(t.Context(), now, first); err != nil { // and killed
		t.Fatal(err)
	}
	tr.Options.Trial = nil // whoever goes on was started otherwise: what is published stays
	if p, err := PublishedOf(again("rolling")); err != nil || *p != *first || p.Trial != "embedder" {
		t.Errorf("%+v, %v, want %+v", p, err, first)
	}
	all, err := f.Manifests()
	if err != nil || len(all) != 2 || len(all[0].Artefacts) != 2 {
		t.Fatalf("%d bundles, %v", len(all), err)
	}
	rs, err := f.Rollouts()
	if err != nil || len(rs) != 1 || rs[0].Bundle != first.Bundle || rs[0].Plan.Silence != trialSilence {
		t.Fatalf("%+v, %v", rs, err)
	}
	if _, err := f.AbortRollout("stable", first.Bundle, false, central.By{Who: "ann", Reason: "worse"}); err != nil {
		t.Fatal(err)
	}
	again("rolled_back")
	records, err := f.FleetRecords()
	if err != nil || len(records) != 7 { // requested, approved, exported, registered, published, rolling, rolled_back
		t.Errorf("%d records, %v", len(records), err)
	}
	if tmp, err := filepath.Glob(filepath.Join(f.Dir, "retrain", ".new-*")); err != nil || len(tmp) > 0 {
		t.Errorf("%v is left, %v", tmp, err)
	}
}

// A model's plan takes the place of any that the channel has; without one the plan of an
// earlier model goes, and what somebody else published stays.
func TestPlanGoesWithItsModel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ plan, want string }{{"", "june.json retrain-1.rxe"}, {`{"format":1,"id":"embedder","percent":0,"promotion":"patch"}`, "retrain-1.rxe " + TrialFile}} {
		f, tr := centre(t)
		dir := t.TempDir()
		rel := central.Release{Channel: "stable"}
		for _, name := range []string{"june.json", TrialFile} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(`{"format":1,"id":"june","percent":0,"promotion":"patch"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			rel.Files = append(rel.Files, central.File{Name: name, Kind: bundle.KindTrial, Path: path})
		}
		if _, err := f.Publish(rel); err != nil {
			t.Fatal(err)
		}
		m := ask(t, f, cause())
		if _, err := tr.Step(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
		model, metrics := made(t, m.ID, "made")
		m, err := tr.Register(t.Context(), m.ID, model, metrics, central.By{Who: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		tr.Options.Trial = []byte(c.plan)
		p, err := tr.publish(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		all, err := f.Manifests()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range all[0].Artefacts {
			names = append(names, a.Name)
		}
		if slices.Sort(names); strings.Join(names, " ") != c.want || (p.Trial != "") != (c.plan != "") {
			t.Errorf("%v, want %s; %+v", names, c.want, p)
		}
	}
}

// The hub's events are taken up at once, and those that came while nobody listened when
// somebody does again: each once.
func TestRunFollowsTheHub(t *testing.T) {
	t.Parallel()
	fl := synctest.NewFleet(t)
	tr := of(fl.Folder)
	tr.Options.Local = false
	exported := make(chan string, 4)
	tr.Tell = func(m *central.Matter) { exported <- m.ID + " " + m.State }
	request := func(feature string) string {
		t.Helper()
		c := cause()
		c.Feature = feature
		m := ask(t, fl.Folder, c)
		if _, err := fl.PublishRecords(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return m.ID
	}
	run := func(ids ...string) {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- tr.Run(ctx, time.Hour, func(err error) { t.Log(err) })
		}()
		if len(ids) == 0 {
			ids = append(ids, request("kind"))
		}
		for _, id := range ids {
			select {
			case got := <-exported:
				if got != id+" exported" {
					t.Errorf("%s, not %s", got, id)
				}
			case <-time.After(60 * time.Second):
				t.Fatal("nobody took it up")
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	run()
	run(request("class"), request("section"))
	select {
	case got := <-exported:
		t.Errorf("%s came twice", got)
	default:
	}
	if records, err := fl.FleetRecords(); err != nil || len(records) != 9 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// publishOne document, so that there is something to go back to.
func publishOne(t *testing.T, f *central.Folder) {
	t.Helper()
	if _, err := f.Publish(central.Release{Channel: "stable", Documents: func(yield func(bundle.Document, error) bool) {
		yield(bundle.Document{ID: "a", Parts: [][]byte{[]byte(`{"id":"a"}`)}}, nil)
	}}); err != nil {
		t.Fatal(err)
	}
}

// While the hub is down each step is on record here, and none is made twice.
func TestHubDown(t *testing.T) {
	t.Parallel()
	f, tr := centre(t)
	tr.Options.Local = false
	down := errors.New("the hub is down")
	tr.Push = func(context.Context) error { return down }
	publishOne(t, f)
	m := ask(t, f, cause())
	if _, err := tr.Step(t.Context(), m.ID); err == nil {
		t.Fatal("the hub that is down took a record")
	}
	model, metrics := made(t, m.ID, "made")
	if _, err := tr.Register(t.Context(), m.ID, model, metrics, central.By{Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := tr.Step(t.Context(), m.ID); !errors.Is(err, down) || got.State != "registered" {
			t.Fatal(got, err)
		}
	}
	if all, err := f.Manifests(); err != nil || len(all) != 2 {
		t.Fatalf("%d bundles, %v", len(all), err)
	}
}

// What is registered has to be what was asked for, in time, and no worse.
func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	f, tr := centre(t)
	m := ask(t, f, cause())
	by := central.By{Who: "ann"}
	refused := func(why, model, metrics string) {
		t.Helper()
		var no *RefusedError
		if _, err := tr.Register(t.Context(), m.ID, model, metrics, by); !errors.As(err, &no) || !strings.Contains(no.Reason, why) {
			t.Errorf("%s: %v", why, err)
		}
	}
	model, metrics := made(t, m.ID, "made")
	refused("was not exported", model, metrics)
	if _, err := tr.Step(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) string {
		p := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	refused("does not load", write([]byte("GGUF")), metrics)
	other, _ := made(t, m.ID, "other")
	refused("the metrics are of", other, metrics)
	refused("can't be read", model, write([]byte(`{"schema":1,"text":"x"}`)))
	raw, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	worse := bytes.Replace(raw, []byte(`"ndcg@10":0.6`), []byte(`"ndcg@10":0.4`), 1)
	refused("the champion has 0.5000", model, write(worse))
	golden := bytes.Replace(raw, []byte(`"golden":null`), []byte(`"golden":{"questions":9,"champion":{"ndcg@10":0.9},"challenger":{"ndcg@10":0.8}}`), 1)
	refused("golden questions", model, write(golden))
	tr.Measure = func(context.Context, string, *Request, string) (*Metrics, error) {
		x, err := ParseMetrics(raw)
		x.HeldOut.Challenger.NDCG10 = 0.1
		return x, err
	}
	refused("measured here it is 0.1", model, metrics)
	tr.Measure = nil
	// Somebody changed what was exported.
	path := filepath.Join(tr.Dir(m.ID), RequestFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(whole, ' '), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Register(t.Context(), m.ID, model, metrics, by); err == nil || !strings.Contains(err.Error(), "not the one that is on record") {
		t.Error(err)
	}
}

// A request that no model came for expires; one that was declined is never exported.
func TestExpiredAndDeclined(t *testing.T) {
	t.Parallel()
	f, tr := centre(t)
	tr.Options.Deadline = time.Nanosecond
	m := ask(t, f, cause())
	got, err := tr.Step(t.Context(), m.ID)
	if err != nil || got.State != "expired" || !got.Ended() {
		t.Fatalf("%+v, %v", got, err)
	}
	c := cause()
	c.Feature = "class"
	d, _, err := f.OpenMatter(central.RetrainRequested, c.Key(), c, 0, central.By{Who: "controller"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Decide(d.ID, false, central.By{Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	if err := tr.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tr.Dir(d.ID)); err == nil {
		t.Error("what was declined was exported")
	}
	if _, _, err := f.Advance(d.ID, record.RetrainExported, 1, central.By{Who: "ann"}); err == nil {
		t.Error("a declined request was exported on record")
	}
}

// Templates are of kinds that questions are counted by, one of each held out.
func TestTemplates(t *testing.T) {
	t.Parallel()
	for kind, texts := range templates {
		if len(texts) < 2 {
			t.Errorf("%s has %d", kind, len(texts))
		}
		for _, x := range texts {
			if strings.Count(x, "{medicine}") != 1 {
				t.Errorf("%s: %q", kind, x)
			}
		}
	}
}
