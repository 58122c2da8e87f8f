package lexical

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// blockSize is the number of postings between two skips.
const blockSize = 128

// blobTarget is the size in bytes at which a blob of postings is closed. One
// key per term is slow to load from a key-value store, and one blob for all
// can't be checked or read in parts.
const blobTarget = 1 << 20

// Builder collects postings, passage after passage. Not safe for concurrent use.
type Builder struct {
	analyzer *Analyzer
	stems    map[string]string
	terms    map[string]*list
	lengths  []byte // of each passage: two uint32, text and heading, in terms
	passages uint32
	sum      [2]uint64 // of lengths
	scratch  []string
	counts   map[string][2]uint32
}

// list is the postings of a term under construction.
type list struct {
	data  []byte // closed blocks
	block []byte // the open block
	n     int    // postings in the open block
	df    uint32
	last  uint32 // passage + 1 of the newest posting
	base  uint32 // passage + 1 of the last posting of the closed blocks
}

// NewBuilder of an index whose text goes through a.
func NewBuilder(a *Analyzer) *Builder {
	return &Builder{
		analyzer: a,
		stems:    make(map[string]string),
		terms:    make(map[string]*list),
		counts:   make(map[string][2]uint32),
	}
}

// Add indexes the next passage; the first is 0.
func (b *Builder) Add(heading, text string) error {
	if b.passages == math.MaxUint32-1 {
		return errors.New("lexical: too many passages")
	}
	if len(b.stems) > 1<<18 {
		clear(b.stems)
	}
	clear(b.counts)
	var length [2]uint32
	for field, s := range [2]string{text, heading} {
		b.scratch = b.analyzer.appendTerms(b.scratch[:0], s, b.stems)
		for _, t := range b.scratch {
			c := b.counts[t]
			c[field]++
			b.counts[t] = c
		}
		length[field] = uint32(len(b.scratch))
		b.sum[field] += uint64(len(b.scratch))
	}
	for t, c := range b.counts {
		l := b.terms[t]
		if l == nil {
			l = new(list)
			b.terms[strings.Clone(t)] = l
		}
		l.add(b.passages, c)
	}
	b.lengths = binary.LittleEndian.AppendUint32(b.lengths, length[0])
	b.lengths = binary.LittleEndian.AppendUint32(b.lengths, length[1])
	b.passages++
	return nil
}

func (l *list) add(passage uint32, count [2]uint32) {
	l.block = binary.AppendUvarint(l.block, uint64(passage+1-l.last))
	tf := uint64(count[0]) << 1
	if count[1] > 0 {
		l.block = binary.AppendUvarint(l.block, tf|1)
		l.block = binary.AppendUvarint(l.block, uint64(count[1]))
	} else {
		l.block = binary.AppendUvarint(l.block, tf)
	}
	l.last = passage + 1
	l.df++
	if l.n++; l.n == blockSize {
		l.flush()
	}
}

// flush closes the open block: how far it reaches, its length, its postings.
func (l *list) flush() {
	if l.n == 0 {
		return
	}
	l.data = binary.AppendUvarint(l.data, uint64(l.last-l.base))
	l.data = binary.AppendUvarint(l.data, uint64(len(l.block)))
	l.data = append(l.data, l.block...)
	l.block, l.n, l.base = l.block[:0], 0, l.last
}

// Finish hands each blob to write, in the order in which Load wants them: first
// the parameters and lengths, then the terms with their postings in alphabetical order. The
// builder is spent afterwards.
func (b *Builder) Finish(write func(blob []byte) error) error {
	if err := write(append(appendParams(nil, DefaultParams), b.lengths...)); err != nil {
		return err
	}
	names := make([]string, 0, len(b.terms))
	for t := range b.terms {
		names = append(names, t)
	}
	slices.Sort(names)
	avg := averages(b.sum, b.passages)
	norm := norms(b.lengths, avg, DefaultParams)
	var (
		terms, posts []byte
		ends         []uint32 // of terms and postings, in turn
	)
	flush := func() error {
		if len(ends) == 0 {
			return nil
		}
		blob := binary.LittleEndian.AppendUint32(nil, uint32(len(ends)/2))
		for _, e := range ends {
			blob = binary.LittleEndian.AppendUint32(blob, e)
		}
		blob = append(append(blob, terms...), posts...)
		terms, posts, ends = terms[:0], posts[:0], ends[:0]
		return write(blob)
	}
	for _, t := range names {
		l := b.terms[t]
		l.flush()
		if len(posts)+len(l.data) > math.MaxUint32-blobTarget {
			return fmt.Errorf("lexical: the postings of one term take %d bytes; the format ends at 4 GiB", len(l.data))
		}
		if len(ends) > 0 && len(terms)+len(posts)+len(l.data) > blobTarget {
			if err := flush(); err != nil {
				return err
			}
		}
		terms = append(terms, t...)
		posts = binary.LittleEndian.AppendUint32(posts, l.df)
		posts = binary.LittleEndian.AppendUint32(posts, math.Float32bits(impact(l.data, norm)))
		posts = append(posts, l.data...)
		ends = append(ends, uint32(len(terms)), uint32(len(posts)))
		delete(b.terms, t)
	}
	return flush()
}

// impact is the largest share tf·(k1+1)/(tf+norm) that a list reaches with the
// default parameters, rounded up, so that it stays a bound.
func impact(data []byte, norm []float64) float32 {
	c := cursor{data: data}
	most := 0.0
	for c.next() {
		most = max(most, DefaultParams.share(c.tf, norm[c.doc]))
	}
	f := float32(most)
	return math.Nextafter32(f, float32(math.Inf(1)))
}
