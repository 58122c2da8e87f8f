// Package clients knows the programs that may ask this box, by their tokens. A
// token is shown once, when it is made; on disk lies its hash, in a file of
// mode 0600. A configuration may name files with tokens of its own instead.
package clients

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Folder of the hashes in the data folder.
const Folder = "clients"

const (
	suffix = ".sha256"
	prefix = "rxe_" // so that a token is known where it should not be
	// LeastToken is how long a token must be that a configuration brings.
	LeastToken = 16
	rereadIn   = time.Second
)

// ErrName: the name of a client has not the form.
var ErrName = errors.New("a client's name has 1 to 40 lower-case letters, digits and hyphens, and begins with a letter")

// ErrExists: a client of that name has a token.
var ErrExists = errors.New("there is a client of that name; remove it first, or choose another name")

// ErrNotFound: there is no such client.
var ErrNotFound = errors.New("there is no client of that name")

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// File names a client and the file that its token is in.
type File struct{ Name, TokenFile string }

// Registry tells clients by their tokens. Safe for concurrent use. Tokens that
// are added or removed while it is in use count within a second.
type Registry struct {
	dir   string
	fixed map[string][sha256.Size]byte
	now   func() time.Time

	mu     sync.Mutex
	looked time.Time
	added  map[string][sha256.Size]byte
}

// Open reads the tokens under the data folder and those of the files. A file
// that others may read is refused.
func Open(data string, files []File, now func() time.Time) (*Registry, error) {
	if now == nil {
		now = time.Now
	}
	r := &Registry{dir: filepath.Join(data, Folder), fixed: map[string][sha256.Size]byte{}, now: now}
	for _, f := range files {
		if !validName.MatchString(f.Name) {
			return nil, fmt.Errorf("api.client %q: %w", f.Name, ErrName)
		}
		if _, ok := r.fixed[f.Name]; ok {
			return nil, fmt.Errorf("api.client %q: it is there twice", f.Name)
		}
		b, err := Secret(f.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("api.client %q: %w", f.Name, err)
		}
		token := strings.TrimSpace(string(b))
		if len(token) < LeastToken {
			return nil, fmt.Errorf("api.client %q: the token in %s has %d characters, and %d are the least", f.Name, f.TokenFile, len(token), LeastToken)
		}
		r.fixed[f.Name] = sha256.Sum256([]byte(token))
	}
	if _, err := read(r.dir); err != nil {
		return nil, err
	}
	return r, nil
}

// CredentialsDir is the environment variable that names the service's credentials.
const CredentialsDir = "CREDENTIALS_DIRECTORY"

// Secret reads a file that its owner alone may read, or a credential where the name has no
// slash. What systemd puts there only the service can read, whatever its mode says.
func Secret(name string) ([]byte, error) {
	if strings.Contains(name, "/") {
		return private(name)
	}
	dir := os.Getenv(CredentialsDir)
	if dir == "" {
		return nil, fmt.Errorf("%q names a credential, and the service manager gave none; put it into /etc/rxedge/credentials, or name a file by its path", name)
	}
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("%q is no name of a credential", name)
	}
	return os.ReadFile(filepath.Join(dir, name))
}

// private reads a file that its owner alone may read.
func private(name string) ([]byte, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o); 'chmod 600 %s' mends it", name, fi.Mode().Perm(), name)
	}
	return os.ReadFile(name)
}

func read(dir string) (map[string][sha256.Size]byte, error) {
	out := map[string][sha256.Size]byte{}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || !validName.MatchString(name) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		b, err := private(path)
		if err != nil {
			return nil, err
		}
		sum, err := hex.DecodeString(strings.TrimSpace(string(b)))
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%s holds no SHA-256; remove the client and add it again", path)
		}
		out[name] = [sha256.Size]byte(sum)
	}
	return out, nil
}

// Client whose token it is. All are compared, in constant time.
func (r *Registry) Client(token string) (name string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); r.added == nil || now.Sub(r.looked) >= rereadIn {
		// What can't be read now leaves what was read before.
		if added, err := read(r.dir); err == nil {
			r.added = added
		}
		r.looked = now
	}
	sum := sha256.Sum256([]byte(token))
	for _, m := range []map[string][sha256.Size]byte{r.fixed, r.added} {
		for n, want := range m {
			if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
				name, ok = n, true
			}
		}
	}
	return name, ok
}

// Add makes a token for a client; it is not shown again.
func Add(data, name string) (token string, err error) {
	if !validName.MatchString(name) {
		return "", ErrName
	}
	dir := filepath.Join(data, Folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	token = prefix + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(token))
	path := filepath.Join(dir, name+suffix)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", ErrExists
	}
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(hex.EncodeToString(sum[:]) + "\n")
	err = errors.Join(err, f.Sync(), f.Close(), own(data, dir, path))
	if err != nil {
		_ = os.Remove(path)
		return "", err
	}
	return token, nil
}

// own gives paths to whoever owns the data folder: root adds a client for a
// daemon that is not root.
func own(data string, paths ...string) error {
	fi, err := os.Stat(data)
	if err != nil || os.Getuid() != 0 {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	for _, p := range paths {
		if err := os.Chown(p, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// List the clients that have a token under the data folder.
func List(data string) ([]string, error) {
	m, err := read(filepath.Join(data, Folder))
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(m))
	for n := range m {
		out = append(out, n)
	}
	return out, nil
}

// Remove takes a client's token away.
func Remove(data, name string) error {
	if !validName.MatchString(name) {
		return ErrName
	}
	err := os.Remove(filepath.Join(data, Folder, name+suffix))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return err
}
