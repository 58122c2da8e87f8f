package library

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rxedge/centre/check"
)

// AlertShare of a run's documents held back raises its alert: more than one in a hundred.
const AlertShare = 0.01

// Run is what came of one ingest.
type Run struct {
	ID      string    `json:"id"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Who     string    `json:"who,omitempty"`
	Note    string    `json:"note,omitempty"`

	Sources     int `json:"sources"`     // files, by content
	Documents   int `json:"documents"`   // that were read, quarantined ones among them
	New         int `json:"new"`         // versions that were not known
	Unchanged   int `json:"unchanged"`   // known already
	Quarantined int `json:"quarantined"` // held back by a check
	Refused     int `json:"refused"`     // files and records that could not be read

	// Share that is held back: (Quarantined+Refused) / (Documents+Refused).
	Share float64 `json:"share"`
	// Alert: Share is over AlertShare. Blocked: and nobody approved the run with as many.
	Alert    bool      `json:"alert"`
	Blocked  bool      `json:"blocked"`
	Approval *Decision `json:"approval,omitempty"`
	// Drift of what was new in it from what was approved when it ended; nil before that,
	// and where there was nothing to compare.
	Drift *check.Drift `json:"drift,omitempty"`
}

func needRun(ctx context.Context, tx *sql.Tx, id string, at time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO run (id, started) VALUES (?,?) ON CONFLICT DO NOTHING`, id, at.UnixMilli())
	return err
}

// BeginRun notes who began a run, and why. A run begins at its first Commit too.
func (l *Library) BeginRun(ctx context.Context, id string, by By) error {
	if id == "" {
		return errors.New("a run needs an id")
	}
	return l.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO run (id, started, who, note) VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET who = excluded.who, note = excluded.note`,
			id, l.now().UnixMilli(), by.Who, by.Why)
		return err
	})
}

// EndRun notes that all of it was committed. A run may be ended more than once: what
// was retried later belongs to it.
func (l *Library) EndRun(ctx context.Context, id string) (*Run, error) {
	d, err := l.drift(ctx, id)
	if err != nil {
		return nil, err
	}
	err = l.write(ctx, func(tx *sql.Tx) error {
		if err := needRun(ctx, tx, id, l.now()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE run SET ended = ?, drift = ? WHERE id = ?`, l.now().UnixMilli(), d, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l.Run(ctx, id)
}

// drift of the versions that came first in a run from the current ones of other runs, as
// JSON; nil where either has none.
func (l *Library) drift(ctx context.Context, run string) (*string, error) {
	sum := func(q string) (*check.Profile, int, error) {
		rows, err := l.read.QueryContext(ctx, q, run)
		if err != nil {
			return nil, 0, fmt.Errorf("reading the library: %w", err)
		}
		defer rows.Close()
		all, n := &check.Profile{}, 0
		for rows.Next() {
			var b []byte
			var p check.Profile
			if err := rows.Scan(&b); err != nil {
				return nil, 0, fmt.Errorf("reading the library: %w", err)
			}
			if err := p.UnmarshalBinary(b); err != nil {
				return nil, 0, fmt.Errorf("reading the library: %w", err)
			}
			all.Add(&p)
			n++
		}
		return all, n, rows.Err()
	}
	come, n, err := sum(`SELECT b.profile FROM version v JOIN body b ON b.n = v.n WHERE v.run = ? AND b.profile IS NOT NULL`)
	if err != nil || n == 0 {
		return nil, err
	}
	good, n, err := sum(`SELECT b.profile FROM document d JOIN version v ON v.n = d.current JOIN body b ON b.n = v.n WHERE v.run <> ? AND b.profile IS NOT NULL`)
	if err != nil || n == 0 {
		return nil, err
	}
	b, err := json.Marshal(good.Drift(come))
	if err != nil {
		return nil, err
	}
	s := string(b)
	return &s, nil
}

const runQuery = `SELECT r.id, r.started, r.ended, r.who, r.note, r.approved_bad, r.drift,
	(SELECT count(*) FROM (SELECT sha256 FROM seen WHERE run = r.id UNION SELECT sha256 FROM refused WHERE run = r.id)),
	(SELECT count(*) FROM seen WHERE run = r.id),
	(SELECT count(*) FROM seen WHERE run = r.id AND outcome = 'new'),
	(SELECT count(*) FROM seen WHERE run = r.id AND outcome = 'unchanged'),
	(SELECT count(*) FROM seen WHERE run = r.id AND outcome = 'quarantined'),
	(SELECT count(*) FROM refused WHERE run = r.id)
	FROM run r`

func (l *Library) runs(ctx context.Context, where string, args ...any) ([]Run, error) {
	rows, err := l.read.QueryContext(ctx, runQuery+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	defer rows.Close()
	out := []Run{}
	approvedBad := []sql.NullInt64{}
	for rows.Next() {
		var r Run
		var started int64
		var ended, bad sql.NullInt64
		var drift sql.NullString
		if err := rows.Scan(&r.ID, &started, &ended, &r.Who, &r.Note, &bad, &drift, &r.Sources, &r.Documents, &r.New, &r.Unchanged, &r.Quarantined, &r.Refused); err != nil {
			return nil, fmt.Errorf("reading the library: %w", err)
		}
		r.Started = time.UnixMilli(started).UTC()
		if drift.Valid {
			if err := json.Unmarshal([]byte(drift.String), &r.Drift); err != nil {
				return nil, fmt.Errorf("reading the library: the drift of run %s: %w", r.ID, err)
			}
		}
		if ended.Valid {
			r.Ended = time.UnixMilli(ended.Int64).UTC()
		}
		if all := r.Documents + r.Refused; all > 0 {
			r.Share = float64(r.Quarantined+r.Refused) / float64(all)
		}
		r.Alert = r.Share > AlertShare
		r.Blocked = r.Alert && (!bad.Valid || int64(r.Quarantined+r.Refused) > bad.Int64)
		out, approvedBad = append(out, r), append(approvedBad, bad)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	for i := range out {
		if !approvedBad[i].Valid {
			continue
		}
		ds, err := l.decisions(ctx, `run = ? ORDER BY k DESC LIMIT 1`, out[i].ID)
		if err != nil {
			return nil, err
		}
		if len(ds) > 0 {
			out[i].Approval = &ds[0]
		}
	}
	return out, nil
}

// Runs, the latest first; limit 0 means all.
func (l *Library) Runs(ctx context.Context, limit int) ([]Run, error) {
	if limit <= 0 {
		limit = -1
	}
	return l.runs(ctx, ` ORDER BY r.started DESC, r.id LIMIT ?`, limit)
}

// Run of that id. The error is ErrNotFound.
func (l *Library) Run(ctx context.Context, id string) (*Run, error) {
	rs, err := l.runs(ctx, ` WHERE r.id = ?`, id)
	if err != nil {
		return nil, err
	}
	if len(rs) == 0 {
		return nil, fmt.Errorf("run %s: %w", id, ErrNotFound)
	}
	return &rs[0], nil
}

// ApproveRun lets a run be published in spite of its alert: with as many held back as
// there are now, and no more.
func (l *Library) ApproveRun(ctx context.Context, id string, by By) (*Run, error) {
	err := l.write(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE run SET approved_bad = (SELECT count(*) FROM seen WHERE run = run.id AND outcome = 'quarantined')
			+ (SELECT count(*) FROM refused WHERE run = run.id) WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if n, _ := r.RowsAffected(); n == 0 {
			return fmt.Errorf("run %s: %w", id, ErrNotFound)
		}
		return l.decide(ctx, tx, "run approved", by, nil, nil, &id)
	})
	if err != nil {
		return nil, err
	}
	return l.Run(ctx, id)
}

func (l *Library) decide(ctx context.Context, tx *sql.Tx, what string, by By, n, refused *int64, run *string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO decision (n, refused, run, what, who, why, record, at) VALUES (?,?,?,?,?,?,?,?)`, n, refused, run, what, by.Who, by.Why, by.Record, l.now().UnixMilli())
	return err
}

func (l *Library) decisions(ctx context.Context, where string, args ...any) ([]Decision, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT what, who, why, record, at FROM decision WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	defer rows.Close()
	out := []Decision{}
	for rows.Next() {
		var d Decision
		var at int64
		if err := rows.Scan(&d.What, &d.Who, &d.Why, &d.Record, &at); err != nil {
			return nil, fmt.Errorf("reading the library: %w", err)
		}
		d.At = time.UnixMilli(at).UTC()
		out = append(out, d)
	}
	return out, rows.Err()
}
