package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/sync/spool"
)

func open(t testing.TB, dir string, opt spool.Options) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// all that waits, oldest first, left there.
func all(t testing.TB, s *spool.Spool) (out []*spool.Message) {
	t.Helper()
	w, err := s.Waiting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for len(out) < int(w.Messages) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		ms, err := s.Fetch(ctx, 1000)
		cancel()
		if err != nil || len(ms) == 0 {
			t.Fatalf("after %d of %d: %d, %v", len(out), w.Messages, len(ms), err)
		}
		out = append(out, ms...)
	}
	return out
}

func TestPutFetchDone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Options{})
	ids := map[string]bool{}
	for i := range 5 {
		id, err := s.Put(t.Context(), spool.Normal, "health", fmt.Appendf(nil, "%d", i))
		if err != nil || ids[id] || len(id) != 22 {
			t.Fatal(id, err)
		}
		ids[id] = true
	}
	ms := all(t, s)
	for i, m := range ms[:3] {
		if string(m.Data) != fmt.Sprint(i) || !ids[m.ID] || m.Kind != "health" || m.Class != spool.Normal || m.At.IsZero() {
			t.Fatalf("%d: %+v", i, m)
		}
	}
	for _, m := range ms[:2] {
		if err := m.Done(); err != nil {
			t.Fatal(err)
		}
	}
	if err := ms[2].Again(); err != nil {
		t.Fatal(err)
	}
	w, err := s.Waiting(t.Context())
	for ; err == nil && w.Messages != 3; w, err = s.Waiting(t.Context()) {
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// What was handed out and not done is there at once after a start.
	s = open(t, dir, spool.Options{})
	if ms := all(t, s); len(ms) != 3 || string(ms[0].Data) != "2" {
		t.Fatalf("%d messages", len(ms))
	}
	for _, bad := range []struct{ class, kind string }{{"best", "x"}, {"low", ""}, {"low", "a.b"}, {"low", ">"}, {"low", "A"}} {
		if _, err := s.Put(t.Context(), spool.Class(bad.class), bad.kind, nil); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// The oldest of the lowest class go first, and each is counted.
func TestFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Options{MaxBytes: 64 << 10})
	put := func(c spool.Class, what string) error {
		_, err := s.Put(t.Context(), c, "k", append([]byte(what), make([]byte, 900)...))
		return err
	}
	n := 0
	fill := func(c spool.Class, k int) {
		for range k {
			if err := put(c, fmt.Sprintf("%s%03d|", c, n)); err != nil {
				t.Fatal(c, n, err)
			}
			n++
		}
	}
	fill(spool.High, 10)
	fill(spool.Low, 20)
	fill(spool.Normal, 20)
	fill(spool.Low, 40) // drops low ones
	count := func() map[spool.Class]int {
		c := map[spool.Class]int{}
		for _, m := range all(t, s) {
			c[m.Class]++
		}
		_ = s.Close()
		s = open(t, dir, spool.Options{MaxBytes: 64 << 10})
		return c
	}
	c := count()
	w, _ := s.Waiting(t.Context())
	if c[spool.High] != 10 || c[spool.Normal] != 20 || c[spool.Low]+int(w.Dropped[spool.Low]) != 60 || w.Dropped[spool.Low] == 0 || w.Bytes > 64<<10 {
		t.Fatalf("%v, %+v", c, w)
	}
	fill(spool.High, 50) // drops all low, then normal
	c = count()
	w, _ = s.Waiting(t.Context())
	if c[spool.High] != 60 || c[spool.Low] != 0 || c[spool.Normal]+int(w.Dropped[spool.Normal]) != 20 {
		t.Fatalf("%v, %+v", c, w)
	}
	for w.Bytes+1100 < 64<<10 {
		fill(spool.High, 1)
		w, _ = s.Waiting(t.Context())
	}
	if err := put(spool.Low, "x"); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("a low message in a spool full of high ones: %v", err)
	}
	w, _ = s.Waiting(t.Context())
	_ = s.Close()
	s = open(t, dir, spool.Options{MaxBytes: 64 << 10})
	again, err := s.Waiting(t.Context())
	if err != nil || again.Dropped[spool.Low] != w.Dropped[spool.Low] || again.Messages != w.Messages {
		t.Fatalf("after a start %+v, before %+v, %v", again, w, err)
	}
}

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("RXEDGE_TEST_SPOOL"); dir != "" {
		s, err := spool.Open(dir, spool.Options{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for i := 0; ; i++ {
			id, err := s.Put(context.Background(), spool.Normal, "k", []byte("x"))
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println(id) // acknowledged
		}
	}
	os.Exit(m.Run())
}

// Killed at any moment, what was acknowledged is there.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var acked []string
	for round := range 5 {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "RXEDGE_TEST_SPOOL="+dir)
		out := &lines{want: 20 + 37*round, reached: make(chan struct{})}
		c.Stdout, c.Stderr = out, os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		<-out.reached
		_ = c.Process.Kill()
		_ = c.Wait()
		got := strings.Split(out.b.String(), "\n")
		acked = append(acked, got[:len(got)-1]...)
	}
	s := open(t, dir, spool.Options{})
	have := map[string]bool{}
	for _, m := range all(t, s) {
		have[m.ID] = true
	}
	for _, id := range acked {
		if !have[id] {
			t.Fatalf("%s was acknowledged and is lost (%d acknowledged, %d there)", id, len(acked), len(have))
		}
	}
}

type lines struct {
	b       strings.Builder
	n, want int
	reached chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.b.Write(p)
	was := l.n
	l.n += strings.Count(string(p), "\n")
	if was < l.want && l.n >= l.want {
		close(l.reached)
	}
	return len(p), nil
}

// A file of the store that is cut anywhere in what was written last costs at
// most that message; the spool opens and takes more.
func TestTorn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Options{})
	for range 9 {
		if _, err := s.Put(t.Context(), spool.Normal, "k", []byte("before")); err != nil {
			t.Fatal(err)
		}
	}
	size := map[string]int64{}
	walk(t, dir, func(p string, n int64) { size[p] = n })
	if _, err := s.Put(t.Context(), spool.Normal, "k", []byte("last")); err != nil {
		t.Fatal(err)
	}
	// The files as they lie now, as after a power cut.
	crash := t.TempDir()
	copyTree(t, dir, crash)
	_ = s.Close()
	type cut struct {
		file string
		at   int64
	}
	var cuts []cut
	walk(t, crash, func(p string, n int64) {
		rel, _ := filepath.Rel(crash, p)
		if strings.HasSuffix(p, ".blk") {
			for at := size[filepath.Join(dir, rel)]; at < n; at++ {
				cuts = append(cuts, cut{rel, at})
			}
		}
	})
	if len(cuts) < 40 {
		t.Fatalf("only %d places to cut", len(cuts))
	}
	step := 7 // a start takes a while
	if os.Getenv("RXEDGE_SYNC_EVERY_BYTE") != "" {
		step = 1
	}
	t.Logf("%d places", (len(cuts)+step-1)/step)
	for i := 0; i < len(cuts); i += step {
		c := cuts[i]
		d := t.TempDir()
		copyTree(t, crash, d)
		if err := os.Truncate(filepath.Join(d, c.file), c.at); err != nil {
			t.Fatal(err)
		}
		s, err := spool.Open(d, spool.Options{})
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		if w, err := s.Waiting(t.Context()); err != nil || w.Messages != 9 {
			t.Fatalf("%v: %+v, %v", c, w, err)
		}
		if _, err := s.Put(t.Context(), spool.High, "k", []byte("after")); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		if got := all(t, s); len(got) != 10 || string(got[9].Data) != "after" {
			t.Fatalf("%v: %d messages", c, len(got))
		}
		_ = s.Close()
	}
}

// Whatever file of the store is cut or emptied, the spool opens and takes
// messages; what it could not read is set aside and not deleted.
func TestDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Options{})
	for range 5 {
		if _, err := s.Put(t.Context(), spool.Normal, "k", []byte("before")); err != nil {
			t.Fatal(err)
		}
	}
	crash := t.TempDir()
	copyTree(t, dir, crash)
	_ = s.Close()
	tried := 0
	defer func() { t.Logf("%d places", tried) }()
	walk(t, crash, func(p string, n int64) {
		rel, _ := filepath.Rel(crash, p)
		step := n/3 + 1
		if os.Getenv("RXEDGE_SYNC_EVERY_BYTE") != "" {
			step = 1
		}
		for at := int64(0); at < n; at += step {
			tried++
			d := t.TempDir()
			copyTree(t, crash, d)
			if err := os.Truncate(filepath.Join(d, rel), at); err != nil {
				t.Fatal(err)
			}
			s, err := spool.Open(d, spool.Options{})
			if err != nil {
				t.Fatalf("%s cut at %d: %v", rel, at, err)
			}
			w, err := s.Waiting(t.Context())
			if err != nil || w.Messages != 5 && len(w.Set) == 0 && !strings.HasSuffix(rel, ".blk") {
				t.Errorf("%s cut at %d of %d: %+v, %v", rel, at, n, w, err)
			}
			if _, err := s.Put(t.Context(), spool.High, "k", []byte("after")); err != nil {
				t.Fatalf("%s cut at %d: %v", rel, at, err)
			}
			_ = s.Close()
		}
	})
}

func walk(t testing.TB, dir string, f func(path string, size int64)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			f(p, fi.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}

// A disk that was full for a while: what was acknowledged is there, and once
// there is room the spool takes messages and hands them out again, by itself.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=700"); err != nil {
		t.Skipf("no small disk can be mounted: %v", err)
	}
	defer func() { _ = unix.Unmount(dir, 0) }()
	s := open(t, dir, spool.Options{})
	defer s.Close()
	acked := map[string]bool{}
	put := func() bool {
		id, err := s.Put(t.Context(), spool.Normal, "k", make([]byte, 2000))
		if err == nil {
			acked[id] = true
		}
		return err == nil
	}
	for range 20 {
		if !put() {
			t.Fatal("a message was not taken")
		}
	}
	filler, err := os.Create(filepath.Join(dir, "full"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = filler.Write(block)
	}
	_ = filler.Close()
	for n := 0; put(); n++ { // what room the store had kept
		if n > 5000 {
			t.Fatal("a full disk takes all")
		}
	}
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	// Nobody asks for anything, and it is open again.
	began := time.Now()
	for end := began.Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if w, err := s.Waiting(t.Context()); err == nil && w.Messages >= uint64(len(acked)) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is not open again although there is room")
		}
	}
	for end := time.Now().Add(30 * time.Second); !put(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it takes no message although there is room")
		}
	}
	t.Logf("it took messages again %v after there was room", time.Since(began).Round(time.Millisecond))
	have := map[string]bool{}
	for _, m := range all(t, s) {
		have[m.ID] = true
	}
	for id := range acked {
		if !have[id] {
			t.Fatalf("of %d acknowledged messages one is lost; %d are there", len(acked), len(have))
		}
	}
}

// Whoever waits for a message when the store is opened again has the next one at once,
// and not when the wait for the store before has run out.
func TestFetchOverReopening(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Options{})
	defer s.Close()
	got := make(chan *spool.Message, 1)
	go func() {
		for t.Context().Err() == nil {
			if ms, _ := s.Fetch(t.Context(), 1); len(ms) > 0 {
				got <- ms[0]
				return
			}
		}
	}()
	for end := time.Now().Add(10 * time.Second); !s.Asked(t.Context()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody waits for a message")
		}
	}
	if !s.Reopen() {
		t.Fatal("it could not be opened again")
	}
	began := time.Now()
	if _, err := s.Put(t.Context(), spool.High, "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-got:
		if string(m.Data) != "x" {
			t.Errorf("%q", m.Data)
		}
		t.Logf("after %v", time.Since(began))
	case <-time.After(4 * time.Second):
		t.Error("it still waits for a store that is gone")
	}
}
