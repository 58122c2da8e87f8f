package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// harm is what happens to a page between the printer and the file.
type harm struct {
	name, dpi, how string
}

var harms = []harm{
	{"300", "300", ""},
	{"300-tilted", "300", "-rotate 3 +repage"},
	{"300-tilted-back", "300", "-rotate -3 +repage"},
	{"300-noise", "300", "-attenuate 0.25 +noise Gaussian"},
	{"300-jpeg", "300", "-quality 25"},
	{"300-copied", "300", "-blur 0x1.2 -brightness-contrast 8x55"},
	{"300-faint", "300", "-level 0%,100% +level 45%,95% -attenuate 0.15 +noise Gaussian"},
	{"300-sideways", "300", "-rotate 90"},
	{"300-upside-down", "300", "-rotate 180"},
	{"200", "200", ""},
	{"150", "150", ""},
	{"150-bad", "150", "-rotate 2 +repage -blur 0x0.6 -attenuate 0.25 +noise Gaussian -quality 40"},
}

// faces are what the dose pages are set in.
var faces = []string{
	"body{font:9.5pt/1.3 'Liberation Serif'}",
	"body{font:9pt/1.3 'Liberation Sans'}",
	"body{font:8.5pt/1.35 'DejaVu Sans'}",
	"body{font:10pt/1.25 'DejaVu Serif'}",
	"body{font:8pt/1.3 'Liberation Sans Narrow','Liberation Sans'}",
	"body{font:9pt/1.3 'Liberation Mono'}",
}

var (
	sentenceEnd = regexp.MustCompile(`[.;] +`)
	holdsDose   = regexp.MustCompile(`\d ?(mg|mcg|µg|g|kg|mL|L|%|units?|IU|mEq|mmol|hours|days|weeks|times)\b`)
)

// doses: pages full of sentences with numbers and units, for counting the numbers
// that are misread.
func doses(m *maker) error {
	var all []string
	seen := map[string]bool{}
	for _, d := range m.src.docs {
		for _, p := range d.parts {
			for _, para := range p.paras {
				for _, s := range sentenceEnd.Split(para, -1) {
					if n := len(s); n > 25 && n < 260 && holdsDose.MatchString(s) && !seen[s] && strings.Count(s, "[") == strings.Count(s, "]") && plainASCII(s) {
						seen[s] = true
						all = append(all, strings.TrimRight(s, ".; ")+".")
					}
				}
			}
		}
	}
	if len(all) < 400 {
		return fmt.Errorf("only %d sentences with doses were found", len(all))
	}
	m.src.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	at := 0
	for i, h := range harms {
		if m.harms != "" && !slices.Contains(strings.Split(m.harms, ","), h.name) {
			continue
		}
		for k := range m.dosePages {
			face := faces[(i+k)%len(faces)]
			t := text{title: "Doses"}
			for range 6 {
				p := part{head: "Dosage"}
				for range 3 {
					var b strings.Builder
					for range 3 {
						b.WriteString(all[at%len(all)] + " ")
						at++
					}
					p.paras = append(p.paras, strings.TrimSpace(b.String()))
				}
				t.parts = append(t.parts, p)
			}
			name := fmt.Sprintf("doses-%s-%d", h.name, k)
			page, tr := m.page(look{name: name, css: "@page{margin:14mm}" + face + "p{margin:0 0 3pt}"}, t)
			tr.Group = "doses-" + h.name
			tr.File = name + ".pdf"
			if err := m.scanned(name, page, h.dpi, h.how, "pdf", m.abs(tr.File)); err != nil {
				return err
			}
			m.add(tr)
		}
	}
	return nil
}

func plainASCII(s string) bool {
	for _, r := range s {
		if r > 126 && !strings.ContainsRune("µ≥≤±–—°×", r) {
			return false
		}
	}
	return true
}

// scanned prints a page, draws it and writes it as a scanner does.
func (m *maker) scanned(name, page, dpi, how, form, out string) error {
	digital := filepath.Join(m.tmp, name+"-digital.pdf")
	p, err := m.write(name+".html", page)
	if err != nil {
		return err
	}
	if err := m.cmd("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--user-data-dir="+m.tmp+"/chromium", "--print-to-pdf="+digital, "file://"+p); err != nil {
		return err
	}
	if err := m.cmd("pdftoppm", "-r", dpi, "-gray", digital, name); err != nil {
		return err
	}
	pics, err := filepath.Glob(filepath.Join(m.tmp, name+"-*.pgm"))
	if err != nil {
		return err
	}
	if form != "pdf" && form != "tif" {
		pics = pics[:1]
	}
	args := append(pics, "-background", "white")
	args = append(args, strings.Fields(how)...)
	args = append(args, "-density", dpi, "-units", "PixelsPerInch")
	switch form {
	case "pdf":
		args = append(args, "-compress", "zip")
	case "tif":
		args = append(args, "-compress", "lzw")
	}
	return m.scan(args, out, form)
}

// sample is a small scan for the tests: a few sentences and a table.
func sample(m *maker) error {
	t := text{title: m.src.docs[0].title}
	p := part{head: "Dosage and Administration"}
	for _, d := range m.src.docs {
		for _, q := range d.parts {
			for _, para := range q.paras {
				if n := len(para); len(p.paras) < 2 && n > 120 && n < 260 && strings.Count(para, " mg") > 1 && plainASCII(para) {
					p.paras = append(p.paras, para)
				}
			}
		}
	}
	t.parts = []part{p}
	page, tr := m.page(look{name: "label", css: "@page{size:125mm 110mm;margin:6mm}body{font-size:9pt}h1{font-size:14pt}h2{font-size:11pt}", tables: 1, table: "ruled"}, t)
	tr.Group, tr.File = "sample", "label.png"
	if err := m.scanned("label", page, "300", "-rotate 1 +repage -posterize 4 -depth 2", "png", m.abs(tr.File)); err != nil {
		return err
	}
	m.add(tr)
	return nil
}
