// What has changed, by site and feature.

import { byId, count, el } from "./dom.js";
import { heat, key, peers } from "./heat.js";
import { choices } from "./pages.js";
import { details } from "./sites.js";
import { figure, none, num, percent, words } from "./station/format.js";

const tones = [["s0", "below 0.05"], ["s1", "to 0.1"], ["s2", "to 0.2"], ["s3", "0.2: look into it"], ["s4", "0.3: act"], ["none", "too few, or not told"]];
const tone = (psi, verdict) => (psi == null || verdict === "n" ? "none" : psi < 0.05 ? "s0" : psi < 0.1 ? "s1" : psi < 0.2 ? "s2" : psi < 0.3 ? "s3" : "s4");
const verdicts = { o: "stable", i: "look into it", a: "act", n: "too few to say" };
const nameOf = (m) => m || "sentences of the documents";
let model = "", which = "", at = {}, data = null, sortBy = "";

export function show(_, d) {
  data = d;
  const place = byId("drift");
  if (!d.models.length) {
    byId("drift-note").textContent = "";
    return place.replaceChildren(el("p", { class: "note" }, "No site has sent a day yet. A box sends each day's numbers once the day is over, in UTC; a week of days is what later ones are compared with."));
  }
  byId("drift-note").textContent = `${num(d.scope.questions)} questions of ${count(d.scope.sites, "site")} from ${d.scope.from} to ${d.scope.to}, each site beside its own first week. The number is the population stability index (PSI).`;
  if (!place.querySelector("#drift-model")) {
    place.replaceChildren(
      el("div", { class: "filters" }, el("label", {}, "Answers by ", el("select", { id: "drift-model" })), el("label", {}, "Sites ", el("select", { id: "drift-which" })), el("label", {}, "In order of ", el("select", { id: "drift-sort" }))),
      el("div", { id: "drift-alarms" }), key(tones), el("div", { class: "split heat-split" }, el("div", { id: "drift-heat" }), el("div", { id: "drift-cell", class: "cell-says", "aria-live": "polite" })), el("div", { id: "drift-out" }));
    byId("drift-model").addEventListener("change", (e) => { model = e.target.value; at = {}; draw(); });
    byId("drift-which").addEventListener("change", (e) => { which = e.target.value; at = {}; draw(); });
    byId("drift-sort").addEventListener("change", (e) => { sortBy = e.target.value; at = {}; draw(); });
  }
  draw();
}

function draw() {
  const select = byId("drift-model");
  choices(select, data.models.slice(1).map((m) => [m.model, `${nameOf(m.model)} (${num(m.questions)})`]), `${nameOf(data.models[0].model)} (${num(data.models[0].questions)})`);
  const m = data.models.find((x, i) => i && x.model === model) ?? data.models[0];
  const out = new Map(m.standing_out.map((o) => [`${o.site}/${o.feature}`, o]));
  const outSites = new Set(m.standing_out.map((o) => o.site));
  choices(byId("drift-which"), [["out", `that stand out (${outSites.size})`], ["alarm", `with alarms (${m.rows.filter((r) => r.alarms).length})`]], `all (${m.rows.length})`);
  choices(byId("drift-sort"), [["site", "their names"], ...m.features.map((f) => [f, words(f)])], "what moved most");
  const most = (r) => Math.max(-1, ...r.psi.map((v, i) => (v == null || r.verdicts[i] === "n" ? -1 : v)));
  const col = m.features.indexOf(sortBy);
  const value = sortBy === "site" ? () => 0 : col < 0 ? most : (r) => r.psi[col] ?? -1;
  const rows = m.rows.filter((r) => !which || (which === "out" ? outSites.has(r.site) : r.alarms)).sort((a, b) => value(b) - value(a) || a.site.localeCompare(b.site, "en", { numeric: true }));
  byId("drift-alarms").replaceChildren(...(m.alarms.length ? [el("ul", {}, m.alarms.map((a) => el("li", { class: `alarm ${a.level}` }, `Over the fleet, ${a.level}: ${a.text}`)))] : []),
    ...(m.baseline ? [] : [el("p", { class: "note" }, "The fleet has no first week to compare with yet; the sites' own are compared where there are any.")]));
  heat(byId("drift-heat"), {
    caption: "Drift by site and feature", columns: m.features.map(words),
    rows: rows.map((r) => ({ site: r.site, row: r, mark: r.alarms ? "investigate" : "", cells: r.psi.map((v, i) => {
      const o = out.get(`${r.site}/${m.features[i]}`);
      return { text: v == null ? (r.learning ? "…" : none) : v.toFixed(2), tone: tone(v, r.verdicts[i]), mark: o, says: `${r.site}, ${words(m.features[i])}: ${v == null ? "not known" : `PSI ${v.toFixed(2)}, ${verdicts[r.verdicts[i]]}`}${o ? ", stands out from its peers" : ""}` };
    }) })),
  }, at, (row, j) => says(m, row.row, j, out), details);
  if (rows.length) says(m, rows[(at.page ?? 0) * 50 + (at.row ?? 0)] ?? rows[0], at.column ?? 0, out);
  standingOut(byId("drift-out"), m.standing_out, m.compared, m.left_out);
}

function says(m, r, j, out) {
  const f = m.features[j], v = r.psi[j], o = out.get(`${r.site}/${f}`);
  byId("drift-cell").replaceChildren(el("h3", {}, `${r.site}, ${words(f)}`),
    el("p", {}, v == null ? (r.learning ? "It is still learned what is usual at this site: a week of days." : "The site has told nothing of this.") : `PSI ${figure(v)} beside its own first week: ${verdicts[r.verdicts[j]]}. ${num(r.questions)} questions.`),
    ...(o ? [el("p", { class: "alarm" }, o.text), peers(o, m.compared)] : [el("p", { class: "note" }, m.compared.includes(r.site) ? `Not unlike the other ${m.compared.length - 1} sites that were compared.` : "It was not compared with others: too few questions, or too few sites.")]),
    open(r.site));
}

function open(site) {
  const b = el("button", { type: "button" }, `All of ${site}`);
  b.addEventListener("click", () => details(site));
  return el("p", {}, b);
}

/** A list of the sites that stand out, with their peers. */
export function standingOut(place, list, compared, left) {
  place.replaceChildren(el("h3", {}, "Sites that stand out from their peers"),
    list.length ? el("ul", { class: "outliers" }, list.slice(0, 100).map((o) => el("li", {}, el("strong", {}, o.site), `: ${o.text.replace(`${o.site}: `, "")} `, el("span", { class: "quiet" }, `(${percent(o.here)} here, ${percent(o.peers)} at ${o.peer_sites} peers; q ${o.q < 1e-4 ? "< 0.0001" : o.q.toFixed(4)}, ${num(o.n)} questions)`))))
      : el("p", { class: "note" }, compared.length ? `None of the ${num(compared.length)} sites that were compared.` : "No sites were compared."),
    ...(left.length ? [el("details", {}, el("summary", {}, `${count(left.length, "site was", "sites were")} not compared`), el("p", {}, left.slice(0, 200).map((l) => `${l.site} (${num(l.questions)} questions: ${l.why})`).join(", ")))] : []));
}
