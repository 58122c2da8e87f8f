package lexical

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Each calls fn with every posting, withdrawn passages included, terms in
// alphabetical order, until it fails. It checks all that a search relies on;
// what is not as Builder would have written it is ErrDamaged and names the blob.
func (s *Segment) Each(fn func(term string, passage uint32, tf Counts) error) error {
	mean := s.summary.mean(s.summary.params)
	var (
		prev     []byte
		sum      [fields]uint64
		lengths  [fields]uint64
		postings uint64
	)
	for i := range s.summary.Passages {
		for f, l := range s.Lengths(uint32(i)) {
			lengths[f] += uint64(l)
		}
	}
	if lengths != s.summary.Lengths {
		return fmt.Errorf("%w: the lengths of the passages do not add up to what lexical blob %d says", ErrDamaged, s.summary.lengths+s.summary.blobs)
	}
	for i := range s.blobs {
		b := &s.blobs[i]
		var hashes []uint64
		for j := range b.n {
			name, _ := b.entry(j)
			fault := func(what string) error {
				return fmt.Errorf("%w: lexical blob %d: term %d %s", ErrDamaged, s.summary.lengths+i, j, what)
			}
			if bytes.Compare(prev, name) >= 0 {
				return fault("is out of order")
			}
			prev = name
			term := string(name)
			hashes = append(hashes, hashTerm(term))
			e, at, err := s.find(term, hashTerm(term))
			if err != nil {
				return err
			}
			if at != (place{i, b.before + j}) || e.df == 0 {
				return fault("can't be found")
			}
			next := int64(0)
			for n := range e.blocks {
				var k block
				if !e.open(n, &k) {
					return fault("has a block that can't be read")
				}
				what := ""
				var failed error
				var most uint32
				whole := k.each(func(i int, doc uint32) bool {
					switch {
					case int64(doc) < next || int64(doc) >= int64(s.summary.Passages):
						what = "has passages out of order"
					case i == 0 && doc != k.first || i == k.n-1 && doc != k.first+k.span:
						what = "has a block with wrong bounds"
					default:
						next = int64(doc) + 1
						tf := k.tf(i)
						for f, c := range tf {
							sum[f] += uint64(c)
						}
						p := s.summary.params
						if tf == (Counts{}) || k.impacts[i] != p.impact(tf, p.normBelow(s.Lengths(doc), mean)) {
							what = "has a wrong impact"
							break
						}
						most = max(most, uint32(k.impacts[i]))
						postings++
						failed = fn(term, doc, tf)
					}
					return what == "" && failed == nil
				})
				switch {
				case failed != nil:
					return failed
				case what != "":
					return fault(what)
				case !whole:
					return fault("has a block with another number of postings")
				case most != e.impactOf(n):
					return fault("has a block with a wrong bound")
				}
			}
		}
		for at, v := range slotTable(hashes) {
			if binary.LittleEndian.Uint32(b.table[4*at:]) != v {
				return fmt.Errorf("%w: lexical blob %d: its table of terms is wrong", ErrDamaged, s.summary.lengths+i)
			}
		}
	}
	if sum != s.summary.Lengths || postings != s.summary.postings {
		return fmt.Errorf("%w: the postings do not add up to what lexical blob %d says", ErrDamaged, s.summary.lengths+s.summary.blobs)
	}
	return nil
}
