package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/sync/durable"
)

// write files of a folder.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// files of a folder but those of this package.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if strings.HasPrefix(name, fileName+".") || strings.HasPrefix(name, takenBack) {
			return nil
		}
		b, err := os.ReadFile(path)
		out[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// before is a folder of version 1, and after what version 3 makes of it: a store that
// is rewritten, a file deep down, one that comes, one that goes.
var (
	before = map[string]string{"store/a": "1", "store/b": "2", "deep/down/file": "old", "goes": "x", "stays": "s"}
	after  = map[string]string{"store/a": "1 then 2", "store/b": "2 then 2", "deep/down/file": "new", "comes": "y", "stays": "s"}
)

var testMigrations = []Migration{
	{To: 2, What: "the store is rewritten", Parts: []string{"store"}, Build: func(_ context.Context, dir, to string) error {
		for _, n := range []string{"store/a", "store/b"} {
			b, err := os.ReadFile(filepath.Join(dir, n))
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Join(to, "store"), 0o700); err != nil {
				return err
			}
			Step("in a migration")
			if err := os.WriteFile(filepath.Join(to, n), append(b, " then 2"...), 0o600); err != nil {
				return err
			}
		}
		return nil
	}},
	{To: 3, What: "files change", Parts: []string{"deep/down/file", "comes", "goes"}, Build: func(_ context.Context, dir, to string) error {
		if err := os.MkdirAll(filepath.Join(to, "deep/down"), 0o700); err != nil {
			return err
		}
		return errors.Join(os.WriteFile(filepath.Join(to, "deep/down/file"), []byte("new"), 0o600), os.WriteFile(filepath.Join(to, "comes"), []byte("y"), 0o600))
	}},
}

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func options(version int) Options {
	return Options{Program: fmt.Sprintf("%d.0.0", version), Now: func() time.Time { return at }, migrations: testMigrations[:version-1], version: version,
		Stores: map[string]Store{"store": {"store", version}}}
}

func folderOf1(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rxedge-schema-*") // there are hundreds, all synced
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if _, err := Prepare(t.Context(), dir, options(1)); err != nil {
		t.Fatal(err)
	}
	write(t, dir, before)
	return dir
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	dir := folderOf1(t)
	s, err := Prepare(t.Context(), dir, options(3))
	if err != nil {
		t.Fatal(err)
	}
	r := s.Report()
	if len(r.Kept) != 2 || r.Kept[0].Confirmed || r.Version != 3 || r.Program != "3.0.0" {
		t.Errorf("%+v", r)
	}
	if got := files(t, dir); got["changes/1/old/store/a"] != "1" || got["changes/2/old/goes"] != "x" {
		t.Errorf("the originals: %v", got)
	}
	// The start that confirms keeps them, one that was not clean before too.
	for i, clean := range []bool{true, false, true} {
		s, err := Prepare(t.Context(), dir, options(3))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Confirm(clean); err != nil {
			t.Fatal(err)
		}
		if kept := len(s.Report().Kept); kept != []int{2, 2, 0}[i] {
			t.Errorf("start %d: %d are kept", i, kept)
		}
	}
	if got := files(t, dir); !maps.Equal(got, after) {
		t.Errorf("in the end: %v", got)
	}
	var newer *NewerError
	if _, err := Prepare(t.Context(), dir, options(2)); !errors.As(err, &newer) || newer.Needs != "3.0.0" {
		t.Errorf("an earlier release opens it: %v", err)
	}
	if got := files(t, dir); !maps.Equal(got, after) {
		t.Errorf("after it was refused: %v", got)
	}
}

// A release that was given up before it was confirmed: the one before takes back what
// it changed, and what it wrote since lies aside.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	dir := folderOf1(t)
	if _, err := Prepare(t.Context(), dir, options(3)); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"store/said": "since", "stays": "what is in no part stays"})
	s, err := Prepare(t.Context(), dir, options(1))
	if err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(before)
	want["stays"] = "what is in no part stays"
	if got := files(t, dir); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, takenBack, "1/store/said")); string(b) != "since" {
		t.Errorf("what was said since: %q %v", b, err)
	}
	if r := s.Report(); r.Version != 1 || !strings.Contains(r.Note, "3.0.0") {
		t.Errorf("%+v", r)
	}
	// And forward again.
	if _, err := Prepare(t.Context(), dir, options(3)); err != nil {
		t.Fatal(err)
	}
}

// A store of which the format is raised alone is kept too, for the release before can't
// read what is written into it.
func TestFormatRaised(t *testing.T) {
	t.Parallel()
	dir := folderOf1(t)
	raised := options(1)
	raised.Program, raised.Stores = "1.1.0", map[string]Store{"store": {"store", 2}, "other": {"other", 1}}
	if _, err := Prepare(t.Context(), dir, raised); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"store/a": "in format 2", "other/a": "a store of which the earlier release knows nothing"})
	if _, err := Prepare(t.Context(), dir, options(1)); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); got["store/a"] != "1" || got["other/a"] == "" {
		t.Errorf("%v", got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(dir string, o *Options){
		"no room":  func(_ string, o *Options) { o.Free = func(string) uint64 { return 1 << 20 } },
		"an error": func(dir string, _ *Options) { _ = os.Remove(filepath.Join(dir, "store/b")) },
	} {
		dir := folderOf1(t)
		o := options(3)
		broken(dir, &o)
		was := files(t, dir)
		var failed *MigrationError
		if _, err := Prepare(t.Context(), dir, o); !errors.As(err, &failed) {
			t.Errorf("%s: %v", name, err)
		}
		if got := files(t, dir); !maps.Equal(got, was) {
			t.Errorf("%s: it is changed: %v", name, got)
		}
		if _, err := Prepare(t.Context(), dir, options(1)); err != nil {
			t.Errorf("%s: the release before: %v", name, err)
		}
	}
	dir := folderOf1(t)
	for _, n := range []string{".a", ".b"} {
		if err := os.WriteFile(filepath.Join(dir, fileName+n), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Prepare(t.Context(), dir, options(1)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged state: %v", err)
	}
}

// killed is what a test ends a goroutine by.
type killed struct{}

// killAt runs do until its nth step, where it ends as by a kill; it returns how many
// steps there were.
func killAt(n int, do func()) (steps int) {
	count := func(string) {
		if steps++; steps == n {
			panic(killed{})
		}
	}
	Step, durable.Step = count, count
	defer func() {
		Step, durable.Step = func(string) {}, func(string) {}
		if p := recover(); p != nil {
			if _, is := p.(killed); !is {
				panic(p)
			}
		}
	}()
	do()
	return steps
}

// Killed at each step of a migration, of the way back, and of what confirms: the folder
// is afterwards as it was or as it becomes, whichever release is started next.
func TestKilled(t *testing.T) {
	prepare := func(dir string, version int) func() {
		return func() {
			if _, err := Prepare(t.Context(), dir, options(version)); err != nil {
				t.Error(err)
			}
		}
	}
	confirm := func(dir string) func() {
		return func() {
			s, err := Prepare(t.Context(), dir, options(3))
			if err == nil {
				err = s.Confirm(true)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	migrated := func() string {
		dir := folderOf1(t)
		prepare(dir, 3)()
		return dir
	}
	kills := 0
	for _, c := range []struct {
		name  string
		make  func() string
		do    func(dir string) func()
		nexts []int // releases that are started afterwards
	}{
		{"migrating", func() string { return folderOf1(t) }, func(dir string) func() { return prepare(dir, 3) }, []int{3, 1, 2}},
		{"taking back", migrated, func(dir string) func() { return prepare(dir, 1) }, []int{1, 3}},
		{"confirming", migrated, confirm, []int{3}},
		{"removing the originals", func() string { d := migrated(); confirm(d)(); return d }, confirm, []int{3}},
	} {
		steps := killAt(0, c.do(c.make()))
		if steps == 0 {
			t.Fatalf("%s: no step", c.name)
		}
		for n := 1; n <= steps; n++ {
			for _, next := range c.nexts {
				dir := c.make()
				killAt(n, c.do(dir))
				kills++
				prepare(dir, next)()
				got := files(t, dir)
				for name := range got {
					if strings.HasPrefix(name, changesDir) {
						delete(got, name)
					}
				}
				want := map[int]map[string]string{1: before, 3: after, 2: {"store/a": "1 then 2", "store/b": "2 then 2", "deep/down/file": "old", "goes": "x", "stays": "s"}}[next]
				if !maps.Equal(got, want) {
					t.Fatalf("%s, killed at step %d of %d, then release %d: %v", c.name, n, steps, next, got)
				}
			}
		}
	}
	t.Logf("killed %d times", kills)
}

// Whatever lies in the state's place, it is read or refused, and nothing outside of the
// folder is named by it.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"version":1,"changes":[{"number":1,"phase":"kept","parts":[{"path":"index","had":true}]}]}`))
	f.Add([]byte(`{"changes":[{"parts":[{"path":"../out"}]}]}`))
	f.Add([]byte(`{"changes":[{"parts":[{"path":"changes/1"}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := pair(dir).Store(b); err != nil {
			t.Skip()
		}
		s, err := Read(dir)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		for _, c := range s.Changes {
			for _, p := range c.Parts {
				if !filepath.IsLocal(p.Path) {
					t.Fatalf("it names %q", p.Path)
				}
			}
		}
	})
}
