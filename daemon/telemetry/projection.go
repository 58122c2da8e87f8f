package telemetry

import (
	"maps"
	"math"
	"math/rand/v2"
	"sync"

	"rxedge/daemon/telemetry/drift"
)

// A question's vector is counted by where it lies along a few directions that were
// drawn at random once and for all. If two distributions of vectors differ, so do those
// along almost any direction (Cramér and Wold 1936), and of numbers a two-sample test
// needs no classifier. Of a vector of hundreds of numbers eight small ones remain, which
// no text can be guessed from.

// Projections there are.
const Projections = 8

// projectionSeed of the directions; another would make windows that can't be compared.
const projectionSeed = 0x7278_6564_6765

// projectionEdges are in standard deviations of a unit vector's projection where every
// direction is equally likely, 1/√d.
var projectionEdges = steps(-4, 0.25, 33)

// MostSpaces that a window counts in; questions in others are not counted by projection.
const MostSpaces = 4

// Projected is where a question lies: the bins of its projections in a space of
// vectors, 0: it has no vector.
type Projected struct {
	Space uint64
	Bins  [Projections]uint8
}

// directions by dimension.
var directions sync.Map

func directionsOf(dim int) *[Projections][]float32 {
	if d, ok := directions.Load(dim); ok {
		return d.(*[Projections][]float32)
	}
	var out [Projections][]float32
	for k := range out {
		rng := rand.New(rand.NewPCG(projectionSeed, uint64(k)))
		u, norm := make([]float32, dim), 0.0
		for i := range u {
			x := rng.NormFloat64()
			u[i], norm = float32(x), norm+x*x
		}
		for i := range u {
			u[i] *= float32(math.Sqrt(float64(dim) / norm))
		}
		out[k] = u
	}
	d, _ := directions.LoadOrStore(dim, &out)
	return d.(*[Projections][]float32)
}

// Project gives where v lies in a space, which is known by a number that is not 0. v may
// be of any length; a vector of zeros has no place.
func Project(space uint64, v []float32) Projected {
	norm := 0.0
	for _, x := range v {
		norm += float64(x) * float64(x)
	}
	if space == 0 || norm == 0 || math.IsNaN(norm) || math.IsInf(norm, 0) {
		return Projected{}
	}
	p := Projected{Space: space}
	for k, u := range directionsOf(len(v)) {
		var dot float32
		for i, x := range v {
			dot += x * u[i]
		}
		p.Bins[k] = uint8(drift.Bin(projectionEdges, float64(dot)/math.Sqrt(norm)))
	}
	return p
}

// ProjectedBy are the dimensions by whose values projections are added up too.
var ProjectedBy = [...]Dimension{Kind, Class}

// Place is how many questions there are of a value, and the sum of their bins along each
// projection.
type Place struct {
	N    int64
	Sums [Projections]int64
}

func (p *Place) fields() (out [1 + Projections]*int64) {
	out[0] = &p.N
	for k := range p.Sums {
		out[1+k] = &p.Sums[k]
	}
	return out
}

func (p *Place) merge(o *Place) {
	theirs := o.fields()
	for i, f := range p.fields() {
		*f += *theirs[i]
	}
}

// Space counts questions by where they lie in one space of vectors.
type Space struct {
	Bins [Projections][]int64
	By   [len(ProjectedBy)]map[string]*Place
}

func newSpace() *Space {
	s := &Space{}
	for k := range s.Bins {
		s.Bins[k] = make([]int64, len(projectionEdges)+1)
	}
	for i := range s.By {
		s.By[i] = map[string]*Place{}
	}
	return s
}

// ProjectionEdges are the borders of a projection's bins.
func ProjectionEdges() []float64 { return projectionEdges }

// space of a window; nil where there is no room for it.
func (w *Window) space(id uint64) *Space {
	s := w.Spaces[id]
	if s == nil && len(w.Spaces) < MostSpaces {
		s = newSpace()
		w.Spaces[id] = s
	}
	return s
}

func (s *Space) place(i int, value string) *Place {
	m := s.By[i]
	if p := m[value]; p != nil {
		return p
	}
	if len(m) >= mostValues {
		value = Other
	}
	p := m[value]
	if p == nil {
		p = &Place{}
		m[value] = p
	}
	return p
}

func (w *Window) project(o *Observation) {
	if o.Projected.Space == 0 {
		return
	}
	s := w.space(o.Projected.Space)
	if s == nil {
		return
	}
	for k, b := range o.Projected.Bins {
		s.Bins[k][min(int(b), len(s.Bins[k])-1)]++
	}
	for i, d := range ProjectedBy {
		p := s.place(i, o.In[d])
		p.N++
		for k, b := range o.Projected.Bins {
			p.Sums[k] += int64(b)
		}
	}
}

func (s *Space) merge(o *Space) {
	for k := range s.Bins {
		for i, n := range o.Bins[k] {
			s.Bins[k][i] += n
		}
	}
	for i := range s.By {
		mergeEach(s.By[i], o.By[i], (*Place).merge)
	}
}

// release leaves in s what may leave the box, and gives what waits.
func (s *Space) release() (rest *Space) {
	rest = newSpace()
	for k, bins := range s.Bins {
		holdBack(bins, rest.Bins[k])
	}
	for i, m := range s.By {
		for v, p := range m {
			if p.N < LeastCell {
				rest.By[i][v] = p
				delete(m, v)
			}
		}
		for len(rest.By[i]) > mostWaiting { // of values that hardly any question has
			for v := range rest.By[i] {
				delete(rest.By[i], v)
				break
			}
		}
	}
	return rest
}

func (s *Space) covered() bool {
	for _, bins := range s.Bins {
		for _, n := range bins {
			if n != 0 && n < LeastCell {
				return false
			}
		}
	}
	for _, m := range s.By {
		for _, p := range m {
			if p.N < LeastCell {
				return false
			}
		}
	}
	return true
}

// less is what s counts and o, a part of it, does not.
func (s *Space) less(o *Space) *Space {
	out := newSpace()
	out.merge(s)
	if o == nil {
		return out
	}
	for k := range out.Bins {
		for i, n := range o.Bins[k] {
			out.Bins[k][i] = max(0, out.Bins[k][i]-n)
		}
	}
	for i, m := range out.By {
		for v, p := range m {
			if x := o.By[i][v]; x != nil {
				theirs := x.fields()
				for j, f := range p.fields() {
					*f = max(0, *f-*theirs[j])
				}
			}
		}
		maps.DeleteFunc(m, func(_ string, p *Place) bool { return p.N == 0 })
	}
	return out
}
