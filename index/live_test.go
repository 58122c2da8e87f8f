package index_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/index"
	"rxedge/index/document"
)

// ranking is what a search of everything gives, as documents and scores.
func ranking(t *testing.T, ix *index.Index, text string, mode index.Mode) []index.Ranked {
	t.Helper()
	s := ix.Acquire()
	defer s.Release()
	r, err := s.Rank(t.Context(), index.Query{Text: text, Mode: mode, K: 1000, Depth: 1000, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range r {
		r[i].Passage = 0
	}
	slices.SortStableFunc(r, func(a, b index.Ranked) int { // equal scores go by when they came
		if a.Score != b.Score {
			return 0
		}
		return strings.Compare(a.DocumentID, b.DocumentID)
	})
	return r
}

var someWords = strings.Fields("dose renal hepatic warfarin metformin tablet daily avoid monitor bleeding pregnancy severe mild twice food alcohol INR eGFR contraindicated adjust")

// randomLabel says something of its own.
func randomLabel(r *rand.Rand, id string, version int) *document.Document {
	var sections []string
	for range 1 + r.IntN(3) {
		var b strings.Builder
		for range 5 + r.IntN(60) {
			b.WriteString(someWords[r.IntN(len(someWords))] + " ")
		}
		sections = append(sections, b.String()+fmt.Sprintf("version%d.", version))
	}
	return label(id, fmt.Sprint(version), sections...)
}

// Whatever the batches were, live or not, what is found is what an index finds
// that was made at once of what is there now: the same documents, the same scores.
func TestUpdatesFindWhatANewIndexFinds(t *testing.T) {
	t.Parallel()
	e := &words{name: "words-1"}
	opt := index.Options{Embedder: e, EmbedderInfo: e.info()}
	r := rand.New(rand.NewPCG(5, 6))
	dir := t.TempDir()
	ix := open(t, dir, opt)
	now := map[string]*document.Document{}
	state := map[int]map[string]*document.Document{}
	version := 0
	batch := func(n int) index.Changes {
		version++
		var ch index.Changes
		var docs []*document.Document
		for range n {
			id := fmt.Sprintf("drug%03d", r.IntN(120))
			if r.IntN(4) == 0 {
				if now[id] != nil && !slices.ContainsFunc(docs, func(d *document.Document) bool { return d.ID == id }) {
					ch.Delete = append(ch.Delete, id)
					delete(now, id)
				}
				continue
			}
			d := randomLabel(r, id, version)
			docs = append(docs, d)
			now[id] = d
			ch.Delete = slices.DeleteFunc(ch.Delete, func(x string) bool { return x == id })
		}
		ch.Put = index.Documents(docs...)
		state[version] = maps.Clone(now)
		return ch
	}
	same := func(when string, ix *index.Index, want map[string]*document.Document) {
		t.Helper()
		var docs []*document.Document
		for _, d := range want {
			docs = append(docs, d)
		}
		fresh := open(t, t.TempDir(), opt)
		apply(t, fresh, put(docs...))
		for _, q := range []string{"renal dose", "severe bleeding warfarin INR", "version3 adjust food"} {
			for _, mode := range []index.Mode{index.ModeBM25, index.ModeDense} {
				got, want := ranking(t, ix, q, mode), ranking(t, fresh, q, mode)
				if len(got) != len(want) || len(got) == 0 {
					t.Fatalf("%s, %s %q: %d and %d passages", when, mode, q, len(got), len(want))
				}
				for i := range got {
					if got[i].DocumentID != want[i].DocumentID || math.Abs(got[i].Score-want[i].Score) > 1e-6 {
						t.Fatalf("%s, %s %q: place %d is %v instead of %v", when, mode, q, i, got[i], want[i])
					}
				}
			}
		}
		a, b := ix.Stats().Generation, fresh.Stats().Generation
		if a.Documents != b.Documents || a.Sections != b.Sections || a.Passages != b.Passages || a.Vectors != b.Vectors {
			t.Errorf("%s: %+v and %+v", when, a, b)
		}
		if got := len(documents(t, ix)); got != len(want) {
			t.Errorf("%s: %d documents are listed, want %d", when, got, len(want))
		}
	}
	apply(t, ix, batch(90))
	live := 0
	for i := range 24 {
		g := apply(t, ix, batch(1+r.IntN(6))).Generation
		if g.Update > 0 {
			live++
		}
		if i%8 == 7 {
			same(g.Label(), ix, now)
			clean(t, ix)
		}
	}
	if live < 20 {
		t.Errorf("only %d batches were live updates", live)
	}
	if n := ix.Stats().Segments; n > 12 {
		t.Errorf("%d segments were never merged", n)
	}
	ix.Close()
	ix = open(t, dir, opt)
	if n := ix.Notes(); len(n) > 0 {
		t.Errorf("opened again: %v", n)
	}
	same("opened again", ix, now)
	// Back, batch after batch.
	for v := version - 1; v >= version-3; v-- {
		if _, err := ix.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		same(fmt.Sprintf("back at %d", v), ix, state[v])
	}
	g := apply(t, ix, put(randomLabel(r, "another", 99))).Generation
	now = maps.Clone(state[version-3])
	now["another"] = mustDocument(t, ix, "another")
	same("on from there, "+g.Label(), ix, now)
	if r, err := ix.Compact(t.Context(), nil); err != nil || !r.Changed || r.Generation.Update != 0 || r.Generation.Withdrawn != 0 {
		t.Errorf("compact: %+v %v", r, err)
	}
	same("compacted", ix, now)
	clean(t, ix)
	// A rollback after that is of the batch, not of the packing.
	if _, err := ix.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	same("back after compacting", ix, state[version-3])
}

func mustDocument(t *testing.T, ix *index.Index, id string) *document.Document {
	t.Helper()
	s := ix.Acquire()
	defer s.Release()
	d, err := s.Document(id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func documents(t *testing.T, ix *index.Index) []index.DocumentSummary {
	t.Helper()
	s := ix.Acquire()
	defer s.Release()
	ds, err := s.Documents()
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// A snapshot sees what it saw, whatever comes.
func TestSnapshotOutlivesUpdates(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	apply(t, ix, put(metformin, warfarin))
	s := ix.Acquire()
	defer s.Release()
	apply(t, ix, put(label("warfarin", "2", "All new.")))
	apply(t, ix, index.Changes{Delete: []string{"metformin"}})
	if _, err := ix.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	r, err := s.Search(t.Context(), index.Query{Text: "INR warfarin"})
	if err != nil || len(r.Hits) == 0 || r.Hits[0].Version != warfarin.Version {
		t.Errorf("%+v %v", r.Hits, err)
	}
	if d, err := s.Document("metformin"); err != nil || d.ID != "metformin" {
		t.Errorf("%v %v", d, err)
	}
	if _, err := snapshot(t, ix).Document("metformin"); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
}

// Passages whose words stay are not embedded again.
func TestUpdateEmbedsWhatIsNew(t *testing.T) {
	t.Parallel()
	e := &words{name: "words-1"}
	ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: e.info()})
	apply(t, ix, put(metformin, label("long", "1", "One section.", "Another section.", "A third one.")))
	r := apply(t, ix, put(label("long", "2", "One section.", "Another section that changed.", "A third one.")))
	if r.Generation.Update != 1 || r.Embedded != 1 || r.Generation.Vectors != r.Generation.Passages {
		t.Errorf("%+v", r)
	}
}

func TestCancelLeavesNoUpdate(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	apply(t, ix, put(metformin))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := ix.Apply(ctx, put(warfarin), func(p index.Progress) {
		if p.Stage == index.StageWrite {
			cancel()
		}
	})
	cancel()
	if !errors.Is(err, context.Canceled) || first(t, ix, "INR") != "" {
		t.Errorf("%v", err)
	}
	if r := apply(t, ix, put(lisinopril)); r.Generation.Documents != 2 || r.Generation.Update != 1 {
		t.Errorf("%+v", r)
	}
	clean(t, ix)
}

// What damage to the updates' files costs, and what is said of it.
func TestDamagedUpdates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(t *testing.T, gen string)
		finds  string // of metformin, warfarin, lisinopril: what is left
		note   string
	}{
		"nothing": {func(*testing.T, string) {}, "metformin warfarin lisinopril", ""},
		"half a line": {func(t *testing.T, gen string) {
			appendTo(t, filepath.Join(gen, "live.log"), "commit 3 0123")
		}, "metformin warfarin lisinopril", ""},
		"zeros": {func(t *testing.T, gen string) {
			appendTo(t, filepath.Join(gen, "live.log"), strings.Repeat("\x00", 4096))
		}, "metformin warfarin lisinopril", ""},
		"a flipped line": {func(t *testing.T, gen string) {
			path := filepath.Join(gen, "live.log")
			b, _ := os.ReadFile(path)
			b[8] ^= 1
			write(t, path, string(b))
		}, "metformin", "line 1 can't be read"},
		"an empty log of the store": {func(t *testing.T, gen string) {
			write(t, filepath.Join(gen, "live", "00009.mem"), "")
		}, "metformin warfarin lisinopril", ""},
		"records lost": {func(t *testing.T, gen string) {
			for _, pattern := range []string{"*.mem", "*.sst", "*.vlog"} {
				files, _ := filepath.Glob(filepath.Join(gen, "live", pattern))
				for _, f := range files {
					os.Remove(f)
				}
			}
			os.Remove(filepath.Join(gen, "live", "MANIFEST"))
		}, "metformin", "is lost: ingest it again"},
		"a flipped byte in a table": {func(t *testing.T, gen string) { flipIn(t, filepath.Join(gen, "live", "*.sst")) }, "metformin", "lost: ingest"},
		"no store at all":           {func(t *testing.T, gen string) { os.RemoveAll(filepath.Join(gen, "live")) }, "metformin", "is lost: ingest it again"},
		"a store that does not open": {func(t *testing.T, gen string) {
			write(t, filepath.Join(gen, "live", "MANIFEST"), "not a manifest")
		}, "metformin", "are lost: ingest them again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ix := open(t, dir, index.Options{})
			apply(t, ix, put(metformin))
			apply(t, ix, put(label(warfarin.ID, "1", strings.Repeat("Check the INR. ", 200))))
			g := apply(t, ix, put(lisinopril)).Generation
			if g.Label() != "gen-000001+2" {
				t.Fatal(g.Label())
			}
			ix.Close()
			c.damage(t, filepath.Join(dir, g.Name))
			ix = open(t, dir, index.Options{})
			var have []string
			for _, d := range []*document.Document{metformin, warfarin, lisinopril} {
				s := ix.Acquire()
				if _, err := s.Document(d.ID); err == nil {
					have = append(have, d.ID)
				}
				s.Release()
			}
			notes := strings.Join(ix.Notes(), "\n")
			if got := strings.Join(have, " "); got != c.finds || (c.note == "") != (notes == "") || !strings.Contains(notes, c.note) {
				t.Errorf("%q is left, want %q; notes %q, want %q", got, c.finds, notes, c.note)
			}
			clean(t, ix)
			// It goes on, and the next start is quiet.
			apply(t, ix, put(label("fourth", "1", "Something else.")))
			clean(t, ix)
			ix.Close()
			again := open(t, dir, index.Options{})
			if n := again.Notes(); len(n) != 0 || first(t, again, "something else") != "fourth" {
				t.Errorf("opened again: %v", n)
			}
			clean(t, again)
		})
	}
}

// What Badger reads only when it is asked for is found by Verify, which names the
// record, and by whoever asks.
func TestVerifyNamesTheRecordOfAnUpdate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ix := open(t, dir, index.Options{})
	apply(t, ix, put(metformin))
	g := apply(t, ix, put(label(warfarin.ID, "1", strings.Repeat("Check the INR. ", 200)))).Generation
	ix.Close()
	flipIn(t, filepath.Join(dir, g.Name, "live", "*.vlog"))
	ix = open(t, dir, index.Options{})
	if n := strings.Join(ix.Notes(), "\n"); strings.Contains(n, "update 1, ") && strings.Contains(n, "update 1 of gen-000001 is lost") {
		return // it lay in a record that is read at the start
	}
	r, err := ix.Verify(t.Context(), nil)
	if err != nil || r.OK() || r.Generation != g.Label() || !strings.HasPrefix(r.Faults[0].Where, "update 1, ") {
		t.Errorf("%v %+v", err, r)
	}
	// The batch is taken back, and all is well.
	if _, err := ix.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	clean(t, ix)
}

// flipIn flips a bit in the middle of what a file holds.
func flipIn(t *testing.T, pattern string) {
	t.Helper()
	files, _ := filepath.Glob(pattern)
	for _, name := range files {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		at, b := lastByte(f)/2, make([]byte, 1)
		if at < 100 {
			continue
		}
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 4
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("nothing to flip in %v", files)
}

func appendTo(t *testing.T, path, s string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(s); err != nil {
		t.Fatal(err)
	}
}

// Much that was replaced is packed away by itself.
func TestGarbageIsCollected(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	ix := open(t, t.TempDir(), index.Options{})
	var docs []*document.Document
	for i := range 500 {
		docs = append(docs, randomLabel(r, fmt.Sprintf("drug%03d", i), 1))
	}
	apply(t, ix, put(docs...))
	for v := 2; v < 40; v++ {
		some := docs[20*v%400:][:20]
		for i := range some {
			some[i] = randomLabel(r, some[i].ID, v)
		}
		apply(t, ix, put(some...))
		if g := ix.Stats().Generation; g.Number > 1 {
			if g.Withdrawn != 0 && g.Update == 0 {
				t.Errorf("%+v", g)
			}
			clean(t, ix)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("never packed: %+v", ix.Stats().Generation)
}

// Eight updates that only remove merge into nothing, and what comes then is
// found all the same.
func TestUpdatesThatOnlyRemove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ix := open(t, dir, index.Options{})
	var docs []*document.Document
	for i := range 12 {
		docs = append(docs, label(fmt.Sprintf("drug%02d", i), "1", fmt.Sprintf("Fact%02d of it.", i)))
	}
	apply(t, ix, put(docs...))
	for i := range 9 {
		apply(t, ix, index.Changes{Delete: []string{docs[i].ID}})
	}
	for ix.Stats().Segments > 8 { // merging goes on in the background
		time.Sleep(time.Millisecond)
	}
	if got := first(t, ix, "fact11"); got != "drug11" || first(t, ix, "fact03") != "" {
		t.Errorf("found %q", got)
	}
	apply(t, ix, index.Changes{Delete: []string{"drug10"}})
	apply(t, ix, index.Changes{Delete: []string{"drug09"}})
	apply(t, ix, put(label("late", "1", "Another one.")))
	apply(t, ix, put(label("late", "2", "Another fact."), label("drug11", "2", "It changed.")))
	if got := first(t, ix, "another"); got != "late" || first(t, ix, "fact11") != "" {
		t.Errorf("found %q", got)
	}
	clean(t, ix)
}

// On disk updates are as they came; after a start they are merged again.
func TestMergedAfterStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(9, 1))
	ix := open(t, dir, index.Options{})
	var all []*document.Document
	for i := range 12 {
		all = append(all, randomLabel(r, fmt.Sprintf("base%d", i), 1))
	}
	apply(t, ix, put(all...))
	for i := range 9 {
		apply(t, ix, put(randomLabel(r, fmt.Sprintf("late%d", i), 1)))
	}
	want := ranking(t, ix, "renal dose bleeding", index.ModeBM25)
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	ix = open(t, dir, index.Options{})
	for ix.Stats().Segments > 4 {
		if t.Context().Err() != nil {
			t.Fatalf("%d segments", ix.Stats().Segments)
		}
		time.Sleep(time.Millisecond)
	}
	got := ranking(t, ix, "renal dose bleeding", index.ModeBM25)
	if !slices.EqualFunc(got, want, func(a, b index.Ranked) bool { return a.DocumentID == b.DocumentID && a.Score == b.Score }) {
		t.Errorf("after a start %v is found, not %v", got, want)
	}
}
