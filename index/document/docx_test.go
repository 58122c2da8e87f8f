package document

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
)

const wordNS = `xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture" xmlns:v="urn:schemas-microsoft-com:vml"`

const wordStyles = `<w:style w:type="paragraph" w:default="1" w:styleId="Standard"><w:name w:val="Normal"/></w:style>
<w:style w:type="paragraph" w:styleId="Titel"><w:name w:val="Title"/><w:basedOn w:val="Standard"/></w:style>
<w:style w:type="paragraph" w:styleId="berschrift1"><w:name w:val="heading 1"/><w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="Haus2"><w:name w:val="House second"/><w:basedOn w:val="berschrift2"/></w:style>
<w:style w:type="paragraph" w:styleId="berschrift2"><w:name w:val="Überschrift 2"/></w:style>
<w:style w:type="paragraph" w:styleId="toc1"><w:name w:val="toc 1"/></w:style>
<w:style w:type="paragraph" w:styleId="Liste"><w:name w:val="List Number"/><w:pPr><w:numPr><w:numId w:val="2"/></w:numPr></w:pPr></w:style>
<w:style w:type="character" w:styleId="Hoch"><w:name w:val="Raised"/><w:rPr><w:vertAlign w:val="superscript"/></w:rPr></w:style>
<w:style w:type="character" w:styleId="Weg"><w:name w:val="Secret"/><w:rPr><w:vanish/></w:rPr></w:style>`

const wordLists = `<w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:start w:val="4"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/></w:lvl><w:lvl w:ilvl="2"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%3)"/></w:lvl></w:abstractNum>
<w:abstractNum w:abstractNumId="8"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="&#xF0B7;"/></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="8"/></w:num>
<w:num w:numId="3"><w:abstractNumId w:val="7"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num>`

// officeZip is a zip of parts, in the order of their names given.
func officeZip(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		w, err := z.Create(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(parts[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wordFile is a Word document with that body, and notes.
func wordFile(t testing.TB, body, notes string, more ...string) []byte {
	return wordFileOf(t, body, notes, wordStyles, wordLists, more...)
}

func wordFileOf(t testing.TB, body, notes, styles, lists string, more ...string) []byte {
	t.Helper()
	relations := func(list ...string) string {
		var b strings.Builder
		b.WriteString(`<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`)
		for i := 0; i < len(list); i += 2 {
			b.WriteString(`<Relationship Id="r` + list[i] + `" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/` + list[i] + `" Target="` + list[i+1] + `"/>`)
		}
		return b.String() + `</Relationships>`
	}
	parts := []string{
		"[Content_Types].xml", `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>`,
		"_rels/.rels", relations("officeDocument", "word/document.xml", "custom-properties", "docProps/custom.xml"),
		"word/_rels/document.xml.rels", relations("styles", "styles.xml", "numbering", "numbering.xml", "footnotes", "footnotes.xml", "header", "header1.xml"),
		"word/document.xml", `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><w:document ` + wordNS + `><w:body>` + body + `<w:sectPr/></w:body></w:document>`,
		"word/styles.xml", `<w:styles ` + wordNS + `>` + styles + `</w:styles>`,
		"word/numbering.xml", `<w:numbering ` + wordNS + `>` + lists + `</w:numbering>`,
		"word/footnotes.xml", `<w:footnotes ` + wordNS + `><w:footnote w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:footnote>` + notes + `</w:footnotes>`,
		"word/header1.xml", `<w:hdr ` + wordNS + `><w:p><w:r><w:t>A running header</w:t></w:r></w:p></w:hdr>`,
	}
	return officeZip(t, append(parts, more...)...)
}

func wp(style, text string) string {
	if style != "" {
		style = `<w:pPr><w:pStyle w:val="` + style + `"/></w:pPr>`
	}
	return `<w:p>` + style + `<w:r><w:t xml:space="preserve">` + text + `</w:t></w:r></w:p>`
}

func wli(num, level, text string) string {
	return `<w:p><w:pPr><w:numPr><w:ilvl w:val="` + level + `"/><w:numId w:val="` + num + `"/></w:numPr></w:pPr><w:r><w:t>` + text + `</w:t></w:r></w:p>`
}

func wr(props, text string) string {
	return `<w:r><w:rPr>` + props + `</w:rPr><w:t xml:space="preserve">` + text + `</w:t></w:r>`
}

func sectionTexts(d *Document) string {
	var b strings.Builder
	for _, s := range d.Sections {
		b.WriteString("## " + strings.TrimSpace(s.Number+" "+s.Title) + "\n" + s.Text + "\n")
	}
	return b.String()
}

func TestDOCX(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, notes, want string }{
		"headings by style, inherited, localised, numbered; title": {
			wp("Titel", "Zedine") + wp("toc1", "1 Uses 3") + wp("", "Before.") + `<w:p><w:pPr><w:pStyle w:val="berschrift1"/><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>Clinical particulars</w:t></w:r></w:p>` + wp("", "A.") +
				`<w:p><w:pPr><w:pStyle w:val="Haus2"/><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>Contraindications</w:t></w:r></w:p>` + wp("", "B.") +
				`<w:p><w:pPr><w:outlineLvl w:val="1"/></w:pPr><w:r><w:t>By level</w:t></w:r></w:p>` + wp("", "C."), "",
			"## Introduction\nBefore.\n## 4. Clinical particulars\nA.\n## 4.1 Contraindications\nB.\n## By level\nC.\n"},
		"lists": {
			wp("", "Take:") + wli("1", "0", "one") + wli("1", "1", "one one") + wli("1", "2", "deep") + wli("1", "1", "one two") + wli("1", "0", "two") + wp("", "Between.") + wli("2", "0", "dot") + wli("1", "0", "goes on") + wp("", "Again.") + wli("3", "0", "anew") + wp("Liste", "by style"), "",
			"Take:\n• 4. one\n• 4.1 one one\n• a) deep\n• 4.2 one two\n• 5. two\n\nBetween.\n\n• dot\n• 6. goes on\n\nAgain.\n\n• 1. anew\n• by style"},
		"superscripts, symbols, hyphens, hidden, struck": {
			`<w:p>` + wr("", "Give 10") + wr(`<w:vertAlign w:val="superscript"/>`, "−") + wr(`<w:rStyle w:val="Hoch"/>`, "6") + wr("", " mol, x") + wr(`<w:position w:val="6"/>`, "2") + wr("", ", H") + wr(`<w:vertAlign w:val="subscript"/>`, "2") + wr("", "O, ") +
				`<w:r><w:sym w:font="Symbol" w:char="F0B3"/></w:r>` + wr(`<w:rFonts w:ascii="Symbol"/>`, "&#xF0A3;&#xF06D;") + `<w:r><w:t>g 1</w:t><w:noBreakHyphen/><w:t>2 co</w:t><w:softHyphen/><w:t>op</w:t><w:tab/><w:t>t</w:t></w:r>` +
				wr(`<w:vanish/>`, " SECRET") + wr(`<w:rStyle w:val="Weg"/>`, " SECRET") + wr(`<w:vanish w:val="0"/>`, " seen") + wr(`<w:strike/>`, " 50 mg") + wr("", " 5 mg.") + `</w:p>`, "",
			"Give 10⁻⁶ mol, x², H2O, ≥≤μg 1-2 coop t seen 5 mg."},
		"changes": {
			`<w:p>` + wr("", "Give ") + `<w:del><w:r><w:delText>50</w:delText></w:r></w:del><w:ins>` + wr("", "5") + `</w:ins>` + wr("", " mg") + `<w:moveFrom>` + wr("", " daily") + `</w:moveFrom></w:p>` +
				`<w:p><w:pPr><w:rPr><w:del/></w:rPr></w:pPr>` + wr("", "Half a ") + `</w:p>` + wp("", "sentence.") + `<w:del><w:p/></w:del>`, "",
			"Give 5 mg\n\nHalf a sentence."},
		"fields and links": {
			`<w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> REF x </w:instrText></w:r><w:r><w:t>NO</w:t></w:r><w:r><w:fldChar w:fldCharType="separate"/></w:r>` + wr("", "See 4.2") + `<w:r><w:fldChar w:fldCharType="end"/></w:r>` +
				`<w:hyperlink>` + wr("", " and the site") + `</w:hyperlink><w:fldSimple w:instr=" DATE ">` + wr("", " of May") + `</w:fldSimple><w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>` + wr("", "Click here") + `</w:sdtContent></w:sdt></w:p>`, "",
			"See 4.2 and the site of May"},
		"footnotes": {
			`<w:p>` + wr("", "Maximum 10") + `<w:r><w:footnoteReference w:id="2"/></w:r>` + wr("", " mg.") + `</w:p>` + wp("", "After."), `<w:footnote w:id="2"><w:p><w:r><w:footnoteRef/></w:r>` + wr("", " In adults.") + `</w:p></w:footnote>`,
			"Maximum 10[1] mg.\n\nAfter.\n\n[1] In adults."},
		"math": {
			`<w:p>` + wr("", "Dose = ") + `<m:oMath><m:f><m:num><m:r><m:t>140 − age</m:t></m:r></m:num><m:den><m:r><m:t>72</m:t></m:r></m:den></m:f><m:r><m:t> × </m:t></m:r><m:sSup><m:e><m:r><m:t>10</m:t></m:r></m:e><m:sup><m:r><m:t>3</m:t></m:r></m:sup></m:sSup><m:sSup><m:e><m:r><m:t>2</m:t></m:r></m:e><m:sup><m:r><m:t>n+1</m:t></m:r></m:sup></m:sSup></m:oMath></w:p>`, "",
			"Dose = (140 − age)/72 × 10³2^(n+1)"},
		"text box once, picture named": {
			`<w:p>` + wr("", "Anchor.") + `<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wps:wsp><wps:txbx><w:txbxContent>` + wp("", "In a box.") + `</w:txbxContent></wps:txbx></wps:wsp></w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox><w:txbxContent>` + wp("", "In a box.") + `</w:txbxContent></v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>` +
				`<w:p><w:r><w:drawing><wp:inline><wp:extent cx="2000000" cy="1500000"/><wp:docPr descr="Dosing by weight"/><a:graphic><a:graphicData><pic:pic/></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p><w:p><w:r><w:drawing><wp:inline><wp:extent cx="200000" cy="150000"/><wp:docPr descr="Logo"/><pic:pic/></wp:inline></w:drawing></w:r></w:p>`, "",
			"Anchor.\n\nIn a box.\n\n[picture, not read: Dosing by weight]"},
		"tables": {
			`<w:tbl><w:tr><w:trPr><w:tblHeader/></w:trPr><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>` + wp("", "Who") + `</w:tc><w:tc>` + wp("", "Dose") + `</w:tc></w:tr>` +
				`<w:tr><w:tc><w:tcPr><w:vMerge w:val="restart"/></w:tcPr>` + wp("", "Adults") + `</w:tc><w:tc>` + wp("", "well") + `</w:tc><w:tc>` + wp("", "10 mg") + wp("", "daily") + `</w:tc></w:tr>` +
				`<w:tr><w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc><w:tc>` + wp("", "frail") + `</w:tc><w:tc><w:tbl><w:tr><w:tc>` + wp("", "day 1") + `</w:tc><w:tc>` + wp("", "5 mg") + `</w:tc></w:tr><w:tr><w:tc>` + wp("", "day 2") + `</w:tc><w:tc>` + wp("", "7 mg") + `</w:tc></w:tr></w:tbl><w:p/></w:tc></w:tr>` +
				`<w:tr><w:trPr><w:del/></w:trPr><w:tc>` + wp("", "gone") + `</w:tc></w:tr></w:tbl><w:tbl><w:tr><w:tc>` + wp("", "A frame.") + wp("", "More.") + `</w:tc></w:tr></w:tbl>`, "",
			"Who | | Dose\nAdults | well | 10 mg daily\n| frail | day 1, 5 mg; day 2, 7 mg\n\nA frame.\n\nMore."},
		"bold lines are headings where nothing else is": {
			`<w:p>` + wr("<w:b/>", "Dosage") + `</w:p>` + wp("", "Take one.") + `<w:p>` + wr("<w:b/>", "Take care.") + `</w:p>` + wp("", "Yes."), "",
			"## Dosage\nTake one.\n\nTake care.\n\nYes.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := readOne(t, "x.docx", wordFile(t, c.body, c.notes))
			wellFormed(t, d)
			got := sectionTexts(d)
			if !strings.HasPrefix(c.want, "##") {
				got = strings.TrimSuffix(strings.TrimPrefix(got, "## Introduction\n"), "\n")
			}
			if got != c.want {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestDOCXPlaces(t *testing.T) {
	t.Parallel()
	body := wp("", "First.") + `<w:p/>` + `<w:p>` + wr("", "Second begins ") + `<w:r><w:lastRenderedPageBreak/><w:t>and ends.</w:t></w:r></w:p>` + wli("2", "0", "item") +
		`<w:tbl><w:tr><w:tc><w:p/></w:tc><w:tc>` + wp("", "x") + `</w:tc></w:tr><w:tr><w:tc>` + wp("", "a") + `</w:tc><w:tc>` + wp("", "b") + `</w:tc></w:tr></w:tbl><w:p>` + wr("", "N") + `<w:r><w:footnoteReference w:id="2"/></w:r></w:p>`
	d := readOne(t, "x.docx", wordFile(t, body, `<w:footnote w:id="2"><w:p>`+wr("", "Note.")+`</w:p></w:footnote>`))
	s := d.Sections[0]
	for text, want := range map[string]Place{"First.": {Page: 1, Element: "paragraph 1"}, "Second": {Page: 1, Element: "paragraph 2"}, "and ends": {Page: 2, Element: "paragraph 2"}, "• item": {Page: 2, Element: "paragraph 3"},
		"x": {Page: 2, Element: "table 1, row 1"}, "a | b": {Page: 2, Element: "table 1, row 2"}, "N[1]": {Page: 2, Element: "paragraph 4"}, "[1] Note.": {Page: 2, Element: "footnote 1"}} {
		at := strings.Index(s.Text, text)
		got := PlaceAt(s.Places, at)
		got.At = 0
		if at < 0 || got != want {
			t.Errorf("%q at %d: %+v, want %+v", text, at, got, want)
		}
	}
	if d := readOne(t, "x.docx", wordFile(t, wp("", "One page."), "")); d.Sections[0].Places[0].Page != 0 {
		t.Errorf("a page that nothing states: %+v", d.Sections[0].Places)
	}
}

func TestDOCXDates(t *testing.T) {
	t.Parallel()
	for want, body := range map[string]string{
		"2026-03-01": wp("", "Text.") + wp("", "Effective date: 1 March 2026"),
		"2025-05-12": wp("", "Date of revision of the text: 12 May 2025"),
		"2024-11-01": wp("", "Revised: 11/2024"),
		"":           wp("", "Effective date: 03/04/2026") + wp("", "Revised the dose on 1 March 2026."),
	} {
		if d := readOne(t, "x.docx", wordFile(t, body, "")); d.Effective != want {
			t.Errorf("%q: %q, want %q", body, d.Effective, want)
		}
	}
	if d := readOne(t, "x.docx", wordFile(t, wp("", "Revised: 1 March 2026")+wp("", "Revised: 2 March 2026"), "")); d.Effective != "" {
		t.Errorf("two dates: %q", d.Effective)
	}
	custom := `<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties" xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes"><property name="Effective Date"><vt:filetime>2026-02-01T00:00:00Z</vt:filetime></property></Properties>`
	if d := readOne(t, "x.docx", wordFile(t, wp("", "Text."), "", "docProps/custom.xml", custom)); d.Effective != "2026-02-01" {
		t.Errorf("a property: %q", d.Effective)
	}
}

func TestDOCXThatAreRefused(t *testing.T) {
	t.Parallel()
	whole := wordFile(t, wp("", "Text."), "")
	part := func(name, text string) []byte {
		return officeZip(t, "[Content_Types].xml", `<Types/>`, "word/document.xml", `<w:document `+wordNS+`><w:body/></w:document>`, name, text)
	}
	utf16 := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			b.WriteString(string(c) + "\x00")
		}
		return b.String()
	}
	ole := "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 600)
	for name, c := range map[string]struct {
		file   string
		data   []byte
		reason string
	}{
		"cut short":     {"a.docx", whole[:len(whole)/2], "damaged"},
		"broken XML":    {"a.docx", officeZip(t, "[Content_Types].xml", "<Types/>", "word/document.xml", "<w:document "+wordNS+"><w:body>"+strings.Repeat("<w:p>", 100)), "damaged"},
		"too deep":      {"a.docx", officeZip(t, "[Content_Types].xml", "<Types/>", "word/document.xml", "<w:document "+wordNS+"><w:body>"+strings.Repeat("<w:sdt>", 5000)), "nested too deep"},
		"a DTD":         {"a.docx", officeZip(t, "[Content_Types].xml", "<Types/>", "word/document.xml", `<!DOCTYPE x [<!ENTITY a "b">]><w:document `+wordNS+`><w:body><w:p><w:r><w:t>&a;</w:t></w:r></w:p></w:body></w:document>`), "never expanded"},
		"a bomb":        {"a.docx", officeZip(t, "[Content_Types].xml", "<Types/>", "word/document.xml", strings.Repeat(" ", 40<<20)), "unpacks to"},
		"nothing in it": {"a.docx", part("x", ""), "no text"},
		"no main part":  {"a.docx", officeZip(t, "[Content_Types].xml", `<Types><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>`), "damaged"},
		"slides":        {"a.pptx", officeZip(t, "[Content_Types].xml", "<Types/>", "ppt/presentation.xml", "<x/>"), "PowerPoint"},
		"encrypted":     {"a.docx", []byte(ole + utf16("EncryptedPackage")), "encrypted with a password"},
		"Word 97":       {"a.docx", []byte(ole + utf16("WordDocument")), "old Microsoft Office file (Word"},
		"another file":  {"a.docx", wordFile(t, `<w:altChunk/>`, ""), "another file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if p := problemOf(t, c.file, c.data, Options{}); !strings.Contains(p.Reason, c.reason) {
				t.Errorf("%s", p.Reason)
			}
		})
	}
	// One in an archive, whatever its parts begin with.
	docs, problems := readAll(t, "all.zip", officeZip(t, "a/b.docx", string(whole), "c.docx", string(officeZip(t, "odd", "", "[Content_Types].xml", "<Types/>", "word/document.xml", `<w:document `+wordNS+`><w:body>`+wp("", "More.")+`</w:body></w:document>`))))
	if len(docs) != 2 || len(problems) != 0 || docs[0].Source != "all.zip!/a/b.docx" || docs[1].Sections[0].Text != "More." {
		t.Errorf("%d documents, %v", len(docs), problems)
	}
	// A wrong name, and macros, which nobody runs, are no reason.
	if d := readOne(t, "a.txt", whole); d.Kind != KindDOCX {
		t.Errorf("%+v", d)
	}
}
