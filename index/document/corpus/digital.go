package main

import (
	"fmt"
	"html"
	"os"
	"strings"
)

// look is how a page is set.
type look struct {
	name    string
	css     string
	words   int
	tables  int    // small ones, after each part
	long    int    // rows of a table over several pages
	running string // a header on every page
	notes   bool
	sup     bool
	table   string       // css class of tables
	grids   [][][]string // further tables
}

const base = `@page{size:A4;margin:20mm 18mm}body{font:10.5pt/1.35 'Liberation Serif';margin:0}
h1{font-size:18pt;margin:0 0 8pt}h2{font-size:13pt;margin:12pt 0 4pt}p{margin:0 0 6pt}
table{border-collapse:collapse;margin:8pt 0;font-size:9.5pt}td,th{padding:2pt 6pt;text-align:left;vertical-align:top}
.ruled td,.ruled th{border:.75pt solid #000}.book tr{border-bottom:.5pt solid #000}.book{border-top:1pt solid #000}
.shade tr:nth-child(even){background:#ddd}.shade td,.shade th{border:.5pt solid #999}.shade th{background:#bbb}
.bare td,.bare th{padding:2pt 14pt 2pt 0;white-space:nowrap}
.note{font-size:7.5pt;margin-top:10pt;border-top:.5pt solid #000;padding-top:2pt}
`

var looks = []look{
	{name: "plain", words: 900},
	{name: "sans", css: "body{font-family:'Liberation Sans';font-size:9.5pt}", words: 900},
	{name: "justified", css: "p{text-align:justify;hyphens:auto}", words: 900},
	{name: "two-columns", css: "main{columns:2;column-gap:8mm}h1{column-span:all}", words: 1400},
	{name: "two-columns-justified", css: "main{columns:2;column-gap:7mm}p{text-align:justify;hyphens:auto}", words: 2000},
	{name: "two-columns-rule", css: "main{columns:2;column-gap:8mm;column-rule:.5pt solid #000}p{text-align:justify}", words: 1400},
	{name: "three-columns", css: "@page{margin:12mm}main{columns:3;column-gap:6mm}body{font-size:8pt}p{text-align:justify;hyphens:auto}h2{font-size:10pt}", words: 2400},
	{name: "narrow-leaflet", css: "@page{size:90mm 200mm;margin:6mm}body{font-size:7pt}h1{font-size:10pt}h2{font-size:8pt}", words: 1200},
	{name: "landscape", css: "@page{size:A4 landscape}", words: 700, tables: 1, table: "ruled"},
	{name: "indented", css: "p{margin:0;text-indent:14pt;text-align:justify}", words: 1000},
	{name: "running-header", words: 2500, running: "PRESCRIBING INFORMATION — REVISED EDITION"},
	{name: "running-header-columns", css: "main{columns:2}", words: 3000, running: "Hospital formulary, draft for comment"},
	{name: "tables-ruled", words: 900, tables: 1, table: "ruled"},
	{name: "tables-shaded", words: 900, tables: 1, table: "shade"},
	{name: "tables-booktabs", words: 900, tables: 1, table: "book"},
	{name: "tables-without-rules", words: 700, tables: 1, table: "bare"},
	{name: "tables-in-columns", css: "main{columns:2;column-gap:8mm}table{break-inside:avoid;font-size:7pt}td,th{padding:1pt 2pt}", words: 1600, tables: 1, table: "ruled"},
	{name: "table-over-pages", words: 200, long: 120, table: "ruled"},
	{name: "table-over-pages-booktabs", words: 200, long: 100, table: "book"},
	{name: "footnotes", words: 900, notes: true},
	{name: "superscripts", words: 600, sup: true},
	{name: "bold-headings", css: "h1,h2{font-size:10.5pt}", words: 900},
	{name: "grey-small-capitals", css: "h2{font-variant:small-caps;color:#555}body{color:#333;letter-spacing:.1pt}", words: 700},
	{name: "wide-spacing", css: "body{line-height:2;word-spacing:3pt}", words: 700},
}

func (m *maker) chromium(name, page string) error {
	p, err := m.write(name+".html", page)
	if err != nil {
		return err
	}
	return m.cmd("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--user-data-dir="+m.tmp+"/chromium",
		"--print-to-pdf="+m.abs(name+".pdf"), "file://"+p)
}

// page writes a text as HTML, and what it says.
func (m *maker) page(l look, t text) (string, Truth) {
	var b strings.Builder
	fmt.Fprintf(&b, "<!DOCTYPE html><html lang=en><meta charset=utf-8><style>%s%s</style><body>", base, l.css)
	tr := Truth{File: l.name + ".pdf", Group: "digital", Gone: l.running}
	if l.running != "" {
		fmt.Fprintf(&b, "<table style='margin:0;font-size:inherit;width:100%%'><thead><tr><td style='padding:0 0 14pt;font-size:8pt'>%s</td></tr></thead><tbody><tr><td style='padding:0'>", html.EscapeString(l.running))
	}
	b.WriteString("<main>")
	fmt.Fprintf(&b, "<h1>%s</h1>", html.EscapeString(t.title))
	tr.Text = append(tr.Text, t.title)
	for i, p := range t.parts {
		fmt.Fprintf(&b, "<h2>%s</h2>", html.EscapeString(p.head))
		tr.Text = append(tr.Text, p.head)
		for k, para := range p.paras {
			text := html.EscapeString(para)
			if l.sup && k == 0 {
				extra := " Give 10⁶ units over 1.73 m² at a rate of 3 × 10⁻³ per hour."
				tr.Text = append(tr.Text, para+extra)
				b.WriteString("<p>" + text + " Give 10<sup>6</sup> units over 1.73 m<sup>2</sup> at a rate of 3 × 10<sup>−3</sup> per hour.</p>")
				continue
			}
			tr.Text = append(tr.Text, para)
			if l.notes && k == 0 {
				text += fmt.Sprintf("<sup>%d</sup>", i+1)
				tr.Text[len(tr.Text)-1] += fmt.Sprintf(" %d", i+1)
			}
			b.WriteString("<p>" + text + "</p>")
		}
		if l.tables > 0 && i < 4 {
			m.htmlTable(&b, &tr, m.src.table(14), l.table)
		}
		if l.notes && i == len(t.parts)-1 {
			b.WriteString("<div class=note>")
			for k := range t.parts {
				note := "See the full prescribing information, edition " + fmt.Sprint(2000+k) + ", for what this rests on."
				fmt.Fprintf(&b, "<div><sup>%d</sup> %s</div>", k+1, note)
				tr.Text = append(tr.Text, fmt.Sprintf("%d %s", k+1, note))
			}
			b.WriteString("</div>")
		}
	}
	if l.long > 0 {
		m.htmlTable(&b, &tr, m.src.longTable(l.long), l.table)
	}
	for _, g := range l.grids {
		m.htmlTable(&b, &tr, g, l.table)
	}
	b.WriteString("</main>")
	if l.running != "" {
		b.WriteString("</td></tr></tbody></table>")
	}
	b.WriteString("</body></html>")
	return b.String(), tr
}

func (m *maker) htmlTable(b *strings.Builder, tr *Truth, rows [][]string, class string) {
	fmt.Fprintf(b, "<table class=%s>", class)
	for i, r := range rows {
		tag := "td"
		if i == 0 {
			tag = "th"
			b.WriteString("<thead>")
		}
		b.WriteString("<tr>")
		for _, c := range r {
			fmt.Fprintf(b, "<%s>%s</%s>", tag, html.EscapeString(c), tag)
		}
		b.WriteString("</tr>")
		if i == 0 {
			b.WriteString("</thead>")
		}
		tr.Text = append(tr.Text, strings.Join(r, " "))
	}
	b.WriteString("</table>")
	tr.Tables = append(tr.Tables, rows)
}

func digital(m *maker) error {
	for _, l := range looks {
		if l.css == "" {
			l.css = "/* as it is */"
		}
		page, tr := m.page(l, m.src.doc(l.words))
		if err := m.chromium(l.name, page); err != nil {
			return err
		}
		m.add(tr)
	}
	// HTML with tables, as it is.
	page, tr := m.page(look{name: "page-with-tables", tables: 1, table: "ruled"}, m.src.doc(600))
	tr.File = "page-with-tables.html"
	if err := os.WriteFile(m.path(tr.File), []byte(page), 0o644); err != nil {
		return err
	}
	m.add(tr)
	return nil
}
