package library

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"rxedge/index/document"
)

// Filter of versions. Empty fields ask for nothing.
type Filter struct {
	ID    string // of the document
	Run   string // in which it came first
	State State
	Code  string // a finding of this code
	After int64  // only those with a greater Seq
	Limit int    // 0: all
}

// Versions that the filter lets through, in the order in which they came.
func (l *Library) Versions(ctx context.Context, f Filter) ([]Version, error) {
	q := `SELECT ` + versionColumns + ` FROM version v WHERE v.n > ?`
	args := []any{f.After}
	and := func(cond string, v any) { q, args = q+" AND "+cond, append(args, v) }
	if f.ID != "" {
		and("v.id = ?", f.ID)
	}
	if f.Run != "" {
		and("v.run = ?", f.Run)
	}
	if f.State != "" {
		and("v.state = ?", f.State)
	}
	if f.Code != "" {
		and("v.n IN (SELECT n FROM finding WHERE code = ?)", f.Code)
	}
	q += " ORDER BY v.n"
	if f.Limit > 0 {
		q += fmt.Sprintf(" LIMIT %d", f.Limit)
	}
	return l.list(ctx, q, args...)
}

// list reads whole rows first: a query for the findings of each, while another is open,
// would take a second connection.
func (l *Library) list(ctx context.Context, q string, args ...any) ([]Version, error) {
	rows, err := l.read.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	defer rows.Close()
	out := []Version{}
	for rows.Next() {
		v, err := scanVersion(rows)
		if err != nil {
			return nil, fmt.Errorf("reading the library: %w", err)
		}
		out = append(out, *v)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	for i := range out {
		if err := findings(ctx, l.read, &out[i]); err != nil {
			return nil, fmt.Errorf("reading the library: %w", err)
		}
	}
	return out, nil
}

// Candidates wait for review.
func (l *Library) Candidates(ctx context.Context, f Filter) ([]Version, error) {
	f.State = Candidate
	return l.Versions(ctx, f)
}

// Find a version by its document's id and its hash, of which the first eight digits and
// more will do; with no hash the latest of the document. The error is ErrNotFound.
func (l *Library) Find(ctx context.Context, id, hash string) (*Version, error) {
	if hash != "" && len(hash) < 8 {
		return nil, fmt.Errorf("%w: give at least eight digits of the hash", ErrNotFound)
	}
	vs, err := l.Versions(ctx, Filter{ID: id})
	if err != nil {
		return nil, err
	}
	var found *Version
	for i := range vs {
		if !strings.HasPrefix(vs[i].Hash, hash) {
			continue
		}
		if hash != "" && found != nil {
			return nil, fmt.Errorf("%w: %s of %s is the beginning of several hashes", ErrNotFound, hash, id)
		}
		found = &vs[i]
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %s %s", ErrNotFound, id, hash)
	}
	return found, nil
}

// Document is the text of a version.
func (l *Library) Document(ctx context.Context, r Ref) (*document.Document, error) {
	return l.document(l.read.QueryRowContext(ctx, `SELECT b.doc, v.hash FROM version v JOIN body b ON b.n = v.n WHERE v.id = ? AND v.hash = ?`, r.ID, r.Hash))
}

func (l *Library) document(row *sql.Row) (*document.Document, error) {
	var b []byte
	var hash string
	if err := row.Scan(&b, &hash); errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	return decode(b, hash)
}

// decode a document, which is what its hash says.
func decode(b []byte, hash string) (*document.Document, error) {
	damaged := func(err error) (*document.Document, error) {
		return nil, fmt.Errorf("the library has a damaged document (%.12s…): %w; restore it from a backup", hash, err)
	}
	b, err := decoder.DecodeAll(b, nil)
	if err != nil {
		return damaged(err)
	}
	d := &document.Document{}
	if err := json.Unmarshal(b, d); err != nil {
		return damaged(err)
	}
	if document.Hash(d) != hash {
		return damaged(errors.New("its text is not that of its hash"))
	}
	return d, nil
}

// Current is the document that was approved last, published or not, of this id: what a
// new one is compared with. It is nil where there is none.
func (l *Library) Current(ctx context.Context, id string) (*document.Document, error) {
	d, err := l.document(l.read.QueryRowContext(ctx, `SELECT b.doc, v.hash FROM document d JOIN version v ON v.n = d.current JOIN body b ON b.n = v.n WHERE d.id = ?`, id))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return d, err
}

// Counts of versions by state.
func (l *Library) Counts(ctx context.Context) (map[State]int, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT state, count(*) FROM version GROUP BY state`)
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	defer rows.Close()
	out := map[State]int{}
	for rows.Next() {
		var s State
		var n int
		if err := rows.Scan(&s, &n); err != nil {
			return nil, err
		}
		out[s] = n
	}
	return out, rows.Err()
}
