package dense

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Hit is a row with the cosine of its vector and the query's.
type Hit struct {
	Row   uint32
	Score float64
}

// SearchOptions say what to search; the zero value searches all.
type SearchOptions struct {
	// Dead rows are deleted: never found.
	Dead Bitmap
	// Allow is the only rows that may be found; nil allows all.
	Allow Bitmap
	// Within is the only ranges of rows that may be found, in any order; nil
	// allows all. Where Allow is given too, a row has to be in both.
	Within []Range
	// Threshold: hits below it are of no use, as the k-th best of other
	// segments is better. 0: none.
	Threshold float64
	// Vector gives the vector of a row, for the scores; nil leaves the scores
	// at what int8 gives (within a few thousandths). Called from Search's
	// goroutine.
	Vector func(row int) []float32
	// Probes is how many lists to scan; 0 leaves it to what the build found.
	Probes int
	// Rescore is how many of the best rows by int8 to score by Vector; 0
	// takes all that may be among the best k.
	Rescore int
	// Exact compares every row: the best k are the best k. Needs Vector to be
	// exact beyond int8.
	Exact bool

	likely int // where k is 1, the row that it likely is, from 1: fewer come near it
}

// Certainty, in standard deviations of the estimate's error. A row whose
// estimate lies this far below the k-th best score is not looked at: of the
// rows that just belong to the best k that is one in four hundred, of better
// ones fewer.
const certainty = 2.8

// surely is the same for the error of int8, a tenth the size: 1 in 30,000.
const surely = 4

// chunkUnits is how many units are scanned between looks at their candidates.
const chunkUnits = 64

// directShare: where a filter lets through fewer than one row in so many, they
// are compared one by one, which is exact and no slower.
const directShare = 32

type scratch struct {
	within   Bitmap // zero between queries
	rotated  []float32
	query    []int16
	table    *table
	est      []float32
	mask     []uint32
	products []int32
	near     []candidate
	vectors  [][]float32
	best     best
	lists    listQueue
}

// candidate is a row with the upper bound of its score.
type candidate struct {
	row   uint32
	bound float32
}

func newScratch(padded int) *scratch {
	return &scratch{
		rotated: make([]float32, padded), query: make([]int16, padded), table: newTable(padded),
		est: make([]float32, chunkUnits*lanes), mask: make([]uint32, chunkUnits),
		products: make([]int32, 64),
	}
}

// search is one query on its way.
type search struct {
	*scratch
	s          *Segment
	o          SearchOptions
	queryScale float32
	slack      float32 // error of a score by int8
	filtered   bool
	allow      Bitmap // the rows that may be found, where filtered
	from, to   int    // allow has rows of these words only
}

// Search appends the best k rows for the unit vector q to dst, best first, of
// equal scores the lower row first. Fewer come where fewer are allowed or reach
// the threshold.
func (s *Segment) Search(dst []Hit, q []float32, k int, o SearchOptions) ([]Hit, error) {
	if len(q) != s.dim {
		return dst, fmt.Errorf("dense: the query has %d dimensions and the vectors %d", len(q), s.dim)
	}
	norm := math.Sqrt(dot64(q, q))
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return dst, errors.New("dense: the query has an element that is no number")
	}
	k = min(k, s.n)
	if k <= 0 {
		return dst, nil
	}
	x := &search{scratch: s.scratch.Get().(*scratch), s: s, o: o}
	defer s.scratch.Put(x.scratch)
	x.filter()
	if x.from < x.to {
		s.rotation.turn(x.rotated, q)
		x.collect(norm, k)
		dst = x.finish(dst, q, k)
	}
	if o.Within != nil {
		clear(x.within[x.from:x.to])
	}
	return dst, nil
}

// filter makes one bitmap of what the options allow.
func (x *search) filter() {
	words := (x.s.n + 63) / 64
	x.filtered, x.allow, x.from, x.to = x.o.Allow != nil, x.o.Allow, 0, words
	if x.filtered {
		x.to = min(words, len(x.allow))
	}
	if x.o.Within == nil {
		return
	}
	if len(x.within) < words {
		x.within = make(Bitmap, words)
	}
	from, to := words, 0
	for _, r := range x.o.Within {
		if first, end := int(r.First), min(int(r.End), x.s.n); first < end {
			x.within.SetRange(first, end)
			from, to = min(from, first/64), max(to, (end+63)/64)
		}
	}
	x.from, x.to = min(from, to), to
	if x.filtered {
		for w := x.from; w < x.to; w++ {
			x.within[w] &= x.allow.word(w)
		}
	}
	x.filtered, x.allow = true, x.within
}

// collect leaves what may be among the best k for the rotated query in x.best.
func (x *search) collect(norm float64, k int) {
	s := x.s
	x.queryScale = quantiseQuery(x.query, x.rotated)
	exact := x.o.Exact || s.lists == 0
	if x.filtered && !exact {
		exact = x.allow.count(x.o.Dead, x.from, x.to, s.n) <= max(1024, s.n/directShare)
	}
	// The error of int8: at most what the row and the query lost, for a row
	// taken at random a root of the dimension less.
	lost := float64(x.queryScale) / 2 * math.Sqrt(float64(len(x.query)))
	slack := norm*s.failing + lost*(1+s.failing)
	if !exact {
		slack *= min(1, surely/math.Sqrt(float64(len(x.query))))
	}
	x.slack = float32(slack + 4e-6*norm)
	floor := float32(math.Inf(-1))
	if x.o.Threshold != 0 {
		floor = float32(x.o.Threshold) - x.slack
	}
	x.best.reset(k, floor, x.slack)
	if x.o.likely > 0 {
		x.scoreRow(x.o.likely - 1)
	}
	if exact {
		x.scanRows()
		return
	}
	x.table.set(x.rotated)
	x.scanLists(float32(norm))
}

// scanRows scores all rows that may be found by int8: runs of them, while the
// next ones are on their way.
func (x *search) scanRows() {
	s := x.s
	w, word := x.nextWord(x.from)
	for word != 0 {
		v, next := x.nextWord(w + 1)
		if next != 0 && next != ^uint64(0) { // all 64 are fetched by the processor itself
			left := aheadRows
			for rest := next; rest != 0 && left > 0; left-- {
				s.fetchRow(v*64 + bits.TrailingZeros64(rest))
				rest &= rest - 1
			}
		}
		for word != 0 {
			i := bits.TrailingZeros64(word)
			first := w*64 + i
			n := bits.TrailingZeros64(^(word >> i))
			n = min(n, s.layout.rows-first&(s.layout.rows-1))
			dotInt8(x.query, s.int8Rows(first, n), n, x.products)
			for j, p := range x.products[:n] {
				x.best.push(float32(p)*(s.rowScale(first+j)*x.queryScale), uint32(first+j))
			}
			word &^= ^uint64(0) >> (64 - n) << i
		}
		w, word = v, next
	}
}

// aheadRows is how many rows of the next word are fetched ahead.
const aheadRows = 24

// nextWord that has rows that may be found, from word w on; 0 where none has.
func (x *search) nextWord(w int) (int, uint64) {
	for ; w < x.to; w++ {
		word := ^uint64(0)
		if x.filtered {
			word = x.allow[w]
		}
		word &^= x.o.Dead.word(w)
		if left := x.s.n - w*64; left < 64 {
			word &= 1<<left - 1
		}
		if word != 0 {
			return w, word
		}
	}
	return w, 0
}

func (x *search) scoreRow(row int) {
	dotInt8(x.query, x.s.int8Rows(row, 1), 1, x.products)
	x.best.push(float32(x.products[0])*(x.s.rowScale(row)*x.queryScale), uint32(row))
}

// scanLists estimates from the codes of the lists nearest to the query, and
// scores by int8 at once what may be among the best: so the bar rises quickly,
// and few rows reach it.
func (x *search) scanLists(norm float32) {
	s := x.s
	up := float32(certainty * spread * norm) // upper bounds of estimates, by raising b
	step := 1
	x.lists.fill(s, x.table, float32(s.margin)*norm)
	probes := x.o.Probes
	if probes <= 0 {
		probes = s.lists
	}
	for range probes {
		bar := float32(math.Inf(-1))
		if x.o.Probes <= 0 && s.lists > 1 {
			bar = x.best.bar
		}
		l, ok := x.lists.next(bar)
		if !ok {
			return
		}
		x.lists.announce()
		d := s.directory[l]
		dotInt8(x.query, s.centroid(l), 1, x.products)
		centre := float32(x.products[0]) * (x.queryScale * d.scale)
		for u, end := d.first, d.first+(d.rows+lanes-1)/lanes; u < end; {
			block, at := s.unitBlocks[u>>s.layout.unitShift], u&(s.layout.units-1)
			n := min(step, end-u, s.layout.units-at)
			scan(x.table.entries, block[at*s.layout.unitSize:], s.layout.padded, n, x.table.a, x.table.b+up, x.best.bar-centre, x.est, x.mask)
			x.gather(u, n, d.first*lanes+d.rows, centre)
			u += n
			step = min(2*step, chunkUnits)
		}
	}
}

// nearBytes of int8 rows are in the processor's cache anyway.
const nearBytes = 1 << 19

// gather scores the candidates of n units from unit u on; positions from end
// on are padding.
func (x *search) gather(u, n, end int, centre float32) {
	s := x.s
	far := s.n*s.layout.padded > nearBytes
	near := x.near[:0]
	for i, m := range x.mask[:n] {
		for ; m != 0; m &= m - 1 {
			lane := bits.TrailingZeros32(m)
			p := (u+i)*lanes + lane
			if p >= end {
				break
			}
			row := s.row(p)
			// A row number that is too great is damaged: Load does not look.
			if int(row) >= s.n || x.o.Dead.Has(int(row)) || x.filtered && !x.allow.Has(int(row)) {
				continue
			}
			if far {
				s.fetchRow(int(row))
			}
			near = append(near, candidate{row, x.est[i*lanes+lane] + centre})
		}
	}
	for _, c := range near {
		if c.bound > x.best.bar {
			x.scoreRow(int(c.row))
		}
	}
	x.near = near
}

// ahead is how many vectors are fetched before the one that is scored.
const ahead = 3

// finish scores what is left by the vectors themselves.
func (x *search) finish(dst []Hit, q []float32, k int) []Hit {
	rows := x.best.rows()
	if x.o.Rescore > 0 && len(rows) > x.o.Rescore {
		slices.SortFunc(rows, func(a, b candidate) int {
			return order(Scored{a.row, float64(a.bound)}, Scored{b.row, float64(b.bound)})
		})
		rows = rows[:x.o.Rescore]
	}
	from := len(dst)
	x.vectors = x.vectors[:0]
	if x.o.Vector != nil {
		for _, c := range rows {
			x.vectors = append(x.vectors, x.o.Vector(int(c.row)))
		}
	}
	for i, c := range rows {
		score := float64(c.bound)
		if x.o.Vector != nil {
			if i+ahead < len(rows) {
				prefetchFloats(x.vectors[i+ahead])
			}
			score = dot64(q, x.vectors[i])
		}
		if x.o.Threshold == 0 || score >= x.o.Threshold {
			dst = append(dst, Hit{c.row, score})
		}
	}
	clear(x.vectors)
	found := dst[from:]
	slices.SortFunc(found, func(a, b Hit) int { return order(Scored{a.Row, a.Score}, Scored{b.Row, b.Score}) })
	return dst[:from+min(k, len(found))]
}
