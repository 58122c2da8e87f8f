// What a person says of an answer: one key for right or wrong, and if they like
// a reason and what should have been said. It stays on this machine.

import { problemOf } from "./ask.js";
import { byId } from "./dom.js";

const newId = () => {
  const b = crypto.getRandomValues(new Uint8Array(12));
  return "page-" + [...b].map((n) => n.toString(16).padStart(2, "0")).join("");
};

export class FeedbackView {
  /** onUnreachable() is called where the service does not answer. */
  constructor(onUnreachable) {
    this.root = byId("feedback");
    this.form = byId("feedback-form");
    this.entry = null;
    this.waiting = []; // items that the service has not taken yet
    this.onUnreachable = onUnreachable;
    byId("thumb-up").addEventListener("click", () => this.thumb("up"));
    byId("thumb-down").addEventListener("click", () => this.thumb("down"));
    byId("feedback-cancel").addEventListener("click", () => this.closeForm());
    this.form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.more();
    });
    this.form.addEventListener("keydown", (e) => {
      if (e.key !== "Escape") return;
      e.preventDefault();
      this.closeForm();
    });
  }

  /** Shows the question for an entry {answer, thumb}; null hides it. */
  show(entry) {
    this.entry = entry?.answer?.id ? entry : null;
    this.root.hidden = !this.entry;
    this.form.hidden = true;
    this.form.reset();
    this.say("");
    this.press();
  }

  get ready() {
    return !this.root.hidden;
  }

  press() {
    for (const which of ["up", "down"]) byId(`thumb-${which}`).setAttribute("aria-pressed", String(this.entry?.thumb === which));
  }

  say(text) {
    byId("feedback-said").textContent = text;
  }

  thumb(which) {
    if (!this.entry) return;
    const entry = this.entry;
    if (entry.thumb !== which) {
      entry.thumb = which;
      this.send({ thumb: which });
    }
    this.press();
    if (which === "down") {
      this.form.hidden = false;
      byId("feedback-reason").focus();
    } else {
      this.form.hidden = true;
    }
  }

  closeForm() {
    this.form.hidden = true;
    byId("thumb-down").focus();
  }

  more() {
    const reason = byId("feedback-reason").value;
    const correction = byId("feedback-correction").value.trim();
    if (!reason && !correction) {
      this.say("Choose a reason or write what should have been said.");
      byId("feedback-reason").focus();
      return;
    }
    this.send({ ...(reason && { reason }), ...(correction && { correction }) });
    this.form.reset();
    this.closeForm();
  }

  send(what) {
    this.waiting.push({ id: newId(), answer_id: this.entry.answer.id, ...what });
    return this.flush();
  }

  /** Sends what waits. The same id counts once, so a doubtful item is sent again. */
  flush() {
    this.sending = (this.sending ?? Promise.resolve()).then(() => this.drain());
    return this.sending;
  }

  async drain() {
    while (this.waiting.length) {
      let response;
      try {
        response = await fetch("/v1/feedback", {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(this.waiting[0]),
          cache: "no-store",
        });
      } catch {
        this.say("Kept here: it is sent when the service is back.");
        this.onUnreachable();
        return;
      }
      this.waiting.shift();
      if (response.ok) {
        this.say("Noted on this machine. Thank you.");
        continue;
      }
      let body = null;
      try {
        body = await response.json();
      } catch {
        // not JSON: the status has to do
      }
      this.say(`It was not taken. ${problemOf(body, response.status).message}`);
    }
  }
}
