package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"unicode/utf8"
)

const (
	magic            = "GGUF"
	versionWritten   = 3
	keyAlignment     = "general.alignment"
	defaultAlignment = 32

	// Limits far above the largest real files (a vocabulary of 256 thousand
	// tokens with its merges takes 15 MiB; a model has some thousand tensors).
	maxHeaderBytes = 256 << 20
	maxKeys        = 1 << 16
	maxTensors     = 1 << 17
	maxKeyBytes    = 1<<16 - 1
	maxArray       = 1 << 24
	maxAlignment   = 1 << 20
)

// FormatError says what is wrong with a file and where.
type FormatError struct {
	Offset int64  // in bytes from the start of the file
	Key    string // the metadata key or the tensor that was being read, or ""
	Reason string
	Err    error // an error of the disk underneath, if any
}

func (e *FormatError) Error() string {
	s := fmt.Sprintf("not a usable GGUF file: at byte %d", e.Offset)
	if e.Key != "" {
		s += fmt.Sprintf(", %q", e.Key)
	}
	s += ": " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *FormatError) Unwrap() error { return e.Err }

// File is the head of a GGUF file, with access to the tensors' data.
type File struct {
	Version  uint32
	Metadata Metadata
	Tensors  []Tensor
	// Alignment of the data, and where the data section begins, in bytes.
	Alignment  uint64
	DataOffset int64

	r      io.ReaderAt
	closer io.Closer
}

// Open reads the head of a file. Close it when its tensors are read. The error
// names the file by its path, and is a *FormatError underneath where the
// content is wrong.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("is no regular file")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	g, err := Read(f, st.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	g.closer = f
	return g, nil
}

// Close closes the file that Open opened; after Read it does nothing.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// Tensor finds a tensor by name.
func (f *File) Tensor(name string) (Tensor, bool) {
	for _, t := range f.Tensors {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}

// Data reads the bytes of one of the file's tensors.
func (f *File) Data(t Tensor) *io.SectionReader {
	return io.NewSectionReader(f.r, f.DataOffset+int64(t.Offset), int64(t.Bytes()))
}

// Read reads the head of a GGUF file of the given size in bytes, and checks
// that every tensor lies inside it, in the order and places that ggml demands.
// An error is a *FormatError.
func Read(r io.ReaderAt, size int64) (*File, error) {
	limit := min(size, maxHeaderBytes)
	d := &decoder{
		r:     bufio.NewReaderSize(io.NewSectionReader(r, 0, limit), 64<<10),
		limit: uint64(max(limit, 0)),
		whole: size <= maxHeaderBytes,
	}
	f := &File{r: r}
	d.file(f, size)
	if d.err != nil {
		return nil, d.err
	}
	return f, nil
}

// decoder keeps the first error and reads zeros from then on.
type decoder struct {
	r     *bufio.Reader
	pos   uint64
	limit uint64 // bytes there are, or that a head may have
	whole bool   // limit is the file's size
	key   string
	err   *FormatError
	buf   [8]byte
}

func (d *decoder) fail(at uint64, format string, args ...any) {
	if d.err == nil {
		d.err = &FormatError{Offset: int64(at), Key: d.key, Reason: fmt.Sprintf(format, args...)}
	}
}

// want says whether n more bytes can be there at all.
func (d *decoder) want(n uint64) bool {
	if d.err != nil {
		return false
	}
	if n <= d.limit-d.pos {
		return true
	}
	if d.whole {
		d.fail(d.pos, "the file ends after %d bytes, %d more are needed; it is cut off or damaged", d.limit, n-(d.limit-d.pos))
	} else {
		d.fail(d.pos, "the head of the file is longer than %d MiB", maxHeaderBytes>>20)
	}
	return false
}

func (d *decoder) full(b []byte) bool {
	if !d.want(uint64(len(b))) {
		return false
	}
	n, err := io.ReadFull(d.r, b)
	d.pos += uint64(n)
	if err != nil {
		d.fail(d.pos, "the file can't be read")
		d.err.Err = err
		return false
	}
	return true
}

func (d *decoder) u8() uint8 {
	b := d.buf[:1]
	if !d.full(b) {
		return 0
	}
	return b[0]
}

func (d *decoder) u16() uint16 {
	b := d.buf[:2]
	if !d.full(b) {
		return 0
	}
	return binary.LittleEndian.Uint16(b)
}

func (d *decoder) u32() uint32 {
	b := d.buf[:4]
	if !d.full(b) {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

func (d *decoder) u64() uint64 {
	b := d.buf[:8]
	if !d.full(b) {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (d *decoder) boolean() bool {
	at := d.pos
	v := d.u8()
	if v > 1 {
		d.fail(at, "a truth value is %d, neither 0 nor 1", v)
	}
	return v == 1
}

func (d *decoder) text(what string, most uint64) string {
	at := d.pos
	n := d.u64()
	if d.err != nil {
		return ""
	}
	if n > most {
		d.fail(at, "%s is %d bytes long, more than %d", what, n, most)
		return ""
	}
	if !d.want(n) {
		return ""
	}
	b := make([]byte, n)
	if !d.full(b) {
		return ""
	}
	return string(b)
}

func (d *decoder) file(f *File, size int64) {
	var m [4]byte
	if size < 24 || !d.full(m[:]) || string(m[:]) != magic {
		d.err = &FormatError{Reason: "it does not begin with GGUF and a header of 24 bytes"}
		return
	}
	f.Version = d.u32()
	switch {
	case f.Version == 2 || f.Version == 3:
	case f.Version == 1:
		d.fail(4, "version 1 is too old; convert the model again with a current llama.cpp")
	case f.Version&0xffff == 0 && f.Version != 0:
		d.fail(4, "it is big endian; convert the model again for a little-endian machine")
	default:
		d.fail(4, "version %d is unknown; versions 2 and 3 are read", f.Version)
	}
	tensors, keys := d.u64(), d.u64()
	if tensors > maxTensors {
		d.fail(8, "it says it has %d tensors, more than %d", tensors, maxTensors)
	}
	if keys > maxKeys {
		d.fail(16, "it says it has %d metadata keys, more than %d", keys, maxKeys)
	}
	for i := uint64(0); i < keys && d.err == nil; i++ {
		d.pair(&f.Metadata)
	}
	d.key = ""
	f.Alignment = d.alignment(&f.Metadata)
	seen := make(map[string]bool)
	for i := uint64(0); i < tensors && d.err == nil; i++ {
		d.tensor(f, seen)
	}
	d.key = ""
	if d.err != nil {
		return
	}
	d.place(f, size)
}

func (d *decoder) pair(m *Metadata) {
	d.key = ""
	at := d.pos
	key := d.text("a metadata key", maxKeyBytes)
	if d.err != nil {
		return
	}
	if key == "" || !utf8.ValidString(key) {
		d.fail(at, "a metadata key is empty or no UTF-8")
		return
	}
	d.key = key
	if _, ok := m.values[key]; ok {
		d.fail(at, "the key comes twice")
		return
	}
	at = d.pos
	t := valueType(d.u32())
	v := d.value(t, at)
	if d.err == nil {
		m.Set(key, v)
	}
}

func (d *decoder) value(t valueType, at uint64) any {
	switch t {
	case typeUint8:
		return d.u8()
	case typeInt8:
		return int8(d.u8())
	case typeUint16:
		return d.u16()
	case typeInt16:
		return int16(d.u16())
	case typeUint32:
		return d.u32()
	case typeInt32:
		return int32(d.u32())
	case typeFloat32:
		return math.Float32frombits(d.u32())
	case typeBool:
		return d.boolean()
	case typeString:
		return d.text("a string", maxHeaderBytes)
	case typeUint64:
		return d.u64()
	case typeInt64:
		return int64(d.u64())
	case typeFloat64:
		return math.Float64frombits(d.u64())
	case typeArray:
		return d.array()
	}
	d.fail(at, "value type %d is unknown", t)
	return nil
}

func (d *decoder) array() any {
	at := d.pos
	t := valueType(d.u32())
	n := d.u64()
	if d.err != nil {
		return nil
	}
	switch {
	case t == typeArray:
		d.fail(at, "arrays within arrays are not supported (nor are they by llama.cpp)")
		return nil
	case t.size() == 0:
		d.fail(at, "an array of the unknown value type %d", t)
		return nil
	case n > maxArray:
		d.fail(at+4, "an array has %d elements, more than %d", n, maxArray)
		return nil
	}
	// The elements must fit in what is left of the file before they get memory.
	if !d.want(n * t.size()) {
		return nil
	}
	switch t {
	case typeUint8:
		return elements(d, n, d.u8)
	case typeInt8:
		return elements(d, n, func() int8 { return int8(d.u8()) })
	case typeUint16:
		return elements(d, n, d.u16)
	case typeInt16:
		return elements(d, n, func() int16 { return int16(d.u16()) })
	case typeUint32:
		return elements(d, n, d.u32)
	case typeInt32:
		return elements(d, n, func() int32 { return int32(d.u32()) })
	case typeFloat32:
		return elements(d, n, func() float32 { return math.Float32frombits(d.u32()) })
	case typeBool:
		return elements(d, n, d.boolean)
	case typeUint64:
		return elements(d, n, d.u64)
	case typeInt64:
		return elements(d, n, func() int64 { return int64(d.u64()) })
	case typeFloat64:
		return elements(d, n, func() float64 { return math.Float64frombits(d.u64()) })
	}
	return elements(d, n, func() string { return d.text("a string", maxHeaderBytes) })
}

func elements[T any](d *decoder, n uint64, next func() T) []T {
	out := make([]T, 0, n)
	for i := uint64(0); i < n && d.err == nil; i++ {
		out = append(out, next())
	}
	return out
}

func (d *decoder) alignment(m *Metadata) uint64 {
	v, ok := m.Get(keyAlignment)
	if !ok || d.err != nil {
		return defaultAlignment
	}
	if a, ok := v.(uint32); ok && validAlignment(uint64(a)) {
		return uint64(a)
	}
	d.key = keyAlignment
	d.fail(d.pos, "the alignment %v is no uint32 that is a power of two up to %d", v, maxAlignment)
	return defaultAlignment
}

func validAlignment(a uint64) bool {
	return a > 0 && a <= maxAlignment && a&(a-1) == 0
}

func (d *decoder) tensor(f *File, seen map[string]bool) {
	d.key = ""
	at := d.pos
	var t Tensor
	t.Name = d.text("a tensor's name", maxTensorName)
	if d.err != nil {
		return
	}
	d.key = t.Name
	if seen[t.Name] {
		d.fail(at, "the tensor comes twice")
		return
	}
	seen[t.Name] = true
	dims := d.u32()
	if dims > maxDims {
		d.fail(at, "the tensor has %d dimensions and ggml allows %d", dims, maxDims)
		return
	}
	for range dims {
		t.Shape = append(t.Shape, d.u64())
	}
	t.Type = Type(d.u32())
	t.Offset = d.u64()
	if d.err != nil {
		return
	}
	if bad := t.check(); bad != "" {
		d.fail(at, "%s", bad)
		return
	}
	f.Tensors = append(f.Tensors, t)
}

// place checks where the tensors say they lie. ggml takes them only one after
// the other without holes.
func (d *decoder) place(f *File, size int64) {
	start := pad(d.pos, f.Alignment)
	if len(f.Tensors) == 0 {
		f.DataOffset = min(int64(start), size)
		return
	}
	f.DataOffset = int64(start)
	var next uint64
	for _, t := range f.Tensors {
		d.key = t.Name
		if t.Offset != next {
			d.fail(start, "the tensor's data should begin at byte %d of the data section and begins at %d", next, t.Offset)
			return
		}
		end := start + t.Offset + t.Bytes()
		if end > uint64(size) {
			d.fail(start+t.Offset, "the tensor's data ends at byte %d and the file has %d; it is cut off", end, size)
			return
		}
		// Below maxDataBytes each and checked against the size: no overflow.
		next = pad(t.Offset+t.Bytes(), f.Alignment)
	}
}
