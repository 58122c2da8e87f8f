package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"sync"
	"time"
)

// Lives of a session: it ends after so long without a request that a person made, and
// after so long whatever is done.
const (
	idleLife = 30 * time.Minute
	longLife = 12 * time.Hour
	// mostSessions of all people; the one that was not used for longest makes place.
	mostSessions = 10_000
)

// Person who has signed in.
type Person struct {
	Name string `json:"name"` // for the record
	Role Role   `json:"role"`
	// Local: by an account of this centre.
	Local bool `json:"local"`
}

type session struct {
	Person
	account time.Time // Account.Changed when it began
	began   time.Time
	used    time.Time
}

// Sessions in memory: a restart ends them. A token is kept as its SHA-256 alone.
type Sessions struct {
	accounts *Accounts
	now      func() time.Time
	mu       sync.Mutex
	by       map[[sha256.Size]byte]*session
}

// NewSessions of people with local accounts, and of others.
func NewSessions(a *Accounts) *Sessions {
	return &Sessions{accounts: a, now: time.Now, by: map[[sha256.Size]byte]*session{}}
}

// Token is 256 random bits, to be given once.
func Token() string {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		panic(err) // never since Go 1.24
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// Begin a session; acc is nil where the person has no local account.
func (s *Sessions) Begin(p Person, acc *Account) (token string) {
	token = Token()
	now := s.now()
	x := &session{Person: p, began: now, used: now}
	if acc != nil {
		x.account = acc.Changed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy(now)
	s.by[sha256.Sum256([]byte(token))] = x
	return token
}

func (s *Sessions) tidy(now time.Time) {
	var oldest [sha256.Size]byte
	var at time.Time
	for k, x := range s.by {
		if over(x, now) {
			delete(s.by, k)
		} else if at.IsZero() || x.used.Before(at) {
			oldest, at = k, x.used
		}
	}
	if len(s.by) >= mostSessions {
		delete(s.by, oldest)
	}
}

func over(x *session, now time.Time) bool {
	return now.Sub(x.used) >= idleLife || now.Sub(x.began) >= longLife
}

// Who a token is of; ok is false where the session is over, or its account was changed.
// byPerson: the request is a person's doing, so the session goes on.
func (s *Sessions) Who(token string, byPerson bool) (p Person, ok bool) {
	if token == "" || len(token) > 100 {
		return p, false
	}
	k := sha256.Sum256([]byte(token))
	now := s.now()
	s.mu.Lock()
	x := s.by[k]
	if x == nil || over(x, now) {
		delete(s.by, k)
		s.mu.Unlock()
		return p, false
	}
	if byPerson {
		x.used = now
	}
	mine := *x
	s.mu.Unlock()
	if mine.Local {
		acc, err := s.accounts.Get(mine.Name)
		if err != nil || !acc.Changed.Equal(mine.account) {
			if err == nil || errors.Is(err, ErrNoAccount) {
				s.End(token)
			}
			return p, false
		}
		mine.Role = acc.Role
	}
	return mine.Person, true
}

// End a session.
func (s *Sessions) End(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, sha256.Sum256([]byte(token)))
}
