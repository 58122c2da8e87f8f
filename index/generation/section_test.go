package generation

import (
	"reflect"
	"testing"

	"rxedge/index/document"
)

func TestSectionRecord(t *testing.T) {
	t.Parallel()
	for _, s := range []document.Section{
		{},
		{ID: "d#1", Aliases: []string{"a", ""}, LOINC: "34068-7", Number: "5.1", Title: "T", Path: []string{"P"}, Text: "täxt\n\nmore"},
	} {
		b := encodeSection(&s)
		got, err := decodeSection(b)
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%v\n%+v\n%+v", err, got, s)
		}
		for n := range b {
			if got, err := decodeSection(b[:n]); err == nil {
				t.Errorf("cut to %d bytes it is read: %+v", n, got)
			}
		}
		if _, err := decodeSection(append(b, 0)); err == nil {
			t.Error("with a byte behind it, it is read")
		}
	}
}

func FuzzSection(f *testing.F) {
	f.Add(encodeSection(&document.Section{ID: "a", Path: []string{"b"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeSection(b); err == nil {
			if again, err := decodeSection(encodeSection(&s)); err != nil || !reflect.DeepEqual(s, again) {
				t.Errorf("%v %+v %+v", err, s, again)
			}
		}
	})
}
