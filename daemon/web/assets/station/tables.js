// Every number that a chart shows is in a table too.

import { el } from "../dom.js";

/**
 * A table that scrolls by itself and can be reached by keyboard. Columns that hold
 * numbers end with ">"; the first cell of a row is its heading. A row may be
 * {cells, mark} with the name of a style.
 */
export function table(caption, columns, rows) {
  const numeric = columns.map((c) => c.endsWith(">"));
  const head = columns.map((c, i) => el("th", { scope: "col", class: numeric[i] && "number" }, c.replace(/>$/, "")));
  const body = rows.map((r) => {
    const cells = r.cells ?? r;
    return el("tr", { class: r.mark || null }, cells.map((v, i) => el(i ? "td" : "th", { scope: i ? null : "row", class: numeric[i] && "number" }, v instanceof Node ? v : String(v))));
  });
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
}

/** Puts what is new in the place of what was, and leaves the place scrolled to. */
export function put(place, ...nodes) {
  const scrolled = place.querySelector(".scroll");
  const [top, left, focused] = scrolled ? [scrolled.scrollTop, scrolled.scrollLeft, document.activeElement === scrolled] : [0, 0, false];
  place.replaceChildren(...nodes.filter((n) => n != null));
  const next = place.querySelector(".scroll");
  if (next && scrolled) {
    next.scrollTop = top;
    next.scrollLeft = left;
    if (focused) next.focus({ preventScroll: true });
  }
}

/** Pairs of a name and a value into a list of descriptions. */
export function describe(list, pairs) {
  list.replaceChildren(...pairs.filter((x) => x).map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v))));
}
