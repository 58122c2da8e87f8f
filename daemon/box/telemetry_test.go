package box

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/config"
	"rxedge/daemon/feedback"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/alerts"
	"rxedge/inference/gpu"
)

// Questions are counted, with what was said of the answers, over a restart; and
// nothing that a person wrote is in the log, the metrics or the store of telemetry.
func TestTelemetryOfABox(t *testing.T) {
	t.Parallel()
	const canary = "Zyxwvutina"
	var logged bytes.Buffer
	cfg := config.Default()
	cfg.Data = t.TempDir()
	cfg.Model.Embedder = config.None
	ctx := context.Background()
	open := func() *Box {
		b, err := Open(ctx, cfg, slog.New(slog.NewTextHandler(&logged, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	if _, err := b.IngestSample(ctx); err != nil {
		t.Fatal(err)
	}
	a, err := b.Ask(ctx, answer.Question{Text: "Can metformin be started with an eGFR of 40?", Cohort: "65+"}, answer.Events{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.AddFeedback(ctx, feedback.Item{AnswerID: a.ID, Thumb: feedback.Down, Correction: canary + " was given 500 mg"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Ask(ctx, answer.Question{Text: "What does " + canary + " weigh?"}, answer.Events{}); err != nil {
		t.Fatal(err)
	}
	// A cohort of no list may be a person's name: it is told, not said again, and not kept.
	named := strings.ToLower(canary)
	if a, err = b.Ask(ctx, answer.Question{Text: "What is the dose of warfarin?", Cohort: named}, answer.Events{}); err != nil {
		t.Fatal(err)
	}
	if out, err := json.Marshal(a); err != nil || !strings.Contains(a.CohortNote, "0-17, 18-64, 65+") || strings.Contains(string(out), named) || a.Cohort != telemetry.Other {
		t.Errorf("%v, %q of cohort %q", err, a.CohortNote, a.Cohort)
	}
	if _, err := b.Ask(ctx, answer.Question{Text: "dose?", Cohort: canary + " Meyer"}, answer.Events{}); err == nil {
		t.Error("a cohort may be anything")
	}
	// A slow one, with the canary wherever there is room for words.
	b.observeNumbers(&answer.Answer{Question: "Does " + canary + " sleep?", Status: answer.StatusAnswered, Mode: canary, Message: canary, Severity: canary, Cohort: canary + " Meyer",
		Claims:    []answer.Claim{{Text: canary, Support: canary, Citations: []answer.Citation{{LOINC: "34068-7", Quote: canary, SectionTitle: canary}}}},
		Fallbacks: []answer.Fallback{{Name: canary, Text: canary}}, Notices: []string{canary}, Timings: answer.Timings{Generate: 700, Total: 800}}, nil)
	for what, v := range map[string]func() (any, error){
		"the station's page": func() (any, error) { return b.Station(ctx) },
		"slow traces":        func() (any, error) { return b.Slow(ctx, 1) },
	} {
		got, err := v()
		if err != nil {
			t.Fatal(err)
		}
		if data, err := json.Marshal(got); err != nil || strings.Contains(strings.ToLower(string(data)), strings.ToLower(canary)) || !strings.Contains(string(data), "generat") {
			t.Errorf("%s: %v, %.2000s", what, err, data)
		}
	}
	rec := httptest.NewRecorder()
	b.Metrics().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if m := rec.Body.String(); !strings.Contains(m, "rxedge_abstained_ratio") || strings.Contains(m, canary) {
		t.Errorf("metrics: %.400s", m)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open()
	got, err := b.Telemetry(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got.Questions != 5 || got.Distinct != 4 || got.Approved == nil || *got.Approved != 0 || got.Failed == nil || *got.Failed == 0 {
		t.Errorf("%+v", got)
	}
	if s := got.By["cohort"]["65+"]; s == nil || s.N != 1 || s.Judged.N() != 1 {
		t.Errorf("cohorts %v", got.By["cohort"])
	}
	if s := got.By["kind"]["renal"]; s == nil || s.N != 1 {
		t.Errorf("kinds %v", got.By["kind"])
	}
	if s := got.By["class"]["biguanide"]; s == nil {
		t.Errorf("classes %v", got.By["class"])
	}
	if strings.Contains(logged.String(), canary) {
		t.Error("the log holds the canary")
	}
	err = filepath.WalkDir(filepath.Join(cfg.Data, "telemetry"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(bytes.ToLower(data), []byte(strings.ToLower(canary))) {
			t.Errorf("%s holds the canary", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What the alert rules read of cards and of the link is there where there are any;
// the rest is looked for in a running daemon.
func TestAlertsReadWhatIsThere(t *testing.T) {
	t.Parallel()
	b := openBox(t, nil)
	b.cards.mu.Lock()
	b.cards.watched = true
	b.cards.mu.Unlock()
	hot := 60
	b.cards.saw(gpu.Snapshot{Cards: []gpu.Card{{Name: "a card", Temperature: gpu.Temperature{Now: &hot}}}}, nil)
	metrics := scrape(t, b) + linkConnected.Desc.String()
	found := 0
	for _, name := range regexp.MustCompile(`rxedge_(gpu|ladder|link)_[a-z_]+`).FindAllString(string(alerts.Rules), -1) {
		if found++; !strings.Contains(metrics, name) {
			t.Errorf("a rule reads %s, which is not in the metrics", name)
		}
	}
	if found < 4 {
		t.Errorf("%d rules are of cards or of the link", found)
	}
}

// Questions are counted by what they are near to by meaning, once the sentences they
// are counted by have vectors in the generation that serves; slow ones leave a trace.
func TestOccupancy(t *testing.T) {
	t.Parallel()
	b := openBox(t, nil)
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask := func(q string) *answer.Answer {
		a, err := b.Ask(t.Context(), answer.Question{Text: q, Fresh: true}, answer.Events{})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask("Can metformin be started with an eGFR of 40?"); len(a.Vector()) == 0 {
		t.Fatal("the question has no vector")
	} else if data, err := json.Marshal(a); err != nil || strings.Contains(strings.ToLower(string(data)), "vector") {
		t.Errorf("the vector is in the answer: %v", err)
	}
	b.telemetry.anchors.made.Wait()
	for _, q := range []string{"dose of metformin in renal impairment by eGFR", "metformin dosage with kidney impairment and eGFR 35", "warfarin in pregnancy, harm to the fetus", "Is warfarin safe for the fetus in pregnancy?"} {
		ask(q)
	}
	tel, err := b.Telemetry(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	by := tel.By["occupancy"]
	if by["c2"] == nil || by["c2"].N != 2 || by["c5"] == nil || by["c5"].N != 2 || by["none"] == nil || by["none"].N != 1 {
		t.Errorf("occupancy %v", slices.Collect(maps.Keys(by)))
	}
	b.observeNumbers(&answer.Answer{Status: answer.StatusAnswered, Mode: answer.ModeExtractive, Timings: answer.Timings{Retrieve: 280, Total: 500}}, nil)
	slow, err := b.Slow(t.Context(), 1)
	if err != nil || len(slow) == 0 || slow[0].Stages["retrieve"] != 280 || slow[0].Rest != 220 {
		t.Errorf("%+v, %v", slow, err)
	}
	if _, err := b.Slow(t.Context(), -1); err == nil {
		t.Error("hours may be anything")
	}
}

// A question lies where it lay after the index was fitted to other documents: its vector
// turns, what is counted of it stays.
func TestProjectionsOutliveAGeneration(t *testing.T) {
	t.Parallel()
	b := openBox(t, nil)
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask := func() *answer.Answer {
		a, err := b.Ask(t.Context(), answer.Question{Text: "What is the maximum daily dose of metformin?", Fresh: true}, answer.Events{})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	before := ask()
	if _, err := b.Withdraw(t.Context(), []string{"sample-warfarin"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Index.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	after := ask()
	if before.Generation == after.Generation || slices.Equal(before.Vector(), after.Vector()) {
		t.Fatalf("the generation %s was not made anew: %s", before.Generation, after.Generation)
	}
	if x, y := telemetry.Project(b.space(before)), telemetry.Project(b.space(after)); x != y || x.Space == 0 {
		t.Errorf("it lay in %v and lies in %v", x, y)
	}
	hours, err := b.telemetry.recorder.Hours(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := telemetry.Sum(hours)
	if err != nil || len(sum.Spaces) != 1 {
		t.Fatalf("%+v, %v", sum, err)
	}
	for _, s := range sum.Spaces {
		most := int64(0)
		for _, n := range s.Bins[0] {
			most = max(most, n)
		}
		if most != 2 || s.By[0]["dose"] == nil || s.By[0]["dose"].N != 2 {
			t.Errorf("%+v", s)
		}
	}
}

func BenchmarkObserveNumbers(b *testing.B) {
	cfg := config.Default()
	cfg.Data = b.TempDir()
	x, err := Open(b.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	if _, err := x.IngestSample(b.Context()); err != nil {
		b.Fatal(err)
	}
	a, err := x.Ask(b.Context(), answer.Question{Text: "Can metformin be started with an eGFR of 40?", Cohort: "65+", Fresh: true}, answer.Events{})
	if err != nil {
		b.Fatal(err)
	}
	x.telemetry.anchors.made.Wait()
	if x.nearest(a) < 0 {
		b.Fatal("the question is near nothing")
	}
	b.ReportAllocs()
	for b.Loop() {
		x.observeNumbers(a, nil)
	}
}
