package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A store of which a file is another user's is not damaged: nothing of it may be moved
// aside.
func TestOpenOfAnothers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	db, err := Open(dir, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "MANIFEST"), 0); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := Open(dir, true, nil); !errors.Is(err, fs.ErrPermission) || errors.As(err, &damaged) {
		t.Fatal(err)
	}
}
