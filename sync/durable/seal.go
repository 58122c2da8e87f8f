package durable

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// SealKey is the length of a Seal's key in bytes.
const SealKey = 32

const sealMagic = "rxseal1\n"

var (
	// ErrSealed: the file is encrypted, and there is no key.
	ErrSealed = errors.New("it is encrypted, and there is no key")
	// ErrSeal: the file is not one that this key has sealed under this name.
	ErrSeal = errors.New("it can't be decrypted: it is damaged, of another key, or lies under another's name")
)

// Seal encrypts small files, which are written whole. A nil Seal leaves them in the
// clear. A file is: 8 bytes "rxseal1\n", then AES-256-GCM with its random nonce before
// it, bound to the file's name. Safe for concurrent use.
type Seal struct{ aead cipher.AEAD }

// NewSeal with a key of SealKey bytes.
func NewSeal(key []byte) (*Seal, error) {
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != SealKey {
		return nil, fmt.Errorf("a seal's key has %d bytes, not %d", SealKey, len(key))
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Seal{aead}, nil
}

// Write is Write, sealed.
func (s *Seal) Write(path string, data []byte) error {
	if s != nil {
		data = s.aead.Seal([]byte(sealMagic), nil, data, []byte(filepath.Base(path)))
	}
	return Write(path, data)
}

// Read a file that was written with Write of the same Seal. One in the clear is refused
// where there is a seal: nobody may put another in its place.
func (s *Seal) Read(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	body, sealed := bytes.CutPrefix(b, []byte(sealMagic))
	switch {
	case s == nil && sealed:
		return nil, fmt.Errorf("%s: %w", path, ErrSealed)
	case s == nil:
		return b, nil
	case !sealed:
		return nil, fmt.Errorf("%s: %w", path, ErrSeal)
	}
	out, err := s.aead.Open(nil, nil, body, []byte(filepath.Base(path)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, ErrSeal)
	}
	return out, nil
}
