// One answer on the page: as it comes in, when it is whole, and when it fails.

import { sentence } from "./ask.js";
import { byId, count, day, el } from "./dom.js";
import { hashOf } from "./link.js";
import { answerMarks, claimMarks } from "./marks.js";

const heading = {
  no_evidence: "Not in my documents",
  unverified: "Not in my documents",
  unsafe: "Not answered",
  conflicting: "The labels disagree",
  stale: "Only old labels",
};

const noMessage = "No document on this machine answers this question.";

/** The citations of some claims, each once, in order of first use. */
function sourcesOf(claims) {
  const sources = new Map();
  for (const claim of claims) {
    for (const c of claim.citations ?? []) {
      const key = hashOf(c);
      if (!sources.has(key)) sources.set(key, { number: sources.size + 1, citation: c });
    }
  }
  return sources;
}

/** Where in the source the cited words stand, where it has pages or the like. */
const placeOf = (c) => [c.page ? `page ${c.page}` : "", c.element ?? ""].filter(Boolean).join(", ");
const dated = (c) => (c.effective_date ? `effective ${day(c.effective_date)}` : "no effective date");

/** The view of the answer section. It shows one entry at a time. */
export class AnswerView {
  constructor() {
    this.root = byId("answer");
    this.claims = [];
  }

  begin(question) {
    this.claims = [];
    this.root.hidden = false;
    this.root.setAttribute("aria-busy", "true");
    byId("asked").textContent = question;
    byId("actions").hidden = true;
    byId("facts").hidden = true;
    byId("copied").textContent = "";
    byId("glance").hidden = true;
    for (const id of ["glance", "notices", "claims", "outcome", "conflicts", "looked"]) byId(id).replaceChildren();
    this.status("Searching the documents…", true);
  }

  status(text, working = false) {
    const s = byId("status");
    s.textContent = text;
    s.classList.toggle("working", working);
  }

  retrieved(list) {
    const documents = new Set(list.map((r) => r.set_id)).size;
    if (list.length) {
      this.status(`Reading ${count(list.length, "passage")} in ${count(documents, "document")}…`, true);
    }
  }

  claim(claim) {
    this.claims.push(claim);
    byId("claims").append(this.claimItem(claim));
  }

  withheld() {
    this.status("Checking what was written against the documents…", true);
  }

  /** Shows a whole Answer; what has already been shown of it stays in place. */
  done(answer) {
    this.root.removeAttribute("aria-busy");
    const claims = answer.claims ?? [];
    if (JSON.stringify(claims) !== JSON.stringify(this.claims)) {
      this.claims = claims;
      byId("claims").replaceChildren();
      this.claims = [];
      for (const c of claims) this.claim(c);
    }
    const glance = answerMarks(answer);
    byId("glance").replaceChildren(...glance);
    byId("glance").hidden = glance.length === 0;
    byId("conflicts").replaceChildren(...(answer.conflicts ?? []).map((c) => this.conflict(c)));

    // On an answered question the message says that a name was read as another:
    // the first thing to see.
    const read = answer.status !== "abstained" && answer.message ? [answer.message] : [];
    byId("notices").replaceChildren(
      ...followed(answer),
      ...read.map((m) => el("p", { class: "notice correction" }, m)),
      ...(answer.notices ?? []).map((n) => el("p", { class: "notice" }, n)),
      ...(answer.fallback ? [el("p", { class: "fallback" }, sentence(answer.fallback))] : []),
    );

    const abstained = answer.status === "abstained";
    if (abstained) {
      byId("outcome").replaceChildren(
        el(
          "div",
          { class: "abstained" },
          el("h3", {}, heading[answer.reason] ?? "Not in my documents"),
          el("p", {}, answer.message || noMessage),
        ),
      );
      this.status("");
    } else {
      const sections = new Set(claims.flatMap((c) => c.citations ?? []).map((c) => c.section_id)).size;
      this.status(`${count(claims.length, "sentence")} from ${count(sections, "section")}.`);
      byId("outcome").replaceChildren(
        ...(answer.withheld
          ? [
              el(
                "p",
                { class: "withheld" },
                answer.withheld === 1
                  ? "One sentence that the model wrote was left out, because no passage supports it."
                  : `${answer.withheld} sentences that the model wrote were left out, because no passage supports them.`,
              ),
            ]
          : []),
      );
    }
    this.looked(answer.retrieved ?? [], abstained);
    this.facts(answer);
    byId("actions").hidden = false;
    byId("copy").hidden = abstained;
  }

  /** Shows a Problem, with a way to ask again. */
  fail(problem, retry) {
    this.root.removeAttribute("aria-busy");
    this.status("");
    byId("claims").classList.toggle("incomplete", this.claims.length > 0);
    const again = el("button", { type: "button", class: "retry" }, "Try again");
    again.addEventListener("click", retry);
    byId("outcome").replaceChildren(
      el(
        "div",
        { class: "failed", role: "alert" },
        el("h3", {}, problem.message),
        el("p", {}, problem.todo),
        el("p", { class: "failed-foot" }, again, problem.code ? el("span", { class: "code" }, problem.code) : null),
      ),
    );
  }

  stopped(retry) {
    this.root.removeAttribute("aria-busy");
    const again = el("button", { type: "button", class: "retry" }, "Ask again");
    again.addEventListener("click", retry);
    this.status(this.claims.length ? "Stopped. What is shown is not the whole answer." : "Stopped.");
    byId("outcome").replaceChildren(el("p", {}, again));
  }

  claimItem(claim) {
    const sources = sourcesOf(this.claims);
    const cites = claim.citations ?? [];
    return el(
      "li",
      { class: "claim" },
      claimMarks(claim),
      el("p", { class: "claim-text" }, claim.text),
      cites.length
        ? el(
            "ul",
            { class: "cites", "aria-label": "Sources of this sentence" },
            cites.map((c) =>
              el(
                "li",
                {},
                this.chip(sources.get(hashOf(c)).number, c),
                c.quote && c.quote !== claim.text ? el("q", { class: "quote" }, c.quote) : null,
              ),
            ),
          )
        : null,
    );
  }

  chip(number, c) {
    const link = el(
      "a",
      { class: "chip", href: hashOf(c) },
      el("span", { class: "chip-number" }, String(number)),
      el(
        "span",
        { class: "chip-text" },
        el("span", { class: "chip-title" }, c.document_title || c.set_id),
        " ",
        el("span", { class: "chip-section" }, [c.section_title || c.section_id, placeOf(c)].filter(Boolean).join(", ")),
        " ",
        el("time", { class: "chip-date", datetime: c.effective_date || false }, dated(c)),
      ),
    );
    link.citation = c;
    return link;
  }

  /** What labels say that differs, side by side. */
  conflict({ about, sides = [] }) {
    return el(
      "section",
      { class: "conflict" },
      el("h3", {}, about ? `Labels disagree: ${about}` : "Labels disagree"),
      el(
        "ul",
        { class: "sides" },
        sides.map((side) => {
          const c = side.citation ?? {};
          return el(
            "li",
            { class: "side" },
            side.values?.length ? el("p", { class: "side-values" }, side.values.join(", ")) : null,
            el("p", {}, side.text),
            el(
              "a",
              { class: "side-source", href: hashOf(c) },
              [c.document_title || c.set_id, c.section_title || c.section_id, placeOf(c), dated(c)].filter(Boolean).join(" · "),
            ),
          );
        }),
      ),
    );
  }

  /** The passages that were looked at, by section, best first. */
  looked(list, open) {
    const sections = new Map();
    for (const r of list) if (!sections.has(r.section_id)) sections.set(r.section_id, r);
    if (!sections.size) {
      byId("looked").replaceChildren();
      return;
    }
    const summary = `Sections that were looked at (${sections.size})`;
    byId("looked").replaceChildren(
      el(
        "details",
        { open },
        el("summary", {}, summary),
        el(
          "ol",
          {},
          [...sections.values()].map((r) =>
            el(
              "li",
              {},
              el(
                "a",
                { href: hashOf(r) },
                el("span", { class: "looked-title" }, r.document_title || r.set_id),
                " ",
                el("span", { class: "looked-section" }, r.section_title || r.section_id),
              ),
            ),
          ),
        ),
      ),
    );
  }

  facts(answer) {
    const t = answer.timings_ms ?? {};
    const ms = (v) => `${v < 10 ? Math.round(v * 10) / 10 : Math.round(v)} ms`;
    const stages = [
      ["waiting", t.queue],
      ["embedding", t.embed],
      ["search", t.retrieve],
      ["reranking", t.rerank],
      ["writing", t.generate],
      ["checking", t.verify],
    ].filter(([, v]) => v >= 0.05);
    const facts = [
      how(answer),
      answer.model && `model ${answer.model}`,
      answer.generation && `index ${answer.generation}`,
      t.total != null && ms(t.total) + (stages.length ? ` (${stages.map(([n, v]) => `${n} ${ms(v)}`).join(", ")})` : ""),
    ];
    byId("facts").hidden = false;
    byId("facts").replaceChildren(...facts.filter(Boolean).map((f) => el("span", {}, f)));
  }
}

/** What was taken over from an earlier question. */
function followed({ explain }) {
  const names = explain?.previous?.medicines ?? [];
  return names.length ? [el("p", { class: "followed" }, `Understood as still about ${names.join(" and ")}.`)] : [];
}

function how({ status, mode }) {
  if (status === "abstained") return `${mode} mode`;
  return mode === "generated" ? "Written by a model, each sentence checked against its passage" : "Sentences of the documents, word for word";
}

/** An answer as plain text, for another system's notes. */
export function plainText(answer) {
  const sources = sourcesOf(answer.claims ?? []);
  const lines = [answer.question, ""];
  if (answer.status !== "abstained" && answer.message) lines.push(answer.message, "");
  for (const n of answer.notices ?? []) lines.push(`${n}.`.replace(/\.\.$/, "."), "");
  if (answer.fallback) lines.push(`Note: ${answer.fallback}.`, "");
  if (answer.stale) lines.push("Note: the label is old.", "");
  for (const claim of answer.claims ?? []) {
    const numbers = (claim.citations ?? []).map((c) => `[${sources.get(hashOf(c)).number}]`);
    const doubt = claim.support === "partly" ? " (partly borne out)" : claim.support === "unverified" ? " (not checked)" : "";
    lines.push([claim.text, ...numbers].join(" ") + doubt);
  }
  for (const { about, sides = [] } of answer.conflicts ?? []) {
    lines.push("", about ? `Labels disagree: ${about}` : "Labels disagree");
    for (const { text, citation: c = {} } of sides) lines.push(`- ${text} (${[c.document_title, c.section_title, placeOf(c), dated(c)].filter(Boolean).join("; ")})`);
  }
  lines.push("", "Sources");
  for (const { number, citation: c } of sources.values()) {
    const version = c.version ? `version ${c.version}` : "";
    lines.push(
      `[${number}] ${[c.document_title, c.section_title, placeOf(c), version, dated(c), `set id ${c.set_id}`].filter(Boolean).join("; ")}`,
      `    “${c.quote}”`,
    );
  }
  if (answer.withheld) lines.push("", `${count(answer.withheld, "sentence")} left out: not supported by a passage.`);
  lines.push("", `rxedge, ${answer.mode}${answer.model ? `, model ${answer.model}` : ""}, index ${answer.generation}`);
  return lines.join("\n") + "\n";
}
