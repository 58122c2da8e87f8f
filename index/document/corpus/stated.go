package main

import (
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"rxedge/index/document"
)

// Stated is what a document states of its date and of the medicine it is about; "" where
// it states nothing, though other dates and names stand in it.
type Stated struct {
	File  string
	Date  string // 2006-01, or 2006-01-02 where the day is stated
	Names []string
}

var (
	titleElement = regexp.MustCompile(`(?s)<title[^>]*>(.*?)</title>`)
	tag          = regexp.MustCompile(`<[^>]*>`)
)

// stated prints real labels with the words in which they state their date and name, and
// texts in which only others do. What is found is held beside stated.json.
func stated(m *maker) error {
	var all []Stated
	print := func(s Stated, l look, title string, paras []string) error {
		var b strings.Builder
		fmt.Fprintf(&b, "<!DOCTYPE html><html lang=en><meta charset=utf-8><style>%s%s</style><body><main><h1>%s</h1>", base, l.css, html.EscapeString(title))
		for _, p := range paras {
			tag := "p"
			if h, ok := strings.CutPrefix(p, "# "); ok {
				tag, p = "h2", h
			}
			fmt.Fprintf(&b, "<%s>%s</%s>", tag, html.EscapeString(p), tag)
		}
		b.WriteString("</main></body></html>")
		if _, err := os.Stat(m.path(s.File)); err != nil { // it is the same each time
			if err := m.chromium(strings.TrimSuffix(s.File, ".pdf"), b.String()); err != nil {
				return err
			}
		}
		fmt.Println(s.File)
		all = append(all, s)
		j, err := json.MarshalIndent(all, "", " ")
		if err != nil {
			return err
		}
		return os.WriteFile(m.path("stated.json"), j, 0o644)
	}
	files, err := filepath.Glob(filepath.Join(m.src.data, "spl_xml", "*.xml"))
	if err != nil {
		return err
	}
	for i, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		var d *document.Document
		if _, err := document.ReadBytes(m.ctx, f, raw, document.Options{}, func(read *document.Document) error { d = read; return nil }); err != nil {
			return err
		}
		s := Stated{File: "stated-label-" + strings.TrimSuffix(filepath.Base(f), ".xml") + ".pdf"}
		title := d.Title
		if g := titleElement.FindSubmatch(raw); g != nil {
			title = strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(string(g[1]), " "))), " ")
		}
		head, paras := title, []string(nil)
		if strings.HasPrefix(title, "These highlights") {
			head, paras = "HIGHLIGHTS OF PRESCRIBING INFORMATION", []string{title}
			for _, n := range d.Names {
				s.Names = append(s.Names, n.Text)
			}
		}
		at, err := time.Parse("2006-01-02", d.Effective)
		if err != nil {
			return err
		}
		s.Date = at.Format("2006-01")
		for _, sec := range d.Sections {
			paras = append(paras, "# "+sec.Title)
			for p := range strings.SplitSeq(sec.Text, "\n\n") {
				paras = append(paras, strings.ReplaceAll(p, "\n", " "))
			}
			if len(paras) > 120 {
				break
			}
		}
		if err := print(s, looks[i%4], head, append(paras, fmt.Sprintf("Revised: %d/%d", at.Month(), at.Year()))); err != nil {
			return err
		}
	}
	for i := range 24 {
		t := m.src.doc(300 + m.src.rng.IntN(500))
		var body []string
		for _, p := range t.parts {
			body = append(append(body, "# "+p.head), p.paras...)
		}
		at := time.Date(2015+m.src.rng.IntN(11), time.Month(1+m.src.rng.IntN(12)), 1+m.src.rng.IntN(28), 0, 0, 0, 0, time.UTC)
		before := at.AddDate(-3, -5, 0)
		drug := t.title
		s := Stated{File: fmt.Sprintf("stated-%02d.pdf", i)}
		title := drug
		switch i % 6 {
		case 0: // a US label
			up := strings.ToUpper(drug)
			title = "HIGHLIGHTS OF PRESCRIBING INFORMATION"
			body = append([]string{fmt.Sprintf("These highlights do not include all the information needed to use %s safely and effectively. See full prescribing information for %s.", up, up),
				fmt.Sprintf("%s tablets, for oral use", up), fmt.Sprintf("Initial U.S. Approval: %d", before.Year())}, body...)
			body = append(body, "See 17 for PATIENT COUNSELING INFORMATION. Revised: "+at.Format("1/2006"))
			s.Date, s.Names = at.Format("2006-01"), []string{drug}
		case 1: // a summary of product characteristics
			title = "SUMMARY OF PRODUCT CHARACTERISTICS"
			body = append([]string{"# 1. NAME OF THE MEDICINAL PRODUCT", drug + " 10 mg film-coated tablets", "# 2. QUALITATIVE AND QUANTITATIVE COMPOSITION"}, body...)
			body = append(body, "# 9. DATE OF FIRST AUTHORISATION/RENEWAL OF THE AUTHORISATION", "Date of first authorisation: "+before.Format("2 January 2006"),
				"# 10. DATE OF REVISION OF THE TEXT", at.Format("01/2006"), "Detailed information is available, updated on 1 January 2030.")
			s.Date, s.Names = at.Format("2006-01"), []string{drug}
		case 2: // a guideline; a medicine in a title is not what the title states
			title = "Local guideline: use of " + drug
			body = append([]string{"Effective date: " + at.Format("2 January 2006"), "Next review date: " + at.AddDate(3, 0, 0).Format("2 January 2006"), "Replaces the edition of " + before.Format("2 January 2006")}, body...)
			s.Date = at.Format("2006-01-02")
		case 3: // a leaflet
			body = append(body, "This leaflet was last revised in "+at.Format("January 2006")+".")
			s.Date = at.Format("2006-01")
		case 4: // dates of others
			title = "Notes on therapy"
			body = append(body, "# References", "1. Somebody A. On doses. Journal. Published: "+before.Format("2 January 2006")+".", "2. Agency. Guideline, revised "+at.Format("January 2006")+". Accessed "+at.Format("2 January 2006")+".",
				"Copyright "+at.Format("2006"), "Expiry date: "+at.AddDate(2, 0, 0).Format("01/2006"), "Date first published elsewhere: "+before.Format("2 January 2006"))
		default: // nothing
		}
		if err := print(s, looks[i%len(looks[:7])], title, body); err != nil {
			return err
		}
	}
	return nil
}
