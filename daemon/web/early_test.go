package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// What a person or a scanner does before the page's scripts have come is done once
// they have.
func TestAskedBeforeScripts(t *testing.T) {
	t.Parallel()
	const code = "0100300931048011172611301"
	const answered = `!document.getElementById("answer").hidden && !document.getElementById("answer").hasAttribute("aria-busy")`
	for _, c := range []struct {
		name string
		do   func(*tab)
		then string
		want string
	}{
		{"Enter", func(p *tab) { p.keys(question + "\r") }, answered, question},
		{"Ask", func(p *tab) { p.keys(question); p.click("#submit") }, answered, question},
		{"example", func(p *tab) { p.click("#example") }, answered, "Can metformin be started with an eGFR of 40?"},
		{"scanner", func(p *tab) {
			p.keys(code)
			p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").dispatchEvent(new KeyboardEvent("keydown", {key: "]", ctrlKey: true, bubbles: true, cancelable: true}))`))
			p.keys("2121XYZ\r")
		}, answered, code + "\x1d2121XYZ"},
		{"typing", func(p *tab) { p.keys("dose of metf") }, `!document.getElementById("suggestions").hidden`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			come := make(chan struct{})
			release := sync.OnceFunc(func() { close(come) })
			slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/page.js") {
					<-come
				}
				b.Config.Handler.ServeHTTP(w, r)
			}))
			t.Cleanup(slow.Close)
			t.Cleanup(release)
			p := openTab(t, slow.URL, "/", 1280, 900)
			p.until(`document.activeElement?.id === "question"`)
			c.do(p)
			if got := b.questions(); len(got) > 0 {
				t.Fatalf("asked without scripts: %q", got)
			}
			release()
			p.until(c.then)
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			same(t, "asked", b.questions(), want)
			p.clean()
		})
	}
}
