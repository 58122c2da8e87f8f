#!/usr/bin/python3
"""Cases for the ROC: scikit-learn's roc_curve and roc_auc_score. Debian: python3-sklearn.
Run: roc.py > roc.json"""
import json, random
import sklearn
from sklearn.metrics import roc_curve, roc_auc_score, f1_score, precision_score

random.seed(7)
cases = []
for k in range(24):
    n = [2, 3, 5, 8, 20, 60, 200][k % 7]
    while True:
        label = [int(random.random() < [.5, .1, .8][k % 3]) for _ in range(n)]
        if 0 < sum(label) < n:
            break
    ties = [None, 1, 0][k % 3]
    score = [random.gauss(.8 * l, 1) for l in label]
    if ties is not None:
        score = [round(s, ties) for s in score]
    if k % 6 == 5:
        score = [0.0] * n
    fpr, tpr, th = roc_curve(label, score, drop_intermediate=False)
    curve = []
    for f, t, x in list(zip(fpr, tpr, th))[1:]:
        decided = [int(s >= x) for s in score]
        curve.append(dict(threshold=float(x), tpr=float(t), fpr=float(f), ppv=precision_score(label, decided), f1=f1_score(label, decided), j=float(t - f)))
    cases.append(dict(score=score, label=label, auc=roc_auc_score(label, score), curve=curve))
print(json.dumps(dict(sklearn=sklearn.__version__, cases=cases)))
