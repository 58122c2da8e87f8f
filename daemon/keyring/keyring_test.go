package keyring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/clients"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestKeys(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), []byte(strings.Repeat("k", 40))
	if k, err := Load(dir, key); k != nil || err != nil || k.Store("a") != nil || k.Spool() != "" || k.Files() != nil || k.Report() != nil {
		t.Fatal("a folder that is not encrypted:", k, err)
	}
	k := Make(at)
	if err := k.Write(dir, key, at); err != nil {
		t.Fatal(err)
	}
	for _, f := range Files {
		if b, err := os.ReadFile(filepath.Join(dir, f)); err != nil || bytes.Contains(b, k.data) || bytes.Contains(b, key) {
			t.Errorf("%s: %v, or a key in the clear", f, err)
		}
	}
	again, err := Load(dir, key)
	if err != nil || !bytes.Equal(again.Store("a"), k.Store("a")) || again.Spool() != k.Spool() {
		t.Fatal(err)
	}
	if bytes.Equal(k.Store("a"), k.Store("b")) || len(k.Store("a")) != 32 {
		t.Error("two stores have one key")
	}
	if _, err := Load(dir, nil); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
	other := []byte(strings.Repeat("o", 40))
	if _, err := Load(dir, other); !errors.Is(err, ErrWrongKey) {
		t.Error(err)
	}
	// Rotated, neither copy opens with the key before; one damaged copy does no harm.
	if err := again.Write(dir, other, at.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for i, f := range Files {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		rotated, err := Load(dir, other)
		if i == 0 && (err != nil || !bytes.Equal(rotated.Store("a"), k.Store("a")) || rotated.Report().Rotated.IsZero()) {
			t.Error(err)
		}
		if _, old := Load(dir, key); i == 0 && !errors.Is(old, ErrWrongKey) {
			t.Error(old)
		}
		if i == 1 && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	}
}

// A key is read of a file that its owner alone may read, or of a credential.
func TestReadKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Credential)
	text := NewKey()
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o640: false, 0o604: false} {
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		k, err := ReadKey(path)
		if (err == nil) != ok || ok && string(k) != strings.TrimSpace(text) || !ok && !errors.Is(err, ErrKeyFile) {
			t.Errorf("mode %o: %q %v", mode, k, err)
		}
	}
	if k, err := ReadKey(""); k != nil || err != nil {
		t.Error("no key was given:", k, err)
	}
	// What systemd puts there only the service can read, whatever its mode says.
	t.Setenv(clients.CredentialsDir, dir)
	for _, name := range []string{"", Credential} {
		if k, err := ReadKey(name); err != nil || string(k) != strings.TrimSpace(text) {
			t.Errorf("credential %q: %v", name, err)
		}
	}
	if _, err := ReadKey("nothing"); !errors.Is(err, ErrKeyFile) {
		t.Error(err)
	}
	for _, short := range []string{"", "short", strings.Repeat(" ", 100), strings.Repeat("x", mostKey+1)} {
		if _, err := Parse([]byte(short), "it"); err == nil {
			t.Errorf("a key of %d bytes is taken", len(short))
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("rxpair1\n"))
	f.Add([]byte(`{"form":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, Files[0]), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := Load(dir, []byte(strings.Repeat("k", 40))); err == nil || k != nil {
			t.Fatal("it is taken for a key")
		}
	})
}
