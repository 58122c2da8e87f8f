package index_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rxedge/index"
	"rxedge/index/document"
)

const crashDocuments = 40

// version n of the crash test's batch: every document says the same version.
func crashBatch(n int) index.Changes {
	return index.Changes{Put: func(yield func(*document.Document, error) bool) {
		for i := range crashDocuments {
			d := label(fmt.Sprintf("drug%02d", i), strconv.Itoa(n),
				fmt.Sprintf("Everything about version%d of it. %s", n, strings.Repeat("Take 500 mg twice a day with food. ", 40)), "A second section.")
			if !yield(d, nil) {
				return
			}
		}
	}}
}

// ingestForever is the child of the crash test: it applies one version after
// another and says on standard output which one was acknowledged.
func ingestForever(dir string) {
	ix, err := index.Open(dir, index.Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	n := 0
	if s := ix.Acquire(); s.Generation().Documents > 0 {
		d, err := s.Document("drug00")
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		n, _ = strconv.Atoi(d.Version)
	}
	fmt.Println("open")
	in := bufio.NewScanner(os.Stdin)
	for {
		n++
		if _, err := ix.Apply(context.Background(), crashBatch(n), nil); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("done", n)
		in.Scan() // the parent looks at the files meanwhile
		switch {
		case n%5 == 4:
			_, err = ix.Compact(context.Background(), nil)
		case n%7 == 6:
			var r index.Report
			if r, err = ix.Verify(context.Background(), nil); err == nil && !r.OK() {
				err = fmt.Errorf("verify: %v", r.Faults)
			}
		}
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
}

// written is how far each log of live updates is written.
func written(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	ends := map[string]int64{}
	for _, pattern := range []string{"gen-*/live.log", "gen-*/live/*.mem", "gen-*/live/*.vlog"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, name := range files {
			if f, err := os.Open(name); err == nil { // a new generation may have taken its place
				ends[name] = lastByte(f)
				f.Close()
			}
		}
	}
	return ends
}

// lastByte is the end of what is not zero.
func lastByte(f *os.File) int64 {
	fi, err := f.Stat()
	if err != nil {
		return 0
	}
	b := make([]byte, 1<<16)
	for end := fi.Size(); end > 0; {
		from := max(0, end-int64(len(b)))
		n, _ := f.ReadAt(b[:end-from], from)
		for n > 0 && b[n-1] == 0 {
			n--
		}
		if n > 0 {
			return from + int64(n)
		}
		end = from
	}
	return 0
}

// zero what was written since, as a power cut can leave it.
func zero(t *testing.T, ends map[string]int64) {
	t.Helper()
	for name, end := range ends {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if to := lastByte(f); to > end {
			if _, err := f.WriteAt(make([]byte, to-end), end); err != nil {
				t.Error(err)
			}
		}
		f.Close()
	}
}

// RXEDGE_KILLS sets how often.
func TestKillAtRandomMomentsOfIngest(t *testing.T) {
	t.Parallel()
	kills := 12
	if testing.Short() {
		kills = 4
	}
	if n, err := strconv.Atoi(os.Getenv("RXEDGE_KILLS")); err == nil {
		kills = n
	}
	dir := filepath.Join(t.TempDir(), "index")
	rnd := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	acknowledged, live, zeroed := 0, 0, 0
	for kill := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "RXEDGE_TEST_INGEST="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Of three kills one may come while it starts; the others come once it is
		// open, however long a busy machine takes for that.
		timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		if kill%3 == 0 {
			timer.Reset(time.Duration(50+rnd.IntN(900)) * time.Millisecond)
		}
		var ends map[string]int64
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			switch what, rest, _ := strings.Cut(sc.Text(), " "); what {
			case "open":
				if kill%3 != 0 {
					timer.Reset(time.Duration(20+rnd.IntN(900)) * time.Millisecond)
				}
			case "done":
				acknowledged, _ = strconv.Atoi(rest)
				ends = written(t, dir)
				fmt.Fprintln(in, "go")
			case "error":
				t.Errorf("kill %d: the child: %s", kill, rest)
			}
		}
		_ = cmd.Wait()
		timer.Stop()
		if kill%2 == 1 && ends != nil {
			zero(t, ends)
			zeroed++
		}

		ix, err := index.Open(dir, index.Options{})
		if err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		if n := ix.Notes(); len(n) != 0 {
			t.Errorf("kill %d: notes %q", kill, n)
		}
		clean(t, ix)
		s := ix.Acquire()
		if s.Generation().Update > 0 {
			live++
		}
		ds, err := s.Documents()
		if err != nil {
			t.Fatal(err)
		}
		have := 0
		if len(ds) > 0 {
			have, _ = strconv.Atoi(ds[0].Version)
		}
		// What was acknowledged is there; the one that was under way may be.
		if have != acknowledged && have != acknowledged+1 || len(ds) != crashDocuments && have > 0 {
			t.Errorf("kill %d: version %d of %d documents, acknowledged was %d", kill, have, len(ds), acknowledged)
		}
		for _, d := range ds {
			if d.Version != strconv.Itoa(have) {
				t.Errorf("kill %d: versions %d and %s side by side", kill, have, d.Version)
			}
		}
		acknowledged = have
		s.Release()
		if err := ix.Close(); err != nil {
			t.Error(err)
		}
		left, _ := filepath.Glob(filepath.Join(dir, "*.building"))
		if len(left) > 0 {
			t.Errorf("kill %d left %v", kill, left)
		}
	}
	t.Logf("%d kills, %d with zeroed tails, %d versions; %d times there were live updates", kills, zeroed, acknowledged, live)
}

// generations makes an index of two generations, metformin and then warfarin too.
func generations(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	e := &words{name: "words-1"}
	ix := open(t, dir, index.Options{Embedder: e, EmbedderInfo: e.info(), LiveDocuments: -1})
	apply(t, ix, put(metformin))
	apply(t, ix, put(warfarin))
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path string, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenMendsWhatACrashOrAPowerCutLeaves(t *testing.T) {
	t.Parallel()
	truncate := func(t *testing.T, pattern string) {
		names, _ := filepath.Glob(pattern)
		if len(names) == 0 {
			t.Fatalf("nothing matches %s", pattern)
		}
		for _, n := range names {
			fi, err := os.Stat(n)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(n, fi.Size()/2); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		serves string
		note   string // part of a note; "": none
	}{
		"empty logs": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "gen-000002", "00007.mem"), "")
			write(t, filepath.Join(dir, "gen-000002", "000009.vlog"), "")
		}, "gen-000002", ""},
		"torn CURRENT.tmp": {func(t *testing.T, dir string) { write(t, filepath.Join(dir, "CURRENT.tmp"), "gen-0") }, "gen-000002", ""},
		"half a build": {func(t *testing.T, dir string) {
			os.Mkdir(filepath.Join(dir, "gen-000003.building"), 0o700)
			write(t, filepath.Join(dir, "gen-000003.building", "000001.vlog"), "half")
		}, "gen-000002", ""},
		"half removed": {func(t *testing.T, dir string) { os.Mkdir(filepath.Join(dir, "gen-000000.removed"), 0o700) }, "gen-000002", ""},
		"truncated files in the other generation": {func(t *testing.T, dir string) {
			truncate(t, filepath.Join(dir, "gen-000001", "*.vlog"))
			truncate(t, filepath.Join(dir, "gen-000001", "*.sst"))
		}, "gen-000002", ""},
		"missing CURRENT": {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "CURRENT")) }, "gen-000002", "CURRENT is missing"},
		"torn CURRENT":    {func(t *testing.T, dir string) { write(t, filepath.Join(dir, "CURRENT"), "gen-000") }, "gen-000002", "CURRENT is damaged"},
		"flipped CURRENT": {func(t *testing.T, dir string) {
			raw, _ := os.ReadFile(filepath.Join(dir, "CURRENT"))
			write(t, filepath.Join(dir, "CURRENT"), strings.Replace(string(raw), "gen-000002", "gen-000001", 1))
		}, "gen-000002", "CURRENT is damaged"},
		"CURRENT names nothing":  {func(t *testing.T, dir string) { os.RemoveAll(filepath.Join(dir, "gen-000002")) }, "gen-000001", "gen-000002"},
		"truncated value log":    {func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, "gen-000002", "*.vlog")) }, "gen-000001", ".vlog is damaged"},
		"truncated table":        {func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, "gen-000002", "*.sst")) }, "gen-000001", ".sst is damaged"},
		"truncated manifest":     {func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, "gen-000002", "manifest.json")) }, "gen-000001", "manifest.json is damaged"},
		"missing manifest":       {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "gen-000002", "manifest.json")) }, "gen-000001", "manifest.json is damaged"},
		"missing store manifest": {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "gen-000002", "MANIFEST")) }, "gen-000001", "MANIFEST is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := generations(t)
			c.damage(t, dir)
			ix := open(t, dir, index.Options{})
			if got := ix.Stats().Generation.Name; got != c.serves {
				t.Errorf("%s serves, want %s", got, c.serves)
			}
			notes := strings.Join(ix.Notes(), "\n")
			if (c.note == "") != (notes == "") || !strings.Contains(notes, c.note) {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
			clean(t, ix)
			if got := first(t, ix, "eGFR"); got != "metformin" {
				t.Errorf("found %q", got)
			}
			// And it goes on from there.
			if r := apply(t, ix, put(lisinopril)); !r.Changed {
				t.Errorf("%+v", r)
			}
			clean(t, ix)
			ix.Close()
			// That a later generation was lost is told until one is built anew.
			ix = open(t, dir, index.Options{})
			lost := c.serves == "gen-000001" && strings.HasSuffix(c.note, " is damaged")
			if n := strings.Join(ix.Notes(), "\n"); lost != strings.Contains(n, "gen-000002 of the index is damaged") || !lost && n != "" {
				t.Errorf("opened again: %q", n)
			}
			if _, err := ix.Compact(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			ix.Close()
			if n := open(t, dir, index.Options{}).Notes(); len(n) != 0 {
				t.Errorf("opened again after a compaction: %q", n)
			}
		})
	}
}

func TestNothingGoodLeftIsAClearError(t *testing.T) {
	t.Parallel()
	dir := generations(t)
	for _, g := range []string{"gen-000001", "gen-000002"} {
		os.Remove(filepath.Join(dir, g, "manifest.json"))
	}
	_, err := index.Open(dir, index.Options{})
	if err == nil || !strings.Contains(err.Error(), "move the folder aside") {
		t.Errorf("%v", err)
	}
}

// A first start that ended before CURRENT was written is a first start, and
// nothing to be told of; where documents were, a missing CURRENT is.
func TestFirstStartCutShort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reopen := func(want int) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, "CURRENT")); err != nil {
			t.Fatal(err)
		}
		ix, err := index.Open(dir, index.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n := ix.Notes(); len(n) != want {
			t.Errorf("notes %q", n)
		}
		if err := ix.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ix, err := index.Open(dir, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(0)
	if ix, err = index.Open(dir, index.Options{}); err != nil {
		t.Fatal(err)
	}
	apply(t, ix, put(label("a", "1", "Take it with food.")))
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(2)
}
