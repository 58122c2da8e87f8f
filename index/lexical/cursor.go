package lexical

// advance to the first block that ends at doc or after it.
func (c *cursor) advance(doc uint32) { c.at = c.seek(c.at, doc) }

// seek gives the first block from b on that ends at doc or after it: by steps
// that double, for it is mostly near.
func (e *entry) seek(b int, doc uint32) int {
	if b >= e.blocks || e.lastOf(b) >= doc {
		return b
	}
	lo, hi := b, b+1 // lo ends before doc
	for step := 1; hi < e.blocks && e.lastOf(hi) < doc; step *= 2 {
		lo, hi = hi, hi+step
	}
	hi = min(hi, e.blocks)
	for lo+1 < hi {
		m := int(uint(lo+hi) / 2)
		if e.lastOf(m) < doc {
			lo = m
		} else {
			hi = m
		}
	}
	return hi
}

// lookAhead finds the blocks of a window and what they can add.
func (c *cursor) lookAhead(lo, hi uint32) {
	c.advance(lo)
	c.pos = c.at
	most := uint32(0)
	for b := c.at; b < c.blocks && c.firstOf(b) < hi; b++ {
		most = max(most, c.impactOf(b))
		if c.lastOf(b) >= hi {
			break
		}
	}
	c.bound = most * c.step
}

func (c *cursor) load(b int) bool {
	if c.opened == b {
		return true
	}
	c.opened = b
	if !c.open(b, &c.block) {
		c.bad, c.blocks, c.opened = true, 0, -1
		return false
	}
	return true
}

// find gives the place of doc in its block, which is then open; -1 where the
// term is not there. From one call to the next doc must not descend unless pos
// is set back.
func (c *cursor) find(doc uint32) int {
	c.pos = c.seek(c.pos, doc)
	if c.pos >= c.blocks || c.firstOf(c.pos) > doc || !c.load(c.pos) {
		return -1
	}
	return c.block.find(doc)
}

// refine adds what the list has for candidates, which ascend, and keeps those
// that can still reach need with the rest of the lists.
func (c *cursor) refine(found []candidate, need uint32) []candidate {
	n, i := 0, 0
	for b := c.at; b < c.blocks && i < len(found); b++ {
		last := c.lastOf(b)
		if last < found[i].doc {
			continue
		}
		first := c.firstOf(b)
		before := i
		for i < len(found) && found[i].doc < first {
			i++
		}
		n += reaching(found[n:], found[before:i], need)
		before = i
		for i < len(found) && found[i].doc <= last {
			i++
		}
		// The block is read where it may lift one of them.
		within := found[n : n+reaching(found[n:], found[before:i], need-min(need, c.impactOf(b)*c.step))]
		if len(within) == 0 {
			continue
		}
		if !c.load(b) {
			return nil
		}
		c.block.addTo(within, c.step)
		n += reaching(within, within, need)
	}
	n += reaching(found[n:], found[i:], need)
	return found[:n]
}

// reaching copies the candidates whose sums reach need to the front of to, which
// may be where they are, and gives their number.
func reaching(to, from []candidate, need uint32) int {
	n := 0
	for _, f := range from {
		to[n] = f
		n += int(uint64(int64(need)-int64(f.sum)-1) >> 63) // sum ≥ need
	}
	return n
}

// addTo adds what the block has for candidates between its first passage and its
// last, which ascend.
func (k *block) addTo(of []candidate, step uint32) {
	switch {
	case k.kind == layoutShort && k.n == blockSize:
		addShort((*[2 * blockSize]byte)(k.docs), (*[blockSize]byte)(k.impacts), k.first, step, of)
	case k.kind == layoutBitmap:
		addBitmap(k.docs, k.impacts, k.first, step, of)
	default:
		for i := range of {
			if j := k.find(of[i].doc); j >= 0 {
				of[i].sum += uint32(k.impacts[j]) * step
			}
		}
	}
}
