package generation

import (
	"bytes"
	"slices"
	"testing"
)

// What is kept of documents is what an index of before is read for.
func TestFactsAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	_, v := sealed(t)
	u := v.units[0]
	kept, err := u.get(key(kindFacts, ""))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := u.gatherFacts(); err != nil || !bytes.Equal(again, kept) {
		t.Errorf("%x and %x, %v", kept, again, err)
	}
	var b factsBuilder
	for _, d := range [][3]string{{"2026-01-31", "spl", "a.zip"}, {"", "text", "b.txt"}, {"31.1.2026", "spl", "a.zip"}, {"0000-01-01", "spl", ""}} {
		b.add(d[0], d[1], d[2])
	}
	raw := b.encode()
	f, err := readFacts(raw, 4)
	if err != nil {
		t.Fatal(err)
	}
	var days, kinds, sources []int
	for i := range 4 {
		days, kinds, sources = append(days, int(f.effective(i))), append(kinds, f.kind(i)), append(sources, f.source(i))
	}
	if !slices.Equal(days, []int{20260131, 0, 0, 0}) || !slices.Equal(kinds, []int{0, 1, 0, 0}) || !slices.Equal(sources, []int{0, 1, 0, 2}) {
		t.Errorf("%v %v %v", days, kinds, sources)
	}
	for n := range raw {
		if _, err := readFacts(raw[:n], 4); err == nil {
			t.Errorf("%d of %d bytes are taken for facts", n, len(raw))
		}
	}
	for i := range raw { // never a panic
		bad := slices.Clone(raw)
		bad[i] ^= 0xff
		if f, err := readFacts(bad, 4); err == nil && f.documents() != 4 {
			t.Errorf("byte %d: %d documents", i, f.documents())
		}
	}
}
