package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"unicode/utf8"
)

// header is what a file says about itself.
type header struct {
	tensors  []Tensor // by place in the file
	metadata map[string]string
	data     int64 // where the tensors begin in the file
}

// readHeader reads and checks the header of a file of size bytes. What is wrong
// with its content is a *FormatError without the file's name.
func readHeader(r io.ReaderAt, size int64) (header, error) {
	bad := func(format string, args ...any) (header, error) {
		return header{}, &FormatError{Reason: fmt.Sprintf(format, args...)}
	}
	if size < lengthBytes {
		return bad("it has %d bytes, fewer than the %d of its first field", size, lengthBytes)
	}
	var first [lengthBytes]byte
	if _, err := r.ReadAt(first[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return header{}, err
	}
	n := binary.LittleEndian.Uint64(first[:])
	switch {
	case n > maxHeader:
		return bad("its header would have %d bytes, more than %d", n, maxHeader)
	case n > uint64(size-lengthBytes):
		return bad("its header would have %d bytes and the file ends after %d; it is cut off or something else", n, size-lengthBytes)
	}
	raw := make([]byte, n)
	if _, err := r.ReadAt(raw, lengthBytes); err != nil && !errors.Is(err, io.EOF) {
		return header{}, err
	}
	if !bytes.HasPrefix(raw, []byte("{")) {
		return bad("its header does not begin with a brace")
	}
	if !utf8.Valid(raw) {
		return bad("its header is not UTF-8")
	}
	h := header{data: lengthBytes + int64(n)}
	p := parser{dec: json.NewDecoder(bytes.NewReader(raw)), h: &h}
	p.dec.UseNumber()
	if err := p.file(); err != nil {
		return header{}, err
	}
	return h, h.check(size - h.data)
}

// check sorts the tensors and refuses what overlaps, leaves a gap or is cut off.
func (h *header) check(room int64) error {
	sort.SliceStable(h.tensors, func(i, j int) bool {
		a, b := h.tensors[i], h.tensors[j]
		return a.begin < b.begin || a.begin == b.begin && a.end < b.end
	})
	var at int64
	for _, t := range h.tensors {
		switch {
		case t.end > room:
			return &FormatError{Tensor: t.Name, Reason: fmt.Sprintf("its data end at byte %d and the file holds %d bytes of data; the file is cut off", t.end, room)}
		case t.begin < at:
			return &FormatError{Tensor: t.Name, Reason: fmt.Sprintf("its data begin at byte %d, inside the tensor before, which ends at %d", t.begin, at)}
		case t.begin > at:
			return &FormatError{Tensor: t.Name, Reason: fmt.Sprintf("its data begin at byte %d and the tensor before ends at %d: a gap", t.begin, at)}
		}
		at = t.end
	}
	if at != room {
		return &FormatError{Reason: fmt.Sprintf("the file holds %d bytes of data and its tensors take %d", room, at)}
	}
	return nil
}

// parser walks the JSON by tokens: encoding/json would let the second of two
// equal keys win without a word.
type parser struct {
	dec *json.Decoder
	h   *header
}

func (p *parser) fail(tensor, format string, args ...any) error {
	return &FormatError{Tensor: tensor, Reason: fmt.Sprintf(format, args...)}
}

func (p *parser) token(where string) (json.Token, error) {
	t, err := p.dec.Token()
	if err != nil {
		return nil, p.fail(where, "its header is no JSON near byte %d: %v", p.dec.InputOffset(), err)
	}
	return t, nil
}

// object calls field for each key of the object that comes next.
func (p *parser) object(where string, field func(key string) error) error {
	t, err := p.token(where)
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return p.fail(where, "the header has %.40v where an object should be", t)
	}
	return p.fields(where, field)
}

func (p *parser) fields(where string, field func(key string) error) error {
	seen := make(map[string]bool)
	for {
		t, err := p.token(where)
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok { // the closing brace
			return nil
		}
		if seen[key] {
			return p.fail(where, "the key %.200q comes twice", key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
}

func (p *parser) file() error {
	err := p.object("", func(key string) error {
		if key == metaKey {
			return p.metadata()
		}
		return p.tensor(key)
	})
	if err != nil {
		return err
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return p.fail("", "its header goes on after its closing brace")
	}
	return nil
}

func (p *parser) metadata() error {
	p.h.metadata = make(map[string]string)
	return p.object(metaKey, func(key string) error {
		t, err := p.token(metaKey)
		if err != nil {
			return err
		}
		text, ok := t.(string)
		if !ok {
			return p.fail(metaKey, "the value of %.200q is no text", key)
		}
		p.h.metadata[key] = text
		return nil
	})
}

func (p *parser) tensor(name string) error {
	if name == "" || len(name) > maxName {
		return p.fail(name, "a name of %d bytes; 1 to %d are read", len(name), maxName)
	}
	if len(p.h.tensors) == maxTensors {
		return p.fail(name, "the file has more than %d tensors", maxTensors)
	}
	t := Tensor{Name: name}
	var offsets []uint64
	var have [3]bool
	err := p.object(name, func(key string) (err error) {
		switch key {
		case "dtype":
			have[0] = true
			var tok json.Token
			if tok, err = p.token(name); err != nil {
				return err
			}
			text, ok := tok.(string)
			if !ok {
				return p.fail(name, "its dtype is no text")
			}
			t.DType = DType(text)
		case "shape":
			have[1] = true
			t.Shape, err = p.numbers(name, key, maxDims)
		case "data_offsets":
			have[2] = true
			offsets, err = p.numbers(name, key, 2)
		default:
			return p.fail(name, "the key %.200q is unknown", key)
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, key := range []string{"dtype", "shape", "data_offsets"} {
		if !have[i] {
			return p.fail(name, "it has no %s", key)
		}
	}
	n, wrong := bytesOf(t.DType, t.Shape)
	if wrong != "" {
		return p.fail(name, "%s", wrong)
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] || offsets[1] > 1<<62 {
		return p.fail(name, "its data_offsets %v are no beginning and end", offsets)
	}
	t.begin, t.end = int64(offsets[0]), int64(offsets[1])
	if t.Bytes() != n {
		return p.fail(name, "its data have %d bytes, and %s of shape %v takes %d", t.Bytes(), t.DType, t.Shape, n)
	}
	p.h.tensors = append(p.h.tensors, t)
	return nil
}

// numbers reads an array of at most limit whole numbers, none negative.
func (p *parser) numbers(name, key string, limit int) ([]uint64, error) {
	t, err := p.token(name)
	if err != nil {
		return nil, err
	}
	if t != json.Delim('[') {
		return nil, p.fail(name, "its %s is no array", key)
	}
	out := []uint64{}
	for {
		if t, err = p.token(name); err != nil {
			return nil, err
		}
		if t == json.Delim(']') {
			return out, nil
		}
		if len(out) == limit {
			return nil, p.fail(name, "its %s has more than %d numbers", key, limit)
		}
		number, ok := t.(json.Number)
		var v uint64
		if ok {
			v, err = strconv.ParseUint(number.String(), 10, 64)
		}
		if !ok || err != nil {
			return nil, p.fail(name, "its %s has %.40v, no whole number", key, t)
		}
		out = append(out, v)
	}
}
