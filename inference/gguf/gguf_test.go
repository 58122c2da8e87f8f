package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func testdata(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real file %s is not on this machine (RXEDGE_TESTDATA names the folder)", name)
	}
	return path
}

func everyValue() *Metadata {
	var m Metadata
	m.Set("general.architecture", "test")
	m.Set("general.alignment", uint32(64))
	m.Set("u8", uint8(200))
	m.Set("i8", int8(-7))
	m.Set("u16", uint16(60000))
	m.Set("i16", int16(-30000))
	m.Set("u32", uint32(4e9))
	m.Set("i32", int32(-2e9))
	m.Set("f32", float32(1.5))
	m.Set("bool", true)
	m.Set("u64", uint64(math.MaxUint64))
	m.Set("i64", int64(math.MinInt64))
	m.Set("f64", math.Pi)
	m.Set("empty", "")
	m.Set("a.u8", []uint8{1, 2, 3})
	m.Set("a.i8", []int8{-1})
	m.Set("a.u16", []uint16{1, 65535})
	m.Set("a.i16", []int16{-1})
	m.Set("a.u32", []uint32{7})
	m.Set("a.i32", []int32{-7, 7})
	m.Set("a.f32", []float32{-1, 0, 3})
	m.Set("a.bool", []bool{true, false})
	m.Set("a.text", []string{"α", "", "\xff"})
	m.Set("a.u64", []uint64{1 << 60})
	m.Set("a.i64", []int64{-1})
	m.Set("a.f64", []float64{2.5})
	m.Set("a.none", []string{})
	return &m
}

func sampleFile(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, everyValue(), []Tensor{
		{Name: "a", Shape: []uint64{3, 2}, Type: F32},
		{Name: "b", Shape: []uint64{32}, Type: Q8_0},
		{Name: "c", Type: I8},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		n    int
	}{{"a", 24}, {"b", 34}, {"c", 1}} {
		if err := w.WriteTensor(c.name, bytes.NewReader(bytes.Repeat([]byte(c.name), c.n))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	data := sampleFile(t)
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	want := everyValue()
	if !reflect.DeepEqual(f.Metadata.Keys(), want.Keys()) {
		t.Errorf("keys %v", f.Metadata.Keys())
	}
	for _, k := range want.Keys() {
		a, _ := want.Get(k)
		b, _ := f.Metadata.Get(k)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: wrote %#v, read %#v", k, a, b)
		}
	}
	if f.Version != 3 || f.Alignment != 64 || f.DataOffset%64 != 0 || len(f.Tensors) != 3 {
		t.Errorf("head: %+v", f)
	}
	for _, name := range []string{"a", "b", "c"} {
		tensor, ok := f.Tensor(name)
		if !ok {
			t.Fatalf("no tensor %s", name)
		}
		got, err := io.ReadAll(f.Data(tensor))
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte(name), int(tensor.Bytes()))) {
			t.Errorf("tensor %s: %q, %v", name, got, err)
		}
	}
	if n, ok := f.Metadata.Uint("u8"); n != 200 || !ok {
		t.Error("Uint")
	}
	if _, ok := f.Metadata.Uint("i8"); ok {
		t.Error("Uint of a negative number")
	}
}

func TestVersion2(t *testing.T) {
	t.Parallel()
	data := sampleFile(t)
	data[4] = 2
	if _, err := Read(bytes.NewReader(data), int64(len(data))); err != nil {
		t.Error(err)
	}
}

// head builds a file by hand; what it holds need not be right.
func head(tensors, keys uint64, parts ...any) []byte {
	b := []byte("GGUF\x03\x00\x00\x00")
	b = binary.LittleEndian.AppendUint64(b, tensors)
	b = binary.LittleEndian.AppendUint64(b, keys)
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = appendText(b, p)
		case int:
			b = binary.LittleEndian.AppendUint32(b, uint32(p))
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, p)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	u := func(n uint64) uint64 { return n }
	huge := uint64(1) << 62
	zeros := make([]byte, 256)
	tests := []struct {
		name, want string
		data       []byte
	}{
		{"empty", "does not begin with GGUF", nil},
		{"other file", "does not begin with GGUF", []byte("PK\x03\x04 and some more bytes than 24 of them")},
		{"version 1", "too old", append([]byte("GGUF\x01\x00\x00\x00"), zeros...)},
		{"version 9", "version 9 is unknown", append([]byte("GGUF\x09\x00\x00\x00"), zeros...)},
		{"big endian", "big endian", append([]byte("GGUF\x00\x00\x00\x03"), zeros...)},
		{"many tensors", "tensors, more than", head(huge, 0)},
		{"many keys", "metadata keys, more than", head(0, huge)},
		{"ends in keys", "cut off or damaged", head(0, 1)},
		{"long key", "65536 bytes long", head(0, 1, u(65536), zeros)},
		{"empty key", "empty or no UTF-8", head(0, 1, "", 4, 1)},
		{"key twice", "\"k\": the key comes twice", head(0, 2, "k", 4, 1, "k", 4, 2)},
		{"string too long", "\"k\": a string is", head(0, 1, "k", 8, huge)},
		{"string past the end", "cut off", head(0, 1, "k", 8, u(1000), zeros)},
		{"value type", "value type 77", head(0, 1, "k", 77)},
		{"bool", "neither 0 nor 1", head(0, 1, "k", 7, []byte{2})},
		{"nested array", "arrays within arrays", head(0, 1, "k", 9, 9, u(1), zeros)},
		{"array type", "unknown value type 55", head(0, 1, "k", 9, 55, u(1), zeros)},
		{"array count", "an array has", head(0, 1, "k", 9, 8, huge)},
		{"array past the end", "cut off", head(0, 1, "k", 9, 6, u(1000), zeros)},
		{"alignment 0", "general.alignment", head(0, 1, "general.alignment", 4, 0)},
		{"alignment 3", "power of two", head(0, 1, "general.alignment", 4, 3)},
		{"alignment text", "power of two", head(0, 1, "general.alignment", 8, "32")},
		{"dims", "5 dimensions", head(1, 0, "t", 5, u(1), u(1), u(1), u(1), u(1), 0, u(0), zeros)},
		{"dims overflow", "too large", head(1, 0, "t", 2, huge, huge, 0, u(0), zeros)},
		{"zero dim", "dimension 0 is zero", head(1, 0, "t", 1, u(0), 0, u(0), zeros)},
		{"tensor type", "type, number 4, is unknown", head(1, 0, "t", 1, u(32), 4, u(0), zeros)},
		{"half a block", "multiple of Q4_0's block of 32", head(1, 0, "t", 1, u(31), 2, u(0), zeros)},
		{"offset", "should begin at byte 0", head(1, 0, "t", 1, u(4), 0, u(32), zeros)},
		{"outside", "\"t\": the tensor's data ends at byte", head(1, 0, "t", 1, u(4000), 0, u(0), zeros)},
		{"tensor twice", "the tensor comes twice", head(2, 0, "t", 1, u(4), 0, u(0), "t", 1, u(4), 0, u(32), zeros)},
		{"overlap", "should begin at byte 32", head(2, 0, "t", 1, u(4), 0, u(0), "s", 1, u(4), 0, u(0), zeros)},
		{"tensor name", "name is 64 bytes", head(1, 0, strings.Repeat("n", 64), 1, u(4), 0, u(0), zeros)},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Read(bytes.NewReader(c.data), int64(len(c.data)))
			var format *FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a *FormatError with %q", err, c.want)
			}
		})
	}
}

func TestEveryTruncation(t *testing.T) {
	t.Parallel()
	data := sampleFile(t)
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	last := f.Tensors[len(f.Tensors)-1]
	end := f.DataOffset + int64(last.Offset+last.Bytes())
	for n := range end {
		if _, err := Read(bytes.NewReader(data[:n]), n); err == nil {
			t.Fatalf("a file cut at byte %d of %d was taken", n, end)
		}
	}
	if _, err := Read(bytes.NewReader(data[:end]), end); err != nil {
		t.Errorf("without the last padding, which ggml does not ask for: %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	t.Parallel()
	bad := func(key string, v any, tensors ...Tensor) {
		t.Helper()
		var m Metadata
		m.Set(key, v)
		var b bytes.Buffer
		if _, err := NewWriter(&b, &m, tensors); err == nil || b.Len() > 0 {
			t.Errorf("%q=%v %v was taken, %d bytes written", key, v, tensors, b.Len())
		}
	}
	bad("k", 1) // int has no width
	bad("k", []any{1})
	bad("", "v")
	bad("general.alignment", uint32(33))
	bad("k", "v", Tensor{Name: "t", Shape: []uint64{31}, Type: Q4_0})
	bad("k", "v", Tensor{Name: "t", Shape: []uint64{1}}, Tensor{Name: "t", Shape: []uint64{1}})

	begin := func() *Writer {
		w, err := NewWriter(io.Discard, new(Metadata), []Tensor{{Name: "t", Shape: []uint64{2}, Type: F32}})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, step := range map[string]func(*Writer) error{
		"too little":   func(w *Writer) error { return w.WriteTensor("t", strings.NewReader("1234567")) },
		"too much":     func(w *Writer) error { return w.WriteTensor("t", strings.NewReader("123456789")) },
		"another name": func(w *Writer) error { return w.WriteTensor("s", strings.NewReader("12345678")) },
		"none":         func(w *Writer) error { return w.Close() },
	} {
		w := begin()
		if step(w) == nil || w.Close() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRealFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, architecture, model string
		tokens                    int
	}{
		{"models/llama-2-tiny-random.gguf", "llama", "llama", 32000},
		{"tokenizers/ggml-vocab-bert-bge.gguf", "bert", "bert", 30522},
		{"tokenizers/ggml-vocab-llama-spm.gguf", "llama", "llama", 32000},
	} {
		f, err := Open(testdata(t, c.file))
		if err != nil {
			t.Error(err)
			continue
		}
		defer f.Close()
		a, _ := f.Metadata.Text("general.architecture")
		m, _ := f.Metadata.Text("tokenizer.ggml.model")
		tokens, _ := f.Metadata.Texts("tokenizer.ggml.tokens")
		if a != c.architecture || m != c.model || len(tokens) != c.tokens {
			t.Errorf("%s: %s, %s, %d tokens", c.file, a, m, len(tokens))
		}
		t.Logf("%s: version %d, %d keys, %d tensors", c.file, f.Version, f.Metadata.Len(), len(f.Tensors))

		// Written again, it must read the same.
		var b bytes.Buffer
		w, err := NewWriter(&b, &f.Metadata, f.Tensors)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range f.Tensors {
			if err := w.WriteTensor(tensor.Name, f.Data(tensor)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		original, err := os.ReadFile(testdata(t, c.file))
		if err != nil {
			t.Fatal(err)
		}
		if f.Version == 3 && !bytes.HasPrefix(b.Bytes(), original) && !bytes.Equal(b.Bytes(), original) {
			t.Errorf("%s: written again it has %d bytes and differs from the original's %d", c.file, b.Len(), len(original))
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sampleFile(f))
	f.Add(head(1, 1, "k", 9, 8, uint64(2), "a", "b", "t", 1, uint64(4), 0, uint64(0), make([]byte, 64)))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for _, tensor := range g.Tensors {
			if _, err := io.Copy(io.Discard, g.Data(tensor)); err != nil {
				t.Fatal(err)
			}
		}
		var b bytes.Buffer
		w, err := NewWriter(&b, &g.Metadata, g.Tensors)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		for _, tensor := range g.Tensors {
			if err := w.WriteTensor(tensor.Name, g.Data(tensor)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Read(bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
	})
}
