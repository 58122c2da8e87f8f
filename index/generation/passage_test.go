package generation

import (
	"reflect"
	"testing"

	"rxedge/index/chunk"
)

func TestPassageRecord(t *testing.T) {
	t.Parallel()
	p := Passage{Passage: chunk.Passage{DocumentID: "d", SectionID: "d#1", Section: 3, Heading: "H", Span: chunk.Span{Start: 5, End: 300},
		Sentences: []chunk.Span{{Start: 5, End: 40}, {Start: 41, End: 300}}}, Text: "täxt", SectionTitle: "S", LOINC: "34068-7"}
	b := p.append(nil)
	got, err := decodePassage(b)
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%v\n%+v\n%+v", err, got, p)
	}
	for n := range b {
		if _, err := decodePassage(b[:n]); err == nil {
			t.Errorf("cut to %d bytes it is read", n)
		}
	}
}

func FuzzPassage(f *testing.F) {
	f.Add((&Passage{Text: "x", Passage: chunk.Passage{Sentences: []chunk.Span{{Start: 1, End: 2}}}}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := decodePassage(b); err == nil {
			if again, err := decodePassage(p.append(nil)); err != nil || !reflect.DeepEqual(p, again) {
				t.Errorf("%v %+v %+v", err, p, again)
			}
		}
	})
}

func FuzzTable(f *testing.F) {
	var b tableBuilder
	b.document("a", []Passage{{LOINC: "34068-7"}, {}})
	b.document("b", nil)
	f.Add(b.encode(), 2)
	f.Fuzz(func(t *testing.T, raw []byte, passages int) {
		tab, err := readTable(raw, passages)
		if err != nil {
			return
		}
		for n := range uint32(passages) {
			tab.section(n)
			if first, end, ok := tab.find(tab.owner(n)); !ok || n < first || n >= end {
				t.Fatalf("passage %d of %d to %d", n, first, end)
			}
		}
	})
}
