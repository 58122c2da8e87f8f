package evaluate_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/evaluate"
	"rxedge/index"
	"rxedge/index/document"
)

// data is the folder of real labels and questions, outside the repository.
func data(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the real labels are not on this machine (%s); set RXEDGE_TESTDATA to their folder", dir)
	}
	return dir
}

type box struct {
	*answer.Service
	ix *index.Index
}

func (b box) Document(_ context.Context, id string) (*document.Document, error) {
	s := b.ix.Acquire()
	defer s.Release()
	return s.Document(id)
}

func (b box) Section(_ context.Context, id string) (index.SectionRef, error) {
	s := b.ix.Acquire()
	defer s.Release()
	return s.Section(id)
}

// Every citation of an answer from real labels must read again byte for byte.
func TestLabelQuestions(t *testing.T) {
	t.Parallel()
	dir := data(t)
	ix, err := index.Open(t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	var docs []*document.Document
	for _, p := range []string{"spl_xml", "labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl"} {
		problems, err := document.Read(t.Context(), filepath.Join(dir, p), document.Options{}, func(d *document.Document) error {
			docs = append(docs, d)
			return nil
		})
		if err != nil || len(problems) > 0 {
			t.Fatal(err, problems)
		}
	}
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "labels", "questions_dev.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	qs, err := evaluate.Read("questions_dev.jsonl", f)
	if err != nil {
		t.Fatal(err)
	}
	b := box{&answer.Service{Index: ix}, ix}
	rep, err := evaluate.Run(t.Context(), b, qs, "", func(o evaluate.Outcome) {
		if testing.Verbose() {
			t.Logf("%s %s rank=%d %s | %s", o.Question.ID, o.Question.Kind, o.Rank, o.Answer.Status, o.Question.Question)
			for _, c := range o.Answer.Claims {
				t.Logf("      %s :: %.200s", c.Citations[0].SectionID, c.Text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := rep.CitationValid; v.Of != v.All || v.All == 0 {
		t.Errorf("%d of %d citations read again byte for byte", v.Of, v.All)
	}
	// What was reached, less a margin.
	for name, v := range map[string][2]float64{
		"right_section@1":   {rep.RightSectionAt1.Value(), 0.85},
		"right_section@5":   {rep.RightSectionAt5.Value(), 0.95},
		"evidence_recall":   {rep.EvidenceRecall.Value(), 0.78},
		"number_recall":     {rep.NumberRecall.Value(), 0.84},
		"abstain_precision": {rep.AbstainPrecision.Value(), 0.80},
		"abstain_recall":    {rep.AbstainRecall.Value(), 0.90},
	} {
		if !(v[0] >= v[1]) {
			t.Errorf("%s is %.3f, want %.2f at least", name, v[0], v[1])
		}
	}
	t.Logf("%+v", rep.Figures)
	for k, f := range rep.ByKind {
		t.Logf("%s: %+v", k, *f)
	}
}
