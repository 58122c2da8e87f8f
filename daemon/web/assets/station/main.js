// The technician's page: reads /v1/station again and again, and shows it.

import { byId, el } from "../dom.js";
import * as charts from "./charts.js";
import { bytes, figure, ms, none, num, p, percent, time, when, words } from "./format.js";
import { describe, put, table } from "./tables.js";

const every = 10_000, slowest = 120_000; // milliseconds between readings
let state = null, wait = every, timer = 0, paused = false, lost = null, said = "";
let model = null, feature = null; // chosen

const nameOf = (m) => m || "sentences of the documents";

/** What a screen reader hears: only what has changed. */
function say(text) {
  if (text === said) return;
  said = text;
  byId("said").textContent = text;
}

async function read() {
  clearTimeout(timer);
  try {
    const res = await fetch("/v1/station", { cache: "no-store", headers: { Accept: "application/json" } });
    if (!res.ok) throw new Error(String(res.status));
    state = await res.json();
    wait = every;
    lost = null;
    byId("offline").hidden = true;
    show();
  } catch {
    lost ??= new Date();
    wait = Math.min(slowest, wait * 2);
    byId("offline-since").textContent = `Since ${time(lost)}; what is shown is older. It is tried again in ${wait / 1000} seconds.`;
    byId("offline").hidden = false;
  }
  plan();
}

function plan() {
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(read, wait);
}

function show() {
  const s = state;
  byId("updated").textContent = `As of ${time(s.at)}${paused ? ", paused." : "."}`;
  health(s);
  cards(s);
  disk(s.disk);
  day(s.day);
  hours(s.hours);
  drift(s.models);
  fairness(s.fairness);
  rollouts(s);
  const alarms = s.models.reduce((n, m) => n + m.alarms.length, 0);
  say(`${s.health.ready ? "Questions are answered" : "Questions are not answered"}, ${(s.health.conditions ?? []).filter((c) => c.severity !== "notice").length} conditions, ${alarms} alarms.`);
}

// What is wrong, and below it what mends it; a consequence names its cause instead.
function condition(c) {
  const mend = c.because ? `Because of ${c.because}.` : c.severity === "notice" ? "" : `Mend: ${c.fix}.`;
  return el("li", { class: c.severity }, el("strong", {}, c.title + ". "), c.detail, mend ? el("p", { class: "mend" }, mend) : "");
}

function health(s) {
  const h = s.health, word = byId("health-word");
  const notes = (h.conditions ?? []).filter((c) => c.severity !== "notice"), moved = s.models.some((m) => m.alarms.length);
  word.textContent = !h.ready ? "Questions are not answered." : notes.length ? "Questions are answered, with limits:" :
    "Questions are answered." + (moved ? " What is asked or answered has changed: see Drift." : " Nothing is wrong.");
  word.className = "word " + (h.ready ? "good" : "bad");
  byId("degraded").replaceChildren(...(h.conditions ?? []).map(condition));
  const of = (m) => `${m.name}, ${m.phase}`;
  describe(byId("health"), [
    ["Version", h.version],
    ["Running since", when(h.started)],
    ["Index", `${h.generation || none}, ${num(h.documents)} documents, ${num(h.passages)} passages`],
    ["Search", h.dense ? "by words and by meaning" : "by words alone"],
    ["Model", h.generator ? of(h.generator) : "none; " + nameOf("")],
    ["Embedder", h.embedder ? of(h.embedder) : "none"],
    h.profile ? ["Profile", h.profile] : null,
    h.step ? ["Ladder", h.step] : null,
    s.full_precision?.model ? ["Full precision", `${percent(s.full_precision.share)} of the questions again of ${s.full_precision.model}${s.full_precision.off ? "; not now: " + s.full_precision.off : ""}`] : null,
    s.serving ? ["Serves", `${s.serving.pair || s.serving.generation}${s.serving.slot ? ", " + s.serving.slot : ""}`] : null,
    ["Disk", `${bytes(s.disk.free_bytes)} free` + (s.disk.size_bytes ? ` of ${bytes(s.disk.size_bytes)}` : "") + (s.disk.floor_bytes ? `, ${bytes(s.disk.floor_bytes)} to stay free` : "")],
    ["Centre", s.link ? `${s.link.site}: ${s.link.connected ? "connected" : s.link.code || "not connected"}, ${num(s.link.waiting)} reports wait` : "not enrolled"],
  ]);
}

function disk(d) {
  const kinds = (d.kinds ?? []).filter((k) => k.bytes > 0);
  if (!kinds.length) return put(byId("disk"), el("p", { class: "note" }, "What lies there is not measured yet."));
  put(byId("disk"), table(`What rxedge takes of the disk: ${bytes(d.used_bytes)}`, ["Kind", "Takes>", "May take>", "State"], kinds.map((k) => {
    const part = k.budget_bytes ? k.bytes / k.budget_bytes : 0;
    return { mark: part > 1 ? "act" : part >= 0.9 ? "investigate" : null,
      cells: [k.kind, bytes(k.bytes), k.budget_bytes ? bytes(k.budget_bytes) : none, part > 1 ? (["index", "models", "bundles"].includes(k.kind) ? "over: what is new is refused" : "over") : part >= 0.9 ? "nearly all" : "well"] };
  })));
}

function cards(s) {
  const place = byId("cards");
  if (!s.cards.length) return put(place, el("p", { class: "note" }, s.cards_fault || "No NVIDIA card is watched on this machine."));
  put(place, s.cards_fault ? el("p", { class: "note" }, s.cards_fault) : null,
    table("Cards, read every 5 seconds", ["Card", "Memory>", "Temperature>", "Power>", "Busy>", "State"], s.cards.map((c) => ({
      mark: c.fault ? "act" : c.throttled ? "investigate" : null,
      cells: [`${c.index} ${c.name}`, c.memory_total_bytes ? `${bytes(c.memory_used_bytes)} of ${bytes(c.memory_total_bytes)}` : none,
        c.temperature_c == null ? none : `${c.temperature_c} °C`, c.power_w == null ? none : `${num(c.power_w)} W`, c.busy_percent == null ? none : `${c.busy_percent} %`,
        c.fault || (c.throttled ? "held back" : "well")],
    }))));
}

function day(d) {
  describe(byId("day"), [["Questions", num(d.questions)], ["Different, about", num(d.distinct)], ["Abstained", percent(d.abstained)], ["Failed", percent(d.failed)],
    ["Grounded", percent(d.grounded)], ["Doubted", percent(d.flagged)], ["Approved", percent(d.approved)], ["Half within", ms(d.p50_ms)], ["95 % within", ms(d.p95_ms)], ["99 % within", ms(d.p99_ms)]]);
}

function hours(hs) {
  const any = hs.some((h) => h.questions > 0);
  byId("hours-none").hidden = any;
  byId("hours-charts").hidden = byId("hours-numbers").hidden = !any;
  if (!any) return;
  charts.questions(byId("chart-questions"), hs);
  charts.latency(byId("chart-latency"), hs);
  charts.grounded(byId("chart-grounded"), hs);
  put(byId("hours"), table("The last 48 hours, the latest first", ["Hour", "Questions>", "Abstained>", "Grounded>", "Half within>", "95 % within>"],
    hs.toReversed().map((h) => [when(h.from), num(h.questions), num(h.abstained), percent(h.grounded), ms(h.p50_ms), ms(h.p95_ms)])));
}

/** Fills a list to choose from, and leaves what was chosen. */
function choices(select, values, text, chosen) {
  const have = [...select.options].map((o) => o.value).join("\n");
  if (have !== values.join("\n")) select.replaceChildren(...values.map((v) => el("option", { value: v }, text(v))));
  select.value = values.includes(chosen) ? chosen : values[0];
  return select.value;
}

const checks = { agreed: "Agree", same_status: "Both answer, or neither", same_numbers: "Same numbers", same_sections: "Same section", same_tokens: "Same words" };

function agreement(g) {
  if (!g) return put(byId("agreement"));
  put(byId("agreement"), table("Asked again of the same model at full precision, last 7 days. The answers agree where both abstain, or each sentence is borne out by the other, with its numbers.", ["The two answers", "Pairs>", "Share>"],
    Object.entries(checks).filter(([k]) => g.checks[k]).map(([k, text]) => [text, num(g.checks[k].n), percent(g.checks[k].share)])));
}

function drift(models) {
  byId("model-row").hidden = models.length < 2;
  const place = byId("alarms"), none_ = (text) => {
    put(place, el("p", { class: "note" }, text));
    byId("distribution").hidden = true;
    put(byId("features"));
  };
  agreement(null);
  if (!models.length) return none_("Nothing was asked yet.");
  model = choices(byId("model"), models.map((m) => m.model), nameOf, model);
  const m = models.find((x) => x.model === model);
  agreement(m.agreement);
  const list = el("ul", {}, m.alarms.map((a) => el("li", { class: `alarm ${a.level}` }, el("strong", {}, `${words(a.kind)}, ${a.level}: `), a.text,
    ` (since ${when(a.since)}, ${num(a.n)} questions, p ${p(a.p)})`)));
  if (m.learning) {
    none_("It is still learned what is usual: a week of days with 100 questions or more.");
    if (m.alarms.length) place.append(list); // golden questions and streams need no baseline
    return;
  }
  put(place, m.alarms.length ? list : el("p", { class: "note" }, `No alarms. The baseline is of the week from ${when(m.baseline_from)}.`));
  const fs = m.features ?? [];
  byId("distribution").hidden = !fs.length;
  if (!fs.length) return put(byId("features"), el("p", { class: "note" }, "Nothing was asked in the last 24 hours."));
  put(byId("features"), table("Features, what moved most first", ["Feature", "Kind", "PSI>", "p>", "Verdict", "Baseline>", "Now>"], fs.map((f) => ({
    mark: f.verdict, cells: [words(f.name), words(f.kind), figure(f.psi), p(f.p), f.verdict, num(f.baseline), num(f.current)] }))));
  feature = choices(byId("feature"), fs.map((f) => f.name), words, feature);
  distribution(fs.find((f) => f.name === feature));
}

function distribution(f) {
  byId("feature-word").textContent = `PSI ${figure(f.psi)}, ${f.verdict}`;
  charts.distribution(byId("chart-feature"), f);
  put(byId("bins"), table(`Distribution of ${words(f.name)}`, ["Bin", "Baseline>", "of it>", "Now>", "of it>", "Part of the PSI>"],
    f.bins.map((b) => [charts.bin(b), num(b.baseline), percent(b.baseline / Math.max(1, f.baseline)), num(b.current), percent(b.current / Math.max(1, f.current)), figure(b.psi)])));
}

const figures = {
  demographic_parity_difference: "Demographic parity difference", equal_opportunity_difference: "Equal opportunity difference",
  equalized_odds_difference: "Equalized odds difference", fpr_difference: "False positive rate difference", disparate_impact_ratio: "Disparate impact ratio",
};

function fairness(f) {
  const gs = f.cohorts;
  byId("cohorts-figure").hidden = !gs.length;
  const hidden = f.hidden ? ` ${f.hidden} more have too few questions to be shown.` : "";
  if (!gs.length) put(byId("cohorts"), el("p", { class: "note" }, "No cohort was named in the last 24 hours." + hidden));
  else {
    put(byId("cohorts"), table("Refused in the last 24 hours." + hidden, ["Cohort", "Questions>", "Refused>", "95 % interval>", "Judged>"],
      gs.map((g) => [g.cohort, num(g.n), percent(g.refused), `${percent(g.low)} – ${percent(g.high)}`, num(g.judged)])));
    charts.cohorts(byId("chart-cohorts"), gs);
  }
  const r = f.report;
  if (!r) return put(byId("report"), el("p", { class: "note" }, "Rates of right and wrong refusals need answers of two cohorts that somebody judged."));
  put(byId("report"), table("Differences between cohorts, of the answers that somebody judged", ["Figure", "Value>", "95 % interval>", "Verdict"], Object.entries(figures).map(([k, text]) => {
    const v = r[k], i = r.intervals?.[k], found = r.findings.find((x) => x.figure === k);
    return { mark: found ? (found.level === "critical" ? "act" : "investigate") : null,
      cells: [text, figure(v), i ? `${figure(i.low)} – ${figure(i.high)}` : none, v == null ? "undefined: not passed" : found ? `${found.level}: beyond ${found.limit}, ${found.lowest} and ${found.most}` : "within its limit"] };
  })));
}

function rollouts(s) {
  if (!s.rollouts.length) return put(byId("rollouts"), el("p", { class: "note" }, "Nothing was rolled out yet."));
  put(byId("rollouts"), table("The journal, the latest first", ["When", "What", "Pair", "Index", "Model", "Check that failed"],
    s.rollouts.map((r) => ({ mark: r.op === "rollback" ? "investigate" : null, cells: [when(r.at), words(r.op), r.bundle ? `bundle ${r.bundle}` : r.pair || none, r.generation || none, r.model || none, r.check || none] }))));
}

byId("model").addEventListener("change", (e) => { model = e.target.value; feature = null; drift(state.models); });
byId("feature").addEventListener("change", (e) => { feature = e.target.value; drift(state.models); });
byId("retry").addEventListener("click", () => { wait = every; read(); });
byId("pause").addEventListener("click", (e) => {
  paused = !paused;
  e.target.setAttribute("aria-pressed", String(paused));
  if (state) byId("updated").textContent = `As of ${time(state.at)}${paused ? ", paused." : "."}`;
  if (paused) clearTimeout(timer);
  else read();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) read(); });
read();
