// Package library keeps every version of every document that came to the centre: what
// it says, what was found wrong with it, where it came from, who decided what about it,
// and which bundle has it. One SQLite file, which several processes use at once. It
// decides nothing about texts (centre/check, centre/review) and signs nothing.
//
// See DESIGN.md.
package library

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"rxedge/centre/check"
	"rxedge/index/document"
)

// State of a version. See centre/DESIGN.md for the way through them.
type State string

// States.
const (
	Candidate   State = "candidate"   // waits for review
	Quarantined State = "quarantined" // held back by a check
	Approved    State = "approved"    // may be published
	Published   State = "published"   // a bundle has it, and no later one another
	Superseded  State = "superseded"  // a later version took its place
	Rejected    State = "rejected"    // a reviewer said no
	Discarded   State = "discarded"   // thrown out of quarantine
)

// Source is where a document was read from.
type Source struct {
	SHA256 string `json:"sha256"` // of the file, hex
	Name   string `json:"name"`   // of the file, as it was given
	Size   int64  `json:"size"`   // of the file, bytes
	// Place within the file: the path within an archive, the record of a file of many;
	// "" where the file is the document.
	Place string `json:"place,omitempty"`
}

// Item is one document as it was read and checked.
type Item struct {
	Document *document.Document
	Source   Source
	Run      string
	Findings []check.Finding
	Passages int // that it was cut into
}

// Ref names a version.
type Ref struct {
	ID   string `json:"id"`
	Hash string `json:"hash"` // document.Hash
}

// Version is what is known of one, without its text.
type Version struct {
	Ref
	Seq       int64     `json:"seq"` // in the order in which they came, over all documents
	State     State     `json:"state"`
	Kind      string    `json:"kind"`
	Title     string    `json:"title"`
	Version   string    `json:"version,omitempty"`   // as the source states it
	Effective string    `json:"effective,omitempty"` // 2006-01-02
	Run       string    `json:"run"`                 // in which it came first
	At        time.Time `json:"at"`                  // when
	Sections  int       `json:"sections"`
	Passages  int       `json:"passages"`
	Bytes     int       `json:"bytes"` // of text
	// Before is the hash of the version that was approved when this one came.
	Before   string          `json:"before,omitempty"`
	Findings []check.Finding `json:"findings,omitempty"`
	// New says of a Commit that the version was not known before it.
	New bool `json:"new,omitempty"`
}

// By says who decided something, and why. Record is the id of the signed record of it,
// "" where it has none.
type By struct {
	Who    string `json:"who"`
	Why    string `json:"why,omitempty"`
	Record string `json:"record,omitempty"`
}

// Decision of a person, or of the policy.
type Decision struct {
	By
	At   time.Time `json:"at"`
	What string    `json:"what"` // released, discarded, approved, rejected, run approved
}

// Errors.
var (
	// ErrNotFound: there is no such version, run or entry.
	ErrNotFound = errors.New("the library has no such thing")
	// ErrNewer: the file was written by a later rxedge.
	ErrNewer = errors.New("the library was written by a newer rxedge; use that one, or a backup of before")
	// ErrState: the decision is not for a version in this state.
	ErrState = errors.New("it can't be decided so")
	// ErrOlder: a later version of the document was approved.
	ErrOlder = errors.New("a later version was approved since")
	// ErrChanged: another version was approved than the one it was compared with.
	ErrChanged = errors.New("another version was approved since it was compared; look at it again")
)

// Library is an open library. It is safe from many goroutines.
type Library struct {
	path string
	read *sql.DB
	w    *sql.DB
	mu   sync.Mutex // one writer of this process; others wait in SQLite
	now  func() time.Time
}

// Path of the library in a centre's folder.
func Path(centre string) string { return filepath.Join(centre, "library", "library.db") }

// busyTimeout is how long a writer waits for another process's.
const busyTimeout = 30 * time.Second

// Open the library of a centre's folder, and make it where there is none. The error is
// ErrNewer where a later rxedge has written it.
func Open(centre string) (*Library, error) {
	path := Path(centre)
	fail := func(err error) (*Library, error) { return nil, fmt.Errorf("opening the library %s: %w", path, err) }
	if _, err := os.Stat(centre); err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	// SQLite gives its log and its shared memory the mode of the file itself.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fail(err)
	}
	if err := f.Close(); err != nil {
		return fail(err)
	}
	l := &Library{path: path, now: time.Now}
	dsn := "file:" + (&pathURL{path}).escaped() + fmt.Sprintf("?_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)", busyTimeout.Milliseconds())
	if l.w, err = sql.Open("sqlite", dsn+"&_txlock=immediate"); err != nil {
		return fail(err)
	}
	l.w.SetMaxOpenConns(1)
	if err := l.retry(context.Background(), l.migrate); err != nil {
		l.w.Close()
		return fail(err)
	}
	if l.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		l.w.Close()
		return fail(err)
	}
	l.read.SetMaxOpenConns(4)
	return l, nil
}

// Exists says whether the centre's folder has a library.
func Exists(centre string) (bool, error) {
	_, err := os.Stat(Path(centre))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Close ends it.
func (l *Library) Close() error { return errors.Join(l.read.Close(), l.w.Close()) }

// SetClock is for tests.
func (l *Library) SetClock(now func() time.Time) { l.now = now }

// write runs do in one transaction, durable on return. do may be run again where
// another process held the file for too long, so it sets what it returns anew.
func (l *Library) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retry(ctx, func(ctx context.Context) error {
		tx, err := l.w.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := do(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// retry what found the file busy: SQLite's own waiting does not cover the change to
// write-ahead logging, nor its recovery.
func (l *Library) retry(ctx context.Context, do func(context.Context) error) error {
	until := time.Now().Add(busyTimeout)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := do(ctx)
		var se *sqlite.Error
		if !errors.As(err, &se) || se.Code()&0xff != lib.SQLITE_BUSY || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
