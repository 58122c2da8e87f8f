package dense

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"rxedge/index/pace"
)

// BuildOptions say how; the zero value is right for most.
type BuildOptions struct {
	// Seed of the rotation and of all sampling.
	Seed uint64
	// Workers is how many goroutines build; 0 takes one a core. The segment is
	// the same however many there are.
	Workers int
	// Lists is how many inverted lists to make; 0 decides by the number of
	// rows. 1 makes one of all.
	Lists int
	// Recall at 10 that held-out queries are to reach; 0 is 0.999 up to 200,000
	// rows, 0.997 up to a million, 0.995 above.
	Recall float64

	heldOut int // queries that find the margin; 0 is 384
}

const (
	// codesFrom is the number of rows from which scanning codes is quicker
	// than comparing int8 rows one by one, which is exact.
	codesFrom = 1024
	// listsFrom is the number of rows from which inverted lists pay.
	listsFrom = 30000
	// breath is how many rows are worked on, for about 0.1 ms, before a look at
	// whether it is others' turn.
	breath = 64
)

// listsFor n rows: time goes to comparing centroids and to scanning lists, and
// their sum is least, and flat, around here.
func listsFor(n int) int {
	if n < listsFrom {
		return 1
	}
	return int(3.2 * math.Sqrt(float64(n)))
}

func recallFor(n int) float64 {
	switch {
	case n <= 200_000:
		return .999
	case n <= 1_000_000:
		return .997
	}
	return .995
}

// Build makes a segment of n vectors of dimension dim. at gives row's vector,
// of unit length; it is called once for each row, from several goroutines, and
// what it returns is not kept.
func Build(ctx context.Context, dim, n int, at func(row int) []float32, o BuildOptions) (*Segment, error) {
	if dim < 1 || dim > MaxDimension {
		return nil, fmt.Errorf("dense: vectors of %d dimensions; 1 to %d can be searched", dim, MaxDimension)
	}
	if n < 0 || n > MaxRows {
		return nil, fmt.Errorf("dense: %d rows; a segment holds up to %d", n, MaxRows)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Recall <= 0 || o.Recall >= 1 {
		o.Recall = recallFor(n)
	}
	if o.heldOut <= 0 {
		o.heldOut = heldOut
	}
	b := &builder{ctx: ctx, o: o, Segment: newSegment(dim, n, o.Seed)}
	b.recall, b.target = 1, o.Recall
	if err := b.quantise(at); err != nil {
		return nil, err
	}
	if n >= codesFrom || o.Lists > 0 && n > 0 {
		if err := b.encodeLists(); err != nil {
			return nil, err
		}
	}
	b.seal()
	return b.Segment, nil
}

// builder makes the parts of a segment. Everything after quantise works on the
// int8 rows: the vectors themselves are read once, in order.
type builder struct {
	*Segment
	ctx context.Context
	o   BuildOptions
	raw []struct { // blocks without their headers' contents
		kind, first, items int
		block              []byte
	}
}

// allot makes the blocks of one kind.
func (b *builder) allot(kind, items, each, size int) {
	for first := 0; first < items; first += each {
		m := min(each, items-first)
		block := make([]byte, headerBytes+m*size)
		b.raw = append(b.raw, struct {
			kind, first, items int
			block              []byte
		}{kind, first, m, block})
		if kind != kindLists {
			b.keep(kind, block, m)
		}
	}
}

// each calls do for pieces of 0..n-1, from several goroutines, which give way
// after each piece.
func (b *builder) each(n, piece int, do func(from, to int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, min(b.o.Workers, (n+piece-1)/piece))
	for w := range errs {
		wg.Go(func() {
			work := pace.Begin()
			for errs[w] == nil {
				from := int(next.Add(1)-1) * piece
				if from >= n {
					return
				}
				if errs[w] = b.ctx.Err(); errs[w] == nil {
					errs[w] = do(from, min(from+piece, n))
				}
				work.Pause()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// quantise fills the int8 rows.
func (b *builder) quantise(at func(row int) []float32) error {
	b.allot(kindRows, b.n, b.layout.rows, b.layout.rowLen)
	var mu sync.Mutex
	return b.each(b.n, breath, func(from, to int) error {
		x := make([]float32, b.rotation.padded)
		failing := 0.0
		for r := from; r < to; r++ {
			v := at(r)
			if len(v) != b.dim {
				return fmt.Errorf("dense: row %d has %d dimensions and the segment %d", r, len(v), b.dim)
			}
			if s := dot64(v, v); math.IsNaN(s) || math.IsInf(s, 0) {
				return fmt.Errorf("dense: row %d has an element that is no number", r)
			}
			b.rotation.turn(x, v)
			scale, f := quantiseRow(b.int8Rows(r, 1), x)
			binary.LittleEndian.PutUint32(b.rowBlocks[r>>b.layout.rowShift].scales[r&(b.layout.rows-1)*4:], math.Float32bits(scale))
			failing = max(failing, f)
		}
		mu.Lock()
		b.failing = max(b.failing, failing)
		mu.Unlock()
		return nil
	})
}

// expand writes row r, as int8 has it, to x.
func (b *builder) expand(x []float32, r int) { expandRow(x, b.int8Rows(r, 1), b.rowScale(r)) }

// mean of all rows: partial sums of a fixed number of rows, added in order.
func (b *builder) mean() ([]float32, error) {
	const piece = 4096
	sums := make([][]float64, (b.n+piece-1)/piece)
	err := b.each(b.n, piece, func(from, to int) error {
		work := pace.Begin()
		x, sum := make([]float32, b.layout.padded), make([]float64, b.layout.padded)
		for r := from; r < to; r++ {
			b.expand(x, r)
			for i, v := range x {
				sum[i] += float64(v)
			}
			if r%breath == 0 {
				work.Pause()
			}
		}
		sums[from/piece] = sum
		return nil
	})
	if err != nil { // some sums are missing
		return nil, err
	}
	m := make([]float32, b.layout.padded)
	for i := range m {
		s := 0.0
		for _, sum := range sums {
			s += sum[i]
		}
		m[i] = float32(s / float64(b.n))
	}
	return m, nil
}

// encodeLists makes centroids, lists and codes, and finds how far to search.
func (b *builder) encodeLists() error {
	lists := b.o.Lists
	if lists == 0 {
		lists = listsFor(b.n)
	}
	if lists = min(lists, b.n); lists <= 1 {
		mean, err := b.mean()
		if err != nil {
			return err
		}
		return b.encode([][]float32{mean}, nil)
	}
	of, err := b.cluster(lists)
	if err != nil {
		return err
	}
	centroids, err := b.means(lists, of)
	if err != nil {
		return err
	}
	if err := b.encode(centroids, of); err != nil {
		return err
	}
	return b.calibrate(of)
}

// encode lays out the lists of the centroids and fills the codes. of is the
// list of each row; nil where there is one.
func (b *builder) encode(centroids [][]float32, of []uint32) error {
	b.lists, b.hasIDs = len(centroids), of != nil
	counts := make([]int, b.lists)
	if of == nil {
		counts[0] = b.n
	}
	for _, l := range of {
		counts[l]++
	}
	b.directory = make([]list, b.lists)
	for l, c := range counts {
		b.directory[l] = list{first: b.units, rows: c}
		b.units += (c + lanes - 1) / lanes
	}
	b.allot(kindUnits, b.units, b.layout.units, b.layout.unitSize)
	if b.hasIDs {
		b.allot(kindIDs, b.units*lanes, b.layout.ids, b.layout.idSize)
	}
	// Rows in the order of the lists, within a list in their own.
	at := func(p int) int { return p }
	if b.hasIDs {
		next := make([]int, b.lists)
		place := make([]uint32, b.units*lanes)
		for i := range place {
			place[i] = noRow
		}
		for r, l := range of {
			place[b.directory[l].first*lanes+next[l]] = uint32(r)
			next[l]++
		}
		for p, r := range place {
			binary.LittleEndian.PutUint32(b.idBlocks[p>>b.layout.idShift][p&(b.layout.ids-1)*4:], r)
		}
		at = func(p int) int { return int(place[p]) }
	}
	b.allot(kindLists, b.lists, b.layout.lists, b.layout.listSize)
	b.centroids = make([][]byte, 0, b.lists/b.layout.lists+1)
	for _, r := range b.raw {
		if r.kind == kindLists {
			b.centroids = append(b.centroids, r.block[headerBytes+r.items*listBytes:])
		}
	}
	err := b.each(b.lists, 1, func(l, _ int) error { return b.encodeList(l, centroids[l], at) })
	if err != nil || b.lists == 1 {
		return err
	}
	coarse := (b.lists + lanes - 1) / lanes
	b.allot(kindCoarse, coarse, b.layout.units, b.layout.unitSize)
	x := make([]float32, b.layout.padded)
	for l, d := range b.directory {
		expandRow(x, b.centroid(l), d.scale)
		putCode(b.unit(b.coarseBlocks, l/lanes), l%lanes, x)
		b.spreads = append(b.spreads, d.spread)
	}
	return nil
}

func (s *Segment) unit(blocks [][]byte, u int) []byte {
	return blocks[u>>s.layout.unitShift][u&(s.layout.units-1)*s.layout.unitSize:][:s.layout.unitSize]
}

// encodeList writes a centroid and the codes of its rows. The codes are of the
// differences to the centroid as int8 has it, which is the one that a query
// meets.
func (b *builder) encodeList(l int, centroid []float32, at func(p int) int) error {
	d := &b.directory[l]
	c := make([]float32, b.layout.padded)
	d.scale, _ = quantiseRow(b.centroid(l), centroid)
	expandRow(c, b.centroid(l), d.scale)
	x := make([]float32, b.layout.padded)
	squares := 0.0
	work := pace.Begin()
	for i := range d.rows {
		if i%breath == 0 {
			work.Pause()
			if err := b.ctx.Err(); err != nil {
				return err
			}
		}
		b.expand(x, at(d.first*lanes+i))
		for j := range x {
			x[j] -= c[j]
		}
		putCode(b.unit(b.unitBlocks, d.first+i/lanes), i%lanes, x)
		squares += dot64(x, x)
	}
	if d.rows > 0 {
		d.spread = float32(math.Sqrt(squares / float64(d.rows)))
	}
	return nil
}

// seal orders the blocks and writes their headers.
func (b *builder) seal() {
	b.allot(kindMeta, 1, 1, metaBytes)
	byKind := map[int][]int{}
	for i, r := range b.raw {
		byKind[r.kind] = append(byKind[r.kind], i)
	}
	number, work := 0, pace.Begin()
	for _, p := range b.layout.plan(b.n, b.lists, b.units, b.hasIDs) {
		for _, i := range byKind[p.kind] {
			r := b.raw[i]
			body := r.block[headerBytes:]
			switch r.kind {
			case kindMeta:
				b.parameters.put(body)
			case kindLists:
				for j := range r.items {
					d, e := b.directory[r.first+j], body[j*listBytes:]
					binary.LittleEndian.PutUint32(e, uint32(d.first))
					binary.LittleEndian.PutUint32(e[4:], uint32(d.rows))
					binary.LittleEndian.PutUint32(e[8:], math.Float32bits(d.spread))
					binary.LittleEndian.PutUint32(e[12:], math.Float32bits(d.scale))
				}
			}
			seal(r.block, header{r.kind, number, len(b.raw), b.dim, b.n, r.first, r.items, b.seed})
			b.blocks = append(b.blocks, r.block)
			number++
			work.Pause()
		}
	}
}
