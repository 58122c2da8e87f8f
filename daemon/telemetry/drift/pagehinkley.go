package drift

import "math"

// PageHinkley notices that the mean of a stream has moved (Page 1954). Make one
// with NewPageHinkley. Not safe for concurrent use.
type PageHinkley struct {
	Delta     float64 // change that is of no interest
	Threshold float64 // λ
	Alpha     float64 // forgetting, a value
	Least     int     // values before anything is said

	n                int
	mean             float64
	up, least        float64
	down, most       float64
	changed, falling bool
}

// NewPageHinkley with the usual settings (δ .005, λ 50, α .9999, 30 values), for
// changes in both directions.
func NewPageHinkley() *PageHinkley {
	p := &PageHinkley{Delta: 0.005, Threshold: 50, Alpha: 1 - 0.0001, Least: 30}
	p.reset()
	return p
}

func (p *PageHinkley) reset() {
	p.n, p.mean, p.up, p.down = 0, 0, 0, 0
	p.least, p.most = math.Inf(1), math.Inf(-1)
	p.changed, p.falling = false, false
}

// Add takes a value and says whether the mean has moved; after that it begins
// anew.
func (p *PageHinkley) Add(x float64) bool {
	if p.changed {
		p.reset()
	}
	p.n++
	p.mean += (x - p.mean) / float64(p.n)
	dev := x - p.mean
	p.up = p.Alpha*p.up + dev - p.Delta
	p.down = p.Alpha*p.down + dev + p.Delta
	p.least, p.most = min(p.least, p.up), max(p.most, p.down)
	if p.n >= p.Least {
		rise, fall := p.up-p.least, p.most-p.down
		p.changed, p.falling = rise > p.Threshold || fall > p.Threshold, fall > rise
	}
	return p.changed
}

// Fell says of a change that Add has just told whether the mean went down.
func (p *PageHinkley) Fell() bool { return p.changed && p.falling }
