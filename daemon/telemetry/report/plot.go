package report

import (
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/monitor"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// svg is a drawing that grows with its column, in the colours of the page.
type svg struct {
	strings.Builder
	w, h int
}

func draw(w, h int, title string) *svg {
	s := &svg{w: w, h: h}
	fmt.Fprintf(s, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, w, h, template.HTMLEscapeString(title))
	return s
}

func (s *svg) text(x, y float64, class, t string) {
	fmt.Fprintf(s, `<text x="%.1f" y="%.1f" class="%s">%s</text>`, x, y, class, template.HTMLEscapeString(t))
}

func (s *svg) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(s, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s"/>`, x, y, max(w, 0), h, class)
}

func (s *svg) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(s, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

// done is safe: all text in it was escaped, all else are numbers and words of this file.
func (s *svg) done() template.HTML {
	s.WriteString("</svg>")
	return template.HTML(s.String())
}

// Sizes of drawings, in the units of their view box.
const (
	plotWidth  = 560
	plotLabels = 150
	plotRow    = 26
	plotValue  = 70
)

// trim a label to its room.
func trim(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// groupsPlot draws what is refused of each group's questions, with its interval.
func groupsPlot(gs []Group) template.HTML {
	most := 0.1
	for _, g := range gs {
		if g.Range != nil {
			most = max(most, g.Range.High)
		}
	}
	s := draw(plotWidth, plotRow*len(gs)+8, "Share of each group's questions that was refused, with 95 % intervals")
	x := func(v float64) float64 { return plotLabels + v/most*(plotWidth-plotLabels-plotValue) }
	for i, g := range gs {
		y := float64(plotRow*i + 6)
		s.text(plotLabels-8, y+13, "label", trim(g.Name, 20))
		if g.Rate == nil {
			s.text(plotLabels+4, y+13, "mute", "fewer than 11 refused")
			continue
		}
		s.rect(plotLabels, y+3, x(*g.Rate)-plotLabels, 12, "now")
		s.line(x(g.Range.Low), y+9, x(g.Range.High), y+9, "whisker")
		s.line(x(g.Range.Low), y+5, x(g.Range.Low), y+13, "whisker")
		s.line(x(g.Range.High), y+5, x(g.Range.High), y+13, "whisker")
		s.text(plotWidth-plotValue+12, y+13, "value", percent(g.Rate))
	}
	return s.done()
}

// psiPlot draws the PSI of each feature, with the limits.
func psiPlot(fs []monitor.Feature) template.HTML {
	most := 0.4
	for _, f := range fs {
		most = max(most, f.PSI)
	}
	h := plotRow*len(fs) + 24
	s := draw(plotWidth, h, "Population stability index of each feature")
	x := func(v float64) float64 { return plotLabels + v/most*(plotWidth-plotLabels-plotValue) }
	for i, f := range fs {
		y := float64(plotRow*i + 6)
		class := "base"
		switch f.Verdict {
		case drift.VerdictInvestigate:
			class = "warn"
		case drift.VerdictAct:
			class = "bad"
		}
		s.text(plotLabels-8, y+13, "label", strings.ReplaceAll(f.Name, "_", " "))
		s.rect(plotLabels, y+3, max(x(f.PSI)-plotLabels, 1), 12, class)
		s.text(plotWidth-plotValue+12, y+13, "value", fmt.Sprintf("%.3f", f.PSI))
	}
	for _, l := range []float64{drift.Investigate, drift.Act} {
		s.line(x(l), 2, x(l), float64(h-18), "limit")
		s.text(x(l), float64(h-5), "tick", fmt.Sprint(l))
	}
	return s.done()
}

// mostBars of a distribution are drawn; the rest are its smallest.
const mostBars = 12

// binsPlot draws a feature's distribution beside its baseline.
func binsPlot(f monitor.Feature) template.HTML {
	bars := f.Bins
	if len(bars) > mostBars && bars[0].Category != "" {
		bars = slices.SortedFunc(slices.Values(bars), func(a, b drift.Bar) int {
			return int(max(b.Baseline, b.Current) - max(a.Baseline, a.Current))
		})[:mostBars]
	}
	most := 0.05
	for _, b := range bars {
		most = max(most, share(b.Baseline, f.Baseline), share(b.Current, f.Current))
	}
	s := draw(plotWidth, plotRow*len(bars)+8, "Distribution of "+f.Name+" in the baseline and now")
	width := func(v float64) float64 { return v / most * (plotWidth - plotLabels - 2*plotValue) }
	for i, b := range bars {
		y := float64(plotRow*i + 4)
		was, is := share(b.Baseline, f.Baseline), share(b.Current, f.Current)
		s.text(plotLabels-8, y+14, "label", trim(binName(b), 20))
		s.rect(plotLabels, y+1, width(was), 8, "base")
		s.rect(plotLabels, y+11, width(is), 8, "now")
		s.text(plotWidth-2*plotValue+12, y+14, "value", fmt.Sprintf("%.1f → %.1f %%", 100*was, 100*is))
	}
	return s.done()
}
