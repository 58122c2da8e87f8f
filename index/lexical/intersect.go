package lexical

// Intersect calls fn with the live passages that have all the terms, in any field, in
// order, until it says no; within are the ranges that they may lie in, in order and
// not overlapping, nil: everywhere. The list of the rarest term is read, and in the
// others its passages are looked up. An error is ErrDamaged and names the blob.
func (s *Searcher) Intersect(terms []string, within []Range, fn func(passage uint32) bool) error {
	sc := scratches.Get().(*scratch)
	defer scratches.Put(sc)
	if err := s.prepare(nil, terms, sc); err != nil {
		return err
	}
	sc.top.reset(1)
	for i := range s.parts {
		p := &s.parts[i]
		if !sc.open(s, i) {
			continue
		}
		rarest := 0
		for j := range sc.cursors {
			if sc.cursors[j].df < sc.cursors[rarest].df {
				rarest = j
			}
		}
		goes := sc.intersect(p, &sc.cursors[rarest], within, fn)
		if err := sc.damage(p); err != nil {
			return err
		}
		if !goes {
			return nil
		}
	}
	return nil
}

// intersect the list of a part with the others; false where fn said no.
func (sc *scratch) intersect(p *part, list *cursor, within []Range, fn func(passage uint32) bool) bool {
	for b := range list.blocks {
		if within != nil {
			if within = from(within, p.Base+list.firstOf(b)); len(within) == 0 {
				return true
			}
			if within[0].First > p.Base+list.lastOf(b) {
				continue
			}
		}
		if !list.load(b) {
			return true
		}
		n := 0
		whole := list.each(func(_ int, doc uint32) bool {
			if doc < p.end-p.Base && !p.Dead.Has(doc) && in(within, p.Base+doc) {
				sc.candidates[n] = candidate{doc: doc}
				n++
			}
			return n < blockSize
		})
		if !whole {
			list.bad = true
			return true
		}
		found := sc.candidates[:n]
		for j := range sc.cursors {
			c := &sc.cursors[j]
			if c == list {
				continue
			}
			kept := found[:0]
			for _, f := range found {
				if c.find(f.doc) >= 0 {
					kept = append(kept, f)
				}
			}
			found = kept
		}
		for _, f := range found {
			if !fn(p.Base + f.doc) {
				return false
			}
		}
	}
	return true
}
