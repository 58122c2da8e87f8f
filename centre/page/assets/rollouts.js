// Rollouts, with their waves as they move.

import { act } from "./act.js";
import { byId, count, el } from "./dom.js";
import { num, when } from "./station/format.js";

const steps = {
  approve: ["Go on", "The next wave is let in, or, after the last, the rollout is done."],
  pause: ["Pause", "Nobody more is let in until it is resumed."],
  resume: ["Resume", "It goes on with the wave at which it stopped, which soaks anew. What has failed until now is forgiven."],
  abort: ["Abort", "Nobody more gets this bundle, ever, nor any that was held behind it."],
};
// Of each site that was let in, what became of it; by pattern and word as well as colour.
const kinds = [["confirmed", "confirmed", (f) => f.confirmed], ["busy", "at it", (f) => f.busy], ["failed", "failed", (f) => f.not_validated + f.rolled_back + f.refused], ["waiting", "waiting", (f) => f.waiting], ["other", "unsuited or forgiven", (f) => f.unsuited + f.forgiven]];
const ended = ["done", "aborted"];

export function show(_, { rollouts }, person, again) {
  const place = byId("rollouts");
  if (!rollouts.length) return place.replaceChildren(el("p", { class: "note" }, "Nothing is rolled out in waves yet. ", el("code", {}, "rxedge central publish --hold"), " and ", el("code", {}, "rxedge central rollout create"), " begin a rollout; what was published to all at once is not one."));
  const may = ["operator", "admin"].includes(person.role);
  const focused = document.activeElement?.dataset?.step;
  place.replaceChildren(...rollouts.map((r) => card(r, may, again)));
  if (focused) place.querySelector(`[data-step="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function card(r, may, again) {
  const name = `${r.channel}/${r.bundle}`, f = r.figures;
  const out = el("article", { class: `rollout ${r.state}`, "aria-label": `Rollout of ${name}` },
    el("h3", {}, name, " ", el("span", { class: `state ${r.state}` }, r.state)));
  if (r.plan && r.wave) out.append(waves(r));
  if (f && r.wave) {
    const bar = el("div", { class: "bar", "aria-hidden": "true" });
    const words = [];
    for (const [kind, text, of] of kinds) {
      const n = of(f) || 0;
      if (!n) continue;
      const i = el("i", { class: kind });
      i.style.flexGrow = n;
      bar.append(i);
      words.push(el("span", { class: "key-of" }, el("i", { class: kind, "aria-hidden": "true" }), `${num(n)} ${text}${kind === "busy" && f.silent ? ` (${num(f.silent)} silent)` : ""}`));
    }
    out.append(bar, el("p", { class: "figures" }, `${count(f.sites, "site")} let in: `, ...words.flatMap((w, i) => (i ? [" ", w] : [w]))));
    if (f.why) out.append(el("p", { class: "alarm act" }, f.why));
  }
  if (r.next) out.append(el("p", {}, el("strong", {}, "Next: "), r.next));
  out.append(el("p", { class: "note" }, `${r.state} since ${when(r.since)}, by ${r.by}${r.reason ? `: ${r.reason}` : ""}`,
    r.plan ? ` · soak ${r.plan.soak.replace(/(?<=[hm])0[ms].*$/, "")}, ${r.plan.confirmed} % confirmed, halts on ${(r.plan.abort_if ?? []).join(", ") || "nothing"}` : ""));
  if (may && r.steps.length) {
    out.append(el("p", { class: "buttons" }, r.steps.map((s) => {
      const b = el("button", { type: "button", "data-step": `${name}/${s}`, class: s === "abort" ? "danger" : null }, steps[s][0], el("span", { class: "unseen" }, ` ${name}`));
      b.addEventListener("click", () => act({ title: `${steps[s][0]}: ${name}`, what: steps[s][1], word: steps[s][0], path: `/v1/rollouts/${encodeURIComponent(r.channel)}/${r.bundle}/${s}`, rollback: s === "abort" && r.wave > 0 }, again));
      return b;
    })));
  }
  return out;
}

function waves(r) {
  return el("ol", { class: "waves", "aria-label": "Waves" }, r.plan.waves.map((share, i) => {
    const n = i + 1, is = r.state === "done" || n < r.wave ? "past" : n === r.wave ? (ended.includes(r.state) ? "past" : "now") : "later";
    const word = { past: "let in", now: r.settled ? "soaks" : "is let in", later: "waits" }[is];
    return el("li", { class: is, "aria-current": is === "now" ? "step" : null }, el("strong", {}, `${share} %`), el("span", {}, `wave ${n} ${word}`));
  }));
}
