package document

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// book is a workbook of one sheet of interactions, changed by edit.
func book(t testing.TB, edit func(*excelize.File)) string {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(f.SetSheetName("Sheet1", "Interactions"))
	for i, row := range [][]any{{"Drug A", "Drug B", "Severity", "Effect", "Advice", "Dose", "Reviewed"},
		{"Warfarin", "Aspirin", "major", "Bleeding.", "Avoid.", 2.5, time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)},
		{nil, "Amiodarone", "moderate", "INR rises.", "Watch.", 0.05, time.Date(2026, 5, 6, 0, 0, 0, 0, time.UTC)}, {"Digoxin", "Verapamil", "minor", "Level rises.", "Watch.", 10, nil}} {
		at, _ := excelize.CoordinatesToCellName(1, i+1)
		check(f.SetSheetRow("Interactions", at, &row))
	}
	style, err := f.NewStyle(&excelize.Style{NumFmt: 14})
	check(err)
	check(f.SetCellStyle("Interactions", "G2", "G4", style))
	check(f.MergeCell("Interactions", "A2", "A3"))
	if edit != nil {
		edit(f)
	}
	var b bytes.Buffer
	check(f.Write(&b))
	return b.String()
}

const bookMapping = plainMapping + `date = "Reviewed"
[[further]]
column = "Dose"
unit = "mg"
`

func TestWorkbook(t *testing.T) {
	t.Parallel()
	docs, problems := readTable(t, "list.xlsx", book(t, func(f *excelize.File) {
		f.NewSheet("Secret")
		f.SetCellStr("Secret", "A1", "x")
		f.SetSheetVisible("Secret", false)
		f.SetCellRichText("Interactions", "D4", []excelize.RichTextRun{{Text: "Over 10"}, {Text: "6", Font: &excelize.Font{VertAlign: "superscript"}}, {Text: " units, "}, {Text: "never ", Font: &excelize.Font{Strike: true}}, {Text: "now."}})
	}), bookMapping)
	if len(problems) != 0 || len(docs) != 5 {
		t.Fatalf("%d documents, %v", len(docs), problems)
	}
	w := docs[4]
	if w.ID != "hospital-warfarin" || w.Kind != KindXLSX || w.Effective != "2026-03-04" || len(w.Sections) != 2 {
		t.Fatalf("%+v", w)
	}
	if s := w.Sections[0]; s.Text != "Drug A: Warfarin | Drug B: Aspirin | Severity: major | Effect: Bleeding. | Advice: Avoid. | Reviewed: 2026-03-04 | Dose: 2.5 mg" || s.Places[0].Element != "sheet Interactions, row 2" {
		t.Errorf("%+v", s)
	}
	if s := w.Sections[1]; !strings.HasPrefix(s.Text, "Drug A: Warfarin | Drug B: Amiodarone | Severity: moderate") || s.Places[0].Element != "sheet Interactions, row 3" {
		t.Errorf("a merged cell: %+v", s)
	}
	if s := docs[2].Sections[0]; !strings.Contains(s.Text, "Effect: Over 10⁶ units, now. | Advice: Watch. | Dose: 10 mg") {
		t.Errorf("a raised exponent: %q", s.Text)
	}
}

func TestWorkbookRefusesRows(t *testing.T) {
	t.Parallel()
	docs, problems := readTable(t, "list.xlsx", book(t, func(f *excelize.File) {
		zero, _ := f.NewStyle(&excelize.Style{NumFmt: 1})
		struck, _ := f.NewStyle(&excelize.Style{Font: &excelize.Font{Strike: true}})
		f.SetCellStyle("Interactions", "F2", "F2", zero) // 2.5 is shown as 3
		f.SetCellValue("Interactions", "E3", nil)
		f.SetCellFormula("Interactions", "E3", "=A1")
		f.SetSheetRow("Interactions", "A5", &[]any{"Digoxin", "Quinidine", "major", "E", "A"})
		f.SetCellStyle("Interactions", "E5", "E5", struck)
		f.SetSheetRow("Interactions", "A6", &[]any{"Digoxin", "Hidden", "major", "E", "A"})
		f.SetRowVisible("Interactions", 6, false)
	}), bookMapping)
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimPrefix(p.Error(), filepath.Dir(p.File)+"/"))
	}
	want := []string{
		`list.xlsx: sheet "Interactions", row 6: 1 hidden rows, of which this is the first, are left out; show them if they are to be read, else delete them`,
		`list.xlsx: sheet "Interactions", row 2: field "Dose": a cell that shows another number than it holds, for its format leaves digits away; mend the cell`,
		`list.xlsx: sheet "Interactions", row 3: field "Advice": a formula whose result is not in the file: open it in Excel and save it; mend the cell`,
		`list.xlsx: sheet "Interactions", row 5: field "Advice": a cell that is struck out; mend the cell`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if len(docs) != 2 || docs[0].ID != "hospital-digoxin" || len(docs[0].Sections) != 1 {
		t.Errorf("%d documents", len(docs))
	}
}

func TestWorkbooksThatAreRefused(t *testing.T) {
	t.Parallel()
	two := func(f *excelize.File) { f.NewSheet("More"); f.SetCellStr("More", "A1", "x") }
	whole := book(t, nil)
	parts := func(sheetXML string) string {
		return string(officeZip(t, "[Content_Types].xml", "<Types/>", "xl/workbook.xml", `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>`,
			"xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="x/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`, "xl/worksheets/sheet1.xml", sheetXML))
	}
	for name, c := range map[string]struct{ data, mapping, reason string }{
		"no mapping":      {whole, "", "without a mapping"},
		"two sheets":      {book(t, two), bookMapping, "a workbook of 2 sheets"},
		"no such sheet":   {whole, "sheet = \"X\"\n" + bookMapping, "no sheet of the name"},
		"a hidden sheet":  {book(t, func(f *excelize.File) { two(f); f.SetSheetVisible("More", false) }), "sheet = \"More\"\n" + bookMapping, "is hidden"},
		"a hidden column": {book(t, func(f *excelize.File) { f.SetColVisible("Interactions", "C", false) }), bookMapping, "names is hidden"},
		"cut short":       {whole[:len(whole)/2], bookMapping, "damaged"},
		"broken XML":      {parts(`<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>Drug A</t></is></c></row><row>`), bookMapping, "damaged"},
		"a bomb":          {parts(strings.Repeat(" ", 40<<20)), bookMapping, "unpacks to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docs, problems := readTable(t, "list.xlsx", c.data, c.mapping)
			if len(docs) != 0 || len(problems) != 1 || !strings.Contains(problems[0].Reason, c.reason) || problems[0].Fix == "" || !problems[0].WholeFile() {
				t.Errorf("%d documents, %v", len(docs), problems)
			}
			if c.mapping == "" && !strings.Contains(problems[0].Mapping, "sheet = \"Interactions\"\n\n[columns]\ndrug_a = \"Drug A\"\n") {
				t.Errorf("%s", problems[0].Mapping)
			}
		})
	}
	// A mapping, whatever the workbook is called.
	dir := t.TempDir()
	for name, text := range map[string]string{"list.bin": whole, "list.bin.map.toml": bookMapping} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if docs, problems := readAll(t, filepath.Join(dir, "list.bin"), nil); len(docs) != 5 || len(problems) != 0 {
		t.Errorf("%d documents, %v", len(docs), problems)
	}
}
