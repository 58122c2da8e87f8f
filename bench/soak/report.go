package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// report of a run.
type report struct {
	OK       bool                  `json:"ok"`
	Why      []string              `json:"why,omitempty"` // it is not
	Began    time.Time             `json:"began"`
	Lasted   float64               `json:"lasted_s"`
	Commit   string                `json:"commit,omitempty"`
	Rate     float64               `json:"rate"`
	Passages int                   `json:"passages"`
	CPU      float64               `json:"cpu_share"` // of one core, daemon and engines
	Requests *tally                `json:"requests"`
	Events   map[string]*happening `json:"events"`
	Phases   []phase               `json:"phases"`
	Missed   []string              `json:"missed,omitempty"` // looks at the box that failed
	Reports  int                   `json:"reports_at_centre"`
	Series   []sample              `json:"series"`
}

// phase is what lies between two starts of the daemon.
type phase struct {
	Number  int     `json:"number"`
	Minutes float64 `json:"minutes"`
	Trends  []trend `json:"trends"`
}

func (s *soak) report(began time.Time, w io.Writer) (*report, error) {
	r := &report{Began: began, Lasted: time.Since(began).Seconds(), Commit: s.commit, Rate: s.rate, Passages: s.passages,
		Requests: s.tally, Events: s.happened, Missed: s.missed, Series: s.samples}
	r.judge(s.samples)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if r.Reports, err = s.centre.collect(ctx); err != nil {
		r.Why = append(r.Why, fmt.Sprintf("the centre's reports could not be read: %v", err))
	}
	if n := s.tally.failed(); n > 0 {
		r.Why = append(r.Why, fmt.Sprintf("%d requests failed", n))
	}
	for name, h := range s.happened {
		if h.Failed > 0 {
			r.Why = append(r.Why, fmt.Sprintf("%s failed %d times of %d", name, h.Failed, h.Times))
		}
	}
	if len(s.missed) > len(s.samples)/50 {
		r.Why = append(r.Why, fmt.Sprintf("the box could not be looked at %d times", len(s.missed)))
	}
	if r.Lasted < s.lasting.Seconds()-1 {
		r.Why = append(r.Why, fmt.Sprintf("it was stopped after %.0f minutes", r.Lasted/60))
	}
	if len(r.Phases) == 0 {
		r.Why = append(r.Why, "nothing was seen")
	}
	slices.Sort(r.Why)
	r.OK = len(r.Why) == 0
	r.print(w)
	if s.out == "" {
		return r, nil
	}
	return r, writeJSON(s.out, r)
}

// judgeAgain prints the report of an earlier run, its series judged anew.
func judgeAgain(path string, w io.Writer) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r.judge(r.Series)
	r.print(w)
	return nil
}

// judge the series, phase by phase.
func (r *report) judge(series []sample) {
	r.Phases = nil
	r.Why = slices.DeleteFunc(r.Why, func(why string) bool { return strings.HasPrefix(why, "phase ") })
	phases := map[int][]sample{}
	for _, s := range series {
		phases[s.Phase] = append(phases[s.Phase], s)
	}
	for _, n := range slices.Sorted(maps.Keys(phases)) {
		of := phases[n]
		if len(of) < 2 {
			continue
		}
		p := phase{n, of[len(of)-1].At.Sub(of[0].At).Minutes(), trends(of)}
		r.Phases = append(r.Phases, p)
		r.CPU = max(r.CPU, float64(processor(of))/float64(of[len(of)-1].At.Sub(of[0].At)))
		for _, t := range p.Trends {
			if t.Verdict == grows {
				r.Why = append(r.Why, fmt.Sprintf("phase %d: %s grows by %.3g %s an hour; %.3g are let pass", p.Number, t.Name, t.Slope, t.Unit, t.Bound))
			}
		}
	}
	r.OK = len(r.Why) == 0
}

// processor is the time that the daemon and its engines took between the first
// sample of a phase and the last.
func processor(of []sample) (sum time.Duration) {
	sum = of[len(of)-1].Daemon.CPU - of[0].Daemon.CPU
	engines := map[string][2]time.Duration{} // seen first, seen last
	for i := range of {
		for pid, e := range of[i].Engines {
			if _, ok := engines[pid]; !ok && i == 0 {
				engines[pid] = [2]time.Duration{e.CPU, e.CPU}
			}
			engines[pid] = [2]time.Duration{engines[pid][0], e.CPU}
		}
	}
	for _, e := range engines {
		sum += e[1] - e[0]
	}
	return sum
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%.0f minutes, commit %s, %.3g requests a second; daemon and engines took %.1f %% of a core\n", r.Lasted/60, r.Commit, r.Rate, 100*r.CPU)
	fmt.Fprintf(w, "\n%-24s %8s %8s %8s\n", "requests", "sent", "failed", "away")
	sent, failed, away := 0, 0, 0
	for _, k := range slices.Sorted(maps.Keys(r.Requests.Sent)) {
		n := 0
		for _, v := range r.Requests.Failed[k] {
			n += v
		}
		sent, failed, away = sent+r.Requests.Sent[k], failed+n, away+r.Requests.Away[k]
		fmt.Fprintf(w, "  %-22s %8d %8d %8d\n", k, r.Requests.Sent[k], n, r.Requests.Away[k])
		for _, why := range slices.Sorted(maps.Keys(r.Requests.Failed[k])) {
			fmt.Fprintf(w, "      %d: %s (%.160s)\n", r.Requests.Failed[k][why], why, r.Requests.Example[k+": "+why])
		}
	}
	fmt.Fprintf(w, "  %-22s %8d %8d %8d\n", "all", sent, failed, away)
	for _, k := range slices.Sorted(maps.Keys(r.Requests.Told)) {
		fmt.Fprintf(w, "  refused as it had to be, %s: %d\n", k, r.Requests.Told[k])
	}
	fmt.Fprintf(w, "  reports of the site at the centre: %d\n  outcomes:", r.Reports)
	for _, k := range slices.Sorted(maps.Keys(r.Requests.Outcomes)) {
		fmt.Fprintf(w, " %s %d;", k, r.Requests.Outcomes[k])
	}
	fmt.Fprintf(w, "\n\n%-28s %6s %7s %10s\n", "events", "times", "failed", "most, s")
	for _, k := range slices.Sorted(maps.Keys(r.Events)) {
		h := r.Events[k]
		fmt.Fprintf(w, "  %-26s %6d %7d %10.1f\n", k, h.Times, h.Failed, h.Took)
		for _, n := range h.Notes {
			fmt.Fprintf(w, "      %.200s\n", n)
		}
	}
	for _, p := range r.Phases {
		fmt.Fprintf(w, "\nphase %d, %.0f minutes; judged by the lows of ten minutes over its last three quarters\n  %-34s %9s %9s %9s %10s %22s %9s %10s  %s\n", p.Number, p.Minutes, "series", "first", "last", "most", "an hour", "95 %", "let pass", "all, hour", "verdict")
		for _, t := range p.Trends {
			fmt.Fprintf(w, "  %-34s %9.4g %9.4g %9.4g %+10.3g %22s %9.3g %+10.3g  %s\n", t.Name+unit(t.Unit), t.First, t.Last, t.Most, t.Slope, fmt.Sprintf("%+.3g to %+.3g", t.Low, t.High), t.Bound, t.All, t.Verdict)
		}
	}
	for _, m := range r.Missed {
		fmt.Fprintln(w, "not looked at:", m)
	}
	fmt.Fprintln(w)
	if r.OK {
		fmt.Fprintln(w, "flat, and no request failed")
	}
	for _, y := range r.Why {
		fmt.Fprintln(w, "not met:", y)
	}
}

func unit(u string) string {
	if u == "" {
		return ""
	}
	return ", " + u
}
