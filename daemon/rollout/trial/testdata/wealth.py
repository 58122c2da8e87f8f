"""The test of a trial written a second time, in Python: the wealth of one sequence
to the last digit, and how often simulated trials come to which verdict.

    python3 wealth.py [RUNS]      (needs numpy for the simulations alone)
"""
import math, sys

EFFECT, LEAST, MOST, ALPHA, BETA = .05, 200, 20000, .025, .025


class Bet:
    """Against: the mean of the next is at most bound."""

    def __init__(self, bound, effect):
        self.bound, self.effect, self.seen, self.log = bound, effect, [], 0.
        self.n = self.sum = self.sumsq = 0

    def see(self, d):
        spread = self.sumsq - self.sum ** 2 / self.n if self.n else 0.
        v = (max(spread, 0) + 10 * .25) / (self.n + 10)
        stake = min(self.effect / (v + self.effect ** 2), .95 / (1 + self.bound))
        self.log += math.log(1 + stake * (d - self.bound))
        self.n, self.sum, self.sumsq = self.n + 1, self.sum + d, self.sumsq + d * d


def sequence():
    x = 12345
    for _ in range(500):
        x = (x * 1664525 + 1013904223) % 2 ** 32
        u = (x >> 8) / 2 ** 24
        yield 1 if u < .20 else -1 if u < .32 else .25 if u < .40 else 0


def trial(diffs):
    better, worse = Bet(0, EFFECT), Bet(-EFFECT, EFFECT)
    for n, d in enumerate(diffs, 1):
        better.see(d)
        worse.see(-d)
        if worse.log >= -math.log(BETA):
            return 'stop', n
        if n >= LEAST and better.log >= -math.log(ALPHA):
            return 'promote', n
    return 'undecided', n


def simulate(runs):
    import numpy as np
    rng = np.random.default_rng(20260601)
    for a, b, together in [(.80, .85, .5), (.80, .80, .5), (.80, .75, .5), (.80, .85, 0), (.80, .80, 0), (.80, .75, 0), (.80, .825, .5)]:
        got, ns = {}, []
        for _ in range(runs):
            x = rng.random(MOST)
            y = np.where(rng.random(MOST) < together, x, rng.random(MOST))
            v, n = trial(((y < b).astype(int) - (x < a).astype(int)).tolist())
            got[v] = got.get(v, 0) + 1
            ns.append(n)
        print(f'{a:.3f} against {b:.3f}, together {together}: {got}; observations: mean {np.mean(ns):.0f}, 95 % {np.percentile(ns, 95):.0f}')


if __name__ == '__main__':
    p, q = Bet(0, EFFECT), Bet(-EFFECT, EFFECT)
    for d in sequence():
        p.see(d)
        q.see(-d)
    print(f'better {p.log:.12f}, not better {q.log:.12f}')
    if len(sys.argv) > 1:
        simulate(int(sys.argv[1]))
