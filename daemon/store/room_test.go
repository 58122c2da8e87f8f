package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// small is a real file system of that size, in bytes.
func small(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skip("a file system of its own can't be mounted:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fillUp the disk to the last block but for left bytes.
func fillUp(t *testing.T, dir string, left int64) (file string) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-left); err != nil {
		t.Fatal(err)
	}
	return file
}

func set(db *DB, n int) error {
	v := make([]byte, 64<<10)
	_, _ = rand.Read(v)
	return db.Update(func(txn *badger.Txn) error { return txn.Set(fmt.Appendf(nil, "%06d", n), v) })
}

// A disk that is full, by others or by what is written here, is an error and no signal;
// what was acknowledged stays, and it goes on where there is room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := small(t, 112<<20)
	db, err := Open(filepath.Join(dir, "s"), true, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for n := range 100 {
		if err := set(db, n); err != nil {
			t.Fatal(err)
		}
	}
	filler := fillUp(t, dir, 0)
	var full *RoomError
	if err := set(db, 100); !errors.Is(err, ErrNoRoom) || !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &full) || full.Free > 1<<20 {
		t.Fatal(err)
	}
	if err := db.Collect(); !errors.Is(err, ErrNoRoom) {
		t.Fatal(err)
	}
	// The log has its room: a write that was let through just before goes well.
	if err := db.DB.Update(func(txn *badger.Txn) error { return txn.Set([]byte("last"), make([]byte, 4096)) }); err != nil {
		t.Fatal(err)
	}
	// Another is not opened, and what is there of it is not taken for damaged.
	var damaged *DamagedError
	if _, err := Open(filepath.Join(dir, "other"), true, nil); !errors.Is(err, ErrNoRoom) || errors.As(err, &damaged) {
		t.Fatal(err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	acknowledged := 100
	for ; ; acknowledged++ { // until it has filled the disk itself
		if err = set(db, acknowledged); err != nil {
			break
		}
		if acknowledged > 100_000 {
			t.Fatal("the disk does not become full")
		}
	}
	if !errors.Is(err, ErrNoRoom) || acknowledged < 200 {
		t.Fatal(acknowledged, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(filepath.Join(dir, "s"), true, nil); err != nil {
		t.Fatal(err)
	}
	if err := db.View(func(txn *badger.Txn) error {
		for n := range acknowledged {
			if _, err := txn.Get(fmt.Appendf(nil, "%06d", n)); err != nil {
				return fmt.Errorf("%d: %w", n, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A store that is written over and over stays as large as what it holds asks for.
func TestCollectStaysFlat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := Open(dir, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// What is in memory lies in a log of 16 MB, another while a table is made of one, and
	// 4 MB are held; in all 96 MB were written.
	const most = 48   // MB
	const rounds = 24 // of 4 MB each: half of it replaced, half deleted in the next
	value := make([]byte, 32<<10)
	_, _ = rand.Read(value)
	var after []int64
	for round := range rounds {
		wb := db.NewWriteBatch()
		for n := range 64 {
			for _, k := range []string{fmt.Sprintf("same/%06d", n), fmt.Sprintf("round/%d/%06d", round, n)} {
				if err := wb.Set([]byte(k), value); err != nil {
					t.Fatal(err)
				}
			}
			if err := wb.Delete(fmt.Appendf(nil, "round/%d/%06d", round-1, n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := wb.Flush(); err != nil {
			t.Fatal(err)
		}
		if round%4 != 3 {
			continue // a night
		}
		if err := db.Collect(); err != nil {
			t.Fatal(err)
		}
		// A table that is being made of what was in memory while it is collected, and its
		// log, are there for a moment longer.
		for end := time.Now().Add(5 * time.Second); onDisk(t, dir) > most && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		after = append(after, onDisk(t, dir))
	}
	t.Log("MB on disk after each night:", after)
	for _, n := range after {
		if n > most {
			t.Errorf("it grows: %v", after)
			break
		}
	}
}

func onDisk(t *testing.T, dir string) (sum int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, e.Name()), &st) == nil {
			sum += st.Blocks * 512
		}
	}
	return sum >> 20
}
