#!/usr/bin/python3
"""Makes golden.json: what scipy, scikit-learn and plain formulas in numpy say
of some cases. Debian: python3-scipy python3-sklearn. Run: golden.py > golden.json"""
import json, math, re, sys
from collections import Counter
import numpy as np
from scipy import stats
from sklearn import metrics

rng = np.random.default_rng(20)
out = {}


def finite(v):
    v = float(v)
    return v if math.isfinite(v) else None


def samples():
    """Pairs of samples: ties, constants, one value, unequal sizes, far apart."""
    yield [1.0], [1.0]
    yield [1.0], [2.0]
    yield [1.0], [0.0, 1.0, 2.0]
    yield [5.0] * 40, [5.0] * 30
    yield [5.0] * 40, [5.0] * 29 + [6.0]
    yield [0.0] * 50 + [1.0] * 50, [0.0] * 20 + [1.0] * 60
    for n, m in [(10, 10), (11, 7), (30, 31), (50, 100), (64, 48), (100, 100), (200, 35), (500, 501), (997, 1000)]:
        yield rng.normal(0, 1, n).tolist(), rng.normal(0.2, 1, m).tolist()
    for n, m in [(40, 60), (120, 80), (300, 300)]:
        yield rng.integers(0, 6, n).astype(float).tolist(), rng.integers(1, 8, m).astype(float).tolist()
    yield rng.exponential(1, 250).tolist(), rng.exponential(2, 333).tolist()
    yield rng.normal(0, 1, 400).tolist(), rng.normal(8, 1, 300).tolist()
    yield rng.lognormal(0, 1, 1000).tolist(), rng.lognormal(0, 1, 1000).tolist()
    yield np.round(rng.normal(0, 1, 777), 1).tolist(), np.round(rng.normal(0.1, 1.2, 555), 1).tolist()


def psi(a, b):
    edges = np.unique(np.quantile(a, np.arange(1, 10) / 10))
    ca = np.bincount(np.digitize(a, edges), minlength=len(edges) + 1).astype(float)
    cb = np.bincount(np.digitize(b, edges), minlength=len(edges) + 1).astype(float)
    chi = None
    if not any((ca == 0) & (cb > 0)):
        keep = ca > 0
        e = ca[keep] / ca.sum() * cb.sum()
        chi = [finite(v) for v in stats.chisquare(cb[keep], e)] if keep.sum() > 1 else [0.0, 1.0]
    if (ca == 0).any() or (cb == 0).any():
        ca, cb = ca + .5, cb + .5
    p, q = cb / cb.sum(), ca / ca.sum()
    return float(((p - q) * np.log(p / q)).sum()), chi


out["numbers"] = []
for a, b in samples():
    r = stats.ks_2samp(a, b, method="exact")
    v, chi = psi(np.array(a), np.array(b))
    out["numbers"].append({"a": a, "b": b, "d": float(r.statistic), "p": float(r.pvalue), "psi": v, "chi": chi})

out["chisquare"] = []
for o, e in [([10, 20, 30], [20, 20, 20]), ([0, 5], [5, 5]), ([1, 0, 0], [3, 3, 3]), ([7], [9]), ([100, 1], [50, 50]), ([3, 3, 3, 3], [1, 1, 1, 1])] + \
        [(rng.integers(0, 90, k).tolist(), rng.integers(1, 90, k).tolist()) for k in range(2, 18)]:
    o, e = np.array(o, float), np.array(e, float)
    s, p = stats.chisquare(o, e / e.sum() * o.sum()) if len(o) > 1 else (0.0, 1.0)
    out["chisquare"].append({"baseline": e.astype(int).tolist(), "current": o.astype(int).tolist(), "chi2": float(s), "p": float(p)})

out["auc"] = []
for n in range(2, 26):
    y = rng.integers(0, 2, n)
    y[0], y[1] = 0, 1
    s = np.round(rng.normal(0, 1, n) + y * rng.uniform(-1, 2), n % 3)
    out["auc"].append({"scores": s.tolist(), "positive": [bool(v) for v in y], "auc": float(metrics.roc_auc_score(y, s))})

out["kappa"] = []
for n in range(1, 24):
    k = 1 + n % 4
    a = rng.integers(0, k, n * 3).astype(str).tolist()
    b = [x if rng.random() < .6 else str(rng.integers(0, k)) for x in a]
    v = metrics.cohen_kappa_score(a, b) if len(set(a) | set(b)) > 1 else None
    out["kappa"].append({"a": a, "b": b, "kappa": v})

out["paired"] = []
for n in range(2, 24):
    a = np.round(rng.uniform(0, 1, n), 2)
    d = np.round(rng.normal(.05, .2, n), 2) if n % 5 else np.zeros(n)
    t, p = stats.ttest_rel(a + d, a)
    out["paired"].append({"a": a.tolist(), "b": (a + d).tolist(), "t": finite(t), "p": finite(p)})

out["ndcg"] = []
for n in range(2, 24):
    gain = rng.integers(0, 4, n).astype(float)
    gain[0] = 1
    score = rng.permutation(n).astype(float)
    out["ndcg"].append({"gain": gain.tolist(), "score": score.tolist(), "ndcg": float(metrics.ndcg_score([gain], [score], k=10))})

out["fairness"] = []
for n in range(22):
    rows, groups = [], {}
    for g in "abc"[:2 + n % 2]:
        m = int(rng.integers(1, 60))
        y, h = rng.integers(0, 2, m), rng.integers(0, 2, m)
        if n == 3 and g == "a":
            y[:] = 0
        if n == 4:
            h[:] = 0
        rows += [[int(u), int(v), g] for u, v in zip(y, h)]
        tn, fp, fn, tp = metrics.confusion_matrix(y, h, labels=[0, 1]).ravel()
        div = lambda u, v: float(u / v) if v else None
        groups[g] = {"n": m, "selection_rate": float(h.mean()), "tpr": div(tp, tp + fn), "fpr": div(fp, fp + tn), "ppv": div(tp, tp + fp)}
    spread = lambda k: None if any(g[k] is None for g in groups.values()) else max(g[k] for g in groups.values()) - min(g[k] for g in groups.values())
    sel = [g["selection_rate"] for g in groups.values()]
    t, f = spread("tpr"), spread("fpr")
    out["fairness"].append({"rows": rows, "groups": groups, "demographic_parity_difference": spread("selection_rate"), "equal_opportunity_difference": t,
        "equalized_odds_difference": None if t is None or f is None else max(t, f), "disparate_impact_ratio": min(sel) / max(sel) if max(sel) else None})

# Texts: LCS by the textbook's table, BLEU by its formula.
words = "the dose of metformin is 500 mg twice daily with meals do not exceed 2,550 mg per day in adults e.g. eGFR-based limits (see 2.1) & 4.5% warn".split()


def rouge(p, r):
    p, r = (re.sub(r"[^a-z0-9]+", " ", x.lower()).split() for x in (p, r))
    if not p or not r:
        return 0.0
    t = np.zeros((len(p) + 1, len(r) + 1), int)
    for i in range(len(p)):
        for j in range(len(r)):
            t[i + 1, j + 1] = t[i, j] + 1 if p[i] == r[j] else max(t[i, j + 1], t[i + 1, j])
    l = t[-1, -1]
    return 0.0 if l == 0 else 2 * (l / len(p)) * (l / len(r)) / (l / len(p) + l / len(r))


def split(s):
    for a, b in [("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")]:
        s = s.replace("\n", " ").replace(a, b)
    s = " %s " % s
    s = re.sub(r"([!-&(-+:-@/\[-`{-~])", r" \1 ", s)  # all ASCII punctuation but ' , - .
    s = re.sub(r"([^0-9])([.,])", r"\1 \2 ", s)
    s = re.sub(r"([.,])([^0-9])", r" \1 \2", s)
    return re.sub(r"([0-9])(-)", r"\1 \2 ", s).split()


def bleu(pairs):
    c, t, hl, rl = [0] * 4, [0] * 4, 0, 0
    for p, r in pairs:
        p, r = split(p), split(r)
        hl, rl = hl + len(p), rl + len(r)
        for n in range(4):
            a = Counter(tuple(p[i:i + n + 1]) for i in range(len(p) - n))
            b = Counter(tuple(r[i:i + n + 1]) for i in range(len(r) - n))
            c[n] += sum((a & b).values())
            t[n] += sum(a.values())
    if not any(c) or not all(t):
        return 0.0
    k, logs = 1, []
    for n in range(4):
        if c[n] == 0:
            k *= 2
        logs.append(math.log((c[n] or 1 / k) / t[n]))
    return 100 * min(1, math.exp(1 - rl / hl)) * math.exp(sum(logs) / 4)


out["texts"] = []
for n in range(24):
    pairs = []
    for _ in range(1 + n % 3):
        r = [words[i] for i in rng.integers(0, len(words), int(rng.integers(1, 14)))]
        p = [w for w in r if rng.random() < .8] + [words[i] for i in rng.integers(0, len(words), int(rng.integers(0, 3)))]
        pairs.append([" ".join(p) + (" " if n % 2 else "."), " ".join(r)])
    out["texts"].append({"pairs": pairs, "rougeL": float(np.mean([rouge(*p) for p in pairs])), "bleu": bleu(pairs)})


def holm(ps):
    order = np.argsort(ps, kind="stable")
    adjusted = np.minimum(1, np.maximum.accumulate(np.array(ps)[order] * np.arange(len(ps), 0, -1)))
    back = np.empty(len(ps))
    back[order] = adjusted
    return back.tolist()


out["histograms"] = []
for n in range(24):
    bins = [1, 2, 5, 34][n % 4]
    a, b = rng.integers(0, [3, 40, 900][n % 3], (8, bins)), rng.integers(0, [4, 50, 700][n % 3], (8, bins))
    a[:, 0] += 1
    b[:, -1] += 1
    if n == 8:
        b = a
    ds, ps = [], []
    for x, y in zip(a, b):
        r = stats.ks_2samp(np.repeat(np.arange(bins), x), np.repeat(np.arange(bins), y), method="asymp")
        ds.append(float(r.statistic))
        ps.append(float(stats.kstwobign.sf(r.statistic * math.sqrt(x.sum() * y.sum() / (x.sum() + y.sum())))))
    out["histograms"].append({"a": a.tolist(), "b": b.tolist(), "d": ds, "p": ps, "holm": holm(ps)})

json.dump(out, sys.stdout)
