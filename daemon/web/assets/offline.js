// The service on this machine may be away for a while: the page looks for it and
// says when it is back.

import { byId } from "./dom.js";

const every = 1500; // ms

export class Watch {
  /** onBack() is called when the service answers again. */
  constructor(onBack) {
    this.onBack = onBack;
    this.note = byId("offline");
    byId("offline-now").addEventListener("click", () => this.look());
  }

  get away() {
    return !this.note.hidden;
  }

  /** The service did not answer; kept says whether a question waits for it. */
  lost(kept) {
    byId("offline-kept").textContent = kept ? "Your question is kept, and asked again as soon as it is back." : "This page goes on as soon as it is back.";
    if (this.away) return;
    this.note.hidden = false;
    this.timer = setInterval(() => this.look(), every);
  }

  found() {
    this.note.hidden = true;
    clearInterval(this.timer);
  }

  async look() {
    try {
      const response = await fetch("/healthz", { cache: "no-store" });
      if (!response.ok || !this.away) return;
    } catch {
      return;
    }
    this.found();
    this.onBack();
  }
}
