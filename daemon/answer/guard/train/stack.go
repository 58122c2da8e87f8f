package main

import (
	"math"
	"slices"

	"rxedge/daemon/answer/guard"
)

const (
	inner     = 4    // folds within which weights and stack are found
	trials    = 100  // of the search
	diversity = 0.05 // what members that all say the same cost, in log loss
	stackRide = 0.001
)

// ensemble fits all: members on all rows, their weights and the stack on what
// members say of rows that they were not fitted to.
func ensemble(rows []row, seed int64) *guard.Model {
	m := &guard.Model{}
	m.Mean, m.Scale = standardise(rows)
	out := make([][]float64, len(rows)) // log-odds by member, out of fold
	for k := range inner {
		var in []row
		for _, r := range rows {
			if int(r.group/outer)%inner != k {
				in = append(in, r)
			}
		}
		var ms []guard.Member
		for j := range kinds {
			ms = append(ms, member(j, m, in, uint64(seed)))
		}
		for i := range rows {
			if int(rows[i].group/outer)%inner == k {
				z := m.Standard(&rows[i].x)
				for j := range ms {
					out[i] = append(out[i], ms[j].LogOdds(&z))
				}
			}
		}
	}
	w := search(out, rows, seed)
	xs := make([][]float64, len(rows))
	for i := range rows {
		xs[i] = scaled(out[i], w)
	}
	var coefficients []float64
	m.Bias, coefficients = logistic(xs, rows, stackRide)
	for j := range kinds {
		m.Members = append(m.Members, member(j, m, rows, uint64(seed)))
		m.Stack = append(m.Stack, coefficients[j]*w[j])
	}
	return m
}

func scaled(z, w []float64) []float64 {
	out := make([]float64, len(z))
	for j := range z {
		out[j] = z[j] * w[j]
	}
	return out
}

// search finds weights of the members: those whose weighted mean has the least log
// loss, with a penalty on members that say the same. The penalty keeps the stack from
// leaning on near copies, whose coefficients nothing holds.
func search(out [][]float64, rows []row, seed int64) []float64 {
	corr := correlations(out)
	loss := func(w []float64) float64 {
		sum := 0.0
		for _, v := range w {
			sum += v
		}
		if sum == 0 {
			return math.Inf(1)
		}
		l, total := 0.0, 0.0
		for i, r := range rows {
			z := 0.0
			for j, v := range w {
				z += v / sum * out[i][j]
			}
			y := 0.0
			if r.wrong {
				y = 1
			}
			l += r.weight * (math.Max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) - y*z)
			total += r.weight
		}
		alike := 0.0
		for i := range w {
			for j := range w {
				alike += w[i] / sum * w[j] / sum * corr[i][j]
			}
		}
		return l/total + diversity*alike
	}
	w := minimise(loss, len(kinds), trials, uint64(seed))
	sum := 0.0
	for _, v := range w {
		sum += v
	}
	for j := range w {
		w[j] /= sum
	}
	return w
}

func correlations(out [][]float64) [][]float64 {
	n := len(out[0])
	mean := make([]float64, n)
	for _, o := range out {
		for j, v := range o {
			mean[j] += v / float64(len(out))
		}
	}
	c := make([][]float64, n)
	for i := range c {
		c[i] = make([]float64, n)
		for j := range c[i] {
			sij, si, sj := 0.0, 0.0, 0.0
			for _, o := range out {
				a, b := o[i]-mean[i], o[j]-mean[j]
				sij, si, sj = sij+a*b, si+a*a, sj+b*b
			}
			if si > 0 && sj > 0 {
				c[i][j] = sij / math.Sqrt(si*sj)
			}
		}
	}
	return c
}

// auc is the share of pairs of a wrong and a right answer that the scores order, by
// weight; ties count half.
func auc(scores []float64, rows []row) float64 {
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] < scores[b]:
			return -1
		case scores[a] > scores[b]:
			return 1
		}
		return 0
	})
	below, got, ones, zeros := 0.0, 0.0, 0.0, 0.0
	for i := 0; i < len(order); {
		j, w, r := i, 0.0, 0.0
		for ; j < len(order) && scores[order[j]] == scores[order[i]]; j++ {
			if rows[order[j]].wrong {
				w++
			} else {
				r++
			}
		}
		got += w * (below + r/2)
		below += r
		ones, zeros = ones+w, zeros+r
		i = j
	}
	if ones == 0 || zeros == 0 {
		return math.NaN()
	}
	return got / (ones * zeros)
}
