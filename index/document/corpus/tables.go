package main

import (
	"fmt"
	"math/rand/v2"
)

// tableFaces are what the pages of tables are set in: other sizes than those of the
// pages of doses.
var tableFaces = []struct{ name, css string }{
	{"serif", "body{font:10pt/1.3 'Liberation Serif'}table{font-size:9.5pt}"},
	{"sans", "body{font:9pt/1.3 'Liberation Sans'}table{font-size:8.5pt}"},
	{"dejavu", "body{font:9pt/1.35 'DejaVu Sans'}table{font-size:9pt}"},
	{"dejavu-serif", "body{font:9pt/1.25 'DejaVu Serif'}table{font-size:8pt}"},
	{"narrow", "body{font:9pt/1.3 'Liberation Sans Narrow','Liberation Sans'}table{font-size:9pt}"},
	{"mono", "body{font:9pt/1.3 'Liberation Mono'}table{font-size:10.5pt}"},
}

// tableStyles are how their cells are told apart.
var tableStyles = []struct{ class, css string }{
	{"ruled", ""},
	{"ruled", "td,th{padding:1pt 3pt}td+td,th+th{text-align:right}"},
	{"book", "td+td,th+th{text-align:center}"},
	{"bare", ""},
}

// tables: pages of tables as they stand in labels, in several faces, as they are
// printed and as they are scanned. They have a generator of their own, so that the
// other steps make what they made before.
func tables(m *maker) error {
	rng := rand.New(rand.NewPCG(11, 3))
	for i, f := range tableFaces {
		for k, s := range tableStyles {
			t := text{title: "Tables of " + f.name}
			name := fmt.Sprintf("grid-%s-%c", f.name, 'a'+rune(k))
			page, tr := m.page(look{name: name, css: f.css + "@page{margin:15mm}" + s.css, table: s.class, grids: grids(rng, m.src)}, t)
			if err := m.chromium(name, page); err != nil {
				return err
			}
			tr.Group = "tables-" + s.class
			m.add(tr)
			how := []string{"", "-rotate 1.3 +repage", "-attenuate 0.15 +noise Gaussian", "-rotate -0.8 +repage"}[(i+k)%4]
			tr.Group, tr.File = "tables-"+s.class+"-300", "scan-"+name+".pdf"
			if err := m.scanned("scan-"+name, page, "300", how, "pdf", m.abs(tr.File)); err != nil {
				return err
			}
			m.add(tr)
		}
	}
	return nil
}

// grids are tables with the kinds of cells that labels have: bare numbers, shares
// with bounds, doses, words; and one of a real label.
func grids(rng *rand.Rand, src *source) [][][]string {
	n := func(most int) string { return fmt.Sprint(rng.IntN(most)) }
	share := func() string {
		switch rng.IntN(6) {
		case 0:
			return "<1"
		case 1:
			return fmt.Sprintf("%d.%d", rng.IntN(30), rng.IntN(10))
		}
		return n(40)
	}
	few := [][]string{}
	for range 8 {
		few = append(few, []string{share(), share(), share(), share(), share()})
	}
	words := []string{"Nausea", "Fatigue", "Headache", "Dizziness", "Upper respiratory infection", "Rash", "Diarrhea", "Dry mouth", "Insomnia", "Back pain"}
	named := [][]string{{"Adverse reaction", "Drug (N=" + n(900) + ")", "Placebo (N=" + n(900) + ")", "P value"}}
	for range 7 {
		named = append(named, []string{words[rng.IntN(len(words))], n(90) + " (" + n(40) + "%)", n(90) + " (" + n(9) + "." + n(10) + "%)", []string{"<0.001", "0.0" + n(9) + n(10), "NS", "0." + n(10)}[rng.IntN(4)]})
	}
	doses := [][]string{{"Weight", "Dose", "Interval", "Maximum"}}
	for i := range 5 {
		doses = append(doses, []string{fmt.Sprintf("%d to %d kg", 10*i+1, 10*i+10), fmt.Sprintf("%d.%d mg/kg", rng.IntN(9), 5*rng.IntN(2)), "every " + fmt.Sprint(4+rng.IntN(20)) + " hours", fmt.Sprintf("%d mg", 25*(1+rng.IntN(60)))})
	}
	ratio := [][]string{{"Subgroup", "Hazard ratio", "95% CI", "n"}}
	for range 5 {
		ratio = append(ratio, []string{[]string{"Men", "Women", "Age <65", "Age ≥65", "Smokers"}[rng.IntN(5)], "0." + n(10) + n(10), fmt.Sprintf("(0.%d%d, 1.%d%d)", rng.IntN(10), rng.IntN(10), rng.IntN(10), rng.IntN(10)), n(10)})
	}
	for {
		if t := src.tables[rng.IntN(len(src.tables))]; len(t) <= 14 {
			return [][][]string{few, named, doses, ratio, t}
		}
	}
}
