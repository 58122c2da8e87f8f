package library

import (
	"context"
	"fmt"
)

// SetSchema makes the file one of another rxedge.
func SetSchema(l *Library, version int) error {
	_, err := l.w.Exec(fmt.Sprintf("PRAGMA user_version = %d", version))
	return err
}

// MakeOld takes out of the tables what the first version had not.
func MakeOld(l *Library) error {
	_, err := l.w.Exec("ALTER TABLE run DROP COLUMN drift; PRAGMA user_version = 1")
	return err
}

// PlanFromFile is how SQLite goes about FromFile.
func (l *Library) PlanFromFile(ctx context.Context) (plan []string, err error) {
	rows, err := l.read.QueryContext(ctx, "EXPLAIN QUERY PLAN "+fromFile, "")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b, c int
		var step string
		if err := rows.Scan(&a, &b, &c, &step); err != nil {
			return nil, err
		}
		plan = append(plan, step)
	}
	return plan, rows.Err()
}
