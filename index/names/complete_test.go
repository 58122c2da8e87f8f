package names

import (
	"reflect"
	"testing"
)

func TestCompleteNames(t *testing.T) {
	t.Parallel()
	label := func(id, generic string, brands ...string) Labelled {
		return Labelled{ID: id, Title: generic, Label: true, Generics: []string{generic}, Brands: brands}
	}
	first, err := New([]Labelled{label("a", "metformin", "Glucophage"), label("b", "metformin"), label("c", "metoprolol")})
	if err != nil {
		t.Fatal(err)
	}
	segment := first.parts[0].Segment
	l, err := Combine([]Part{{Segment: segment}, {Segment: segment, Dead: func(doc uint32) bool { return doc != 2 }}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		typed string
		want  []Completion
	}{
		{"Met", []Completion{{"metformin", 2}, {"metoprolol", 2}}},
		{"gluco", []Completion{{"glucophage", 2}}},
		{"metop", []Completion{{"metoprolol", 2}}},
		{"warf", nil}, // known, and no document is about it
		{"", nil},
		{"metformin ", nil},
	} {
		var got []Completion
		for _, g := range l.Complete(c.typed, 50) {
			for _, w := range []string{"metformin", "metoprolol", "glucophage", "warfarin"} {
				if g.Name == w {
					got = append(got, g)
				}
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q completes to %v, want %v", c.typed, got, c.want)
		}
	}
	if got := l.Complete("m", 1); len(got) != 1 {
		t.Errorf("one was asked for: %v", got)
	}
	// A withdrawn document teaches nothing.
	gone, err := Combine([]Part{{Segment: segment, Dead: func(doc uint32) bool { return doc < 2 }}})
	if err != nil {
		t.Fatal(err)
	}
	if got := gone.Complete("gluco", 5); len(got) != 0 {
		t.Errorf("of withdrawn labels: %v", got)
	}
}
