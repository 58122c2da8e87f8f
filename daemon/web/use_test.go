package web

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"rxedge/daemon/answer"
)

// One key says whether an answer was right, at once after asking; a reason and a
// correction can follow, by keyboard alone.
func TestFeedbackInOneKey(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	p.ask(question)
	p.keys("+")
	p.until(`document.getElementById("feedback-said").textContent.startsWith("Noted")`)
	if v := eval[string](p, `document.getElementById("question").value`); v != question {
		t.Errorf("the key went into the question: %q", v)
	}
	if !eval[bool](p, `document.getElementById("thumb-up").getAttribute("aria-pressed") === "true"`) {
		t.Error("what was said is not shown")
	}
	p.keys("-")
	p.until(`document.activeElement?.id === "feedback-reason"`)
	p.keys(kb.ArrowDown + kb.ArrowDown)
	p.keys("\t" + "The table of doses is missing." + "\t\r") // the field, then Send
	p.until(`document.getElementById("feedback-form").hidden && document.activeElement?.id === "thumb-down"`)
	p.until(`document.getElementById("feedback-said").textContent.startsWith("Noted")`)
	for end := time.Now().Add(10 * time.Second); len(b.said()) < 3 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	items := b.said()
	if len(items) != 3 || items[0].Thumb != "up" || items[1].Thumb != "down" || items[2].Reason != "incomplete" || items[2].Correction != "The table of doses is missing." || items[2].Thumb != "" {
		t.Fatalf("%+v", items)
	}
	ids := map[string]bool{}
	for _, i := range items {
		ids[i.ID] = true
		if i.AnswerID != "a-1" {
			t.Errorf("about %q", i.AnswerID)
		}
	}
	if len(ids) != 3 {
		t.Errorf("ids %v", ids)
	}
	// With single keys off they are letters like others.
	p.click("#single-keys")
	p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("copy").focus()`))
	p.keys("+/")
	if f := eval[string](p, `document.activeElement.id`); f != "copy" || len(b.said()) != 3 {
		t.Errorf("turned off, the keys lead to %q", f)
	}
	p.clean()
}

// The service ends and comes back: the page says so, keeps the question and what
// was said, and goes on by itself.
func TestOffline(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	p.ask(question)
	comeBack := b.leave(t)
	p.keys("-")
	p.until(`document.getElementById("feedback-said").textContent.startsWith("Kept here")`)
	p.until(`!document.getElementById("offline").hidden`)
	p.keys(kb.Escape)
	p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").focus(); document.getElementById("question").select()`))
	p.keys(unknown + "\r")
	p.until(`document.querySelector(".failed h3")?.textContent === "The service on this machine does not answer."`)
	same(t, "the note", p.text("#offline p"), []string{"The service on this machine does not answer. Your question is kept, and asked again as soon as it is back."})
	if v := eval[string](p, `document.getElementById("question").value`); v != unknown {
		t.Errorf("the question box holds %q", v)
	}
	comeBack()
	p.until(`document.getElementById("offline").hidden && !!document.querySelector(".abstained")`)
	same(t, "asked", b.questions(), []string{question, unknown})
	for end := time.Now().Add(10 * time.Second); len(b.said()) < 1 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	if items := b.said(); len(items) != 1 || items[0].Thumb != "down" {
		t.Errorf("what was said meanwhile: %+v", items)
	}
	p.clean("Failed to load resource")
}

// Suggestions come while one types and are chosen by keys; who types fast and
// ends with Enter, as a scanner does, gets none.
func TestSuggestionsAndScanner(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	p.until(`document.activeElement?.id === "question"`)
	p.keys("dose of metf")
	p.until(`!document.getElementById("suggestions").hidden`)
	same(t, "suggestions", p.text("#suggestions .suggestion-text"), []string{"dose of metformin", "dose of metfoo"})
	if said := p.text("#suggestions-said")[0]; !strings.HasPrefix(said, "2 suggestions") {
		t.Errorf("a screen reader hears %q", said)
	}
	p.keys(kb.ArrowDown)
	if active := eval[string](p, `document.getElementById(document.getElementById("question").getAttribute("aria-activedescendant")).textContent`); !strings.Contains(active, "metformin") {
		t.Errorf("the arrow leads to %q", active)
	}
	p.keys(kb.Enter)
	if v := eval[string](p, `document.getElementById("question").value`); v != "dose of metformin " {
		t.Errorf("chosen: %q", v)
	}
	p.keys(kb.Escape)
	p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").value = ""`))
	p.keys("metf")
	p.until(`!document.getElementById("suggestions").hidden`)
	p.keys(kb.Escape)
	if !eval[bool](p, `document.getElementById("suggestions").hidden && document.getElementById("question").value === "metf"`) {
		t.Error("Esc should close the list and no more")
	}
	p.click("#suggestions-said, h1") // elsewhere

	// A scanner, with the focus on nothing: the code is asked, field mark and all.
	p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").value = ""; document.activeElement.blur()`))
	for _, k := range "0100300931048011172611301" {
		p.keys(string(k))
	}
	p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("question").dispatchEvent(new KeyboardEvent("keydown", {key: "]", ctrlKey: true, bubbles: true, cancelable: true}))`))
	p.keys("2121XYZ\r")
	p.until(`!document.getElementById("answer").hidden && !document.getElementById("answer").hasAttribute("aria-busy")`)
	same(t, "scanned", b.questions(), []string{"0100300931048011172611301\x1d2121XYZ"})
	if !eval[bool](p, `document.getElementById("suggestions").hidden`) {
		t.Error("suggestions stand over the answer")
	}
	p.clean()
}

// A question may go on from those before it, until a new subject is begun.
func TestFollowUp(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	p := openTab(t, b.URL, "/", 1280, 900)
	p.ask(question)
	p.ask(question + " again") // abstained from: nothing to go on from
	p.ask(question)
	p.click("#fresh")
	p.ask(question)
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []string
	for _, q := range b.previous {
		got = append(got, strings.Join(q, "|"))
	}
	same(t, "previous", got, []string{"", question, question, ""})
	p.clean()
}

// How bad, what to do, how old, how sure, and what labels disagree on is to be
// seen in words.
func TestAtAGlance(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.on(func(s *stream, q answer.Question) { s.send("done", b.disputed(q.Text)) })
	p := openTab(t, b.URL, "/", 1280, 900)
	p.ask("warfarin with amiodarone?")
	same(t, "the answer", p.text("#glance li"), []string{"Contraindication", "Labels disagree", "Old label: 15 Jan 2026", "Some doubt: read the sentences"})
	same(t, "the first claim", p.text(".claim:nth-child(1) .marks li"), []string{"Contraindication", "Avoid"})
	same(t, "the second", p.text(".claim:nth-child(2) .marks li"), []string{"Warning", "Reduce the dose", "from trials", "Partly borne out: read the sentence", "Old label"})
	same(t, "the third", p.text(".claim:nth-child(3) .marks li"), []string{"Could not be checked: read the sentence"})
	same(t, "sides", p.text(".side-values"), []string{"10 mg", "20 mg"})
	same(t, "carried over", p.text(".followed"), []string{"Understood as still about metformin."})
	p.click(".side:nth-child(2) a")
	p.until(opened)
	p.clean()
}
