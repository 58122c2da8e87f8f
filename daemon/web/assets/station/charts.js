// Charts by uPlot, which is a classic script and stands in the window. A chart is an
// image with a sentence for those who do not see it; its numbers are in a table.

import { figure, num, percent, tick } from "./format.js";

const { uPlot } = window;
const charts = new Map(); // by place
const height = 200;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const resized = new ResizeObserver((entries) => {
  for (const e of entries) charts.get(e.target)?.plot.setSize({ width: e.contentRect.width, height: charts.get(e.target).height });
});

/** Draws or updates the chart in place; shape is what makes it another chart. */
function draw(place, shape, says, data, options) {
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", says);
  const old = charts.get(place);
  if (old && old.shape === shape) {
    old.redraw = () => draw(place, shape, says, data, options);
    old.plot.setData(data);
    return;
  }
  old?.plot.destroy();
  const opts = options();
  const h = opts.height ?? height;
  const plot = new uPlot({ legend: { show: false }, cursor: { show: false }, ...opts, width: place.clientWidth || 300, height: h }, data, place);
  charts.set(place, { plot, shape, height: h, redraw: () => draw(place, shape, says, data, options) });
  resized.observe(place);
}

// Other colours: all is drawn anew.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const c of charts.values()) {
    c.shape = null;
    c.redraw();
  }
});

const font = "12px system-ui, sans-serif";
function axes(y, x = {}) {
  const common = { stroke: colour("--quiet"), font, ticks: { show: false } };
  return [
    { ...common, grid: { show: false }, ...x },
    { ...common, grid: { stroke: colour("--grid"), width: 1 }, size: 52, ...y },
  ];
}
const hourAxis = { values: (_, at) => at.map(tick), space: 64, size: 30 };
const hourScale = { range: (_, lo, hi) => [lo - 1800, hi + 1800] };
const shares = { values: (_, at) => at.map((v) => percent(v)) };
const upFrom0 = { range: (_, lo, hi) => [0, Math.max(hi * 1.1, 1e-3) || 1] };

const seconds = (hours) => hours.map((h) => Date.parse(h.from) / 1000);
const most = (values) => values.reduce((a, v) => Math.max(a, v ?? 0), 0);
const last = (values) => values.findLast((v) => v != null);

export function questions(place, hours) {
  const all = hours.map((h) => h.questions), abstained = hours.map((h) => h.abstained);
  const bars = uPlot.paths.bars({ size: [0.7, 40] });
  draw(place, "questions", `Questions an hour over 48 hours: at most ${num(most(all))}; in this hour ${num(all.at(-1))}, ${num(abstained.at(-1))} of them abstained from.`,
    [seconds(hours), all, abstained], () => ({
      scales: { x: hourScale, y: upFrom0 }, axes: axes({ incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] }, hourAxis),
      series: [{}, { paths: bars, fill: colour("--first"), width: 0, points: { show: false } }, { paths: bars, fill: colour("--second"), width: 0, points: { show: false } }],
    }));
}

export function latency(place, hours) {
  const p95 = hours.map((h) => h.p95_ms), p50 = hours.map((h) => h.p50_ms);
  draw(place, "latency", `Time to the answer over 48 hours: 95 % within ${num(last(p95))} milliseconds at last, at most ${num(most(p95))}; half within ${num(last(p50))}.`,
    [seconds(hours), p95, p50], () => ({
      scales: { x: hourScale, y: upFrom0 }, axes: axes({}, hourAxis),
      series: [{}, { stroke: colour("--first"), width: 2, points: { size: 5, fill: colour("--first") } }, { stroke: colour("--second"), width: 2, dash: [6, 4], points: { size: 5, fill: colour("--second") } }],
    }));
}

export function grounded(place, hours) {
  const v = hours.map((h) => h.grounded);
  draw(place, "grounded", `Grounded share of the answers over 48 hours: ${percent(last(v))} at last.`, [seconds(hours), v], () => ({
    scales: { x: hourScale, y: { range: [0, 1.02] } }, axes: axes(shares, hourAxis),
    series: [{}, { stroke: colour("--first"), width: 2, points: { size: 6, fill: colour("--first") } }],
  }));
}

/** Name of a bin: a value, or from where to where. */
export function bin(b) {
  if (b.category) return b.category;
  const short = (v) => String(Number(v.toPrecision(4)));
  if (b.from == null && b.to == null) return "all";
  if (b.from == null) return "< " + short(b.to);
  if (b.to == null) return "≥ " + short(b.from);
  return `${short(b.from)}–${short(b.to)}`;
}

const cut = (s, n) => (s.length > n ? s.slice(0, n - 1) + "…" : s);
const named = (labels, n = 12) => ({
  splits: () => labels.map((_, i) => i), values: (_, at) => at.map((i) => cut(labels[i] ?? "", n)),
  ...(labels.length > 4 ? { rotate: -45, size: 70 } : { size: 32 }), gap: 4, space: 1,
});
const among = (n) => ({ time: false, range: [-0.6, n - 0.4] });

export function distribution(place, f) {
  const labels = f.bins.map(bin);
  const share = (of, all) => f.bins.map((b) => b[of] / Math.max(1, all));
  const bars = (align) => uPlot.paths.bars({ size: [0.4, 60], align });
  const base = share("baseline", f.baseline), now = share("current", f.current);
  const at = labels.map((_, i) => i);
  draw(place, `feature ${f.name} ${labels}`, `Distribution of ${f.name} in ${labels.length} bins, baseline and last 24 hours side by side; PSI ${figure(f.psi)}.`,
    [at, base, now], () => ({
      height: 280, scales: { x: among(labels.length), y: upFrom0 }, axes: axes(shares, named(labels)),
      series: [{}, { paths: bars(-1), stroke: colour("--first"), width: 2, points: { show: false } }, { paths: bars(1), fill: colour("--first"), stroke: colour("--first"), width: 2, points: { show: false } }],
    }));
}

export function cohorts(place, groups) {
  const labels = groups.map((g) => g.cohort);
  let now = groups;
  const whiskers = (u) => {
    const c = u.ctx, cap = 6 * devicePixelRatio;
    c.save();
    c.strokeStyle = colour("--first");
    c.lineWidth = 2 * devicePixelRatio;
    c.beginPath();
    u.data[2].forEach((low, i) => {
      const x = u.valToPos(i, "x", true), a = u.valToPos(low, "y", true), b = u.valToPos(u.data[3][i], "y", true);
      c.moveTo(x, a);
      c.lineTo(x, b);
      for (const y of [a, b]) {
        c.moveTo(x - cap, y);
        c.lineTo(x + cap, y);
      }
    });
    c.stroke();
    c.restore();
  };
  draw(place, `cohorts ${labels}`, "Refused by cohort, with 95 % intervals: " + now.map((g) => `${g.cohort} ${percent(g.refused)}`).join(", ") + ".",
    [labels.map((_, i) => i), now.map((g) => g.refused), now.map((g) => g.low), now.map((g) => g.high)], () => ({
      height: 280, scales: { x: among(labels.length), y: { range: (u) => [0, Math.min(1, 1.1 * most(u.data[3])) || 1] } }, axes: axes(shares, named(labels, 14)),
      series: [{}, { paths: () => null, points: { show: true, size: 10, fill: colour("--first"), stroke: colour("--first") } }, { show: false }, { show: false }],
      hooks: { draw: [whiskers] },
    }));
}
