// The label beside the answer: a document, opened at the cited sentence. What
// is open is what the address says (see link.js), so that a place in a label
// can be kept, sent to a colleague on this machine, and gone back to.

import { Problem, refusal } from "./ask.js";
import { byId, day, el } from "./dom.js";
import { hashOf } from "./link.js";
import { fromBytes } from "./span.js";

const wide = matchMedia("(min-width: 62rem)");

export class LabelView {
  /** onClose is called when the person closes the panel. */
  constructor(onClose) {
    this.dialog = byId("label");
    this.about = byId("label-about");
    this.body = byId("label-body");
    this.onClose = onClose;
    this.turn = 0; // of the newest open(), so that a slower one before it is dropped
    this.shown = null; // the Document that is on the page
    byId("label-close").addEventListener("click", onClose);
    this.dialog.addEventListener("cancel", (e) => {
      e.preventDefault();
      onClose();
    });
    wide.addEventListener("change", () => {
      if (!this.dialog.open) return;
      this.dialog.close();
      this.show();
    });
  }

  get open() {
    return this.dialog.open;
  }

  /** A panel where there is room beside the answer, a dialog over it otherwise. */
  show() {
    if (this.dialog.open) return;
    if (wide.matches) this.dialog.show();
    else this.dialog.showModal();
    document.documentElement.classList.toggle("with-label", wide.matches);
  }

  close() {
    this.turn++;
    this.shown = null;
    this.dialog.close();
    this.clear("");
    document.documentElement.classList.remove("with-label");
  }

  /**
   * Opens a place {set_id, section_id, start, end}. quote, where it is known,
   * is what must stand there.
   */
  async openAt(place, quote = "") {
    const turn = ++this.turn;
    let doc = this.shown;
    if (doc?.id !== place.set_id) {
      this.clear("Opening the label…");
      this.show();
      try {
        doc = await fetchDocument(place.set_id);
      } catch (err) {
        if (turn === this.turn) this.fail(err, () => this.openAt(place, quote));
        return;
      }
      if (turn !== this.turn) return;
      this.shown = doc;
    }
    this.show();
    this.render(doc, place, quote);
  }

  clear(title) {
    byId("label-title").textContent = title;
    this.about.replaceChildren();
    this.body.replaceChildren();
  }

  fail(err, retry) {
    const missing = err.code === "not_found";
    this.clear(missing ? "Not on this machine" : "The label could not be opened");
    const again = el("button", { type: "button" }, "Try again");
    again.addEventListener("click", retry);
    this.body.replaceChildren(
      el(
        "div",
        { class: "failed", role: "alert" },
        el("p", {}, missing ? "This document is not, or no longer, on this machine. Ask the question again to see what is." : err.message),
        missing ? null : el("p", {}, err.todo),
        missing ? null : el("p", {}, again),
      ),
    );
    byId("label-title").focus({ preventScroll: true });
  }

  render(doc, place, quote) {
    byId("label-title").textContent = doc.title || doc.id;
    const found = locate(doc, place, quote);
    let level = 2; // of the heading before; no heading is more than one deeper
    const sections = (doc.sections ?? []).map((s) => {
      level = Math.min(level + 1, 3 + (s.path?.length ?? 0), 6);
      return renderSection(s, level, s === found.section ? found.range : null);
    });

    // Above what scrolls: which edition this is, and whether it may be used.
    this.about.replaceChildren(
      el("p", { class: "label-facts" }, ...facts(doc)),
      doc.notice ? el("p", { class: "notice" }, doc.notice) : "",
    );
    this.body.replaceChildren(
      found.trouble ? el("p", { class: "panel-note", role: "status" }, found.trouble) : "",
      contents(doc),
      ...sections,
    );

    const mark = this.body.querySelector("mark");
    const target = mark ?? sections[(doc.sections ?? []).indexOf(found.section)];
    if (target) {
      target.tabIndex = -1;
      target.focus({ preventScroll: true });
      target.scrollIntoView({ block: mark ? "center" : "start" });
    } else {
      this.body.scrollTop = 0;
      byId("label-title").focus({ preventScroll: true });
    }
  }
}

async function fetchDocument(id) {
  let response;
  try {
    response = await fetch("/v1/documents/" + encodeURIComponent(id), {
      headers: { Accept: "application/json" },
      cache: "no-cache",
    });
  } catch {
    throw new Problem("The service on this machine does not answer.", "Try again in a few seconds.", "unreachable");
  }
  if (response.status === 404) throw new Problem("No such document.", "", "not_found");
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** Where in doc the place is: {section, range, trouble}. */
function locate(doc, place, quote) {
  const sections = doc.sections ?? [];
  if (!place.section_id) return {};
  const section =
    sections.find((s) => s.id === place.section_id) ?? sections.find((s) => s.aliases?.includes(place.section_id));
  if (!section) return { trouble: "The cited section is not in this label as it stands on this machine now." };
  if (!place.spanned) return { section };

  const range = fromBytes(section.text, place.start, place.end);
  if (range && (!quote || section.text.slice(range.from, range.to) === quote)) return { section, range };
  const at = quote ? section.text.indexOf(quote) : -1;
  if (at >= 0) return { section, range: { from: at, to: at + quote.length } };
  return {
    section,
    trouble: "This label has changed since the answer was given: the cited sentence is not where it was. Read the section, or ask again.",
  };
}

function facts(doc) {
  const names = (kind) => [...new Set((doc.names ?? []).filter((n) => n.kind === kind).map((n) => n.text))].join(", ");
  const brand = names("brand");
  return [
    doc.effective ? `Effective ${day(doc.effective)}` : "No effective date",
    doc.version && `version ${doc.version}`,
    brand && `brand ${brand}`,
    doc.source && `from ${doc.source}`,
  ]
    .filter(Boolean)
    .map((f) => el("span", {}, f));
}

function contents(doc) {
  const sections = doc.sections ?? [];
  if (sections.length < 2) return "";
  return el(
    "details",
    { class: "contents" },
    el("summary", {}, `Sections (${sections.length})`),
    el(
      "ol",
      {},
      sections.map((s) => el("li", {}, el("a", { href: hashOf({ set_id: doc.id, section_id: s.id }) }, titleOf(s)))),
    ),
  );
}

const titleOf = (s) => [s.number, s.title].filter(Boolean).join(" ") || s.id;

function renderSection(section, level, range) {
  return el(
    "section",
    { class: "label-section" },
    section.path?.length ? el("p", { class: "label-path" }, section.path.join(" › ")) : null,
    el(`h${level}`, { class: "label-heading" }, titleOf(section)),
    ...renderText(section.text ?? "", range),
  );
}

/**
 * Section text as paragraphs, list items ("• " lines) and tables (lines with
 * " | "). Every piece knows where it stands in the text, so that a range can be
 * marked wherever it falls.
 */
function renderText(text, range) {
  const run = (from, to) => {
    if (!range || range.to <= from || range.from >= to) return [text.slice(from, to)];
    const a = Math.max(from, range.from);
    const b = Math.min(to, range.to);
    return [text.slice(from, a), el("mark", {}, text.slice(a, b)), text.slice(b, to)];
  };
  const blocks = [];
  let open = null; // the list or table that lines are being added to
  let at = 0;
  for (const line of text.split("\n")) {
    const from = at;
    const to = at + line.length;
    at = to + 1;
    if (line.trim() === "") {
      open = null;
    } else if (line.includes(" | ")) {
      if (open?.localName !== "tbody") {
        open = el("tbody");
        blocks.push(el("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" }, el("table", {}, open)));
      }
      const row = el("tr");
      let cell = from;
      for (const content of line.split(" | ")) {
        row.append(el("td", {}, run(cell, cell + content.length)));
        cell += content.length + 3;
      }
      open.append(row);
    } else if (line.startsWith("• ")) {
      if (open?.localName !== "ul") {
        open = el("ul");
        blocks.push(open);
      }
      open.append(el("li", {}, run(from + 2, to)));
    } else {
      open = null;
      blocks.push(el("p", {}, run(from, to)));
    }
  }
  return blocks;
}
