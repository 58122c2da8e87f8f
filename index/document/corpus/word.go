package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"html"
	"io"
	"os"
	"strings"

	"github.com/xuri/excelize/v2"
)

// gone is what must not be read: it stands in the header of every page, in what was
// deleted, and in hidden text.
const gone = "Internal draft, not for release"

// word: what Word documents have and HTML has not, written as flat OpenDocument and made
// a .docx by LibreOffice: footnotes, endnotes, tracked changes, numbered headings and
// lists, merged cells, headers, hidden text.
func word(m *maker) error {
	for i := range 4 {
		name := fmt.Sprintf("word-%d", i+1)
		t := m.src.doc(700 + 500*i)
		tr := Truth{File: name + ".docx", Group: "office", Gone: gone}
		if _, err := m.write(name+".fodt", m.flat(t, &tr)); err != nil {
			return err
		}
		docx, err := m.convertTo("docx:MS Word 2007 XML", "docx", name+".fodt")
		if err != nil {
			return err
		}
		if err := m.keep(docx, name+".docx"); err != nil {
			return err
		}
		m.add(tr)
		if i > 0 {
			continue
		}
		// The same under a wrong name, with macros, and in forms that are refused.
		raw, err := os.ReadFile(docx)
		if err != nil {
			return err
		}
		macros, err := withMacros(raw)
		if err != nil {
			return err
		}
		for n, b := range map[string][]byte{"word-named.pdf": raw, "word-macros.docm": macros} {
			if err := os.WriteFile(m.path(n), b, 0o644); err != nil {
				return err
			}
			same := tr
			same.File = n
			m.add(same)
		}
		if err := m.refusedOffice(name, raw); err != nil {
			return err
		}
	}
	return nil
}

func (m *maker) refusedOffice(name string, raw []byte) error {
	secret, err := excelize.Encrypt(bytes.Clone(raw), &excelize.Options{Password: "secret"})
	if err != nil {
		return err
	}
	bomb, err := withPart(raw, "word/document.xml", make([]byte, 600<<20))
	if err != nil {
		return err
	}
	files := map[string][]byte{"word-encrypted.docx": secret, "word-cut.docx": raw[:len(raw)*2/3], "word-bomb.docx": bomb}
	for _, k := range []struct{ form, ext, from string }{{"doc:MS Word 97", "doc", name + ".fodt"}, {"odt:writer8", "odt", name + ".fodt"}} {
		made, err := m.convertTo(k.form, k.ext, k.from)
		if err != nil {
			return err
		}
		if files["word-old."+k.ext], err = os.ReadFile(made); err != nil {
			return err
		}
	}
	for n, b := range files {
		if err := os.WriteFile(m.path(n), b, 0o644); err != nil {
			return err
		}
	}
	for _, t := range []Truth{
		{File: "word-encrypted.docx", Refused: "encrypted with a password"}, {File: "word-cut.docx", Refused: "damaged"}, {File: "word-bomb.docx", Refused: "unpacks to"},
		{File: "word-old.doc", Refused: "Word 97"}, {File: "word-old.odt", Refused: "OpenDocument"},
	} {
		t.Group = "refused"
		m.add(t)
	}
	return nil
}

// withPart is a zip with one part of it replaced.
func withPart(raw []byte, name string, text []byte) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	out := zip.NewWriter(&b)
	put := func(name string, text []byte) error {
		w, err := out.Create(name)
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	}
	done := false
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		part, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		if f.Name == name {
			part, done = text, true
		}
		if err := put(f.Name, part); err != nil {
			return nil, err
		}
	}
	if !done {
		if err := put(name, text); err != nil {
			return nil, err
		}
	}
	if err := out.Close(); err != nil { // which writes the directory
		return nil, err
	}
	return b.Bytes(), nil
}

func withMacros(raw []byte) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	f, err := z.Open("[Content_Types].xml")
	if err != nil {
		return nil, err
	}
	types, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	s := strings.Replace(string(types), "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml", "application/vnd.ms-word.document.macroEnabled.main+xml", 1)
	s = strings.Replace(s, "</Types>", `<Override PartName="/word/vbaProject.bin" ContentType="application/vnd.ms-office.vbaProject"/></Types>`, 1)
	if raw, err = withPart(raw, "[Content_Types].xml", []byte(s)); err != nil {
		return nil, err
	}
	return withPart(raw, "word/vbaProject.bin", []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 no program"))
}

const flatHead = `<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0" xmlns:fo="urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0" xmlns:dc="http://purl.org/dc/elements/1.1/" office:version="1.3" office:mimetype="application/vnd.oasis.opendocument.text">
<office:styles><text:list-style style:name="Num"><text:list-level-style-number text:level="1" style:num-format="1" style:num-suffix="."/><text:list-level-style-number text:level="2" style:num-format="a" style:num-suffix=")"/></text:list-style>
<text:outline-style style:name="Outline"><text:outline-level-style text:level="1" style:num-format=""/><text:outline-level-style text:level="2" style:num-format="1" style:num-suffix="."/></text:outline-style></office:styles>
<office:automatic-styles><style:style style:name="up" style:family="text"><style:text-properties style:text-position="super 58%"/></style:style>
<style:style style:name="no" style:family="text"><style:text-properties text:display="none"/></style:style>
<style:style style:name="struck" style:family="text"><style:text-properties style:text-line-through-style="solid" style:text-line-through-type="single"/></style:style><style:page-layout style:name="pm"><style:header-style/></style:page-layout></office:automatic-styles>
<office:master-styles><style:master-page style:name="Standard" style:page-layout-name="pm"><style:header><text:p>` + gone + `</text:p></style:header></style:master-page></office:master-styles>
<office:body><office:text>`

// change is one insertion and one deletion.
const change = `<text:changed-region text:id="in%d"><text:insertion><office:change-info><dc:creator>A</dc:creator><dc:date>2026-01-01T00:00:00</dc:date></office:change-info></text:insertion></text:changed-region>
<text:changed-region text:id="out%d"><text:deletion><office:change-info><dc:creator>A</dc:creator><dc:date>2026-01-01T00:00:00</dc:date></office:change-info><text:p>` + gone + `</text:p></text:deletion></text:changed-region>`

// flat writes a text as flat OpenDocument, and what a reader of it sees.
func (m *maker) flat(t text, tr *Truth) string {
	var b strings.Builder
	b.WriteString(flatHead + "<text:tracked-changes>")
	changes := 0
	for _, p := range t.parts {
		for k := range p.paras {
			if k%5 == 1 {
				changes++
				fmt.Fprintf(&b, change, changes, changes)
			}
		}
	}
	b.WriteString("</text:tracked-changes>")
	changes = 0
	say := func(s string) { tr.Text = append(tr.Text, s) }
	esc := html.EscapeString
	fmt.Fprintf(&b, `<text:h text:outline-level="1">%s</text:h>`, esc(t.title))
	say(t.title)
	notes, ends := 0, 0
	for i, p := range t.parts {
		fmt.Fprintf(&b, `<text:h text:outline-level="2">%s</text:h>`, esc(p.head))
		say(fmt.Sprint(i+1, ". ", p.head))
		for k, para := range p.paras {
			said := para
			b.WriteString("<text:p>" + esc(para))
			switch k % 5 {
			case 0: // a footnote
				notes++
				note := fmt.Sprintf("Taken from edition %d of the reference.", 1990+notes)
				fmt.Fprintf(&b, `<text:note text:id="f%d" text:note-class="footnote"><text:note-citation>%d</text:note-citation><text:note-body><text:p>%s</text:p></text:note-body></text:note>`, notes, notes, note)
				said += fmt.Sprint(" ", notes)
				say(fmt.Sprint(notes, " ", note))
			case 1: // changes
				changes++
				fmt.Fprintf(&b, ` Give <text:change text:change-id="out%[1]d"/><text:change-start text:change-id="in%[1]d"/>25<text:change-end text:change-id="in%[1]d"/> mg of it.`, changes)
				said += " Give 25 mg of it."
			case 2:
				b.WriteString(` Give 10<text:span text:style-name="up">6</text:span> units<text:span text:style-name="no"> ` + gone + `</text:span><text:span text:style-name="struck"> ` + gone + `</text:span>.`)
				said += " Give 10⁶ units."
			case 3:
				ends++
				note := fmt.Sprintf("As the committee decided in session %d.", 40+ends)
				fmt.Fprintf(&b, `<text:note text:id="e%d" text:note-class="endnote"><text:note-citation>%d</text:note-citation><text:note-body><text:p>%s</text:p></text:note-body></text:note>`, ends, ends, note)
				roman := []string{"", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"}
				if ends < len(roman) {
					said += " " + roman[ends]
					say(roman[ends] + " " + note)
				} else {
					say(note)
				}
			}
			b.WriteString("</text:p>")
			say(said)
		}
		if i == 0 {
			b.WriteString(`<text:list text:style-name="Num"><text:list-item><text:p>Wash your hands</text:p><text:list><text:list-item><text:p>with soap</text:p></text:list-item><text:list-item><text:p>for a minute</text:p></text:list-item></text:list></text:list-item><text:list-item><text:p>Open the pack</text:p></text:list-item></text:list>`)
			say("1. Wash your hands a) with soap b) for a minute 2. Open the pack")
		}
		if i < 4 {
			m.flatTable(&b, tr)
		}
	}
	b.WriteString("</office:text></office:body></office:document>")
	return b.String()
}

// flatTable writes a table below a head that spans all of it, with the first cell of its
// last two rows merged.
func (m *maker) flatTable(b *strings.Builder, tr *Truth) {
	rows := m.src.table(14)
	n := len(rows[0])
	esc := html.EscapeString
	fmt.Fprintf(b, `<table:table><table:table-column table:number-columns-repeated="%d"/><table:table-header-rows><table:table-row><table:table-cell table:number-columns-spanned="%d"><text:p>As observed</text:p></table:table-cell>%s</table:table-row></table:table-header-rows>`, n, n, strings.Repeat("<table:covered-table-cell/>", n-1))
	head := make([]string, n)
	head[0] = "As observed"
	truth := [][]string{head}
	for i, r := range rows {
		r = append([]string(nil), r...)
		b.WriteString("<table:table-row>")
		for c, cell := range r {
			switch {
			case c == 0 && i == len(rows)-2:
				fmt.Fprintf(b, `<table:table-cell table:number-rows-spanned="2"><text:p>%s</text:p></table:table-cell>`, esc(cell))
			case c == 0 && i == len(rows)-1:
				b.WriteString("<table:covered-table-cell/>")
				r[0] = ""
			default:
				fmt.Fprintf(b, "<table:table-cell><text:p>%s</text:p></table:table-cell>", esc(cell))
			}
		}
		b.WriteString("</table:table-row>")
		truth = append(truth, r)
	}
	b.WriteString("</table:table>")
	for _, r := range truth {
		tr.Text = append(tr.Text, strings.Join(r, " "))
	}
	tr.Tables = append(tr.Tables, truth)
}
