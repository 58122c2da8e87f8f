package page

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"rxedge/centre/page/access"
	"rxedge/centre/survey"
	"rxedge/daemon/web/webtest"
	"rxedge/sync/central"
)

const shown = `document.body.dataset.shown === `

// The page over a real hub: each view, as axe-core and a person see it, wide and narrow,
// light and dark; by keyboard; live; and what a role may.
func TestPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 80)
	if err := w.fleet.Note(central.AccessChanged, "vera", central.By{Who: "anna", Reason: "an account was made, viewer"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.fleet.OpenMatter(central.RetrainRequested, "qwen-1b/data_drift/class", map[string]any{"sites": []string{siteName(7), siteName(47)}, "lineage": map[string]any{"questions": 31000, "windows": 14}}, 0, central.By{Who: "fleet controller", Reason: "class has moved at two sites: PSI 0.41"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		scheme        string
		width, height int64
	}{{"light", 1280, 900}, {"dark", 1280, 900}, {"light", 390, 844}, {"dark", 390, 844}} {
		t.Run(fmt.Sprint(c.scheme, c.width), func(t *testing.T) {
			t.Parallel()
			p := w.signedIn(t, "olga", "/", c.width, c.height)
			p.Media("", c.scheme)
			look := func(view string, full bool) {
				t.Helper()
				for _, v := range p.Violations() {
					t.Errorf("%s: %s", view, v)
				}
				if wide := webtest.Eval[int](p, `document.documentElement.scrollWidth`); int64(wide) > c.width {
					t.Errorf("%s is %d wide", view, wide)
				}
				p.Shoot(fmt.Sprintf("fleet-%s-%d-%s", view, c.width, c.scheme), full)
			}
			p.Until(shown + `"sites" && document.querySelectorAll("#sites tbody tr").length === 50`)
			look("sites", true)
			p.Click("#sites tbody tr:nth-child(1) button")
			p.Until(`document.querySelector("#site-body dl") !== null`)
			look("site", false)
			p.Click("#site-close")
			for _, view := range []string{"rollouts", "drift", "fairness", "requests", "audit"} {
				p.Do(chromedp.Evaluate[chromedp.Void](`location.hash = "` + view + `"`))
				p.Until(shown + `"` + view + `"`)
				look(view, true)
				if text := strings.Join(p.Text("main > section:not([hidden])"), ""); strings.Contains(text, "NaN") || strings.Contains(text, "undefined ") || strings.Contains(text, "null") || strings.Contains(text, "[object") {
					t.Errorf("%s: %s", view, text)
				}
			}
			p.Do(chromedp.Evaluate[chromedp.Void](`location.hash = "rollouts"`))
			p.Until(shown + `"rollouts"`)
			p.Click(`[data-step="stable/2/abort"]`)
			p.Until(`document.getElementById("step").open`)
			look("step", false)
			p.Click("#step-cancel")
			p.Clean()
		})
	}
}

// By keyboard alone: a site is found, a cell of the heat map reached, and its peers named.
func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 60)
	p := w.signedIn(t, "vera", "/", 1280, 900)
	p.Until(shown + `"sites"`)
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById("find").focus()`))
	p.Keys("0048")
	p.Until(`document.querySelectorAll("#sites tbody tr").length === 1`)
	if got := p.Text("#sites tbody tr th button"); len(got) != 1 || got[0] != siteName(47) {
		t.Errorf("%q", got)
	}
	p.Do(chromedp.Evaluate[chromedp.Void](`location.hash = "drift"`))
	p.Until(shown + `"drift" && document.querySelectorAll(".heat td").length > 100`)
	p.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.heat td[tabindex="0"]').focus()`))
	first := webtest.Eval[string](p, `document.activeElement.getAttribute("aria-label")`)
	p.Keys(kb.ArrowRight + kb.ArrowDown)
	p.Until(`document.activeElement.dataset.at === "1,1"`)
	if second := webtest.Eval[string](p, `document.activeElement.getAttribute("aria-label")`); second == first || !strings.Contains(second, "PSI") {
		t.Errorf("%q, then %q", first, second)
	}
	// The site that was asked of a new class stands out, with those it was compared with.
	p.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector(".heat td.out").focus()`))
	p.Until(`document.querySelector("#drift-cell .peers") !== null`)
	says := strings.Join(p.Text("#drift-cell"), "")
	if !strings.Contains(says, siteName(7)) && !strings.Contains(says, siteName(47)) || !strings.Contains(says, "glp-1-agonist") || !strings.Contains(says, "Its peers: 5") || !strings.Contains(says, siteName(0)) {
		t.Errorf("%s", says)
	}
	p.Keys(kb.Enter)
	p.Until(`document.getElementById("site").open`)
	p.Keys(kb.Escape)
	p.Do(chromedp.Evaluate[chromedp.Void](`location.hash = "fairness"`))
	p.Until(shown + `"fairness" && document.querySelector("#fairness-out li") !== null`)
	if says := strings.Join(p.Text("#fairness-out"), ""); !strings.Contains(says, siteName(27)) || !strings.Contains(says, "65+") {
		t.Errorf("%s", says)
	}
	// A viewer sees no button, and the centre refuses what no button asks for.
	p.Do(chromedp.Evaluate[chromedp.Void](`location.hash = "rollouts"`))
	p.Until(shown + `"rollouts" && document.querySelector(".rollout") !== null`)
	if n := webtest.Eval[int](p, `document.querySelectorAll("[data-step]").length`); n != 0 {
		t.Errorf("a viewer is offered %d steps", n)
	}
	if got := webtest.Eval[int](p, `fetch("/v1/rollouts/stable/2/abort", {method: "POST", headers: {"Rxedge-Request": "1"}, body: '{"reason":"because"}'}).then((r) => r.status)`); got != 403 {
		t.Errorf("a viewer aborts: %d", got)
	}
	p.Clean("403")
}

// A rollout's step by the page is asked why, is on the signed record under the person's
// name, and shows on another page that is open without its asking; so do sites that tell.
func TestPageIsLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	watching := w.signedIn(t, "vera", "/#rollouts", 1280, 900)
	p := w.signedIn(t, "olga", "/#rollouts", 1280, 900)
	for _, x := range []*webtest.Tab{watching, p} {
		x.Until(shown + `"rollouts" && document.querySelector(".rollout .state")?.textContent === "running"`)
	}
	// All but the first that are let in confirm it.
	in := w.views.now.Load().overview.Rollouts
	var let []string
	for _, r := range in {
		if r.Bundle == 2 {
			let = r.Sites
		}
	}
	if len(let) != 2 {
		t.Fatalf("%d sites are let in", len(let))
	}
	tell(t, w.fleet.Folder, 30, func(i int) map[string]any {
		if siteName(i) == let[0] {
			return map[string]any{"version": "1.6.0", "active": 2, "newest": 2, "rollout": map[string]any{"bundle": 2, "slot": "confirmed"}}
		}
		return nil
	})
	watching.Until(`document.querySelector(".figures")?.textContent.includes("1 confirmed")`)
	p.Click(`[data-step="stable/2/pause"]`)
	p.Until(`document.getElementById("step").open`)
	p.Keys("x")
	p.Click("#step-do") // too short a reason: the browser keeps it
	if !webtest.Eval[bool](p, `document.getElementById("step").open`) {
		t.Error("one letter is a reason")
	}
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById("step-reason").value = "a dose looks wrong"`))
	p.Click("#step-do")
	p.Until(`!document.getElementById("step").open`)
	watching.Until(`document.querySelector(".rollout .state")?.textContent === "paused"`)
	trail, err := w.fleet.Audit()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := trail[len(trail)-1].Read(); err != nil || r.Action != central.ActPause || r.Who != "olga" || r.Reason != "a dose looks wrong" {
		t.Errorf("%+v %v", r, err)
	}
	watching.Do(chromedp.Evaluate[chromedp.Void](`location.hash = "audit"`))
	watching.Until(shown + `"audit" && document.querySelector("#audit tbody tr").textContent.includes("a dose looks wrong")`)

	// What was taken away holds at once, also for a page that is open.
	if err := w.accounts.SetRole("olga", access.Viewer); err != nil {
		t.Fatal(err)
	}
	p.Click(`[data-step="stable/2/resume"]`)
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById("step-reason").value = "it was nothing"`))
	p.Click("#step-do")
	p.Arrive("/sign-in", "true")
	w.fleet.StopHub()
	w.until(t, "the page does not say that the hub is gone", func(o *survey.Overview) bool { return o.HubError != "" })
	watching.Until(`!document.getElementById("trouble").hidden && document.getElementById("trouble").textContent.includes("hub is not read")`)
}

// The first account, made in a browser by the address that is printed; signing out; and
// the empty fleet's words.
func TestSignInPage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scheme        string
		width, height int64
	}{{"light", 1280, 900}, {"dark", 390, 844}} {
		t.Run(fmt.Sprint(c.scheme, c.width), func(t *testing.T) {
			t.Parallel()
			w := &world{Server: quiet(t, nil)}
			w.serveQuiet(t)
			p := webtest.Open(t, w.url, "/sign-in", c.width, c.height)
			p.Media("", c.scheme)
			p.Until(`!document.getElementById("nobody").hidden`)
			p.Do(chromedp.Navigate("about:blank"), chromedp.Navigate(FirstAddress(w.url, w.FirstToken())))
			p.Until(`!document.getElementById("form").hidden`)
			if at := webtest.Eval[string](p, `location.href`); strings.Contains(at, w.FirstToken()) {
				t.Error("the token stays in the address")
			}
			for _, v := range p.Violations() {
				t.Error(v)
			}
			p.Shoot(fmt.Sprintf("fleet-first-%d-%s", c.width, c.scheme), false)
			p.Until(`document.activeElement?.id === "user"`)
			p.Keys("anna" + kb.Tab + "too short" + kb.Tab + "too short" + kb.Enter)
			p.Until(`document.getElementById("said").textContent.includes("15 at least")`)
			p.Do(chromedp.Evaluate[chromedp.Void](`for (const id of ["password", "again"]) document.getElementById(id).value = "` + word + `"`))
			p.Click("#go")
			p.Arrive("/", shown+`"sites"`)
			for view, says := range map[string]string{"sites": "There are no sites yet", "rollouts": "Nothing is rolled out", "drift": "No site has sent a day yet", "fairness": "No site has sent a day yet", "requests": "Nothing was requested", "audit": "access.changed"} {
				p.Do(chromedp.Evaluate[chromedp.Void](`location.hash = "` + view + `"`))
				p.Until(shown + `"` + view + `"`)
				p.Until(`document.querySelector("main").innerText.includes("` + says + `")`)
				for _, v := range p.Violations() {
					t.Errorf("%s: %s", view, v)
				}
			}
			p.Shoot(fmt.Sprintf("fleet-empty-%d-%s", c.width, c.scheme), false)
			p.Click("#sign-out")
			p.Arrive("/sign-in", `document.getElementById("form")?.hidden === false`)
			for _, v := range p.Violations() {
				t.Error(v)
			}
			p.Shoot(fmt.Sprintf("fleet-signin-%d-%s", c.width, c.scheme), false)
			p.Keys("anna" + kb.Tab + "not the password" + kb.Enter)
			p.Until(`!document.getElementById("said").hidden`)
			p.Clean("400", "401")
		})
	}
}
