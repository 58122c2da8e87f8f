package lexical

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
)

// Params of BM25. Heading is what a term in the heading counts beside one in
// the text, in the frequency and in the length alike (BM25F with one pool).
type Params struct {
	K1, B, Heading float64
}

// DefaultParams of search; Heading was chosen by measuring, see DESIGN.md.
var DefaultParams = Params{K1: 1.5, B: 0.75, Heading: 2}

func (p Params) share(tf [2]uint32, norm float64) float64 {
	f := float64(tf[0]) + p.Heading*float64(tf[1])
	if f == 0 {
		return 0
	}
	return f * (p.K1 + 1) / (f + norm)
}

// paramsSize is what the parameters take before the lengths.
const paramsSize = 3 * 8

func appendParams(b []byte, p Params) []byte {
	for _, f := range []float64{p.K1, p.B, p.Heading} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
	}
	return b
}

func readParams(b []byte) Params {
	at := func(i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])) }
	return Params{at(0), at(1), at(2)}
}

func averages(sum [2]uint64, n uint32) [2]float64 {
	if n == 0 {
		return [2]float64{}
	}
	return [2]float64{float64(sum[0]) / float64(n), float64(sum[1]) / float64(n)}
}

// norms are k1·(1−b+b·length/average) of each passage.
func norms(lengths []byte, avg [2]float64, p Params) []float64 {
	out := make([]float64, len(lengths)/8)
	mean := avg[0] + p.Heading*avg[1]
	if mean == 0 {
		mean = 1
	}
	for i := range out {
		text := binary.LittleEndian.Uint32(lengths[8*i:])
		head := binary.LittleEndian.Uint32(lengths[8*i+4:])
		out[i] = p.K1 * (1 - p.B + p.B*(float64(text)+p.Heading*float64(head))/mean)
	}
	return out
}

// Index is searched where it lies, in the blobs that Builder wrote. Safe for
// concurrent use.
type Index struct {
	params  Params
	built   Params // that the impacts were reckoned with
	norm    []float64
	lengths []byte
	blobs   []termBlob
	terms   int
	bytes   int64
}

// termBlob is a run of terms with their postings.
type termBlob struct {
	n     int
	ends  []byte // 2n uint32: the ends of terms and postings, in turn
	terms []byte
	posts []byte
	first string
}

// Load takes the blobs in the order in which Builder.Finish wrote them. They
// are kept, not copied. A blob that is not well formed is an error that says which.
func Load(blobs [][]byte, p Params) (*Index, error) {
	if len(blobs) == 0 || len(blobs[0])%8 != 0 || len(blobs[0]) < paramsSize {
		return nil, errors.New("lexical blob 0 (lengths): its size can't be right")
	}
	x := &Index{params: p, built: readParams(blobs[0]), lengths: blobs[0][paramsSize:]}
	var sum [2]uint64
	for i := 0; i < len(x.lengths); i += 8 {
		sum[0] += uint64(binary.LittleEndian.Uint32(x.lengths[i:]))
		sum[1] += uint64(binary.LittleEndian.Uint32(x.lengths[i+4:]))
	}
	x.norm = norms(x.lengths, averages(sum, uint32(len(x.lengths)/8)), p)
	x.bytes = int64(len(x.lengths)) * 2
	for i, raw := range blobs[1:] {
		b, err := parseBlob(raw)
		if err != nil {
			return nil, fmt.Errorf("lexical blob %d: %w", i+1, err)
		}
		if n := len(x.blobs); n > 0 && x.blobs[n-1].term(x.blobs[n-1].n-1) >= b.first {
			return nil, fmt.Errorf("lexical blob %d: its terms do not follow those of the blob before", i+1)
		}
		x.blobs = append(x.blobs, b)
		x.terms += b.n
		x.bytes += int64(len(raw))
	}
	return x, nil
}

func parseBlob(raw []byte) (termBlob, error) {
	if len(raw) < 4 {
		return termBlob{}, errors.New("shorter than its header")
	}
	n := int(binary.LittleEndian.Uint32(raw))
	if n == 0 || n > (len(raw)-4)/8 {
		return termBlob{}, fmt.Errorf("it says %d terms and has no room for them", n)
	}
	b := termBlob{n: n, ends: raw[4 : 4+8*n]}
	rest := raw[4+8*n:]
	termEnd := binary.LittleEndian.Uint32(b.ends[8*(n-1):])
	postEnd := binary.LittleEndian.Uint32(b.ends[8*(n-1)+4:])
	if uint64(termEnd)+uint64(postEnd) != uint64(len(rest)) {
		return termBlob{}, errors.New("its parts do not add up to its size")
	}
	b.terms, b.posts = rest[:termEnd], rest[termEnd:]
	var t, p uint32
	for i := range n {
		te := binary.LittleEndian.Uint32(b.ends[8*i:])
		pe := binary.LittleEndian.Uint32(b.ends[8*i+4:])
		if te < t || te > termEnd || pe < p+8 || pe > postEnd {
			return termBlob{}, fmt.Errorf("the bounds of term %d are out of order", i)
		}
		t, p = te, pe
	}
	b.first = strings.Clone(b.term(0))
	return b, nil
}

func (b *termBlob) end(i, part int) uint32 {
	if i < 0 {
		return 0
	}
	return binary.LittleEndian.Uint32(b.ends[8*i+4*part:])
}

func (b *termBlob) term(i int) string { return string(b.terms[b.end(i-1, 0):b.end(i, 0)]) }

func (b *termBlob) entry(i int) []byte { return b.posts[b.end(i-1, 1):b.end(i, 1)] }

// find gives the document frequency, the largest impact and the postings.
func (x *Index) find(term string) (df uint32, impact float32, data []byte, ok bool) {
	i := sort.Search(len(x.blobs), func(i int) bool { return x.blobs[i].first > term }) - 1
	if i < 0 {
		return 0, 0, nil, false
	}
	b := &x.blobs[i]
	j := sort.Search(b.n, func(j int) bool {
		return string(b.terms[b.end(j-1, 0):b.end(j, 0)]) >= term
	})
	if j == b.n || b.term(j) != term {
		return 0, 0, nil, false
	}
	e := b.entry(j)
	return binary.LittleEndian.Uint32(e), math.Float32frombits(binary.LittleEndian.Uint32(e[4:])), e[8:], true
}

// Passages in the index.
func (x *Index) Passages() int { return len(x.norm) }

// Terms in the dictionary.
func (x *Index) Terms() int { return x.terms }

// Bytes held in memory.
func (x *Index) Bytes() int64 { return x.bytes }

// DocumentFrequency is the number of passages that have the term in text or heading.
func (x *Index) DocumentFrequency(term string) int {
	df, _, _, _ := x.find(term)
	return int(df)
}

// IDF is ln(1 + (N − df + ½)/(df + ½)), as Lucene has it: never negative.
func (x *Index) IDF(term string) float64 { return x.idf(x.DocumentFrequency(term)) }

func (x *Index) idf(df int) float64 {
	n, d := float64(len(x.norm)), float64(df)
	return math.Log(1 + (n-d+0.5)/(d+0.5))
}

// Scored is a passage with its BM25 score.
type Scored struct {
	Passage uint32
	Score   float64
}

// queryTerm is a distinct term of a query with its place in the postings.
type queryTerm struct {
	cursor
	weight float64 // idf times what the query gives it
	bound  float64 // the most it can add to a score
	place  int     // in the query: the order in which scores are added up
}

// slack covers that the same numbers added in another order round differently.
const slack = 1 + 1e-12

// Weighted is a term of a query and what it counts beside others.
type Weighted struct {
	Term   string
	Weight float64 // above 0
}

// Range of passages, half-open.
type Range struct{ First, End uint32 }

// Search gives the k passages of highest score, best first, of equal ones the
// earlier first. It is exact: MaxScore leaves out only what cannot reach the
// first k. A term that is there twice counts twice.
func (x *Index) Search(terms []string, k int) []Scored {
	ts := make([]Weighted, len(terms))
	for i, t := range terms {
		ts[i] = Weighted{t, 1}
	}
	return x.SearchWeighted(ts, k)
}

// SearchWeighted is Search with a weight for each term.
func (x *Index) SearchWeighted(terms []Weighted, k int) []Scored {
	if k <= 0 || len(x.norm) == 0 {
		return nil
	}
	top := newTop(k)
	x.search(x.queryTerms(terms), Range{0, uint32(len(x.norm))}, top)
	return top.sorted()
}

// SearchWithin is SearchWeighted among the passages of some ranges, which are
// in order and do not overlap.
func (x *Index) SearchWithin(terms []Weighted, ranges []Range, k int) []Scored {
	if k <= 0 || len(x.norm) == 0 {
		return nil
	}
	top := newTop(k)
	qs := x.queryTerms(terms)
	for _, r := range ranges {
		r.End = min(r.End, uint32(len(x.norm)))
		if r.First >= r.End {
			continue
		}
		for _, q := range qs {
			q.seek(r.First)
		}
		x.search(qs, r, top)
	}
	return top.sorted()
}

// search offers the passages of a range to top.
func (x *Index) search(qs []*queryTerm, within Range, top *top) {
	if len(qs) == 0 {
		return
	}
	// Cursors by bound; bounds[i] is what those up to i can add together.
	slices.SortFunc(qs, func(a, b *queryTerm) int {
		if a.bound != b.bound {
			if a.bound < b.bound {
				return -1
			}
			return 1
		}
		return a.place - b.place
	})
	bounds := make([]float64, len(qs))
	sum := 0.0
	for i, q := range qs {
		sum += q.bound
		bounds[i] = sum
	}
	parts := make([]float64, len(qs))
	first := 0 // cursors before it cannot lift a passage into the first k alone
	for first < len(qs) && bounds[first]*slack <= top.least() {
		first++
	}
	for first < len(qs) {
		doc := within.End
		for _, q := range qs[first:] {
			if !q.done && q.doc < doc {
				doc = q.doc
			}
		}
		if doc == within.End {
			break
		}
		clear(parts)
		score := 0.0
		for _, q := range qs[first:] {
			if !q.done && q.doc == doc {
				parts[q.place] = q.weight * x.params.share(q.tf, x.norm[doc])
				score += parts[q.place]
				q.next()
			}
		}
		reached := true
		for i := first - 1; i >= 0; i-- {
			if (score+bounds[i])*slack <= top.least() {
				reached = false
				break
			}
			q := qs[i]
			if q.seek(doc) && q.doc == doc {
				parts[q.place] = q.weight * x.params.share(q.tf, x.norm[doc])
				score += parts[q.place]
			}
		}
		if !reached {
			continue
		}
		score = 0
		for _, p := range parts {
			score += p
		}
		if top.push(Scored{doc, score}) {
			for first < len(qs) && bounds[first]*slack <= top.least() {
				first++
			}
		}
	}
}

func (x *Index) queryTerms(terms []Weighted) []*queryTerm {
	var qs []*queryTerm
	at := make(map[string]*queryTerm, len(terms))
	for _, w := range terms {
		t := w.Term
		if q, ok := at[t]; ok {
			if q != nil {
				q.weight += w.Weight * x.idf(int(q.df))
			}
			continue
		}
		df, impact, data, ok := x.find(t)
		if !ok || df == 0 {
			at[t] = nil
			continue
		}
		q := &queryTerm{cursor: cursor{data: data, limit: uint32(len(x.norm)), df: df}, place: len(qs)}
		q.weight = w.Weight * x.idf(int(df))
		q.bound = float64(impact)
		if x.params != x.built {
			q.bound = x.params.K1 + 1
		}
		at[t] = q
		qs = append(qs, q)
	}
	for _, q := range qs {
		q.bound *= q.weight
		q.next()
	}
	return qs
}
