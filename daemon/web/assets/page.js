// The pharmacist's page: a question, its answer, the label behind it, and the
// questions before it. Everything is kept in this tab's memory alone.

import { AnswerView, plainText } from "./answer.js";
import { ask, Problem } from "./ask.js";
import { byId, el } from "./dom.js";
import { FeedbackView } from "./feedback.js";
import { LabelView } from "./label.js";
import { placeOf } from "./link.js";
import { Watch } from "./offline.js";
import { Suggestions } from "./suggest.js";

const form = byId("ask");
const box = byId("question");
const view = new AnswerView();
const label = new LabelView(closeLabel);
const suggestions = new Suggestions(box, (text) => {
  box.value = text;
  fit();
});
const watch = new Watch(back);
const feedback = new FeedbackView(() => watch.lost(waitsForService()));

/** Entries {question, previous, answer, problem, thumb}, oldest first. */
const entries = [];
let subject = []; // the questions that the next one may go on from
let current = null;
let asking = null; // the AbortController of the question under way
let opener = null; // what opened the label, to go back to

// Asking

async function submit(question, of) {
  question = question.trim();
  suggestions.close();
  if (!question) {
    box.focus();
    return;
  }
  asking?.abort();
  const mine = (asking = new AbortController());
  const entry = { question, previous: of?.previous ?? subject.slice(-10), answer: null, problem: null };
  if (current?.question === question && !current.answer) entries.splice(entries.indexOf(current), 1);
  entries.push(entry);
  current = entry;

  if (label.open) closeLabel();
  byId("intro").hidden = true;
  byId("claims").classList.remove("incomplete");
  view.begin(question);
  feedback.show(null);
  working(true);
  if (matchMedia("(pointer: coarse)").matches) box.blur(); // the keyboard on the screen makes room
  else if (document.activeElement === box) box.select(); // the next question replaces this one
  listHistory();
  const slow = setTimeout(() => current === entry && view.status("Still working… Esc stops.", true), 15000);
  const mineStill = (f) => (v) => asking === mine && f(v);
  try {
    entry.answer = await ask(
      question,
      entry.previous,
      {
        retrieved: mineStill((list) => view.retrieved(list)),
        claim: mineStill((claim) => view.claim(claim)),
        withheld: mineStill(() => view.withheld()),
      },
      mine.signal,
    );
    if (watch.away) back(); // it answered before it was looked for
    if (asking === mine) {
      if (entry.answer.status !== "abstained" && !of) subject = [...entry.previous, question];
      view.done(entry.answer);
      feedback.show(entry);
    }
  } catch (err) {
    if (asking !== mine) return; // another question has taken its place
    const again = () => submit(question, entry);
    if (err.name === "AbortError") {
      view.stopped(again);
    } else {
      entry.problem =
        err instanceof Problem ? err : new Problem("This page failed to show the answer.", "Reload the page and ask again.", err.name);
      view.fail(entry.problem, again);
      if (away(entry.problem)) {
        watch.lost(true);
        if (!box.value.trim()) box.value = question;
      }
    }
  } finally {
    clearTimeout(slow);
    if (asking === mine) {
      asking = null;
      working(false);
      listHistory();
    }
  }
}

// While the service is away

const away = (problem) => problem?.code === "unreachable" || problem?.code === "stopping";
const waitsForService = () => !asking && away(current?.problem);

/** The service is back: what waited for it goes on. */
function back() {
  watch.found();
  feedback.flush();
  if (waitsForService()) submit(current.question, current);
}

function working(yes) {
  byId("submit").hidden = yes;
  byId("stop").hidden = !yes;
}

/** Shows an entry again as it was, without asking. */
function recall(entry) {
  if (asking) {
    const stopped = asking;
    asking = null; // its end is nobody's concern any more
    stopped.abort();
    working(false);
  }
  if (label.open) closeLabel();
  current = entry;
  byId("claims").classList.remove("incomplete");
  view.begin(entry.question);
  if (entry.answer) view.done(entry.answer);
  else if (entry.problem) view.fail(entry.problem, () => submit(entry.question, entry));
  else view.stopped(() => submit(entry.question, entry));
  feedback.show(entry);
  listHistory();
  byId("asked").focus({ preventScroll: true });
  byId("answer").scrollIntoView({ block: "start" });
}

// Earlier questions

function listHistory() {
  const earlier = entries.filter((e) => e !== current).reverse();
  byId("history").hidden = earlier.length === 0;
  byId("subject").hidden = subject.length === 0;
  byId("history-list").replaceChildren(
    ...earlier.map((entry) => {
      const button = el("button", { type: "button", class: "history-item" }, el("span", {}, entry.question), el("span", { class: "history-state" }, stateOf(entry)));
      button.addEventListener("click", () => recall(entry));
      return el("li", {}, button);
    }),
  );
}

function stateOf({ answer, problem }) {
  if (!answer) return problem ? "failed" : "stopped";
  return answer.status === "abstained" ? "not in my documents" : "answered";
}

// The label

/** Opens or closes the label as the address says. */
function followAddress() {
  const place = placeOf(location.hash);
  if (!place) {
    if (label.open) {
      label.close();
      refocus();
    }
    markChip();
    return;
  }
  const chip = [...document.querySelectorAll("a.chip")].find((a) => a.hash === location.hash);
  markChip(chip);
  label.openAt(place, chip?.citation.quote);
}

function closeLabel() {
  if (placeOf(location.hash)) history.pushState(null, "", location.pathname + location.search);
  followAddress();
}

function markChip(chip) {
  for (const a of document.querySelectorAll("a.chip[aria-current]")) a.removeAttribute("aria-current");
  chip?.setAttribute("aria-current", "true");
}

function refocus() {
  (opener?.isConnected ? opener : box).focus({ preventScroll: true });
  opener = null;
}

// Copying

async function copy() {
  const text = plainText(current.answer);
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers keep the clipboard from pages that are not on localhost or HTTPS.
    const area = el("textarea", { class: "offscreen", readonly: true, "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    byId("copy").focus();
  }
  byId("copied").textContent = done ? "Copied." : "The browser did not allow it. Select the text and copy it.";
}

// What the person does

form.addEventListener("submit", (e) => {
  e.preventDefault();
  submit(box.value);
});

// A line break asks, whatever key or on-screen key makes it; with Shift it is
// a line break.
let shift = false;
let taken = false; // the key that is down was meant for something else
box.addEventListener("keydown", (e) => {
  shift = e.shiftKey;
  taken = false;
  if (e.isComposing) return;
  if (e.ctrlKey && (e.key === "]" || e.key === "\x1d")) {
    e.preventDefault(); // the sign that separates fields of a scanned code
    box.setRangeText("\x1d", box.selectionStart, box.selectionEnd, "end");
  } else if (!e.ctrlKey && !e.metaKey && !e.altKey && suggestions.key(e)) {
    e.preventDefault();
    taken = true;
  }
});
box.addEventListener("beforeinput", (e) => {
  if (taken) e.preventDefault();
  else if (e.inputType === "insertLineBreak" && !shift) {
    e.preventDefault();
    form.requestSubmit();
  }
});

function fit() {
  if (CSS.supports("field-sizing", "content")) return;
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}
box.addEventListener("input", fit);

byId("example").addEventListener("click", (e) => {
  box.value = e.currentTarget.textContent;
  fit();
  box.focus();
  submit(box.value);
});

byId("stop").addEventListener("click", () => {
  asking?.abort();
  box.focus();
});

byId("copy").addEventListener("click", copy);
byId("again").addEventListener("click", () => submit(current.question, current));
byId("fresh").addEventListener("click", () => {
  subject = [];
  byId("subject").hidden = true;
  box.value = "";
  fit();
  box.focus();
});

byId("forget").addEventListener("click", () => {
  entries.splice(0, entries.length, ...entries.filter((e) => e === current));
  listHistory();
  box.focus();
});

// A link to a place in a label; one that leads where the page already is goes
// there again.
document.addEventListener("click", (e) => {
  const link = e.target.closest?.("a[href^='#doc=']");
  if (!link) return;
  if (!link.closest("#label")) opener = link;
  if (link.hash === location.hash && !e.ctrlKey && !e.metaKey && !e.shiftKey) {
    e.preventDefault();
    followAddress();
  }
});

document.addEventListener("keydown", (e) => {
  if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return;
  const typing = e.target.closest?.("input, textarea, select, [contenteditable]");
  // The question that was just asked is selected: the next key says what of it.
  const untouched = typing === box && box.value && box.selectionStart === 0 && box.selectionEnd === box.value.length;
  if (singleKeys && !label.dialog.matches(":modal") && (!typing || untouched) && feedback.ready && thumbs[e.key]) {
    e.preventDefault();
    taken = true;
    feedback.thumb(thumbs[e.key]);
  } else if (singleKeys && e.key === "/" && !typing && !label.dialog.matches(":modal")) {
    e.preventDefault();
    box.focus();
    box.select();
  } else if (singleKeys && !typing && /^[0-9(\]]$/.test(e.key) && !label.dialog.matches(":modal")) {
    // A scanner, wherever the focus is: the sign itself goes where the focus is now.
    box.focus();
    box.value = "";
    taken = false;
  } else if (e.key === "Escape" && !label.dialog.matches(":modal")) {
    if (label.open) closeLabel();
    else if (asking) asking.abort();
    else if (typing === box) {
      box.value = "";
      fit();
    } else return;
    e.preventDefault();
  }
});

const thumbs = { "+": "up", "-": "down", "−": "down" };

// Keys without Ctrl or Alt may be pressed by speech input: they can be turned off.
let singleKeys = true;
byId("single-keys").addEventListener("click", (e) => {
  singleKeys = !singleKeys;
  e.currentTarget.setAttribute("aria-pressed", String(singleKeys));
  e.currentTarget.textContent = `Single-key shortcuts: ${singleKeys ? "on" : "off"}`;
});

addEventListener("hashchange", followAddress);
addEventListener("pageshow", (e) => {
  if (e.persisted) working(Boolean(asking));
});

if (placeOf(location.hash)) followAddress();
