package telemetry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/store"
	"github.com/axiomhq/hyperloglog"
	"github.com/cespare/xxhash/v2"
)

// A window as bytes: "RXW", schema, then numbers as varints, in the order of
// features and dimensions; strings and sketches with their length before them;
// xxHash64 of all before it at the end. Empty bins are runs: 0 and their number.

// MaxEncoded is the most bytes that a window may have. A busy week has a tenth.
const MaxEncoded = 256 << 10

const (
	magic      = "RXW"
	maxString  = 200
	maxSketch  = 64 << 10
	maxSlices  = 4 * mostValues
	maxCount   = 1 << 50
	sliceWords = 9
	// sliceJudged is the first of a slice's words that is no part of N.
	sliceJudged = 5
)

// ErrDamaged: the bytes are no window. ErrSchema: they are one of another version.
var (
	ErrDamaged = errors.New("this is no window of telemetry, or it is damaged")
	ErrSchema  = errors.New("the window is of another schema")
)

func (s *Slice) fields() [sliceWords]*int64 {
	return [...]*int64{&s.N, &s.Abstained, &s.Flagged, &s.Ungrounded, &s.Refused, &s.Judged.TP, &s.Judged.FP, &s.Judged.TN, &s.Judged.FN}
}

// MarshalBinary implements encoding.BinaryMarshaler. The same window gives the
// same bytes.
func (w *Window) MarshalBinary() ([]byte, error) {
	b := append([]byte(magic), Schema)
	num := func(v int64) { b = binary.AppendUvarint(b, uint64(v)) }
	str := func(s string) {
		num(int64(len(s)))
		b = append(b, s...)
	}
	num(w.From.Unix())
	num(w.To.Unix())
	str(w.Model)
	str(w.Generation)
	num(w.Questions)
	for _, bins := range w.Bins {
		b = appendBins(b, bins)
	}
	for _, m := range w.Slices {
		num(int64(len(m)))
		for _, v := range slices.Sorted(maps.Keys(m)) {
			str(v)
			for _, f := range m[v].fields() {
				num(*f)
			}
		}
	}
	for _, s := range w.stages {
		// Bin by bin, so that equal sketches are equal bytes.
		var bins []binned
		var bad error
		s.GetPositiveValueStore().ForEach(func(index int, count float64) bool {
			bins = append(bins, binned{index, int64(count)})
			if count != float64(int64(count)) {
				bad = errors.New("a quantile sketch has a part of a count")
			}
			return bad != nil
		})
		if bad != nil {
			return nil, bad
		}
		slices.SortFunc(bins, func(x, y binned) int { return x.index - y.index })
		num(int64(s.GetZeroCount()))
		num(int64(len(bins)))
		last := 0
		for _, x := range bins {
			b = binary.AppendVarint(b, int64(x.index-last))
			num(x.count)
			last = x.index
		}
	}
	d, err := w.distinct.MarshalBinary()
	if err != nil {
		return nil, err
	}
	num(int64(len(d)))
	b = append(b, d...)
	num(int64(len(w.Spaces)))
	for _, id := range slices.Sorted(maps.Keys(w.Spaces)) {
		s := w.Spaces[id]
		b = binary.LittleEndian.AppendUint64(b, id)
		for _, bins := range s.Bins {
			b = appendBins(b, bins)
		}
		for _, m := range s.By {
			num(int64(len(m)))
			for _, v := range slices.Sorted(maps.Keys(m)) {
				str(v)
				for _, f := range m[v].fields() {
					num(*f)
				}
			}
		}
	}
	b = sealed(w.Explained.append(w.Concordance.append(b)))
	if len(b) > MaxEncoded {
		return nil, fmt.Errorf("a window of telemetry has %d bytes; the most is %d", len(b), MaxEncoded)
	}
	return b, nil
}

// appendBins of a histogram.
func appendBins(b []byte, bins []int64) []byte {
	for i := 0; i < len(bins); {
		if bins[i] != 0 {
			b = binary.AppendUvarint(b, uint64(bins[i]))
			i++
			continue
		}
		n := i
		for n < len(bins) && bins[n] == 0 {
			n++
		}
		b = binary.AppendUvarint(append(b, 0), uint64(n-i))
		i = n
	}
	return b
}

// sealed puts the checksum behind a body.
func sealed(b []byte) []byte { return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b)) }

type binned struct {
	index int
	count int64
}

// maxIndex of a bin of a quantile sketch: some e±80 at this accuracy.
const maxIndex = 4096

// UnmarshalWindow reads what MarshalBinary wrote, and believes nothing of it.
func UnmarshalWindow(b []byte) (w *Window, err error) {
	r := reader{b: b}
	if len(b) > MaxEncoded || len(b) < len(magic)+1+8 || string(b[:len(magic)]) != magic {
		return nil, ErrDamaged
	}
	body := b[:len(b)-8]
	if binary.LittleEndian.Uint64(b[len(b)-8:]) != xxhash.Sum64(body) {
		return nil, fmt.Errorf("%w: its checksum is another", ErrDamaged)
	}
	schema := b[len(magic)]
	if v := schema; v < firstSchema || v > Schema {
		return nil, fmt.Errorf("%w: %d; this rxedge reads %d", ErrSchema, v, Schema)
	}
	r.b = body[len(magic)+1:]
	defer func() {
		if err == nil && (r.bad || len(r.b) > 0) {
			w, err = nil, ErrDamaged
		}
	}()
	from, to := r.time(), r.time()
	w = NewWindow(from, to, r.str(), r.str())
	w.Questions = r.num()
	for _, bins := range w.Bins {
		r.bins(bins)
	}
	for d := range w.Slices {
		n := r.num()
		if n > maxSlices {
			return nil, ErrDamaged
		}
		for range n {
			s := &Slice{}
			v := r.str()
			for _, f := range s.fields() {
				*f = r.num()
			}
			if r.bad || w.Slices[d][v] != nil {
				return nil, ErrDamaged
			}
			w.Slices[d][v] = s
		}
	}
	for i := range w.stages {
		pos := store.NewSparseStore()
		zero, n := r.num(), r.num()
		if n > 2*maxIndex {
			return nil, ErrDamaged
		}
		at := int64(0)
		for range n {
			step, count := r.signed(), r.num()
			at += step
			if r.bad || at < -maxIndex || at > maxIndex {
				return nil, ErrDamaged
			}
			pos.AddWithCount(int(at), float64(count))
		}
		w.stages[i] = ddsketch.NewDDSketch(logarithmic, pos, store.NewSparseStore())
		if zero > 0 {
			if err := w.stages[i].AddWithCount(0, float64(zero)); err != nil {
				return nil, ErrDamaged
			}
		}
	}
	if w.distinct, err = unmarshalDistinct(r.bytes(maxSketch)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if schema >= withProjections {
		r.spaces(w)
	}
	if schema >= withConcordance {
		r.concordance(&w.Concordance)
	}
	if schema >= withExplained {
		r.explained(w.Explained)
	}
	return w, nil
}

// spaces of a window.
func (r *reader) spaces(w *Window) {
	n := r.num()
	if n > MostSpaces {
		r.bad = true
		return
	}
	for range n {
		if len(r.b) < 8 || r.bad {
			r.bad = true
			return
		}
		id := binary.LittleEndian.Uint64(r.b)
		r.b = r.b[8:]
		s := newSpace()
		for _, bins := range s.Bins {
			r.bins(bins)
		}
		for i := range s.By {
			values := r.num()
			if values > maxSlices {
				r.bad = true
				return
			}
			for range values {
				p, v := &Place{}, r.str()
				for _, f := range p.fields() {
					*f = r.num()
				}
				for _, sum := range p.Sums {
					r.bad = r.bad || sum > p.N*int64(len(projectionEdges))
				}
				if r.bad || s.By[i][v] != nil {
					r.bad = true
					return
				}
				s.By[i][v] = p
			}
		}
		if id == 0 || w.Spaces[id] != nil {
			r.bad = true
			return
		}
		w.Spaces[id] = s
	}
}

func unmarshalDistinct(b []byte) (s *hyperloglog.Sketch, err error) {
	defer func() {
		if p := recover(); p != nil { // the library trusts some lengths
			s, err = nil, fmt.Errorf("%v", p)
		}
	}()
	s = must(hyperloglog.NewSketch(precision, false))
	if err := s.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	// Of another precision it could not be merged.
	if err := must(hyperloglog.NewSketch(precision, false)).Merge(s); err != nil {
		return nil, err
	}
	return s, nil
}

// reader of varints; once bad, it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) num() int64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > maxCount {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return int64(v)
}

// bins of a histogram into as many as there are.
func (r *reader) bins(bins []int64) {
	for i := 0; i < len(bins) && !r.bad; {
		if v := r.num(); v != 0 {
			bins[i] = v
			i++
			continue
		}
		n := r.num()
		if n < 1 || n > int64(len(bins)-i) {
			r.bad = true
			return
		}
		i += int(n)
	}
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 || v > maxCount || v < -maxCount {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(most int) []byte {
	n := r.num()
	if n > int64(most) || n > int64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) str() string { return string(r.bytes(maxString)) }

func (r *reader) time() time.Time { return time.Unix(r.num(), 0).UTC() }
