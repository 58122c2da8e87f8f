package index_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rxedge/index"
	"rxedge/index/dense"
	"rxedge/index/document"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("RXEDGE_TEST_INGEST"); dir != "" {
		ingestForever(dir)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		// Badger leaves these behind where it fails to open a store; one that is
		// open and was not closed has others.
		goleak.IgnoreTopFunction("github.com/dgraph-io/badger/v4.(*DB).monitorCache"),
		goleak.IgnoreTopFunction("github.com/dgraph-io/ristretto/v2/z.(*AllocatorPool).freeupAllocators"))
}

// words is an embedder by hashed words: equal words, near vectors.
type words struct {
	name  string
	calls atomic.Int64
	texts atomic.Int64
	fail  atomic.Bool
}

const wordsDim = 64

func (e *words) info() index.EmbedderInfo {
	return index.EmbedderInfo{Name: e.name, SHA256: "0", Dimension: wordsDim}
}

func (e *words) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	e.calls.Add(1)
	if e.fail.Load() {
		return nil, errors.New("the engine is gone")
	}
	out := make([][]float32, len(texts))
	for i, t := range texts {
		v := make([]float32, wordsDim)
		v[0] = 0.01
		for _, w := range strings.Fields(strings.ToLower(t)) {
			h := fnv.New32a()
			h.Write([]byte(strings.Trim(w, ".,?")))
			v[h.Sum32()%wordsDim]++
		}
		if err := dense.Normalise(v); err != nil {
			return nil, err
		}
		out[i] = v
	}
	e.texts.Add(int64(len(texts)))
	return out, ctx.Err()
}

func label(id, version string, facts ...string) *document.Document {
	d := &document.Document{
		ID: id, Version: version, Title: strings.ToUpper(id[:1]) + id[1:], Effective: "2026-01-02",
		Kind: document.KindText, Source: id + ".txt", Notice: "sample",
		Names: []document.Name{{Text: id, Kind: "generic"}},
	}
	for i, f := range facts {
		d.Sections = append(d.Sections, document.Section{
			ID: fmt.Sprintf("%s#%d", id, i), Aliases: []string{fmt.Sprintf("%s#alias-%d", id, i)},
			LOINC: "34068-7", Title: "Dosage", Text: f,
		})
	}
	return d
}

var (
	metformin  = label("metformin", "1", "Starting metformin is not recommended with an eGFR between 30 and 45.", "The most is 2,000 mg a day.")
	warfarin   = label("warfarin", "1", "Warfarin: monitor the INR when an antibiotic is added.")
	lisinopril = label("lisinopril", "1", "Lisinopril harms the fetus; stop it when pregnancy is detected.")
)

func open(t *testing.T, dir string, opt index.Options) *index.Index {
	t.Helper()
	ix, err := index.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	return ix
}

func apply(t *testing.T, ix *index.Index, ch index.Changes) index.ApplyResult {
	t.Helper()
	r, err := ix.Apply(t.Context(), ch, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func put(ds ...*document.Document) index.Changes { return index.Changes{Put: index.Documents(ds...)} }

// first is the id of the document found first, "" where none is.
func first(t *testing.T, s interface {
	Search(context.Context, index.Query) (index.Result, error)
}, text string) string {
	t.Helper()
	r, err := s.Search(context.Background(), index.Query{Text: text, K: 3, Mode: index.ModeBM25})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Hits) == 0 {
		return ""
	}
	return r.Hits[0].SetID
}

func clean(t *testing.T, ix *index.Index) index.Report {
	t.Helper()
	r, err := ix.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() {
		t.Fatalf("verify: %v", r.Faults)
	}
	return r
}

func TestAnEmptyIndexServes(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	if got := first(t, ix, "metformin"); got != "" {
		t.Errorf("found %q in nothing", got)
	}
	if g := ix.Stats().Generation; g.Name != "gen-000000" || g.Documents != 0 || !g.Current {
		t.Errorf("%+v", g)
	}
	if r := apply(t, ix, index.Changes{}); r.Changed {
		t.Error("nothing changed and a generation was made")
	}
	clean(t, ix)
}

func TestApply(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ix := open(t, dir, index.Options{LiveDocuments: -1})
	r := apply(t, ix, put(metformin, warfarin))
	if !r.Changed || r.Added != 2 || r.Generation.Name != "gen-000001" || r.Generation.Documents != 2 || r.Generation.Passages != 3 {
		t.Fatalf("%+v", r)
	}
	if r := apply(t, ix, put(warfarin, metformin)); r.Changed || r.Unchanged != 2 || r.Generation.Number != 1 {
		t.Errorf("the same again: %+v", r)
	}
	newer := label("warfarin", "2", "Warfarin and cranberry juice do not mix.")
	r = apply(t, ix, index.Changes{Put: index.Documents(newer, metformin, lisinopril), Delete: []string{"metformin", "unheard-of"}})
	if r.Replaced != 1 || r.Added != 1 || r.Unchanged != 1 || r.Removed != 0 {
		t.Errorf("%+v", r)
	}
	if got := first(t, ix, "antibiotic INR"); got != "" {
		t.Errorf("text that was replaced is still found, in %q", got)
	}
	if got := first(t, ix, "cranberry"); got != "warfarin" {
		t.Errorf("new text is found in %q", got)
	}
	r = apply(t, ix, index.Changes{Delete: []string{"metformin"}})
	if r.Removed != 1 || first(t, ix, "eGFR") != "" {
		t.Errorf("%+v", r)
	}
	clean(t, ix)
	infos, err := ix.Generations()
	if err != nil || len(infos) != 2 || !infos[0].Current || infos[1].Current || infos[0].Number != 3 || infos[1].Number != 2 {
		t.Errorf("%+v %v", infos, err)
	}
	ix.Close()
	again := open(t, dir, index.Options{})
	if n := again.Notes(); len(n) != 0 || first(t, again, "cranberry") != "warfarin" {
		t.Errorf("after opening again: %v", n)
	}
}

func TestTheLaterOfTwoDocumentsOfOneIDCounts(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	long := label("warfarin", "1", "one alpha", "two beta", "three gamma")
	r := apply(t, ix, put(long, warfarin))
	if r.Added != 1 || first(t, ix, "gamma") != "" || first(t, ix, "INR") != "warfarin" {
		t.Errorf("%+v", r)
	}
	r = apply(t, ix, put(long, warfarin)) // changed and changed back
	if d, err := snapshot(t, ix).Document("warfarin"); err != nil || len(d.Sections) != 1 {
		t.Errorf("%+v %v %v", r, d, err)
	}
	clean(t, ix)
}

func snapshot(t *testing.T, ix *index.Index) *index.Snapshot {
	s := ix.Acquire()
	t.Cleanup(s.Release)
	return s
}

func TestWhatIsBuiltDoesNotDependOnTheOrder(t *testing.T) {
	t.Parallel()
	a, b := open(t, t.TempDir(), index.Options{}), open(t, t.TempDir(), index.Options{})
	apply(t, a, put(metformin, warfarin, lisinopril))
	apply(t, b, put(lisinopril))
	apply(t, b, put(warfarin))
	apply(t, b, put(metformin))
	for _, q := range []string{"2000 mg metformin", "pregnancy INR eGFR"} {
		ra, _ := snapshot(t, a).Rank(t.Context(), index.Query{Text: q, Mode: index.ModeBM25})
		rb, _ := snapshot(t, b).Rank(t.Context(), index.Query{Text: q, Mode: index.ModeBM25})
		for i := range ra { // equal scores go by number, which depends on when they came
			ra[i].Passage, rb[i].Passage = 0, 0
		}
		if len(ra) == 0 || !reflect.DeepEqual(ra, rb) {
			t.Errorf("%q: %v and %v", q, ra, rb)
		}
	}
}

func TestReading(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	apply(t, ix, put(metformin, warfarin))
	s := snapshot(t, ix)
	if d, err := s.Document("metformin"); err != nil || !reflect.DeepEqual(d, metformin) {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := s.Document("aspirin"); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, id := range []string{"metformin#1", "metformin#alias-1"} {
		r, err := s.Section(id)
		if err != nil || r.Index != 1 || r.Section.Text != metformin.Sections[1].Text || r.Document.ID != "metformin" || r.Document.Passages != 2 {
			t.Errorf("%s: %+v %v", id, r, err)
		}
	}
	if _, err := s.Section("metformin#9"); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("%v", err)
	}
	ds, err := s.Documents()
	if err != nil || len(ds) != 2 || ds[0].ID != "metformin" || ds[1].ID != "warfarin" || ds[0].Sections != 2 {
		t.Errorf("%+v %v", ds, err)
	}
	r, err := s.Search(t.Context(), index.Query{Text: "most metformin per day, 2000mg?"})
	if err != nil || len(r.Hits) != 2 || r.Mode != index.ModeBM25 || r.Generation != "gen-000001" {
		t.Fatalf("%+v %v", r, err)
	}
	h := r.Hits[0]
	if text := metformin.Sections[1].Text[h.Passage.Start:h.Passage.End]; h.Text != text || h.Passage.SectionID != "metformin#1" ||
		h.SectionTitle != "Dosage" || h.LOINC != "34068-7" || h.Effective != "2026-01-02" || h.Notice != "sample" ||
		h.BM25Rank != 1 || h.Score != h.BM25 || h.DenseRank != 0 {
		t.Errorf("%+v", h)
	}
	if got := s.DocumentFrequency("metformin"); got != 2 {
		t.Errorf("df %d", got)
	}
	if got, want := s.IDF("nowhere"), math.Log(1+3.5/.5); got != want {
		t.Errorf("idf %v, want %v", got, want)
	}
	if got := s.Terms("Metformin tablets"); !reflect.DeepEqual(got, []string{"metformin", "tablet"}) {
		t.Errorf("%q", got)
	}
}

func TestVectors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := &words{name: "words-1"}
	ix := open(t, dir, index.Options{Embedder: e, EmbedderInfo: e.info()})
	if r := apply(t, ix, put(metformin, warfarin)); r.Embedded != 3 || r.Generation.Vectors != 3 || r.Generation.Embedder != e.info() {
		t.Fatalf("%+v", r)
	}
	if r := apply(t, ix, put(metformin, warfarin, lisinopril)); r.Embedded != 1 || r.Generation.Vectors != 4 {
		t.Errorf("what was embedded is embedded again: %+v", r)
	}
	for _, m := range []index.Mode{index.ModeDense, index.ModeHybrid} {
		r, err := ix.Search(t.Context(), index.Query{Text: "fetus pregnancy", Mode: m})
		if err != nil || r.Mode != m || len(r.Hits) == 0 || r.Hits[0].SetID != "lisinopril" || r.Hits[0].DenseRank != 1 {
			t.Errorf("%s: %+v %v", m, r, err)
		}
	}
	clean(t, ix)
	e.fail.Store(true)
	if r, err := ix.Search(t.Context(), index.Query{Text: "fetus"}); err != nil || r.Mode != index.ModeBM25 || len(r.Hits) != 1 {
		t.Errorf("hybrid without its embedder: %+v %v", r, err)
	}
	if _, err := ix.Search(t.Context(), index.Query{Text: "fetus", Mode: index.ModeDense}); err == nil {
		t.Error("dense without its embedder is no error")
	}
	if _, err := ix.Apply(t.Context(), put(label("aspirin", "1", "Aspirin.")), nil); err == nil {
		t.Error("a batch that could not be embedded was applied")
	}
	if first(t, ix, "aspirin") != "" {
		t.Error("a failed batch is visible")
	}
	ix.Close()

	// Without an embedder documents still come in, and vectors stay.
	ix = open(t, dir, index.Options{})
	if r := apply(t, ix, put(label("aspirin", "1", "Aspirin thins the blood."))); r.Generation.Vectors != 4 || r.Generation.Passages != 5 {
		t.Errorf("%+v", r)
	}
	if _, err := ix.Search(t.Context(), index.Query{Text: "blood", Mode: index.ModeDense}); !errors.Is(err, index.ErrNoVectors) {
		t.Errorf("%v", err)
	}
	clean(t, ix)
	ix.Close()

	// With it again, what lacks a vector gets one.
	e.fail.Store(false)
	ix = open(t, dir, index.Options{Embedder: e, EmbedderInfo: e.info()})
	if ix.NeedsRebuild() == "" {
		t.Error("a passage without a vector goes unsaid")
	}
	if r := apply(t, ix, index.Changes{}); r.Embedded != 1 || r.Generation.Vectors != 5 || ix.NeedsRebuild() != "" {
		t.Errorf("%+v %q", r, ix.NeedsRebuild())
	}
	ix.Close()

	// Another embedder's vectors are never compared with these.
	other := &words{name: "words-2"}
	ix = open(t, dir, index.Options{Embedder: other, EmbedderInfo: other.info()})
	r, err := ix.Search(t.Context(), index.Query{Text: "blood", Mode: index.ModeHybrid})
	if err != nil || r.Mode != index.ModeBM25 || other.calls.Load() != 0 {
		t.Errorf("%+v %v", r, err)
	}
	if n := ix.Notes(); len(n) != 1 || !strings.Contains(n[0], "words-2") {
		t.Errorf("notes %q", n)
	}
	if r := apply(t, ix, index.Changes{}); !r.Changed || r.Embedded != 5 || r.Generation.Embedder != other.info() {
		t.Errorf("%+v", r)
	}
	clean(t, ix)
}

func TestASnapshotStaysAsItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ix := open(t, dir, index.Options{})
	apply(t, ix, put(metformin))
	s := ix.Acquire()
	for i := range 4 { // its folder is removed meanwhile
		apply(t, ix, index.Changes{Put: index.Documents(label("warfarin", fmt.Sprint(i), "Warfarin, INR.")), Delete: []string{"metformin"}})
	}
	if got := first(t, s, "eGFR"); got != "metformin" {
		t.Errorf("the snapshot finds %q", got)
	}
	if s.Generation().Current {
		t.Error("an old snapshot says that it is current")
	}
	ix.Close()
	if got := first(t, s, "eGFR"); got != "metformin" {
		t.Errorf("after Close the snapshot finds %q", got)
	}
	s.Release()
	s.Release()
	if ix.Acquire() != nil {
		t.Error("a closed index gives snapshots")
	}
	if _, err := ix.Apply(t.Context(), put(metformin), nil); !errors.Is(err, index.ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := ix.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// Every snapshot sees a whole batch: as many documents of one version as the
// batch had, and no other.
func TestReadersDuringWrites(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	batch := func(v int) index.Changes {
		var ds []*document.Document
		for i := range 5 {
			ds = append(ds, label(fmt.Sprintf("drug%d", i), fmt.Sprint(v), fmt.Sprintf("Everything about version%d.", v)))
		}
		return put(ds...)
	}
	apply(t, ix, batch(0))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var searches atomic.Int64
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				r, err := ix.Search(context.Background(), index.Query{Text: "everything", Mode: index.ModeBM25})
				if err != nil || len(r.Hits) != 5 {
					t.Errorf("%d hits, %v", len(r.Hits), err)
					return
				}
				for _, h := range r.Hits {
					if h.Version != r.Hits[0].Version || !strings.Contains(h.Text, "version"+h.Version) {
						t.Errorf("versions %s and %s in one result", h.Version, r.Hits[0].Version)
					}
				}
				searches.Add(1)
			}
		})
	}
	for v := 1; v <= 5; v++ {
		apply(t, ix, batch(v))
	}
	cancel()
	wg.Wait()
	if searches.Load() == 0 {
		t.Error("no search went through")
	}
	clean(t, ix)
}

func TestCancelLeavesTheOldGeneration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ix := open(t, dir, index.Options{LiveDocuments: -1})
	apply(t, ix, put(metformin))
	for _, stage := range []string{index.StageRead, index.StageCarry, index.StageIndex, index.StageWrite} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := ix.Apply(ctx, put(warfarin, lisinopril), func(p index.Progress) {
			if p.Stage == stage {
				cancel()
			}
		})
		cancel()
		if stage == index.StageWrite && err == nil {
			continue // it was past the point of no return
		}
		if !errors.Is(err, context.Canceled) || first(t, ix, "INR") != "" {
			t.Errorf("%s: %v", stage, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.building")); len(left) != 0 {
			t.Errorf("%s left %v", stage, left)
		}
	}
	// A source that fails ends the batch too.
	wrong := errors.New("truncated")
	_, err := ix.Apply(t.Context(), index.Changes{Put: func(yield func(*document.Document, error) bool) {
		_ = yield(lisinopril, nil) && yield(nil, wrong)
	}}, nil)
	if !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
	clean(t, ix)
}

func TestRollback(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ix := open(t, dir, index.Options{LiveDocuments: -1})
	if _, err := ix.Rollback(t.Context()); !errors.Is(err, index.ErrNoEarlier) {
		t.Errorf("%v", err)
	}
	apply(t, ix, put(metformin))
	apply(t, ix, put(warfarin))
	g, err := ix.Rollback(t.Context())
	if err != nil || g.Name != "gen-000001" || !g.Current || first(t, ix, "INR") != "" {
		t.Fatalf("%+v %v", g, err)
	}
	r := apply(t, ix, put(lisinopril))
	if r.Generation.Name != "gen-000003" || r.Generation.Parent != "gen-000001" {
		t.Errorf("%+v", r.Generation)
	}
	// Back from there leads to what it was built on, not to what was rolled back.
	if g, err := ix.Rollback(t.Context()); err != nil || g.Name != "gen-000001" {
		t.Errorf("%+v %v", g, err)
	}
	ix.Close()
	if got := open(t, dir, index.Options{}).Stats().Generation.Name; got != "gen-000001" {
		t.Errorf("opened again it is %s", got)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ix := open(t, dir, index.Options{})
	if _, err := index.Open(dir, index.Options{}); !errors.Is(err, index.ErrLocked) {
		t.Errorf("%v", err)
	}
	ix.Close()
	open(t, dir, index.Options{})
}

func TestCloseStopsApply(t *testing.T) {
	t.Parallel()
	ix := open(t, t.TempDir(), index.Options{})
	started := make(chan struct{})
	done := make(chan error)
	go func() {
		n := 0
		_, err := ix.Apply(context.Background(), index.Changes{Put: func(yield func(*document.Document, error) bool) {
			for ; ; n++ {
				if n == 1 {
					close(started)
				}
				if !yield(label(fmt.Sprintf("drug%d", n), "1", "text"), nil) {
					return
				}
			}
		}}, nil)
		done <- err
	}()
	<-started
	if err := ix.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, index.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Apply goes on after Close")
	}
}

// New and kept passages come into a new generation side by side, each with its
// own vector.
func TestVectorsBelongToTheirPassages(t *testing.T) {
	t.Parallel()
	e := &words{name: "words-1"}
	ix := open(t, t.TempDir(), index.Options{Embedder: e, EmbedderInfo: e.info(), LiveDocuments: -1})
	apply(t, ix, put(metformin, warfarin))
	apply(t, ix, put(label("aspirin", "1", "Aspirin thins the blood."), lisinopril))
	for text, id := range map[string]string{"thins blood": "aspirin", "eGFR between": "metformin", "antibiotic INR": "warfarin", "harms the fetus; stop it when pregnancy is detected": "lisinopril"} {
		r, err := ix.Search(t.Context(), index.Query{Text: text, Mode: index.ModeDense})
		if err != nil || r.Hits[0].SetID != id {
			t.Errorf("%q finds %s, want %s, %v", text, r.Hits[0].SetID, id, err)
		}
	}
	clean(t, ix)
}
