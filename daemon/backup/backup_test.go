package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"

	"rxedge/daemon/backup"
	"rxedge/daemon/store"
)

var schema = map[string]int{"index": 4, "feedback": 1}

func header() backup.Header {
	return backup.Header{Format: backup.Format, ID: "0123456789abcdef", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Rxedge: "1.2.3", Schema: maps.Clone(schema), Generation: "gen-000001"}
}

// made is a backup with one of each: files, a store, a configuration, secrets.
func made(t testing.TB, passphrase string) []byte {
	t.Helper()
	var out bytes.Buffer
	h := header()
	h.Holds.Secrets, h.Holds.Sealed = passphrase != "", passphrase != ""
	w, err := backup.NewWriter(t.Context(), &out, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	put := func(rel, text string) {
		t.Helper()
		if err := w.File(rel, int64(len(text)), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Bytes(backup.ConfigName, []byte("sample = false\n")); err != nil {
		t.Fatal(err)
	}
	if passphrase != "" {
		if err := w.Seal(map[string][]byte{"sync/site.json": []byte("a key"), "clients/ehr.sha256": []byte("a hash")}, true, passphrase); err != nil {
			t.Fatal(err)
		}
	}
	put("rollout/journal", "a journal\n")
	put("index/CURRENT", "gen-000001\n")
	put("models/blobs/large.gguf", noise(120_000))
	part := store.PartWriter{Size: 1 << 10, Part: func() func([]byte) error {
		n := 0
		return func(b []byte) error { n++; return w.Part("feedback", n-1, b) }
	}()}
	for i := range 100 {
		if err := part.Add(fmt.Appendf(nil, "r/%03d", i), []byte(noise(40)), byte(i), uint64(time.Now().Add(time.Hour).Unix())); err != nil {
			t.Fatal(err)
		}
	}
	if err := part.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func noise(n int) string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func target(dir string) backup.Target {
	return backup.Target{Dir: dir, Schema: schema, OpenStore: func(dir, rel string) (*badger.DB, error) {
		db, err := store.Open(filepath.Join(dir, rel), false, nil)
		if err != nil {
			return nil, err
		}
		return db.DB, nil
	}}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	const passphrase = "correct horse battery"
	b := made(t, passphrase)
	if raw := unzipped(t, b); bytes.Contains(raw, []byte("a key")) || bytes.Contains(raw, []byte("r/001")) {
		t.Error("a secret, or a sealed record, lies in the clear")
	}
	if !bytes.Contains(unzipped(t, made(t, "")), []byte("r/001")) {
		t.Error("a record that is not sealed is not found: the test looks in the wrong place")
	}
	dir := t.TempDir()
	to := target(dir)
	to.Passphrase = passphrase
	res, err := backup.Restore(t.Context(), bytes.NewReader(b), to)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Secrets || !res.Config || res.Aside || res.Backup != "0123456789abcdef" {
		t.Errorf("%+v", res)
	}
	for rel, want := range map[string]string{"rollout/journal": "a journal\n", "index/CURRENT": "gen-000001\n", "models/blobs/large.gguf": noise(120_000),
		"sync/site.json": "a key", "clients/ehr.sha256": "a hash", backup.ConfigBeside: "sample = false\n"} {
		got, err := os.ReadFile(filepath.Join(dir, rel))
		if err != nil || string(got) != want {
			t.Errorf("%s: %.20q, %v", rel, got, err)
		}
		if fi, err := os.Stat(filepath.Join(dir, rel)); err == nil && fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", rel, fi.Mode())
		}
	}
	db, err := store.Open(filepath.Join(dir, "feedback"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := 0
	if err := db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if it.Item().UserMeta() != byte(n) || it.Item().ExpiresAt() == 0 {
				t.Errorf("record %d: meta %d, expires %d", n, it.Item().UserMeta(), it.Item().ExpiresAt())
			}
			n++
		}
		return nil
	}); err != nil || n != 100 {
		t.Errorf("%d records, %v", n, err)
	}
	if got := backup.ReadInfo(dir); got == nil || got.Generation != "gen-000001" {
		t.Errorf("what it was restored from is not known: %+v", got)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	b := made(t, "correct horse battery")
	to := target(t.TempDir())
	to.Passphrase = "another horse battery"
	if _, err := backup.Restore(t.Context(), bytes.NewReader(b), to); !errors.Is(err, backup.ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if left, _ := os.ReadDir(to.Dir); len(left) > 0 {
		t.Errorf("something is left: %v", left)
	}
	to.Passphrase = ""
	res, err := backup.Restore(t.Context(), bytes.NewReader(b), to)
	if err != nil || res.Secrets {
		t.Fatalf("%+v, %v", res, err)
	}
	for _, rel := range []string{"sync", "feedback"} {
		if _, err := os.Stat(filepath.Join(to.Dir, rel)); err == nil {
			t.Errorf("%s came without a passphrase", rel)
		}
	}
	if err := backup.CheckPassphrase("short"); err == nil {
		t.Error("a short passphrase is taken")
	}
}

// Whichever byte is not what was written, the file is refused, or nothing of what is in it
// is another; and what was there stays.
func TestDamage(t *testing.T) {
	t.Parallel()
	b := made(t, "")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, whole, err := backup.Read(t.Context(), bytes.NewReader(b), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spared := 0
	refused := func(what string, b []byte) string {
		t.Helper()
		_, entries, err := backup.Read(t.Context(), bytes.NewReader(b), nil, nil)
		var damaged *backup.DamagedError
		if err == nil && slices.Equal(entries, whole) {
			spared++
		} else if !errors.As(err, &damaged) && !errors.Is(err, backup.ErrNotBackup) {
			t.Errorf("%s: %v", what, err)
		}
		return fmt.Sprint(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	named := map[string]bool{}
	for range 60 {
		at := r.IntN(len(b))
		d := bytes.Clone(b)
		d[at] ^= byte(1 + r.IntN(255))
		said := refused(fmt.Sprintf("byte %d", at), d)
		for _, name := range []string{"models/blobs/large.gguf"} {
			if strings.Contains(said, name) {
				named[name] = true
			}
		}
	}
	if !named["models/blobs/large.gguf"] {
		t.Error("the entry is never named")
	}
	for range 20 {
		n := r.IntN(len(b))
		refused(fmt.Sprintf("cut at %d", n), b[:n])
	}
	if spared > 8 {
		t.Errorf("%d of 80 were not noticed", spared)
	}
	refused("something that follows", append(bytes.Clone(b), b...))
	refused("nothing", nil)
	to := target(dir)
	to.Replace = true
	d := bytes.Clone(b)
	d[len(d)/2] ^= 1
	if _, err := backup.Restore(t.Context(), bytes.NewReader(d), to); err == nil {
		t.Fatal("a damaged backup is restored")
	}
	if got := listing(t, dir); !slices.Equal(got, []string{"old"}) {
		t.Errorf("there is now %v", got)
	}
}

// forged is an archive as somebody may have made it, whole in itself.
func forged(t testing.TB, h backup.Header, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	var list []backup.Entry
	add := func(th tar.Header, text []byte) {
		th.Size, th.Mode = int64(len(text)), 0o600
		if th.Typeflag == 0 {
			th.Typeflag = tar.TypeReg
		}
		if th.Typeflag != tar.TypeReg {
			th.Size, text = 0, nil
		}
		if err := w.WriteHeader(&th); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		list = append(list, backup.Entry{Name: th.Name, Size: th.Size, SHA256: hex.EncodeToString(sum[:])})
	}
	text, _ := json.Marshal(h)
	add(tar.Header{Name: "backup.json"}, text)
	for _, e := range entries {
		add(e, []byte("forged"))
	}
	body, _ := json.Marshal(map[string]any{"entries": list})
	sum := sha256.Sum256(body)
	text, _ = json.Marshal(map[string]any{"manifest": json.RawMessage(body), "sha256": hex.EncodeToString(sum[:])})
	add(tar.Header{Name: "manifest.json"}, text)
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// An archive that was made to write elsewhere writes nothing at all.
func TestForged(t *testing.T) {
	t.Parallel()
	for _, e := range []tar.Header{
		{Name: "files/../escaped"}, {Name: "files/index/../../escaped"}, {Name: "/etc/escaped"}, {Name: "files//etc/escaped"}, {Name: "escaped"}, {Name: "files/index/./x"},
		{Name: "files/lock"}, {Name: "files/rxedged.sock"}, {Name: "files/before-restore/x"}, {Name: "files/.restore/commit"}, {Name: "files/index/.hidden"}, {Name: `files/index/..\x`}, {Name: "files/restored.json"},
		{Name: "files/index/link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, {Name: "files/index/hard", Typeflag: tar.TypeLink, Linkname: "files/index/CURRENT"},
		{Name: "files/index/dir", Typeflag: tar.TypeDir}, {Name: "files/index/fifo", Typeflag: tar.TypeFifo}, {Name: "files/index/dev", Typeflag: tar.TypeChar},
		{Name: "stores/index/00000000"}, {Name: "stores/../x/00000000"}, {Name: "stores/feedback/x"}, {Name: "stores/index/gen-000001/00000000"}, {Name: "backup.json"},
	} {
		dir := t.TempDir()
		_, err := backup.Restore(t.Context(), bytes.NewReader(forged(t, header(), e)), target(dir))
		var damaged *backup.DamagedError
		if !errors.As(err, &damaged) {
			t.Errorf("%q: %v", e.Name, err)
		}
		if got := listing(t, dir); len(got) > 0 {
			t.Errorf("%q left %v", e.Name, got)
		}
	}
	// A file where a folder is to be, and the other way round.
	for _, es := range [][]tar.Header{{{Name: "files/index/a"}, {Name: "files/index/a/b"}}, {{Name: "files/index/a/b"}, {Name: "files/index/a"}}} {
		dir := t.TempDir()
		if _, err := backup.Restore(t.Context(), bytes.NewReader(forged(t, header(), es...)), target(dir)); err == nil {
			t.Errorf("%v is restored", es)
		} else if got := listing(t, dir); len(got) > 0 {
			t.Errorf("%v left %v", es, got)
		}
	}
	if _, err := backup.Restore(t.Context(), bytes.NewReader(forged(t, header(), tar.Header{Name: "files/index/fine"})), target(t.TempDir())); err != nil {
		t.Errorf("what is not forged: %v", err)
	}
}

func TestNewer(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*backup.Header){
		func(h *backup.Header) { h.Format = backup.Format + 1 },
		func(h *backup.Header) { h.Schema["index"]++ },
		func(h *backup.Header) { h.Schema["something"] = 1 },
	} {
		h := header()
		change(&h)
		dir := t.TempDir()
		_, err := backup.Restore(t.Context(), bytes.NewReader(forged(t, h)), target(dir))
		var newer *backup.NewerError
		if !errors.As(err, &newer) || !strings.Contains(err.Error(), "1.2.3") {
			t.Errorf("%+v: %v", h, err)
		}
		if got := listing(t, dir); len(got) > 0 {
			t.Errorf("it left %v", got)
		}
	}
}

func TestNotEmpty(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := made(t, "")
	to := target(dir)
	var notEmpty *backup.NotEmptyError
	if _, err := backup.Restore(t.Context(), bytes.NewReader(b), to); !errors.As(err, &notEmpty) {
		t.Fatal(err)
	}
	to.Replace = true
	if _, err := backup.Restore(t.Context(), bytes.NewReader(b), to); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(t.Context(), bytes.NewReader(b), to); !errors.As(err, &notEmpty) || !notEmpty.Kept {
		t.Errorf("a second one, while the first is not confirmed: %v", err)
	}
	if err := backup.Undo(dir); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, dir); !slices.Equal(got, []string{"old"}) {
		t.Errorf("undone, there is %v", got)
	}
	if err := backup.Undo(dir); !errors.Is(err, backup.ErrNothingAside) {
		t.Errorf("undone twice: %v", err)
	}
	if _, err := backup.Restore(t.Context(), bytes.NewReader(b), to); err != nil {
		t.Fatal(err)
	}
	if err := backup.Confirm(dir); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, dir); slices.Contains(got, "old") || backup.Kept(dir) || !slices.Contains(got, "index/CURRENT") {
		t.Errorf("confirmed, there is %v", got)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	b := made(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	to := target(t.TempDir())
	to.Report = func(done, _ int64) {
		if done > 10_000 {
			cancel()
		}
	}
	if _, err := backup.Restore(ctx, bytes.NewReader(b), to); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := listing(t, to.Dir); len(got) > 0 {
		t.Errorf("it left %v", got)
	}
}

// listing of the files below dir.
func listing(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzRead: whatever comes, it is refused or read; nothing is written outside.
func FuzzRead(f *testing.F) {
	b := made(f, "")
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add(forged(f, header(), tar.Header{Name: "files/../escaped"}))
	f.Add(forged(f, header(), tar.Header{Name: "stores/feedback/00000000"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		_, err := backup.Restore(t.Context(), bytes.NewReader(b), target(filepath.Join(dir, "in")))
		es, _ := os.ReadDir(dir)
		if len(es) > 1 {
			t.Fatalf("it wrote beside: %v", es)
		}
		if err != nil {
			if got := listing(t, filepath.Join(dir, "in")); len(got) > 0 {
				t.Fatalf("refused (%v), and left %v", err, got)
			}
		}
	})
}

// FuzzArchive is FuzzRead of what is in the compression, where most of the reader is.
func FuzzArchive(f *testing.F) {
	for _, b := range [][]byte{forged(f, header(), tar.Header{Name: "files/index/fine"}), forged(f, header(), tar.Header{Name: "files/../x"})} {
		r, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			f.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		_, entries, err := backup.Read(t.Context(), bytes.NewReader(e.EncodeAll(raw, nil)), nil, nil)
		for _, e := range entries {
			if strings.Contains(e.Name, "..") && err == nil {
				t.Fatalf("%q is let through", e.Name)
			}
		}
	})
}
