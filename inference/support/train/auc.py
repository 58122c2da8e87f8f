"""AUC by scikit-learn of what 'go run ./inference/support/train -out "" -scores FILE'
wrote, to set beside what that prints. Debian: apt-get install python3-sklearn.
    python3 auc.py FILE"""
import collections, json, sys
from sklearn.metrics import roc_auc_score

sets, folds = collections.defaultdict(list), collections.defaultdict(set)
for line in open(sys.argv[1]):
    r = json.loads(line)
    sets[r["set"], "label" if r["set"].startswith("dose") or r["kind"].startswith("label") else "SciFact"].append(r)
    if not r["kind"].startswith("label"):
        folds[r["set"], r["claim"]].add(r["fold"])
for (name, of), rows in sorted(sets.items()):
    true = [r for r in rows if r["true"]]
    kinds = sorted({r["kind"] for r in rows if not r["true"]})
    for against in [[k] for k in kinds] + [kinds]:
        false = [r for r in rows if r["kind"] in against and not r["true"]]
        auc = roc_auc_score([1] * len(true) + [0] * len(false), [r["score"] for r in true + false])
        print(f"{name}, {of}: AUC {auc:.4f}  {len(true)} against {len(false)}  {', '.join(against)}")
print(sum(len(f) > 1 for (s, _), f in folds.items() if s in ("window", "passage")), "claims are in two folds")
