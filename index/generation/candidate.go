package generation

import (
	"errors"
	"os"
	"path/filepath"
)

// candidateName is a file in the folder of a generation that was built beside the
// one that serves and has not been confirmed: no start falls back to it, and none
// goes back to it, unless CURRENT names it.
const candidateName = "CANDIDATE"

// SetCandidate makes what is built a candidate.
func (w *Writer) SetCandidate() error {
	return writeFileSynced(filepath.Join(w.dir, candidateName), nil)
}

// IsCandidate says whether a generation was never confirmed.
func (s *Store) IsCandidate(name string) bool {
	_, err := os.Stat(filepath.Join(s.Dir(name), candidateName))
	return err == nil
}

// Promote makes a candidate one like any other.
func (s *Store) Promote(name string) error {
	err := os.Remove(filepath.Join(s.Dir(name), candidateName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(s.Dir(name))
}
