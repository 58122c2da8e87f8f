package library

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"rxedge/centre/check"
	"rxedge/index/document"
)

// Outcomes of an item in its run.
const (
	outcomeNew         = "new"
	outcomeUnchanged   = "unchanged"
	outcomeQuarantined = "quarantined"
)

var (
	encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(1<<30))
)

// prepared is an item ready to be written: all that can be done without the file.
type prepared struct {
	Item
	hash, said string
	doc        []byte
	bytes      int
	signature  *check.Signature // nil where it says too little
	profile    []byte
}

// Said is the SHA-256, in hexadecimal, of the texts of d's sections alone: equal for
// documents that say the same under different names and ids. Of a table's rows it is the
// titles too: a row stands in the documents of both its medicines, and they are no copies.
func Said(d *document.Document) string {
	h := sha256.New()
	for i := range d.Sections {
		if d.Tabular() {
			h.Write([]byte(d.Sections[i].Title))
			h.Write([]byte{0})
		}
		h.Write([]byte(d.Sections[i].Text))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}

func prepare(it Item) (*prepared, error) {
	d := it.Document
	switch {
	case d == nil || d.ID == "":
		return nil, errors.New("committing a document: it has no id")
	case it.Run == "":
		return nil, errors.New("committing a document: it is of no run")
	}
	if err := checkSource(it.Source); err != nil {
		return nil, err
	}
	p := &prepared{Item: it, hash: document.Hash(d), said: Said(d)}
	for i := range d.Sections {
		p.bytes += len(d.Sections[i].Text)
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("committing a document: %w", err)
	}
	p.doc = encoder.EncodeAll(b, nil)
	if p.profile, err = check.ProfileOf(d).MarshalBinary(); err != nil {
		return nil, err
	}
	if s, ok := check.Sign(d); ok {
		p.signature = &s
	}
	return p, nil
}

func checkSource(s Source) error {
	if b, err := hex.DecodeString(s.SHA256); err != nil || len(b) != sha256.Size {
		return errors.New("committing a document: its source has no SHA-256")
	}
	return nil
}

// Commit takes an item, once: what the library has already only gets another edge of
// lineage, from the same source and run not even that. It is on disk when it returns.
func (l *Library) Commit(ctx context.Context, it Item) (Version, error) {
	vs, err := l.CommitAll(ctx, []Item{it})
	if err != nil {
		return Version{}, err
	}
	return vs[0], nil
}

// CommitAll takes all of the items or, on an error, none, in one write: many at once are
// quicker than one by one.
func (l *Library) CommitAll(ctx context.Context, items []Item) ([]Version, error) {
	ps := make([]*prepared, len(items))
	for i, it := range items {
		var err error
		if ps[i], err = prepare(it); err != nil {
			return nil, err
		}
	}
	var out []Version
	err := l.write(ctx, func(tx *sql.Tx) error {
		out = make([]Version, len(ps))
		for i, p := range ps {
			v, err := l.commit(ctx, tx, p)
			if err != nil {
				return err
			}
			out[i] = *v
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("committing to the library: %w", err)
	}
	return out, nil
}

func (l *Library) commit(ctx context.Context, tx *sql.Tx, p *prepared) (*Version, error) {
	d, at := p.Document, l.now()
	if err := needRun(ctx, tx, p.Run, at); err != nil {
		return nil, err
	}
	ref := Ref{d.ID, p.hash}
	v, err := version(ctx, tx, ref)
	outcome := outcomeUnchanged
	switch {
	case errors.Is(err, ErrNotFound):
		if v, err = l.insert(ctx, tx, p, at); err != nil {
			return nil, err
		}
		outcome = outcomeNew
	case err != nil:
		return nil, err
	}
	if v.State == Quarantined {
		outcome = outcomeQuarantined
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO seen (run, sha256, place, n, name, size, outcome, at) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		p.Run, p.Source.SHA256, p.Source.Place, v.Seq, p.Source.Name, p.Source.Size, outcome, at.UnixMilli())
	return v, err
}

func (l *Library) insert(ctx context.Context, tx *sql.Tx, p *prepared, at time.Time) (*Version, error) {
	d := p.Document
	v := &Version{Ref: Ref{d.ID, p.hash}, State: Candidate, Kind: d.Kind, Title: d.Title, Version: d.Version, Effective: d.Effective,
		Run: p.Run, At: at.UTC().Truncate(time.Millisecond), Sections: len(d.Sections), Passages: p.Passages, Bytes: p.bytes, Findings: p.Findings, New: true}
	err := tx.QueryRowContext(ctx, `SELECT v.hash FROM document d JOIN version v ON v.n = d.current WHERE d.id = ?`, d.ID).Scan(&v.Before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	copies, err := copyOf(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	v.Findings = append(slices.Clone(v.Findings), copies...)
	if check.Held(v.Findings) {
		v.State = Quarantined
	}
	r, err := tx.ExecContext(ctx, `INSERT INTO version (id, hash, state, kind, title, stated, effective, run, at, sections, passages, bytes, before, said)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, v.ID, v.Hash, v.State, v.Kind, v.Title, v.Version, v.Effective, v.Run, v.At.UnixMilli(), v.Sections, v.Passages, v.Bytes, v.Before, p.said)
	if err != nil {
		return nil, err
	}
	if v.Seq, err = r.LastInsertId(); err != nil {
		return nil, err
	}
	var signature []byte
	if p.signature != nil {
		signature = make([]byte, 0, 4*len(p.signature))
		for _, x := range p.signature {
			signature = binary.LittleEndian.AppendUint32(signature, x)
		}
		for _, b := range p.signature.Bands() {
			if _, err := tx.ExecContext(ctx, `INSERT INTO band (hash, n) VALUES (?,?) ON CONFLICT DO NOTHING`, b, v.Seq); err != nil {
				return nil, err
			}
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO body (n, doc, signature, profile) VALUES (?,?,?,?)`, v.Seq, p.doc, signature, p.profile); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO document (id) VALUES (?) ON CONFLICT DO NOTHING`, d.ID); err != nil {
		return nil, err
	}
	for i, f := range v.Findings {
		if _, err := tx.ExecContext(ctx, `INSERT INTO finding (n, i, code, severity, section, reason, fix, before, after) VALUES (?,?,?,?,?,?,?,?,?)`,
			v.Seq, i, f.Code, f.Severity, f.Section, f.Reason, f.Fix, f.Before, f.After); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// copyOf finds another document that says the same, or nearly.
func copyOf(ctx context.Context, tx *sql.Tx, p *prepared) ([]check.Finding, error) {
	const alive = ` AND v.id <> ? AND v.state NOT IN ('rejected', 'discarded', 'superseded')`
	var id, title string
	err := tx.QueryRowContext(ctx, `SELECT v.id, v.title FROM version v WHERE v.said = ?`+alive+` ORDER BY v.n LIMIT 1`, p.said, p.Document.ID).Scan(&id, &title)
	if err == nil {
		return []check.Finding{check.Copy(id, title, true, 1)}, nil
	}
	if !errors.Is(err, sql.ErrNoRows) || p.signature == nil {
		return nil, ignore(err, sql.ErrNoRows)
	}
	bands := p.signature.Bands()
	args := make([]any, 0, len(bands)+1)
	for _, b := range bands {
		args = append(args, b)
	}
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT v.id, v.title, b.signature FROM band a JOIN version v ON v.n = a.n JOIN body b ON b.n = v.n
		WHERE a.hash IN (?`+strings.Repeat(",?", len(bands)-1)+`)`+alive+` ORDER BY v.n`, append(args, p.Document.ID)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	best := 0.0
	for rows.Next() {
		var i, t string
		var b []byte
		if err := rows.Scan(&i, &t, &b); err != nil {
			return nil, err
		}
		var s check.Signature
		for k := range s {
			if len(b) >= 4*k+4 {
				s[k] = binary.LittleEndian.Uint32(b[4*k:])
			}
		}
		if a := p.signature.Alike(&s); a >= check.NearAlike && a > best {
			best, id, title = a, i, t
		}
	}
	if err := rows.Err(); err != nil || best == 0 {
		return nil, err
	}
	return []check.Finding{check.Copy(id, title, false, best)}, nil
}

func ignore(err, this error) error {
	if errors.Is(err, this) {
		return nil
	}
	return err
}

// Refuse notes a file, or a record of one, that could not be read: it is in quarantine
// with the reason. The same again in the same run changes nothing.
func (l *Library) Refuse(ctx context.Context, src Source, run string, p document.Problem) error {
	if err := checkSource(src); err != nil {
		return err
	}
	if run == "" {
		return errors.New("refusing a file: it is of no run")
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = l.write(ctx, func(tx *sql.Tx) error {
		if err := needRun(ctx, tx, run, l.now()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO refused (run, sha256, place, name, size, record, reason, problem, at) VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
			run, src.SHA256, src.Place, src.Name, src.Size, p.Record, p.Reason, string(b), l.now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("putting a file into the library's quarantine: %w", err)
	}
	return nil
}

// querier is a transaction or the readers' handle.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const versionColumns = `v.n, v.id, v.hash, v.state, v.kind, v.title, v.stated, v.effective, v.run, v.at, v.sections, v.passages, v.bytes, v.before`

func scanVersion(row interface{ Scan(...any) error }, more ...any) (*Version, error) {
	var v Version
	var at int64
	err := row.Scan(append([]any{&v.Seq, &v.ID, &v.Hash, &v.State, &v.Kind, &v.Title, &v.Version, &v.Effective, &v.Run, &at, &v.Sections, &v.Passages, &v.Bytes, &v.Before}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	v.At = time.UnixMilli(at).UTC()
	return &v, err
}

func version(ctx context.Context, q querier, r Ref) (*Version, error) {
	v, err := scanVersion(q.QueryRowContext(ctx, `SELECT `+versionColumns+` FROM version v WHERE v.id = ? AND v.hash = ?`, r.ID, r.Hash))
	if err != nil {
		return nil, err
	}
	return v, findings(ctx, q, v)
}

func findings(ctx context.Context, q querier, v *Version) error {
	rows, err := q.QueryContext(ctx, `SELECT code, severity, section, reason, fix, before, after FROM finding WHERE n = ? ORDER BY i`, v.Seq)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var f check.Finding
		if err := rows.Scan(&f.Code, &f.Severity, &f.Section, &f.Reason, &f.Fix, &f.Before, &f.After); err != nil {
			return err
		}
		v.Findings = append(v.Findings, f)
	}
	return rows.Err()
}
