package page

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"rxedge/daemon/web/webtest"
)

// filled resolves, after the frame that shows it was painted, with the milliseconds since
// the navigation began. A mutation and not a clock says when the rows are there.
const filled = `new Promise((done) => {
	const painted = () => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));
	const there = () => document.body?.dataset.shown === %q && document.querySelectorAll(%q).length >= %d;
	if (there()) return painted();
	new MutationObserver((_, o) => { if (there()) { o.disconnect(); painted(); } }).observe(document, {subtree: true, childList: true, attributes: true});
})`

// How long the page of a large fleet takes from the navigation to all that it shows:
// RXEDGE_PAGE_SITES=1000,5000 (make bench-page). The sites are filled in, with 14 days
// each; what they say of themselves lies at a real hub. The tab is new, and has the files
// of the page in no cache, in half of the loads.
func TestLoad(t *testing.T) {
	given := os.Getenv("RXEDGE_PAGE_SITES")
	if given == "" {
		t.Skip("RXEDGE_PAGE_SITES names no numbers of sites; 'make bench-page' does")
	}
	for _, n := range strings.Split(given, ",") {
		sites, err := strconv.Atoi(n)
		if err != nil || sites < 100 {
			t.Fatalf("RXEDGE_PAGE_SITES: %q is no number of sites, 100 or more", n)
		}
		began := time.Now()
		w := newWorld(t, sites)
		o := w.views.now.Load()
		t.Logf("%d sites: read whole and added up %.1f s after the start of the hub; the days took %.1f s", sites, time.Since(began).Seconds(), o.overview.Answers.Took.Seconds())
		for name, s := range o.sections {
			t.Logf("%d sites: %s is %d kB, %d kB compressed", sites, name, len(s.body)/1000, len(s.gzip)/1000)
		}
		for _, view := range []struct{ name, rows string }{{"sites", "#sites tbody tr"}, {"drift", "#drift .heat tbody tr"}, {"fairness", "#fairness .heat tbody tr"}} {
			times := map[bool][]float64{}
			for i := range 14 {
				warm := i%2 == 1
				var p *webtest.Tab
				if warm {
					p = w.signedIn(t, "vera", "/#"+view.name, 1280, 900)
					webtest.Eval[float64](p, fmt.Sprintf(filled, view.name, view.rows, 50))
					p.Do(chromedp.Navigate("about:blank"), chromedp.Navigate(w.url+"/#"+view.name))
				} else {
					p = w.signedIn(t, "vera", "/#"+view.name, 1280, 900)
				}
				times[warm] = append(times[warm], webtest.Eval[float64](p, fmt.Sprintf(filled, view.name, view.rows, 50)))
			}
			for warm, ms := range times {
				slices.Sort(ms)
				t.Logf("%d sites, %s, %s: median %.0f ms, most %.0f ms of %d loads", sites, view.name, map[bool]string{false: "first visit", true: "again"}[warm], ms[len(ms)/2], ms[len(ms)-1], len(ms))
			}
		}
	}
}
