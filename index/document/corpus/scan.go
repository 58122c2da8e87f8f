package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// long: a thousand pages, put together of what was printed.
func long(m *maker) error {
	t := m.src.doc(200_000)
	page, tr := m.page(look{name: "thousand-pages", css: "h1,h2{break-before:page}body{font-size:20pt}h1{font-size:30pt}h2{font-size:26pt}"}, t)
	if err := m.chromium("thousand-pages", page); err != nil {
		return err
	}
	m.add(tr)
	return nil
}

// scans: pages printed, drawn as pictures, tilted, turned, with noise.
func scans(m *maker) error {
	for _, s := range []struct {
		name, dpi, how, form string
		look                 look
	}{
		{"scan-300", "300", "", "pdf", look{words: 450}},
		{"scan-300-tilted", "300", "-rotate 1.7 +repage", "pdf", look{words: 450}},
		{"scan-300-tilted-back", "300", "-rotate -2.4 +repage", "pdf", look{words: 450}},
		{"scan-300-noise", "300", "-attenuate 0.15 +noise Gaussian", "pdf", look{words: 450}},
		{"scan-300-columns", "300", "", "pdf", look{words: 700, css: "main{columns:2;column-gap:9mm}h1{column-span:all}"}},
		{"scan-300-table", "300", "", "pdf", look{words: 250, tables: 1, table: "ruled"}},
		{"scan-300-sideways", "300", "-rotate 90", "pdf", look{words: 450}},
		{"scan-300-upside-down", "300", "-rotate 180", "pdf", look{words: 450}},
		{"scan-300-page", "300", "", "png", look{words: 350}},
		{"scan-300-page-tilted", "300", "-rotate 1.2 +repage", "tif", look{words: 350}},
		{"scan-150", "150", "", "pdf", look{words: 450}},
		{"scan-150-tilted", "150", "-rotate 1.5 +repage", "pdf", look{words: 450}},
		{"scan-150-page", "150", "-quality 80", "jpg", look{words: 350}},
	} {
		s.look.name = s.name
		page, tr := m.page(s.look, m.src.doc(s.look.words))
		tr.Group = "scan" + s.dpi
		tr.File = s.name + "." + s.form
		if err := m.scanned(s.name, page, s.dpi, s.how, s.form, m.abs(tr.File)); err != nil {
			return err
		}
		m.add(tr)
	}
	return nil
}

// scan: ImageMagick of Debian may not write PDF; then Ghostscript does.
func (m *maker) scan(args []string, out, form string) error {
	if form != "pdf" {
		return m.cmd("convert", append(args, out)...)
	}
	tif := filepath.Join(m.tmp, "scan-%d.jpg")
	old, _ := filepath.Glob(filepath.Join(m.tmp, "scan-*.jpg"))
	for _, o := range old {
		if base := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(o), "scan-"), ".jpg"); len(base) <= 2 {
			os.Remove(o)
		}
	}
	if !slices.Contains(args, "-quality") {
		args = append(args, "-quality", "92")
	}
	if err := m.cmd("convert", append(args, "+adjoin", tif)...); err != nil {
		return err
	}
	var pages []string
	for i := 0; ; i++ {
		p := filepath.Join(m.tmp, fmt.Sprintf("scan-%d.jpg", i))
		if _, err := os.Stat(p); err != nil {
			break
		}
		pages = append(pages, p)
	}
	return m.picturesToPDF(pages, out, args)
}
