package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
)

const (
	lookBack = time.Minute // of how long answers took
	bars     = 60          // looks that are drawn
	// mostShown cards and engines: a screen has 24 lines.
	mostShown = 2
	columns   = 80
)

// window holds the looks of the last minute, and how many questions there were between
// two.
type window struct {
	looks []box.Live
	rates []float64
}

// add a look. One of another start of the daemon begins anew.
func (w *window) add(l box.Live) {
	if n := len(w.looks); n > 0 {
		last := w.looks[n-1]
		if !last.Started.Equal(l.Started) {
			*w = window{}
		} else if d := l.At.Sub(last.At).Seconds(); d > 0 {
			w.rates = append(w.rates, (asked(l)-asked(last))/d)
			w.rates = w.rates[max(0, len(w.rates)-bars):]
		}
	}
	w.looks = append(w.looks, l)
	for len(w.looks) > 2 && l.At.Sub(w.looks[1].At) >= lookBack {
		w.looks = w.looks[1:]
	}
}

func asked(l box.Live) float64 {
	n := l.Failed
	for _, v := range l.Answers {
		n += v
	}
	return n
}

// figures are what two looks come to.
type figures struct {
	At        time.Time        `json:"at"`
	Up        float64          `json:"up_s"`
	Ready     bool             `json:"ready"`
	Questions float64          `json:"questions_per_s"`
	Answered  float64          `json:"answered_per_s"`
	Abstained float64          `json:"abstained_per_s"`
	Failed    float64          `json:"failed_per_s"`
	P50       *float64         `json:"p50_ms"` // null where nothing was asked
	P95       *float64         `json:"p95_ms"`
	P99       *float64         `json:"p99_ms"`
	Over      float64          `json:"over_s"` // that the times and the cache are of
	Stages    map[string]stage `json:"stages_ms"`
	Hits      *float64         `json:"cache_hits"` // share of those that were looked for
	CPU       map[string]int   `json:"cpu_percent"`
	Now       box.Live         `json:"now"`

	rates []float64
}

// stage of answers: its mean.
type stage = float64

func (w *window) figures() figures {
	now := w.looks[len(w.looks)-1]
	f := figures{At: now.At, Up: now.At.Sub(now.Started).Seconds(), Ready: now.Ready, Stages: map[string]stage{}, CPU: map[string]int{}, Now: now, rates: w.rates}
	if len(w.looks) < 2 {
		return f
	}
	last, first := w.looks[len(w.looks)-2], w.looks[0]
	d := max(now.At.Sub(last.At).Seconds(), 1e-9)
	f.Questions = (asked(now) - asked(last)) / d
	f.Answered = (now.Answers["answered"] - last.Answers["answered"]) / d
	f.Abstained = (now.Answers["abstained"] - last.Answers["abstained"]) / d
	f.Failed = (now.Failed - last.Failed) / d
	f.Over = now.At.Sub(first.At).Seconds()
	for name, s := range now.Stages {
		was := first.Stages[name]
		if n := s.Count - was.Count; n > 0 && s.Count > was.Count {
			f.Stages[name] = 1000 * (s.Sum - was.Sum) / float64(n)
		}
	}
	total, was := now.Stages["total"], first.Stages["total"]
	for q, to := range map[float64]**float64{0.5: &f.P50, 0.95: &f.P95, 0.99: &f.P99} {
		if v, ok := quantile(q, total, was); ok {
			v *= 1000
			*to = &v
		}
	}
	if now.Cache != nil && first.Cache != nil {
		hits, misses := now.Cache.AnswerHits-first.Cache.AnswerHits, now.Cache.AnswerMisses-first.Cache.AnswerMisses
		if hits+misses > 0 {
			v := float64(hits) / float64(hits+misses)
			f.Hits = &v
		}
	}
	cpu := func(p, was box.Process) {
		if p.PID == was.PID {
			f.CPU[p.Name] = int(math.Round(100 * (p.CPU - was.CPU) / d))
		}
	}
	cpu(now.Daemon, last.Daemon)
	for _, e := range now.Engines {
		for _, o := range last.Engines {
			cpu(e, o)
		}
	}
	return f
}

// quantile q of what came between two looks at a histogram, in seconds, by a straight
// line within the bucket, as Prometheus' histogram_quantile does.
func quantile(q float64, is, was box.Spread) (float64, bool) {
	n := is.Count - was.Count
	if is.Count <= was.Count || len(is.Bounds) == 0 || len(is.Below) != len(is.Bounds) {
		return 0, false
	}
	rank := q * float64(n)
	low, before := 0.0, 0.0
	for i, bound := range is.Bounds {
		below := float64(is.Below[i])
		if i < len(was.Below) {
			below -= float64(was.Below[i])
		}
		if below >= rank && below > before {
			return low + (bound-low)*(rank-before)/(below-before), true
		}
		low, before = bound, max(before, below)
	}
	return is.Bounds[len(is.Bounds)-1], true
}

// spark draws rates as bars.
func spark(rates []float64) string {
	most := 0.0
	for _, r := range rates {
		most = max(most, r)
	}
	var b strings.Builder
	for _, r := range rates {
		i := 0
		if most > 0 && r > 0 {
			i = 1 + min(6, int(r/most*6.999))
		}
		b.WriteRune([]rune("·▁▂▃▄▅▆▇")[i])
	}
	return b.String()
}

// screen is f in at most 24 lines of 80 columns, of a box with a card and its models.
func (f figures) screen() []string {
	n := f.Now
	var out []string
	line := func(label, format string, args ...any) {
		out = append(out, fmt.Sprintf("%-11s", label)+fmt.Sprintf(format, args...))
	}
	ready := "answers questions"
	if !n.Ready {
		ready = "DOES NOT ANSWER"
	}
	out = append(out, fmt.Sprintf("rxedged %s  up %s  %s  %s  (q ends this)", n.Version, lasting(f.Up), ready, n.At.Local().Format(time.TimeOnly)))
	if len(n.Wrong) == 0 {
		line("", "Nothing is wrong.")
	} else {
		w := n.Wrong[0]
		more := ""
		if k := len(n.Wrong) - 1; k > 0 {
			more = fmt.Sprintf(" (and %d more: rxedge status)", k)
		}
		line(strings.ToUpper(w.Severity.String()), "%s%s", w.Title, more)
	}
	out = append(out, "")
	line("Questions", "%.1f/s   answered %.1f   abstained %.1f   failed %.1f", f.Questions, f.Answered, f.Abstained, f.Failed)
	line("", "%s", spark(f.rates))
	ms := func(v *float64) string {
		if v == nil {
			return "-"
		}
		if *v < 10 {
			return fmt.Sprintf("%.1f", *v)
		}
		return fmt.Sprintf("%.0f", *v)
	}
	line("Took, ms", "p50 %s   p95 %s   p99 %s   of the last %.0f s", ms(f.P50), ms(f.P95), ms(f.P99), f.Over)
	line("Stages, ms", "%s", f.stages())
	line("Under way", "%s", f.underway())
	if c := n.Cache; c != nil {
		hits := "-"
		if f.Hits != nil {
			hits = fmt.Sprintf("%.0f %%", 100**f.Hits)
		}
		line("Cache", "%s found   %d answers, %d vectors, %s", hits, c.Answers, c.Embeddings, size(c.Bytes))
	}
	out = append(out, "")
	for i, c := range n.Cards {
		if i == mostShown {
			line("", "and %d more: rxedge gpu", len(n.Cards)-i)
			break
		}
		line(fmt.Sprintf("GPU %d", c.Index), "%s", card(c))
	}
	if n.Step != "" {
		line("Ladder", "%s  %s", n.Step, n.StepWhy)
	} else if len(n.Cards) == 0 {
		line("GPU", "none is watched")
	}
	for i, m := range n.Models {
		if i == mostShown {
			line("", "and %d more: rxedge status", len(n.Models)-i)
			break
		}
		line("Model", "%s: %s, %d running, %d waiting", shorten(m.Name, 30), m.Phase, m.Running, m.Waiting)
	}
	out = append(out, fmt.Sprintf("%-30s %10s %6s %12s %8s", "PROCESS", "MEMORY", "CPU %", "GOROUTINES", "FILES"))
	process := func(p box.Process, goroutines string) {
		used := "-"
		if c, ok := f.CPU[p.Name]; ok {
			used = fmt.Sprint(c)
		}
		out = append(out, fmt.Sprintf("%-30s %10s %6s %12s %8d", shorten(p.Name, 28), size(p.Memory), used, goroutines, p.Files))
	}
	process(n.Daemon, fmt.Sprint(n.Goroutines))
	for i, e := range n.Engines {
		if i == mostShown {
			break
		}
		process(e, "")
	}
	out = append(out, "")
	line("Centre", "%s", link(n.Link, n.At))
	line("Index", "%s: %d documents, %d passages; %s of disk free", n.Generation, n.Documents, n.Passages, size(int64(n.DiskFree)))
	for i, l := range out {
		if r := []rune(l); len(r) > columns {
			out[i] = string(r[:columns-1]) + "…"
		}
	}
	return out
}

// stages in the order in which they come.
func (f figures) stages() string {
	var parts []string
	for _, s := range []string{"cache", "embed", "retrieve", "rerank", "generate", "verify"} {
		if v, ok := f.Stages[s]; ok && v >= 0.05 {
			parts = append(parts, fmt.Sprintf("%s %.1f", s, v))
		}
	}
	if parts == nil {
		return "-"
	}
	return strings.Join(parts, "  ")
}

func (f figures) underway() string {
	s := fmt.Sprintf("%d questions", f.Now.Underway["questions"])
	for _, name := range []string{"retrieve", "rerank", "generate"} {
		if n := f.Now.Underway[name]; n > 0 {
			s += fmt.Sprintf("   %s %d", name, n)
		}
	}
	return s
}

func card(c api.StationCard) string {
	if c.Fault != "" {
		return c.Name + ": " + c.Fault
	}
	parts := []string{shorten(c.Name, 18)}
	if t := c.Temperature; t != nil {
		s := fmt.Sprintf("%d °C", *t)
		if c.Slowdown != nil {
			s += fmt.Sprintf(" of %d", *c.Slowdown)
		}
		parts = append(parts, s)
	}
	if c.Busy != nil {
		parts = append(parts, fmt.Sprintf("%d %%", *c.Busy))
	}
	if c.MemoryTotal > 0 {
		parts = append(parts, fmt.Sprintf("%.1f of %.1f GB", float64(c.MemoryUsed)/(1<<30), float64(c.MemoryTotal)/(1<<30)))
	}
	if c.Power != nil {
		parts = append(parts, fmt.Sprintf("%.0f W", *c.Power))
	}
	if c.Throttled {
		parts = append(parts, "SLOWED")
	}
	return strings.Join(parts, "  ")
}

func link(l *box.LiveLink, now time.Time) string {
	if l == nil {
		return "none: this box is no site"
	}
	s := shorten(l.Site, 20) + ": "
	switch {
	case l.Connected:
		s += "connected " + lasting(now.Sub(l.Since).Seconds())
	case l.Code != "":
		s += "NOT CONNECTED (" + l.Code + ")"
	default:
		s += "NOT CONNECTED"
	}
	s += fmt.Sprintf("; %d wait (%s)", l.Waiting, size(int64(l.Bytes)))
	if l.Bundle > 0 {
		s += fmt.Sprintf("; bundle %d, %s", l.Bundle, l.Activated.Local().Format("Jan _2"))
	}
	return s
}

// lasting is a span in two parts at most: 3 d 4 h, 12 m.
func lasting(seconds float64) string {
	d := time.Duration(max(0, seconds) * float64(time.Second))
	var parts []string
	for _, u := range []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := d / u.of; n > 0 || u.of == time.Second && parts == nil {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			d -= n * u.of
		}
	}
	return strings.Join(parts[:min(2, len(parts))], " ")
}
