package lexical

import (
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"

	"rxedge/index/pace"
)

// Builder makes a segment of passages, one after the other. It keeps their
// postings in memory, about 4 bytes each. Passages are analysed some hundred at
// a time, on all processors; what comes of it does not depend on how many. Not
// safe for concurrent use.
type Builder struct {
	analyzer *Analyzer
	waiting  []Passage
	workers  []*worker
	passages int
	counting int               // workers that have passages which were not taken over yet
	ids      map[string]uint32 // of terms
	terms    []string
	lists    []list // by term
	lengths  []Counts
}

// worker counts the terms of some passages.
type worker struct {
	tally *tally
	ids   []uint32 // of its tally's terms, in the builder
	// What is counted now, and what was counted before and is taken over meanwhile.
	now, before counted
}

// counted is what came of some passages.
type counted struct {
	known   []string // terms of the tally
	lengths []Counts // of the passages
	ends    []int    // of their postings
	terms   []uint32 // of the postings, in the tally
	counts  []Counts
}

// list is the postings of a term under construction: for each the distance from
// the one before, the count in the text with a flag for each other field, and
// the counts there, as varints.
type list struct {
	data []byte
	last uint32 // passage + 1
}

// NewBuilder of a segment whose text goes through a.
func NewBuilder(a *Analyzer) *Builder {
	return &Builder{analyzer: a, ids: make(map[string]uint32)}
}

// maxPassages in a segment.
const maxPassages = math.MaxUint32 / 2

// Passages are analysed in batches: so few are not worth another processor.
const (
	batchSize   = 1024
	perWorker   = 32
	mostWorkers = 8
)

// AddPassage indexes the next passage; the first is 0.
func (b *Builder) AddPassage(p Passage) error {
	if b.Passages() >= maxPassages {
		return errors.New("lexical: too many passages for one segment")
	}
	b.passages++
	b.waiting = append(b.waiting, p)
	if len(b.waiting) == batchSize {
		b.analyse()
	}
	return nil
}

// analyse what is waiting, in as many parts as there are processors for it. What
// was analysed before is taken over at the same time.
func (b *Builder) analyse() {
	n := max(1, min(runtime.GOMAXPROCS(0), mostWorkers, len(b.waiting)/perWorker))
	for len(b.workers) < n {
		b.workers = append(b.workers, &worker{tally: newTally(b.analyzer)})
	}
	for _, w := range b.workers[:b.counting] {
		w.now, w.before = w.before, w.now
	}
	var wg sync.WaitGroup
	for i, w := range b.workers[:n] {
		part := b.waiting[len(b.waiting)*i/n : len(b.waiting)*(i+1)/n]
		wg.Go(func() { w.count(part) })
	}
	b.takeAll(func(w *worker) *counted { return &w.before })
	wg.Wait()
	b.counting = n
	clear(b.waiting)
	b.waiting = b.waiting[:0]
}

func (w *worker) count(ps []Passage) {
	c := &w.now
	c.lengths, c.ends, c.terms, c.counts = c.lengths[:0], c.ends[:0], c.terms[:0], c.counts[:0]
	work := pace.Begin()
	for i := range ps {
		work.Pause()
		w.tally.count(&ps[i])
		for _, id := range w.tally.seen {
			c.terms = append(c.terms, id)
			c.counts = append(c.counts, w.tally.counts[id])
		}
		c.lengths = append(c.lengths, w.tally.length)
		c.ends = append(c.ends, len(c.terms))
	}
	c.known = w.tally.terms
}

// takeAll that the workers counted.
func (b *Builder) takeAll(what func(*worker) *counted) {
	work := pace.Begin()
	for _, w := range b.workers[:b.counting] {
		b.take(w, what(w), &work)
	}
	b.counting = 0
}

// take over what a worker counted.
func (b *Builder) take(w *worker, c *counted, work *pace.Work) {
	for i, term := range c.known[len(w.ids):] {
		if i%64 == 0 {
			work.Pause()
		}
		id, ok := b.ids[term]
		if !ok {
			id = uint32(len(b.terms))
			b.ids[term] = id
			b.terms = append(b.terms, term)
			b.lists = append(b.lists, list{})
		}
		w.ids = append(w.ids, id)
	}
	from := 0
	for i, end := range c.ends {
		doc := uint32(len(b.lengths))
		for j := from; j < end; j++ {
			b.lists[w.ids[c.terms[j]]].add(doc, c.counts[j])
		}
		b.lengths = append(b.lengths, c.lengths[i])
		from = end
		work.Pause()
	}
}

func (l *list) add(doc uint32, c Counts) {
	d := binary.AppendUvarint(l.data, uint64(doc+1-l.last))
	flags := uint64(0)
	for f := Heading; f < fields; f++ {
		if c[f] > 0 {
			flags |= 1 << (f - 1)
		}
	}
	d = binary.AppendUvarint(d, uint64(c[Text])<<(fields-1)|flags)
	for f := Heading; f < fields; f++ {
		if c[f] > 0 {
			d = binary.AppendUvarint(d, uint64(c[f]))
		}
	}
	l.data, l.last = d, doc+1
}

// each gives the postings back.
func (l *list) each(fn func(doc uint32, c Counts)) {
	next := uint32(0)
	for d := l.data; len(d) > 0; {
		gap, n := binary.Uvarint(d)
		tf, m := binary.Uvarint(d[n:])
		d = d[n+m:]
		next += uint32(gap)
		c := Counts{Text: uint32(tf >> (fields - 1))}
		for f := Heading; f < fields; f++ {
			if tf>>(f-1)&1 != 0 {
				v, n := binary.Uvarint(d)
				d = d[n:]
				c[f] = uint32(v)
			}
		}
		fn(next-1, c)
	}
}

// Passages added so far.
func (b *Builder) Passages() int { return b.passages }

// Finish hands each blob to write, in the order in which OpenSegment wants
// them; a blob is not touched again. The builder is spent afterwards.
func (b *Builder) Finish(write func(blob []byte) error) error {
	b.analyse()
	b.takeAll(func(w *worker) *counted { return &w.now })
	b.workers, b.ids = nil, nil
	e, err := newEncoder(len(b.lengths), func(i int) Counts { return b.lengths[i] }, write)
	if err != nil {
		return err
	}
	work := pace.Begin()
	terms := b.terms
	order := make([]uint32, len(terms))
	for i := range order {
		order[i] = uint32(i)
	}
	compared := 0
	slices.SortFunc(order, func(x, y uint32) int {
		if compared++; compared%64 == 0 {
			work.Pause()
		}
		return strings.Compare(terms[x], terms[y])
	})
	for run := range b.encode(order, e, &work) {
		from := uint32(0)
		for i, id := range run.order {
			if run.err != nil {
				return run.err
			}
			if err := e.addEntry(terms[id], run.dfs[i], run.entries[from:run.ends[i]]); err != nil {
				return err
			}
			from = run.ends[i]
		}
		work.Pause()
	}
	return e.finish()
}

// encoded is the entries of some terms.
type encoded struct {
	order   []uint32 // the terms
	entries []byte
	ends    []uint32 // by place in order
	dfs     []uint32
	err     error
}

// encodedAtOnce are terms whose postings take so many bytes, as the builder keeps
// them.
const encodedAtOnce = 1 << 18

// encode the lists in order, several runs of them at a time. The lists are spent.
func (b *Builder) encode(order []uint32, e *encoder, work *pace.Work) iter.Seq[*encoded] {
	do := func(run *encoded, enc *entryEncoder, work *pace.Work) {
		for i, id := range run.order {
			if i%16 == 0 {
				work.Pause()
			}
			b.lists[id].each(enc.add)
			b.lists[id] = list{}
			var df uint32
			if run.entries, df, run.err = enc.append(run.entries, b.terms[id]); run.err != nil {
				return
			}
			run.ends, run.dfs = append(run.ends, uint32(len(run.entries))), append(run.dfs, df)
		}
	}
	// next run of the order.
	next := func() *encoded {
		n, size := 0, 0
		for n < len(order) && size < encodedAtOnce {
			size += len(b.lists[order[n]].data)
			n++
		}
		run := &encoded{order: order[:n]}
		order = order[n:]
		return run
	}
	return func(yield func(*encoded) bool) {
		workers := min(runtime.GOMAXPROCS(0), mostWorkers)
		first := next()
		if workers == 1 || len(order) == 0 { // too little for another processor
			for run := first; len(run.order) > 0; run = next() {
				if do(run, &e.entryEncoder, work); !yield(run) {
					return
				}
			}
			return
		}
		type job struct {
			run  *encoded
			done chan struct{}
		}
		jobs, out, stop := make(chan job), make(chan job, 2*workers), make(chan struct{})
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				enc, work := entryEncoder{params: e.params, norms: e.norms}, pace.Begin()
				for j := range jobs {
					do(j.run, &enc, &work)
					close(j.done)
				}
			})
		}
		wg.Go(func() {
			defer close(out)
			defer close(jobs)
			for run := first; len(run.order) > 0; run = next() {
				j := job{run, make(chan struct{})}
				select {
				case out <- j:
				case <-stop:
					return
				}
				jobs <- j
			}
		})
		defer wg.Wait()
		defer close(stop)
		for j := range out {
			if <-j.done; !yield(j.run) {
				return
			}
		}
	}
}

// Build is Add for each passage, Finish and OpenSegment: a segment in memory,
// as live updates make it. The blobs are what Finish wrote.
func Build(a *Analyzer, passages []Passage) (s *Segment, blobs [][]byte, err error) {
	b := NewBuilder(a)
	for i := range passages {
		if err := b.AddPassage(passages[i]); err != nil {
			return nil, nil, err
		}
	}
	if err := b.Finish(func(blob []byte) error { blobs = append(blobs, blob); return nil }); err != nil {
		return nil, nil, err
	}
	s, err = OpenSegment(blobs)
	return s, blobs, err
}
