package box

import (
	"bytes"
	"reflect"
	"testing"

	"rxedge/index/document"
	"rxedge/sync/bundle"
)

func sample() *document.Document {
	return &document.Document{ID: "a", Kind: document.KindJSONL, Title: "A", Sections: []document.Section{{ID: "a#1", Title: "One", Text: "text\n\nmore"}, {ID: "a#2", Title: "Two", Text: "ä"}}}
}

func TestPublishedIsReadAgain(t *testing.T) {
	t.Parallel()
	p, err := Publishable(sample())
	if err != nil || len(p.Parts) != 3 {
		t.Fatal(len(p.Parts), err)
	}
	whole := bytes.Join(p.Parts, nil)
	d, err := ReadPublished("a", whole)
	if err != nil || !reflect.DeepEqual(d, sample()) {
		t.Fatal(d, err)
	}
	for what, b := range map[string][]byte{
		"half": whole[:len(whole)/2], "nothing": nil, "no sections": p.Parts[0], "no text": []byte(`{"id":"a"}` + "\n" + `{"id":"a#1"}` + "\n"),
		"the same section twice": append(bytes.Clone(whole), p.Parts[1]...), "not UTF-8": append(bytes.Clone(whole), 0xff, '\n'),
		"sections in the first line": []byte(`{"id":"a","sections":[{"id":"x","text":"y"}]}` + "\n"),
	} {
		if _, err := ReadPublished("a", b); bundle.CodeOf(err) != bundle.BadContent {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ReadPublished("b", whole); bundle.CodeOf(err) != bundle.BadContent {
		t.Error("a document under another's id was taken", err)
	}
}

func FuzzReadPublished(f *testing.F) {
	p, err := Publishable(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Join(p.Parts, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := ReadPublished("a", b); err == nil && (d.ID != "a" || len(d.Sections) == 0) {
			t.Fatal(d)
		} else if err != nil && bundle.CodeOf(err) != bundle.BadContent {
			t.Fatal(err)
		}
	})
}
