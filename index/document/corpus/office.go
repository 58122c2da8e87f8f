package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/xuri/excelize/v2"

	"rxedge/index/document/sheet"
)

// convertTo lets LibreOffice write a file of the folder for what lies between in
// another form.
func (m *maker) convertTo(form, ext, name string, more ...string) (string, error) {
	args := append([]string{"-env:UserInstallation=file://" + m.tmp + "/office", "--headless", "--convert-to", form, "--outdir", m.tmp}, more...)
	if err := m.cmd("soffice", append(args, name)...); err != nil {
		return "", err
	}
	return filepath.Join(m.tmp, strings.TrimSuffix(name, filepath.Ext(name))+"."+ext), nil
}

// office: what people write in Word, and what they print from it.
func office(m *maker) error {
	for _, l := range []look{
		{name: "office-plain", words: 800},
		{name: "office-tables", words: 700, tables: 1, table: "ruled"},
		{name: "office-long-table", words: 150, long: 90, table: "ruled"},
		{name: "office-superscripts", words: 400, sup: true},
	} {
		page, tr := m.page(l, m.src.doc(l.words))
		page = strings.ReplaceAll(page, "<table class=ruled>", "<table class=ruled border=1>")
		if _, err := m.write(l.name+".html", page); err != nil {
			return err
		}
		docx, err := m.convertTo("docx:MS Word 2007 XML", "docx", l.name+".html", "--infilter=HTML (StarWriter)")
		if err != nil {
			return err
		}
		if err := m.keep(docx, l.name+".docx"); err != nil {
			return err
		}
		word := tr
		word.File, word.Group = l.name+".docx", "office"
		m.add(word)
		pdf, err := m.convertTo("pdf:writer_pdf_Export", "pdf", l.name+".docx")
		if err != nil {
			return err
		}
		if err := m.keep(pdf, l.name+".pdf"); err != nil {
			return err
		}
		m.add(tr)
	}
	return nil
}

func (m *maker) keep(from, name string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(m.path(name), b, 0o644)
}

// typeset: groff, which hyphenates, sets ligatures and writes two columns.
func typeset(m *maker) error {
	for _, l := range []struct {
		name          string
		columns       int
		words, tables int
		notes         bool
	}{{"groff", 1, 900, 0, false}, {"groff-columns", 2, 1800, 0, false}, {"groff-tables", 1, 600, 3, false}, {"groff-footnotes", 1, 900, 0, true}} {
		t := m.src.doc(l.words)
		tr := Truth{File: l.name + ".pdf", Group: "digital"}
		var b strings.Builder
		// No page numbers of groff's own: its foot says nothing.
		b.WriteString(".ds CH\n.nr PO 0.9i\n.nr LL 6.4i\n")
		fmt.Fprintf(&b, ".TL\n%s\n", roff(t.title))
		tr.Text = append(tr.Text, t.title)
		if l.columns == 2 {
			b.WriteString(".2C\n")
		}
		for i, p := range t.parts {
			fmt.Fprintf(&b, ".SH\n%s\n", roff(p.head))
			tr.Text = append(tr.Text, p.head)
			for k, para := range p.paras {
				fmt.Fprintf(&b, ".PP\n%s", roff(para))
				tr.Text = append(tr.Text, para)
				if l.notes && k == 0 {
					note := fmt.Sprintf("Taken from edition %d of the reference that the committee chose.", 1990+i)
					fmt.Fprintf(&b, "\\**\n.FS\n%s\n.FE\n", note)
					tr.Text[len(tr.Text)-1] += fmt.Sprint(" ", i+1)
					tr.Text = append(tr.Text, fmt.Sprint(i+1)+" "+note)
				} else {
					b.WriteString("\n")
				}
			}
			if i < l.tables {
				rows := m.src.table(12)
				n := len(rows[0])
				b.WriteString(".TS\nallbox tab(\t);\n" + strings.Repeat("l ", n) + ".\n")
				for _, r := range rows {
					var cells []string
					for _, c := range r {
						cells = append(cells, roff(c))
					}
					b.WriteString(strings.Join(cells, "\t") + "\n")
					tr.Text = append(tr.Text, strings.Join(r, " "))
				}
				b.WriteString(".TE\n")
				tr.Tables = append(tr.Tables, rows)
			}
		}
		ms, err := m.write(l.name+".ms", b.String())
		if err != nil {
			return err
		}
		ps := filepath.Join(m.tmp, l.name+".ps")
		if err := m.cmd("sh", "-c", fmt.Sprintf("groff -K utf8 -k -t -ms -Tps '%s' > '%s' 2>/dev/null", ms, ps)); err != nil {
			return err
		}
		if err := m.cmd("gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfwrite", "-sOutputFile="+m.abs(tr.File), ps); err != nil {
			return err
		}
		m.add(tr)
	}
	return nil
}

func roff(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// spreadsheets: interactions as comma separated values and as workbooks.
func spreadsheets(m *maker) error {
	rows := [][]string{{"Drug A", "Drug B", "Severity", "Effect", "Advice"}}
	sev := []string{"major", "moderate", "minor"}
	seen := map[string]bool{}
	for len(rows) < 200 {
		a, b := m.src.docs[m.src.rng.IntN(len(m.src.docs))], m.src.docs[m.src.rng.IntN(len(m.src.docs))]
		if a.title == b.title || seen[a.title+b.title] {
			continue
		}
		seen[a.title+b.title] = true
		rows = append(rows, []string{a.title, b.title, sev[m.src.rng.IntN(3)], cut(a.parts[0].paras[0], 90), cut(b.parts[0].paras[0], 90)})
	}
	tr := Truth{Group: "sheet"}
	for _, r := range rows[1:] {
		tr.Text = append(tr.Text, strings.Join(r, " "))
		var cells []string // each has the header's words before it
		for i, c := range r {
			cells = append(cells, rows[0][i]+" "+c)
		}
		tr.Tables = append(tr.Tables, [][]string{cells})
	}
	p := filepath.Join(m.tmp, "interactions.csv")
	f, err := os.Create(p)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	x, err := m.convertTo("xlsx:Calc MS Excel 2007 XML", "xlsx", "interactions.csv", "--infilter=CSV:44,34,76,1")
	if err != nil {
		return err
	}
	for name, from := range map[string]string{"interactions.csv": p, "interactions.xlsx": x} {
		if err := m.keep(from, name); err != nil {
			return err
		}
	}
	for _, name := range []string{"interactions.csv", "interactions.xlsx"} {
		if err := os.WriteFile(m.path(name+sheet.Suffix), []byte(columns), 0o644); err != nil {
			return err
		}
		tr.File = name
		m.add(tr)
	}
	return m.refusedSheets(x, p)
}

const columns = `table = "interactions"
[columns]
drug_a = "Drug A"
drug_b = "Drug B"
severity = "Severity"
effect = "Effect"
management = "Advice"
`

// refusedSheets are workbooks that can't be read, and tables without a mapping.
func (m *maker) refusedSheets(book, values string) error {
	raw, err := os.ReadFile(book)
	if err != nil {
		return err
	}
	plain, err := os.ReadFile(values)
	if err != nil {
		return err
	}
	secret, err := excelize.Encrypt(raw, &excelize.Options{Password: "secret"})
	if err != nil {
		return err
	}
	old, err := m.convertTo("xls:MS Excel 97", "xls", "interactions.xlsx")
	if err != nil {
		return err
	}
	if err := m.keep(old, "sheet-old.xls"); err != nil {
		return err
	}
	for name, b := range map[string][]byte{"sheet-encrypted.xlsx": secret, "sheet-cut.xlsx": raw[:len(raw)/2], "sheet-unmapped.xlsx": raw, "sheet-unmapped.csv": plain} {
		if err := os.WriteFile(m.path(name), b, 0o644); err != nil {
			return err
		}
	}
	for _, t := range []Truth{{File: "sheet-encrypted.xlsx", Refused: "encrypted with a password"}, {File: "sheet-cut.xlsx", Refused: "damaged"},
		{File: "sheet-old.xls", Refused: "Excel 97"}, {File: "sheet-unmapped.xlsx", Refused: "without a mapping"}, {File: "sheet-unmapped.csv", Refused: "without a mapping"}} {
		t.Group = "refused"
		m.add(t)
	}
	return nil
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:strings.LastIndexByte(s[:n], ' ')]
}
