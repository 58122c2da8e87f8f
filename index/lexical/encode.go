package lexical

import (
	"encoding/binary"
	"fmt"
	"math"
)

// encoder writes a segment: the lengths of its passages, then term after term,
// then the summary. What it writes depends on nothing but passages, terms and
// counts, so a merge writes what a builder of the same passages would.
type encoder struct {
	write   func(blob []byte) error
	summary summary

	// the open blob
	entries []byte
	ends    []uint32
	hashes  []uint64

	entryEncoder
}

// entryEncoder writes the entry of a term.
type entryEncoder struct {
	params Params
	norms  []float32 // by passage

	docs    []uint32
	counts  []Counts
	df      uint32
	lasts   []byte
	descs   []byte
	payload []byte
}

// newEncoder writes the lengths of n passages.
func newEncoder(n int, length func(i int) Counts, write func(blob []byte) error) (*encoder, error) {
	e := &encoder{write: write, entryEncoder: entryEncoder{params: DefaultParams, norms: make([]float32, n)}}
	e.summary.params = DefaultParams
	e.summary.Passages = n
	for from := 0; from < n; from += blobLengths {
		blob := appendMagic(nil, kindLengths)
		for i := from; i < min(n, from+blobLengths); i++ {
			c := length(i)
			for f, l := range c {
				blob = binary.LittleEndian.AppendUint32(blob, l)
				e.summary.Lengths[f] += uint64(l)
			}
			e.summary.longest = max(e.summary.longest, e.summary.params.pool(c))
		}
		e.summary.lengths++
		if err := write(blob); err != nil {
			return nil, err
		}
	}
	mean := e.summary.mean(e.summary.params)
	for i := range e.norms {
		e.norms[i] = e.summary.params.normBelow(length(i), mean)
	}
	return e, nil
}

// add a posting to the open entry; passages ascend.
func (e *entryEncoder) add(doc uint32, tf Counts) {
	e.docs = append(e.docs, doc)
	e.counts = append(e.counts, tf)
	if len(e.docs) == blockSize {
		e.closeBlock()
	}
}

func (e *entryEncoder) closeBlock() {
	n := len(e.docs)
	if n == 0 {
		return
	}
	first, last := e.docs[0], e.docs[n-1]
	start := len(e.payload)
	var most Counts
	var impact uint8
	for i, d := range e.docs {
		m := e.params.impact(e.counts[i], e.norms[d])
		impact = max(impact, m)
		e.payload = append(e.payload, m)
		for f, c := range e.counts[i] {
			most[f] = max(most[f], c)
		}
	}
	var widths [fields]uint16
	for f, m := range most {
		widths[f] = widthCode(m)
	}
	span := int(last - first)
	le := binary.LittleEndian
	var kind uint16
	switch words := span/64 + 1; {
	case words*8 <= 2*n:
		kind = layoutBitmap
		at := len(e.payload)
		e.payload = append(e.payload, make([]byte, 8*words)...)
		for _, d := range e.docs {
			o := d - first
			e.payload[at+int(o>>3)] |= 1 << (o & 7)
		}
	case span <= math.MaxUint16:
		kind = layoutShort
		for _, d := range e.docs {
			e.payload = le.AppendUint16(e.payload, uint16(d-first))
		}
	default:
		kind = layoutLong
		for _, d := range e.docs {
			e.payload = le.AppendUint32(e.payload, d-first)
		}
	}
	for f := range fields {
		e.payload = appendCounts(e.payload, e.counts, f, widths[f])
	}
	e.lasts = le.AppendUint32(e.lasts, last)
	e.descs = le.AppendUint32(e.descs, first)
	e.descs = le.AppendUint32(e.descs, uint32(start))
	e.descs = append(e.descs, impact, 0)
	e.descs = le.AppendUint16(e.descs, layout(kind, widths))
	e.df += uint32(n)
	e.docs, e.counts = e.docs[:0], e.counts[:0]
}

// append the entry of a term, which ends with it, to dst, and give the number of its
// passages. A term without postings has none.
func (e *entryEncoder) append(dst []byte, term string) ([]byte, uint32, error) {
	e.closeBlock()
	df := e.df
	if df == 0 {
		return dst, 0, nil
	}
	if len(term) > math.MaxUint8 {
		return dst, 0, fmt.Errorf("lexical: a term of %d bytes; the longest is %d", len(term), math.MaxUint8)
	}
	if size := 1 + len(term) + 4 + len(e.lasts) + len(e.descs) + len(e.payload); size > math.MaxUint32-2*blobTarget {
		return dst, 0, fmt.Errorf("lexical: the postings of one term take %d bytes; the format ends at 4 GiB", size)
	}
	dst = append(append(dst, byte(len(term))), term...)
	dst = binary.LittleEndian.AppendUint32(dst, df)
	dst = append(append(append(dst, e.lasts...), e.descs...), e.payload...)
	e.df, e.lasts, e.descs, e.payload = 0, e.lasts[:0], e.descs[:0], e.payload[:0]
	return dst, df, nil
}

// closeTerm ends the entry of a term; terms ascend.
func (e *encoder) closeTerm(term string) error {
	from := len(e.entries)
	var df uint32
	var err error
	if e.entries, df, err = e.append(e.entries, term); err != nil || df == 0 {
		return err
	}
	if entry := e.entries[from:]; e.full(from, len(entry)) {
		e.entries = e.entries[:from]
		if err := e.closeBlob(); err != nil {
			return err
		}
		e.entries = append(e.entries, entry...)
	}
	e.place(term, df)
	return nil
}

// full says whether the open blob, of so many bytes, is closed before an entry.
func (e *encoder) full(bytes, entry int) bool {
	n := len(e.hashes)
	return n > 0 && (bytes+entry > blobTarget || n == blobTerms)
}

// addEntry of the next term, written elsewhere.
func (e *encoder) addEntry(term string, df uint32, entry []byte) error {
	if df == 0 {
		return nil
	}
	if e.full(len(e.entries), len(entry)) {
		if err := e.closeBlob(); err != nil {
			return err
		}
	}
	e.entries = append(e.entries, entry...)
	e.place(term, df)
	return nil
}

// place the entry that was written last.
func (e *encoder) place(term string, df uint32) {
	e.ends = append(e.ends, uint32(len(e.entries)))
	e.hashes = append(e.hashes, hashTerm(term))
	e.summary.postings += uint64(df)
}

func (e *encoder) closeBlob() error {
	n := len(e.hashes)
	if n == 0 {
		return nil
	}
	le := binary.LittleEndian
	slots := slotsFor(n)
	size := termBlobHeader + 4*int(slots) + 4*n + len(e.entries)
	b := appendMagic(make([]byte, 0, size+8), kindTerms) // room for a checksum behind it
	for _, v := range []uint32{uint32(n), slots, uint32(e.summary.terms)} {
		b = le.AppendUint32(b, v)
	}
	for _, part := range [][]uint32{slotTable(e.hashes), e.ends} {
		for _, v := range part {
			b = le.AppendUint32(b, v)
		}
	}
	b = append(b, e.entries...)
	e.entries, e.ends, e.hashes = e.entries[:0], e.ends[:0], e.hashes[:0]
	e.summary.blobs++
	e.summary.terms += n
	return e.write(b)
}

// slotTable places terms by their hashes.
func slotTable(hashes []uint64) []uint32 {
	slots := slotsFor(len(hashes))
	table := make([]uint32, slots)
	for i, h := range hashes {
		at := uint32(h) & (slots - 1)
		for table[at] != 0 {
			at = (at + 1) & (slots - 1)
		}
		table[at] = uint32(h>>48)<<16 | uint32(i+1)
	}
	return table
}

// finish writes what is open and the summary.
func (e *encoder) finish() error {
	if err := e.closeBlob(); err != nil {
		return err
	}
	return e.write(e.summary.append(nil))
}
