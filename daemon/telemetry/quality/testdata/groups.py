# Writes groups.csv and prints what TestEqualOpportunity expects, by scikit-learn: python3 groups.py
import numpy as np
from sklearn.metrics import roc_curve
rng=np.random.default_rng(20261130)
rows=[]
for g,n,shift in (("0-17",150,-0.12),("18-64",400,0.0),("65+",180,0.1),("few",20,0.0)):
    for _ in range(n):
        y=int(rng.random()<(0.25 if g!="few" else 0.2))
        s=round(float(np.clip(rng.normal(0.35+0.25*y+shift*y,0.15),0,1)),2)
        rows.append((s,y,g))
open('groups.csv','w').write("doubt,bad,cohort\n"+"".join("%g,%d,%s\n"%r for r in rows))
at=0.55
names=sorted({r[2] for r in rows})
d={g:(np.array([r[0] for r in rows if r[2]==g]),np.array([r[1] for r in rows if r[2]==g])) for g in names}
use=[g for g in names if d[g][1].sum()>=11]
S=np.concatenate([d[g][0] for g in use]);Y=np.concatenate([d[g][1] for g in use])
target=(S[Y==1]>=at).mean(); print("target",target,[g for g in names if g not in use])
res={}
for g in use:
    s,y=d[g]
    fpr,tpr,th=roc_curve(y,s,drop_intermediate=False)
    best=np.argmin(np.round(np.abs(tpr-target),12)) # the first: the highest threshold
    b=(s[y==1]>=at).mean()
    print('{"%s", %r, %d, %d, %.12f, %.12f, %.12f},'%(g,float(th[best]),len(s),y.sum(),b,tpr[best],fpr[best])); res[g]=(b,tpr[best])
bs=[v[0] for v in res.values()];a=[v[1] for v in res.values()]
print("%.12f %.12f"%(max(bs)-min(bs),max(a)-min(a)))
