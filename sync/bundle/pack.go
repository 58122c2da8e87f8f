package bundle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A pack, before it is compressed with zstd: the number of objects, the length
// of each (uvarints), and the objects one after another.

var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
		if err != nil {
			panic(err) // the options are wrong
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPackRaw+1024), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic(err)
		}
		return d
	})
)

func encodePack(objects [][]byte) (Pack, []byte) {
	raw := binary.AppendUvarint(nil, uint64(len(objects)))
	for _, o := range objects {
		raw = binary.AppendUvarint(raw, uint64(len(o)))
	}
	for _, o := range objects {
		raw = append(raw, o...)
	}
	stored := encoder().EncodeAll(raw, nil)
	return Pack{Hash: HashOf(stored), Size: len(stored), Raw: len(raw)}, stored
}

var errPack = errors.New("not a pack")

// decodePack opens one whose hash has been checked; the objects share memory.
func decodePack(p Pack, stored []byte) ([][]byte, error) {
	if p.Raw < 1 || p.Raw > maxPackRaw {
		return nil, errPack
	}
	raw, err := decoder().DecodeAll(stored, make([]byte, 0, p.Raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPack, err)
	}
	if len(raw) != p.Raw {
		return nil, errPack
	}
	n, k := binary.Uvarint(raw)
	if k <= 0 || n > uint64(len(raw)) {
		return nil, errPack
	}
	lengths := make([]int, n)
	rest := raw[k:]
	total := 0
	for i := range lengths {
		l, k := binary.Uvarint(rest)
		if k <= 0 || l > uint64(len(raw)) {
			return nil, errPack
		}
		lengths[i], rest = int(l), rest[k:]
		if total += int(l); total > len(raw) {
			return nil, errPack
		}
	}
	if total != len(rest) {
		return nil, errPack
	}
	objects := make([][]byte, n)
	for i, l := range lengths {
		objects[i], rest = rest[:l:l], rest[l:]
	}
	return objects, nil
}

// entry of a page: a document and where its item lies.
type entry struct {
	id   string
	item Ref
}

func encodePage(es []entry) []byte {
	b := binary.AppendUvarint(nil, uint64(len(es)))
	for _, e := range es {
		b = binary.AppendUvarint(b, uint64(len(e.id)))
		b = append(b, e.id...)
		b = e.item.append(b)
	}
	return b
}

func decodePage(b []byte) ([]entry, error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)) {
		return nil, errPack
	}
	b = b[k:]
	es := make([]entry, 0, n)
	for range n {
		l, k := binary.Uvarint(b)
		if k <= 0 || l == 0 || l > MaxID || uint64(len(b)-k) < l {
			return nil, errPack
		}
		e := entry{id: string(b[k : k+int(l)])}
		var err error
		if e.item, b, err = readRef(b[k+int(l):]); err != nil {
			return nil, errPack
		}
		es = append(es, e)
	}
	if len(b) > 0 {
		return nil, errPack
	}
	return es, nil
}

func encodeItem(parts []Ref) []byte {
	b := binary.AppendUvarint(nil, uint64(len(parts)))
	for _, r := range parts {
		b = r.append(b)
	}
	return b
}

func decodeItem(b []byte) ([]Ref, error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)) {
		return nil, errPack
	}
	b = b[k:]
	parts := make([]Ref, n)
	for i := range parts {
		var err error
		if parts[i], b, err = readRef(b); err != nil {
			return nil, errPack
		}
	}
	if len(b) > 0 {
		return nil, errPack
	}
	return parts, nil
}
