// Groups of patients, by site.

import { byId, count, el } from "./dom.js";
import { standingOut } from "./drift.js";
import { heat, key, peers } from "./heat.js";
import { choices } from "./pages.js";
import { details } from "./sites.js";
import { figure, none, num, percent } from "./station/format.js";
import { table } from "./station/tables.js";

const tones = [["d0", "10 points fewer than over the fleet"], ["d1", "4 fewer"], ["d2", "as over the fleet"], ["d3", "4 more"], ["d4", "10 more"], ["none", "none, or fewer than 11"]];
const tone = (d) => (d == null ? "none" : d <= -0.1 ? "d0" : d <= -0.04 ? "d1" : d < 0.04 ? "d2" : d < 0.1 ? "d3" : "d4");
const figures = { demographic_parity_difference: "Demographic parity difference", equal_opportunity_difference: "Equal opportunity difference", equalized_odds_difference: "Equalized odds difference", fpr_difference: "False positive rate difference", disparate_impact_ratio: "Disparate impact ratio", refused_difference: "Difference of what is refused" };
let at = {}, data = null, which = "";

export function show(_, d) {
  data = d;
  const place = byId("fairness");
  if (!d.scope || !d.groups.length) {
    byId("fairness-note").textContent = "";
    return place.replaceChildren(el("p", { class: "note" }, d.scope ? "No cohort was named in that time. Boxes name those of " : "No site has sent a day yet; cohorts are those of ", el("code", {}, "telemetry.cohorts"), ", as clients give them."));
  }
  byId("fairness-note").textContent = `What of each group's questions is refused: abstained from, or doubted by the guard. ${num(d.scope.questions)} questions of ${count(d.scope.sites, "site")} from ${d.scope.from} to ${d.scope.to}. Colours are the difference to the same group over the fleet.`;
  if (!place.querySelector("#fairness-heat")) {
    place.replaceChildren(el("div", { id: "fairness-all" }), el("div", { class: "filters" }, el("label", {}, "Sites ", el("select", { id: "fairness-which" }))), key(tones),
      el("div", { class: "split heat-split" }, el("div", { id: "fairness-heat" }), el("div", { id: "fairness-cell", class: "cell-says", "aria-live": "polite" })), el("div", { id: "fairness-out" }), el("div", { id: "quality-out" }));
    byId("fairness-which").addEventListener("change", (e) => { which = e.target.value; at = {}; draw(); });
  }
  draw();
}

function draw() {
  const d = data, out = new Map(d.standing_out.map((o) => [`${o.site}/${o.value}`, o])), outSites = new Set(d.standing_out.map((o) => o.site));
  overall(d);
  choices(byId("fairness-which"), [["out", `that stand out (${outSites.size})`]], `all (${d.rows.length})`);
  const rows = d.rows.filter((r) => !which || outSites.has(r.site)).sort((a, b) => (b.difference ?? -1) - (a.difference ?? -1) || a.site.localeCompare(b.site, "en", { numeric: true }));
  const cells = (r) => [...r.refused.map((v, i) => {
    const o = out.get(`${r.site}/${d.groups[i]}`), diff = v == null ? null : v - d.fleet.refused[i];
    return { text: percent(v), tone: tone(diff), mark: o, says: `${r.site}, ${d.groups[i]}: ${v == null ? "not told of" : `${percent(v)} of ${num(r.n[i])} questions refused`}${o ? ", stands out from its peers" : ""}` };
  }), { text: r.difference == null ? none : percent(r.difference), tone: r.difference > 0.1 ? "d4" : "plain", says: `${r.site}: the largest difference between groups is ${percent(r.difference)}` }];
  heat(byId("fairness-heat"), { caption: "Refused by site and group", columns: [...d.groups, "difference"], rows: rows.map((r) => ({ site: r.site, row: r, cells: cells(r) })) }, at, (row, j) => says(row.row, j, out), details);
  if (rows.length) says(rows[(at.page ?? 0) * 50 + (at.row ?? 0)] ?? rows[0], at.column ?? 0, out);
  standingOut(byId("fairness-out"), d.standing_out, d.compared, d.left_out);
  byId("quality-out").replaceChildren();
  if (d.quality.length) {
    standingOut(byId("quality-out"), d.quality, d.compared, []);
    byId("quality-out").querySelector("h3").textContent = "Sites whose answers are better or worse than their peers'";
  }
}

function says(r, j, out) {
  const d = data, g = d.groups[j];
  if (g === undefined) return byId("fairness-cell").replaceChildren(el("h3", {}, r.site), el("p", {}, r.difference == null ? "Fewer than two groups are large enough to be compared here." : `Between its groups what is refused differs by ${percent(r.difference)} at most.`));
  const o = out.get(`${r.site}/${g}`), v = r.refused[j];
  byId("fairness-cell").replaceChildren(el("h3", {}, `${r.site}, ${g}`),
    el("p", {}, v == null ? "Nothing is told of this group here: no questions, or fewer than eleven." : `${percent(v)} of ${num(r.n[j])} questions refused; over the fleet ${percent(d.fleet.refused[j])} of ${num(d.fleet.n[j])}.`),
    ...(o ? [el("p", { class: "alarm" }, o.text), peers(o, d.compared)] : [el("p", { class: "note" }, d.compared.includes(r.site) ? `Not unlike the other sites, as far as there are enough questions.` : "It was not compared with others: too few questions, or too few sites.")]));
}

function overall(d) {
  const place = byId("fairness-all");
  const found = [...d.findings.map((f) => [f, f.level]), ...d.uncertain.map((f) => [f, "not certain"])];
  const nodes = [table(`Over all sites. ${d.unnamed ? `${num(d.unnamed)} questions were of no group, or of one too small to be told of.` : ""}`, ["Group", "Questions>", "Refused>", "Judged>", "True positive rate>", "False positive rate>"],
    d.groups.map((g, i) => { const j = d.judged?.groups?.[g]; return [g, num(d.fleet.n[i]), percent(d.fleet.refused[i]), j ? num(j.n) : none, percent(j?.tpr), percent(j?.fpr)]; }))];
  if (found.length) nodes.push(el("ul", {}, found.map(([f, level]) => el("li", { class: `alarm ${level === "critical" ? "act" : ""}` }, `${level}: ${figures[f.figure] ?? f.figure} is ${figure(f.value)}, limit ${f.limit} (${f.lowest} to ${f.most})`))));
  else nodes.push(el("p", { class: "note" }, "No difference between groups is beyond its limit, as far as is known."));
  if (!d.judged) nodes.push(el("p", { class: "note" }, "Rates of right and wrong refusals are undefined, and pass nothing: they need answers of two groups that somebody judged."));
  place.replaceChildren(...nodes);
}
