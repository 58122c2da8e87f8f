package telemetry

// LeastCell is the fewest questions that a number which leaves the box may be of.
const LeastCell = 11

// Suppressed is the window as it may leave the box: values of a dimension with
// fewer than LeastCell questions are counted as Other, and where those are fewer
// too, left out; any other number from 1 to 10 is 0. hidden says how many numbers
// that are. A window of fewer than LeastCell questions is nil.
func (w *Window) Suppressed() (out *Window, hidden int) {
	if w.Questions < LeastCell {
		return nil, 1
	}
	out = w.Clone()
	hide := func(n *int64) {
		if *n > 0 && *n < LeastCell {
			*n = 0
			hidden++
		}
	}
	for _, bins := range out.Bins {
		for i := range bins {
			hide(&bins[i])
		}
	}
	for d, m := range out.Slices {
		rest := &Slice{}
		for v, s := range m {
			if s.N < LeastCell || v == Other {
				rest.merge(s)
				delete(m, v)
				hidden++
			}
		}
		if rest.N >= LeastCell {
			out.Slices[d][Other] = rest
		}
		for _, s := range m {
			for _, f := range s.fields() {
				hide(f)
			}
		}
	}
	for i, s := range out.stages {
		if n := s.GetCount(); n > 0 && n < LeastCell {
			out.stages[i].Clear()
			hidden++
		}
	}
	return out, hidden
}
