package bundle

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

type memory map[Hash][]byte

func (m memory) Pack(h Hash) ([]byte, error) {
	if b, ok := m[h]; ok {
		return b, nil
	}
	return nil, ErrNotFound
}

func each(docs map[string][]string) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for _, id := range slices.Sorted(maps.Keys(docs)) {
			d := Document{ID: id}
			for _, p := range docs[id] {
				d.Parts = append(d.Parts, []byte(p))
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

func text(r *rand.Rand, n int) string {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "word%d ", r.IntN(3000))
	}
	return b.String()
}

func contents(t *testing.T, s *Set) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := s.Each(func(id string, content func() ([]byte, error)) error {
		b, err := content()
		out[id] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// Over many random releases the set is what was put and not withdrawn, a site in
// step fetches little, and packs stay in proportion.
func TestBuildReleases(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	want := map[string][]string{}
	store := memory{}
	var prev *Set
	first, total := 0, 0
	for n := int64(1); n <= 20; n++ {
		put := map[string][]string{}
		var remove []string
		k := 10
		if n == 1 {
			k = 400
		}
		for range k {
			id := fmt.Sprintf("doc-%04d", r.IntN(1000))
			parts := want[id]
			if len(parts) == 0 {
				for range 8 {
					parts = append(parts, text(r, 1500))
				}
			}
			parts = slices.Clone(parts)
			parts[r.IntN(len(parts))] = text(r, 1500)
			put[id] = parts
		}
		if n > 1 {
			for _, id := range slices.Sorted(maps.Keys(want))[:2] {
				if put[id] == nil {
					remove = append(remove, id)
				}
			}
		}
		b, err := Build(prev, each(put), remove, false)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(want, put)
		for _, id := range remove {
			delete(want, id)
		}
		sent := 0
		for h, c := range b.New {
			store[h] = c
			sent += len(c)
		}
		total += sent
		m := &Manifest{Format: Format, Channel: "stable", Number: n, Created: time.Unix(n, 0), Requires: Requires{Schema: Schema}, Documents: b.Documents}
		enc, err := EncodeManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		if m, err = ParseManifest(enc); err != nil {
			t.Fatal(err)
		}
		s := OpenSet(m, store)
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		got := contents(t, s)
		if len(got) != len(want) {
			t.Fatalf("release %d: %d documents, want %d", n, len(got), len(want))
		}
		for id, parts := range want {
			if got[id] != joined(parts) {
				t.Fatalf("release %d: %s differs", n, id)
			}
		}
		ch, err := s.Compare(prev)
		if err != nil {
			t.Fatal(err)
		}
		if n > 1 && (len(ch.Put) != len(put) || len(ch.Removed) != len(remove)) {
			t.Fatalf("release %d: %d and %d changes, want %d and %d", n, len(ch.Put), len(ch.Removed), len(put), len(remove))
		}
		if n == 1 {
			first = sent
			// A changed section of one document: its part, its item, its page.
			id := slices.Sorted(maps.Keys(want))[17]
			parts := slices.Clone(want[id])
			parts[3] = text(r, 1500)
			b, err := Build(s, each(map[string][]string{id: parts}), nil, false)
			if err != nil {
				t.Fatal(err)
			}
			one := 0
			for _, c := range b.New {
				one += len(c)
			}
			if one > 4000 {
				t.Errorf("%d bytes for one section of 1500", one)
			}
		} else if sent > first/10 {
			t.Fatalf("release %d: %d bytes for 10 documents; the first had %d", n, sent, first)
		}
		prev = s
	}
	live := 0
	for _, p := range prev.Manifest.Documents.Packs {
		live += p.Size
	}
	t.Logf("first %d bytes, 19 releases %d, packs of the last %d in %d places", first, total-first, live, len(prev.Manifest.Documents.Packs))
	if live > 2*first {
		t.Errorf("the last release has packs of %d bytes, the first %d", live, first)
	}
	// The same again changes nothing.
	b, err := Build(prev, each(want), nil, true)
	if err != nil || b.Put != 0 || b.Removed != 0 || b.Same != len(want) {
		t.Fatal(b.Put, b.Same, b.Removed, err)
	}
}

func joined(parts []string) (s string) {
	for _, p := range parts {
		s += p
	}
	return s
}

func TestTableIsWrittenAnew(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	docs := map[string][]string{"a": {text(r, 900)}, "b": {text(r, 900)}}
	b, err := Build(nil, each(docs), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	store := memory{}
	maps.Copy(store, b.New)
	d := *b.Documents
	// As after thousands of releases: holes in front.
	d.Packs = append(make([]Pack, maxHoles+5), d.Packs...)
	moved, err := Build(nil, each(docs), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	_ = moved
	shift := func(x Ref) Ref { x.Pack += maxHoles + 5; return x }
	old := OpenSet(&Manifest{Documents: b.Documents}, store)
	items := map[string]Ref{}
	for _, p := range b.Documents.Pages {
		es, err := old.page(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			parts, err := old.item(e.item)
			if err != nil {
				t.Fatal(err)
			}
			for i := range parts {
				parts[i] = shift(parts[i])
			}
			pk, stored := encodePack([][]byte{encodeItem(parts)})
			store[pk.Hash] = stored
			d.Packs = append(d.Packs, pk)
			items[e.id] = Ref{itemHash(parts), uint32(len(d.Packs) - 1), 0}
		}
	}
	page := []entry{{"a", items["a"]}, {"b", items["b"]}}
	pk, stored := encodePack([][]byte{encodePage(page)})
	store[pk.Hash] = stored
	d.Packs = append(d.Packs, pk)
	d.Pages = []Ref{{pageHash(page), uint32(len(d.Packs) - 1), 0}}
	prev := OpenSet(&Manifest{Documents: &d}, store)
	if err := prev.Check(); err != nil {
		t.Fatal(err)
	}
	b, err = Build(prev, each(map[string][]string{"c": {"new"}}), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(store, b.New)
	s := OpenSet(&Manifest{Documents: b.Documents}, store)
	if got := contents(t, s); len(got) != 3 || got["a"] != docs["a"][0] || got["c"] != "new" {
		t.Fatalf("%d documents", len(got))
	}
	if len(b.Documents.Packs) > 8 {
		t.Fatalf("%d places in the table", len(b.Documents.Packs))
	}
}

func FuzzParseManifest(f *testing.F) {
	b, err := Build(nil, each(map[string][]string{"a": {"x"}, "b": {"y"}}), nil, false)
	if err != nil {
		f.Fatal(err)
	}
	enc, err := EncodeManifest(&Manifest{Format: Format, Channel: "stable", Number: 3, Created: time.Unix(9, 0), Documents: b.Documents, Withdrawn: []string{"q"},
		Artefacts: []Artefact{{Name: "m", Kind: KindModel, Size: 5, Lists: []Hash{{}}}},
		Vectors:   []Vectors{{Name: "e", Dimension: 3, Count: 1, Documents: b.Documents}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(enc)
	f.Add([]byte(`{"format":1,"documents":{"pages":["AA"]}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := ParseManifest(in)
		if err != nil {
			if CodeOf(err) == "" {
				t.Fatal("no code", err)
			}
			return
		}
		_ = OpenSet(m, memory{}).Check()
		_, _ = OpenSet(m, memory{}).Compare(nil)
		for _, v := range m.Vectors {
			_ = v.Check(memory{})
		}
	})
}

func FuzzDecode(f *testing.F) {
	p, stored := encodePack([][]byte{[]byte("a"), encodePage([]entry{{"x", Ref{}}}), encodeItem([]Ref{{}})})
	f.Add(stored, p.Raw)
	f.Add([]byte("0"), -3)
	f.Add(encodePage([]entry{{"x", Ref{}}, {"y", Ref{Pack: 7}}}), 9)
	f.Add(encodeItem([]Ref{{}, {Index: 3}}), 9)
	f.Fuzz(func(t *testing.T, in []byte, raw int) {
		if objects, err := decodePack(Pack{Size: len(in), Raw: raw}, in); err == nil {
			for _, o := range objects {
				_, _ = decodePage(o)
			}
		}
		if es, err := decodePage(in); err == nil {
			_ = encodePage(es)
		}
		_, _ = decodeItem(in)
	})
}
