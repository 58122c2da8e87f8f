package semantic

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unsafe"
)

// What was learned is kept as, all numbers little-endian:
//
//	magic       8 bytes
//	header      uint32 length, JSON
//	words       uint32 length, stems, one a line
//	scales      float32 by word
//	rows        int8, words × dimension
//	checksum    SHA-256 of all before
const stateMagic = "rxadapt1"

type stateHeader struct {
	Words     int `json:"words"`
	Dimension int `json:"dimension"`
}

// State is what Restore needs to make the same again.
func (a *Adapted) State() []byte {
	list := make([]string, len(a.words))
	for w, i := range a.words {
		list[i] = w
	}
	head, _ := json.Marshal(stateHeader{len(list), LearnedDimension}) // numbers can't fail
	out := []byte(stateMagic)
	for _, p := range []string{string(head), strings.Join(list, "\n")} {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	for _, s := range a.scale {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(s))
	}
	for _, q := range a.rows {
		out = append(out, byte(q))
	}
	sum := sha256.Sum256(out)
	return append(out, sum[:]...)
}

// Restore makes again what Adapt made and State wrote. It keeps state, which
// must not change.
func (m *Model) Restore(state []byte) (*Adapted, error) {
	body, err := checked(state, stateMagic)
	if err != nil {
		return nil, err
	}
	p := parts{body}
	var head stateHeader
	raw, words := p.next(), p.next()
	if err := json.Unmarshal(raw, &head); err != nil || head.Dimension != LearnedDimension {
		return nil, fmt.Errorf("%w: its header is not of this version", ErrDamaged)
	}
	var list []string
	if len(words) > 0 {
		list = strings.Split(string(words), "\n")
	}
	n := head.Words
	if n < 0 || n > mostWords || n != len(list) || len(p.rest) != 4*n+n*LearnedDimension {
		return nil, fmt.Errorf("%w: it says %d words, has %d, and %d bytes of them", ErrDamaged, n, len(list), len(p.rest))
	}
	scale, err := scales(p.rest, n)
	if err != nil {
		return nil, err
	}
	a := m.adapted(list, scale, signed(p.rest[4*n:]))
	if len(a.words) != n {
		return nil, fmt.Errorf("%w: it has a word twice", ErrDamaged)
	}
	return a, nil
}

// checked takes magic and checksum off a file.
func checked(file []byte, magic string) ([]byte, error) {
	if len(file) < len(magic)+sha256.Size || string(file[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it is not of this version", ErrDamaged)
	}
	body, sum := file[:len(file)-sha256.Size], file[len(file)-sha256.Size:]
	if s := sha256.Sum256(body); !bytes.Equal(s[:], sum) {
		return nil, fmt.Errorf("%w: its checksum does not fit", ErrDamaged)
	}
	return body[len(magic):], nil
}

// parts are read one after the other; each has its length before it.
type parts struct{ rest []byte }

// next part; nil where it is not whole.
func (p *parts) next() []byte {
	if len(p.rest) < 4 {
		return nil
	}
	n := int64(binary.LittleEndian.Uint32(p.rest))
	if n > int64(len(p.rest)-4) {
		p.rest = nil
		return nil
	}
	part := p.rest[4 : 4+n]
	p.rest = p.rest[4+n:]
	return part
}

func scales(b []byte, n int) ([]float32, error) {
	out := make([]float32, n)
	for i := range out {
		s := math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		if !(s >= 0 && s <= math.MaxFloat32) {
			return nil, fmt.Errorf("%w: the scale of row %d is no number", ErrDamaged, i)
		}
		out[i] = s
	}
	return out, nil
}

// signed is b as int8, in place.
func signed(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}
