"""FAISS as one of the contenders; see child in ../peers.go.

faiss_index.py BASE QUERIES DIM FACTORY CACHE [name=value...]
FACTORY as faiss.index_factory knows it; the index is kept in the file CACHE.
"""
import json
import os
import sys
import time

import faiss
import numpy as np

base, queries, dim, factory, cache = sys.argv[1:6]
parameters = dict(p.split("=") for p in sys.argv[6:])
dim = int(dim)
q = np.fromfile(queries, "f4").reshape(-1, dim)
if os.path.exists(cache):
    index = faiss.read_index(cache)
else:
    x = np.memmap(base, "f4", "r").reshape(-1, dim)
    index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        faiss.extract_index_ivf(index).cp.niter = 10
        pick = np.random.default_rng(1).permutation(len(x))[:60_000]
        index.train(np.ascontiguousarray(x[np.sort(pick)]))
    for i in range(0, len(x), 100_000):
        index.add(np.ascontiguousarray(x[i : i + 100_000]))
    if factory != "Flat":
        faiss.write_index(index, cache + ".tmp")
        os.rename(cache + ".tmp", cache)
space = faiss.ParameterSpace()
for name, value in parameters.items():
    space.set_index_parameter(index, name, float(value))
faiss.omp_set_num_threads(1)

out = sys.stdout
print("ready FAISS", faiss.__version__, "compiled as:", faiss.get_compile_options().strip(), flush=True)
for line in sys.stdin:
    ms, ids = [], []
    for i in range(len(q)):
        one = q[i : i + 1]
        t = time.perf_counter()
        _, found = index.search(one, 10)
        ms.append((time.perf_counter() - t) * 1e3)
        ids.append(found[0].tolist())
    print(json.dumps({"ms": ms, "ids": ids}), flush=True)
