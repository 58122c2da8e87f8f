package check

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode"

	"rxedge/centre/compare"
	"rxedge/index/document"
)

// Signature of what a document says, by MinHash (Broder 1997) over its runs of five
// words: the share of places in which two signatures agree estimates the Jaccard
// similarity of the two sets of runs, with a standard error of at most 0.045
// (√(J(1−J)/128); at 0.9 it is 0.027).
type Signature [places]uint32

const (
	places  = 128
	bands   = 16
	rows    = places / bands
	shingle = 5
	// fewest runs of words for a signature: short texts are alike by chance.
	leastShingles = 40
)

// NearAlike is the estimated similarity from which on two documents are near-duplicates.
const NearAlike = 0.9

var permutations = func() (ab [places][2]uint64) {
	x := uint64(0x5eed0f71)
	next := func() uint64 { // splitmix64 (Steele, Lea and Flood 2014)
		x += 0x9e3779b97f4a7c15
		z := x
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
	for i := range ab {
		ab[i] = [2]uint64{next() | 1, next()}
	}
	return ab
}()

// Sign a document: what it says but what is printed on its box. ok is false where it
// says too little.
func Sign(d *document.Document) (s Signature, ok bool) {
	seen := map[uint64]bool{}
	for i := range d.Sections {
		if compare.ClassOf(&d.Sections[i]) == compare.Packaging {
			continue
		}
		ws := strings.FieldsFunc(strings.ToLower(d.Sections[i].Text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		for j := 0; j+shingle <= len(ws); j++ {
			h := fnv.New64a()
			for _, w := range ws[j : j+shingle] {
				h.Write([]byte(w))
				h.Write([]byte{0})
			}
			seen[h.Sum64()] = true
		}
	}
	if len(seen) < leastShingles {
		return s, false
	}
	for i := range s {
		s[i] = ^uint32(0)
	}
	for x := range seen {
		for i, p := range &permutations {
			if h := uint32((p[0]*x + p[1]) >> 32); h < s[i] {
				s[i] = h
			}
		}
	}
	return s, true
}

// Alike estimates the similarity of what was signed.
func (s *Signature) Alike(o *Signature) float64 {
	n := 0
	for i := range s {
		if s[i] == o[i] {
			n++
		}
	}
	return float64(n) / places
}

// Bands of the signature. Two documents of similarity J share one with the probability
// 1−(1−J⁸)¹⁶: 0.9999 at 0.9, a half at 0.68, a thousandth at 0.29.
func (s *Signature) Bands() [bands]int64 {
	var out [bands]int64
	for b := range out {
		h := fnv.New64a()
		h.Write([]byte{byte(b)})
		for _, v := range s[b*rows : (b+1)*rows] {
			h.Write([]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
		}
		out[b] = int64(h.Sum64())
	}
	return out
}

// Copy is the finding that a document says what another does: exactly, or as far as
// alike, an estimate, says.
func Copy(other, title string, exact bool, alike float64) Finding {
	if exact {
		return Found(Duplicate, "", fmt.Sprintf("the document %q says exactly the same", other), title, "")
	}
	return Found(NearDuplicate, "", fmt.Sprintf("the document %q says nearly the same (about %.0f in 100 runs of words)", other, 100*alike), title, "")
}
