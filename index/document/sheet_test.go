package document

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const plainMapping = `table = "interactions"
title = "Hospital list"
id = "hospital"
[columns]
drug_a = "Drug A"
drug_b = "Drug B"
severity = "Severity"
effect = "Effect"
management = "Advice"
`

func readTable(t *testing.T, name, table, mapping string) ([]*Document, []Problem) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	if mapping != "" {
		if err := os.WriteFile(path+".map.toml", []byte(mapping), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var docs []*Document
	problems, err := Read(t.Context(), dir, Options{}, func(d *Document) error {
		wellFormed(t, d)
		docs = append(docs, d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return docs, problems
}

func TestInteractions(t *testing.T) {
	t.Parallel()
	docs, problems := readTable(t, "list.csv", "Drug A,Drug B,Severity,Effect,Advice\nWarfarin,Aspirin,major,More bleeding.,\"Avoid, or watch the INR.\"\n\nwarfarin, Amiodarone ,Moderate,\"INR\nrises.\",Halve the dose.\nAspirin,Warfarin,major,More bleeding.,\"Avoid, or watch the INR.\"\n", plainMapping)
	if len(problems) != 0 || len(docs) != 3 {
		t.Fatalf("%d documents, %v", len(docs), problems)
	}
	w := docs[2]
	want := []Section{
		{ID: "hospital-warfarin#aspirin", LOINC: "34073-7", Title: "Interaction with Aspirin", Path: []string{"Drug Interactions"},
			Text: "Drug A: Warfarin | Drug B: Aspirin | Severity: major | Effect: More bleeding. | Advice: Avoid, or watch the INR.", Places: []Place{{Element: "row 2"}}},
		{ID: "hospital-warfarin#amiodarone", LOINC: "34073-7", Title: "Interaction with Amiodarone", Path: []string{"Drug Interactions"},
			Text: "Drug A: warfarin | Drug B: Amiodarone | Severity: Moderate | Effect: INR rises. | Advice: Halve the dose.", Places: []Place{{Element: "row 4"}}},
	}
	if w.ID != "hospital-warfarin" || w.Title != "Warfarin: Hospital list" || w.Kind != KindCSV || !reflect.DeepEqual(w.Names, []Name{{"Warfarin", "generic"}}) || !reflect.DeepEqual(w.Sections, want) {
		t.Errorf("%+v", w)
	}
	if a := docs[1]; a.ID != "hospital-aspirin" || a.Sections[0].Text != want[0].Text || a.Sections[0].Title != "Interaction with Warfarin" {
		t.Errorf("%+v", a)
	}
}

func TestInteractionsMapped(t *testing.T) {
	t.Parallel()
	docs, problems := readTable(t, "x.csv", "sep=;\nList of 2026;;;;;\nA;B;Grad;AUC;Einheit;Stand\n(skipped);;;;;\nPhenytoïn;Zedine;3;1,8;fold;05.11.2026\n", `table = "interactions"
header_row = 3
skip_rows = [4]
date_format = "DD.MM.YYYY"
notice = "Draft"
[columns]
drug_a = "a"
drug_b = "B"
severity = "Grad"
date = "Stand"
[constants]
source = "House list"
[severities]
"3" = "major"
[[further]]
column = "AUC"
unit_column = "Einheit"
`)
	if len(problems) != 0 || len(docs) != 2 {
		t.Fatalf("%d documents, %v", len(docs), problems)
	}
	d := docs[0]
	if s := d.Sections[0]; s.Text != "A: Phenytoïn | B: Zedine | Grad: major (3) | Source: House list | Stand: 05.11.2026 | AUC: 1,8 fold" || s.Places[0].Element != "row 5" || d.Effective != "2026-11-05" || d.Notice != "Draft" || d.ID != "x-phenytoïn" {
		t.Errorf("%+v", d)
	}
}

func TestInteractionsRefuseRows(t *testing.T) {
	t.Parallel()
	docs, problems := readTable(t, "list.csv", `Drug A,Drug B,Severity,Effect,Advice
Warfarin,Aspirin,major,E,A
Warfarin,,major,E,A
Warfarin,Digoxin,terrible,E,A
Warfarin,warfarin,major,E,A
Warfarin,Digoxin,major
Warfarin,Digoxin,major,E,A,more
Warfarin,Di"goxin,major,E,A
Amiodarone,Digoxin,major,E,A
Digoxin,Amiodarone,minor,E,A
---,Digoxin,minor,E,A
Verapamil,Digoxin,minor,E,A
`, plainMapping)
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimPrefix(p.Error(), filepath.Dir(p.File)+"/"))
	}
	want := []string{
		`list.csv:3: record 3: field "Drug B": a required cell is empty; fill it in, or take its field out of required in the mapping`,
		`list.csv:4: record 4: field "Severity": an unknown severity; add its word under [severities] in the mapping`,
		`list.csv:5: record 5: one medicine is named twice; name the other medicine`,
		`list.csv:6: record 6: a row of 3 values under a header of 5; write all of them, empty ones too`,
		`list.csv:7: record 7: a row of 6 values under a header of 5; write a value that holds the delimiter in quotation marks`,
		`list.csv:8: record 8: a quotation mark in the midst of a value; write the value in quotation marks, and each one in it twice ("")`,
		`list.csv:11: record 11: a medicine without a name; write its name in letters`,
		`list.csv:9: record 9: rows 9 and 10 give the same two medicines different severities; neither is taken; mend one of them`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	var ids []string
	for _, d := range docs {
		ids = append(ids, d.ID)
	}
	if strings.Join(ids, " ") != "hospital-aspirin hospital-digoxin hospital-verapamil hospital-warfarin" {
		t.Errorf("%v", ids)
	}
}

func TestTablesThatAreRefused(t *testing.T) {
	t.Parallel()
	const table = "Drug A,Drug B,Severity,Effect,Advice\nWarfarin,Aspirin,major,E,A\n"
	for name, c := range map[string]struct{ table, mapping, reason string }{
		"no mapping":         {table, "", "without a mapping"},
		"not TOML":           {table, "table = ", "not TOML"},
		"an unknown setting": {table, "colour = 1\n" + plainMapping, "no mapping has"},
		"an unknown column":  {"Drug A,Drug X,Severity,Effect,Advice\n", plainMapping, "no such column"},
		"a column twice":     {"Drug A,Drug B,Drug B,Severity,Effect,Advice\n", plainMapping, "twice"},
		"an open quote":      {table + "\"Warfarin,Digoxin,major,E,A\nAmiodarone,Digoxin,major,E,A\n", plainMapping, "never closed"},
		"Windows-1252":       {table + "Warfarin,Ph\xe9nyto\xefne,major,E,A\n", plainMapping, "not valid UTF-8"},
		"no rows":            {"Drug A,Drug B,Severity,Effect,Advice\n", plainMapping, "without a row"},
		"no header":          {table, "header_row = 9\n" + plainMapping, "has no row 9"},
		"a bad severity":     {table, plainMapping + "[severities]\nx = \"awful\"\n", "none of those known"},
		"a bad date form":    {table, "date_format = \"MM.YY\"\n" + plainMapping, "form of a date"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docs, problems := readTable(t, "list.csv", c.table, c.mapping)
			if len(docs) != 0 || len(problems) != 1 || !strings.Contains(problems[0].Reason, c.reason) || problems[0].Fix == "" || !problems[0].WholeFile() {
				t.Errorf("%d documents, %v", len(docs), problems)
			}
			if skeleton := problems[0].Mapping; c.mapping == "" && !strings.Contains(skeleton, "drug_a = \"Drug A\"\ndrug_b = \"Drug B\"\nseverity = \"Severity\"\neffect = \"Effect\"\nmanagement = \"Advice\"\n") {
				t.Errorf("%s", skeleton)
			}
		})
	}
	docs, problems := readTable(t, "list.csv", table+"Warfarin,Ph\xe9nyto\xefne,major,E,A\n", "encoding = \"windows-1252\"\n"+plainMapping)
	if len(docs) != 3 || len(problems) != 0 || docs[1].ID != "hospital-phénytoïne" {
		t.Errorf("%d documents, %v", len(docs), problems)
	}
}

// A long row is several lines, and each names both medicines.
func TestLongInteraction(t *testing.T) {
	t.Parallel()
	docs, _ := readTable(t, "list.csv", "Drug A,Drug B,Severity,Effect,Advice\nWarfarin,Aspirin,major,"+strings.Repeat("very long ", 40)+","+strings.Repeat("advice ", 40)+"\n", plainMapping)
	lines := strings.Split(docs[0].Sections[0].Text, "\n")
	if len(lines) != 2 || len(lines[0]) > 600 || !strings.HasPrefix(lines[1], "Drug A: Warfarin | Drug B: Aspirin | Advice: advice") {
		t.Errorf("%q", lines)
	}
}
