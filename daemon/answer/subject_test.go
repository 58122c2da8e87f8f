package answer

import (
	"context"
	"strings"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
)

// A medicine that no label is about ends in an abstention that names it, even
// where another label mentions it; a guideline that mentions it is an answer.
// What was read by its spelling is said.
func TestSubjects(t *testing.T) {
	t.Parallel()
	ix, err := index.Open(t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	doc := func(id, generic, text string) *document.Document {
		d := &document.Document{ID: id, Title: id, Kind: document.KindJSONL, Sections: []document.Section{{ID: id + "#1", Title: "Drug Interactions", LOINC: "34073-7", Text: text}}}
		if generic != "" {
			d.Names = []document.Name{{Text: generic, Kind: "generic"}}
		}
		return d
	}
	docs := []*document.Document{
		doc("metformin", "metformin hydrochloride", "Topiramate may raise the risk of lactic acidosis. The starting dose of metformin is 500 mg twice daily. Check kidney function every year."),
		doc("guideline", "", "In epilepsy levetiracetam is started with a dose of 500 mg twice daily."),
	}
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	s := &Service{Index: ix}
	for _, c := range []struct{ question, status, message, section string }{
		{"topamax starting dose", StatusAbstained, "None of the documents on this box is about “topamax” (topiramate).", ""},
		{"lamictal and acidosis", StatusAbstained, "is about “lamictal” (lamotrigine)", ""},
		{"glucophage starting dose", StatusAnswered, "", "metformin#1"},
		{"metformn starting dose", StatusAnswered, "“metformn” was read as metformin.", "metformin#1"},
		{"topamax with glucophage", StatusAnswered, "", "metformin#1"},
		{"keppra dose in epilepsy", StatusAnswered, "", "guideline#1"},
		{"metformin UTI dose", StatusAbstained, "The documents about this medicine do not speak of “UTI”.", ""},
	} {
		a, err := s.Ask(context.Background(), Question{Text: c.question}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != c.status || !strings.Contains(a.Message, c.message) || c.message == "" && a.Message != "" {
			t.Errorf("%q: %s, %q", c.question, a.Status, a.Message)
			continue
		}
		if c.section != "" && a.Claims[0].Citations[0].SectionID != c.section {
			t.Errorf("%q: rests on %s", c.question, a.Claims[0].Citations[0].SectionID)
		}
		if a.Explain == nil || len(a.Explain.Subjects) == 0 {
			t.Errorf("%q: not explained", c.question)
		}
	}
}
