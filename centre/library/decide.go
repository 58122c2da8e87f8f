package library

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"rxedge/index/document"
)

// Held is an entry of the quarantine: a version that a check holds back, or what could
// not be read.
type Held struct {
	Version *Version `json:"version,omitempty"`
	Refused *Refused `json:"refused,omitempty"`
	Sources []Seen   `json:"sources,omitempty"` // of the version
}

// Refused is a file, or a record of one, that could not be read.
type Refused struct {
	Key     int64            `json:"key"`
	Run     string           `json:"run"`
	At      time.Time        `json:"at"`
	Source  Source           `json:"source"`
	Problem document.Problem `json:"problem"`
}

// Quarantine lists what is in it: versions first, then what could not be read.
// Of the filter ID, Run, Code and Limit count.
func (l *Library) Quarantine(ctx context.Context, f Filter) ([]Held, error) {
	f.State = Quarantined
	vs, err := l.Versions(ctx, f)
	if err != nil {
		return nil, err
	}
	out := make([]Held, 0, len(vs))
	for i := range vs {
		seen, err := l.Sources(ctx, vs[i].Ref)
		if err != nil {
			return nil, err
		}
		out = append(out, Held{Version: &vs[i], Sources: seen})
	}
	if f.ID != "" || f.Code != "" {
		return out, nil
	}
	q, args := `SELECT k, run, at, sha256, place, name, size, problem FROM refused WHERE open = 1`, []any{}
	if f.Run != "" {
		q, args = q+` AND run = ?`, append(args, f.Run)
	}
	rows, err := l.read.QueryContext(ctx, q+` ORDER BY k`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if f.Limit > 0 && len(out) >= f.Limit {
			break
		}
		var r Refused
		var at int64
		var problem string
		if err := rows.Scan(&r.Key, &r.Run, &at, &r.Source.SHA256, &r.Source.Place, &r.Source.Name, &r.Source.Size, &problem); err != nil {
			return nil, fmt.Errorf("reading the library: %w", err)
		}
		if err := json.Unmarshal([]byte(problem), &r.Problem); err != nil {
			return nil, fmt.Errorf("reading the library: entry %d of the quarantine: %w", r.Key, err)
		}
		r.At = time.UnixMilli(at).UTC()
		out = append(out, Held{Refused: &r})
	}
	return out, rows.Err()
}

// move a version from one state to another, with a decision. It has passed check.
func (l *Library) move(ctx context.Context, r Ref, from, to State, what string, by By, check func(tx *sql.Tx, v *Version) error) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		v, err := version(ctx, tx, r)
		if err != nil {
			return fmt.Errorf("%s %.12s: %w", r.ID, r.Hash, err)
		}
		if v.State != from {
			return fmt.Errorf("%s %.12s is %s, not %s: %w", r.ID, r.Hash, v.State, from, ErrState)
		}
		if check != nil {
			if err := check(tx, v); err != nil {
				return fmt.Errorf("%s %.12s: %w", r.ID, r.Hash, err)
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE version SET state = ? WHERE n = ?`, to, v.Seq); err != nil {
			return err
		}
		return l.decide(ctx, tx, what, by, &v.Seq, nil, nil)
	})
}

// Release lets a version out of quarantine: it waits for review then, as any other.
func (l *Library) Release(ctx context.Context, r Ref, by By) error {
	return l.move(ctx, r, Quarantined, Candidate, "released", by, func(tx *sql.Tx, v *Version) error { return newest(ctx, tx, v) })
}

// Discard throws a version out of quarantine. It stays known: the same again is not
// looked at anew.
func (l *Library) Discard(ctx context.Context, r Ref, by By) error {
	return l.move(ctx, r, Quarantined, Discarded, "discarded", by, nil)
}

// DiscardRefused takes what could not be read out of quarantine.
func (l *Library) DiscardRefused(ctx context.Context, key int64, by By) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE refused SET open = 0 WHERE k = ? AND open = 1`, key)
		if err != nil {
			return err
		}
		if n, _ := r.RowsAffected(); n == 0 {
			return fmt.Errorf("refused file %d: %w", key, ErrNotFound)
		}
		return l.decide(ctx, tx, "discarded", by, nil, &key, nil)
	})
}

// newest says with ErrOlder that a later version of v's document was approved.
func newest(ctx context.Context, q querier, v *Version) error {
	var later int
	if err := q.QueryRowContext(ctx, `SELECT count(*) FROM document WHERE id = ? AND current > ?`, v.ID, v.Seq).Scan(&later); err != nil {
		return err
	}
	if later > 0 {
		return ErrOlder
	}
	return nil
}

// Verdict on a candidate.
type Verdict struct {
	Ref
	// Against is the hash of the version that it was compared with, "" where there was
	// none. Another may have been approved since: then the verdict is refused.
	Against string
	Approve bool
}

// Decide candidates, all or none. An approved version is the current one of its
// document; those that came before it and were not published are superseded.
func (l *Library) Decide(ctx context.Context, vs []Verdict, by By) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		for _, d := range vs {
			if err := l.decideOne(ctx, tx, d, by); err != nil {
				return fmt.Errorf("%s %.12s: %w", d.ID, d.Hash, err)
			}
		}
		return nil
	})
}

func (l *Library) decideOne(ctx context.Context, tx *sql.Tx, d Verdict, by By) error {
	v, err := version(ctx, tx, d.Ref)
	if err != nil {
		return err
	}
	if v.State != Candidate {
		return fmt.Errorf("it is %s, not %s: %w", v.State, Candidate, ErrState)
	}
	if !d.Approve {
		if _, err := tx.ExecContext(ctx, `UPDATE version SET state = ? WHERE n = ?`, Rejected, v.Seq); err != nil {
			return err
		}
		return l.decide(ctx, tx, "rejected", by, &v.Seq, nil, nil)
	}
	if err := newest(ctx, tx, v); err != nil {
		return err
	}
	current, err := currentHash(ctx, tx, v.ID)
	if err != nil {
		return err
	}
	if current != d.Against {
		return ErrChanged
	}
	for _, q := range []string{
		`UPDATE version SET state = 'superseded' WHERE id = ?1 AND n < ?2 AND state IN ('approved', 'candidate')`,
		`UPDATE version SET state = 'approved' WHERE id = ?1 AND n = ?2`,
		`UPDATE document SET current = ?2 WHERE id = ?1`,
	} {
		if _, err := tx.ExecContext(ctx, q, v.ID, v.Seq); err != nil {
			return err
		}
	}
	return l.decide(ctx, tx, "approved", by, &v.Seq, nil, nil)
}

func currentHash(ctx context.Context, q querier, id string) (string, error) {
	var h sql.NullString
	err := q.QueryRowContext(ctx, `SELECT max(v.hash) FROM document d JOIN version v ON v.n = d.current WHERE d.id = ?`, id).Scan(&h)
	return h.String, err
}

// Decisions about a version, the first first.
func (l *Library) Decisions(ctx context.Context, r Ref) ([]Decision, error) {
	return l.decisions(ctx, `n = (SELECT n FROM version WHERE id = ? AND hash = ?) ORDER BY k`, r.ID, r.Hash)
}
