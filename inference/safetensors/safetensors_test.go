package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// raw is a file with the header and so many bytes of data.
func raw(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

// write writes tensors whose bytes count up from the tensor's number.
func write(t testing.TB, path string, metadata map[string]string, tensors ...Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, metadata, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for i, tensor := range tensors {
		n, _ := bytesOf(tensor.DType, tensor.Shape)
		data := make([]byte, n)
		for j := range data {
			data[j] = byte(i + j)
		}
		if err := w.WriteTensor(tensor.Name, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if path != "" {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	var tensors []Tensor
	for i, d := range []DType{F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, Bool} {
		tensors = append(tensors, Tensor{Name: fmt.Sprintf("t.%d", i), DType: d, Shape: []uint64{2, 3}})
	}
	tensors = append(tensors, Tensor{Name: "scalar", DType: F32}, Tensor{Name: "empty", DType: F16, Shape: []uint64{0, 5}}, Tensor{Name: "“x”\n", DType: U8, Shape: []uint64{1}})
	b := write(t, "", map[string]string{"format": "pt"}, tensors...)
	if n := binary.LittleEndian.Uint64(b); n%8 != 0 {
		t.Errorf("the header has %d bytes: the data can't be mapped", n)
	}
	c, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if c.Metadata()["format"] != "pt" || len(c.Tensors()) != len(tensors) {
		t.Errorf("%v, %d tensors", c.Metadata(), len(c.Tensors()))
	}
	for i, want := range tensors {
		got, ok := c.Tensor(want.Name)
		if !ok || got.DType != want.DType || fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) {
			t.Fatalf("%+v, want %+v", got, want)
		}
		elements := uint64(1)
		for _, d := range want.Shape {
			elements *= d
		}
		data, err := c.ReadAll(got)
		if err != nil || got.Elements() != elements || len(data) != int(elements)*want.DType.Size() || len(data) > 0 && data[0] != byte(i) {
			t.Errorf("%s: %d elements, data %v, %v", want.Name, got.Elements(), data, err)
		}
	}
	if c.Size() != int64(len(b))-8-int64(binary.LittleEndian.Uint64(b)) {
		t.Errorf("size %d", c.Size())
	}
}

// A file as the Python library writes it, by hand.
func TestReadsAForeignHeader(t *testing.T) {
	t.Parallel()
	b := raw(`{"b":{"data_offsets":[4,8],"shape":[2],"dtype":"F16"},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}    `, 8)
	copy(b[len(b)-4:], []byte{0, 0x3c, 0, 0xc0}) // 1, -2
	c, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if c.Tensors()[0].Name != "a" {
		t.Error("the tensors are not in the order of their data")
	}
	tensor, _ := c.Tensor("b")
	data, _ := c.ReadAll(tensor)
	got, err := Floats(nil, data, tensor.DType)
	if err != nil || !reflect.DeepEqual(got, []float32{1, -2}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	one := func(fields string) []byte { return raw(`{"w":{`+fields+`}}`, 8) }
	for _, tc := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "fewer than the 8", nil},
		{"header too long", "the file ends after", raw("{}", 0)[:9]},
		{"huge header", "more than 100000000", binary.LittleEndian.AppendUint64(nil, math.MaxUint64)},
		{"no brace", "brace", raw(" {}", 0)},
		{"no JSON", "no JSON", raw(`{"w":`, 0)},
		{"no UTF-8", "UTF-8", raw("{\"\xff\":1}", 0)},
		{"text after", "goes on", raw(`{} {}`, 0)},
		{"array", "an object should be", raw(`{"w":[]}`, 0)},
		{"twice", `"w" comes twice`, raw(`{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0)},
		{"field twice", `"dtype" comes twice`, one(`"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]`)},
		{"metadata twice", `comes twice`, raw(`{"__metadata__":{"a":"b","a":"c"}}`, 0)},
		{"metadata number", "is no text", raw(`{"__metadata__":{"a":1}}`, 0)},
		{"unknown field", `"stride" is unknown`, one(`"stride":1`)},
		{"no shape", "no shape", one(`"dtype":"F32","data_offsets":[0,8]`)},
		{"no dtype", "no dtype", one(`"shape":[2],"data_offsets":[0,8]`)},
		{"dtype", `"F8_E4M3" is not one that is read`, one(`"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]`)},
		{"dtype number", "no text", one(`"dtype":1`)},
		{"size", "takes 12", one(`"dtype":"F32","shape":[3],"data_offsets":[0,8]`)},
		{"negative", "no whole number", one(`"dtype":"F32","shape":[-2],"data_offsets":[0,8]`)},
		{"fraction", "no whole number", one(`"dtype":"F32","shape":[2.0],"data_offsets":[0,8]`)},
		{"wraps", "too large", one(`"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]`)},
		{"wraps to 0", "too large", one(`"dtype":"F32","shape":[9223372036854775808,9223372036854775808,0],"data_offsets":[0,0]`)},
		{"dims", "more than 16", one(`"dtype":"F32","shape":[` + strings.Repeat("1,", 16) + `1],"data_offsets":[0,8]`)},
		{"offsets", "no beginning and end", one(`"dtype":"F32","shape":[2],"data_offsets":[8,0]`)},
		{"one offset", "no beginning and end", one(`"dtype":"F32","shape":[2],"data_offsets":[8]`)},
		{"cut off", "cut off", raw(`{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, 8)},
		{"too long", "holds 9 bytes of data and its tensors take 8", raw(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 9)},
		{"overlap", "inside the tensor before", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8)},
		{"gap", "a gap", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}`, 6)},
		{"no name", "0 bytes", raw(`{"":{}}`, 0)},
	} {
		_, err := Read(bytes.NewReader(tc.data), int64(len(tc.data)))
		var bad *FormatError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestShards(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := Tensor{Name: "a", DType: U8, Shape: []uint64{2}}, Tensor{Name: "b", DType: U8, Shape: []uint64{3}}
	const first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
	write(t, filepath.Join(dir, first), map[string]string{"format": "pt"}, a)
	write(t, filepath.Join(dir, second), nil, Tensor{Name: "unnamed", DType: U8, Shape: []uint64{1}}, b)
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "2 files") {
		t.Errorf("two files without an index: %v", err)
	}
	index := map[string]string{"a": first, "b": second}
	if err := WriteIndex(dir, index, 5); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, IndexName)} {
		c, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		tensor, ok := c.Tensor("b")
		data, err := c.ReadAll(tensor)
		if !ok || err != nil || !bytes.Equal(data, []byte{1, 2, 3}) || c.File(tensor) != second || len(c.Tensors()) != 2 || c.Size() != 5 {
			t.Errorf("%v %v %v, %d tensors", ok, data, err, len(c.Tensors()))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	refused := func(want string) {
		t.Helper()
		c, err := Open(dir)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	index["c"] = second
	WriteIndex(dir, index, 5)
	refused(`"c" in ` + second + ", which does not hold it")
	index["c"] = "model-3.safetensors"
	WriteIndex(dir, index, 5)
	refused("model-3.safetensors, which is missing")
	for _, content := range []string{`{"weight_map":{"a":"../x.safetensors"}}`, `{"weight_map":{"a":"/etc/passwd"}}`, `{"weight_map":{"a":"..\\x.safetensors"}}`} {
		os.WriteFile(filepath.Join(dir, IndexName), []byte(content), 0o644)
		refused("no name of a safetensors file beside it")
	}
	os.WriteFile(filepath.Join(dir, IndexName), []byte(`{}`), 0o644)
	refused("no weight_map")
	os.WriteFile(filepath.Join(dir, IndexName), []byte(`{`), 0o644)
	refused("not an index")
	os.Remove(filepath.Join(dir, IndexName))
	os.Remove(filepath.Join(dir, second))
	c, err := Open(dir) // one file of any name
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	os.WriteFile(filepath.Join(dir, first), []byte("version https://git-lfs"), 0o644)
	refused(first + ": not a usable safetensors file")
	os.Remove(filepath.Join(dir, first))
	refused("holds no safetensors file")
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	le := binary.LittleEndian
	for _, tc := range []struct {
		d    DType
		data []byte
		want float32
	}{
		{F64, le.AppendUint64(nil, math.Float64bits(-0.1)), -0.1},
		{F32, le.AppendUint32(nil, math.Float32bits(3.5)), 3.5},
		{F16, []byte{0, 0xc0}, -2},
		{BF16, []byte{0x80, 0x3f}, 1},
	} {
		got, err := Floats(nil, tc.data, tc.d)
		if err != nil || len(got) != 1 || got[0] != tc.want {
			t.Errorf("%s: %v, %v", tc.d, got, err)
		}
	}
	for _, tc := range []struct {
		d    DType
		data []byte
		want int64
	}{
		{I64, le.AppendUint64(nil, math.MaxUint64), -1}, {U64, le.AppendUint64(nil, 7), 7},
		{I32, le.AppendUint32(nil, 1<<31), math.MinInt32}, {U32, le.AppendUint32(nil, 1<<31), 1 << 31},
		{I16, []byte{0, 0x80}, -32768}, {U16, []byte{0, 0x80}, 32768}, {I8, []byte{0xff}, -1}, {U8, []byte{0xff}, 255}, {Bool, []byte{1}, 1},
	} {
		got, err := Ints(nil, tc.data, tc.d)
		if err != nil || len(got) != 1 || got[0] != tc.want {
			t.Errorf("%s: %v, %v", tc.d, got, err)
		}
	}
	if _, err := Ints(nil, make([]byte, 4), F32); err == nil {
		t.Error("floats taken for integers")
	}
	if _, err := Floats(nil, make([]byte, 3), F16); err == nil {
		t.Error("half an element")
	}
	if _, err := Ints(nil, le.AppendUint64(nil, math.MaxUint64), U64); err == nil {
		t.Error("a U64 wrapped")
	}
}

func TestWriterRefuses(t *testing.T) {
	t.Parallel()
	for _, tensors := range [][]Tensor{
		{{Name: "", DType: F32}}, {{Name: "__metadata__", DType: F32}}, {{Name: "a", DType: "F4"}},
		{{Name: "a", DType: U8}, {Name: "a", DType: U8}}, {{Name: "\xff", DType: U8}}, {{Name: "a", DType: F32, Shape: []uint64{1 << 62}}},
	} {
		var b bytes.Buffer
		if _, err := NewWriter(&b, nil, tensors); err == nil || b.Len() > 0 {
			t.Errorf("%v: %v, %d bytes written", tensors, err, b.Len())
		}
	}
	start := func() *Writer {
		w, err := NewWriter(io.Discard, nil, []Tensor{{Name: "a", DType: U8, Shape: []uint64{2}}})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for data, want := range map[string]string{"x": "1 of its 2 bytes are missing", "xyz": "more data"} {
		w := start()
		if err := w.WriteTensor("a", strings.NewReader(data)); err == nil || !strings.Contains(err.Error(), want) || w.Close() == nil {
			t.Errorf("%q: %v", data, err)
		}
	}
	if err := start().WriteTensor("b", strings.NewReader("xy")); err == nil {
		t.Error("out of turn")
	}
	if err := start().Close(); err == nil {
		t.Error("closed before the end")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(write(f, "", map[string]string{"format": "pt"}, Tensor{Name: "a", DType: F32, Shape: []uint64{2, 3}}, Tensor{Name: "b", DType: I8}))
	f.Add(raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8))
	f.Add(raw(`{"__metadata__":{"a":"b"}}`, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			var bad *FormatError
			if !errors.As(err, &bad) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		var n int64
		for _, tensor := range c.Tensors() {
			data, err := c.ReadAll(tensor)
			if err != nil {
				t.Fatal(err)
			}
			n += int64(len(data))
		}
		if n != c.Size() || int64(binary.LittleEndian.Uint64(b))+8+n != int64(len(b)) {
			t.Fatalf("%d bytes of data in a file of %d", n, len(b))
		}
		// What was read can be written and read again.
		var again bytes.Buffer
		w, err := NewWriter(&again, c.Metadata(), c.Tensors())
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range c.Tensors() {
			if err := w.WriteTensor(tensor.Name, c.Data(tensor)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Read(bytes.NewReader(again.Bytes()), int64(again.Len())); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":5},"weight_map":{"a":"model-1.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../x.safetensors"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		shards, err := parseIndex(b)
		for name := range shards {
			if err == nil && strings.ContainsAny(name, `/\`) {
				t.Fatalf("a shard outside the folder: %q", name)
			}
		}
	})
}
