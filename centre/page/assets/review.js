// Documents that wait for somebody: what changed in them, and what a check holds back.

import { act } from "./act.js";
import { get } from "./api.js";
import { byId, count, el } from "./dom.js";
import { pager, part } from "./pages.js";
import { num, percent, when, words } from "./station/format.js";
import { put, table } from "./station/tables.js";

const at = { review: 0, quarantine: 0 };
let data = null, person = null, redraw = null, drawn = "";

/** Reads what waits, and shows the view: anew only where that is another, as a table
 * drawn under a person's hand takes the press and the focus with it. */
export async function show(view, _, who, again) {
  person = who;
  redraw = again;
  try {
    data = await get("/v1/documents");
  } catch (err) {
    if (err.status !== 404) throw err;
    drawn = "";
    return byId(view).replaceChildren(el("p", { class: "note" }, "The centre has no library yet. ", el("code", {}, "rxedge central ingest FILES"), " fills it; what is found in it then waits here."));
  }
  const now = JSON.stringify([view, person, data]);
  if (now === drawn) return;
  drawn = now;
  (view === "review" ? review : quarantine)();
}

const may = () => ["reviewer", "operator", "admin"].includes(person.role);
const findings = (v) => (v.findings ?? []).map((f) => words(f.code)).join(", ");
const opener = (text, v) => {
  const b = el("button", { type: "button", class: "link" }, text);
  b.addEventListener("click", () => look(v));
  return b;
};

function lists(place, view, empty, caption, columns, rows, before) {
  const here = part(rows, at[view]);
  at[view] = here.at;
  const pages = el("div", { class: "pager" }), box = el("div", {});
  if (!rows.length) box.append(el("p", { class: "note" }, empty));
  else put(box, table(caption, columns, here.rows.map((r) => r())));
  place.replaceChildren(...before, box, pages);
  pager(pages, view, here, (n) => { at[view] = n; (view === "review" ? review : quarantine)(); });
}

function review() {
  const c = data.counts;
  lists(byId("review"), "review", `Nothing waits. ${num(c.approved ?? 0)} versions are approved, ${num(c.published ?? 0)} published.`,
    `${num(c.candidate ?? 0)} wait${data.candidates.length === data.most ? `; the first ${num(data.most)}` : ""}; ${num(c.approved ?? 0)} are approved, ${num(c.published ?? 0)} published`,
    ["Document", "Title", "Version", "Effective", "Came", "Run", "Checks said"],
    data.candidates.map((v) => () => [opener(v.id, v), v.title, v.version ?? "", v.effective ?? "", when(v.at), v.run, findings(v)]), []);
}

function quarantine() {
  const blocked = data.runs.filter((r) => r.alert);
  const alerts = blocked.map((r) => {
    const out = el("div", { class: `alarm ${r.blocked ? "act" : ""}` }, `Run ${r.id}: ${percent(r.share)} of it is held back (${num(r.quarantined)} by checks, ${num(r.refused)} unread)${r.blocked ? "; nothing of it is published until a person approves the run." : `; approved by ${r.approval?.who ?? "a person"}.`} `);
    if (r.blocked && may()) {
      const b = el("button", { type: "button" }, "Approve the run");
      b.addEventListener("click", () => act({ title: `Approve run ${r.id}`, what: "What of it is approved may be published, in spite of the alert.", word: "Approve", path: `/v1/runs/${encodeURIComponent(r.id)}/approve` }, redraw));
      out.append(b);
    }
    return out;
  });
  lists(byId("quarantine"), "quarantine", "Nothing is held back.", `${count(data.quarantine.length, "entry", "entries")}${data.quarantine.length >= data.most ? ", the first of more" : ""}`,
    ["What", "Why", "What mends it", "Came", "Run", ""],
    data.quarantine.map((h) => () => {
      if (h.version) {
        const f = h.version.findings?.find((x) => x.severity === "quarantine") ?? h.version.findings?.[0] ?? {};
        return [opener(h.version.id, h.version), `${words(f.code ?? "")}: ${f.reason ?? ""}`, f.fix ?? "", when(h.version.at), h.version.run, ""];
      }
      const p = h.refused.problem, name = `${h.refused.source.name}${h.refused.source.place ? `, ${h.refused.source.place}` : ""}`;
      let discard = "";
      if (may()) {
        discard = el("button", { type: "button" }, "Discard", el("span", { class: "unseen" }, ` ${name}`));
        discard.addEventListener("click", () => act({ title: `Discard ${name}`, what: "It goes out of quarantine; the file itself stays where it is.", word: "Discard", path: `/v1/refused/${h.refused.key}/discard` }, redraw));
      }
      return [name, `${p.reason}${p.line ? ` (line ${p.line})` : ""}`, p.fix ?? "", when(h.refused.at), h.refused.run, discard];
    }), alerts);
}

function difference(c) {
  return el("div", { class: "change" }, el("p", { class: "note" }, c.title || "", c.class ? ` · ${c.class}` : "", ...(c.doses ?? []).map((d) => el("strong", {}, ` ${d.before || "none"} → ${d.after || "none"}${d.ratio ? ` (×${num(d.ratio)})` : ""}`))),
    c.before ? el("p", {}, el("del", {}, c.before)) : null, c.after ? el("p", {}, el("ins", {}, c.after)) : null);
}

const meanings = {
  dose_changed: "A dose, a limit or a frequency is another", boxed_warning: "Boxed warning", indication: "Indication", contraindication: "Contraindication", section_gone: "A section that people act on is gone", section_new: "A new section that people act on",
  dosage_text: "The dosage says something else", warning_text: "Warning", interaction_text: "Interaction", population_text: "Children, the old, pregnancy or breast-feeding", overdosage_text: "Overdosage", text: "The text is another", answer_changed: "A golden question is answered otherwise",
  was_in_quarantine: "A check had held it back, and a person released it", many_changes: "More changed than is listed",
};

async function look(v) {
  const body = byId("version-body");
  byId("version-title").textContent = v.title || v.id;
  body.replaceChildren(el("p", { class: "note" }, "Reading …"));
  if (!byId("version").open) byId("version").showModal();
  byId("version-title").focus();
  try {
    const d = await get(`/v1/version?id=${encodeURIComponent(v.id)}&hash=${v.hash}`), r = d.report, is = d.version;
    const parts = [el("p", { class: "note" }, `${is.id} · version ${is.version || "not stated"} · effective ${is.effective || "not stated"} · ${is.state} · from ${d.sources[0]?.name ?? "an unknown file"} · `, el("code", {}, is.hash.slice(0, 12)), r.first ? " · there is none before it" : ` · beside ${(r.against ?? "").slice(0, 12)}, which is approved`)];
    for (const f of r.findings) parts.push(el("div", { class: `alarm ${f.severity === "quarantine" ? "act" : ""}` }, el("strong", {}, words(f.code)), `: ${f.reason} ${f.fix}`, f.before || f.after ? difference(f) : null));
    const reasons = r.reasons.filter((x) => is.state !== "quarantined" || x.code !== "was_in_quarantine"); // nobody has released it yet
    if (reasons.length) parts.push(el("h3", {}, "What matters"), ...reasons.slice(0, 200).map((x) => el("div", {}, el("h4", {}, meanings[x.code] ?? words(x.code)), x.before || x.after ? difference(x) : null)));
    const all = r.comparison?.changes ?? [];
    if (all.length) parts.push(el("details", {}, el("summary", {}, `All that changed: ${count(all.length, "sentence")}`), ...all.slice(0, 500).map(difference)));
    else if (!r.first && !reasons.length) parts.push(el("p", { class: "note" }, "Nothing that matters changed."));
    if (d.decisions.length) parts.push(el("h3", {}, "Decided"), el("ul", {}, d.decisions.map((x) => el("li", {}, `${x.what} by ${x.who} on ${when(x.at)}${x.why ? `: ${x.why}` : ""}${x.record ? ` (${x.record})` : ""}`))));
    const steps = { candidate: [["approve", "Approve"], ["reject", "Reject"]], quarantined: [["release", "Release to review"], ["discard", "Discard"]] }[is.state] ?? [];
    if (may() && steps.length) parts.push(el("p", { class: "buttons" }, steps.map(([what, word]) => {
      const b = el("button", { type: "button", "data-decide": what, class: what === "reject" || what === "discard" ? "danger" : null }, word);
      b.addEventListener("click", () => act({ title: `${word}: ${is.title || is.id}`, what: `This version, ${is.hash.slice(0, 12)}, as you have seen it.`, word, path: `/v1/versions/${what}`, with: { id: is.id, hash: is.hash, against: r.against } }, () => { byId("version").close(); redraw(); }));
      return b;
    })));
    body.replaceChildren(...parts);
  } catch (err) {
    body.replaceChildren(el("p", { class: "refused" }, err.message));
  }
}

byId("version-close").addEventListener("click", () => byId("version").close());
byId("version").addEventListener("click", (e) => { if (e.target === byId("version")) byId("version").close(); });
