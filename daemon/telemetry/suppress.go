package telemetry

import (
	"cmp"
	"maps"
	"slices"
)

// LeastCell is the fewest questions that a number which leaves the box may be of.
const LeastCell = 11

// mostWaiting values of a dimension wait to be of LeastCell questions; where there
// are more, the rarest go as Other.
const mostWaiting = mostValues / 2

// Release divides w and what waited before it (nil: nothing): out may leave the
// box, rest waits and goes along with a later day. A number that leaves is 0 or of
// LeastCell questions at least, and every question is in one release alone, so that
// no two can be told from one another by subtraction. What is too few each day is
// not lost: over time the releases add up to all that was counted, but for what
// still waits. out is nil where there are fewer than LeastCell questions in all.
//
// Of times and distinct questions nothing waits, but with a whole day.
func (w *Window) Release(waiting *Window) (out, rest *Window, err error) {
	out = w.Clone()
	if waiting != nil {
		if err := out.Merge(waiting, false); err != nil {
			return nil, nil, err
		}
		out.From, out.To = w.From, w.To
	}
	if out.Questions < LeastCell {
		return nil, out, nil
	}
	rest = NewWindow(w.From, w.To, w.Model, w.Generation)
	for f, bins := range out.Bins {
		holdBack(bins, rest.Bins[f])
	}
	for d, m := range out.Slices {
		for v, s := range m {
			if s.N < LeastCell {
				rest.Slices[d][v] = s
				delete(m, v)
			}
		}
		if o := rest.fold(Dimension(d)); o != nil {
			if s := m[Other]; s != nil {
				s.merge(o)
			} else {
				m[Other] = o
			}
		}
		for v, s := range m {
			if held := s.release(); held != (Slice{}) {
				if r := rest.Slices[d][v]; r != nil {
					r.merge(&held)
				} else {
					rest.Slices[d][v] = &held
				}
			}
		}
	}
	for id, s := range out.Spaces {
		rest.Spaces[id] = s.release()
	}
	rest.Concordance, rest.Explained = out.Concordance.release(), out.Explained.release()
	for _, s := range out.stages {
		if s.GetCount() < LeastCell {
			s.Clear()
		}
	}
	return out, rest, nil
}

// fold the rarest values of a dimension into one, where there are too many and that
// one may leave; nil: there is none.
func (w *Window) fold(d Dimension) *Slice {
	m := w.Slices[d]
	if len(m) <= mostWaiting {
		return nil
	}
	values := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[a].N, m[b].N), cmp.Compare(a, b)) })
	sum := &Slice{}
	for _, v := range values[:len(values)-mostWaiting/2] {
		sum.merge(m[v])
	}
	if sum.N < LeastCell {
		return nil
	}
	for _, v := range values[:len(values)-mostWaiting/2] {
		delete(m, v)
	}
	return sum
}

// release keeps of s what may leave, and returns what is held back: counts that are
// too few, and parts that waited so long that they are more than the whole.
func (s *Slice) release() (held Slice) {
	h := held.fields()
	for i, f := range s.fields() {
		if *f < LeastCell || i > 0 && i < sliceJudged && *f > s.N {
			*h[i], *f = *f, 0
		}
	}
	return held
}

// Covered says whether the window is as Release lets it leave: every number 0, or
// of LeastCell questions at least.
func (w *Window) Covered() bool {
	ok := w.Questions >= LeastCell
	see := func(n int64) { ok = ok && (n == 0 || n >= LeastCell) }
	for _, bins := range w.Bins {
		for _, n := range bins {
			see(n)
		}
	}
	for _, m := range w.Slices {
		for _, s := range m {
			for _, f := range s.fields() {
				see(*f)
			}
		}
	}
	for _, s := range w.Spaces {
		ok = ok && s.covered()
	}
	w.Explained.each(func(_, _ string, r *Reasons) { see(r.N) })
	none := newConcordance()
	w.Concordance.each(&none, func(mine *int64, _ int64) { see(*mine) })
	for _, s := range w.stages {
		see(int64(s.GetCount()))
	}
	return ok
}

// Less is what w counts and o, a part of it, does not: histograms and slices alone,
// without times and distinct questions.
func (w *Window) Less(o *Window) *Window {
	out := NewWindow(w.From, w.To, w.Model, w.Generation)
	out.Questions = max(0, w.Questions-o.Questions)
	for f := range w.Bins {
		for i, n := range w.Bins[f] {
			out.Bins[f][i] = max(0, n-o.Bins[f][i])
		}
	}
	for d, m := range w.Slices {
		for v, s := range m {
			left := *s
			if x := o.Slices[d][v]; x != nil {
				theirs := x.fields()
				for i, f := range left.fields() {
					*f = max(0, *f-*theirs[i])
				}
			}
			if left != (Slice{}) {
				out.Slices[d][v] = &left
			}
		}
	}
	for id, s := range w.Spaces {
		out.Spaces[id] = s.less(o.Spaces[id])
	}
	out.Concordance, out.Explained = w.Concordance.less(&o.Concordance), w.Explained.less(o.Explained)
	return out
}

// holdBack moves cells of fewer than LeastCell from bins to rest.
func holdBack(bins, rest []int64) {
	for i := range bins {
		if bins[i] < LeastCell {
			rest[i], bins[i] = bins[i], 0
		}
	}
}
