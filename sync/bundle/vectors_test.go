package bundle_test

import (
	"bytes"
	"testing"

	"rxedge/sync/bundle"
)

// Whatever a document's rows are, they are refused, or are those that are written
// again: no number among them is infinite or none, and no vector is zero.
func FuzzRows(f *testing.F) {
	f.Add(2, bundle.AppendRow(nil, [16]byte{1}, []uint16{0x3c00, 0}))
	f.Add(1, bundle.AppendRow(nil, [16]byte{1}, []uint16{0x7c00}))
	f.Add(3, bundle.AppendRow(nil, [16]byte{}, []uint16{0, 0x8000, 0}))
	f.Fuzz(func(t *testing.T, dimension int, b []byte) {
		if dimension < 1 || dimension > 64 {
			return
		}
		v := bundle.Vectors{Dimension: dimension}
		var again []byte
		n, err := v.Rows(b, func(text [bundle.TextHashSize]byte, halves []uint16) {
			zero := true
			for _, h := range halves {
				if h>>10&31 == 31 {
					t.Errorf("%04x is no finite number", h)
				}
				zero = zero && h<<1 == 0
			}
			if zero {
				t.Error("a vector is zero")
			}
			again = bundle.AppendRow(again, text, halves)
		})
		if err == nil && (n*v.RowSize() != len(b) || !bytes.Equal(again, b)) {
			t.Errorf("%d rows of %d bytes are other bytes", n, len(b))
		}
	})
}
