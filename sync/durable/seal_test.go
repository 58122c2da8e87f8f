package durable_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"rxedge/sync/durable"
)

func TestSeal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, secret := filepath.Join(dir, "secret"), []byte("a key of a site")
	s, err := durable.NewSeal(bytes.Repeat([]byte{7}, durable.SealKey))
	if err != nil {
		t.Fatal(err)
	}
	other, err := durable.NewSeal(bytes.Repeat([]byte{8}, durable.SealKey))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := durable.NewSeal([]byte("short")); err == nil {
		t.Error("a short key is taken")
	}
	if err := s.Write(path, secret); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || bytes.Contains(raw, secret) {
		t.Fatalf("%q %v", raw, err)
	}
	if got, err := s.Read(path); err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("%q %v", got, err)
	}
	var none *durable.Seal
	if _, err := none.Read(path); !errors.Is(err, durable.ErrSealed) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := other.Read(path); !errors.Is(err, durable.ErrSeal) {
		t.Errorf("with another key: %v", err)
	}
	// Under another's name, in the clear, and with each byte changed.
	for name, b := range map[string][]byte{"elsewhere": raw, "plain": secret} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(filepath.Join(dir, name)); !errors.Is(err, durable.ErrSeal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range raw {
		b := bytes.Clone(raw)
		b[i] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(path); !errors.Is(err, durable.ErrSeal) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if err := none.Write(path, secret); err != nil {
		t.Fatal(err)
	}
	if got, err := none.Read(path); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("in the clear: %q %v", got, err)
	}
}
