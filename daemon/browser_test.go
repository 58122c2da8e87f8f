package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A real browser on the real service: ask, read, and open the label at the
// sentence. RXEDGE_SCREENSHOTS names a folder for what it saw.
func TestPageEndToEnd(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium is installed (Debian: chromium); the page is not tested in a browser")
	}
	s := startDaemon(t, nil)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	defer stop()
	ctx, closeTab := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	defer closeTab()
	late := time.AfterFunc(2*time.Minute, stop) // ends a browser that hangs
	defer late.Stop()

	do := func(a ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, a...); err != nil {
			t.Fatal(err)
		}
	}
	eval := func(js string) string {
		t.Helper()
		v, err := chromedp.Run(ctx, chromedp.Evaluate[string](js, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatalf("%s: %v", js, err)
		}
		return v
	}
	until := func(js string) {
		t.Helper()
		if eval(`new Promise((done) => { const end = performance.now() + 20000; const look = () => (`+js+`) ? done("yes") : performance.now() > end ? done("no") : setTimeout(look, 10); look(); })`) != "yes" {
			t.Fatalf("never came true: %s\nthe page: %s", js, eval("document.body.innerText"))
		}
	}
	shot := func(name string) {
		t.Helper()
		dir := os.Getenv("RXEDGE_SCREENSHOTS")
		if dir == "" {
			return
		}
		b, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(q string) {
		t.Helper()
		until(`document.activeElement?.id === "question"`)
		do(chromedp.KeyEvent(q + "\r"))
		until(`!document.getElementById("answer").hidden && !document.getElementById("answer").hasAttribute("aria-busy")`)
	}
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"1280", 1280, 900}, {"390", 390, 844}} {
		do(chromedp.EmulateViewport(size.width, size.height), chromedp.Navigate(s.url+"/"))
		shot("question-" + size.name)
		ask("Can metformin be started with an eGFR of 40?")
		if got := eval(`document.querySelector(".claim-text").textContent`); !strings.Contains(got, "between 30 and 45 mL/min/1.73 m²") {
			t.Errorf("%s: the first claim is %q", size.name, got)
		}
		shot("answer-" + size.name)
		do(chromedp.Click(chromedp.CSS(".claim:first-child .chip")))
		until(`document.querySelector("#label[open] mark")`)
		if mark, claim := eval(`document.querySelector("#label mark").textContent`), eval(`document.querySelector(".claim-text").textContent`); mark != claim {
			t.Errorf("%s: the label is marked at %q, the claim is %q", size.name, mark, claim)
		}
		shot("label-" + size.name)
		do(chromedp.Click(chromedp.CSS("#label-close")), chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/"))
		ask("Which wine goes with roast duck?")
		if got := eval(`document.querySelector(".abstained h3").textContent`); got != "Not in my documents" {
			t.Errorf("%s: abstention reads %q", size.name, got)
		}
		shot("abstention-" + size.name)
		do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/"))
		ask("max adult dose of metforman?")
		if got := eval(`document.querySelector("#notices .correction")?.textContent ?? ""`); !strings.Contains(got, "metformin") {
			t.Errorf("%s: the page does not say that a name was corrected: %q", size.name, got)
		}
		shot("correction-" + size.name)
		// A question that names no medicine goes on from the one before.
		ask("Is it contraindicated in severe renal impairment?")
		if got := eval(`document.querySelector(".followed")?.textContent ?? document.body.innerText`); !strings.Contains(strings.ToLower(got), "still about metf") {
			t.Errorf("%s: the follow-up question: %q", size.name, got)
		}
		shot("follow-up-" + size.name)
		do(chromedp.KeyEvent("+"))
		until(`document.getElementById("feedback-said").textContent.startsWith("Noted")`)
		// The names that labels have are suggested.
		do(chromedp.KeyEvent(kb.Escape))
		do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").focus()`), chromedp.KeyEvent("warf"))
		until(`document.querySelector("#suggestions .suggestion-text")?.textContent === "warfarin"`)
	}
}
