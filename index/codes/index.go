package codes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"rxedge/index/document"
)

// Builder gathers the codes of documents, which are known by numbers.
type Builder struct{ docs map[string][]uint32 }

// AddDocument adds the codes that a document carries, and its set id where its
// id is one. It gives how many of them have not the form of their system or do
// not check; those can't be looked up. Documents come in any order.
func (b *Builder) AddDocument(doc uint32, d *document.Document) (left int) {
	if c := readUUID(d.ID); c.System != "" {
		b.add(key(SPL, c.Value), doc)
	}
	for _, c := range d.Codes {
		if !b.Add(doc, c.System, c.Value) {
			left++
		}
	}
	return left
}

// Add adds one code and says whether it can be looked up. Of an NDC with several
// readings the document has only the likely ones.
func (b *Builder) Add(doc uint32, system, value string) bool {
	c, err := Normalise(system, value)
	if err != nil || c.Problem != "" {
		return false
	}
	if c.System != NDC {
		b.add(key(c.System, c.Value), doc)
	}
	ndcs, _ := c.likely()
	for _, r := range ndcs {
		b.add(key(NDC, r), doc)
		b.add(key(NDC, Product(r)), doc)
	}
	return true
}

func (b *Builder) add(k string, doc uint32) {
	if b.docs == nil {
		b.docs = map[string][]uint32{}
	}
	if d := b.docs[k]; len(d) == 0 || d[len(d)-1] != doc {
		b.docs[k] = append(d, doc)
	}
}

// Build writes the postings as blobs of about size bytes (0: 1 MB). The same
// codes of the same documents give the same bytes. No codes give no blobs.
func (b *Builder) Build(size int) [][]byte {
	ks := make([]string, 0, len(b.docs))
	for k := range b.docs {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	w := newWriter(size)
	for _, k := range ks {
		d := b.docs[k]
		slices.Sort(d)
		w.add(k, slices.Compact(d))
	}
	return w.finish()
}

// Kinds of keys: the first byte. Their order is that of a blob.
const (
	kindATC     = 'A'
	kindGTIN    = 'G'
	kindLOINC   = 'L'
	kindPackage = 'N'
	kindProduct = 'P'
	kindRxCUI   = 'R'
	kindSPL     = 'S'
	kindUNII    = 'U'
)

// key of a canonical value: its kind, and the value as few bytes as it takes,
// numbers with the greatest byte first.
func key(system, value string) string {
	switch system {
	case NDC:
		if len(value) == len("000000-0000") {
			return number(kindProduct, value, 5)
		}
		return number(kindPackage, value, 5)
	case GTIN:
		return number(kindGTIN, value, 6)
	case RxCUI:
		return number(kindRxCUI, value, 4)
	case SPL:
		k := make([]byte, 1, 17)
		k[0] = kindSPL
		var half byte
		n := 0
		for i := 0; i < len(value); i++ {
			c := value[i]
			switch {
			case c == '-':
				continue
			case c >= 'a':
				c -= 'a' - 10
			default:
				c -= '0'
			}
			if n++; n%2 == 1 {
				half = c << 4
			} else {
				k = append(k, half|c)
			}
		}
		return string(k)
	case UNII:
		return string(kindUNII) + value
	case LOINC:
		return string(kindLOINC) + value
	default:
		return string(kindATC) + value
	}
}

func number(kind byte, value string, bytes int) string {
	var n uint64
	for i := 0; i < len(value); i++ {
		if value[i] != '-' {
			n = n*10 + uint64(value[i]-'0')
		}
	}
	k := make([]byte, 1+bytes)
	k[0] = kind
	for i := bytes; i > 0; i-- {
		k[i] = byte(n)
		n >>= 8
	}
	return string(k)
}

// A blob: magic, number of blocks and of keys, the offset of each block, blocks,
// all numbers little-endian uint32. A block holds up to perBlock keys in order,
// each as: bytes shared with the key before it (0 for the first of a block),
// length of the rest, the rest, number of documents, and these as differences,
// as uvarints. Blobs follow one another in the order of keys.
const (
	magic    = "RXC1"
	head     = 12
	perBlock = 16
	// defaultBlob is a size that Badger keeps as one value cheaply.
	defaultBlob = 1 << 20
)

type writer struct {
	size   int
	blobs  [][]byte
	blocks []uint32
	body   []byte
	keys   int
	last   string
}

func newWriter(size int) *writer {
	if size <= 0 {
		size = defaultBlob
	}
	return &writer{size: size}
}

func (w *writer) add(k string, docs []uint32) {
	if w.keys%perBlock == 0 {
		if len(w.body) >= w.size {
			w.flush()
		}
		w.blocks = append(w.blocks, uint32(len(w.body)))
		w.last = ""
	}
	shared := 0
	for shared < len(k) && shared < len(w.last) && k[shared] == w.last[shared] {
		shared++
	}
	w.body = append(w.body, byte(shared), byte(len(k)-shared))
	w.body = append(w.body, k[shared:]...)
	w.body = binary.AppendUvarint(w.body, uint64(len(docs)))
	last := uint32(0)
	for _, d := range docs {
		w.body = binary.AppendUvarint(w.body, uint64(d-last))
		last = d
	}
	w.last = k
	w.keys++
}

func (w *writer) flush() {
	if w.keys == 0 {
		return
	}
	le := binary.LittleEndian
	b := make([]byte, 0, head+4*len(w.blocks)+len(w.body))
	b = append(b, magic...)
	b = le.AppendUint32(b, uint32(len(w.blocks)))
	b = le.AppendUint32(b, uint32(w.keys))
	for _, o := range w.blocks {
		b = le.AppendUint32(b, uint32(head+4*len(w.blocks))+o)
	}
	w.blobs = append(w.blobs, append(b, w.body...))
	w.blocks, w.body, w.keys, w.last = w.blocks[:0], w.body[:0], 0, ""
}

func (w *writer) finish() [][]byte {
	w.flush()
	return w.blobs
}

// ErrDamaged: a blob is not what Build wrote.
var ErrDamaged = errors.New("postings of codes are damaged")

func damaged(blob int, what string) error {
	return fmt.Errorf("%w: blob %d: %s", ErrDamaged, blob, what)
}

// Index finds documents by their codes. It reads the blobs in place: they must
// not change while it is in use. Safe for concurrent use.
type Index struct {
	blobs []blob
	keys  int
}

type blob struct {
	b      []byte
	blocks int
}

// Load takes blobs in the order in which Build gave them. It checks their
// outlines, in time proportional to the number of blocks; Verify checks all.
func Load(blobs [][]byte) (*Index, error) {
	ix := &Index{}
	last := ""
	for i, b := range blobs {
		if len(b) < head || string(b[:4]) != magic {
			return nil, damaged(i, "it does not begin as postings of codes do")
		}
		le := binary.LittleEndian
		x := blob{b: b, blocks: int(le.Uint32(b[4:]))}
		n := int(le.Uint32(b[8:]))
		if x.blocks == 0 || x.blocks > (len(b)-head)/4 || n == 0 || n > x.blocks*perBlock || n <= (x.blocks-1)*perBlock {
			return nil, damaged(i, "its numbers of blocks and keys do not fit")
		}
		at := head + 4*x.blocks
		for j := range x.blocks {
			o := int(le.Uint32(b[head+4*j:]))
			if j == 0 && o != at || o < at || o+2 > len(b) || b[o] != 0 || o+2+int(b[o+1]) > len(b) || b[o+1] == 0 {
				return nil, damaged(i, fmt.Sprintf("block %d does not lie where it should", j))
			}
			at = o + 2
		}
		if f := string(x.first(0)); i > 0 && f <= last {
			return nil, damaged(i, "it does not follow the blob before it")
		}
		last = string(x.first(x.blocks - 1))
		ix.blobs = append(ix.blobs, x)
		ix.keys += n
	}
	return ix, nil
}

// Keys is the number of different codes.
func (ix *Index) Keys() int { return ix.keys }

// first key of block j.
func (x *blob) first(j int) []byte {
	o := binary.LittleEndian.Uint32(x.b[head+4*j:])
	n := uint32(x.b[o+1])
	return x.b[o+2 : o+2+n]
}

// block j from its first to its last byte.
func (x *blob) block(j int) []byte {
	le := binary.LittleEndian
	end := uint32(len(x.b))
	if j+1 < x.blocks {
		end = le.Uint32(x.b[head+4*(j+1):])
	}
	return x.b[le.Uint32(x.b[head+4*j:]):end]
}

// postings are the documents of a key.
type postings struct {
	b []byte
	n int
}

// entries of a block; ok is false where it ends amid one.
func entries(b []byte, yield func(key []byte, docs postings) bool) (ok bool) {
	var k [256]byte
	size := 0
	for len(b) > 0 {
		if len(b) < 2 {
			return false
		}
		shared, rest := int(b[0]), int(b[1])
		if shared > size || shared+rest > len(k) || 2+rest > len(b) {
			return false
		}
		size = shared + copy(k[shared:], b[2:2+rest])
		b = b[2+rest:]
		n, m := binary.Uvarint(b)
		if m <= 0 || n == 0 || n > uint64(len(b)-m) {
			return false
		}
		b = b[m:]
		docs := postings{b, int(n)}
		for range n {
			_, m := binary.Uvarint(b)
			if m <= 0 {
				return false
			}
			b = b[m:]
		}
		if !yield(k[:size], docs) {
			return true
		}
	}
	return true
}

// append decodes the documents, which rise; what does not rise ends them.
func (p postings) append(to []uint32) []uint32 {
	last, b := uint64(0), p.b
	for i := range p.n {
		d, m := binary.Uvarint(b)
		if m <= 0 || d > math.MaxUint32-last || i > 0 && d == 0 {
			break
		}
		last += d
		b = b[m:]
		to = append(to, uint32(last))
	}
	return to
}

// lookup gives the documents of a key.
func (ix *Index) lookup(k string) []uint32 {
	want := []byte(k)
	// The last blob and block that do not begin behind the key.
	i, _ := slices.BinarySearchFunc(ix.blobs, want, func(x blob, k []byte) int {
		if bytes.Compare(x.first(0), k) <= 0 {
			return -1
		}
		return 1
	})
	if i == 0 {
		return nil
	}
	x := &ix.blobs[i-1]
	lo, hi := 0, x.blocks
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); bytes.Compare(x.first(mid), want) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil
	}
	var out []uint32
	entries(x.block(lo-1), func(key []byte, docs postings) bool {
		c := bytes.Compare(key, want)
		if c == 0 {
			out = docs.append(make([]uint32, 0, docs.n))
		}
		return c < 0
	})
	return out
}

// Verify reads everything and says what is wrong. documents is the number of
// documents; 0: not known.
func (ix *Index) Verify(documents uint32) error {
	last, keys := "", 0
	var all []uint32
	for i := range ix.blobs {
		x := &ix.blobs[i]
		for j := range x.blocks {
			var err error
			ok := entries(x.block(j), func(key []byte, docs postings) bool {
				keys++
				all = docs.append(all[:0])
				switch {
				case documents > 0 && len(all) > 0 && all[len(all)-1] >= documents:
					err = damaged(i, fmt.Sprintf("block %d names a document that there is not", j))
				case string(key) <= last:
					err = damaged(i, fmt.Sprintf("block %d is not in order", j))
				case len(all) != docs.n:
					err = damaged(i, fmt.Sprintf("block %d has documents out of order", j))
				case !strings.ContainsRune("AGLNPRSU", rune(key[0])):
					err = damaged(i, fmt.Sprintf("block %d holds a code of no kind", j))
				}
				last = string(key)
				return err == nil
			})
			if err != nil {
				return err
			}
			if !ok {
				return damaged(i, fmt.Sprintf("block %d can't be read to its end", j))
			}
		}
	}
	if keys != ix.keys {
		return fmt.Errorf("%w: %d codes, and its blobs say %d", ErrDamaged, keys, ix.keys)
	}
	return nil
}
