package generation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// passageBlock is about how large a block of passages is, in bytes.
const passageBlock = 1 << 20

// passageWriter gathers passages into blocks: their number n and n+1 offsets
// (uint32), then the passages as they are encoded, each with its checksum
// behind it. A search reads some dozen passages; one look-up in the store for
// each took longer than finding them.
type passageWriter struct {
	put   func(block []byte) error // which keeps it
	first int                      // number of the first passage of the block
	ends  []uint32
	data  []byte
}

func (w *passageWriter) add(p *Passage) error {
	from := len(w.data)
	w.data = p.append(w.data)
	k := numberKey(kindPassage, w.first+len(w.ends))
	w.data = binary.LittleEndian.AppendUint64(w.data, checksum(k, w.data[from:]))
	w.ends = append(w.ends, uint32(len(w.data)))
	if len(w.data) < passageBlock {
		return nil
	}
	return w.flush()
}

func (w *passageWriter) flush() error {
	n := len(w.ends)
	if n == 0 {
		return nil
	}
	head := 4 * (n + 2)
	b := make([]byte, 0, head+len(w.data)+8) // with room for a checksum
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	b = binary.LittleEndian.AppendUint32(b, uint32(head))
	for _, e := range w.ends {
		b = binary.LittleEndian.AppendUint32(b, uint32(head)+e)
	}
	w.first += n
	b = append(b, w.data...)
	w.ends, w.data = w.ends[:0], w.data[:0]
	return w.put(b)
}

// passages of a unit, in the blocks that a passageWriter made, as they lie.
// What an offset says is checked where it is used.
type passages struct {
	blocks []passagesFrom
	n      int
}

type passagesFrom struct {
	first int
	block []byte
}

func (p *passages) add(block []byte) error {
	n := 0
	if len(block) >= 8 {
		n = int(binary.LittleEndian.Uint32(block))
	}
	if n == 0 || n > len(block)/4-2 {
		return fmt.Errorf("it says %d passages and has %d bytes", n, len(block))
	}
	p.blocks = append(p.blocks, passagesFrom{p.n, block})
	p.n += n
	return nil
}

var errOffsets = errors.New("its block does not say where it lies")

// at gives a passage, encoded and with its checksum, where it lies.
func (p *passages) at(n int) ([]byte, error) {
	if n >= p.n {
		return nil, ErrNotFound
	}
	i, ok := slices.BinarySearchFunc(p.blocks, n, func(b passagesFrom, n int) int { return b.first - n })
	if !ok {
		i--
	}
	b := p.blocks[i].block
	at := 4 * (n - p.blocks[i].first + 1)
	from, to := binary.LittleEndian.Uint32(b[at:]), binary.LittleEndian.Uint32(b[at+4:])
	if from > to || to > uint32(len(b)) {
		return nil, errOffsets
	}
	return b[from:to], nil
}

// body of passage i, whose number in the unit is n, encoded, where it lies; or
// ErrNotFound.
func (p *passages) body(i, n int) ([]byte, error) {
	record, err := p.at(i)
	if errors.Is(err, ErrNotFound) {
		return nil, err
	}
	k := numberKey(kindPassage, n)
	if err == nil {
		record, err = openValue(k, record)
	}
	var d *DamageError
	if err != nil && !errors.As(err, &d) {
		err = damaged(describe(k), err.Error())
	}
	return record, err
}

// read passage i, whose number in the unit is n, or ErrNotFound.
func (p *passages) read(i, n int) (out Passage, err error) {
	body, err := p.body(i, n)
	if err != nil {
		return out, err
	}
	if out, err = decodePassage(body); err != nil {
		err = damaged(describe(numberKey(kindPassage, n)), err.Error())
	}
	return out, err
}
