package web

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"

	"rxedge/daemon/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// tab is one of the pharmacist's page or the technician's.
type tab struct {
	*webtest.Tab
	t   *testing.T
	ctx context.Context
}

func openTab(t *testing.T, home, address string, width, height int64) *tab {
	t.Helper()
	p := webtest.Open(t, home, address, width, height)
	return &tab{p, t, p.Ctx}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) { p.t.Helper(); p.Do(steps...) }
func (p *tab) until(js string)                            { p.t.Helper(); p.Until(js) }
func (p *tab) keys(keys string)                           { p.t.Helper(); p.Keys(keys) }
func (p *tab) click(selector string)                      { p.t.Helper(); p.Click(selector) }
func (p *tab) clean(except ...string)                     { p.t.Helper(); p.Clean(except...) }
func (p *tab) media(kind, scheme string)                  { p.t.Helper(); p.Media(kind, scheme) }
func (p *tab) text(selector string) []string              { p.t.Helper(); return p.Text(selector) }
func eval[T any](p *tab, js string) T                     { p.t.Helper(); return webtest.Eval[T](p.Tab, js) }

// ask types a question and waits for its end.
func (p *tab) ask(q string) {
	p.t.Helper()
	p.until(`document.activeElement?.id === "question"`)
	p.keys(q + "\r")
	p.until(`!document.getElementById("answer").hidden && !document.getElementById("answer").hasAttribute("aria-busy")`)
}
