// Numbers as people read them. What there is none of is a dash.

export const none = "–";
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayOf = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export const num = (v) => (v == null ? none : number.format(v));
export const percent = (v) => (v == null ? none : number.format(100 * v) + " %");
export const figure = (v, digits = 3) => (v == null ? none : v.toFixed(digits));
export const ms = (v) => (v == null ? none : number.format(v) + " ms");
export const when = (iso) => (iso ? date.format(new Date(iso)) : none);
export const time = (iso) => clock.format(new Date(iso));
export const p = (v) => (v == null ? none : v < 1e-4 ? "< 0.0001" : v.toFixed(4));
/** seconds since 1970 on an axis: the day at midnight, else the time */
export const tick = (s) => {
  const d = new Date(s * 1000);
  return d.getHours() + d.getMinutes() === 0 ? dayOf.format(d) : clock.format(d);
};
export function bytes(n) {
  if (!n) return none;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
  return `${number.format(n)} ${units[i]}`;
}
export const words = (name) => name.replaceAll("_", " ");
