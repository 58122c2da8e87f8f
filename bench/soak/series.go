package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"rxedge/bench/process"
)

// sample of the box at a moment.
type sample struct {
	At          time.Time                `json:"at"`
	Phase       int                      `json:"phase"`
	PID         int                      `json:"pid"`
	Daemon      process.Usage            `json:"daemon"`
	Engines     map[string]process.Usage `json:"engines"` // by number of the process
	Live        float64                  `json:"heap_live"`
	Heap        float64                  `json:"heap_in_use"`
	Goroutines  float64                  `json:"goroutines"`
	Disk        map[string]int64         `json:"disk"`
	Generations int                      `json:"generations"` // open ones: one is served, others are being built or read out
	Kept        float64                  `json:"heap_kept"`   // after a collection that this run asked for; 0 where it did not
	Asked       int                      `json:"asked"`       // since the sample before
	P50         float64                  `json:"p50_ms"`      // of those
	P95         float64                  `json:"p95_ms"`
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
	out.Generations = generations(d.PID, s.data)
	took := s.times.take()
	out.Asked = len(took)
	out.P50, out.P95 = quantile(took, 50), quantile(took, 95)
	return out, nil
}

// generations of the index of which the process has files open.
func generations(pid int, data string) int {
	seen := map[string]bool{}
	dir := filepath.Join("/proc", itoa(pid), "fd")
	fds, _ := os.ReadDir(dir)
	for _, fd := range fds {
		target, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err != nil {
			continue
		}
		if rel, err := filepath.Rel(filepath.Join(data, "index"), target); err == nil && !strings.HasPrefix(rel, "..") && strings.Contains(rel, "/") {
			name, _, _ := strings.Cut(rel, "/")
			seen[name] = true
		}
	}
	return len(seen)
}

// collect asks the daemon to collect what is garbage and says how many bytes are left.
func (s *soak) collect(pid, n int) (float64, error) {
	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		return 0, err
	}
	path := filepath.Join(s.profiles, fmt.Sprintf("%d-%03d.json", pid, n))
	for range 300 { // a busy machine takes its time over it
		time.Sleep(100 * time.Millisecond)
		if b, err := os.ReadFile(path); err == nil {
			var m struct {
				Heap float64 `json:"heap"`
			}
			if json.Unmarshal(b, &m) == nil {
				return m.Heap, nil
			}
		}
	}
	return 0, fmt.Errorf("%s was not written", path)
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
	of         func(*sample) float64 // NaN: not seen
	bound      bound
	each       bool // judged by each sample, not by the lows of ten minutes
}

const mib = 1 << 20

// judged are the series and what each may grow by in an hour. What is kept for
// good (feedback, what a site has reported) grows by what is asked: its bound is
// what the load of this run may put there.
func judged(samples []sample) []seen {
	out := []seen{
		{name: "memory of the daemon (anonymous)", unit: "MiB", of: func(s *sample) float64 { return float64(s.Daemon.Anon) / mib }, bound: bound{0.03, 6}},
		{name: "memory of the daemon (PSS)", unit: "MiB", of: func(s *sample) float64 { return float64(s.Daemon.PSS) / mib }, bound: bound{0.05, 10}},
		{name: "live heap", unit: "MiB", of: func(s *sample) float64 { return s.Live / mib }, bound: bound{0.03, 3}},
		{name: "live heap after a collection", unit: "MiB", of: func(s *sample) float64 {
			if s.Kept == 0 {
				return math.NaN() // no collection was asked for
			}
			return s.Kept / mib
		}, bound: bound{0.03, 3}},
		{name: "goroutines", of: func(s *sample) float64 { return s.Goroutines }, bound: bound{0.02, 3}},
		{name: "threads", of: func(s *sample) float64 { return float64(s.Daemon.Threads) }, bound: bound{0.02, 3}},
		{name: "open descriptors", of: func(s *sample) float64 { return float64(s.Daemon.Open()) }, bound: bound{0.02, 3}},
		{name: "open generations", of: func(s *sample) float64 { return float64(s.Generations) }, bound: bound{0, 1}},
		{name: "memory of the engines (PSS)", unit: "MiB", of: func(s *sample) float64 {
			n := int64(0)
			for _, e := range s.Engines {
				n += e.PSS
			}
			return float64(n) / mib
		}, bound: bound{0.03, 6}},
		{name: "descriptors of the engines", of: func(s *sample) float64 {
			n := 0
			for _, e := range s.Engines {
				n += e.Open()
			}
			return float64(n)
		}, bound: bound{0.02, 2}},
		{name: "disk, all", unit: "MiB", of: func(s *sample) float64 {
			n := int64(0)
			for _, v := range s.Disk {
				n += v
			}
			return float64(n) / mib
		}, bound: bound{0.05, 24}},
		{name: "p95", unit: "ms", of: func(s *sample) float64 { return s.P95 }, bound: bound{0.25, 25}, each: true},
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
		out = append(out, seen{name: "descriptors: " + k, of: func(s *sample) float64 { return float64(s.Daemon.Files[k]) }, bound: bound{0.02, 3}})
	}
	for _, k := range sorted(kinds) {
		name := k
		if name == "" {
			name = "(files of the folder itself)"
		}
		out = append(out, seen{name: "disk: " + name, unit: "MiB", of: func(s *sample) float64 { return float64(s.Disk[k]) / mib }, bound: bound{0.05, 8}})
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

// state of the box: how many files of the index are open. With one generation at rest
// there are the fewest, more with a live update beside it, most while another generation
// is built or on trial.
func (s *sample) state() int { return s.Daemon.Files["index"] }

// stateless are the points as if they were all of one state.
func stateless(points []point) []point {
	out := slices.Clone(points)
	for i := range out {
		out[i].state = 0
	}
	return out
}

// trends of one phase.
func trends(samples []sample) (out []trend) {
	if len(samples) == 0 {
		return nil
	}
	for _, s := range judged(samples) {
		var points []point
		for i := range samples {
			if v := s.of(&samples[i]); !math.IsNaN(v) {
				points = append(points, point{samples[i].At.Sub(samples[0].At).Hours(), v, samples[i].state()})
			}
		}
		var t trend
		if s.each {
			t = judge(stateless(points), s.bound)
		} else {
			t = judge(lows(points), s.bound)
			t.All = judge(stateless(points), s.bound).Slope
		}
		t.Name, t.Unit = s.name, s.unit
		out = append(out, t)
	}
	return out
}
