package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"rxedge/bench/process"
)

// sample of the box at a moment.
type sample struct {
	At         time.Time                `json:"at"`
	Phase      int                      `json:"phase"`
	PID        int                      `json:"pid"`
	Daemon     process.Usage            `json:"daemon"`
	Engines    map[string]process.Usage `json:"engines"` // by number of the process
	Live       float64                  `json:"heap_live"`
	Heap       float64                  `json:"heap_in_use"`
	Goroutines float64                  `json:"goroutines"`
	Disk       map[string]int64         `json:"disk"`
	Generation string                   `json:"generation"`
	Asked      int                      `json:"asked"`  // since the sample before
	P50        float64                  `json:"p50_ms"` // of those
	P95        float64                  `json:"p95_ms"`
}

// take one. What can't be read while the daemon is down is an error.
func (s *soak) take(ctx context.Context) (sample, error) {
	d, phase := s.daemon()
	out := sample{At: time.Now(), Phase: phase, PID: d.PID, Engines: map[string]process.Usage{}}
	var err error
	if out.Daemon, err = process.Read(d.PID, s.data); err != nil {
		return out, err
	}
	for _, pid := range process.Children(d.PID) {
		if u, err := process.Read(pid, s.data); err == nil { // else it has just ended
			out.Engines[itoa(pid)] = u
		}
	}
	m, err := d.Metrics(ctx)
	if err != nil {
		return out, err
	}
	out.Live, out.Heap, out.Goroutines = m.Live(), m["go_memstats_heap_inuse_bytes"], m.Goroutines()
	if out.Disk, err = process.Disk(s.data); err != nil {
		return out, err
	}
	took := s.times.take()
	out.Asked = len(took)
	out.P50, out.P95 = quantile(took, 50), quantile(took, 95)
	return out, nil
}

// quantile of unsorted values; 0 where there are none.
func quantile(v []float64, p int) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Clone(v)
	slices.Sort(s)
	return s[min(len(s)-1, p*len(s)/100)]
}

// seen is a series that is judged.
type seen struct {
	name, unit string
	of         func(*sample) float64
	bound      bound
}

const mib = 1 << 20

// judged are the series and what each may grow by in an hour. What is kept for
// good (feedback, what a site has reported) grows by what is asked: its bound is
// what the load of this run may put there.
func judged(samples []sample) []seen {
	out := []seen{
		{"memory of the daemon (anonymous)", "MiB", func(s *sample) float64 { return float64(s.Daemon.Anon) / mib }, bound{0.03, 6}},
		{"memory of the daemon (PSS)", "MiB", func(s *sample) float64 { return float64(s.Daemon.PSS) / mib }, bound{0.05, 10}},
		{"live heap", "MiB", func(s *sample) float64 { return s.Live / mib }, bound{0.03, 3}},
		{"goroutines", "", func(s *sample) float64 { return s.Goroutines }, bound{0.02, 3}},
		{"threads", "", func(s *sample) float64 { return float64(s.Daemon.Threads) }, bound{0.02, 3}},
		{"open descriptors", "", func(s *sample) float64 { return float64(s.Daemon.Open()) }, bound{0.02, 3}},
		{"memory of the engines (PSS)", "MiB", func(s *sample) float64 {
			n := int64(0)
			for _, e := range s.Engines {
				n += e.PSS
			}
			return float64(n) / mib
		}, bound{0.03, 6}},
		{"descriptors of the engines", "", func(s *sample) float64 {
			n := 0
			for _, e := range s.Engines {
				n += e.Open()
			}
			return float64(n)
		}, bound{0.02, 2}},
		{"disk, all", "MiB", func(s *sample) float64 {
			n := int64(0)
			for _, v := range s.Disk {
				n += v
			}
			return float64(n) / mib
		}, bound{0.05, 24}},
		{"p95", "ms", func(s *sample) float64 { return s.P95 }, bound{0.25, 25}},
	}
	kinds := map[string]bool{}
	files := map[string]bool{}
	for i := range samples {
		for k := range samples[i].Disk {
			kinds[k] = true
		}
		for k := range samples[i].Daemon.Files {
			files[k] = true
		}
	}
	for _, k := range sorted(files) {
		out = append(out, seen{"descriptors: " + k, "", func(s *sample) float64 { return float64(s.Daemon.Files[k]) }, bound{0.02, 3}})
	}
	for _, k := range sorted(kinds) {
		name := k
		if name == "" {
			name = "(files of the folder itself)"
		}
		out = append(out, seen{"disk: " + name, "MiB", func(s *sample) float64 { return float64(s.Disk[k]) / mib }, bound{0.05, 8}})
	}
	return out
}

func sorted(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// trends of one phase.
func trends(samples []sample) (out []trend) {
	if len(samples) == 0 {
		return nil
	}
	at := make([]float64, len(samples))
	for i := range samples {
		at[i] = samples[i].At.Sub(samples[0].At).Hours()
	}
	for _, s := range judged(samples) {
		values := make([]float64, len(samples))
		for i := range samples {
			values[i] = s.of(&samples[i])
		}
		t := judge(at, values, s.bound)
		t.Name, t.Unit = s.name, s.unit
		out = append(out, t)
	}
	return out
}
