"""SQLite's FTS5 as one of the contenders; see child in ../peers.go.

fts5.py DOCS QUERIES DIR WAY: columns weighed 2, 2 and 1. It scores every match,
so it answers only the first hundred queries.
"""
import json
import os
import sqlite3
import sys
import time

docs, queries, folder = sys.argv[1:4]
path = os.path.join(folder, "fts5.db")
new = not os.path.exists(path)
c = sqlite3.connect(path)
if new:
    c.execute("create virtual table f using fts5(title, heading, body, content='', columnsize=1)")
    rows, dead = [], []
    for i, line in enumerate(open(docs)):
        state, title, heading, text = line.rstrip("\n").split("\t")
        rows.append((i, title, heading, text))
        if state == "dead":
            dead.append(rows[-1])
    c.executemany("insert into f(rowid, title, heading, body) values(?,?,?,?)", rows)
    c.commit()
    c.executemany("insert into f(f, rowid, title, heading, body) values('delete',?,?,?,?)", dead)
    c.execute("insert into f(f, rank) values('rank', 'bm25(2.0, 2.0, 1.0)')")
    c.commit()
asked = [" OR ".join(line.split()) for line in open(queries)][:100]


def search(q):
    return c.execute("select rowid from f where f match ? order by rank limit 20", (q,)).fetchall()


for q in asked[:20]:
    search(q)
print(f"ready SQLite {sqlite3.sqlite_version}, the first {len(asked)} queries", flush=True)
for line in sys.stdin:
    ms, ids = [], []
    for q in asked:
        t = time.perf_counter()
        found = search(q)
        ms.append((time.perf_counter() - t) * 1e3)
        ids.append([r[0] for r in found])
    print(json.dumps({"ms": ms, "ids": ids}), flush=True)
