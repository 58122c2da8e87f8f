package web

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"rxedge/daemon/answer"
)

// TestAccessible lets axe-core look at each state of the page, wide and narrow,
// light and dark: by the rules of WCAG 2.0 to 2.2, A and AA, and its best
// practices.
func TestAccessible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scheme        string
		width, height int64
	}{{"light", 1280, 900}, {"dark", 390, 844}} {
		t.Run(fmt.Sprint(c.scheme, c.width), func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			p := openTab(t, b.URL, "/", c.width, c.height)
			p.media("", c.scheme)
			look := func(state string) {
				t.Helper()
				for _, v := range p.Violations() {
					t.Errorf("%s: %s", state, v)
				}
			}
			p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("main").append(document.createElement("button")); document.getElementById("keys").style.color = "#999"`))
			if found := strings.Join(p.Violations(), "\n"); !strings.Contains(found, "button-name") || c.width > 400 && !strings.Contains(found, "color-contrast") && c.scheme == "light" {
				t.Errorf("a button without a name and pale text were not found: %q", found)
			}
			p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("main > button").remove(); document.getElementById("keys").style.color = ""`))
			again := func() {
				p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").focus(); document.getElementById("question").select()`))
			}
			look("empty")
			p.until(`document.activeElement?.id === "question"`)
			p.keys("dose of metf")
			p.until(`!document.getElementById("suggestions").hidden`)
			p.keys(kb.ArrowDown)
			look("suggestions")
			p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").value = ""; document.getElementById("question").dispatchEvent(new Event("input"))`))
			p.ask(question)
			look("answered")
			p.click("#thumb-down")
			look("feedback")
			b.on(func(s *stream, q answer.Question) { s.send("done", b.disputed(q.Text)) })
			again()
			p.ask("warfarin with amiodarone?")
			look("stale and conflicting")
			p.click(".chip")
			p.until(opened)
			look("label")
			p.click("#label-close")
			b.on(func(s *stream, q answer.Question) { s.whole(b.answerTo(q.Text)) })
			again()
			p.ask(unknown)
			look("abstained")
			b.on(func(s *stream, _ answer.Question) { s.refuse(503, "stopping", "the service is stopping") })
			again()
			p.ask("Is apixaban safe?")
			look("offline")
		})
	}
}

// What a session asks of the network is this page's own paths, all of them
// listed here, and the policy lets nothing else through.
func TestNoRequestLeaves(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	p.until(`document.activeElement?.id === "question"`)
	p.keys("metf")
	p.until(`!document.getElementById("suggestions").hidden`)
	p.keys(kb.Escape + kb.Escape)
	p.ask(question)
	p.keys("+")
	p.until(`document.getElementById("feedback-said").textContent.startsWith("Noted")`)
	p.click(".chip")
	p.until(opened)
	version := own().version
	var paths []string
	for _, r := range p.Requests() {
		asked, _, _ := strings.Cut(strings.TrimPrefix(r, b.URL), "?")
		if !strings.HasSuffix(asked, "/icon.svg") { // not every browser shows one
			paths = append(paths, strings.Replace(asked, version, "VERSION", 1))
		}
	}
	slices.Sort(paths)
	want := []string{"/", "/v1/ask", "/v1/documents/sample-metformin", "/v1/feedback", "/v1/suggest"}
	files := own().files
	for name := range files {
		if path.Ext(name) == ".js" && path.Dir(name) == "." {
			want = append(want, "/assets/VERSION/"+name)
		}
	}
	slices.Sort(want)
	same(t, "requests", slices.Compact(paths), want)
	p.clean()
	// A script that were to get in could send nothing away.
	refused := eval[bool](p, `fetch("http://localhost:1/").then(() => false, () => true)`)
	image := eval[bool](p, `new Promise((done) => { const i = new Image(); i.onload = () => done(false); i.onerror = () => done(true); i.src = "http://localhost:1/x.png"; })`)
	if !refused || !image {
		t.Error("a request to elsewhere was let through")
	}
	blocked := false
	for _, line := range p.Trouble() {
		blocked = blocked || strings.Contains(line, "Content Security Policy")
	}
	if !blocked {
		t.Errorf("it was not the policy that refused: %q", p.Trouble())
	}
}

// First paint of the page on this machine, as the browser times it; it is told
// and not judged, as a test is no stopwatch.
func TestFirstPaint(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	const painted = `new Promise((done) => new PerformanceObserver((l) => done(l.getEntries()[0].startTime)).observe({type: "paint", buffered: true}))`
	times := map[string][]float64{}
	for range 5 {
		p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.URL+"/")) // in a process of the browser that is new
		times["opened"] = append(times["opened"], eval[float64](p, painted))
		p.do(chromedp.Navigate(b.URL + "/?again"))
		times["again"] = append(times["again"], eval[float64](p, painted))
	}
	for how, ms := range times {
		slices.Sort(ms)
		t.Logf("first paint, %s: median %.0f ms (%.0f to %.0f, %d times)", how, ms[len(ms)/2], ms[0], ms[len(ms)-1], len(ms))
	}
}
