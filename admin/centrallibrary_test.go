package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"rxedge/centre/check"
	"rxedge/centre/library"
	"rxedge/index/document"
)

// takeIn checks and commits the documents of folders, each folder's files, as one run.
func takeIn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: library CENTRE RUN FOLDER...")
	}
	ctx := context.Background()
	l, err := library.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer l.Close()
	for _, dir := range args[2:] {
		files, err := os.ReadDir(ts.MkAbs(dir))
		ts.Check(err)
		for _, f := range files {
			path := filepath.Join(ts.MkAbs(dir), f.Name())
			b, err := os.ReadFile(path)
			ts.Check(err)
			h := sha256.Sum256(b)
			src := library.Source{SHA256: hex.EncodeToString(h[:]), Name: f.Name(), Size: int64(len(b))}
			problems, err := document.Read(ctx, path, document.Options{}, func(d *document.Document) error {
				before, err := l.Current(ctx, d.ID)
				if err != nil {
					return err
				}
				_, err = l.Commit(ctx, library.Item{Document: d, Source: src, Run: args[1], Findings: check.New(check.Options{}).Check(d, before), Passages: len(d.Sections)})
				return err
			})
			ts.Check(err)
			for _, p := range problems {
				ts.Check(l.Refuse(ctx, src, args[1], p))
			}
		}
	}
}

// forge lets the library say that the latest version of a document was approved.
func forge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: forge CENTRE ID")
	}
	db, err := sql.Open("sqlite", library.Path(ts.MkAbs(args[0])))
	ts.Check(err)
	defer db.Close()
	for _, q := range []string{
		`UPDATE version SET state = 'approved' WHERE n = (SELECT max(n) FROM version WHERE id = ?1)`,
		`UPDATE document SET current = (SELECT max(n) FROM version WHERE id = ?1) WHERE id = ?1`,
		`INSERT INTO decision (n, what, who, why, record, at) SELECT max(n), 'approved', 'rui', '', 'review-1', 0 FROM version WHERE id = ?1`,
	} {
		_, err := db.Exec(q, args[1])
		ts.Check(err)
	}
}
