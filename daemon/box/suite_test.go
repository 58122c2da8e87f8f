package box

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/monitor"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/config"
	"rxedge/daemon/suite"
)

// Golden questions are asked on a real index, kept as numbers, compared with the run
// before, counted in the ledger and not among people's questions.
func TestSuite(t *testing.T) {
	t.Parallel()
	const canary = "Zyxwvutina"
	b := openBox(t, nil)
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	enc := json.NewEncoder(&file)
	for _, q := range []map[string]any{
		{"id": canary + "-1", "question": "Can metformin be started with an eGFR of 40?", "kind": "renal", "relevant": []string{"sample-metformin#dosage-in-renal-impairment"},
			"answer": "Starting metformin is not recommended when the eGFR is between 30 and 45 mL/min/1.73 m²."},
		{"id": "2", "question": "What does " + canary + " weigh?", "kind": canary + " Meyer", "relevant": []string{}},
	} {
		if err := enc.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	d, err := b.Document(t.Context(), "sample-metformin")
	if err != nil {
		t.Fatal(err)
	}
	known := false
	for _, s := range d.Sections {
		if s.Title == "Dosage in Renal Impairment" {
			known = true
			file = *bytes.NewBuffer(bytes.ReplaceAll(file.Bytes(), []byte("sample-metformin#dosage-in-renal-impairment"), []byte(s.ID)))
		}
	}
	if !known {
		t.Fatal("the sample has no such section")
	}
	req := SuiteRequest{Name: "golden.jsonl", Questions: file.Bytes(), Ablation: true}
	asked := 0
	run, err := b.Suite(t.Context(), req, func(p SuiteProgress) { asked = p.Done })
	if err != nil || asked != 2 {
		t.Fatalf("%d asked, %v", asked, err)
	}
	for name, v := range map[string]*float64{"recall@5": run.Recall5, "mrr": run.MRR, "ndcg@10": run.NDCG10, "faithfulness": run.Faithfulness, "abstention": run.Abstention} {
		if v == nil || *v != 1 {
			t.Errorf("%s: %v", name, v)
		}
	}
	if run.RougeL == nil || *run.RougeL <= 0.2 || run.Composite == nil || math.Abs(*run.Composite-(0.85+0.15**run.RougeL)) > 1e-12 {
		t.Errorf("ROUGE-L %v, composite %v", run.RougeL, run.Composite)
	}
	if f, ok := run.Ablation[suite.WithoutVectors]; !ok || f.NDCG10 == nil || len(run.Ablation) != 2 {
		t.Errorf("ablation %+v", run.Ablation)
	}
	if _, err := b.Suite(t.Context(), req, nil); err != nil {
		t.Fatal(err)
	}
	h, err := b.SuiteHistory(t.Context())
	if err != nil || len(h.Runs) != 2 || h.Runs[1].Change["mrr"].Pairs != 1 {
		t.Errorf("history %+v, %v", h, err)
	}
	l, err := b.SuiteLedger(t.Context())
	if err != nil || len(l.Sets) != 1 || l.Sets[0].Times != 2 {
		t.Errorf("ledger %+v, %v", l, err)
	}
	if tel, err := b.Telemetry(t.Context(), 1); err != nil || tel.Questions != 0 {
		t.Errorf("%d questions are counted, %v", tel.Questions, err)
	}
	if _, err := b.Suite(t.Context(), SuiteRequest{Name: "x", Questions: []byte("noise")}, nil); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a file that can't be read: %v", err)
	}
	without(t, filepath.Join(b.Config.Data, "suite"), canary)
}

// without looks for a word in all files of a folder.
func without(t *testing.T, dir, word string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if bytes.Contains(bytes.ToLower(data), []byte(strings.ToLower(word))) || strings.Contains(strings.ToLower(path), strings.ToLower(word)) {
			t.Errorf("%s holds the canary", path)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files in %s, %v", files, dir, err)
	}
}

// What gets worse overnight is an alarm: in the log, among the alarms, in the metrics, on
// the page though nothing else is known of the model yet, and what goes to the centre can
// be read there. It is gone when the answers are as they were.
func TestWorseOvernight(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "golden.jsonl")
	var logged bytes.Buffer
	cfg := config.Default()
	cfg.Data, cfg.Suite.Questions, cfg.Suite.Hours = t.TempDir(), file, config.Hours{From: 0, To: 24*time.Hour - time.Minute}
	b, err := Open(t.Context(), cfg, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	docs, err := b.Documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var questions bytes.Buffer
	for _, d := range docs {
		whole, err := b.Document(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		s := whole.Sections[0]
		line, err := json.Marshal(map[string]any{"id": d.ID, "kind": "indication", "question": "What is " + d.Title + " used for?", "relevant": []string{s.ID}, "answer": s.Text})
		if err != nil {
			t.Fatal(err)
		}
		questions.Write(append(line, '\n'))
	}
	if err := os.WriteFile(file, questions.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	quality := func() (out []monitor.Open) {
		tel, err := b.Telemetry(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tel.Models {
			for _, a := range m.Alarms {
				if a.Kind == monitor.Quality {
					out = append(out, a)
				}
			}
		}
		return out
	}
	night := func() { b.suiteOfTheNight(t.Context(), nil) }
	night()
	if as := quality(); len(as) != 0 {
		t.Fatalf("after one night: %+v", as)
	}
	var gone []string
	for i, d := range docs {
		if i%2 == 0 {
			gone = append(gone, d.ID)
		}
	}
	if _, err := b.Withdraw(t.Context(), gone, nil); err != nil {
		t.Fatal(err)
	}
	night()
	night()
	as := quality()
	if len(as) != 1 || as[0].Level != monitor.Act || as[0].Figure < 0.1 || as[0].P >= suite.FallP || as[0].Days != 2 || as[0].N != int64(len(docs)) {
		t.Fatalf("half the documents are gone: %+v", as)
	}
	if n := strings.Count(logged.String(), "answers have changed"); n != 1 || !strings.Contains(logged.String(), "kind=quality") {
		t.Errorf("the log tells of it %d times: %s", n, logged.String())
	}
	sent, err := json.Marshal(b.telemetry.unsent)
	if err != nil || len(b.telemetry.unsent) != 1 {
		t.Fatalf("%s waits for the centre, %v", sent, err)
	}
	one, err := json.Marshal(b.telemetry.unsent[0])
	if err != nil {
		t.Fatal(err)
	}
	if a, err := fleet.ReadAlarm(one); err != nil || a.Kind != monitor.Quality {
		t.Errorf("the centre reads %+v, %v", a, err)
	}
	if m := scrape(t, b); !strings.Contains(m, `rxedge_alarm_open{by="metric",feature="composite",kind="quality"`) {
		t.Error("it is not in the metrics")
	}
	page, err := b.Station(t.Context())
	if err != nil || len(page.Models) != 1 || len(page.Models[0].Alarms) != 1 {
		t.Errorf("the page is given %+v, %v", page.Models, err)
	}
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	night()
	if as := quality(); len(as) != 0 {
		t.Errorf("the documents are back: %+v", as)
	}
}

// At night, once, and not after the hours are over.
func TestSuiteOfTheNight(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "golden.jsonl")
	if err := os.WriteFile(file, []byte(`{"id":"1","question":"maximum daily dose of metformin","relevant":[]}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := openBox(t, func(c *config.Config) {
		c.Suite.Questions, c.Suite.Hours = file, config.Hours{From: 0, To: 24*time.Hour - time.Minute}
	})
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	noon := time.Now().Truncate(24 * time.Hour).Add(12 * time.Hour)
	if !b.suiteDue(noon) {
		t.Fatal("it is not due")
	}
	ticks := make(chan time.Time)
	b.suiteOfTheNight(t.Context(), ticks)
	h, err := b.SuiteHistory(t.Context())
	if err != nil || len(h.Runs) != 1 || h.Runs[0].By != SuiteNight {
		t.Fatalf("%+v, %v", h, err)
	}
	if at := h.Runs[0].At; b.suiteDue(at.Add(time.Minute)) || !b.suiteDue(at.Add(23*time.Hour)) && b.Config.Suite.Hours.Contains(at.Add(23*time.Hour)) {
		t.Error("it is due again at once, or not the next night")
	}
	b.Config.Suite.Hours = config.Hours{From: time.Hour, To: 2 * time.Hour}
	if b.suiteDue(noon) {
		t.Error("it is due at noon")
	}
}

// A night comes once, whatever the clock was when the one before was asked.
func TestSuiteMindsTheClock(t *testing.T) {
	t.Parallel()
	night := time.Date(2026, 11, 30, 2, 0, 0, 0, time.Local)
	b := openBox(t, func(c *config.Config) {
		c.Suite.Questions, c.Suite.Hours = "x", config.Hours{From: time.Hour, To: 5 * time.Hour}
	})
	add := func(at time.Time) {
		t.Helper()
		if err := b.suite().Add(&suite.Run{At: at.UTC(), By: SuiteNight, Set: "0123456789"}); err != nil {
			t.Fatal(err)
		}
	}
	due := func(at time.Time, want bool) {
		t.Helper()
		if b.suiteDue(at) != want {
			t.Errorf("at %s it is due: %v", at, !want)
		}
	}
	due(night, true)
	add(night.AddDate(14, 0, 0)) // by a clock that was ahead
	due(night, true)
	add(night)
	due(night.Add(time.Hour), false)
	due(night.AddDate(0, 0, 1), true)
	due(night.Add(10*time.Hour), false)
}
