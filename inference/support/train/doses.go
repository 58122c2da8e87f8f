package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rxedge/inference"
	"rxedge/inference/quantity"
	"rxedge/inference/support"
)

// Ways to get a dose wrong; the last two as people do it.
const (
	tenTimes   = "ten times as much"
	tenth      = "a tenth"
	twice      = "twice as much"
	half       = "half"
	oneMore    = "one more"
	unit       = "another unit"
	exchanged  = "digits exchanged"
	ofTheLabel = "another number of the window"
)

var units = [][2]string{{"mg", "mcg"}, {"mcg", "mg"}, {"mL", "L"}, {"g", "mg"}, {"mg", "g"}, {"mg", "mL"}}

// wrong gives the ways in which the number n of a sentence can be changed.
func wrong(s string, n quantity.Number) map[string]string {
	out := map[string]string{}
	figure := s[n.Start:n.End]
	v, err := strconv.ParseFloat(strings.ReplaceAll(figure, ",", ""), 64)
	if err != nil || v <= 0 {
		return out
	}
	put := func(way, with string) {
		if with != figure {
			out[way] = s[:n.Start] + with + s[n.End:]
		}
	}
	number := func(w float64) string { return strconv.FormatFloat(w, 'f', -1, 64) }
	put(tenTimes, number(v*10))
	put(tenth, number(v/10))
	put(twice, number(v*2))
	put(half, number(v/2))
	put(oneMore, number(v+1))
	if len(figure) > 1 && !strings.ContainsAny(figure, ".,") && figure[1] != '0' {
		put(exchanged, string(figure[1])+string(figure[0])+figure[2:])
	}
	for _, u := range units {
		if strings.HasPrefix(s[n.End:], " "+u[0]) && (len(s) == n.End+1+len(u[0]) || !isLetter(s[n.End+1+len(u[0])])) {
			out[unit] = s[:n.End] + " " + u[1] + s[n.End+1+len(u[0]):]
			break
		}
	}
	return out
}

// doses gives the doses in all sentences of all labels, each sentence once and each
// dose changed in two ways beside its window, and once into another number of it;
// and each of those sentences as it stands. Kinds are the ways.
func doses(c *corpus, rng *rand.Rand) []pair {
	ways := []string{tenTimes, tenth, twice, half, oneMore, unit, exchanged}
	var out []pair
	seen := map[string]bool{}
	next := 0
	for _, s := range slices.Concat(c.sections, c.spl) {
		ss := usable(s.Text)
		for i, said := range ss {
			if seen[said] {
				continue
			}
			seen[said] = true
			window := said
			if rng.IntN(2) == 0 && i+1 < len(ss) {
				window += " " + ss[i+1]
			}
			add := func(claim, kind string) {
				out = append(out, pair{claim: claim, window: window, heading: s.Drug + " " + s.Section, section: s.Text, kind: kind, supports: kind == asItStands, group: s.group()})
			}
			some := false
			for _, n := range quantity.Numbers(said) {
				if !dose(n) || said[n.Start] < '0' || said[n.Start] > '9' {
					continue
				}
				some = true
				changed := wrong(said, n)
				taken := 0
				for k := 0; k < len(ways) && taken < 2; k++ {
					way := ways[next%len(ways)]
					next++
					if w := changed[way]; w != "" && len(quantity.Missing(w, window)) > 0 {
						add(w, way)
						taken++
					}
				}
			}
			if some {
				add(said, asItStands)
				if w := swapNumber(said, window); w != "" {
					add(w, ofTheLabel)
				}
			}
		}
	}
	return out
}

// group of a section's label. Of what is the same medicine by two names no part is
// on both sides of a fold.
func (s section) group() uint64 {
	drug := strings.ToLower(s.Drug)
	if drug == "lipitor" {
		drug = "atorvastatin"
	}
	return group("label " + drug)
}

// reportDoses prints how many of the changed doses models that were trained without
// the label catch, beside the window and beside the whole section.
func reportDoses(ps []pair, without []support.Model, to *scores) error {
	type tally struct {
		n, caught, sections, beside int
	}
	ts := map[string]*tally{}
	labels := map[uint64]bool{}
	var v []float64
	var y []bool
	beside := make([][]inference.Pair, folds)
	of := make([][]int, folds)
	for i, p := range ps {
		labels[p.group] = true
		r := row{group: p.group, kind: p.kind, y: p.supports}
		m := without[r.fold()]
		e, _ := m.Judge(m.ClaimVector(p.claim, p.window, p.heading))
		to.add("dose", r, p.claim, e)
		v, y = append(v, e), append(y, p.supports)
		t := ts[p.kind]
		if t == nil {
			t = &tally{}
			ts[p.kind] = t
		}
		t.n++
		if (e >= support.Threshold) == p.supports {
			t.caught++
		}
		// Beside the section only what it does not state elsewhere is wrong.
		premise := p.heading + "\n" + p.section
		if p.supports || len(quantity.Missing(p.claim, premise)) > 0 {
			beside[r.fold()] = append(beside[r.fold()], inference.Pair{Premise: premise, Hypothesis: p.claim})
			of[r.fold()] = append(of[r.fold()], i)
		}
	}
	for k, pairs := range beside {
		es, err := support.Of(&without[k]).Entail(context.Background(), pairs)
		if err != nil {
			return err
		}
		for n, e := range es {
			p := ps[of[k][n]]
			to.add("dose beside the section", row{group: p.group, kind: p.kind, y: p.supports}, p.claim, float64(e.Entail))
			t := ts[p.kind]
			t.sections++
			if (e.Entail >= support.Threshold) == p.supports {
				t.beside++
			}
		}
	}
	fmt.Printf("Doses of %d labels, changed (forests trained without the label)\n", len(labels))
	var all tally
	for _, k := range []string{tenTimes, tenth, twice, half, oneMore, unit, exchanged, ofTheLabel} {
		t := ts[k]
		if t == nil {
			continue
		}
		fmt.Printf("  %5d, caught %6.2f %%; beside the whole section %5d, caught %6.2f %%  %s\n", t.n, percent(t.caught, t.n), t.sections, percent(t.beside, t.sections), k)
		all.n, all.caught, all.sections, all.beside = all.n+t.n, all.caught+t.caught, all.sections+t.sections, all.beside+t.beside
	}
	fmt.Printf("  %5d, caught %6.2f %%; beside the whole section %5d, caught %6.2f %%  all; AUC %.4f beside the window\n", all.n, percent(all.caught, all.n), all.sections, percent(all.beside, all.sections), auc(v, y))
	if t := ts[asItStands]; t != nil {
		fmt.Printf("  %5d sentences as they stand, supported %.2f %%; beside the whole section %.2f %%\n", t.n, percent(t.caught, t.n), percent(t.beside, t.sections))
	}
	return nil
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(1, of)) }

// spl reads paragraphs and items of the sections of a Structured Product Label, for
// their sentences alone.
func spl(path string) ([]section, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []section
	var drug, title string
	var text strings.Builder
	var in []string
	flush := func() {
		if s := strings.Join(strings.Fields(text.String()), " "); s != "" {
			out = append(out, section{Drug: drug, Section: title, Text: s})
		}
		text.Reset()
	}
	d := xml.NewDecoder(f)
	d.Strict = false
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			flush()
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			in = append(in, t.Name.Local)
			if t.Name.Local == "section" {
				flush()
				title = ""
			}
		case xml.EndElement:
			switch in = in[:len(in)-1]; t.Name.Local {
			case "paragraph", "item":
				text.WriteString(" \n")
			case "section":
				flush()
			}
		case xml.CharData:
			s := strings.Join(strings.Fields(string(t)), " ")
			switch {
			case s == "":
			case slices.Contains(in, "table"):
			case slices.Contains(in, "paragraph") || slices.Contains(in, "item"):
				text.Write(t)
			case len(in) > 1 && in[len(in)-1] == "title" && slices.Contains(in, "section"):
				title = strings.TrimSpace(title + " " + s)
			case drug == "" && len(in) > 1 && in[len(in)-1] == "name" && in[len(in)-2] == "manufacturedProduct":
				drug = s
			}
		}
	}
}

func splFolder(dir string) ([]section, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil {
		return nil, err
	}
	var out []section
	for _, f := range files {
		ss, err := spl(f)
		if err != nil {
			return nil, err
		}
		for i := range ss {
			if ss[i].Drug == "" {
				ss[i].Drug = filepath.Base(f)
			}
		}
		out = append(out, ss...)
	}
	return out, nil
}
