package index_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/lexical"
)

func TestSuggest(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	apply(t, ix, put(metformin, warfarin, lisinopril,
		label("metoprolol", "1", "Therapies with metoprolol. Monitoring is needed in renal impairment."),
		label("insulin glargine", "1", "Renal impairment: monitor glucose. Impaired renal function.")))
	apply(t, ix, index.Changes{Delete: []string{"warfarin"}})
	s := ix.Acquire()
	defer s.Release()
	suggest := func(typed string, k int) (out []string) {
		t.Helper()
		got, err := s.Suggest(typed, k)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range got {
			out = append(out, g.Kind+" "+g.Text)
		}
		return out
	}
	for _, c := range []struct {
		typed string
		want  []string
	}{
		{"met", []string{"medicine metformin", "medicine metoprolol"}},
		{"dose of Metf", []string{"medicine dose of metformin"}},
		{"insulin gl", []string{"medicine insulin glargine", "word insulin glucose"}},
		{"starting insulin ", []string{"medicine starting insulin glargine"}},
		{"war", nil}, // withdrawn
		{"renal impairm", []string{"word renal impairment"}},
		{"impaire", []string{"word impaired"}},
		{"therapie", []string{"word therapies"}},
		{"ren", []string{"word renal"}},
		{"moni", []string{"word monitor"}},
		{"renal ", nil},
		{"?", nil},
		{"", nil},
		{"zzz", nil},
	} {
		if got := suggest(c.typed, 0); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %q, want %q", c.typed, got, c.want)
		}
	}
	if got := suggest("m", 1); len(got) != 1 || !strings.HasPrefix(got[0], "medicine met") {
		t.Errorf("one of the medicines was asked for: %q", got)
	}
	if got, _ := s.Suggest("ren", 0); len(got) != 1 || got[0].Passages != 2 || got[0].Added != "renal" {
		t.Errorf("renal is in two passages: %+v", got)
	}
}

// While it is typed, a search finds what the words will be.
func TestPrefixSearch(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	apply(t, ix, put(metformin, warfarin, lisinopril))
	for _, c := range []struct{ typed, want string }{
		{"warf", "warfarin"}, {"starting metf", "metformin"}, {"pregn", "lisinopril"}, {"antibioti", "warfarin"}, {"zzz", ""},
	} {
		r, err := ix.Search(t.Context(), index.Query{Text: c.typed, Mode: index.ModeBM25, Prefix: true})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(r.Hits) > 0 {
			got = r.Hits[0].SetID
		}
		if got != c.want || !strings.HasPrefix(r.Completed, c.typed) {
			t.Errorf("%q, completed to %q, finds %q first, want %q", c.typed, r.Completed, got, c.want)
		}
	}
	if r, err := ix.Search(t.Context(), index.Query{Text: "pregn", Mode: index.ModeBM25}); err != nil || len(r.Hits) > 0 {
		t.Errorf("half a word found %d passages without being taken for one (%v)", len(r.Hits), err)
	}
}

func TestPhrases(t *testing.T) {
	t.Parallel()
	e := &words{name: "words"}
	ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: e.info()})
	apply(t, ix, put(
		label("a", "1", "Reduce the dose in renal impairment."),
		label("b", "1", "Renal colic and hepatic impairment. Renal renal impairment impairment renal."),
		label("c", "1", "Impairment of vision; renal failure."),
		label("d", "1", "With impairments that are renal.")))
	for _, c := range []struct{ query, want string }{
		{`"renal impairment"`, "a b"},
		{`dose in "Renal impairments"`, "a b"},
		{`“hepatic impairment” renal`, "b"},
		{`"renal impairment" "dose in"`, "a b"}, // "dose in" is one word
		{`"renal impairment" "reduce dose"`, "a"},
		{`"renal failure impairment"`, ""},
		{`"impairment`, "a b c d"},
		{`"impairment" renal`, "a b c d"},
	} {
		for _, mode := range []index.Mode{index.ModeBM25, index.ModeHybrid, index.ModeDense} {
			for _, plain := range []bool{false, true} {
				r, err := ix.Search(t.Context(), index.Query{Text: c.query, Mode: mode, Plain: plain})
				if err != nil {
					t.Fatal(err)
				}
				found := map[string]bool{}
				for _, h := range r.Hits {
					found[h.SetID] = true
				}
				var got []string
				for _, id := range []string{"a", "b", "c", "d"} {
					if found[id] {
						got = append(got, id)
					}
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("%s by %s (plain %v) finds %q, want %q", c.query, mode, plain, got, c.want)
				}
			}
		}
	}
	// As many as asked for, however far down.
	var docs []string
	for range 300 {
		docs = append(docs, "impairment impairment renal renal")
	}
	apply(t, ix, put(label("many", "1", append(docs, "a long passage in which renal impairment stands once among many other words that only make it longer")...)))
	r, err := ix.Search(t.Context(), index.Query{Text: `"renal impairment"`, K: 3, Depth: 3, Mode: index.ModeBM25})
	if err != nil || len(r.Hits) != 3 {
		t.Errorf("%d passages have the phrase, want 3 (%v)", len(r.Hits), err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	s := ix.Acquire()
	defer s.Release()
	if _, err := s.Rank(gone, index.Query{Text: `"renal impairment"`, Mode: index.ModeBM25}); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any more: %v", err)
	}
}

// What a phrase finds, and how it is scored, is what a search without quotes finds of
// the passages that have it, in segments, with passages withdrawn, within a filter.
func TestPhrasesAsExhaustive(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	r := rand.New(rand.NewPCG(3, 4))
	pool := strings.Fields("renal impairment lactic acidosis dose severe hepatic of in the during patients 500 mg impairments acidotic")
	docs := func(from, n, version int) (out []*document.Document) {
		for i := range n {
			var passages []string
			for range 4 {
				var w []string
				for range 5 + r.IntN(30) {
					w = append(w, pool[min(r.IntN(len(pool)), r.IntN(len(pool)))])
				}
				passages = append(passages, strings.Join(w, " "))
			}
			out = append(out, label(fmt.Sprintf("d%03d", from+i), fmt.Sprint(version), passages...))
		}
		return out
	}
	apply(t, ix, put(docs(0, 150, 1)...))
	apply(t, ix, put(docs(100, 40, 2)...))
	apply(t, ix, put(docs(190, 30, 3)...))
	s := ix.Acquire()
	defer s.Release()
	found := 0
	for range 60 {
		words := pool[r.IntN(len(pool))] + " " + pool[r.IntN(len(pool))] + " " + pool[r.IntN(len(pool))]
		var f index.Filter
		if r.IntN(3) == 0 {
			for range 30 {
				f.Documents = append(f.Documents, fmt.Sprintf("d%03d", r.IntN(150)))
			}
		}
		ph := lexical.NewAnalyzer(nil).Phrase(words)
		if ph.Words() < 2 {
			continue
		}
		all, err := s.Search(t.Context(), index.Query{Text: words, K: 2000, Depth: 2000, Mode: index.ModeBM25, Plain: true, Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		var want []index.Hit
		for _, h := range all.Hits {
			if ph.In(&lexical.Passage{Heading: h.Passage.Heading, Text: h.Text}) {
				want = append(want, h)
			}
		}
		found += len(want)
		k := 1 + r.IntN(30)
		got, err := s.Search(t.Context(), index.Query{Text: `"` + words + `"`, K: k, Depth: k, Mode: index.ModeBM25, Plain: true, Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		if want = want[:min(k, len(want))]; len(got.Hits) != len(want) {
			t.Fatalf("%q: %d passages, want %d", words, len(got.Hits), len(want))
		}
		for i, h := range got.Hits {
			if h.Text != want[i].Text || h.Score != want[i].Score || h.SetID != want[i].SetID {
				t.Fatalf("%q, place %d: %s %v, want %s %v", words, i+1, h.SetID, h.Score, want[i].SetID, want[i].Score)
			}
		}
	}
	if found < 200 {
		t.Errorf("only %d passages have a phrase", found)
	}
}
