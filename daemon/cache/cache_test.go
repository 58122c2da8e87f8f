package cache

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dgraph-io/badger/v4"

	"rxedge/daemon/answer"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t testing.TB, dir string, opt Options) *Cache {
	t.Helper()
	c, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func kept(now time.Time, text string, documents ...string) *answer.Kept {
	return &answer.Kept{Answer: answer.Answer{Status: answer.StatusAnswered, Claims: []answer.Claim{{Text: text}}}, Stamp: "gen-000001@x", Documents: documents, Made: now}
}

func says(c *Cache, key string) string {
	k, ok := c.Get(key)
	if !ok {
		return ""
	}
	return k.Answer.Claims[0].Text
}

// What is kept is found by its key alone, outlives a restart, and ends with its
// time.
func TestKept(t *testing.T) {
	t.Parallel()
	dir, ck := filepath.Join(t.TempDir(), "cache"), &clock{now: time.Now()}
	c := open(t, dir, Options{Now: ck.Now})
	c.Put("question one", kept(ck.Now(), "one", "doc-a"))
	c.PutVector("model", "question one", []float32{1, -2.5, 3})
	check := func(when string) {
		t.Helper()
		if got := says(c, "question one"); got != "one" {
			t.Errorf("%s: the answer is %q", when, got)
		}
		if got := says(c, "question two"); got != "" {
			t.Errorf("%s: another question has %q", when, got)
		}
		if v, ok := c.Vector("model", "question one"); !ok || !slices.Equal(v, []float32{1, -2.5, 3}) {
			t.Errorf("%s: the vector is %v %v", when, v, ok)
		}
		if _, ok := c.Vector("another", "question one"); ok {
			t.Errorf("%s: another model has the vector", when)
		}
	}
	check("at first")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir, Options{Now: ck.Now})
	defer c.Close()
	check("after a restart")
	if st := c.Stats(); st.Answers != 1 || st.Embeddings != 1 || st.AnswerHits != 1 || st.AnswerMisses != 1 || st.Bytes < 100 {
		t.Errorf("%+v", st)
	}
	ck.pass(59 * time.Minute)
	check("after 59 minutes")
	ck.pass(2 * time.Minute)
	if got := says(c, "question one"); got != "" {
		t.Errorf("after an hour: %q", got)
	}
	if _, ok := c.Vector("model", "question one"); !ok {
		t.Error("a vector is kept for a day")
	}
	ck.pass(23 * time.Hour)
	if _, ok := c.Vector("model", "question one"); ok {
		t.Error("after a day the vector is still there")
	}
	// An answer that is written anew because it was compared is no younger.
	old := kept(ck.Now().Add(-2*time.Hour), "old")
	c.Put("question three", old)
	if got := says(c, "question three"); got != "" {
		t.Errorf("made two hours ago: %q", got)
	}
}

// Past its hour an answer is not served as a new one, but there for when nothing
// else is left; those that are asked for often stay longest. A document that
// changes takes them all the same.
func TestEarlier(t *testing.T) {
	t.Parallel()
	dir, ck := filepath.Join(t.TempDir(), "cache"), &clock{now: time.Now()}
	opt := Options{Now: ck.Now, DiskBytes: 128 << 10}
	c := open(t, dir, opt)
	earlier := func(key string) string {
		k, ok := c.Earlier(key)
		if !ok {
			return ""
		}
		return k.Answer.Claims[0].Text
	}
	for _, q := range []string{"popular", "rare", "changed"} {
		c.Put(q, kept(ck.Now(), q, "doc-"+q))
	}
	for _, q := range []string{"popular", "changed"} {
		if says(c, q) == "" {
			t.Fatal("not kept")
		}
	}
	ck.pass(61 * time.Minute)
	for _, q := range []string{"popular", "rare"} {
		if says(c, q) != "" || earlier(q) != q {
			t.Errorf("%s: served as new %q, earlier %q", q, says(c, q), earlier(q))
		}
	}
	if st := c.Stats(); st.Answers != 3 || st.Popular != 2 || st.EarlierHits != 2 {
		t.Errorf("%+v", st)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir, opt)
	defer func() { c.Close() }()
	if st := c.Stats(); st.Popular != 2 || earlier("popular") != "popular" {
		t.Errorf("after a restart: %+v", st)
	}
	if n := c.Invalidate([]string{"doc-changed"}); n != 1 || earlier("changed") != "" {
		t.Errorf("its document changed: %d let go, %q", n, earlier("changed"))
	}
	for i := range 300 {
		c.Put(fmt.Sprint("q", i), kept(ck.Now(), strings.Repeat("x", 1000)))
	}
	if earlier("popular") != "popular" || earlier("rare") != "" || c.Stats().Bytes > opt.DiskBytes {
		t.Errorf("pressed for room: %q %q %+v", earlier("popular"), earlier("rare"), c.Stats())
	}
	ck.pass(30 * 24 * time.Hour)
	if earlier("popular") != "" {
		t.Error("after 30 days it is still there")
	}
}

// No question and no answer can be read on disk by who does not know the question.
func TestNothingReadableOnDisk(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir, Options{})
	const canary = "Zyxwvut"
	for i := range 200 {
		c.Put(fmt.Sprint(canary, i), kept(time.Now(), strings.Repeat(canary+" ", 20), "doc-a"))
		c.PutVector("m", canary, []float32{1})
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	files := 0
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files++
			if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte(canary)) {
				t.Errorf("%s holds what was asked or answered (%v)", filepath.Base(path), err)
			}
		}
		return nil
	})
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 || files == 0 {
		t.Errorf("%v %v, %d files", fi.Mode(), err, files)
	}
}

// Invalidating documents lets go of exactly the answers that rest on them, in
// memory, on disk and after a restart.
func TestInvalidate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir, Options{})
	rounds, left := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		rounds++
		var docs []string
		for _, d := range []string{"a", "ab", "b", "label\x01", "608d4f0d-b19f-46d3-749a-7159aa5f933d"} {
			docs = append(docs, fmt.Sprint(rounds, d))
		}
		rests := map[string][]string{}
		for i := range rapid.IntRange(1, 8).Draw(t, "answers") {
			key := fmt.Sprint(rounds, " question ", i)
			rests[key] = rapid.SliceOfNDistinct(rapid.SampledFrom(docs), 0, 3, rapid.ID[string]).Draw(t, key)
			c.Put(key, kept(time.Now(), key, rests[key]...))
		}
		changed := rapid.SliceOfNDistinct(rapid.SampledFrom(append(docs, "unknown")), 0, 3, rapid.ID[string]).Draw(t, "changed")
		before := c.Stats().Invalidated
		got, want := c.Invalidate(changed), 0
		for key, on := range rests {
			hit := slices.ContainsFunc(on, func(d string) bool { return slices.Contains(changed, d) })
			if hit {
				want++
			}
			if (says(c, key) == "") != hit {
				t.Fatalf("%s rests on %q; %q changed; it says %q", key, on, changed, says(c, key))
			}
		}
		left += len(rests) - want
		if got != want || c.Stats().Invalidated-before != want {
			t.Fatalf("%d were let go, want %d", got, want)
		}
		for _, d := range c.Documents() {
			if slices.Contains(changed, d) {
				t.Fatalf("something still rests on %q", d)
			}
		}
	})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir, Options{})
	defer c.Close()
	if got := c.Stats().Answers; got != left {
		t.Fatalf("after a restart there are %d, want %d", got, left)
	}
}

// The bound on disk holds, and what was not used for longest goes first.
func TestBound(t *testing.T) {
	t.Parallel()
	c := open(t, filepath.Join(t.TempDir(), "cache"), Options{DiskBytes: 64 << 10, Memory: 16 << 10})
	defer c.Close()
	text := strings.Repeat("x", 1000)
	for i := range 200 {
		c.Put(fmt.Sprint("q", i), kept(time.Now(), text))
		if i%10 == 0 && says(c, "q0") == "" {
			t.Fatalf("q0 is used all the time and was let go after %d", i)
		}
	}
	st := c.Stats()
	if st.Bytes > 64<<10 || st.Evicted < 100 || st.Answers < 20 {
		t.Errorf("%+v", st)
	}
	if says(c, "q1") != "" || says(c, "q199") == "" {
		t.Error("it is not the oldest that went")
	}
	c.Put("large", kept(time.Now(), strings.Repeat("x", 64<<10)))
	if says(c, "large") != "" || c.Stats().Answers < 20 {
		t.Error("one large answer drove the others out")
	}
}

// What says on which documents an answer rests goes with the answer, and counts for the
// bound; what an earlier release left of answers that are gone goes at the next start.
func TestLinksGo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir, Options{DiskBytes: 64 << 10, Memory: 16 << 10})
	check := func(when string) {
		t.Helper()
		links, bytes := 0, int64(0)
		c.eachLink(string(byDocument), func(_, id string) {
			if links++; c.held[id] == nil {
				t.Errorf("%s: a link of an answer that is gone", when)
			}
		})
		for _, e := range c.held {
			h := e.Value.(*held)
			links -= len(h.documents)
			bytes += h.bytes
		}
		if links != 0 || bytes != c.Stats().Bytes || bytes > 64<<10 {
			t.Errorf("%s: %d links too many, %d bytes held, %d counted", when, links, bytes, c.Stats().Bytes)
		}
	}
	text := strings.Repeat("x", 300)
	for i := range 200 {
		c.Put(fmt.Sprint("q", i), kept(time.Now(), text, fmt.Sprint("label-", i), fmt.Sprint("label-", i%7), "all"))
	}
	if c.Stats().Evicted < 50 {
		t.Fatalf("%+v", c.Stats())
	}
	check("answers came and went")
	c.Put("q199", kept(time.Now(), text, "another"))
	check("an answer rests on another document now")
	c.Invalidate([]string{"label-3"})
	check("a document was changed")
	if err := c.db.Update(func(txn *badger.Txn) error {
		return txn.Set([]byte(restsOn("label-3")+string(kindAnswer)+strings.Repeat("z", hashBytes)), nil)
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir, Options{DiskBytes: 64 << 10, Memory: 16 << 10})
	defer c.Close()
	check("started again")
	if err := c.Shrink(16 << 10); err != nil {
		t.Fatal(err)
	}
	check("made smaller")
}

// Damage costs what is damaged, never the box.
func TestDamaged(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(dir string) error{
		"manifest": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "MANIFEST"), []byte("nothing like it"), 0o600)
		},
		"tables": func(dir string) error {
			files, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					return err
				}
				for i := range b {
					b[i] ^= 0x5a
				}
				if err := os.WriteFile(f, b, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		"missing": func(dir string) error {
			files, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		dir := filepath.Join(t.TempDir(), "cache")
		c := open(t, dir, Options{})
		c.Put("q", kept(time.Now(), "one", "doc"))
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := harm(dir); err != nil {
			t.Fatal(err)
		}
		c = open(t, dir, Options{})
		if !strings.Contains(c.Note(), "damaged") {
			t.Errorf("%s: the note is %q", name, c.Note())
		}
		if got := says(c, "q"); got != "" {
			t.Errorf("%s: %q", name, got)
		}
		c.Put("q", kept(time.Now(), "two"))
		if got := says(c, "q"); got != "two" {
			t.Errorf("%s: afterwards %q", name, got)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A closed cache has nothing, and says so without an error.
func TestClosed(t *testing.T) {
	t.Parallel()
	c := open(t, filepath.Join(t.TempDir(), "cache"), Options{})
	c.Put("q", kept(time.Now(), "one", "doc"))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.Put("q", kept(time.Now(), "two"))
	if says(c, "q") != "" || c.Invalidate([]string{"doc"}) != 0 || c.Documents() != nil {
		t.Error("it has something")
	}
}

// Used by many at once, nothing is found that was let go before it was asked for.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	c := open(t, filepath.Join(t.TempDir(), "cache"), Options{DiskBytes: 1 << 20, Memory: 64 << 10})
	defer c.Close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			doc := fmt.Sprint("doc-", g)
			for i := range 50 {
				key := fmt.Sprint(g, "-", i)
				c.Put(key, kept(time.Now(), key, doc, "shared"))
				if got := says(c, key); got != key && got != "" {
					t.Errorf("%s is %q", key, got)
				}
				if i%10 == 9 {
					c.Invalidate([]string{doc})
					if got := says(c, key); got != "" {
						t.Errorf("%s was let go and says %q", key, got)
					}
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkGet(b *testing.B) {
	c := open(b, filepath.Join(b.TempDir(), "cache"), Options{})
	defer c.Close()
	k := kept(time.Now(), "text", "a", "b", "c")
	for range 8 {
		k.Answer.Retrieved = append(k.Answer.Retrieved, answer.Retrieved{SectionID: "section", SetID: "set"})
	}
	c.Put("question", k)
	for b.Loop() {
		if _, ok := c.Get("question"); !ok {
			b.Fatal("gone")
		}
	}
}

// A clock that was ahead leaves no answer that is served, or kept, for years.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	c := &clock{now: at}
	k := open(t, t.TempDir(), Options{Now: c.Now})
	defer k.Close()
	k.Put("now", kept(c.Now(), "now"))
	c.pass(-time.Minute) // what time servers do
	if says(k, "now") != "now" {
		t.Error("a minute back, nothing is served")
	}
	c.pass(-time.Hour)
	if s := says(k, "now"); s != "" {
		t.Error("an answer of the future is served:", s)
	}
	c.pass(time.Hour + 2*time.Minute)
	if says(k, "now") != "now" {
		t.Error("set right, it is served no more")
	}
	c.pass(10 * 365 * 24 * time.Hour)
	if s := says(k, "now"); s != "" {
		t.Error("ten years later it is served:", s)
	}
	k.Put("ahead", kept(c.Now(), "ahead"))
	c.pass(-10 * 365 * 24 * time.Hour)
	k.expire()
	if st := k.Stats(); st.Answers != 1 || says(k, "now") != "now" {
		t.Errorf("%+v", st)
	}
}
