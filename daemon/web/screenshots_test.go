package web

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"rxedge/daemon/answer"
)

// TestScreenshots writes pictures of the page's states into the folder named
// by RXEDGE_SCREENSHOTS, to be looked at by a person.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("RXEDGE_SCREENSHOTS")
	if dir == "" {
		t.Skip("RXEDGE_SCREENSHOTS names no folder; no pictures are taken")
	}
	b := newBox(t)
	for _, scheme := range []string{"light", "dark"} {
		for _, size := range [][2]int64{{1280, 900}, {390, 844}} {
			p := openTab(t, b.URL, "/", size[0], size[1])
			media := func(kind string) { p.media(kind, scheme) }
			shoot := func(name string, full bool) {
				action := chromedp.CaptureScreenshot()
				if full {
					action = chromedp.FullScreenshot(100)
				}
				png, err := chromedp.Run(p.ctx, action)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, size[0], scheme))
				if err := os.WriteFile(file, png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			media("")
			p.until(`document.activeElement?.id === "question"`)
			shoot("1-question", false)
			b.on(func(s *stream, q answer.Question) { s.whole(b.answerTo(q.Text)) })
			p.ask(question)
			shoot("2-answer", true)
			p.click(".claim:nth-child(1) .chip")
			p.until(opened)
			shoot("3-label", false)
			p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("label-close").click(); document.getElementById("question").focus(); document.getElementById("question").select()`))
			p.ask(unknown)
			shoot("4-abstention", true)
			b.on(func(s *stream, q answer.Question) { s.send("done", b.disputed(q.Text)) })
			p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").focus(); document.getElementById("question").select()`))
			p.ask("warfarin with amiodarone?")
			shoot("7-disputed", true)
			p.click("#thumb-down")
			shoot("8-feedback", true)
			p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").focus(); document.getElementById("question").value = ""`))
			p.keys("dose of metf")
			p.until(`!document.getElementById("suggestions").hidden`)
			p.keys(kb.ArrowDown)
			shoot("9-suggestions", false)
			p.keys(kb.Escape)
			p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").select()`))
			b.on(func(s *stream, _ answer.Question) {
				s.refuse(503, "stopping", "the service is stopping")
			})
			p.ask("Is apixaban safe with ketoconazole?")
			shoot("10-offline", true)
			p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").focus(); document.getElementById("question").select()`))
			b.on(func(s *stream, _ answer.Question) {
				s.refuse(503, "engine_starting", "the language model is still being loaded")
			})
			p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").focus(); document.getElementById("question").select()`))
			p.ask("Is apixaban safe with ketoconazole?")
			shoot("5-error", true)
			if scheme == "light" && size[0] == 1280 {
				p.click(".history li:last-child button")
				p.until(`document.querySelectorAll(".claim").length === 3`)
				media("print")
				shoot("6-print", true)
			}
		}
	}
}
