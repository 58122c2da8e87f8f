package index_test

import (
	"testing"

	"rxedge/index"
	"rxedge/index/document"
)

// A code finds its document, first and whatever words stand beside it, in the
// sealed part and in updates alike.
func TestCodesFindTheirDocument(t *testing.T) {
	t.Parallel()
	coded := func(id, ndc, text string) *document.Document {
		d := label(id, "1", text, "A second section of it.")
		d.Codes = []document.Code{{System: "ndc", Value: ndc}}
		return d
	}
	ix := open(t, t.TempDir(), index.Options{})
	apply(t, ix, put(coded("alpha", "0093-1048-01", "Warfarin interacts with antibiotics; monitor the INR."), metformin, warfarin))
	apply(t, ix, put(coded("beta", "50090-0001-0", "Something else.")))
	check := func(when string) {
		t.Helper()
		for q, want := range map[string]string{
			"0093-1048-01":                   "alpha",
			"00093-1048-01 INR":              "alpha",
			"NDC 50090-0001-0 eGFR warfarin": "beta",
		} {
			r, err := ix.Search(t.Context(), index.Query{Text: q, Mode: index.ModeBM25})
			if err != nil || len(r.Hits) < 2 || r.Hits[0].SetID != want || r.Hits[1].SetID != want || len(r.Codes) == 0 || len(r.Codes[0].Documents) != 1 {
				t.Errorf("%s, %q: %v, codes %+v, hits %+v", when, q, err, r.Codes, r.Hits)
			}
		}
	}
	check("live")
	if _, err := ix.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	check("packed")
	apply(t, ix, index.Changes{Delete: []string{"beta"}})
	r, err := ix.Search(t.Context(), index.Query{Text: "50090-0001-0", Mode: index.ModeBM25})
	if err != nil || len(r.Codes) > 0 && len(r.Codes[0].Documents) > 0 {
		t.Errorf("a document that was withdrawn is still found: %v %+v", err, r.Codes)
	}
	if r, err := ix.Search(t.Context(), index.Query{Text: "metformin 500-1000 mg, eGFR 30-45", Mode: index.ModeBM25}); err != nil || len(r.Codes) > 0 {
		t.Errorf("doses are no codes: %v %+v", err, r.Codes)
	}
	clean(t, ix)
}
