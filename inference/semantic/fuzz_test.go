package semantic

import (
	"crypto/sha256"
	"errors"
	"testing"
)

// A model file comes from outside. Its checksum is made right, so that what is behind it
// is reached.
func FuzzRead(f *testing.F) {
	file, err := Write("small", "none", "nothing", 2, []string{"[UNK]", "[CLS]", "[SEP]", "renal", "##s"}, "kidney trouble\trenal disease\n",
		[]float32{0, -1, 0, 0, 0, 0, 3, 1, 1, 0.5})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file[:len(file)-sha256.Size])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		m, err := Read(append(body[:len(body):len(body)], sum[:]...))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		v, err := m.Embed(t.Context(), []string{"renal disease, kidneys"})
		if err != nil || len(v[0]) != m.Info().Dimension {
			t.Fatal(len(v[0]), err)
		}
		again, err := m.With("again", "", m.Rows())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Read(again); err != nil {
			t.Fatal(err)
		}
	})
}
