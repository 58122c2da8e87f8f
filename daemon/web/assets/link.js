// The address of a place in a label: #doc=…&section=…&start=…&end=…

/** The hash that opens a citation or a passage. */
export function hashOf({ set_id, section_id, start, end }) {
  const q = new URLSearchParams({ doc: set_id });
  if (section_id) q.set("section", section_id);
  if (end > start) {
    q.set("start", start);
    q.set("end", end);
  }
  return "#" + q;
}

/** The place a hash names, or null. start and end may be NaN. */
export function placeOf(hash) {
  const q = new URLSearchParams(hash.replace(/^#/, ""));
  const set_id = q.get("doc");
  if (!set_id) return null;
  const offset = (name) => (/^\d{1,9}$/.test(q.get(name) ?? "") ? Number(q.get(name)) : NaN);
  return {
    set_id,
    section_id: q.get("section") ?? "",
    spanned: q.has("start") || q.has("end"),
    start: offset("start"),
    end: offset("end"),
  };
}
