// Citations are spans of UTF-8 bytes; JavaScript strings count UTF-16 units.
// These functions go from the one to the other, and give null for a span that
// does not fall on whole characters inside the text.

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The UTF-16 range {from, to} of the bytes [start, end) of text, or null. */
export function fromBytes(text, start, end) {
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end <= start) return null;
  const bytes = encoder.encode(text);
  if (end > bytes.length) return null;
  try {
    const from = decoder.decode(bytes.subarray(0, start)).length;
    return { from, to: from + decoder.decode(bytes.subarray(start, end)).length };
  } catch {
    return null; // an offset inside a character
  }
}

/** The text of the bytes [start, end), or null. */
export function sliceBytes(text, start, end) {
  const range = fromBytes(text, start, end);
  return range && text.slice(range.from, range.to);
}
