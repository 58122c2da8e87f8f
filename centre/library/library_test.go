package library_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"rxedge/centre/check"
	"rxedge/centre/library"
	"rxedge/index/document"
)

func open(t testing.TB, dir string) *library.Library {
	t.Helper()
	l, err := library.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func label(id, version, text string) *document.Document {
	return &document.Document{ID: id, Version: version, Title: "Label of " + id, Effective: "2024-01-02", Kind: document.KindSPL, Source: id + ".xml",
		Sections: []document.Section{{ID: id + "#34067-9", LOINC: "34067-9", Title: "Indications", Text: text}}}
}

func source(name string) library.Source {
	h := sha256.Sum256([]byte(name))
	return library.Source{SHA256: hex.EncodeToString(h[:]), Name: name, Size: int64(len(name))}
}

func item(run, id, version, text string, fs ...check.Finding) library.Item {
	return library.Item{Document: label(id, version, text), Source: source(id + version), Run: run, Findings: fs, Passages: 1}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var bad = check.Finding{Code: "test", Severity: check.Quarantine, Section: "s", Reason: "r", Fix: "f", Before: "b", After: "a"}

func TestCommitOnce(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	l := open(t, dir)
	v := must[library.Version](t)(l.Commit(ctx, item("r1", "a", "1", "For pain.")))
	if !v.New || v.State != library.Candidate || v.Seq != 1 {
		t.Errorf("the first: %+v", v)
	}
	// the same item again, the same text from another file in another run
	again := must[library.Version](t)(l.Commit(ctx, item("r1", "a", "1", "For pain.")))
	other := item("r2", "a", "1", "For pain.")
	other.Source, other.Document.Source = source("other"), "other.xml"
	third := must[library.Version](t)(l.Commit(ctx, other))
	if again.New || third.New || again.Seq != 1 || third.Seq != 1 {
		t.Errorf("the same again was new: %+v, %+v", again, third)
	}
	seen := must[[]library.Seen](t)(l.Sources(ctx, v.Ref))
	if len(seen) != 2 || seen[0].Run != "r1" || seen[1].Run != "r2" || seen[1].Name != "other" {
		t.Errorf("its sources: %+v", seen)
	}
	r1, r2 := must[*library.Run](t)(l.Run(ctx, "r1")), must[*library.Run](t)(l.Run(ctx, "r2"))
	if r1.Documents != 1 || r1.New != 1 || r2.Documents != 1 || r2.New != 0 || r2.Unchanged != 1 || r1.Alert {
		t.Errorf("runs: %+v, %+v", r1, r2)
	}
	d := must[*document.Document](t)(l.Document(ctx, v.Ref))
	if document.Hash(d) != v.Hash || d.Sections[0].Text != "For pain." {
		t.Errorf("its text: %+v", d)
	}
	for path, mode := range map[string]os.FileMode{library.Path(dir): 0o600, library.Path(dir) + "-wal": 0o600, filepath.Dir(library.Path(dir)): 0o700 | os.ModeDir} {
		if fi, err := os.Stat(path); err != nil || fi.Mode() != mode {
			t.Errorf("%s has mode %v, %v", path, fi.Mode(), err)
		}
	}
}

func TestALifeOfVersions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := open(t, t.TempDir())
	ann := library.By{Who: "ann", Why: "read it", Record: "review-1"}
	state := func(r library.Ref, want library.State) {
		t.Helper()
		v, err := l.Find(ctx, r.ID, r.Hash)
		if err != nil || v.State != want {
			t.Errorf("%s is %v, want %s (%v)", r.ID, v, want, err)
		}
	}
	v1 := must[library.Version](t)(l.Commit(ctx, item("r1", "a", "1", "one")))
	if d, err := l.Current(ctx, "a"); d != nil || err != nil {
		t.Errorf("a current one before any was approved: %v, %v", d, err)
	}
	if err := l.Decide(ctx, []library.Verdict{{Ref: v1.Ref, Approve: true}}, ann); err != nil {
		t.Fatal(err)
	}
	if err := l.Published(ctx, "stable", 1, []library.Ref{v1.Ref}, nil, ann); err != nil {
		t.Fatal(err)
	}
	state(v1.Ref, library.Published)
	v2 := must[library.Version](t)(l.Commit(ctx, item("r2", "a", "2", "two", bad)))
	v3 := must[library.Version](t)(l.Commit(ctx, item("r3", "a", "3", "three")))
	if v2.State != library.Quarantined || v2.Before != v1.Hash || len(v2.Findings) != 1 {
		t.Errorf("the second: %+v", v2)
	}
	if r := must[*library.Run](t)(l.Run(ctx, "r2")); !r.Alert || !r.Blocked || r.Quarantined != 1 || r.Share != 1 {
		t.Errorf("its run: %+v", r)
	}
	held := must[[]library.Held](t)(l.Quarantine(ctx, library.Filter{}))
	if len(held) != 1 || held[0].Version.Findings[0] != bad || held[0].Sources[0].Name != "a2" {
		t.Errorf("the quarantine: %+v", held)
	}
	if err := l.Decide(ctx, []library.Verdict{{Ref: v2.Ref, Against: v1.Hash, Approve: true}}, ann); !errors.Is(err, library.ErrState) {
		t.Errorf("approving out of quarantine: %v", err)
	}
	if err := l.Release(ctx, v2.Ref, ann); err != nil {
		t.Fatal(err)
	}
	if err := l.Decide(ctx, []library.Verdict{{Ref: v3.Ref, Approve: true}}, ann); !errors.Is(err, library.ErrChanged) {
		t.Errorf("a verdict on another comparison: %v", err)
	}
	if err := l.Decide(ctx, []library.Verdict{{Ref: v3.Ref, Against: v1.Hash, Approve: true}}, ann); err != nil {
		t.Fatal(err)
	}
	state(v2.Ref, library.Superseded)
	state(v1.Ref, library.Published) // until a bundle has the third
	p := must[*library.Pending](t)(l.Pending(ctx, "stable"))
	if len(p.Versions) != 1 || p.Versions[0].Hash != v3.Hash || len(p.Blocked) != 0 {
		t.Errorf("pending: %+v", p)
	}
	if p := must[*library.Pending](t)(l.Pending(ctx, "trial")); len(p.Versions) != 1 {
		t.Errorf("pending of another channel: %+v", p)
	}
	for range 2 { // the second time nothing happens
		if err := l.Published(ctx, "stable", 2, []library.Ref{v3.Ref}, nil, ann); err != nil {
			t.Fatal(err)
		}
	}
	state(v1.Ref, library.Superseded)
	state(v3.Ref, library.Published)
	lin := must[*library.Lineage](t)(l.Lineage(ctx, v1.Ref))
	if len(lin.Bundles) != 1 || lin.Bundles[0] != (library.Served{Channel: "stable", Since: 1, Until: 2}) || len(lin.Decisions) != 1 || lin.Decisions[0].By != ann {
		t.Errorf("lineage: %+v", lin)
	}
	if in := must[[]library.Version](t)(l.InBundle(ctx, "stable", 1)); len(in) != 1 || in[0].Hash != v1.Hash {
		t.Errorf("in bundle 1: %+v", in)
	}
	// a bundle that was taken back, and published anew
	for range 2 {
		if err := l.Unpublished(ctx, "stable", 2); err != nil {
			t.Fatal(err)
		}
	}
	state(v1.Ref, library.Published)
	state(v3.Ref, library.Approved)
	if p := must[*library.Pending](t)(l.Pending(ctx, "stable")); len(p.Versions) != 1 {
		t.Errorf("pending after the bundle was taken back: %+v", p)
	}
	if err := l.Published(ctx, "stable", 3, []library.Ref{v3.Ref}, nil, ann); err != nil {
		t.Fatal(err)
	}
	state(v3.Ref, library.Published)
	// a late one is not to come back
	if err := l.Published(ctx, "stable", 4, nil, []string{"a"}, ann); err != nil {
		t.Fatal(err)
	}
	state(v3.Ref, library.Superseded)
	if p := must[*library.Pending](t)(l.Pending(ctx, "stable")); len(p.Versions) != 0 {
		t.Errorf("pending after it was withdrawn: %+v", p)
	}
	if from := must[[]library.Seen](t)(l.FromSource(ctx, source("a2").SHA256[:12])); len(from) != 1 || from[0].Hash != v2.Hash {
		t.Errorf("from a source: %+v", from)
	}
	if from := must[[]library.Seen](t)(l.FromFile(ctx, source("a2").SHA256)); len(from) != 1 || from[0].Hash != v2.Hash {
		t.Errorf("from a file: %+v", from)
	}
	if from := must[[]library.Seen](t)(l.FromFile(ctx, source("a2").SHA256[:12])); len(from) != 0 {
		t.Errorf("from the beginning of a file's name: %+v", from)
	}
}

// Each file that is taken in is looked for among all that ever were.
func TestAFileIsFoundByItsIndex(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	for _, step := range must[[]string](t)(l.PlanFromFile(t.Context())) {
		if strings.HasPrefix(step, "SCAN") {
			t.Errorf("it reads through a table: %s", step)
		}
	}
}

func TestWhatCouldNotBeRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := open(t, t.TempDir())
	p := document.Problem{File: "x.zip", Reason: "a compressed archive", Fix: "unpack it"}
	for range 2 {
		if err := l.Refuse(ctx, source("x.zip"), "r1", p); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 99 {
		must[library.Version](t)(l.Commit(ctx, item("r1", fmt.Sprint("d", i), "1", fmt.Sprint("text ", i))))
	}
	r := must[*library.Run](t)(l.Run(ctx, "r1"))
	if r.Refused != 1 || r.Documents != 99 || r.Sources != 100 || r.Alert {
		t.Errorf("one in a hundred: %+v", r)
	}
	must[library.Version](t)(l.Commit(ctx, item("r1", "bad", "1", "bad", bad)))
	if r = must[*library.Run](t)(l.Run(ctx, "r1")); !r.Alert || !r.Blocked {
		t.Errorf("two in 101: %+v", r)
	}
	ann := library.By{Who: "ann", Why: "known"}
	if r = must[*library.Run](t)(l.ApproveRun(ctx, "r1", ann)); !r.Alert || r.Blocked || r.Approval == nil || r.Approval.By != ann {
		t.Errorf("approved: %+v", r)
	}
	must[library.Version](t)(l.Commit(ctx, item("r1", "bad2", "1", "bad2", bad)))
	if r = must[*library.Run](t)(l.Run(ctx, "r1")); !r.Blocked {
		t.Errorf("a third after the approval: %+v", r)
	}
	held := must[[]library.Held](t)(l.Quarantine(ctx, library.Filter{Run: "r1"}))
	if len(held) != 3 || held[2].Refused.Problem != p {
		t.Fatalf("the quarantine: %+v", held)
	}
	if err := l.DiscardRefused(ctx, held[2].Refused.Key, ann); err != nil {
		t.Fatal(err)
	}
	if err := l.DiscardRefused(ctx, held[2].Refused.Key, ann); !errors.Is(err, library.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
}

// TestManyAtOnce has two libraries of one file, each with its own connections, as two
// processes have.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	libs := make([]*library.Library, 2)
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	for i := range libs {
		wg.Go(func() {
			l, err := library.Open(dir)
			if err != nil {
				errs <- err
				return
			}
			libs[i] = l
		})
	}
	wg.Wait()
	for i := range 8 {
		if libs[i%2] == nil {
			break
		}
		wg.Go(func() {
			for j := range 10 {
				items := []library.Item{item("r", fmt.Sprint("d", j), "1", fmt.Sprint("x", j)), item("r", fmt.Sprint("d", j), "2", fmt.Sprint("y", j))}
				if _, err := libs[i%2].CommitAll(context.Background(), items); err != nil {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	for _, l := range libs {
		if l == nil {
			t.FailNow()
		}
		defer l.Close()
	}
	vs := must[[]library.Version](t)(libs[0].Versions(t.Context(), library.Filter{}))
	r := must[*library.Run](t)(libs[1].Run(t.Context(), "r"))
	if len(vs) != 20 || r.Documents != 20 || r.New != 20 {
		t.Errorf("%d versions, %+v", len(vs), r)
	}
}

func TestDriftOfARun(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := open(t, t.TempDir())
	run := func(name string, text func(i uint64) string) (vs []library.Verdict) {
		var items []library.Item
		for i := range uint64(20) {
			items = append(items, item(name, fmt.Sprint(name, i), "1", text(i)))
		}
		for _, v := range must[[]library.Version](t)(l.CommitAll(ctx, items)) {
			vs = append(vs, library.Verdict{Ref: v.Ref, Approve: true})
		}
		return vs
	}
	vs := run("good", func(i uint64) string { return prose(i, "abcdefghij") })
	if r := must[*library.Run](t)(l.EndRun(ctx, "good")); r.Drift != nil {
		t.Errorf("drift from nothing: %+v", r.Drift)
	}
	if err := l.Decide(ctx, vs, library.By{Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	run("alike", func(i uint64) string { return prose(100+i, "abcdefghij") })
	run("unlike", func(i uint64) string { return prose(200+i, "klmnopqrst") })
	alike, unlike := must[*library.Run](t)(l.EndRun(ctx, "alike")), must[*library.Run](t)(l.EndRun(ctx, "unlike"))
	if alike.Drift == nil || alike.Drift.Words.Verdict != "stable" || unlike.Drift == nil || unlike.Drift.Words.Verdict != "act" || unlike.Drift.Lengths.Verdict != "insufficient" {
		t.Errorf("alike %+v, unlike %+v", alike.Drift, unlike.Drift)
	}
}

// prose of words of two of the letters.
func prose(seed uint64, letters string) string {
	r := rand.New(rand.NewPCG(seed, 2))
	var b strings.Builder
	for range 2000 {
		b.WriteString(string([]byte{letters[r.IntN(len(letters))], letters[r.IntN(len(letters))], ' '}))
	}
	return b.String()
}

func TestRefusesANewerLibrary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	if err := library.SetSchema(l, library.Schema+1); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := library.Open(dir); !errors.Is(err, library.ErrNewer) {
		t.Errorf("opened: %v", err)
	}
	// one of the first version has its tables brought up
	old := t.TempDir()
	l = open(t, old)
	v := must[library.Version](t)(l.Commit(t.Context(), item("r", "a", "1", "x")))
	if err := library.MakeOld(l); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, old)
	if r, err := l.EndRun(t.Context(), "r"); err != nil || r.Documents != 1 {
		t.Errorf("the run of an old library: %+v, %v", r, err)
	}
	if _, err := l.Document(t.Context(), v.Ref); err != nil {
		t.Error(err)
	}
	if _, err := library.Open(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a centre that is not there: %v", err)
	}
}

// words makes a text of its own of n words.
func words(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "w%d ", r.IntN(5000))
	}
	return b.String()
}

func TestDuplicatesOfEarlierRuns(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := open(t, t.TempDir())
	text := words(1, 2000)
	codes := func(it library.Item) (out []string) {
		t.Helper()
		for _, f := range must[library.Version](t)(l.Commit(ctx, it)).Findings {
			out = append(out, f.Code)
		}
		return out
	}
	if c := codes(item("r1", "a", "1", text)); c != nil {
		t.Errorf("the first: %v", c)
	}
	if c := codes(item("r1", "other", "1", words(2, 2000))); c != nil {
		t.Errorf("another text: %v", c)
	}
	if c := codes(item("r2", "b", "1", text)); !slices.Equal(c, []string{check.Duplicate}) {
		t.Errorf("the same under another id: %v", c)
	}
	near := item("r2", "c", "1", text+"and a little more")
	if c := codes(near); !slices.Equal(c, []string{check.NearDuplicate}) {
		t.Errorf("nearly the same under another id: %v", c)
	}
	if v, err := l.Find(ctx, "c", ""); err != nil || v.State != library.Candidate {
		t.Errorf("nearly the same waits for review: %+v, %v", v, err)
	}
	if c := codes(item("r3", "a", "2", text+"and a little more of it")); !slices.Equal(c, []string{check.NearDuplicate}) {
		t.Errorf("the next version of a is like c, not like itself: %v", c)
	}
	// half of the words are others
	if c := codes(item("r3", "d", "1", text[:len(text)/2]+words(3, 1000))); c != nil {
		t.Errorf("half the same: %v", c)
	}
}

// TestNearDuplicatesOfRealLabels puts a copy of each real label with a changed sentence
// under another id, and finds it; the labels themselves are not copies of one another,
// but for Lipitor's two.
func TestNearDuplicatesOfRealLabels(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	var docs []*document.Document
	for _, p := range []string{"spl_xml", "labels"} {
		if _, err := document.Read(t.Context(), filepath.Join(dir, p), document.Options{}, func(d *document.Document) error {
			docs = append(docs, d)
			return nil
		}); err != nil {
			t.Skip("the real labels are not here: ", err)
		}
	}
	l := open(t, t.TempDir())
	var items, copies []library.Item
	for i, d := range docs {
		items = append(items, library.Item{Document: d, Source: source(d.ID), Run: "real"})
		c := *d
		c.ID, c.Sections = "copy of "+d.ID, slices.Clone(d.Sections)
		c.Sections[0].Text += fmt.Sprintf(" Repackaged by company %d.", i)
		if _, ok := check.Sign(&c); ok {
			copies = append(copies, library.Item{Document: &c, Source: source(c.ID), Run: "copies"})
		}
	}
	alike := func(vs []library.Version) (out []string) {
		for _, v := range vs {
			for _, f := range v.Findings {
				out = append(out, v.Title+" "+f.Code+" "+f.Reason)
			}
		}
		return out
	}
	for _, s := range alike(must[[]library.Version](t)(l.CommitAll(t.Context(), items))) {
		t.Log(s)
		if !strings.HasPrefix(s, "LIPITOR") || !strings.Contains(s, check.NearDuplicate) {
			t.Errorf("not a copy: %s", s)
		}
	}
	found := alike(must[[]library.Version](t)(l.CommitAll(t.Context(), copies)))
	t.Logf("%d labels, %d copies, %d found", len(docs), len(copies), len(found))
	if len(found) != len(copies) {
		t.Errorf("%d of %d copies found", len(found), len(copies))
	}
}
