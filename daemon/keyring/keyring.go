// Package keyring holds the keys that a data folder is encrypted with. They are made of
// one data key, which lies in the folder, wrapped with a key that does not: it comes from
// a credential of the service or from a file elsewhere. See DESIGN.md.
package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rxedge/daemon/clients"
	"rxedge/sync/durable"
)

// Files that hold the wrapped data key, by their paths in the data folder.
var Files = []string{fileName + ".a", fileName + ".b"}

const (
	fileName = "encryption"
	leastKey = 32 // characters
	mostKey  = 4096
	// Credential that is looked for where none is named.
	Credential = "data_key"
	// Variable of the environment that names a file, where the settings name none.
	Variable  = "RXEDGE_KEY_FILE"
	keyPrefix = "rxk_" // so that a key is known where it should not be
)

var (
	// ErrNoKey: the folder is encrypted, and no key was given.
	ErrNoKey = errors.New("the data folder is encrypted, and no key was given")
	// ErrKeyFile: the key was named, and can't be read.
	ErrKeyFile = errors.New("the key of the data folder can't be read")
	// ErrWrongKey: the key is not the folder's.
	ErrWrongKey = errors.New("the data folder is encrypted with another key than the one that was given")
	// ErrDamaged: both copies of the wrapped key are.
	ErrDamaged = errors.New("the data folder is encrypted, and both copies of its wrapped key (encryption.a, encryption.b) are damaged; without one nothing of it can be read: restore a backup")
)

// Keys of an encrypted folder. Nil: the folder is not encrypted.
type Keys struct {
	data    []byte
	file    wrapped
	created time.Time
}

// wrapped is what lies in the folder.
type wrapped struct {
	Form    int       `json:"form"` // 1
	Created time.Time `json:"created"`
	Rotated time.Time `json:"rotated,omitzero"`
	Salt    []byte    `json:"salt"`
	Key     []byte    `json:"key"` // AES-256-GCM, its random nonce before it
	ID      string    `json:"id"`  // of the data key
}

// Make keys of a new data key, which Write keeps.
func Make(now time.Time) *Keys {
	k := &Keys{data: make([]byte, 32), created: now.UTC()}
	_, _ = rand.Read(k.data) // never fails
	return k
}

// Write the data key into dir, wrapped with key; on disk when it returns. What was
// wrapped there before is gone then: a lost key opens it no more.
func (k *Keys) Write(dir string, key []byte, now time.Time) error {
	w := wrapped{Form: 1, Created: k.created, Salt: make([]byte, 32), ID: hex.EncodeToString(k.derive("id", 8))}
	if !now.Equal(k.created) {
		w.Rotated = now.UTC()
	}
	_, _ = rand.Read(w.Salt)
	aead, err := wrapper(key, w.Salt)
	if err != nil {
		return err
	}
	w.Key = aead.Seal(nil, nil, k.data, []byte(w.ID))
	b, err := json.Marshal(w)
	if err != nil {
		return err
	}
	// Both copies: the older would still open with the key before.
	p := durable.Pair{Path: filepath.Join(dir, fileName)}
	for range 2 {
		if err := p.Store(b); err != nil {
			return fmt.Errorf("keeping the wrapped data key: %w", err)
		}
	}
	k.file = w
	return nil
}

func wrapper(key, salt []byte) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, key, salt, "rxedge data key", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Is says whether a data folder is encrypted.
func Is(dir string) bool {
	for _, f := range Files {
		if _, err := os.Lstat(filepath.Join(dir, f)); err == nil {
			return true
		}
	}
	return false
}

// Load the keys of a data folder; nil where it is not encrypted. The error is ErrNoKey
// where key is nil, ErrWrongKey where it is another's.
func Load(dir string, key []byte) (*Keys, error) {
	if !Is(dir) {
		return nil, nil
	}
	b, _, err := (&durable.Pair{Path: filepath.Join(dir, fileName)}).Load()
	if errors.Is(err, durable.ErrNone) {
		return nil, ErrDamaged
	}
	if err != nil {
		return nil, err
	}
	var w wrapped
	if json.Unmarshal(b, &w) != nil || w.Form != 1 {
		return nil, ErrDamaged
	}
	if key == nil {
		return nil, ErrNoKey
	}
	aead, err := wrapper(key, w.Salt)
	if err != nil {
		return nil, err
	}
	data, err := aead.Open(nil, nil, w.Key, []byte(w.ID))
	if err != nil || len(data) != 32 {
		return nil, ErrWrongKey
	}
	return &Keys{data: data, file: w, created: w.Created}, nil
}

func (k *Keys) derive(what string, n int) []byte {
	b, err := hkdf.Expand(sha256.New, k.data, "rxedge "+what, n)
	if err != nil {
		panic(err) // the length is right
	}
	return b
}

// Store is the key of a small store; nil where the folder is not encrypted.
func (k *Keys) Store(name string) []byte {
	if k == nil {
		return nil
	}
	return k.derive("store "+name, 32)
}

// Spool is the key of the spool; "" where the folder is not encrypted.
func (k *Keys) Spool() string {
	if k == nil {
		return ""
	}
	return hex.EncodeToString(k.derive("spool", 32))
}

// Files is the seal of small files; nil where the folder is not encrypted.
func (k *Keys) Files() *durable.Seal {
	if k == nil {
		return nil
	}
	s, err := durable.NewSeal(k.derive("files", durable.SealKey))
	if err != nil {
		panic(err) // the length is right
	}
	return s
}

// Report on the keys, without them.
type Report struct {
	ID      string    `json:"id"` // of the data key
	Created time.Time `json:"created"`
	Rotated time.Time `json:"rotated,omitzero"`
}

// Report of what lies in the folder; nil where it is not encrypted.
func (k *Keys) Report() *Report {
	if k == nil {
		return nil
	}
	return &Report{k.file.ID, k.file.Created, k.file.Rotated}
}

// NewKey is 256 random bits as text, for a file or a credential.
func NewKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return keyPrefix + base64.RawURLEncoding.EncodeToString(b[:]) + "\n"
}

// ReadKey of a file that its owner alone may read, or of a credential of the service
// where the name has no slash. An empty name is the credential data_key, where the
// service manager gave one; nil where it did not.
func ReadKey(name string) ([]byte, error) {
	if name == "" {
		name = os.Getenv(Variable)
	}
	if name == "" {
		if dir := os.Getenv(clients.CredentialsDir); dir == "" {
			return nil, nil
		} else if _, err := os.Stat(filepath.Join(dir, Credential)); err != nil {
			return nil, nil
		}
		name = Credential
	}
	b, err := clients.Secret(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	return Parse(b, name)
}

// Parse the text of a key: white space around it is none of it.
func Parse(b []byte, name string) ([]byte, error) {
	b = bytes.TrimSpace(b)
	if len(b) < leastKey || len(b) > mostKey {
		return nil, fmt.Errorf("the key of the data folder: %s holds %d bytes, and a key has %d to %d; 'rxedge config encrypt new-key' makes one", strings.TrimSpace(name), len(b), leastKey, mostKey)
	}
	return b, nil
}
