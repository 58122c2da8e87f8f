package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Writer writes a GGUF file of version 3 in one pass: the head first, then the
// data of each tensor in the order declared.
type Writer struct {
	w         io.Writer
	alignment uint64
	tensors   []Tensor
	next      int
	err       error
}

// NewWriter writes the head: metadata and the list of tensors, whose Offset it
// sets in its own copy. The metadata key general.alignment (uint32) sets the
// alignment; without it, 32. Nothing is written where an argument is wrong.
// w is not buffered and not closed.
func NewWriter(w io.Writer, m *Metadata, tensors []Tensor) (*Writer, error) {
	out := &Writer{w: w, alignment: defaultAlignment, tensors: make([]Tensor, len(tensors))}
	if v, ok := m.Get(keyAlignment); ok {
		a, ok := v.(uint32)
		if !ok || !validAlignment(uint64(a)) {
			return nil, fmt.Errorf("gguf: %s is %v (%T), not a uint32 that is a power of two up to %d", keyAlignment, v, v, maxAlignment)
		}
		out.alignment = uint64(a)
	}
	head := append([]byte(magic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(head[4:], versionWritten)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(tensors)))
	head = binary.LittleEndian.AppendUint64(head, uint64(m.Len()))
	for _, key := range m.keys {
		if key == "" || len(key) > maxKeyBytes || !utf8.ValidString(key) {
			return nil, fmt.Errorf("gguf: the key %.80q is empty, too long or no UTF-8", key)
		}
		head = appendText(head, key)
		var err error
		if head, err = appendValue(head, m.values[key]); err != nil {
			return nil, fmt.Errorf("gguf: key %q: %w", key, err)
		}
	}
	seen := make(map[string]bool)
	var offset uint64
	for i, t := range tensors {
		bad := t.check()
		if seen[t.Name] {
			bad = "the tensor comes twice"
		}
		if bad != "" {
			return nil, fmt.Errorf("gguf: tensor %.80q: %s", t.Name, bad)
		}
		seen[t.Name] = true
		t.Offset = offset
		out.tensors[i] = t
		offset += pad(t.Bytes(), out.alignment)
		head = appendText(head, t.Name)
		head = binary.LittleEndian.AppendUint32(head, uint32(len(t.Shape)))
		for _, n := range t.Shape {
			head = binary.LittleEndian.AppendUint64(head, n)
		}
		head = binary.LittleEndian.AppendUint32(head, uint32(t.Type))
		head = binary.LittleEndian.AppendUint64(head, t.Offset)
	}
	head = append(head, make([]byte, pad(uint64(len(head)), out.alignment)-uint64(len(head)))...)
	if len(head) > maxHeaderBytes {
		return nil, fmt.Errorf("gguf: the head would be longer than %d MiB", maxHeaderBytes>>20)
	}
	if _, err := w.Write(head); err != nil {
		return nil, err
	}
	return out, nil
}

// WriteTensor writes the data of the tensor whose turn it is, which must be the one
// named: exactly its Bytes, until r ends.
func (w *Writer) WriteTensor(name string, r io.Reader) error {
	return w.WriteTensorFunc(name, func(dst io.Writer) error {
		_, err := io.Copy(dst, r)
		return err
	})
}

// WriteTensorFunc is WriteTensor for data that is made while it is written. After an
// error the file is unusable, and every further call fails.
func (w *Writer) WriteTensorFunc(name string, write func(io.Writer) error) error {
	if w.err != nil {
		return w.err
	}
	w.err = w.tensor(name, write)
	return w.err
}

func (w *Writer) tensor(name string, write func(io.Writer) error) error {
	if w.next == len(w.tensors) {
		return fmt.Errorf("gguf: all %d tensors are written, %q is one too many", len(w.tensors), name)
	}
	t := w.tensors[w.next]
	if t.Name != name {
		return fmt.Errorf("gguf: it is the turn of tensor %q, not of %q", t.Name, name)
	}
	exact := &exactWriter{w: w.w, left: t.Bytes()}
	if err := write(exact); err != nil {
		return fmt.Errorf("gguf: tensor %q: %w", name, err)
	}
	if exact.left > 0 {
		return fmt.Errorf("gguf: tensor %q: %d of its %d bytes are missing", name, exact.left, t.Bytes())
	}
	w.next++
	if n := pad(t.Bytes(), w.alignment) - t.Bytes(); n > 0 {
		_, err := w.w.Write(make([]byte, n))
		return err
	}
	return nil
}

// Close checks that every tensor was written. It does not close the
// underlying writer.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.next < len(w.tensors) {
		return fmt.Errorf("gguf: %d of %d tensors were never written, %q first", len(w.tensors)-w.next, len(w.tensors), w.tensors[w.next].Name)
	}
	return nil
}

var errTooMuch = errors.New("more data than its shape and type say")

type exactWriter struct {
	w    io.Writer
	left uint64
}

func (e *exactWriter) Write(p []byte) (int, error) {
	if uint64(len(p)) > e.left {
		return 0, errTooMuch
	}
	n, err := e.w.Write(p)
	e.left -= uint64(n)
	return n, err
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

func appendValue(b []byte, v any) ([]byte, error) {
	t, elem, n, err := typeOf(v)
	if err != nil {
		return nil, err
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(t))
	if t == typeArray {
		if n > maxArray {
			return nil, fmt.Errorf("the array has %d elements, more than %d", n, maxArray)
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(elem))
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	switch v := v.(type) {
	case string:
		return appendText(b, v), nil
	case []string:
		for _, s := range v {
			b = appendText(b, s)
		}
		return b, nil
	}
	return binary.Append(b, binary.LittleEndian, v)
}
