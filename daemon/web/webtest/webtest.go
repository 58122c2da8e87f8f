// Package webtest drives pages in a real Chromium, for tests, and looks at them with
// axe-core. Where there is no Chromium its tests are skipped.
package webtest

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience with one step: a machine that does much else at the same time is no
// fault of the page.
const patience = 2 * time.Minute

// browser is started once and shared; every test has a tab of its own in a
// profile of its own.
var browser struct {
	once sync.Once
	ctx  context.Context
	stop func()
	skip string
	err  error
}

// Main is for TestMain: it runs the tests, and ends the browser.
func Main(m *testing.M) {
	code := m.Run()
	if browser.stop != nil {
		browser.stop()
	}
	os.Exit(code)
}

func startBrowser() {
	var path string
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); name != "" && err == nil {
			path = found
			break
		}
	}
	if path == "" {
		browser.skip = "no chromium is installed (Debian: chromium); the page is not tested in a browser"
		return
	}
	dir, err := os.MkdirTemp("", "rxedge-browser-")
	if err != nil {
		browser.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stopTab := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	browser.stop = func() {
		stopTab()
		stopAlloc()
		_ = os.RemoveAll(dir)
	}
	// A deadline on the context of the first run would end the browser later.
	late := time.AfterFunc(90*time.Second, stopAlloc)
	defer late.Stop()
	browser.ctx, browser.err = ctx, chromedp.Do(ctx, chromedp.Navigate("about:blank"))
}

// Tab drives a page as a person does, and keeps what the browser reports.
type Tab struct {
	Ctx context.Context

	t    testing.TB
	home string

	mu       sync.Mutex
	requests []string
	trouble  []string
}

// Open opens address (under home) in a window of the given size.
func Open(t testing.TB, home, address string, width, height int64) *Tab {
	t.Helper()
	browser.once.Do(startBrowser)
	if browser.skip != "" {
		t.Skip(browser.skip)
	}
	if browser.err != nil {
		t.Fatalf("start the browser: %v", browser.err)
	}
	ctx, closeTab := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	p := &Tab{t: t, Ctx: ctx, home: home}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, p.observe); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	p.Do(chromedp.Navigate(home + address))
	return p
}

// Requests that the page has made, by their addresses.
func (p *Tab) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// Trouble that the browser has reported: of the policy, of requests that failed, of
// exceptions.
func (p *Tab) Trouble() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.trouble...)
}

func (p *Tab) observe(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, ev.Request.URL)
	case *runtime.EventExceptionThrown:
		p.trouble = append(p.trouble, fmt.Sprintf("%+v", ev.ExceptionDetails.Exception.Description))
	case *runtime.EventConsoleAPICalled:
		p.trouble = append(p.trouble, "console."+string(ev.Type))
	case *log.EventEntryAdded:
		p.trouble = append(p.trouble, ev.Entry.Text+" "+ev.Entry.URL)
	}
}

// Clean fails the test if the browser complained (of the policy, of a failed
// request, of an exception) or the page asked anything of another origin.
func (p *Tab) Clean(except ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, url := range p.requests {
		if !strings.HasPrefix(url, p.home+"/") {
			p.t.Errorf("the page asked for %s", url)
		}
	}
next:
	for _, line := range p.trouble {
		for _, e := range except {
			if strings.Contains(line, e) {
				continue next
			}
		}
		p.t.Errorf("the browser says: %s", line)
	}
}

// Do steps of chromedp.
func (p *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.Ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// Eval runs a script on the page and gives its value, awaited.
func Eval[T any](p *Tab, js string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.Ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", js, err)
	}
	return v
}

// Until waits for an expression to become true. (chromedp.Poll makes its
// predicate with new Function, which the page's policy forbids.)
func (p *Tab) Until(js string) {
	p.t.Helper()
	if !Eval[bool](p, `new Promise((done) => {
		const end = performance.now() + 60000;
		const look = () => ((`+js+`) ? done(true) : performance.now() > end ? done(false) : setTimeout(look, 10));
		look();
	})`) {
		p.t.Fatalf("never came true: %s\nthe page: %s", js, Eval[string](p, "document.body.innerText"))
	}
}

// Arrive waits until the tab is at a path and an expression is true there; it lives
// through pages that go on to others, as Until does not.
func (p *Tab) Arrive(path, js string) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.Ctx, patience)
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`location.pathname === `+quoteJS(path)+` && (`+js+`)`))
		cancel()
		if err == nil && there {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("it never came to %s where %s: %v", path, js, err)
		}
	}
}

// Keys are typed.
func (p *Tab) Keys(keys string) {
	p.t.Helper()
	p.Do(chromedp.KeyEvent(keys))
}

// Text is what a selector's elements say, one per element.
func (p *Tab) Text(selector string) []string {
	p.t.Helper()
	return Eval[[]string](p, `[...document.querySelectorAll(`+quoteJS(selector)+`)].map((n) => n.textContent)`)
}

// Click what a selector chooses. A page may draw it anew between the search for it and
// the press: then it is sought again.
func (p *Tab) Click(selector string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.Ctx, patience)
	defer cancel()
	for {
		err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector)))
		switch {
		case err == nil:
			return
		case !isGone(err):
			p.t.Fatalf("click %s: %v", selector, err)
		}
	}
}

// isGone says whether the browser refused a step as the element had left the document.
func isGone(err error) bool {
	for _, s := range []string{"Could not find node with given id", "Node is detached from document", "Node does not have a layout object", "Could not compute box model"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

func quoteJS(s string) string { return fmt.Sprintf("%q", s) }

// Media sets what kind of medium the page is on ("": a screen) and which colours are
// preferred, light or dark.
func (p *Tab) Media(kind, scheme string) {
	p.t.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: kind, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// axe-core 4.10.3, as its makers publish it.
//
//go:embed axe.min.js
var axe string

// leastRules of axe-core that apply to any page: with fewer it did not run.
const leastRules = 15

// Violations that axe-core finds, a line each, by the rules of WCAG 2.0 to 2.2, A and AA,
// and its best practices. A dialog over the page makes what is under it inert.
func (p *Tab) Violations() []string {
	p.t.Helper()
	if !Eval[bool](p, `"axe" in window`) {
		p.Do(chromedp.Evaluate[chromedp.Void](axe))
	}
	report := Eval[string](p, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"]}).then((r) =>
		JSON.stringify({passes: r.passes.length, violations: r.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.html.slice(0, 160) + " " + (n.any[0]?.message ?? "")).join(" | "))}))`)
	var r struct {
		Passes     int
		Violations []string
	}
	if err := json.Unmarshal([]byte(report), &r); err != nil {
		p.t.Fatal(err)
	}
	if r.Passes < leastRules {
		p.t.Errorf("only %d rules were tried", r.Passes)
	}
	return r.Violations
}

// Shoot a picture of what is seen, or of the full page, into the folder named by
// RXEDGE_SCREENSHOTS, to be looked at by a person; nothing where none is named.
func (p *Tab) Shoot(name string, full bool) {
	p.t.Helper()
	dir := os.Getenv("RXEDGE_SCREENSHOTS")
	if dir == "" {
		return
	}
	action := chromedp.CaptureScreenshot()
	if full {
		action = chromedp.FullScreenshot(100)
	}
	png, err := chromedp.Run(p.Ctx, action)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}
