package index_test

import (
	"strings"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
)

func labelOf(id, brand, generic, text string) *document.Document {
	d := &document.Document{ID: id, Title: id, Kind: document.KindJSONL, Source: "t", Sections: []document.Section{
		{ID: id + "#dose", LOINC: "34068-7", Title: "Dosage and Administration", Text: text},
		{ID: id + "#adverse", LOINC: "34084-4", Title: "Adverse Reactions", Text: "Nausea was common and went away with time."},
	}}
	for kind, n := range map[string]string{"brand": brand, "generic": generic} {
		if n != "" {
			d.Names = append(d.Names, document.Name{Text: n, Kind: kind})
		}
	}
	return d
}

// A question finds the label of the medicine that it names by another name,
// before others that share more of its words, and says why.
func TestSearchNames(t *testing.T) {
	t.Parallel()
	ix, err := index.Open(t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	docs := []*document.Document{
		labelOf("metformin", "", "metformin hydrochloride", "Start with 500 mg twice daily. Not in renal impairment."),
		labelOf("other", "", "warfarin", "The maximum dose in a patient with type 2 diabetes mellitus and creatinine clearance of 20 is 1 mg."),
	}
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	ask := func(q index.Query) index.Result {
		t.Helper()
		q.Mode, q.K = index.ModeBM25, 10
		r, err := ix.Search(t.Context(), q)
		if err != nil || len(r.Hits) == 0 {
			t.Fatal(r, err)
		}
		return r
	}
	const text = "glucophage max dose, T2DM pt, CrCl 20"
	r := ask(index.Query{Text: text})
	h := r.Hits[0]
	if h.Passage.SectionID != "metformin#dose" || h.Name == 0 || h.Section == 0 || h.BM25 <= h.Name+h.Section {
		t.Errorf("first is %s, name %v, section %v of %v", h.Passage.SectionID, h.Name, h.Section, h.BM25)
	}
	var said []string
	for _, e := range r.Explain.Expansions {
		said = append(said, e.To)
	}
	if s := strings.Join(said, "|"); !strings.Contains(s, "metformin") || !strings.Contains(s, "type 2 diabetes mellitus") {
		t.Errorf("explained by %q", s)
	}
	if r := ask(index.Query{Text: text, Plain: true}); r.Hits[0].SetID != "other" || len(r.Explain.Subjects) > 0 {
		t.Errorf("plain: first is %s", r.Hits[0].SetID)
	}
	s := ix.Acquire()
	defer s.Release()
	if ms, err := s.Mentions("Take Coumadin as told."); err != nil || len(ms) != 1 || ms[0].Name != "warfarin" {
		t.Error(ms, err)
	}
	if ok, err := s.Labelled("metformin"); !ok || err != nil {
		t.Error(ok, err)
	}
}
