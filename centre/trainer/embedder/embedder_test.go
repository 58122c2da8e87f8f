package embedder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/centre/trainer"
	"rxedge/index/document"
	"rxedge/inference/semantic"
)

// folder of a request over a few labels.
func folder(t *testing.T) (dir string, q *trainer.Request) {
	t.Helper()
	dir = t.TempDir()
	q = &trainer.Request{ID: "retrain-1", Model: trainer.Wanted{Champion: trainer.Champion{Builtin: true}}, Documents: trainer.Documents{File: trainer.DocumentsFile}}
	q.Questions.Kinds = []trainer.Share{{Value: "renal", N: 900, Weight: 0.9}, {Value: "dose", N: 100, Weight: 0.1}}
	q.Questions.Templates = map[string][]trainer.Template{
		"renal": {{Text: "bad kidneys and {medicine}"}, {Text: "{medicine} with weak kidneys", HeldOut: true}},
		"dose":  {{Text: "how much {medicine} a day"}, {Text: "{medicine} daily amount", HeldOut: true}},
	}
	var b bytes.Buffer
	for _, name := range strings.Fields("apixaban warfarin metformin lisinopril atorvastatin sertraline ibuprofen morphine omeprazole losartan") {
		d := document.Document{ID: name, Title: name, Names: []document.Name{{Text: name, Kind: "generic"}}}
		for loinc, text := range map[string]string{"88828-9": "Clearance of %s falls with the eGFR; halve it below 30 mL/min.", "34068-7": "Take %s once daily, 10 mg with water."} {
			d.Sections = append(d.Sections, document.Section{ID: name + "#" + loinc, LOINC: loinc, Title: map[string]string{"88828-9": "Renal impairment", "34068-7": "Dosage"}[loinc], Text: fmt.Sprintf(text, name)})
		}
		if d.Sections[0].LOINC != "34068-7" { // the map's order is none
			d.Sections[0], d.Sections[1] = d.Sections[1], d.Sections[0]
		}
		line, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(line)
		q.Documents.Versions = append(q.Documents.Versions, trainer.DocumentVersion{ID: name, SHA256: hex.EncodeToString(sum[:])})
		b.Write(append(line, '\n'))
	}
	q.Documents.Count = len(q.Documents.Versions)
	if err := os.WriteFile(filepath.Join(dir, trainer.DocumentsFile), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, q
}

// The same request gives the same model; it loads, is another than the champion, and
// texts that belong together by what is asked are nearer than before. Documents that are
// not those of the request are refused.
func TestTrain(t *testing.T) {
	t.Parallel()
	dir, q := folder(t)
	first, how, err := Train(t.Context(), dir, q, Default(), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Train(t.Context(), dir, q, Default(), nil)
	if err != nil || !bytes.Equal(first, again) {
		t.Fatalf("another model of the same request, %v", err)
	}
	m, err := semantic.Read(first)
	if err != nil {
		t.Fatal(err)
	}
	champion, err := semantic.Builtin()
	if err != nil || m.Info().SHA256 == champion.Info().SHA256 || how.Pairs < 40 {
		t.Fatal(err, how)
	}
	near := func(m *semantic.Model) float64 {
		vs, err := m.Embed(t.Context(), []string{"weak kidneys", "Clearance falls with the eGFR"})
		if err != nil {
			t.Fatal(err)
		}
		return float64(semantic.Dot(vs[0], vs[1]))
	}
	if was, is := near(champion), near(m); is <= was {
		t.Errorf("what was trained on is at %.3f, and was at %.3f", is, was)
	}
	path := filepath.Join(t.TempDir(), trainer.ModelFile)
	if err := os.WriteFile(path, first, 0o600); err != nil {
		t.Fatal(err)
	}
	x, err := Measure(t.Context(), dir, q, path)
	if err != nil || x.HeldOut.Questions != 20 || x.HeldOut.Champion.NDCG10 <= 0 || x.HeldOut.Challenger.NDCG10 > 1 || x.Golden != nil {
		t.Fatalf("%+v, %v", x, err)
	}
	docs := filepath.Join(dir, trainer.DocumentsFile)
	b, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(docs, bytes.Replace(b, []byte("10 mg"), []byte("90 mg"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Train(t.Context(), dir, q, Default(), nil); err == nil || !strings.Contains(err.Error(), "documents.jsonl:") {
		t.Error(err)
	}
}
