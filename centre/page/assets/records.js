// Requests and proposals, and the trail of all that was done.

import { act } from "./act.js";
import { byId, el } from "./dom.js";
import { pager, part } from "./pages.js";
import { num, when, words } from "./station/format.js";
import { put, table } from "./station/tables.js";

let page = 0, entries = [], total = 0;

export function show(view, data, person, again) {
  if (view === "requests") return requests(data.requests, person, again);
  entries = data.entries;
  total = data.all;
  trail();
}

function requests(list, person, again) {
  const place = byId("requests");
  if (!list.length) return place.replaceChildren(el("p", { class: "note" }, "Nothing was requested or proposed yet. ", el("code", {}, "rxedge central fleet run"), " asks for a model to be trained anew where questions or answers have changed; ", el("code", {}, "rxedge central fleet propose"), " proposes thresholds."));
  const may = ["reviewer", "operator", "admin"].includes(person.role);
  const sorted = [...list].sort((a, b) => Number(Boolean(a.decided)) - Number(Boolean(b.decided)));
  place.replaceChildren(...sorted.map((m) => {
    const out = el("article", { class: "rollout", "aria-label": m.id }, el("h3", {}, m.id, " ", el("span", { class: `state ${m.state}` }, m.state)),
      el("p", {}, words(m.cause ?? "")), el("p", {}, m.reason ?? ""),
      el("p", { class: "note" }, `opened by ${m.who} on ${when(m.at)}${m.decided ? `; ${m.state} by ${m.decided.who} on ${when(m.decided.at)}${m.decided.reason ? `: ${m.decided.reason}` : ""}` : ""}`));
    const sites = m.data?.sites;
    if (sites) out.append(el("p", { class: "note" }, `${sites.length ? `At ${sites.slice(0, 12).join(", ")}${sites.length > 12 ? ` and ${sites.length - 12} more` : ""}` : "Over the fleet"}; ${num(m.data.lineage?.questions)} questions, ${num(m.data.lineage?.windows)} windows.`));
    if (!m.decided && may) {
      const own = m.who === person.name;
      out.append(el("p", { class: "buttons" }, ...["approve", "decline"].map((d) => {
        const b = el("button", { type: "button", disabled: own }, d === "approve" ? "Approve" : "Decline", el("span", { class: "unseen" }, ` ${m.id}`));
        b.addEventListener("click", () => act({ title: `${d === "approve" ? "Approve" : "Decline"} ${m.id}`, what: words(m.cause ?? ""), word: d === "approve" ? "Approve" : "Decline", path: `/v1/requests/${encodeURIComponent(m.id)}/${d}` }, again));
        return b;
      }), own ? el("span", { class: "note" }, " You opened it; another person decides.") : null));
    }
    return out;
  }));
}

function trail() {
  const find = byId("audit-find").value.trim().toLowerCase(), of = byId("audit-trail").value;
  const found = entries.filter((e) => (!of || e.trail === of) && (!find || `${e.who} ${e.action} ${e.about} ${e.reason ?? ""} ${e.hash}`.toLowerCase().includes(find)));
  byId("audit-filters").hidden = !entries.length;
  const here = part(found, page);
  page = here.at;
  byId("audit-found").textContent = entries.length ? `${num(found.length)} of ${num(entries.length)} records${total > entries.length ? `; the latest of ${num(total)}` : ""}.` : "";
  if (!entries.length) return put(byId("audit"), el("p", { class: "note" }, "Nothing was done yet: a rollout, a decision or an account makes the first record."));
  put(byId("audit"), table("Records, the latest first", ["When", "Who", "What", "About", "State", "Why", "Record", "Hash"],
    here.rows.map((e) => ({ mark: ["halt", "abort"].includes(e.action) ? "investigate" : null, cells: [when(e.at), e.who, words(e.action), e.about, e.state ?? "", e.reason ?? "", `${e.trail} ${e.record}`, el("code", { title: e.hash }, e.hash.slice(0, 12))] }))));
  pager(byId("audit-pager"), "the audit trail", here, (n) => { page = n; trail(); });
}

byId("audit-filters").addEventListener("submit", (e) => e.preventDefault());
byId("audit-filters").addEventListener("input", () => { page = 0; trail(); });
