// Elements are made from text, never from markup: what a document or a model
// says can not become an element.

/** el("p", {class: "note"}, "text", child, …); null children are left out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((c) => c != null && c !== ""));
  return node;
}

export const byId = (id) => document.getElementById(id);

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** "2026-01-15" as "15 Jan 2026"; other text unchanged. */
export function day(iso) {
  const m = /^(\d{4})-(\d{2})-(\d{2})$/.exec(iso ?? "");
  return m && months[m[2] - 1] ? `${Number(m[3])} ${months[m[2] - 1]} ${m[1]}` : iso || "";
}

/** "1 section", "2 sections". */
export const count = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;
