package library

import "fmt"

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
