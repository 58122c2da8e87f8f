package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// Writer writes a safetensors file in one pass: the header first, then the data
// of each tensor in the order declared.
type Writer struct {
	w       io.Writer
	tensors []Tensor
	next    int
	err     error
}

// headerAlignment is what the reference implementation pads the header to, so
// that the data can be mapped.
const headerAlignment = 8

// NewWriter writes the header. Of the tensors only Name, DType and Shape count.
// Nothing is written where an argument is wrong. w is neither buffered nor
// closed.
func NewWriter(w io.Writer, metadata map[string]string, tensors []Tensor) (*Writer, error) {
	out := &Writer{w: w}
	head := []byte("{")
	add := func(key string, value any) error {
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		v, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if len(head) > 1 {
			head = append(head, ',')
		}
		head = append(append(append(head, k...), ':'), v...)
		return nil
	}
	if len(metadata) > 0 {
		if err := add(metaKey, metadata); err != nil {
			return nil, err
		}
	}
	seen := make(map[string]bool)
	var at int64
	for _, t := range tensors {
		n, wrong := bytesOf(t.DType, t.Shape)
		switch {
		case wrong != "":
		case t.Name == "" || t.Name == metaKey || len(t.Name) > maxName || !utf8.ValidString(t.Name):
			wrong = "a tensor can't have this name"
		case seen[t.Name]:
			wrong = "the tensor comes twice"
		}
		if wrong != "" {
			return nil, fmt.Errorf("safetensors: tensor %.200q: %s", t.Name, wrong)
		}
		seen[t.Name] = true
		t.begin, t.end = at, at+n
		at = t.end
		out.tensors = append(out.tensors, t)
		shape := t.Shape
		if shape == nil {
			shape = []uint64{}
		}
		err := add(t.Name, struct {
			DType   DType    `json:"dtype"`
			Shape   []uint64 `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, shape, [2]int64{t.begin, t.end}})
		if err != nil {
			return nil, err
		}
	}
	head = append(head, '}')
	for len(head)%headerAlignment != 0 {
		head = append(head, ' ')
	}
	if len(head) > maxHeader {
		return nil, fmt.Errorf("safetensors: the header would have %d bytes, more than %d", len(head), maxHeader)
	}
	var first [lengthBytes]byte
	binary.LittleEndian.PutUint64(first[:], uint64(len(head)))
	if _, err := w.Write(append(first[:], head...)); err != nil {
		return nil, err
	}
	return out, nil
}

// WriteTensor writes the data of the tensor whose turn it is, which must be the
// one named: exactly its bytes, until r ends. After an error the file is
// unusable, and every further call fails.
func (w *Writer) WriteTensor(name string, r io.Reader) error {
	if w.err == nil {
		w.err = w.tensor(name, r)
	}
	return w.err
}

func (w *Writer) tensor(name string, r io.Reader) error {
	if w.next == len(w.tensors) {
		return fmt.Errorf("safetensors: all %d tensors are written, %q is one too many", len(w.tensors), name)
	}
	t := w.tensors[w.next]
	if t.Name != name {
		return fmt.Errorf("safetensors: it is the turn of tensor %q, not of %q", t.Name, name)
	}
	n, err := io.Copy(w.w, io.LimitReader(r, t.Bytes()))
	if err != nil {
		return fmt.Errorf("safetensors: tensor %q: %w", name, err)
	}
	if n < t.Bytes() {
		return fmt.Errorf("safetensors: tensor %q: %d of its %d bytes are missing", name, t.Bytes()-n, t.Bytes())
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("safetensors: tensor %q: more data than its shape and dtype say", name)
	}
	w.next++
	return nil
}

// Close checks that every tensor was written. It does not close the underlying
// writer.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.next < len(w.tensors) {
		return fmt.Errorf("safetensors: %d of %d tensors were never written, %q first", len(w.tensors)-w.next, len(w.tensors), w.tensors[w.next].Name)
	}
	return nil
}

// WriteIndex writes the index of a sharded checkpoint into dir: shards maps
// each tensor to its file, total is the bytes of all tensors.
func WriteIndex(dir string, shards map[string]string, total int64) error {
	b, err := json.MarshalIndent(map[string]any{
		"metadata":   map[string]any{"total_size": total},
		"weight_map": shards,
	}, "", "  ")
	if err != nil {
		return err
	}
	if _, err := parseIndex(b); err != nil {
		return fmt.Errorf("safetensors: the index: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, IndexName), append(b, '\n'), 0o644)
}
