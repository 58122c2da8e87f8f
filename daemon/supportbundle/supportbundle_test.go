package supportbundle

import (
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/config"
	"rxedge/daemon/health"
	"rxedge/daemon/rollout"
)

const canary = "zyxwvutina"

// What is not named stays, and what is named has to be of its kind: the canary in every
// field of every document leaves none of it.
func TestOnlyWhatIsNamed(t *testing.T) {
	t.Parallel()
	var every any
	fill := func(r Rules) any {
		doc := map[string]any{}
		for p := range r {
			at := doc
			parts := strings.Split(strings.TrimPrefix(strings.ReplaceAll(p, "[]", ""), "."), ".")
			for i, k := range parts {
				if i == len(parts)-1 {
					at[k] = canary
					break
				}
				next, ok := at[k].(map[string]any)
				if !ok {
					next = map[string]any{}
					at[k] = next
				}
				at = next
			}
		}
		doc["question"], doc[canary] = canary, canary
		return doc
	}
	for name, r := range map[string]Rules{"about": About, "status": Status, "doctor": Doctor, "index": Index, "rollout": Rollout, "sync": Sync, "history": SyncHistory, "cards": Cards, "disk": Disk, "stops": Stops} {
		every = fill(r)
		for _, doc := range []any{every, []any{every}, canary, map[string]any{"a": every}} {
			kept, err := r.Keep(doc, NewNames())
			if err != nil {
				t.Fatal(err)
			}
			b, _ := json.Marshal(kept)
			if strings.Contains(string(b), canary) {
				t.Errorf("%s lets through %s", name, b)
			}
		}
	}
}

// What is meant to leave leaves.
func TestWhatLeaves(t *testing.T) {
	t.Parallel()
	n := NewNames()
	h := api.Health{Ready: true, Version: "1.2.3", Generation: "gen-000012+3", Documents: 7, Started: time.Now(), Engine: "installed", Generator: &api.ModelState{Name: canary, Phase: "ready", Reason: canary},
		Conditions: []health.Finding{{Code: health.All()[0].Code, Severity: health.Error, Detail: canary, Fix: canary}}, Degraded: []string{canary}}
	kept, err := Status.Keep(h, n)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(kept)
	for _, want := range []string{`"generation":"gen-000012+3"`, `"version":"1.2.3"`, `"name":"model-1"`, `"code":"` + health.All()[0].Code + `"`, `"severity":"error"`, `"documents":7`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
	rs := []rollout.Record{{Seq: 1, At: time.Now(), Op: rollout.OpStage, ID: canary, By: canary, Reason: canary, Check: canary, Pair: &rollout.Pair{ID: canary, Generation: "gen-000001", Model: rollout.File{Name: canary}}}, {Seq: 2, Op: rollout.OpConfirm, ID: "bundle-7"}}
	if kept, err = Rollout.Keep(rs, n); err != nil {
		t.Fatal(err)
	}
	r, _ := json.Marshal(kept)
	for _, want := range []string{`"id":"pair-1"`, `"name":"model-1"`, `"op":"stage"`, `"id":"bundle-7"`} {
		if !strings.Contains(string(r), want) {
			t.Errorf("%s lacks %s", r, want)
		}
	}
	if all := string(b) + string(r); strings.Contains(all, canary) {
		t.Errorf("the canary is in %s", all)
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Model.Generator, c.Model.Mirror, c.Sync.Proxy = canary, "https://"+canary+".example", "http://a:"+canary+"@proxy:1"
	c.API.Clients = []config.Client{{Name: canary, TokenFile: "/" + canary}}
	c.Model.Adapters = []config.Adapter{{Name: canary, Base: canary, Path: canary}}
	b, _ := json.Marshal(ConfigurationOf(c.Values(nil), NewNames()))
	for _, want := range []string{`"key":"model.generator","from":"default","value":"model-1"`, `"key":"sync.proxy","from":"default","value":"set"`, `"key":"api.client","from":"default","value":"set"`,
		`"key":"answer.passages","from":"default","value":"8"`, `"key":"answer.stale","from":"default","value":"show"`, `"key":"listen","from":"default","value":"127.0.0.1:8731"`, `"key":"sample","from":"default","value":"true"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
	if strings.Contains(string(b), canary) {
		t.Errorf("the canary is in %s", b)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	const text = `# HELP zyxwvutina
rxedge_answers_total{mode="extractive",reason="",status="answered"} 14
rxedge_answers_total{mode="extractive",reason="unsafe",status="abstained"} 3
rxedge_answers_total{mode="zyxwvutina",reason="",status="answered"} 14
rxedge_fairness_refused{cohort="zyxwvutina"} 20
rxedge_model_restarts{model="zyxwvutina"} 2
rxedge_model_restarts{model="zyx\"wvutina"} 2
rxedge_abstained_ratio 0.1
rxedge_disk_free_bytes 5
zyxwvutina_total 3
go_goroutines 4
rxedge_x zyxwvutina
`
	b, err := Metrics(strings.NewReader(text), NewNames())
	if err != nil {
		t.Fatal(err)
	}
	const want = `rxedge_answers_total{mode="extractive",reason="",status="answered"} 11
rxedge_answers_total{mode="extractive",reason="unsafe",status="abstained"} <11
rxedge_model_restarts{model="model-1"} 2
rxedge_model_restarts{model="model-2"} 2
rxedge_disk_free_bytes 5
go_goroutines 4
`
	if string(b) != want {
		t.Errorf("got\n%swant\n%s", b, want)
	}
}

func TestFewAreNotTold(t *testing.T) {
	t.Parallel()
	f := func(x float64) *float64 { return &x }
	st := api.Station{Day: api.StationDay{Questions: 40, Abstained: f(.1), Failed: f(0), Grounded: f(.5), P50: f(3)}, Hours: []api.StationHour{{Questions: 7, Abstained: 2, P50: f(1)}, {Questions: 0}, {Questions: 30, Abstained: 15}}}
	got := TelemetryOf(st, NewNames())
	if got.Day.Abstained != nil || got.Day.Failed == nil || got.Day.Grounded == nil || got.Day.P50 == nil {
		t.Errorf("the day: %+v", got.Day)
	}
	if h := got.Hours[0]; h.Questions != nil || h.P50 != nil {
		t.Errorf("an hour of 7: %+v", h)
	}
	if h := got.Hours[1]; h.Questions == nil || *h.Questions != 0 {
		t.Errorf("an hour of none: %+v", h)
	}
	if h := got.Hours[2]; h.Abstained == nil || *h.Abstained != .5 {
		t.Errorf("an hour of 30: %+v", h)
	}
}

func TestRing(t *testing.T) {
	t.Parallel()
	var own string
	for m := range messages() {
		own = m
		break
	}
	r := NewRing(slog.NewTextHandler(io.Discard, nil))
	log := slog.New(r)
	log.Info(own, "documents", 7, "generation", "gen-000001", "took", time.Second, "error", canary, "what", canary, "questions", canary, canary, 1)
	log.Info(own+canary, "documents", 7)
	log.With("site", canary).WithGroup(canary).Warn(own, "documents", 7)
	b, _ := json.Marshal(r.Lines())
	if strings.Contains(string(b), canary) || !strings.Contains(string(b), `"attrs":{"documents":7,"generation":"gen-000001","took":"1s"}`) {
		t.Errorf("%s", b)
	}
	if n := len(r.Lines()); n != 3 {
		t.Errorf("%d lines", n)
	}
	for range linesKept + 5 {
		log.Info(own)
	}
	if ls := r.Lines(); len(ls) != linesKept || ls[0].Attrs != nil {
		t.Errorf("%d lines are kept, the first %+v", len(ls), ls[0])
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	attrs := map[string]string{"documents": "7", "took": "1.5s", "generation": "gen-000001", "error": canary, "what": canary, "questions": canary, canary: "1"}
	b, _ := json.Marshal([]Line{Cut(time.Unix(0, 0), "info", "ready", attrs), Cut(time.Unix(0, 0), canary, "ready "+canary, attrs)})
	if strings.Contains(string(b), canary) || !strings.Contains(string(b), `"message":"ready","attrs":{"documents":"7","generation":"gen-000001","took":"1.5s"}`) {
		t.Errorf("%s", b)
	}
}

// The stacks have functions, and the arguments of none.
func TestLook(t *testing.T) {
	t.Parallel()
	stop, begun := make(chan struct{}), make(chan struct{})
	go waits(canary+" quetzalmann", begun, stop)
	<-begun
	p := Look()
	close(stop)
	b, _ := json.Marshal(p)
	if !strings.Contains(string(b), "supportbundle.waits:") {
		t.Error("the goroutine is not there")
	}
	if strings.Contains(string(b), canary) {
		t.Error("an argument is there")
	}
	if kept := own(p.Goroutines); len(kept) < len(p.Goroutines)/2 {
		t.Errorf("%d of %d stacks are let through", len(kept), len(p.Goroutines))
	}
	if kept := own([]Stack{{Calls: []string{"main.f:1", canary + " x:2"}}}); len(kept) > 0 {
		t.Errorf("%v", kept)
	}
}

//go:noinline
func waits(_ string, begun, stop chan struct{}) {
	close(begun)
	<-stop
}
