package box

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"rxedge/daemon/api"
	"rxedge/daemon/cache"
	"rxedge/daemon/health"
	"rxedge/inference/ladder"
)

// Live is a box at one moment. Counts and histograms are those of /metrics, and go on
// from the start of the daemon: what happens now is the difference of two.
type Live struct {
	At         time.Time `json:"at"`
	Started    time.Time `json:"started"`
	Version    string    `json:"version"`
	Ready      bool      `json:"ready"`
	Generation string    `json:"generation"`
	Documents  int       `json:"documents"`
	Passages   int       `json:"passages"`
	DiskFree   uint64    `json:"disk_free_bytes"`
	// Wrong are the conditions that hold, the one to mend first at the front.
	Wrong []health.Finding `json:"wrong"`

	// Answers by status, and those that ended in an error.
	Answers map[string]float64 `json:"answers"`
	Failed  float64            `json:"failed"`
	// Stages by name; "total" is the whole answer.
	Stages   map[string]Spread `json:"stages"`
	Underway map[string]int64  `json:"underway"`
	Cache    *cache.Stats      `json:"cache,omitempty"`

	Models []api.ModelState  `json:"models"` // that are loaded
	Cards  []api.StationCard `json:"cards"`
	// Step of the ladder that spares the cards, and why; "" where none is watched.
	Step    string `json:"step,omitempty"`
	StepWhy string `json:"step_why,omitempty"`

	Daemon     Process   `json:"daemon"`
	Goroutines int       `json:"goroutines"`
	Engines    []Process `json:"engines"`

	Link *LiveLink `json:"link,omitempty"` // nil: it is no site
}

// Spread is a histogram: how many took at most so long. The last bound is infinite, and
// left out.
type Spread struct {
	Count  uint64    `json:"count"`
	Sum    float64   `json:"sum_s"`
	Bounds []float64 `json:"bounds_s"`
	Below  []uint64  `json:"below"` // counts, each with those before it
}

// Process of the box.
type Process struct {
	Name   string  `json:"name"`
	PID    int     `json:"pid"`
	Memory int64   `json:"memory_bytes"`
	CPU    float64 `json:"cpu_s"` // spent since it began
	Files  int     `json:"open_files"`
}

// LiveLink is how the site stands with its centre.
type LiveLink struct {
	Site      string    `json:"site"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"`
	Code      string    `json:"code,omitempty"`
	Waiting   uint64    `json:"waiting"`
	Bytes     uint64    `json:"waiting_bytes"`
	Bundle    int64     `json:"bundle,omitempty"` // that is active
	Activated time.Time `json:"activated,omitzero"`
}

// Live says what the box does now.
func (b *Box) Live(ctx context.Context) (Live, error) {
	h := b.Health()
	l := Live{At: time.Now().UTC(), Started: h.Started, Version: h.Version, Ready: h.Ready, Generation: h.Generation, Documents: h.Documents, Passages: h.Passages,
		DiskFree: DiskFree(b.Config.Data), Wrong: h.Conditions, Answers: map[string]float64{}, Stages: map[string]Spread{}, Underway: b.Answers.Underway(),
		Cache: h.Cache, Models: []api.ModelState{}, Daemon: processOf("rxedged", os.Getpid()), Goroutines: runtime.NumGoroutine(), Engines: []Process{}}
	b.metrics.read(&l)
	for _, m := range []*api.ModelState{h.Generator, h.Embedder} {
		if m != nil && m.MemoryBytes > 0 {
			l.Models = append(l.Models, *m)
		}
	}
	l.Models = append(l.Models, h.Others...)
	for _, m := range b.Models.States() {
		if m.PID > 0 {
			l.Engines = append(l.Engines, processOf(m.Model, m.PID))
		}
	}
	l.Cards, _ = b.stationCards()
	if st, watched := b.cards.state(b.Models); watched {
		if l.Step = st.Step.String(); st.Step > ladder.Normal {
			l.StepWhy = st.Why
		}
	}
	if s, err := b.SyncStatus(ctx); err == nil && s.Enrolled {
		l.Link = &LiveLink{Site: s.Site}
		if u := s.Uplink; u != nil {
			l.Link.Connected, l.Link.Since, l.Link.Code, l.Link.Waiting, l.Link.Bytes = u.Connected, u.Since, u.Code, u.Waiting.Messages, u.Waiting.Bytes
		}
		if s.Bundles != nil && s.Bundles.Active != nil {
			l.Link.Bundle, l.Link.Activated = s.Bundles.Active.Number, s.Bundles.Active.At
		}
	}
	return l, nil
}

// read what is counted of answers.
func (m *metrics) read(l *Live) {
	each(m.answers, func(labels map[string]string, v *dto.Metric) {
		l.Answers[labels["status"]] += v.GetCounter().GetValue()
	})
	each(m.failed, func(_ map[string]string, v *dto.Metric) { l.Failed = v.GetCounter().GetValue() })
	each(m.seconds, func(labels map[string]string, v *dto.Metric) {
		h := v.GetHistogram()
		s := Spread{Count: h.GetSampleCount(), Sum: h.GetSampleSum(), Bounds: []float64{}, Below: []uint64{}}
		for _, x := range h.GetBucket() {
			if !math.IsInf(x.GetUpperBound(), 1) { // JSON has no infinity
				s.Bounds, s.Below = append(s.Bounds, x.GetUpperBound()), append(s.Below, x.GetCumulativeCount())
			}
		}
		l.Stages[labels["stage"]] = s
	})
}

// each metric of a collector.
func each(c prometheus.Collector, see func(labels map[string]string, v *dto.Metric)) {
	all := make(chan prometheus.Metric)
	go func() {
		defer close(all)
		c.Collect(all)
	}()
	for m := range all {
		var v dto.Metric
		if m.Write(&v) != nil {
			continue
		}
		labels := map[string]string{}
		for _, p := range v.GetLabel() {
			labels[p.GetName()] = p.GetValue()
		}
		see(labels, &v)
	}
}

// ticks of the clock that /proc counts time by; Linux has had no other for user space.
const ticks = 100

// processOf reads /proc; what can't be read is 0.
func processOf(name string, pid int) Process {
	p := Process{Name: name, PID: pid}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	if b, err := os.ReadFile(filepath.Join(dir, "statm")); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			p.Memory = pages * int64(os.Getpagesize())
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "stat")); err == nil {
		// After the name, which may hold anything, in parentheses: state is the third field.
		if i := strings.LastIndexByte(string(b), ')'); i >= 0 {
			if f := strings.Fields(string(b[i+1:])); len(f) > 12 {
				user, _ := strconv.ParseFloat(f[11], 64)
				system, _ := strconv.ParseFloat(f[12], 64)
				p.CPU = (user + system) / ticks
			}
		}
	}
	if d, err := os.Open(filepath.Join(dir, "fd")); err == nil {
		names, _ := d.Readdirnames(-1)
		_ = d.Close()
		p.Files = len(names)
	}
	return p
}
