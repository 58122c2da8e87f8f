package lexical

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Dead are the passages of a segment that were withdrawn, with what they took
// out of the collection's counts: scores are reckoned as if they had never been
// there. Immutable; With gives a larger set at the cost of what is new in it.
// nil is the empty set.
type Dead struct {
	pages   []*deadPage // nil: none of the page is dead
	n       int
	lengths [fields]uint64
	layers  []map[string]uint32 // passages lost by term; the largest layer first
}

// A page has a bit for each of 4096 passages.
const deadPageSize = 1 << 12

type deadPage [deadPageSize / 64]uint64

// Withdrawn is a passage of a segment with what it was indexed from.
type Withdrawn struct {
	Number  uint32 // in the segment
	Passage Passage
}

// Passages that are dead.
func (d *Dead) Passages() int {
	if d == nil {
		return 0
	}
	return d.n
}

// Has says whether a passage of the segment is dead.
func (d *Dead) Has(n uint32) bool {
	if d == nil || int(n/deadPageSize) >= len(d.pages) {
		return false
	}
	p := d.pages[n/deadPageSize]
	return p != nil && p[n%deadPageSize/64]>>(n%64)&1 != 0
}

// With is d and these passages of the segment, analysed again by the analyser
// they were indexed with. One that is dead already does not count twice. A text
// that is not what the passage was indexed from is an error.
func (d *Dead) With(s *Segment, a *Analyzer, passages []Withdrawn) (*Dead, error) {
	out := &Dead{pages: make([]*deadPage, (s.Passages()+deadPageSize-1)/deadPageSize)}
	if d != nil {
		copy(out.pages, d.pages)
		out.n, out.lengths = d.n, d.lengths
	}
	lost := make(map[string]uint32)
	own := make(map[uint32]bool) // pages that are not shared with d
	for i := range passages {
		w := &passages[i]
		if int64(w.Number) >= int64(s.Passages()) {
			return nil, fmt.Errorf("lexical: passage %d can't be withdrawn: the segment has %d passages", w.Number, s.Passages())
		}
		if out.Has(w.Number) {
			continue
		}
		same := true
		length := a.Count(w.Passage, func(term string, tf Counts) {
			lost[term]++
			same = same && s.Counts(term, w.Number) == tf
		})
		if !same || length != s.Lengths(w.Number) {
			return nil, fmt.Errorf("lexical: passage %d can't be withdrawn: the text given for it is not the text that was indexed", w.Number)
		}
		out.set(w.Number, own)
		for f, l := range length {
			out.lengths[f] += uint64(l)
		}
	}
	if d != nil {
		out.layers = d.layers
	}
	if len(lost) > 0 {
		out.layers = pushLayer(out.layers, lost)
	}
	return out, nil
}

func (d *Dead) set(n uint32, own map[uint32]bool) {
	at := n / deadPageSize
	if !own[at] {
		p := new(deadPage)
		if d.pages[at] != nil {
			*p = *d.pages[at]
		}
		d.pages[at], own[at] = p, true
	}
	d.pages[at][n%deadPageSize/64] |= 1 << (n % 64)
	d.n++
}

// pushLayer adds a layer and merges those that are not at least twice the next,
// so that there are few and each count is copied a logarithm of times.
func pushLayer(layers []map[string]uint32, top map[string]uint32) []map[string]uint32 {
	layers = slices.Clip(layers)
	for len(layers) > 0 && len(layers[len(layers)-1]) < 2*len(top) {
		below := layers[len(layers)-1]
		sum := make(map[string]uint32, len(below)+len(top))
		for _, l := range []map[string]uint32{below, top} {
			for t, n := range l {
				sum[t] += n
			}
		}
		top, layers = sum, layers[:len(layers)-1:len(layers)-1]
	}
	return append(layers, top)
}

// documentFrequency is the number of dead passages with the term.
func (d *Dead) documentFrequency(term string) int {
	if d == nil {
		return 0
	}
	n := 0
	for _, l := range d.layers {
		n += int(l[term])
	}
	return n
}

// before counts the dead passages with numbers below n.
func (d *Dead) before(n uint32) int {
	if d == nil {
		return 0
	}
	count := 0
	for i, p := range d.pages {
		if p == nil || uint64(i)*deadPageSize >= uint64(n) {
			continue
		}
		for w, v := range p {
			first := uint32(i*deadPageSize + 64*w)
			if first >= n {
				break
			}
			if n-first < 64 {
				v &= 1<<(n-first) - 1
			}
			count += bits.OnesCount64(v)
		}
	}
	return count
}

// A Dead as bytes: magic | passages of the segment | lengths | bitmap |
// terms in order, each with its count.
const kindDead = 'D'

// Append writes the set, so that it need not be reckoned again at a start. It
// belongs to the segment s. The same set gives the same bytes.
func (d *Dead) Append(b []byte, s *Segment) []byte {
	le := binary.LittleEndian
	b = appendMagic(b, kindDead)
	b = le.AppendUint32(b, uint32(s.Passages()))
	if d == nil {
		d = &Dead{}
	}
	for _, l := range d.lengths {
		b = le.AppendUint64(b, l)
	}
	var none deadPage
	for i := range (s.Passages() + deadPageSize - 1) / deadPageSize {
		p := &none
		if i < len(d.pages) && d.pages[i] != nil {
			p = d.pages[i]
		}
		for _, v := range p {
			b = le.AppendUint64(b, v)
		}
	}
	sum := make(map[string]uint32)
	for _, l := range d.layers {
		for t, n := range l {
			sum[t] += n
		}
	}
	terms := make([]string, 0, len(sum))
	for t := range sum {
		terms = append(terms, t)
	}
	slices.Sort(terms)
	b = le.AppendUint32(b, uint32(len(terms)))
	for _, t := range terms {
		b = binary.AppendUvarint(b, uint64(len(t)))
		b = append(b, t...)
		b = binary.AppendUvarint(b, uint64(sum[t]))
	}
	return b
}

// ReadDead reads what Append wrote for the segment. An error is ErrDamaged.
func ReadDead(b []byte, s *Segment) (*Dead, error) {
	d, err := readDead(b, s)
	if err != nil {
		return nil, fmt.Errorf("%w: withdrawn passages: %w", ErrDamaged, err)
	}
	return d, nil
}

func readDead(b []byte, s *Segment) (*Dead, error) {
	le := binary.LittleEndian
	if err := checkMagic(b, kindDead); err != nil {
		return nil, err
	}
	pages := (s.Passages() + deadPageSize - 1) / deadPageSize
	head := 4 + 4 + 8*int(fields) + pages*deadPageSize/8 + 4
	if len(b) < head {
		return nil, fmt.Errorf("it has %d bytes and needs %d", len(b), head)
	}
	if n := le.Uint32(b[4:]); int(n) != s.Passages() {
		return nil, fmt.Errorf("it is of a segment of %d passages instead of %d", n, s.Passages())
	}
	d := &Dead{pages: make([]*deadPage, pages)}
	at := 8
	for f := range d.lengths {
		d.lengths[f] = le.Uint64(b[at:])
		at += 8
	}
	for i := range d.pages {
		p, ones := new(deadPage), 0
		for w := range p {
			p[w] = le.Uint64(b[at:])
			ones += bits.OnesCount64(p[w])
			at += 8
		}
		if ones > 0 {
			d.pages[i] = p
			d.n += ones
		}
	}
	if d.before(uint32(s.Passages())) != d.n {
		return nil, errors.New("it names passages that the segment does not have")
	}
	terms := int(le.Uint32(b[at:]))
	b = b[at+4:]
	lost := make(map[string]uint32, min(terms, len(b)))
	prev := ""
	for i := range terms {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, fmt.Errorf("term %d can't be read", i)
		}
		t := string(b[k : k+int(n)])
		b = b[k+int(n):]
		count, k := binary.Uvarint(b)
		if k <= 0 || count == 0 || count > uint64(d.n) || i > 0 && strings.Compare(t, prev) <= 0 {
			return nil, fmt.Errorf("term %d can't be right", i)
		}
		b = b[k:]
		lost[t], prev = uint32(count), t
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes follow its end", len(b))
	}
	if len(lost) > 0 {
		d.layers = []map[string]uint32{lost}
	}
	return d, nil
}
