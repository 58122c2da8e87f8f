package chunk

import (
	"slices"
	"testing"

	"github.com/clipperhouse/uax29/v2/sentences"
	"pgregory.net/rapid"
)

func ends(text string) (own, library []int) {
	for at := 0; at < len(text); {
		at += asciiSentence(text[at:])
		own = append(own, at)
	}
	for it := sentences.FromString(text); it.Next(); {
		library = append(library, it.End())
	}
	return own, library
}

// Of ASCII the sentences are those of the library, whatever stands there.
func TestASCIISentences(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		alphabet := []byte("aabB1.. ..  )\"'([!?,-:;\r\n\t\v\f%/_|\x00\x7f")
		if rapid.Bool().Draw(t, "any") {
			alphabet = alphabet[:0]
			for c := range byte(128) {
				alphabet = append(alphabet, c)
			}
		}
		text := string(rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 60).Draw(t, "text"))
		if own, library := ends(text); !slices.Equal(own, library) {
			t.Fatalf("%q: %v, the library says %v", text, own, library)
		}
	})
}

func FuzzASCIISentences(f *testing.F) {
	for _, s := range []string{"", "Take 2.5 mg. Do not exceed it.", "e.g. this. \"Then\" (that.) 5", "a. 5b.X", "Is it?! Yes.\r\nNo.,", "\r\n", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !isASCII(text) {
			return
		}
		if own, library := ends(text); !slices.Equal(own, library) {
			t.Errorf("%q: %v, the library says %v", text, own, library)
		}
	})
}
