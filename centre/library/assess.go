package library

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Assessment is what review found between a candidate and the version that it was
// compared with.
type Assessment struct {
	Against string    `json:"against,omitempty"` // hash; "": there was none
	Matters bool      `json:"matters"`           // a person decides
	Report  []byte    `json:"-"`                 // JSON, of centre/review
	At      time.Time `json:"at"`
}

// SetAssessment of a candidate, in the place of an earlier one.
func (l *Library) SetAssessment(ctx context.Context, r Ref, a Assessment) error {
	report := encoder.EncodeAll(a.Report, nil)
	return l.write(ctx, func(tx *sql.Tx) error {
		v, err := version(ctx, tx, r)
		if err != nil {
			return fmt.Errorf("%s %.12s: %w", r.ID, r.Hash, err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO assessment (n, against, matters, report, at) VALUES (?,?,?,?,?)
			ON CONFLICT DO UPDATE SET against = excluded.against, matters = excluded.matters, report = excluded.report, at = excluded.at`, v.Seq, a.Against, a.Matters, report, l.now().UnixMilli())
		return err
	})
}

// Assessment of a version; nil where there is none.
func (l *Library) Assessment(ctx context.Context, r Ref) (*Assessment, error) {
	var a Assessment
	var at int64
	var report []byte
	err := l.read.QueryRowContext(ctx, `SELECT a.against, a.matters, a.report, a.at FROM assessment a JOIN version v ON v.n = a.n WHERE v.id = ? AND v.hash = ?`, r.ID, r.Hash).Scan(&a.Against, &a.Matters, &report, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	a.At = time.UnixMilli(at).UTC()
	if a.Report, err = decoder.DecodeAll(report, nil); err != nil {
		return nil, fmt.Errorf("reading the library: the assessment of %s %.12s is damaged: %w", r.ID, r.Hash, err)
	}
	return &a, nil
}

// CurrentHash is the hash of the version that was approved last, "" where there is none.
func (l *Library) CurrentHash(ctx context.Context, id string) (string, error) {
	return currentHash(ctx, l.read, id)
}

// Under are the versions that were decided so ("approved", "rejected", …) under a record.
func (l *Library) Under(ctx context.Context, record, what string) ([]Ref, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT DISTINCT v.id, v.hash FROM decision d JOIN version v ON v.n = d.n WHERE d.record = ? AND d.what = ?`, record, what)
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	defer rows.Close()
	var out []Ref
	for rows.Next() {
		var r Ref
		if err := rows.Scan(&r.ID, &r.Hash); err != nil {
			return nil, fmt.Errorf("reading the library: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
