package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"rxedge/daemon/answer"
	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/alerts"
)

// asked on the sample formulary, of which the last few it does not answer.
var asked = []string{
	"Can metformin be started with an eGFR of 40?", "maximum daily dose of metformin", "warfarin with amiodarone", "apixaban dose in atrial fibrillation",
	"Is metformin contraindicated in severe renal impairment?", "How is apixaban stored?", "warfarin and pregnancy", "What are the warnings of warfarin?",
	"metformin lactic acidosis", "apixaban bleeding risk", "When is warfarin contraindicated?", "What is the dose of zanubrutinib?", "Which wine goes with roast duck?",
}

// replay makes a station's past: real answers of this box, given again over eight
// days and two days of hours, of which the last has other questions than before.
func replay(t *testing.T, data string) {
	t.Helper()
	cfg := config.Default()
	cfg.Data = data
	b, err := box.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.IngestSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	var given []*answer.Answer
	for _, q := range asked {
		a, err := b.Ask(t.Context(), answer.Question{Text: q}, answer.Events{})
		if err != nil {
			t.Fatal(err)
		}
		given = append(given, a)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	at := now
	// Days are UTC's: what changes with one is seen in it at whatever hour this runs.
	yesterday := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	r, err := telemetry.Open(filepath.Join(data, "telemetry"), telemetry.Options{Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	cohorts := []string{"0-17", "18-64", "18-64", "65+", "65+", "65+"}
	for hours := 9 * 24; hours > 0; hours-- {
		at = now.Add(-time.Duration(hours) * time.Hour)
		n := []int{2, 2, 1, 1, 2, 4, 10, 22, 31, 34, 30, 26, 28, 32, 30, 27, 22, 15, 10, 8, 6, 4, 3, 2}[at.Hour()]
		for i := range n + rng.IntN(1+n/3) {
			a := *given[rng.IntN(len(given)-2)]
			if changed := !at.Before(yesterday); changed && rng.IntN(3) == 0 || rng.IntN(15) == 0 { // another medicine comes into use
				a = *given[len(given)-1-rng.IntN(2)]
			}
			a.ID = fmt.Sprint(hours, "-", i)
			a.Timings.Total *= 0.6 + 0.8*rng.Float64()
			cohort := cohorts[rng.IntN(len(cohorts))]
			r.Observe(&a, nil, cohort, -1)
			if rng.IntN(4) == 0 {
				r.Judge(a.ID, rng.IntN(10) < 2 || a.Status != answer.StatusAnswered && rng.IntN(2) == 0)
			}
		}
	}
	at = now
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// The technician's page on a real daemon, after a week that is learned from and a day
// that is not like it; with RXEDGE_SCREENSHOTS its four variants are taken there, and
// what the page was given goes to station.json beside them.
func TestStationEndToEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	replay(t, dir)
	s := startDaemon(t, func(c *config.Config) { c.Data, c.API.RequireToken = dir, true })
	const canary = "Zyxwvutina"
	for i, q := range append([]string{"What does " + canary + " weigh?"}, asked[:4]...) {
		req := map[string]any{"question": q, "cohort": []string{"65+", strings.ToLower(canary) + "-1931"}[i%2]}
		b, err := json.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/ask", strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, _ = io.Copy(io.Discard, res.Body); res.StatusCode != 200 {
			t.Fatalf("%s: status %d", q, res.StatusCode)
		}
		_ = res.Body.Close()
	}
	// Programs bring a token, the page does not; a foreign Host gets nothing.
	read := func(header, value string) (int, []byte) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/station", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header == "Host" {
			r.Host = value
		} else if header != "" {
			r.Header.Set(header, value)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, b
	}
	if code, _ := read("", ""); code != http.StatusUnauthorized {
		t.Errorf("without a token: status %d", code)
	}
	if code, _ := read("Host", "example.org"); code != http.StatusForbidden && code != http.StatusMisdirectedRequest {
		t.Errorf("with a foreign Host: status %d", code)
	}
	code, body := read("Sec-Fetch-Site", "same-origin")
	var st api.Station
	if err := json.Unmarshal(body, &st); code != 200 || err != nil {
		t.Fatalf("status %d, %v: %.300s", code, err, body)
	}
	if strings.Contains(strings.ToLower(string(body)), strings.ToLower(canary)) {
		t.Error("the canary is in what the page is given")
	}
	if st.Day.Questions < 300 || st.Day.P95 == nil || st.Day.Grounded == nil || len(st.Hours) != 48 || len(st.Models) != 1 || st.Models[0].Learning || len(st.Models[0].Features) < 10 {
		t.Errorf("the station says %.1500s", body)
	}
	if f := st.Fairness; len(f.Cohorts) != 3 || f.Report == nil || len(f.Report.Intervals) == 0 || f.Hidden != 1 {
		t.Errorf("fairness %+v", f)
	}
	if len(st.Rollouts) == 0 || st.Serving == nil || st.Serving.Generation == "" {
		t.Errorf("rollouts %+v, serves %+v", st.Rollouts, st.Serving)
	}
	moved := false
	for _, f := range st.Models[0].Features {
		moved = moved || f.Name == "outcome" && f.PSI > 0.2
	}
	if !moved {
		t.Error("the other questions of the last day are not seen")
	}
	res, err := http.Get(s.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(res.Body)
	if _ = res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToLower(string(metrics)), strings.ToLower(canary)) {
		t.Error("the canary is in the metrics")
	}
	// What the alert rules read is there. Of cards and the link there is nothing on
	// this box: those are looked for in daemon/box.
	reads := regexp.MustCompile(`rxedge_[a-z_]+`).FindAllString(string(alerts.Rules), -1)
	for _, name := range reads {
		if strings.HasPrefix(name, "rxedge_gpu_") || name == "rxedge_ladder_step" || name == "rxedge_link_connected" {
			continue
		}
		if !regexp.MustCompile(`(?m)^` + name + `[ {]`).Match(metrics) {
			t.Errorf("a rule reads %s, which is not in the metrics", name)
		}
	}
	if len(reads) < 20 {
		t.Errorf("the rules read %q", reads)
	}
	pictures(t, s.url, body)
}

// pictures looks at the page on the real daemon in its four variants.
func pictures(t *testing.T, url string, state []byte) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium is installed (Debian: chromium); the page is not looked at in a browser")
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	defer stop()
	ctx, closeTab := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	defer closeTab()
	late := time.AfterFunc(3*time.Minute, stop) // ends a browser that hangs
	defer late.Stop()
	dir := os.Getenv("RXEDGE_SCREENSHOTS")
	if dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "station.json"), state, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, size := range [][2]int64{{1280, 900}, {390, 844}} {
			media := chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
				_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
				return err
			})
			if err := chromedp.Do(ctx, media, chromedp.EmulateViewport(size[0], size[1]), chromedp.Navigate(url+"/station")); err != nil {
				t.Fatal(err)
			}
			drawn, err := chromedp.Run(ctx, chromedp.Evaluate[int](`new Promise((done) => { const end = performance.now() + 30000;
				const look = () => { const n = document.querySelectorAll(".chart canvas").length; n === 5 || performance.now() > end ? done(n) : setTimeout(look, 20); }; look(); })`, chromedp.EvalAwaitPromise))
			if err != nil || drawn != 5 {
				t.Fatalf("%d charts of 5, %v", drawn, err)
			}
			if dir == "" {
				continue
			}
			png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("station-%d-%s.png", size[0], scheme)), png, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
