package check

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math/bits"
	"strings"
	"unicode"

	"rxedge/daemon/telemetry/drift"
	"rxedge/index/document"
)

// Profile of documents: how long their sections are, and which words they use. Profiles
// add up, so that of a set is the sum of its documents'.
type Profile struct {
	Lengths [16]int64  // sections by the bits of their length in bytes, the last 15 and more
	Words   [256]int64 // words by a hash of them
}

// Fewest sections and words of a set for a verdict: the PSI of two samples of one
// distribution is about (bins−1)·(1/n+1/m), 0.02 here at most.
const (
	leastSections  = 1500
	leastWordsOf   = 30_000
	profileNumbers = 16 + 256
)

// ProfileOf a document.
func ProfileOf(d *document.Document) *Profile {
	p := &Profile{}
	for i := range d.Sections {
		text := d.Sections[i].Text
		p.Lengths[min(bits.Len(uint(len(text))), len(p.Lengths)-1)]++
		for w := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) }) {
			h := fnv.New32a()
			h.Write([]byte(w))
			p.Words[h.Sum32()%uint32(len(p.Words))]++
		}
	}
	return p
}

// Add o to p.
func (p *Profile) Add(o *Profile) {
	for i, n := range o.Lengths {
		p.Lengths[i] += n
	}
	for i, n := range o.Words {
		p.Words[i] += n
	}
}

// MarshalBinary writes its numbers as varints.
func (p *Profile) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, 2*profileNumbers)
	for _, n := range append(p.Lengths[:len(p.Lengths):len(p.Lengths)], p.Words[:]...) {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b, nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (p *Profile) UnmarshalBinary(b []byte) error {
	*p = Profile{}
	for i := range profileNumbers {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > 1<<62 {
			return errors.New("a profile is damaged")
		}
		b = b[k:]
		if i < len(p.Lengths) {
			p.Lengths[i] = int64(n)
		} else {
			p.Words[i-len(p.Lengths)] = int64(n)
		}
	}
	if len(b) > 0 {
		return errors.New("a profile is damaged")
	}
	return nil
}

// Drift of a set of documents from the last good one.
type Drift struct {
	Lengths Measure `json:"lengths"` // of sections
	Words   Measure `json:"words"`
}

// Measure is a population stability index with what it says: 0.2 is worth a look, 0.3 a
// reason to act (daemon/telemetry/drift).
type Measure struct {
	PSI      float64       `json:"psi"`
	Verdict  drift.Verdict `json:"verdict"`
	Baseline int64         `json:"baseline"` // sections, words
	Current  int64         `json:"current"`
}

// Drift of set from p.
func (p *Profile) Drift(set *Profile) Drift {
	return Drift{Lengths: measure(p.Lengths[:], set.Lengths[:], leastSections), Words: measure(p.Words[:], set.Words[:], leastWordsOf)}
}

func measure(baseline, current []int64, least int64) Measure {
	var b, c []int64
	m := Measure{Verdict: drift.VerdictInsufficient}
	for i := range baseline {
		if baseline[i]+current[i] > 0 { // a bin that neither has tells nothing
			b, c = append(b, baseline[i]), append(c, current[i])
		}
		m.Baseline, m.Current = m.Baseline+baseline[i], m.Current+current[i]
	}
	psi, _, err := drift.PSI(b, c)
	if err != nil {
		return m
	}
	m.PSI, m.Verdict = psi, drift.Judge(psi, int(min(m.Baseline, m.Current)), int(least))
	return m
}
