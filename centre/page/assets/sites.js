// Where each site stands.

import { get } from "./api.js";
import { byId, count, el } from "./dom.js";
import { choices, pager, part } from "./pages.js";
import { figure, ms, none, num, p as chance, percent, when, words } from "./station/format.js";
import { describe, put, table } from "./station/tables.js";

const healths = { act: "act on it", look: "look into it", ok: "well", unknown: "not known" };
const rank = { act: 0, look: 1, ok: 2, unknown: 3 };
let all = [], fleet = null, page = 0, sort = { by: "health", down: false };

const age = (iso) => {
  if (!iso) return "never";
  const s = (Date.now() - Date.parse(iso)) / 1000;
  return s < 90 ? "just now" : s < 5400 ? `${Math.round(s / 60)} min ago` : s < 129600 ? `${Math.round(s / 3600)} h ago` : `${Math.round(s / 86400)} days ago`;
};
const heardWord = (s) => {
  if (!s.heard) return "never";
  const h = (Date.now() - Date.parse(s.heard)) / 3.6e6;
  return h < 1 ? "within an hour" : h < 36 ? "within 36 hours" : "longer ago";
};
const bundleName = (s) => (s.active ? `${s.channel}/${s.active}` : `${s.channel}, none yet`);
const labels = (s) => Object.entries(s.labels ?? {}).map(([k, v]) => `${k}=${v}`).join(" ");

const columns = [
  ["site", "Site", (s) => s.site, (a, b) => a.site.localeCompare(b.site, "en", { numeric: true })],
  ["health", "Health", null, (a, b) => rank[a.health] - rank[b.health]],
  ["status", "State", (s) => s.status, (a, b) => a.status.localeCompare(b.status)],
  ["version", "Version", (s) => s.version || none, (a, b) => (a.version ?? "").localeCompare(b.version ?? "", "en", { numeric: true })],
  ["bundle", "Bundle>", (s) => (s.active || s.newest ? `${s.active} of ${s.newest}${s.held ? `, ${s.held} held` : ""}` : none), (a, b) => a.active - b.active],
  ["heard", "Heard", (s) => age(s.heard), (a, b) => (a.heard ?? "").localeCompare(b.heard ?? "")],
  ["last_day", "Last day", (s) => s.last_day || none, (a, b) => (a.last_day ?? "").localeCompare(b.last_day ?? "")],
  ["questions", "Questions>", (s) => num(s.questions ?? 0), (a, b) => (a.questions ?? 0) - (b.questions ?? 0)],
  ["abstained", "Abstained>", (s) => percent(s.abstained), (a, b) => (a.abstained ?? -1) - (b.abstained ?? -1)],
  ["grounded", "Grounded>", (s) => percent(s.grounded), (a, b) => (a.grounded ?? -1) - (b.grounded ?? -1)],
  ["p95_ms", "p95>", (s) => ms(s.p95_ms), (a, b) => (a.p95_ms ?? -1) - (b.p95_ms ?? -1)],
];

/** Shows the sites, and the tiles of the fleet. */
export function show(list, summary) {
  all = list;
  fleet = summary;
  tiles();
  for (const [id, counts, word] of [["by-health", fleet.by_health, (v) => healths[v]], ["by-status", fleet.by_status], ["by-version", fleet.by_version], ["by-bundle", fleet.by_bundle], ["by-heard", fleet.by_heard]])
    choices(byId(id), counts.map((c) => [c.value, `${word ? word(c.value) : c.value} (${num(c.n)})`]));
  rows();
}

function tiles() {
  const of = (counts, v) => counts.find((c) => c.value === v)?.n ?? 0;
  const tile = (name, n, filter, mark) => {
    const b = el("button", { type: "button", class: `tile ${n && mark ? mark : ""}` }, el("span", {}, name), el("strong", {}, num(n)));
    b.addEventListener("click", () => { byId("filters").reset(); for (const [id, v] of Object.entries(filter)) byId(id).value = v; page = 0; rows(); byId("find").scrollIntoView({ block: "nearest" }); });
    return b;
  };
  const next = [tile("sites", fleet.sites, {}), tile("to act on", of(fleet.by_health, "act"), { "by-health": "act" }, "act"), tile("to look into", of(fleet.by_health, "look"), { "by-health": "look" }, "care"), tile("well", of(fleet.by_health, "ok"), { "by-health": "ok" }),
    tile("heard within an hour", of(fleet.by_heard, "within an hour"), { "by-heard": "within an hour" }), tile("not enrolled", fleet.sites - of(fleet.by_status, "enrolled"), { "by-status": "waiting" })];
  const focused = [...byId("tiles").children].indexOf(document.activeElement);
  byId("tiles").replaceChildren(...next);
  if (focused >= 0) next[focused].focus({ preventScroll: true });
}

function chosen() {
  const v = (id) => byId(id).value, find = v("find").trim().toLowerCase();
  return all.filter((s) => (!v("by-health") || s.health === v("by-health")) && (!v("by-status") || s.status === v("by-status")) && (!v("by-version") || (s.version || "not told") === v("by-version"))
    && (!v("by-bundle") || bundleName(s) === v("by-bundle")) && (!v("by-heard") || heardWord(s) === v("by-heard"))
    && (!find || `${s.site} ${labels(s)} ${s.profile ?? ""} ${s.code ?? ""} ${(s.reasons ?? []).map((r) => r.text).join(" ")}`.toLowerCase().includes(find)));
}

function rows() {
  if (!all.length) {
    byId("found").textContent = "";
    byId("filters").hidden = true;
    byId("sites-pager").replaceChildren();
    return put(byId("sites"), el("p", { class: "note" }, "There are no sites yet. ", el("code", {}, "rxedge central site add NAME"), " writes the file that makes a box a site."));
  }
  byId("filters").hidden = false;
  const found = chosen();
  const compare = columns.find((c) => c[0] === sort.by)[3];
  found.sort((a, b) => (sort.down ? -1 : 1) * compare(a, b) || a.site.localeCompare(b.site, "en", { numeric: true }));
  const here = part(found, page);
  page = here.at;
  byId("found").textContent = found.length === all.length ? count(all.length, "site") + "." : `${num(found.length)} of ${num(all.length)} sites.`;
  const focused = document.activeElement?.dataset?.sort ?? document.activeElement?.dataset?.site;
  const box = table("Sites of the fleet", columns.map((c) => c[1]), here.rows.map((s) => ({ mark: { act: "act", look: "investigate" }[s.health], cells: columns.map((c) => cell(c, s)) })));
  box.querySelectorAll("thead th").forEach((th, i) => {
    const [by, name] = columns[i], mine = sort.by === by;
    const b = el("button", { type: "button", class: "link sort", "data-sort": by }, name.replace(/>$/, ""), el("span", { "aria-hidden": "true" }, mine ? (sort.down ? " ▾" : " ▴") : ""));
    b.addEventListener("click", () => { sort = { by, down: mine ? !sort.down : ["questions", "abstained", "p95_ms"].includes(by) }; rows(); });
    if (mine) th.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
    th.replaceChildren(b);
  });
  put(byId("sites"), box);
  if (focused) byId("sites").querySelector(`[data-sort="${focused}"], [data-site="${focused}"]`)?.focus({ preventScroll: true });
  pager(byId("sites-pager"), "sites", here, (n) => { page = n; rows(); });
}

function cell([by, , text], s) {
  if (by === "site") {
    const b = el("button", { type: "button", class: "link", "data-site": s.site }, s.site);
    b.addEventListener("click", () => details(s.site));
    return el("span", {}, b, labels(s) && el("span", { class: "quiet" }, " " + labels(s)));
  }
  if (by === "health") return el("span", { class: "health" }, el("span", { class: `dot ${s.health}`, "aria-hidden": "true" }), healths[s.health], s.reasons?.length ? el("span", { class: "quiet" }, `: ${s.reasons[0].text.slice(0, 70)}${s.reasons.length > 1 ? ` (+${s.reasons.length - 1})` : ""}`) : null);
  return text(s);
}

/** All that is known of a site. */
export async function details(site) {
  const dialog = byId("site"), body = byId("site-body");
  byId("site-title").textContent = site;
  body.replaceChildren(el("p", { class: "note" }, "Reading …"));
  if (!dialog.open) dialog.showModal();
  byId("site-title").focus(); // and not the button: Enter that has opened it would close it
  try {
    const s = await get("/v1/sites/" + encodeURIComponent(site));
    const facts = el("dl", { class: "facts" });
    describe(facts, [["Health", healths[s.health]], ["State", s.status], ["Channel", s.channel], ["Bundle", s.active || s.newest ? `${s.active} of ${s.newest}${s.held ? `; ${s.held} waits for its wave` : ""}` : none], s.slot && ["Under way", words(s.slot)],
      ["Version", s.version || none], ["Profile", s.profile || none], ["Documents", num(s.documents ?? 0)], ["Index", s.generation || none], ["Heard", s.heard ? `${when(s.heard)} (${age(s.heard)})` : "never"], ["Last day counted", s.last_day || none],
      ["Questions", num(s.questions ?? 0)], ["Abstained", percent(s.abstained)], ["Failed", percent(s.failed)], ["Grounded", percent(s.grounded)], ["95 % within", ms(s.p95_ms)], labels(s) && ["Labels", labels(s)]].filter(Boolean));
    const why = (s.reasons ?? []).map((r) => el("li", { class: `alarm ${r.health}` }, r.text));
    const parts = [el("h3", {}, "Why"), why.length ? el("ul", {}, why) : el("p", { class: "note" }, s.health === "ok" ? "Nothing is known against it." : "It has told nothing yet.")];
    for (const m of s.models) {
      parts.push(el("h3", {}, `Answers by ${m.model || "sentences of the documents"}`));
      if (m.learning) parts.push(el("p", { class: "note" }, "It is still learned what is usual there: a week of days."));
      else parts.push(table("Features beside the site's first week, what moved most first", ["Feature", "Kind", "PSI>", "p>", "Verdict", "First week>", "Now>"], m.features.map((f) => ({ mark: f.verdict, cells: [words(f.name), words(f.kind), figure(f.psi), chance(f.p), f.verdict, num(f.baseline), num(f.current)] }))));
    }
    body.replaceChildren(...parts.slice(0, 2), facts, ...parts.slice(2));
  } catch (err) {
    body.replaceChildren(el("p", { class: "refused" }, err.message));
  }
}

byId("site-close").addEventListener("click", () => byId("site").close());
byId("site").addEventListener("click", (e) => { if (e.target === byId("site")) byId("site").close(); });
byId("filters").addEventListener("submit", (e) => e.preventDefault());
byId("filters").addEventListener("input", () => { page = 0; rows(); });
byId("filters").addEventListener("reset", () => setTimeout(() => { page = 0; rows(); }));
