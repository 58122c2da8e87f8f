package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"rxedge/index/document"
	"rxedge/index/document/sheet"
)

// Mapping says what the columns of a table are; it goes with the source, as whoever reads
// that may be on another machine.
type Mapping struct {
	Text []byte `json:"text"`
	Name string `json:"name"` // what problems with it call it

	given bool // for all tables that have none beside them
}

// withoutMappings leaves out the files that say what another's columns are.
func withoutMappings(files []file) []file {
	return slices.DeleteFunc(files, func(f file) bool { return strings.HasSuffix(f.path, sheet.Suffix) })
}

// GivenMapping reads the mapping for all tables that have none beside them. The error is
// a document.Problem where it can't be used.
func GivenMapping(path string) (*Mapping, error) {
	m, err := readMapping(path)
	if err == nil {
		_, err = sheet.ParseMapping(m.Text)
	}
	var bad *sheet.MappingError
	if errors.As(err, &bad) {
		return nil, document.Problem{File: path, Line: bad.Line, Column: bad.Column, Field: bad.Field, Reason: bad.Reason, Fix: bad.Fix}
	}
	if err != nil {
		return nil, err
	}
	m.given = true
	return m, nil
}

// mapping of a file: the one beside it, else the one that was given. nil: none. problem
// says that it can't be used.
func (f *fetcher) mapping(path string) (m *Mapping, problem *document.Problem, err error) {
	beside := path + sheet.Suffix
	m, err = readMapping(beside)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		if m = f.given; m == nil {
			return nil, nil, nil
		}
	case errors.Is(err, fs.ErrPermission):
		return nil, &document.Problem{File: filepath.Base(beside), Reason: "cannot be opened: permission denied", Fix: "check that the command may read it"}, nil
	default:
		return nil, nil, err
	}
	if len(m.Text) > sheet.MaxMapping {
		return nil, &document.Problem{File: m.Name, Reason: fmt.Sprintf("a mapping over %d KiB", sheet.MaxMapping>>10), Fix: "state only what the columns are"}, nil
	}
	return m, nil, nil
}

// readMapping reads one, or a little more than there may be of it.
func readMapping(path string) (*Mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, sheet.MaxMapping+1))
	return &Mapping{Text: b, Name: filepath.Base(path)}, err
}

// mapped puts the mapping to a source that may be a table. The same file by another
// mapping is another source: it is read again.
func (m *Mapping) mapped(s *Source, name string) {
	if m == nil || m.given && !sheet.Tabular(name) || !m.given && s.Place != "" {
		return
	}
	sum := sha256.Sum256(m.Text)
	s.Mapping = m
	s.Place = strings.TrimSpace(s.Place + " mapping " + hex.EncodeToString(sum[:6]))
}

// reading is how a source is read.
func (s *Source) reading(opt document.Options) document.Options {
	if s.Mapping != nil {
		opt.Mapping, opt.MappingName = s.Mapping.Text, s.Mapping.Name
	}
	return opt
}
