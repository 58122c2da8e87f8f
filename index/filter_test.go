package index_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/fusion"
)

var (
	someSections = []string{"34068-7", "34070-3", "34084-4", "88828-9", ""}
	someKinds    = []string{document.KindSPL, document.KindOpenFDA, document.KindText}
	someSources  = []string{"spl.zip", "openfda.json", "notes.txt", "more.txt"}
	someDates    = []string{"2024-02-29", "2025-06-30", "2025-07-01", "2026-01-02", ""}
)

// variedLabel differs in all that a filter looks at.
func variedLabel(r *rand.Rand, id string, version int) *document.Document {
	d := randomLabel(r, id, version)
	for len(d.Sections) < 4 {
		d.Sections = append(d.Sections, randomLabel(r, id, version).Sections...)
	}
	for i := range d.Sections {
		d.Sections[i].ID, d.Sections[i].Aliases = fmt.Sprintf("%s#%d", id, i), nil
		d.Sections[i].LOINC = someSections[r.IntN(len(someSections))]
	}
	d.Kind, d.Source, d.Effective = someKinds[r.IntN(3)], someSources[r.IntN(4)], someDates[r.IntN(5)]
	return d
}

func some(r *rand.Rand, of []string) (out []string) {
	for _, s := range of {
		if s != "" && r.IntN(3) == 0 {
			out = append(out, s)
		}
	}
	return out
}

// allows is the filter as its documentation has it.
func allows(f index.Filter, d *document.Document, loinc string) bool {
	in := func(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }
	dated := f.From == "" && f.To == "" || d.Effective != "" && d.Effective >= f.From && (f.To == "" || d.Effective <= f.To)
	return in(f.Documents, d.ID) && in(f.Drugs, d.Names[0].Text) && in(f.Sections, loinc) && in(f.Kinds, d.Kind) && in(f.Sources, d.Source) && dated
}

// A filtered search finds, of an exhaustive one, the first that the filter
// allows, with their scores: across segments, live updates and withdrawn
// passages, by words, by vectors and by both.
func TestFilterIsThatOfAnExhaustiveSearch(t *testing.T) {
	t.Parallel()
	e := &words{name: "words-1"}
	r := rand.New(rand.NewPCG(11, 12))
	ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: e.info()})
	now := map[string]*document.Document{}
	batch := func(n int) {
		var ch index.Changes
		var docs []*document.Document
		for range n {
			id := fmt.Sprintf("drug%03d", r.IntN(80))
			if r.IntN(5) == 0 && now[id] != nil && !slices.ContainsFunc(docs, func(d *document.Document) bool { return d.ID == id }) {
				ch.Delete = append(ch.Delete, id)
				delete(now, id)
				continue
			}
			d := variedLabel(r, id, n)
			docs, now[id] = append(docs, d), d
			ch.Delete = slices.DeleteFunc(ch.Delete, func(x string) bool { return x == id })
		}
		ch.Put = index.Documents(docs...)
		apply(t, ix, ch)
	}
	batch(100)
	found := 0
	for range 4 {
		for range 4 {
			batch(1 + r.IntN(8))
		}
		s := ix.Acquire()
		for range 25 {
			f := index.Filter{Sections: some(r, someSections), Kinds: some(r, someKinds), Sources: some(r, someSources)}
			f.From, f.To = someDates[r.IntN(5)], someDates[r.IntN(5)]
			if f.To != "" && f.To < f.From {
				f.To = ""
			}
			ids := make([]string, 0, len(now))
			for id := range now {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			switch r.IntN(4) {
			case 0:
				f = index.Filter{Documents: some(r, ids)}
			case 1:
				f.Drugs = ids[:1+r.IntN(5)]
			}
			found += sameAsExhaustive(t, s, f, now, r)
		}
		s.Release()
	}
	if found < 500 {
		t.Errorf("only %d passages were found at all", found)
	}
	clean(t, ix)
}

func sameAsExhaustive(t *testing.T, s *index.Snapshot, f index.Filter, now map[string]*document.Document, r *rand.Rand) int {
	t.Helper()
	const all = 100_000
	q := index.Query{Depth: 7, Text: strings.Join([]string{someWords[r.IntN(20)], someWords[r.IntN(20)], "dose", fmt.Sprintf("drug%03d", r.IntN(80))}, " "), Plain: r.IntN(2) == 0}
	hits := func(mode index.Mode, k int, f index.Filter) []index.Hit {
		q := q
		if q.Mode, q.K, q.Filter = mode, k, f; !q.Plain {
			q.Depth = all // sections asked for lift passages among the candidates
		}
		res, err := s.Search(t.Context(), q)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		return res.Hits
	}
	where := func(h index.Hit) string { return fmt.Sprint(h.SetID, " ", h.Passage.Section) }
	want := map[index.Mode][]index.Hit{}
	n := 0
	for _, mode := range []index.Mode{index.ModeBM25, index.ModeDense} {
		for _, h := range hits(mode, all, index.Filter{}) {
			if allows(f, now[h.SetID], h.LOINC) {
				want[mode] = append(want[mode], h)
			}
		}
		for _, k := range []int{1, 7, all} {
			got, want := hits(mode, k, f), want[mode]
			want = want[:min(k, len(want))]
			if len(got) != len(want) {
				t.Fatalf("%s %+v, %q: %d of the best %d, want %d", mode, f, q.Text, len(got), k, len(want))
			}
			for i, g := range got {
				// What a named medicine is lifted by is over those beside it.
				if w := want[i]; where(g) != where(w) || g.Dense != w.Dense || q.Plain && g.BM25 != w.BM25 || g.Section != w.Section {
					t.Fatalf("%s %+v, %q: place %d is %s (%v %v %v), want %s (%v %v %v)", mode, f, q.Text, i,
						where(g), g.BM25, g.Dense, g.Section, where(w), w.BM25, w.Dense, w.Section)
				}
			}
			n += len(got)
		}
	}
	// Both, fused.
	number := map[string]uint32{}
	var lists [][]uint32
	depth := 7
	if !q.Plain {
		depth = all
	}
	for _, mode := range []index.Mode{index.ModeBM25, index.ModeDense} {
		var list []uint32
		for _, h := range want[mode][:min(depth, len(want[mode]))] {
			if _, ok := number[where(h)]; !ok {
				number[where(h)] = uint32(len(number))
			}
			list = append(list, number[where(h)])
		}
		lists = append(lists, list)
	}
	scores := map[uint32]float64{}
	for _, r := range fusion.RRF(lists, fusion.K, 0) {
		scores[r.ID] = r.Score
	}
	got := hits(index.ModeHybrid, 7, f)
	if len(got) != min(7, len(scores)) {
		t.Fatalf("hybrid %+v: %d hits, want %d", f, len(got), min(7, len(scores)))
	}
	for i, h := range got {
		w, ok := scores[number[where(h)]]
		if !q.Plain && strings.HasSuffix(q.Text, h.SetID) {
			w++ // a medicine that is named comes first, whichever source found it
		}
		if !ok || w != h.Score || i > 0 && h.Score > got[i-1].Score {
			t.Fatalf("hybrid %+v: place %d has %v, want %v", f, i, h.Score, w)
		}
	}
	return n
}

func TestFilterReadsDrugs(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	brand := label("4d7c2a10-0b1c-4e0e-9f6e-0a1b2c3d4e5f", "1", "Take it with food.", "Never with alcohol.")
	brand.Title = "Glucophage tablets"
	brand.Names = []document.Name{{Text: "Glucophage", Kind: "brand"}, {Text: "metformin hydrochloride", Kind: "generic"}}
	brand.Codes = []document.Code{{System: "ndc", Value: "0087-6060-05"}, {System: "spl", Value: "99999999-0b1c-4e0e-9f6e-0a1b2c3d4e5f"}}
	brand.Sections[1].LOINC = "34070-3"
	apply(t, ix, put(brand, warfarin, lisinopril))
	for _, f := range []index.Filter{
		{Drugs: []string{"glucophage"}}, {Drugs: []string{"Metformin"}}, {Drugs: []string{"glucofage"}}, {Drugs: []string{brand.ID}}, {Drugs: []string{"0087-6060-05"}},
		{Documents: []string{brand.ID}}, {Documents: []string{"99999999-0B1C-4e0e-9f6e-0a1b2c3d4e5f"}},
		{Sections: []string{"Contraindications"}}, {Sections: []string{"34070-3"}, Drugs: []string{"metformin", "warfarin"}},
	} {
		res, err := ix.Search(t.Context(), index.Query{Text: "alcohol antibiotic pregnancy", Mode: index.ModeBM25, Filter: f})
		if err != nil || len(res.Hits) != 1 || res.Hits[0].SetID != brand.ID || len(f.Drugs) != len(res.Drugs) {
			t.Errorf("%+v: %+v %v", f, res, err)
		}
	}
	for field, f := range map[string]index.Filter{
		"drugs[1]": {Drugs: []string{"warfarin", "nosuchol"}}, "documents[0]": {Documents: []string{"nowhere"}}, "sections[0]": {Sections: []string{"34070-4"}},
		"sections[1]": {Sections: []string{"34070-3", "the end"}}, "kinds[0]": {Kinds: []string{"video"}}, "sources[0]": {Sources: []string{""}},
		"from": {From: "1.2.2026"}, "to": {From: "2026-01-02", To: "2026-01-01"},
	} {
		_, err := ix.Search(t.Context(), index.Query{Text: "alcohol", Filter: f})
		var bad *index.FilterError
		if !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
