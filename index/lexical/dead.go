package lexical

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Dead are the passages of a segment that were withdrawn, with what they took
// out of the collection's counts: scores are reckoned as if they had never been
// there. Immutable; With gives a larger set at the cost of what is new in it.
// nil is the empty set.
type Dead struct {
	pages   []*deadPage // nil: none of the page is dead
	n       int
	lengths [fields]uint64
	lost    []*lostPage // passages lost by number of a term
}

// A page has the counts of 256 terms.
const lostPageSize = 1 << 8

type lostPage [lostPageSize]uint32

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
	out := newDead(s)
	if d != nil {
		copy(out.pages, d.pages)
		copy(out.lost, d.lost)
		out.n, out.lengths = d.n, d.lengths
	}
	own := make(map[*lostPage]bool) // not shared with d
	ownPages := make(map[*deadPage]bool)
	type term struct {
		entry
		place
	}
	var terms []term // by number in the tally
	t := newTally(a)
	for i := range passages {
		w := &passages[i]
		if int64(w.Number) >= int64(s.Passages()) {
			return nil, fmt.Errorf("lexical: passage %d can't be withdrawn: the segment has %d passages", w.Number, s.Passages())
		}
		if out.Has(w.Number) {
			continue
		}
		t.count(&w.Passage)
		for _, name := range t.terms[len(terms):] {
			e, at, _ := s.find(name, hashTerm(name))
			terms = append(terms, term{e, at})
		}
		same := t.length == s.Lengths(w.Number)
		for _, id := range t.seen {
			e := &terms[id]
			if e.counts(w.Number) != t.counts[id] {
				same = false
				break
			}
			p := &out.lost[e.number/lostPageSize]
			*p = ownPage(*p, own)
			(*p)[e.number%lostPageSize]++
		}
		if !same {
			return nil, fmt.Errorf("lexical: passage %d can't be withdrawn: the text given for it is not the text that was indexed", w.Number)
		}
		p := &out.pages[w.Number/deadPageSize]
		*p = ownPage(*p, ownPages)
		(*p)[w.Number%deadPageSize/64] |= 1 << (w.Number % 64)
		out.n++
		for f, l := range t.length {
			out.lengths[f] += uint64(l)
		}
	}
	return out, nil
}

func newDead(s *Segment) *Dead {
	return &Dead{
		pages: make([]*deadPage, (s.Passages()+deadPageSize-1)/deadPageSize),
		lost:  make([]*lostPage, (s.Terms()+lostPageSize-1)/lostPageSize),
	}
}

// ownPage is a page that may be written: p where it is own, else a copy.
func ownPage[T any](p *T, own map[*T]bool) *T {
	if p == nil || !own[p] {
		q := new(T)
		if p != nil {
			*q = *p
		}
		own[q] = true
		return q
	}
	return p
}

// documentFrequency is the number of dead passages with a term.
func (d *Dead) documentFrequency(term uint32) int {
	if d == nil || int(term/lostPageSize) >= len(d.lost) {
		return 0
	}
	p := d.lost[term/lostPageSize]
	if p == nil {
		return 0
	}
	return int(p[term%lostPageSize])
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

// A Dead as bytes: magic | passages and terms of the segment | lengths | bitmap |
// how many terms lost passages | for each the distance from the one before and
// the count, as varints.
const kindDead = 'D'

// Append writes the set, so that it need not be reckoned again at a start. It
// belongs to the segment s. The same set gives the same bytes.
func (d *Dead) Append(b []byte, s *Segment) []byte {
	le := binary.LittleEndian
	b = appendMagic(b, kindDead)
	b = le.AppendUint32(b, uint32(s.Passages()))
	b = le.AppendUint32(b, uint32(s.Terms()))
	if d == nil {
		d = newDead(s)
	}
	for _, l := range d.lengths {
		b = le.AppendUint64(b, l)
	}
	var none deadPage
	for _, p := range d.pages {
		if p == nil {
			p = &none
		}
		for _, v := range p {
			b = le.AppendUint64(b, v)
		}
	}
	at := len(b)
	b = le.AppendUint32(b, 0)
	n, next := uint32(0), uint64(0)
	for i, p := range d.lost {
		if p == nil {
			continue
		}
		for j, count := range p {
			if count > 0 {
				term := uint64(i*lostPageSize + j)
				b = binary.AppendUvarint(b, term-next)
				b = binary.AppendUvarint(b, uint64(count))
				n, next = n+1, term+1
			}
		}
	}
	le.PutUint32(b[at:], n)
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
	d := newDead(s)
	if head := 4 + 8 + 8*int(fields) + len(d.pages)*deadPageSize/8 + 4; len(b) < head {
		return nil, fmt.Errorf("it has %d bytes and needs %d", len(b), head)
	}
	if n, t := le.Uint32(b[4:]), le.Uint32(b[8:]); int(n) != s.Passages() || int(t) != s.Terms() {
		return nil, fmt.Errorf("it is of a segment of %d passages and %d terms instead of %d and %d", n, t, s.Passages(), s.Terms())
	}
	b = b[12:]
	for f := range d.lengths {
		d.lengths[f] = le.Uint64(b)
		b = b[8:]
	}
	for i := range d.pages {
		p, ones := new(deadPage), 0
		for w := range p {
			p[w] = le.Uint64(b)
			ones += bits.OnesCount64(p[w])
			b = b[8:]
		}
		if ones > 0 {
			d.pages[i] = p
			d.n += ones
		}
	}
	if d.before(uint32(s.Passages())) != d.n {
		return nil, errors.New("it names passages that the segment does not have")
	}
	terms, next := le.Uint32(b), uint64(0)
	b = b[4:]
	own := make(map[*lostPage]bool)
	for i := range terms {
		gap, n := binary.Uvarint(b)
		if n <= 0 || gap > uint64(s.Terms()) || next+gap >= uint64(s.Terms()) {
			return nil, fmt.Errorf("term %d can't be right", i)
		}
		count, m := binary.Uvarint(b[n:])
		if m <= 0 || count == 0 || count > uint64(d.n) {
			return nil, fmt.Errorf("the count of term %d can't be right", i)
		}
		b = b[n+m:]
		p := &d.lost[(next+gap)/lostPageSize]
		*p = ownPage(*p, own)
		(*p)[(next+gap)%lostPageSize] = uint32(count)
		next += gap + 1
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes follow its end", len(b))
	}
	return d, nil
}
