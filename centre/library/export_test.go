package library

import "fmt"

// SetSchema makes the file one of another rxedge.
func SetSchema(l *Library, version int) error {
	_, err := l.w.Exec(fmt.Sprintf("PRAGMA user_version = %d", version))
	return err
}
