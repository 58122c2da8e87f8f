package codes

import (
	"cmp"
	"iter"
	"slices"
)

// Part is an index among several that are searched or merged as one, such as a
// segment. Dead, which may be nil, says which of its documents are no longer
// there.
type Part struct {
	*Index
	Dead func(doc uint32) bool
}

// Match is a document that has a code.
type Match struct {
	Part int    // in the list that was searched
	Doc  uint32 // its number in that part
	// System and Value of the document's code that matched, in canonical form;
	// an NDC where a GTIN was looked up by the NDC in it.
	System, Value string
	// Product: the document has another package of the product that the code is
	// of, or the code named no package.
	Product bool
}

// Lookup finds the documents that have a code, in the order of parts and
// numbers, each once. What matches most exactly comes alone: the GTIN itself or
// the package's NDC; else, of an NDC with several readings, its unlikely ones;
// else other packages of the product. Nothing is found for a code with a
// Problem.
func Lookup(parts []Part, c Code) []Match {
	if c.Problem != "" {
		return nil
	}
	likely, others := c.likely()
	if c.System != NDC {
		if out := matches(parts, []string{c.Value}, c.System, likely); out != nil {
			return out
		}
	} else if out := matches(parts, nil, "", likely); out != nil {
		return out
	}
	if out := matches(parts, nil, "", others); out != nil {
		return out
	}
	if out := products(parts, likely); out != nil {
		return out
	}
	return products(parts, others)
}

func matches(parts []Part, values []string, system string, ndcs []string) []Match {
	var out []Match
	for _, v := range values {
		out = append(out, look(parts, system, v, false)...)
	}
	for _, v := range ndcs {
		out = append(out, look(parts, NDC, v, len(v) == len("000000-0000"))...)
	}
	return tidy(out)
}

func products(parts []Part, ndcs []string) []Match {
	var out []Match
	for _, v := range ndcs {
		if p := Product(v); p != v {
			out = append(out, look(parts, NDC, p, true)...)
		}
	}
	return tidy(out)
}

func look(parts []Part, system, value string, product bool) (out []Match) {
	k := key(system, value)
	for i, p := range parts {
		for _, d := range p.lookup(k) {
			if p.Dead == nil || !p.Dead(d) {
				out = append(out, Match{i, d, system, value, product})
			}
		}
	}
	return out
}

func tidy(ms []Match) []Match {
	slices.SortStableFunc(ms, func(a, b Match) int {
		if c := cmp.Compare(a.Part, b.Part); c != 0 {
			return c
		}
		return cmp.Compare(a.Doc, b.Doc)
	})
	return slices.CompactFunc(ms, func(a, b Match) bool { return a.Part == b.Part && a.Doc == b.Doc })
}

// Lookup finds documents in this index alone.
func (ix *Index) Lookup(c Code) []Match { return Lookup([]Part{{Index: ix}}, c) }

// Numbered is a part for Merge: New gives the number that a document has in the
// merged index; ok is false where it is no longer there. Different documents
// must get different numbers.
type Numbered struct {
	*Index
	New func(doc uint32) (_ uint32, ok bool)
}

// Merge writes several indexes as one, as blobs of about size bytes (0: 1 MB):
// the same bytes as Build would of the documents that are left, under their new
// numbers.
func Merge(parts []Numbered, size int) [][]byte {
	w := newWriter(size)
	type head struct {
		key  string
		docs []uint32
		next func() (string, []uint32, bool)
	}
	var heads []*head
	for _, p := range parts {
		next, stop := iter.Pull2(p.all())
		defer stop()
		h := &head{}
		h.next = func() (string, []uint32, bool) {
			k, old, ok := next()
			docs := old[:0] // its own copy
			for _, d := range old {
				if n, ok := p.New(d); ok {
					docs = append(docs, n)
				}
			}
			return k, docs, ok
		}
		var ok bool
		if h.key, h.docs, ok = h.next(); ok {
			heads = append(heads, h)
		}
	}
	var docs []uint32
	for len(heads) > 0 {
		least := heads[0].key
		for _, h := range heads[1:] {
			least = min(least, h.key)
		}
		docs = docs[:0]
		heads = slices.DeleteFunc(heads, func(h *head) bool {
			if h.key != least {
				return false
			}
			docs = append(docs, h.docs...)
			var ok bool
			h.key, h.docs, ok = h.next()
			return !ok
		})
		if len(docs) > 0 {
			slices.Sort(docs)
			w.add(least, slices.Compact(docs))
		}
	}
	return w.finish()
}

// all keys with their documents, in order.
func (ix *Index) all() iter.Seq2[string, []uint32] {
	return func(yield func(string, []uint32) bool) {
		for i := range ix.blobs {
			for j := range ix.blobs[i].blocks {
				more := true
				entries(ix.blobs[i].block(j), func(key []byte, docs postings) bool {
					more = yield(string(key), docs.append(nil))
					return more
				})
				if !more {
					return
				}
			}
		}
	}
}
