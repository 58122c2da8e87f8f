package web

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"rxedge/daemon/answer"
)

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\x00") != strings.Join(want, "\x00") {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

const opened = `document.querySelector("#label[open] .label-section")`

func TestAskAndCite(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	p.ask(question)

	same(t, "asked", b.questions(), []string{question})
	same(t, "claims", p.text(".claim-text"), []string{starting, falling, severe})
	same(t, "notices", p.text("#notices .notice"), []string{notSample})
	same(t, "chips", p.text(".claim:first-child .chip"), []string{"1Metformin hydrochloride tablets " + renal + " effective 15 Jan 2026"})
	same(t, "numbers", p.text(".chip-number"), []string{"1", "2", "3"})
	if facts := p.text("#facts")[0]; !strings.Contains(facts, "word for word") || !strings.Contains(facts, "g-000003") || !strings.Contains(facts, "19 ms") {
		t.Errorf("facts: %q", facts)
	}

	p.click(".claim:nth-child(2) .chip")
	p.until(opened)
	same(t, "the marked sentence", p.text("#label mark"), []string{falling})
	same(t, "its section", p.text(`.label-section:has(mark) .label-heading`), []string{renal})
	same(t, "the label's notice", p.text("#label .notice"), []string{notSample})
	if !eval[bool](p, `(() => { const m = document.querySelector("mark").getBoundingClientRect(); return m.top > 60 && m.bottom < innerHeight; })()`) {
		t.Error("the marked sentence is not in view")
	}
	if eval[bool](p, `document.querySelector("#label").matches(":modal")`) {
		t.Error("on a wide screen the label should stand beside the answer, not over it")
	}

	// Another citation goes there at once; the same one again returns to it.
	p.click(".claim:nth-child(3) .chip")
	p.until(`document.querySelector("mark")?.textContent.startsWith("Metformin is contra")`)
	p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("label-body").scrollTop = 0`))
	p.click(".claim:nth-child(3) .chip")
	p.until(`document.getElementById("label-body").scrollTop > 0`)

	p.click("#label-close")
	p.until(`!document.querySelector("#label[open]") && location.hash === ""`)
	p.do(chromedp.NavigateBack())
	p.until(opened)
	p.clean()
}

// Bytes, UTF-16 units and characters differ before, in and after the citation;
// the ids hold a slash, a space and a "#"; titles and text hold markup.
func TestCitationsPointAtBytes(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	quotes := []string{
		"β-lactamase 😀 naïve “quotes” — 5 µg ≥ 3 ℃.",
		"First choice 💊: take 10 µg.",
		"Second choice: take 20 µg.",
		"≥ 40 kg 💊 | 500 mg",
		"25 mg/kg",
		"After the table, doses of 7.5 mg are <script>alert(1)</script> whole.",
	}
	b.on(func(s *stream, q answer.Question) {
		a := b.answerTo(question)
		a.Question, a.Claims, a.Notices = q.Text, nil, nil
		for _, quote := range quotes {
			a.Claims = append(a.Claims, answer.Claim{Text: quote, Citations: []answer.Citation{b.cite("set/7 ä#1", "Dosage & Administration", quote)}})
		}
		s.whole(a)
	})
	p := openTab(t, b.URL, "/", 1280, 900)
	p.ask("odd?")
	same(t, "claims", p.text(".claim-text"), quotes)
	for i, quote := range quotes {
		p.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll(".chip")[` + string(rune('0'+i)) + `].click()`))
		// A row of a table is marked cell by cell.
		want := strings.ReplaceAll(quote, " | ", "")
		p.until(`[...document.querySelectorAll("mark")].map((m) => m.textContent).join("") === ` + strconv.Quote(want))
	}
	same(t, "the label's title", p.text("#label-title"), []string{"Ödd <b>label</b> & co"})

	// Without the answer there is no quote to look for: the offsets alone say where.
	links := eval[[]string](p, `[...document.querySelectorAll(".chip")].map((a) => a.hash)`)
	alone := openTab(t, b.URL, "/", 1280, 900)
	for i, quote := range quotes {
		alone.do(chromedp.Evaluate[chromedp.Void](`location.hash = ` + strconv.Quote(links[i])))
		alone.until(`[...document.querySelectorAll("mark")].map((m) => m.textContent).join("") === ` + strconv.Quote(strings.ReplaceAll(quote, " | ", "")))
	}
	alone.clean()
	same(t, "cells", p.text("#label td"), []string{"Weight", "Dose", "≥ 40 kg 💊", "500 mg", "< 40 kg", "25 mg/kg"})
	if n := eval[int](p, `document.querySelectorAll("main script, main b, dialog script, dialog b").length`); n != 0 {
		t.Errorf("%d elements were made from text", n)
	}
	p.clean()
}

func TestSpans(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 800, 600)
	for _, text := range []string{"plain", "m² ≥ 30", "😀a😀", "e\u0301 é", "\ufeffbom", "漢字かな 𝛽"} {
		var spans [][2]int
		var want []string
		for start := 0; start <= len(text)+1; start++ {
			for end := start; end <= len(text)+1; end++ {
				spans = append(spans, [2]int{start, end})
				if end > start && end <= len(text) && validCut(text, start) && validCut(text, end) {
					want = append(want, text[start:end])
				} else {
					want = append(want, "null")
				}
			}
		}
		got := eval[[]string](p, `import("/assets/span.js").then((m) =>
			`+toJSON(spans)+`.map(([start, end]) => m.sliceBytes(`+toJSON(text)+`, start, end) ?? "null"))`)
		for i, span := range spans {
			if got[i] != want[i] {
				t.Errorf("%q[%d:%d] = %q, want %q", text, span[0], span[1], got[i], want[i])
			}
		}
	}
	same(t, "spans that are none", []string{eval[string](p, `import("/assets/span.js").then((m) =>
		JSON.stringify([[NaN, 2], [-1, 2], [0, NaN], [1.5, 3], [2, 1], [0, 1e9]].map(([a, b]) => m.fromBytes("plain", a, b))))`)},
		[]string{"[null,null,null,null,null,null]"})
}

// validCut reports whether a byte offset falls between characters.
func validCut(s string, at int) bool { return at == len(s) || s[at]&0xC0 != 0x80 }

func TestEventsAreParsed(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 800, 600)
	for _, tt := range []struct{ name, stream, want string }{
		{"plain", "event: claim\ndata: {\"a\":1}\n\n", `[["claim","{\"a\":1}"]]`},
		{"crlf and cr", "event: a\r\ndata: 1\r\n\r\nevent: b\rdata: 2\r\r", `[["a","1"],["b","2"]]`},
		{"comment, id and retry", ": hello\nid: 7\nretry: 9\ndata: x\n\n", `[["message","x"]]`},
		{"two data lines", "data: one\ndata:two\n\n", `[["message","one\ntwo"]]`},
		{"no data, no event", "event: a\n\ndata: b\n\n", `[["message","b"]]`},
		{"cut off", "data: whole\n\ndata: half\n", `[["message","whole"]]`},
		{"characters", "data: m² 😀\n\n", `[["message","m² 😀"]]`},
	} {
		arg, _ := json.Marshal(tt.stream)
		// One byte at a time: no boundary may matter.
		got := eval[string](p, `(async () => {
			const { events } = await import("/assets/sse.js");
			const bytes = new TextEncoder().encode(`+string(arg)+`);
			const body = new ReadableStream({ start(c) { for (const b of bytes) c.enqueue(new Uint8Array([b])); c.close(); } });
			const seen = [];
			for await (const e of events(body)) seen.push([e.event, e.data]);
			return JSON.stringify(seen);
		})()`)
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestAnswerAppearsAsItComes(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	step := make(chan struct{})
	b.on(func(s *stream, q answer.Question) {
		a := b.answerTo(question)
		a.Mode, a.Model, a.Withheld, a.Claims = answer.ModeGenerated, "stories", 2, a.Claims[:1]
		a.Fallback = "The reranker is not loaded."
		a.Claims[0].Text = "No: at an eGFR of 40 starting metformin is not recommended."
		s.send("retrieved", map[string]any{"retrieved": a.Retrieved})
		<-step
		s.send("claim", a.Claims[0])
		<-step
		s.send("withheld", map[string]int{"count": 2})
		s.send("done", a)
	})
	p := openTab(t, b.URL, "/", 1280, 900)
	p.until(`document.activeElement?.id === "question"`)
	p.keys(question + "\r")
	p.until(`document.getElementById("status").textContent === "Reading 5 passages in 1 document…"`)
	p.until(`document.getElementById("submit").hidden && !document.getElementById("stop").hidden`)
	step <- struct{}{}
	p.until(`document.querySelectorAll(".claim").length === 1`)
	if !eval[bool](p, `document.getElementById("actions").hidden && document.getElementById("claims").getAttribute("aria-live") === "polite"`) {
		t.Error("an answer that is still coming can not be copied, and is announced politely")
	}
	step <- struct{}{}
	p.until(`!document.getElementById("actions").hidden`)
	same(t, "withheld", p.text(".withheld"), []string{"2 sentences that the model wrote were left out, because no passage supports them."})
	same(t, "fallback", p.text(".fallback"), []string{"The reranker is not loaded."})
	if facts := p.text("#facts")[0]; !strings.Contains(facts, "Written by a model") || !strings.Contains(facts, "stories") {
		t.Errorf("facts: %q", facts)
	}
	p.clean()
}

func TestAbstention(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	p.ask(unknown)
	same(t, "heading", p.text(".abstained h3"), []string{"Not in my documents"})
	same(t, "message", p.text(".abstained p"), []string{"None of the passages that were found speaks of this."})
	same(t, "looked at", p.text("#looked a"), []string{
		"Metformin hydrochloride tablets Indications and Usage", "Metformin hydrochloride tablets Dosage and Administration", "Warfarin sodium tablets Dosage and Administration",
	})
	if !eval[bool](p, `document.querySelector("#looked details").open && document.getElementById("copy").hidden`) {
		t.Error("what was looked at should be seen, and there is nothing to copy")
	}
	p.click("#looked li:nth-child(3) a")
	p.until(opened)
	same(t, "label", p.text("#label-title"), []string{"Warfarin sodium tablets"})
	p.clean()
}

func TestFailuresSayWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	for _, tt := range []struct {
		name         string
		ask          func(*stream, answer.Question)
		what, todo   string
		code         string
		claimsRemain int
	}{
		{
			name: "refused", ask: func(s *stream, _ answer.Question) {
				s.refuse(503, "engine_starting", "the language model is still being loaded")
			},
			what: "The language model is still being loaded.", todo: "Wait a few seconds and try again.", code: "engine_starting",
		},
		{
			name: "failed on the way", ask: func(s *stream, q answer.Question) {
				s.send("claim", b.answerTo(question).Claims[0])
				s.send("error", map[string]any{"title": "Bad Gateway", "status": 502, "code": "engine_lost", "detail": "the engine ended during the answer"})
			},
			what: "The engine ended during the answer.", todo: "Ask again; the language model is being started anew.", code: "engine_lost", claimsRemain: 1,
		},
		{
			name: "not from us", ask: func(s *stream, _ answer.Question) { http.Error(s.w, "<h1>proxy</h1>", 500) },
			what: "The service could not answer.", todo: "Try again; if it stays like this, ask your technician to run “rxedge doctor”.", code: "HTTP 500",
		},
		{
			name: "no one there", ask: func(*stream, answer.Question) { panic(http.ErrAbortHandler) },
			what: "The service on this machine does not answer.",
			todo: "Your question was not answered. Try again in a few seconds; if it stays like this, ask your technician to run “rxedge doctor”.", code: "unreachable",
		},
	} {
		b.on(tt.ask)
		p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").focus(); document.getElementById("question").select()`))
		p.ask(tt.name)
		same(t, tt.name, append(p.text(".failed h3"), p.text(".failed p:not(.failed-foot)")...), []string{tt.what, tt.todo})
		same(t, tt.name, p.text(".failed .code"), []string{tt.code})
		if n := len(p.text("#claims.incomplete .claim")); n != tt.claimsRemain {
			t.Errorf("%s: %d claims shown as incomplete, want %d", tt.name, n, tt.claimsRemain)
		}
	}
	b.on(func(s *stream, q answer.Question) { s.whole(b.answerTo(question)) })
	p.click(".retry")
	p.until(`document.querySelectorAll(".claim").length === 3 && !document.querySelector(".failed") && !document.querySelector(".incomplete")`)
	p.clean("Failed to load resource")
}

func TestAnswerThatBreaksOff(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	cut := make(chan struct{})
	b.on(func(s *stream, q answer.Question) {
		s.send("claim", b.answerTo(question).Claims[0])
		<-cut
		panic(http.ErrAbortHandler)
	})
	p := openTab(t, b.URL, "/", 1280, 900)
	p.until(`document.activeElement?.id === "question"`)
	p.keys(question + "\r")
	p.until(`document.querySelectorAll(".claim").length === 1`)
	close(cut)
	p.until(`document.querySelector(".failed")`)
	same(t, "failure", append(p.text(".failed h3"), p.text(".failed p:not(.failed-foot)")...),
		[]string{"The answer broke off before it was complete.", "Do not rely on what is shown above. Ask again."})
	same(t, "shown as incomplete", p.text("#claims.incomplete .claim-text"), []string{starting})
	if !eval[bool](p, `document.getElementById("actions").hidden`) {
		t.Error("half an answer can be copied")
	}
	p.clean("Failed to load resource")
}

func TestStopping(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	gone := make(chan struct{})
	b.on(func(s *stream, q answer.Question) {
		s.send("claim", b.answerTo(question).Claims[0])
		<-s.r.Context().Done()
		close(gone)
	})
	p := openTab(t, b.URL, "/", 1280, 900)
	p.until(`document.activeElement?.id === "question"`)
	p.keys(question + "\r")
	p.until(`document.querySelectorAll(".claim").length === 1`)
	p.keys(kb.Escape)
	p.until(`document.getElementById("status").textContent === "Stopped. What is shown is not the whole answer."`)
	<-gone // the service is told
	if v := eval[string](p, `document.getElementById("question").value`); v != question {
		t.Errorf("the question box holds %q after stopping", v)
	}
	p.clean()
}

func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	focus := func() string {
		return eval[string](p, `(() => { const e = document.activeElement; return e.id || e.className || e.localName; })()`)
	}
	p.ask(question)
	if f := focus(); f != "question" {
		t.Fatalf("after an answer the focus is on %q", f)
	}
	p.keys("\t\t\t") // the button, a new subject, the first citation
	if f := focus(); f != "chip" {
		t.Fatalf("three tabs from the question lead to %q", f)
	}
	p.keys(kb.Enter)
	p.until(opened)
	if f := focus(); f != "mark" {
		t.Errorf("the label opens with the focus on %q", f)
	}
	p.keys(kb.Escape)
	p.until(`!document.querySelector("#label[open]")`)
	if f := focus(); f != "chip" {
		t.Errorf("after closing the label the focus is on %q", f)
	}
	p.keys("/")
	if f := focus(); f != "question" {
		t.Errorf("/ leads to %q", f)
	}
	p.keys(kb.Escape)
	if v := eval[string](p, `document.getElementById("question").value`); v != "" {
		t.Errorf("Esc leaves %q in the question box", v)
	}
	p.do(chromedp.KeyEvent(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierShift)))
	if v := eval[string](p, `document.getElementById("question").value`); v != "\n" {
		t.Errorf("Shift and Enter give %q", v)
	}
	p.keys(kb.Escape + "a/b")
	if v := eval[string](p, `document.getElementById("question").value`); v != "a/b" {
		t.Errorf("typing a slash gives %q", v)
	}
	p.keys(kb.Escape)
	p.ask(unknown)

	// Back to the first question by the list of earlier ones.
	p.do(chromedp.Focus(chromedp.CSS(".history-item")))
	p.keys(kb.Enter)
	p.until(`document.querySelectorAll(".claim").length === 3`)
	same(t, "asked", b.questions(), []string{question, unknown}) // not asked again
	same(t, "earlier", p.text(".history-item span:first-child"), []string{unknown})
	p.click("#forget")
	p.until(`document.getElementById("history").hidden`)
	if n := eval[int](p, `localStorage.length + sessionStorage.length + document.cookie.length`); n != 0 {
		t.Error("something was stored")
	}
	p.clean()
}

func TestLinkOpensAlone(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	c := b.cite("sample-metformin", renal, starting)
	p := openTab(t, b.URL, "/", 1280, 900)
	link := eval[string](p, `import("/assets/link.js").then((m) => m.hashOf(`+toJSON(c)+`))`)
	if !strings.HasPrefix(link, "#doc=sample-metformin&section=sample-metformin%23dosage-in-renal-impairment&start=") {
		t.Errorf("link: %s", link)
	}

	alone := openTab(t, b.URL, "/"+link, 1280, 900)
	alone.until(opened)
	same(t, "marked", alone.text("mark"), []string{starting})
	alone.clean()

	for _, tt := range []struct{ name, hash, selector, want string }{
		{"no such document", "#doc=gone&section=x&start=1&end=2", "#label-title", "Not on this machine"},
		{"no such section", "#doc=sample-metformin&section=x&start=1&end=2", "#label .panel-note", "The cited section is not in this label as it stands on this machine now."},
		{"inside a character", "#doc=set%2F7+%C3%A4%231&section=set%2F7+%C3%A4%231%2334068-7&start=1&end=4", "#label .panel-note", "This label has changed since the answer was given: the cited sentence is not where it was. Read the section, or ask again."},
		{"no place", "#doc=sample-warfarin", "#label-title", "Warfarin sodium tablets"},
	} {
		other := openTab(t, b.URL, "/"+tt.hash, 1280, 900)
		other.until(`[...document.querySelectorAll(` + strconv.Quote(tt.selector) + `)].some((n) => n.textContent === ` + strconv.Quote(tt.want) + `)`)
		if n := len(other.text("mark")); n != 0 {
			t.Errorf("%s: something is marked", tt.name)
		}
		other.clean("Failed to load resource")
	}
}

// The label may have changed under an answer that is on the screen: the
// sentence is found where it is now, and if it is gone the page says so.
func TestLabelThatChanged(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.on(func(s *stream, q answer.Question) {
		a := b.answerTo(question)
		a.Claims[0].Citations[0].Start += 5
		a.Claims[0].Citations[0].End += 5
		a.Claims[1].Citations[0].Quote = "This sentence is gone."
		s.whole(a)
	})
	p := openTab(t, b.URL, "/", 1280, 900)
	p.ask(question)
	p.click(".claim:nth-child(1) .chip")
	p.until(opened)
	same(t, "found again", p.text("mark"), []string{starting})
	p.click(".claim:nth-child(2) .chip")
	p.until(`document.querySelector("#label .panel-note")`)
	if n := len(p.text("mark")); n != 0 {
		t.Error("a sentence is marked that is not the cited one")
	}
	p.clean()
}

func TestNarrowScreen(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 390, 844)
	overflow := `document.documentElement.scrollWidth > innerWidth`
	if eval[bool](p, overflow) {
		t.Error("the empty page is wider than the screen")
	}
	p.ask(question)
	if eval[bool](p, overflow) {
		t.Error("an answer is wider than the screen")
	}
	p.click(".chip")
	p.until(opened)
	same(t, "marked", p.text("mark"), []string{starting})
	if !eval[bool](p, `document.querySelector("#label").matches(":modal") && !(`+overflow+`)`) {
		t.Error("on a narrow screen the label should be a dialog that fits")
	}
	p.do(chromedp.EmulateViewport(1280, 900)) // turned or widened: it becomes a panel
	p.until(`document.querySelector("#label[open]") && !document.querySelector("#label").matches(":modal")`)
	p.do(chromedp.EmulateViewport(390, 844))
	p.until(`document.querySelector("#label").matches(":modal")`)
	p.keys(kb.Escape)
	p.until(`!document.querySelector("#label[open]") && location.hash === ""`)
	p.clean()
}

func TestCopy(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	p.ask(question)
	// The clipboard itself is shut in a test's browser; this is what would go there.
	p.do(chromedp.Evaluate[chromedp.Void](`navigator.clipboard.writeText = async (text) => { window.copied = text; }`))
	p.click("#copy")
	p.until(`document.getElementById("copied").textContent === "Copied."`)
	want := question + `

Sample text, not for clinical use.

` + starting + ` [1]
` + falling + ` [2]
` + severe + ` [3]

Sources
[1] Metformin hydrochloride tablets; Dosage in Renal Impairment; version 1; effective 15 Jan 2026; set id sample-metformin
    “` + starting + `”
[2] Metformin hydrochloride tablets; Dosage in Renal Impairment; version 1; effective 15 Jan 2026; set id sample-metformin
    “` + falling + `”
[3] Metformin hydrochloride tablets; Contraindications; version 1; effective 15 Jan 2026; set id sample-metformin
    “` + severe + `”

rxedge, extractive, index g-000003
`
	if got := eval[string](p, `window.copied`); got != want {
		t.Errorf("copied:\n%s\nwant:\n%s", got, want)
	}
	p.clean()
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
