package box

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/daemon/config"
	"rxedge/daemon/feedback"
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
	if _, err := b.Ask(ctx, answer.Question{Text: "dose?", Cohort: canary + " Meyer"}, answer.Events{}); err == nil {
		t.Error("a cohort may be anything")
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
	if got.Questions != 3 || got.Distinct != 2 || got.Approved == nil || *got.Approved != 0 || got.Failed == nil || *got.Failed == 0 {
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
