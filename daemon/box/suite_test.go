package box

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
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
