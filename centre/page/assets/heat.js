// A heat map that is a table: the number stands in each cell, so that no colour has to be
// told from another; arrow keys go from cell to cell, Enter opens the site.

import { el } from "./dom.js";
import { pager, part } from "./pages.js";

/**
 * Draws {caption, columns, rows: [{site, head, cells: [{text, tone, mark, says}]}]} into
 * place, a page of rows at a time. at keeps the page and the cell between drawings;
 * pick(row, column) tells of the cell that is reached, open(site) opens one.
 */
export function heat(place, { caption, columns, rows }, at, pick, open) {
  const here = part(rows, at.page ?? 0);
  at.page = here.at;
  at.row = Math.min(at.row ?? 0, Math.max(0, here.rows.length - 1));
  at.column = Math.min(at.column ?? 0, columns.length - 1);
  const head = el("tr", {}, el("th", { scope: "col" }, "Site"), columns.map((c) => el("th", { scope: "col", class: "turned" }, el("span", {}, c))));
  const body = here.rows.map((r, i) => el("tr", { class: r.mark || null }, el("th", { scope: "row" }, r.head ?? r.site), r.cells.map((c, j) =>
    el("td", { class: `cell ${c.tone}${c.mark ? " out" : ""}`, tabindex: i === at.row && j === at.column ? "0" : "-1", "data-at": `${i},${j}`, "aria-label": c.says }, c.text, c.mark ? el("span", { class: "mark", "aria-hidden": "true" }, "◆") : null))));
  const grid = el("table", { role: "grid", class: "heat", "aria-label": caption }, el("thead", {}, head), el("tbody", {}, body));
  const box = el("div", { class: "scroll heat-box" }, grid);
  const pages = el("div", { class: "pager" });
  const old = place.querySelector(".heat-box");
  const [top, left, focused] = old ? [old.scrollTop, old.scrollLeft, old.contains(document.activeElement)] : [0, 0, false];
  place.replaceChildren(box, pages);
  box.scrollTop = top;
  box.scrollLeft = left;
  const cell = () => grid.querySelector(`[data-at="${at.row},${at.column}"]`);
  if (focused) cell()?.focus({ preventScroll: true });
  const reach = (row, column, focus) => {
    cell()?.setAttribute("tabindex", "-1");
    at.row = Math.max(0, Math.min(here.rows.length - 1, row));
    at.column = Math.max(0, Math.min(columns.length - 1, column));
    cell()?.setAttribute("tabindex", "0");
    if (focus) cell()?.focus();
    pick(here.rows[at.row], at.column);
  };
  grid.addEventListener("keydown", (e) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -999], End: [0, 999], PageUp: [-10, 0], PageDown: [10, 0] }[e.key];
    if (!e.target.dataset.at) return;
    if (step) {
      e.preventDefault();
      reach(at.row + step[0], at.column + step[1], true);
    } else if (e.key === "Enter" || e.key === " ") {
      e.preventDefault();
      open(here.rows[at.row].site);
    }
  });
  grid.addEventListener("focusin", (e) => {
    const to = e.target.dataset.at?.split(",").map(Number);
    if (to) reach(to[0], to[1], false);
  });
  grid.addEventListener("click", (e) => {
    const to = e.target.closest("[data-at]")?.dataset.at.split(",").map(Number);
    if (to) reach(to[0], to[1], true);
  });
  pager(pages, caption, here, (n) => {
    at.page = n;
    at.row = 0;
    heat(place, { caption, columns, rows }, at, pick, open);
  });
}

/** The key of a heat map: [tone, text] each. */
export const key = (tones) => el("p", { class: "scale" }, tones.map(([tone, text]) => el("span", {}, el("i", { class: `cell ${tone}`, "aria-hidden": "true" }), text)), el("span", {}, el("i", { class: "cell out", "aria-hidden": "true" }, "◆"), "stands out from its peers"));

/** The peers that a site stands out from, by name: those compared, less itself and those that differ more. */
export function peers(o, compared) {
  const not = new Set([o.site, ...o.apart]);
  const names = compared.filter((s) => !not.has(s));
  const some = names.slice(0, 12);
  const out = el("div", { class: "peers" }, el("p", {}, el("strong", {}, `Its peers: ${o.peer_sites} sites. `), some.join(", ") + (names.length > some.length ? " …" : "")));
  if (names.length > some.length) out.append(el("details", {}, el("summary", {}, "All of them"), el("p", {}, names.join(", "))));
  if (o.apart.length) out.append(el("p", { class: "note" }, `Not among them, for they differ more or too little is known of them: ${o.apart.slice(0, 12).join(", ")}${o.apart.length > 12 ? ` and ${o.apart.length - 12} more` : ""}.`));
  return out;
}
