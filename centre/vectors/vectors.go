// Package vectors keeps the vectors of passages that were made at the centre, by the
// embedder and by what was embedded, so that none is made twice: those of an ingest are
// taken by publish, and those that publish made by the next. A file that is taken away
// costs the time to make them anew, and nothing else.
package vectors

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"rxedge/index"
	"rxedge/sync/bundle"
)

// Text is the hash of what was embedded.
type Text = index.TextHash

// Store are those of one embedder.
type Store struct {
	db   *sql.DB
	path string
	form bundle.Vectors
}

// busyTimeout is how long another process may hold the file.
const busyTimeout = 30 * time.Second

// Path of the file of an embedder in a centre's folder.
func Path(centre string, embedder bundle.Hash) string {
	return filepath.Join(centre, "library", "vectors", embedder.String()+".db")
}

// Open those of an embedder, and make the file where there is none.
func Open(ctx context.Context, centre string, embedder bundle.Hash, dimension int) (*Store, error) {
	s := &Store{path: Path(centre, embedder), form: bundle.Vectors{Embedder: embedder, Dimension: dimension}}
	if err := s.open(ctx, centre); err != nil {
		if s.db != nil {
			_ = s.db.Close()
		}
		return nil, s.failed("opening", err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, centre string) error {
	if _, err := os.Stat(centre); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	// SQLite gives its log and its shared memory the mode of the file itself.
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// What a power cut takes is made anew: so a write is not waited for.
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: s.path}).EscapedPath(),
		RawQuery: fmt.Sprintf("_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate", busyTimeout.Milliseconds())}
	if s.db, err = sql.Open("sqlite", u.String()); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	return s.retry(ctx, func(ctx context.Context) error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS vector (text BLOB PRIMARY KEY, halves BLOB NOT NULL) WITHOUT ROWID`); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// Close ends it.
func (s *Store) Close() error { return s.db.Close() }

func (s *Store) failed(what string, err error) error {
	return fmt.Errorf("%s the vectors of %s: %w; where it is damaged, take the file away, and they are made anew", what, s.path, err)
}

// retry what found the file busy.
func (s *Store) retry(ctx context.Context, do func(context.Context) error) error {
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

// asked at once.
const asked = 500

// Get calls row for each of the texts whose vector is there.
func (s *Store) Get(ctx context.Context, texts []Text, row func(text Text, halves []uint16)) error {
	for len(texts) > 0 {
		n := min(len(texts), asked)
		args := make([]any, n)
		for i, t := range texts[:n] {
			args[i] = t[:]
		}
		if err := s.get(ctx, args, row); err != nil {
			return s.failed("reading", err)
		}
		texts = texts[n:]
	}
	return nil
}

func (s *Store) get(ctx context.Context, args []any, row func(Text, []uint16)) error {
	rows, err := s.db.QueryContext(ctx, `SELECT text, halves FROM vector WHERE text IN (?`+strings.Repeat(",?", len(args)-1)+`)`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text, halves sql.RawBytes
		if err := rows.Scan(&text, &halves); err != nil {
			return err
		}
		if len(text) != bundle.TextHashSize || len(halves) != 2*s.form.Dimension {
			return errors.New("a row is none of this embedder")
		}
		out := make([]uint16, s.form.Dimension)
		for i := range out {
			out[i] = binary.LittleEndian.Uint16(halves[2*i:])
		}
		row(Text(text), out)
	}
	return rows.Err()
}

// Put rows, as a bundle has them. The vector of a text that is there stays as it is.
func (s *Store) Put(ctx context.Context, rows []byte) (added int, err error) {
	if _, err := s.form.Rows(rows, nil); err != nil {
		return 0, fmt.Errorf("vectors that were made: %w", err)
	}
	if len(rows) == 0 {
		return 0, nil
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		added = 0
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		put, err := tx.PrepareContext(ctx, `INSERT OR IGNORE INTO vector (text, halves) VALUES (?, ?)`)
		if err != nil {
			return err
		}
		defer put.Close()
		size := s.form.RowSize()
		for at := 0; at < len(rows); at += size {
			r, err := put.ExecContext(ctx, rows[at:at+bundle.TextHashSize], rows[at+bundle.TextHashSize:at+size])
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err == nil {
				added += int(n)
			}
		}
		return tx.Commit()
	})
	if err != nil {
		return 0, s.failed("keeping", err)
	}
	return added, nil
}

// Count of rows.
func (s *Store) Count(ctx context.Context) (n int, err error) {
	if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM vector`).Scan(&n); err != nil {
		return 0, s.failed("counting", err)
	}
	return n, nil
}
