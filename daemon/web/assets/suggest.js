// Suggestions under the question box while it is typed in: names of medicines
// and words of the labels on this machine. A scanner types too fast for them.

import { byId, count, el } from "./dom.js";

const wait = 70; // ms without a key before suggestions are asked for

export class Suggestions {
  /** onChoose(text) is called with the whole question, completed. */
  constructor(box, onChoose) {
    this.box = box;
    this.list = byId("suggestions");
    this.said = byId("suggestions-said");
    this.onChoose = onChoose;
    this.items = [];
    this.active = -1;
    this.turn = 0;
    box.addEventListener("input", () => this.later());
    box.addEventListener("blur", () => this.close());
    // mousedown, because the box would lose its focus before a click
    this.list.addEventListener("mousedown", (e) => {
      const at = this.items.findIndex((i) => i.node === e.target.closest("[role=option]"));
      if (at < 0) return;
      e.preventDefault();
      this.choose(at);
    });
  }

  get open() {
    return !this.list.hidden;
  }

  later() {
    clearTimeout(this.timer);
    const turn = ++this.turn;
    if (this.box.value.trim().length < 2 || this.box.selectionEnd !== this.box.value.length) {
      this.close();
      return;
    }
    this.timer = setTimeout(() => this.ask(turn), wait);
  }

  async ask(turn) {
    let found = [];
    try {
      const typed = this.box.value;
      const response = await fetch(`/v1/suggest?k=6&q=${encodeURIComponent(typed)}`, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (response.ok) found = (await response.json()).suggestions ?? [];
      found = found.filter((s) => s.text.toLowerCase() !== typed.trim().toLowerCase());
    } catch {
      // typing goes on without them
    }
    if (turn !== this.turn || document.activeElement !== this.box) return;
    this.show(found);
  }

  show(found) {
    if (!found.length) {
      this.close();
      return;
    }
    this.active = -1;
    this.items = found.map((s, i) => ({
      text: s.text,
      node: el(
        "li",
        { id: `suggestion-${i}`, role: "option", "aria-selected": "false" },
        el("span", { class: "suggestion-text" }, s.text),
        " ",
        el("span", { class: "suggestion-kind" }, s.kind === "medicine" ? "medicine" : ""),
      ),
    }));
    this.list.replaceChildren(...this.items.map((i) => i.node));
    this.list.hidden = false;
    this.said.textContent = `${count(found.length, "suggestion")}, down arrow to choose`;
    this.mark();
  }

  close() {
    clearTimeout(this.timer);
    this.turn++;
    this.items = [];
    this.active = -1;
    this.list.hidden = true;
    this.list.replaceChildren();
    this.said.textContent = "";
    this.box.removeAttribute("aria-activedescendant");
  }

  mark() {
    this.items.forEach((i, at) => i.node.setAttribute("aria-selected", String(at === this.active)));
    if (this.active < 0) this.box.removeAttribute("aria-activedescendant");
    else this.box.setAttribute("aria-activedescendant", this.items[this.active].node.id);
  }

  choose(at) {
    const { text } = this.items[at];
    this.close();
    this.onChoose(`${text} `);
  }

  /** Takes a key of the box; true where it was meant for the list. */
  key(e) {
    if (!this.open) return false;
    const n = this.items.length;
    if (e.key === "ArrowDown") this.active = this.active + 1 >= n ? -1 : this.active + 1;
    else if (e.key === "ArrowUp") this.active = this.active < 0 ? n - 1 : this.active - 1;
    else if (e.key === "Enter" && this.active >= 0) return this.choose(this.active), true;
    else if (e.key === "Escape") return this.close(), true;
    else return false;
    this.mark();
    return true;
  }
}
