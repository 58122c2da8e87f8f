package web

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

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

func TestMain(m *testing.M) {
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

// tab drives the page as a person does, and keeps what the browser reports.
type tab struct {
	t    *testing.T
	ctx  context.Context
	home string

	mu       sync.Mutex
	requests []string
	trouble  []string
}

// openTab opens address (under home) in a window of the given size.
func openTab(t *testing.T, home, address string, width, height int64) *tab {
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
	p := &tab{t: t, ctx: ctx, home: home}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, p.observe); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(home + address))
	return p
}

func (p *tab) observe(ev any) {
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

// clean fails the test if the browser complained (of the policy, of a failed
// request, of an exception) or the page asked anything of another origin.
func (p *tab) clean(except ...string) {
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

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func eval[T any](p *tab, js string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", js, err)
	}
	return v
}

// until waits for an expression to become true. (chromedp.Poll makes its
// predicate with new Function, which the page's policy forbids.)
func (p *tab) until(js string) {
	p.t.Helper()
	if !eval[bool](p, `new Promise((done) => {
		const end = performance.now() + 60000;
		const look = () => ((`+js+`) ? done(true) : performance.now() > end ? done(false) : setTimeout(look, 10));
		look();
	})`) {
		p.t.Fatalf("never came true: %s\nthe page: %s", js, eval[string](p, "document.body.innerText"))
	}
}

func (p *tab) keys(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// ask types a question and waits for its end.
func (p *tab) ask(q string) {
	p.t.Helper()
	p.until(`document.activeElement?.id === "question"`)
	p.keys(q + "\r")
	p.until(`!document.getElementById("answer").hidden && !document.getElementById("answer").hasAttribute("aria-busy")`)
}

// text is what a selector's elements say, one per element.
func (p *tab) text(selector string) []string {
	p.t.Helper()
	return eval[[]string](p, `[...document.querySelectorAll(`+quoteJS(selector)+`)].map((n) => n.textContent)`)
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

func quoteJS(s string) string { return fmt.Sprintf("%q", s) }
