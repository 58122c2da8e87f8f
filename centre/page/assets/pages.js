// Long lists are shown a page at a time: a browser is quick with fifty rows, and slow
// with five thousand.

import { el } from "./dom.js";

export const perPage = 50;

/** The part of a list that page n (from 0) shows; n is brought within it. */
export function part(list, n) {
  const last = Math.max(0, Math.ceil(list.length / perPage) - 1);
  const at = Math.min(Math.max(0, n), last);
  return { at, last, rows: list.slice(at * perPage, (at + 1) * perPage) };
}

/** Buttons to go through the pages of what is called so; go(n) shows another. */
export function pager(place, what, { at, last }, go) {
  if (last === 0) return place.replaceChildren();
  const focused = document.activeElement?.dataset?.go;
  const button = (text, to, name) => {
    const b = el("button", { type: "button", "data-go": name, disabled: to < 0 || to > last || to === at }, text);
    b.addEventListener("click", () => go(to));
    return b;
  };
  place.replaceChildren(el("nav", { "aria-label": `Pages of ${what}` }, button("First", 0, "first"), button("Back", at - 1, "back"), el("span", {}, `Page ${at + 1} of ${last + 1}`), button("Next", at + 1, "next"), button("Last", last, "last")));
  if (focused && place.querySelector(`[data-go="${focused}"]`)) place.querySelector(`[data-go="${focused}"]`).focus({ preventScroll: true });
}

/** Options of a select, with their counts; what was chosen stays so. */
export function choices(select, list, all = "all") {
  const was = select.value;
  const options = [["", all], ...list];
  const key = JSON.stringify(options);
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
  select.value = options.some(([v]) => v === was) ? was : "";
}
