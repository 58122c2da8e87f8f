package answer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
)

// What a medicine interacts with is answered from the whole table, the gravest first, and
// with how many there are: a few rows would read as if there were no others.
func TestInteractionsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var rows strings.Builder
	rows.WriteString("Drug A,Drug B,Severity,Effect\n")
	for i, other := range strings.Fields("Aspirin Fluconazole Rifampicin Amiodarone Ibuprofen Naproxen Phenytoin Carbamazepine Metronidazole Erythromycin Simvastatin Allopurinol Cimetidine Omeprazole") {
		fmt.Fprintf(&rows, "Acenocoumarol,%s,%s,Effect %d on INR.\n", other, []string{"minor", "moderate", "major", "contraindicated"}[i%4], i)
	}
	rows.WriteString("Sotalol,Aspirin,moderate,Less effect.\nSotalol,Verapamil,major,Bradycardia.\n")
	mapping := "table = \"interactions\"\n[columns]\ndrug_a = \"Drug A\"\ndrug_b = \"Drug B\"\nseverity = \"Severity\"\neffect = \"Effect\"\n"
	for name, text := range map[string]string{"list.csv": rows.String(), "list.csv.map.toml": mapping} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var docs []*document.Document
	if _, err := document.Read(t.Context(), dir, document.Options{}, func(d *document.Document) error { docs = append(docs, d); return nil }); err != nil {
		t.Fatal(err)
	}
	docs = append(docs, &document.Document{ID: "label", Title: "Torsemide tablets", Kind: document.KindJSONL, Names: []document.Name{{Text: "torsemide", Kind: "generic"}},
		Sections: []document.Section{{ID: "label#1", Title: "Drug Interactions", LOINC: "34073-7", Path: []string{"Drug Interactions"},
			Text: "NSAIDs lower its effect. Monitor lithium levels in patients on torsemide. Avoid cholestyramine at the same hour. Check digoxin levels. Fluconazole raises its concentration, so lower the dose. Rifampin lowers its concentration."}}})
	ix, err := index.Open(t.TempDir(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	if _, err := ix.Apply(t.Context(), index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		t.Fatal(err)
	}
	s := &Service{Index: ix}
	for _, c := range []struct {
		question, message, first, last string
		claims                         int // -1: any
	}{
		{"What interacts with acenocoumarol?", "12 of 14 interactions, the gravest first. Not shown: Metronidazole (minor), Cimetidine (minor); ask about each by its name.", "Amiodarone", "Ibuprofen", 12},
		{"acenocoumarol interactions", "12 of 14 interactions", "Amiodarone", "Ibuprofen", 12},
		{"List the major interactions of acenocoumarol.", "All 6 interactions, the gravest first.", "Amiodarone", "Simvastatin", 6},
		{"Which drugs are contraindicated with acenocoumarol?", "All 3 interactions", "Amiodarone", "Allopurinol", 3},
		{"sotalol interactions", "All 2 interactions", "Verapamil", "Aspirin", 2},
		{"What interacts with verapamil?", "one such interaction", "Sotalol", "Sotalol", 1},
		{"Does sotalol interact with verapamil?", "", "Verapamil", "Verapamil", 1},
		{"torsemide interactions", "This is a part of what the label says of interactions", "", "", -1},
		{"serious interactions of torsemide", "This is a part", "", "", -1},
	} {
		a, err := s.Ask(context.Background(), Question{Text: c.question}, Events{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != StatusAnswered || !strings.Contains(a.Message, c.message) || c.message == "" && a.Message != "" {
			t.Errorf("%q: %s, %q", c.question, a.Status, a.Message)
			continue
		}
		first, last := a.Claims[0], a.Claims[len(a.Claims)-1]
		if c.claims >= 0 && len(a.Claims) != c.claims || !strings.Contains(first.Text, c.first) || !strings.Contains(last.Text, c.last) {
			t.Errorf("%q: %d claims, from %q to %q", c.question, len(a.Claims), first.Text, last.Text)
		}
		for _, cl := range a.Claims {
			if r := cl.Citations[0]; cl.Text != flow(r.Quote) || r.SectionID == "" {
				t.Errorf("%q: %q is no quote of %+v", c.question, cl.Text, r)
			}
		}
	}
}
