package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"rxedge/daemon/api"
	"rxedge/daemon/health"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/monitor"
)

// stationOf serves the page with what a real station said (testdata/station.json,
// of a daemon after replayed traffic), changed; fail makes the API fail.
func stationOf(t *testing.T, change func(*api.Station)) (url string, fail *atomic.Bool) {
	t.Helper()
	file, err := os.ReadFile("testdata/station.json")
	if err != nil {
		t.Fatal(err)
	}
	// What the page is given is what the API gives; cards are added, of which the
	// machine that it was taken on has none.
	var st api.Station
	dec := json.NewDecoder(bytes.NewReader(file))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&st); err != nil {
		t.Fatal(err)
	}
	hot, limit, draw, busy := 88, 87, 301.5, 97
	st.Cards = []api.StationCard{{Name: "NVIDIA L4", MemoryUsed: 20e9, MemoryTotal: 24e9, Temperature: &hot, Slowdown: &limit, Power: &draw, Busy: &busy, Throttled: true},
		{Index: 1, Name: "NVIDIA L4", Fault: "XID 79: the card fell off the bus"}}
	st.Health.Conditions = health.Arrange([]health.Finding{health.UncleanStop.Found("it was killed"), health.Stepped.Found("no model runs"), health.ModelFailed.Found("small is failed")})
	// So are pairs of answers: a model at full precision would have to be asked.
	twice := telemetry.NewWindow(time.Now(), time.Now(), "m", "g").Concordance
	for i := range 40 {
		c := telemetry.NewCompared()
		for _, k := range telemetry.Checks() {
			c.Set(k, i%10 > int(k))
		}
		twice.Add(&c)
	}
	st.Models[0].Agreement = monitor.AgreementOf(&twice)
	st.Twice = api.StationTwice{Model: "qwen-f16", Share: 0.01, Off: "outside of its hours"}
	if change != nil {
		change(&st)
	}
	state, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	fail = &atomic.Bool{}
	mux := http.NewServeMux()
	mux.Handle("/", Handler())
	mux.HandleFunc("GET /v1/station", func(w http.ResponseWriter, _ *http.Request) {
		if fail.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(state)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, fail
}

// The technician's page: accessible in four variants, by keyboard alone, each
// number of a chart in a table, and honest when the service is gone.
func TestStationPage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scheme        string
		width, height int64
	}{{"light", 1280, 900}, {"dark", 1280, 900}, {"light", 390, 844}, {"dark", 390, 844}} {
		t.Run(fmt.Sprint(c.scheme, c.width), func(t *testing.T) {
			t.Parallel()
			url, fail := stationOf(t, nil)
			p := openTab(t, url, "/station", c.width, c.height)
			p.media("", c.scheme)
			p.until(`document.querySelectorAll(".chart canvas").length === 5`)
			if wide := eval[int](p, `document.documentElement.scrollWidth`); int64(wide) > c.width {
				t.Errorf("the page is %d wide", wide)
			}
			if got := eval[string](p, `document.querySelector("#day dd").textContent`); got == "" || got == "0" || got == "–" {
				t.Errorf("questions of the day: %q", got)
			}
			if got := p.text("#cards tbody tr"); len(got) != 2 || !strings.Contains(got[0], "20 GB of 24 GB88 °C301.5 W97 %held back") || !strings.Contains(got[1], "fell off the bus") {
				t.Errorf("cards: %q", got)
			}
			if got := p.text("#degraded li"); len(got) != 3 || !strings.Contains(got[0], "no model runs") || !strings.Contains(got[0], "Mend: 'rxedge gpu' says why") ||
				strings.Contains(got[1], "Mend") || !strings.Contains(got[2], "Because of card-stepped-back.") {
				t.Errorf("conditions: %q", got)
			}
			// Something is drawn on each canvas.
			if n := eval[int](p, `[...document.querySelectorAll(".chart canvas")].filter((c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 === 3 && v)).length`); n != 5 {
				t.Errorf("%d of 5 charts are drawn", n)
			}
			p.Shoot(fmt.Sprintf("station-cards-%d-%s", c.width, c.scheme), true)
			look := func(state string) {
				t.Helper()
				for _, v := range p.Violations() {
					t.Errorf("%s: %s", state, v)
				}
			}
			p.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => d.open = true)`))
			look("whole")
			// By keyboard: the list of features is reached, and another one is drawn.
			was := eval[string](p, `document.getElementById("chart-feature").getAttribute("aria-label")`)
			for range 40 {
				p.keys(kb.Tab)
				if eval[string](p, `document.activeElement.id`) == "feature" {
					break
				}
			}
			p.keys(kb.ArrowDown)
			p.until(`document.getElementById("chart-feature").getAttribute("aria-label") !== ` + strconv.Quote(was))
			if n := eval[int](p, `document.querySelectorAll("#bins tbody tr").length`); n < 2 {
				t.Errorf("the distribution's table has %d rows", n)
			}
			p.clean()
			fail.Store(true)
			p.click("#pause") // and go on, which reads at once
			p.click("#pause")
			p.until(`!document.getElementById("offline").hidden`)
			look("offline")
			fail.Store(false)
			p.click("#retry")
			p.until(`document.getElementById("offline").hidden`)
			p.clean("503", "Failed to load resource")
		})
	}
}

// A station that was never asked anything says so, and draws nothing.
func TestStationPageOfAFreshBox(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("/", Handler())
	mux.HandleFunc("GET /v1/station", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"at":"2026-11-30T10:00:00Z","health":{"ready":true,"version":"1","generation":"g-1","documents":3,"passages":9,"dense":false,"engine":"missing","started":"2026-11-30T09:00:00Z"},
			"disk":{"free_bytes":1,"floor_bytes":0,"index_bytes":0},"cards":[],"day":{"questions":0,"distinct":0},"hours":[],"models":[],"fairness":{"cohorts":[],"hidden":0},"rollouts":[]}`)
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	p := openTab(t, s.URL, "/station", 1280, 900)
	p.until(`document.getElementById("rollouts").textContent.includes("Nothing was rolled out")`)
	if text := strings.Join(p.text("main"), ""); strings.Contains(text, "NaN") || strings.Contains(text, "undefined") || strings.Contains(text, "null") {
		t.Errorf("the page: %s", text)
	}
	p.clean()
}

// What golden questions say is told while the usual is still learned; and what moved by
// phrasing alone, by its projection.
func TestStationTellsOfQuality(t *testing.T) {
	t.Parallel()
	worse := monitor.Open{Alarm: monitor.Alarm{Kind: monitor.Quality, Level: monitor.Act, Feature: "composite", N: 40, P: 0.001, Text: "golden questions are answered worse"}, Since: time.Now(), Seen: time.Now(), Days: 1}
	moved := worse
	moved.Kind, moved.Feature, moved.Text = monitor.EmbeddingDrift, monitor.Projection, "questions lie elsewhere by meaning or phrasing"
	for _, learning := range []bool{true, false} {
		url, _ := stationOf(t, func(st *api.Station) {
			m := &st.Models[0]
			m.Learning, m.Alarms = learning, []monitor.Open{worse, moved}
			if learning {
				m.Features = nil
			}
		})
		p := openTab(t, url, "/station", 1280, 900)
		p.until(`document.querySelectorAll("#alarms li").length === 2`)
		got := strings.Join(p.text("#alarms li"), "\n")
		if !strings.Contains(got, "quality, act: golden questions are answered worse") || !strings.Contains(got, "embedding drift, act: questions lie elsewhere") {
			t.Errorf("learning %v: %q", learning, got)
		}
		if rows := strings.Join(p.text("#agreement tbody tr"), "\n"); !strings.Contains(rows, "Same numbers") || !strings.Contains(rows, "90") || !strings.Contains(rows, "40") {
			t.Errorf("learning %v: agreement %q", learning, rows)
		}
		if facts := strings.Join(p.text("#health"), "\n"); !strings.Contains(facts, "again of qwen-f16; not now: outside of its hours") {
			t.Errorf("%q", facts)
		}
		if notes := strings.Join(p.text("#alarms p"), ""); strings.Contains(notes, "learned") != learning {
			t.Errorf("learning %v: %q", learning, notes)
		}
		if dir := os.Getenv("RXEDGE_SCREENSHOTS"); dir != "" {
			png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("station-quality-%v.png", learning)), png, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
