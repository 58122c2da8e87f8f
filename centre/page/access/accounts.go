package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/sys/unix"
	"golang.org/x/text/unicode/norm"

	"rxedge/sync/durable"
)

// Account of a person.
type Account struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Hash    string    `json:"hash"` // argon2id, in PHC form
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"` // the password or the role
}

// Accounts are a file of the centre's folder. Several processes may use it.
type Accounts struct {
	path string
	mu   sync.Mutex
	// read again where the file's stamp is another
	stamp fs.FileInfo
	have  []Account
}

// Errors of accounts.
var (
	ErrNoAccount = errors.New("there is no such account; 'rxedge central user list' shows those there are")
	ErrAccount   = errors.New("there is such an account already")
	ErrLastAdmin = errors.New("this is the last admin: make another account an admin first")
)

// InvalidError is a name or a password that is not taken.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

// Dir of the centre's folder in which accounts and settings lie.
const Dir = "page"

// Open the accounts of a centre's folder.
func Open(centre string) *Accounts {
	return &Accounts{path: filepath.Join(centre, Dir, "accounts.json")}
}

type accountsFile struct {
	Format   int       `json:"format"` // 1
	Accounts []Account `json:"accounts"`
}

// List of all, by name.
func (a *Accounts) List() ([]Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list()
}

func (a *Accounts) list() ([]Account, error) {
	st, err := os.Stat(a.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		a.stamp, a.have = nil, nil
		return nil, nil
	case err != nil:
		return nil, err
	case a.stamp != nil && os.SameFile(st, a.stamp) && st.ModTime().Equal(a.stamp.ModTime()) && st.Size() == a.stamp.Size():
		return slices.Clone(a.have), nil
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o); 'chmod 600 %s'", a.path, st.Mode().Perm(), a.path)
	}
	b, err := os.ReadFile(a.path)
	if err != nil {
		return nil, err
	}
	have, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; restore it from the backup of the centre's folder", a.path, err)
	}
	a.stamp, a.have = st, have
	return slices.Clone(have), nil
}

// parse a file of accounts, strictly.
func parse(b []byte) ([]Account, error) {
	var f accountsFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if f.Format != 1 || d.More() {
		return nil, fmt.Errorf("it is of format %d, this rxedge reads 1", f.Format)
	}
	seen := map[string]bool{}
	for i, x := range f.Accounts {
		_, rerr := ParseRole(string(x.Role))
		_, _, _, herr := argon2id.DecodeHash(x.Hash)
		if err := errors.Join(checkName(x.Name), rerr, herr); err != nil {
			return nil, fmt.Errorf("account %d: %w", i+1, err)
		}
		if seen[x.Name] {
			return nil, fmt.Errorf("account %d: %q is there twice", i+1, x.Name)
		}
		seen[x.Name] = true
	}
	return f.Accounts, nil
}

// Get one; ErrNoAccount.
func (a *Accounts) Get(name string) (Account, error) {
	all, err := a.List()
	if err != nil {
		return Account{}, err
	}
	if i := find(all, name); i >= 0 {
		return all[i], nil
	}
	return Account{}, fmt.Errorf("%q: %w", name, ErrNoAccount)
}

func find(all []Account, name string) int {
	return slices.IndexFunc(all, func(x Account) bool { return x.Name == name })
}

// change the file, while no other process does.
func (a *Accounts) change(do func([]Account) ([]Account, error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(a.path), 0o700); err != nil {
		return err
	}
	l, err := os.OpenFile(a.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	all, err := a.list()
	if err != nil {
		return err
	}
	if all, err = do(all); err != nil {
		return err
	}
	slices.SortFunc(all, func(x, y Account) int { return strings.Compare(x.Name, y.Name) })
	b, err := json.MarshalIndent(accountsFile{1, all}, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Write(a.path, append(b, '\n')); err != nil {
		return err
	}
	a.stamp = nil
	return nil
}

// Add an account.
func (a *Accounts) Add(name, password string, role Role) error {
	return a.add(name, password, role, false)
}

// AddFirst adds the first account, an admin; ErrAccount where there is any.
func (a *Accounts) AddFirst(name, password string) error { return a.add(name, password, Admin, true) }

func (a *Accounts) add(name, password string, role Role, first bool) error {
	if _, err := ParseRole(string(role)); err != nil {
		return &InvalidError{err.Error()}
	}
	if err := errors.Join(checkName(name), CheckPassword(name, password)); err != nil {
		return err
	}
	hash, err := hashed(password)
	if err != nil {
		return err
	}
	return a.change(func(all []Account) ([]Account, error) {
		if first && len(all) > 0 || find(all, name) >= 0 {
			return nil, fmt.Errorf("%q: %w", name, ErrAccount)
		}
		now := time.Now().UTC().Truncate(time.Second)
		return append(all, Account{name, role, hash, now, now}), nil
	})
}

// SetPassword of an account; its sessions end.
func (a *Accounts) SetPassword(name, password string) error {
	if err := CheckPassword(name, password); err != nil {
		return err
	}
	hash, err := hashed(password)
	if err != nil {
		return err
	}
	return a.one(name, func(x *Account) { x.Hash = hash })
}

// SetRole of an account; its sessions end.
func (a *Accounts) SetRole(name string, role Role) error {
	if _, err := ParseRole(string(role)); err != nil {
		return &InvalidError{err.Error()}
	}
	return a.one(name, func(x *Account) { x.Role = role })
}

func (a *Accounts) one(name string, do func(*Account)) error {
	return a.change(func(all []Account) ([]Account, error) {
		i := find(all, name)
		if i < 0 {
			return nil, fmt.Errorf("%q: %w", name, ErrNoAccount)
		}
		was := all[i].Role
		do(&all[i])
		if was == Admin && all[i].Role != Admin && !anAdmin(all) {
			return nil, ErrLastAdmin
		}
		// Sessions know the moment: two changes are never of the same one.
		now := time.Now().UTC()
		if !now.After(all[i].Changed) {
			now = all[i].Changed.Add(time.Nanosecond)
		}
		all[i].Changed = now
		return all, nil
	})
}

// Remove an account; its sessions end.
func (a *Accounts) Remove(name string) error {
	return a.change(func(all []Account) ([]Account, error) {
		i := find(all, name)
		if i < 0 {
			return nil, fmt.Errorf("%q: %w", name, ErrNoAccount)
		}
		was := all[i].Role
		if all = slices.Delete(all, i, i+1); was == Admin && len(all) > 0 && !anAdmin(all) {
			return nil, ErrLastAdmin
		}
		return all, nil
	})
}

func anAdmin(all []Account) bool {
	return slices.ContainsFunc(all, func(x Account) bool { return x.Role == Admin })
}

// nameRunes of an account, beside letters and digits of ASCII. A colon is for the names
// of those who sign in by OpenID Connect.
const nameRunes = ".-_@"

func checkName(name string) error {
	bad := strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune(nameRunes, r))
	})
	if name == "" || len(name) > 64 || bad >= 0 {
		return &InvalidError{fmt.Sprintf("%q is no name of an account: write 1 to 64 of a to z, 0 to 9 and %s", name, nameRunes)}
	}
	return nil
}

// Lengths of passwords in characters. NIST SP 800-63B-4 asks for 15 of a password that
// stands alone; rules of what it has to be made of it advises against.
const (
	leastPassword = 15
	mostPassword  = 256
)

// CheckPassword for an account.
func CheckPassword(name, password string) error {
	password = norm.NFKC.String(password)
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password) || strings.ContainsAny(password, "\r\n\x00"):
		return &InvalidError{"the password has characters that can not be typed"}
	case n < leastPassword:
		return &InvalidError{fmt.Sprintf("the password has %d characters; %d at least: a few words are easy to keep in mind", n, leastPassword)}
	case n > mostPassword:
		return &InvalidError{fmt.Sprintf("the password has %d characters; the most is %d", n, mostPassword)}
	case strings.Contains(strings.ToLower(password), name) && 2*len(name) > n, oneOf(password):
		return &InvalidError{"the password is easy to guess: it is the name, or one character again and again"}
	}
	return nil
}

func oneOf(s string) bool {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen) < 5
}
