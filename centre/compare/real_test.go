package compare_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/centre/compare"
	"rxedge/index/document"
)

func shared(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	p := filepath.Join(dir, name)
	if _, err := os.Stat(p); err != nil {
		t.Skip("the real labels are not here: ", err)
	}
	return p
}

func read(t testing.TB, path string) (out []*document.Document) {
	t.Helper()
	if _, err := document.Read(t.Context(), path, document.Options{}, func(d *document.Document) error {
		out = append(out, d)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRealVersions compares the text of Lipitor's label of 2012 with that of 2014. What
// is looked for was found by reading both files.
func TestRealVersions(t *testing.T) {
	t.Parallel()
	before := read(t, shared(t, "spl_xml/lipitor-repack.xml"))[0]
	after := read(t, shared(t, "spl_xml/lipitor-orig.xml"))[0]
	c := compare.Documents(before, after)
	got := map[compare.Class]int{}
	var cimetidine *compare.Change
	for i, ch := range c.Changes {
		if ch.Class.Critical() {
			got[ch.Class]++
			if len(ch.Doses) > 0 {
				t.Errorf("no dose was changed in %s: %+v", ch.Title, ch)
			}
		}
		if strings.HasPrefix(ch.After, "Cimetidine 300 mg QID") {
			cimetidine = &c.Changes[i]
		}
	}
	// boceprevir beside nelfinavir: in dosage, in a table of the warnings, and as a new
	// sentence of the interactions; myopathy after the end of treatment; two sentences on IMNM
	want := map[compare.Class]int{compare.Dosage: 1, compare.Warnings: 4, compare.Interactions: 1}
	if !maps.Equal(got, want) {
		t.Errorf("changes in critical sections: %v, want %v", got, want)
	}
	if cimetidine == nil || len(cimetidine.Doses) != 2 || cimetidine.Doses[0].Before != "QD" || cimetidine.Doses[1].After != "2 weeks" {
		t.Errorf("the row on cimetidine: %+v", cimetidine)
	}
	for _, s := range append(c.Added, c.Removed...) {
		if s.Class != compare.Packaging && s.Class != compare.Other {
			t.Errorf("no such section came or went: %+v", s)
		}
	}
}
