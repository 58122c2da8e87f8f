package library

import (
	"context"
	"fmt"
	"net/url"
)

// Schema is the version of the tables.
const Schema = 2

// pathURL is a path in a file: URL, where ? and # would end it.
type pathURL struct{ path string }

func (p *pathURL) escaped() string { return (&url.URL{Path: p.path}).EscapedPath() }

// steps[i] brings tables of version i to i+1.
var steps = [Schema]string{`
CREATE TABLE run (
	id TEXT PRIMARY KEY, started INTEGER NOT NULL, ended INTEGER, who TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '',
	approved_bad INTEGER -- how many were held back when a person approved the run
) STRICT;
CREATE TABLE version (
	n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, hash TEXT NOT NULL, state TEXT NOT NULL,
	kind TEXT NOT NULL, title TEXT NOT NULL, stated TEXT NOT NULL, effective TEXT NOT NULL,
	run TEXT NOT NULL, at INTEGER NOT NULL, sections INTEGER NOT NULL, passages INTEGER NOT NULL, bytes INTEGER NOT NULL,
	before TEXT NOT NULL, said TEXT NOT NULL, -- hash of the sections' texts alone
	UNIQUE (id, hash)
) STRICT;
CREATE INDEX version_state ON version (state, n);
CREATE INDEX version_run ON version (run);
CREATE INDEX version_said ON version (said);
CREATE TABLE body (n INTEGER PRIMARY KEY REFERENCES version, doc BLOB NOT NULL, signature BLOB, profile BLOB) STRICT;
CREATE TABLE band (hash INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (hash, n)) STRICT, WITHOUT ROWID;
CREATE TABLE document (id TEXT PRIMARY KEY, current INTEGER REFERENCES version, withdrawn INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE finding (
	n INTEGER NOT NULL REFERENCES version, i INTEGER NOT NULL, code TEXT NOT NULL, severity TEXT NOT NULL, section TEXT NOT NULL,
	reason TEXT NOT NULL, fix TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, PRIMARY KEY (n, i)
) STRICT, WITHOUT ROWID;
CREATE INDEX finding_code ON finding (code);
CREATE TABLE seen (
	run TEXT NOT NULL, sha256 TEXT NOT NULL, place TEXT NOT NULL, n INTEGER NOT NULL REFERENCES version,
	name TEXT NOT NULL, size INTEGER NOT NULL, outcome TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (run, sha256, place, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_version ON seen (n);
CREATE INDEX seen_source ON seen (sha256);
CREATE TABLE refused (
	k INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, sha256 TEXT NOT NULL, place TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL,
	record INTEGER NOT NULL, reason TEXT NOT NULL, problem TEXT NOT NULL, at INTEGER NOT NULL, open INTEGER NOT NULL DEFAULT 1,
	UNIQUE (run, sha256, place, record, reason)
) STRICT;
CREATE INDEX refused_open ON refused (open, k);
CREATE TABLE decision (
	k INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER REFERENCES version, refused INTEGER REFERENCES refused, run TEXT,
	what TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, record TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE INDEX decision_version ON decision (n);
CREATE INDEX decision_run ON decision (run);
CREATE INDEX decision_record ON decision (record);
CREATE TABLE assessment (n INTEGER PRIMARY KEY REFERENCES version, against TEXT NOT NULL, matters INTEGER NOT NULL, report BLOB NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE bundle (channel TEXT NOT NULL, number INTEGER NOT NULL, who TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (channel, number)) STRICT, WITHOUT ROWID;
CREATE TABLE served (
	channel TEXT NOT NULL, id TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER, -- numbers of bundles; until is the first without it
	n INTEGER NOT NULL REFERENCES version, PRIMARY KEY (channel, id, since)
) STRICT, WITHOUT ROWID;
CREATE INDEX served_version ON served (n);
`, `
ALTER TABLE run ADD COLUMN drift TEXT; -- JSON: of its new versions from those that were approved when it ended
`}

func (l *Library) migrate(ctx context.Context) error {
	tx, err := l.w.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var have int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > Schema {
		return fmt.Errorf("%w (its tables are of version %d, this one's of %d)", ErrNewer, have, Schema)
	}
	if have == Schema {
		return nil
	}
	for ; have < Schema; have++ {
		if _, err := tx.ExecContext(ctx, steps[have]); err != nil {
			return fmt.Errorf("making the tables: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", Schema)); err != nil {
		return err
	}
	return tx.Commit()
}
