package library

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"rxedge/index/document"
)

// Pending says what a channel does not have yet.
type Pending struct {
	Versions []Version // approved, in the order in which they came
	Blocked  []Run     // runs of theirs with an alert that nobody approved
}

const pendingFrom = ` FROM document d JOIN version v ON v.n = d.current
	LEFT JOIN served s ON s.channel = ? AND s.id = d.id AND s.until IS NULL
	WHERE d.withdrawn = 0 AND v.state IN ('approved', 'published') AND (s.n IS NULL OR s.n <> v.n)`

// Pending of a channel: the current version of each document that no bundle of the
// channel has, whether or not their runs may be published.
func (l *Library) Pending(ctx context.Context, channel string) (*Pending, error) {
	p := &Pending{Blocked: []Run{}}
	var err error
	if p.Versions, err = l.list(ctx, `SELECT `+versionColumns+pendingFrom+` ORDER BY v.n`, channel); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, v := range p.Versions {
		if seen[v.Run] {
			continue
		}
		seen[v.Run] = true
		r, err := l.Run(ctx, v.Run)
		if err != nil {
			return nil, err
		}
		if r.Blocked {
			p.Blocked = append(p.Blocked, *r)
		}
	}
	return p, nil
}

// Documents yields the texts of versions one by one.
func (l *Library) Documents(ctx context.Context, refs []Ref) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		for _, r := range refs {
			d, err := l.Document(ctx, r)
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

// Published notes that a bundle of a channel has these versions, and that withdrawn are
// in it no more. The same again changes nothing.
func (l *Library) Published(ctx context.Context, channel string, number int64, refs []Ref, withdrawn []string, by By) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `INSERT INTO bundle (channel, number, who, at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING`, channel, number, by.Who, l.now().UnixMilli())
		if err != nil {
			return err
		}
		if n, _ := r.RowsAffected(); n == 0 {
			return nil
		}
		end := func(id string) error {
			if _, err := tx.ExecContext(ctx, `UPDATE served SET until = ? WHERE channel = ? AND id = ? AND until IS NULL`, number, channel, id); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `UPDATE version SET state = 'superseded' WHERE id = ? AND state = 'published' AND n NOT IN (SELECT n FROM served WHERE until IS NULL)`, id)
			return err
		}
		for _, ref := range refs {
			v, err := version(ctx, tx, ref)
			if err != nil {
				return fmt.Errorf("%s %.12s: %w", ref.ID, ref.Hash, err)
			}
			if v.State != Approved && v.State != Published {
				return fmt.Errorf("%s %.12s is %s, not %s: %w", v.ID, v.Hash, v.State, Approved, ErrState)
			}
			if err := end(v.ID); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO served (channel, id, since, n) VALUES (?,?,?,?)`, channel, v.ID, number, v.Seq); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE version SET state = 'published' WHERE n = ?`, v.Seq); err != nil {
				return err
			}
		}
		for _, id := range withdrawn {
			if err := end(id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE document SET withdrawn = 1 WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// Seen is one edge of lineage: a source that a version was read from.
type Seen struct {
	Source
	Run string    `json:"run"`
	At  time.Time `json:"at"`
	Ref
}

// Served is one edge of lineage: the bundles of a channel that have a version.
type Served struct {
	Channel string `json:"channel"`
	Since   int64  `json:"since"`           // the first bundle with it
	Until   int64  `json:"until,omitempty"` // the first without it; 0 while it is there
}

// Lineage of a version: where it came from, what was decided, where it went.
type Lineage struct {
	Version
	Sources   []Seen     `json:"sources"`
	Decisions []Decision `json:"decisions"`
	Bundles   []Served   `json:"bundles"`
}

// In says whether a bundle of a channel has the version.
func (l *Lineage) In(channel string, bundle int64) bool {
	return slices.ContainsFunc(l.Bundles, func(s Served) bool {
		return s.Channel == channel && bundle >= s.Since && (s.Until == 0 || bundle < s.Until)
	})
}

// Lineage of a version.
func (l *Library) Lineage(ctx context.Context, r Ref) (*Lineage, error) {
	v, err := version(ctx, l.read, r)
	if err != nil {
		return nil, fmt.Errorf("%s %.12s: %w", r.ID, r.Hash, err)
	}
	out := &Lineage{Version: *v, Bundles: []Served{}}
	if out.Sources, err = l.Sources(ctx, r); err != nil {
		return nil, err
	}
	if out.Decisions, err = l.Decisions(ctx, r); err != nil {
		return nil, err
	}
	rows, err := l.read.QueryContext(ctx, `SELECT channel, since, until FROM served WHERE n = ? ORDER BY channel, since`, v.Seq)
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s Served
		var until sql.NullInt64
		if err := rows.Scan(&s.Channel, &s.Since, &until); err != nil {
			return nil, fmt.Errorf("reading the library: %w", err)
		}
		s.Until = until.Int64
		out.Bundles = append(out.Bundles, s)
	}
	return out, rows.Err()
}

const seenQuery = `SELECT s.sha256, s.name, s.size, s.place, s.run, s.at, v.id, v.hash FROM seen s JOIN version v ON v.n = s.n WHERE `

// Sources of a version, the first first.
func (l *Library) Sources(ctx context.Context, r Ref) ([]Seen, error) {
	return l.seen(ctx, seenQuery+`v.id = ? AND v.hash = ? ORDER BY s.at, s.run, s.sha256, s.place`, r.ID, r.Hash)
}

const fromFile = seenQuery + `s.sha256 = ? ORDER BY s.at, v.id`

// FromFile are the versions that came from files of this SHA-256, whole. Unlike
// FromSource it does not read through all that was ever seen.
func (l *Library) FromFile(ctx context.Context, sha256 string) ([]Seen, error) {
	return l.seen(ctx, fromFile, sha256)
}

// FromSource are the versions that came from files of this SHA-256 (or the beginning of
// it), or of this name.
func (l *Library) FromSource(ctx context.Context, source string) ([]Seen, error) {
	return l.seen(ctx, seenQuery+`s.sha256 = ?1 OR s.name = ?1 OR (length(?1) >= 8 AND substr(s.sha256, 1, length(?1)) = ?1) ORDER BY s.at, v.id`, source)
}

func (l *Library) seen(ctx context.Context, q string, args ...any) ([]Seen, error) {
	rows, err := l.read.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	defer rows.Close()
	out := []Seen{}
	for rows.Next() {
		var s Seen
		var at int64
		if err := rows.Scan(&s.SHA256, &s.Name, &s.Size, &s.Place, &s.Run, &at, &s.ID, &s.Hash); err != nil {
			return nil, fmt.Errorf("reading the library: %w", err)
		}
		s.At = time.UnixMilli(at).UTC()
		out = append(out, s)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// InBundle are the versions that a bundle of a channel has, by id.
func (l *Library) InBundle(ctx context.Context, channel string, number int64) ([]Version, error) {
	return l.list(ctx, `SELECT `+versionColumns+` FROM served s JOIN version v ON v.n = s.n
		WHERE s.channel = ?1 AND s.since <= ?2 AND (s.until IS NULL OR s.until > ?2) ORDER BY v.id`, channel, number)
}

// Unpublished notes that a bundle was taken back: the channel has again what it had
// before. The same again changes nothing.
func (l *Library) Unpublished(ctx context.Context, channel string, number int64) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM bundle WHERE channel = ? AND number = ?`, channel, number)
		if err != nil {
			return err
		}
		if n, _ := r.RowsAffected(); n == 0 {
			return nil
		}
		for _, q := range []string{
			`UPDATE document SET withdrawn = 0 WHERE id IN (SELECT id FROM served WHERE channel = ?1 AND until = ?2)`,
			`UPDATE version SET state = 'published' WHERE n IN (SELECT n FROM served WHERE channel = ?1 AND until = ?2)`,
			`UPDATE served SET until = NULL WHERE channel = ?1 AND until = ?2`,
			`UPDATE version SET state = CASE WHEN n IN (SELECT current FROM document) THEN 'approved' ELSE 'superseded' END
				WHERE n IN (SELECT n FROM served WHERE channel = ?1 AND since = ?2)
				AND n NOT IN (SELECT n FROM served WHERE until IS NULL AND NOT (channel = ?1 AND since = ?2))`,
			`DELETE FROM served WHERE channel = ?1 AND since = ?2`,
		} {
			if _, err := tx.ExecContext(ctx, q, channel, number); err != nil {
				return err
			}
		}
		return nil
	})
}

// Bundles of a channel that the library knows of, the first first.
func (l *Library) Bundles(ctx context.Context, channel string) ([]int64, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT number FROM bundle WHERE channel = ? ORDER BY number`, channel)
	if err != nil {
		return nil, fmt.Errorf("reading the library: %w", err)
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, fmt.Errorf("reading the library: %w", err)
		}
		out = append(out, n)
	}
	return out, rows.Err()
}
