// Package backup is the file that a box's state is kept in: its format, writing and
// reading it, and putting it in the place of a data folder. What belongs into it is
// decided by daemon/box. DESIGN.md says why it is as it is.
package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Format of the file, which is refused by an rxedge that knows a lower one alone.
const Format = 1

// Header is the first entry: what the backup is, before any of it is read.
type Header struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"` // 16 hex digits
	Created time.Time `json:"created"`
	Rxedge  string    `json:"rxedge"`
	Site    string    `json:"site,omitempty"` // "": the box is no site
	// Schema are the numbers of the formats in it, by room.
	Schema     map[string]int `json:"schema"`
	Generation string         `json:"generation"` // that a start opens, with its updates
	Documents  int            `json:"documents"`
	Passages   int            `json:"passages"`
	Holds      Holds          `json:"holds"`
	Models     []Model        `json:"models,omitempty"`
	LeftOut    []Left         `json:"left_out,omitempty"`
	// Bytes before compression, and Dense those of them that hardly get smaller; as
	// estimated before the first was written.
	Bytes int64 `json:"bytes_estimated"`
	Dense int64 `json:"bytes_dense"`
}

// Holds says which parts that may be left out are in.
type Holds struct {
	Models  bool `json:"models"`
	Cache   bool `json:"cache"`
	Secrets bool `json:"secrets"`
	// Sealed: the records of feedback, telemetry and cache need the passphrase, too.
	Sealed bool `json:"stores_sealed,omitempty"`
}

// Model of the catalog, in the backup or not.
type Model struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Left is something of the data folder that is not in the backup.
type Left struct {
	What string `json:"what"`
	Why  string `json:"why"`
	Mend string `json:"mend,omitempty"` // what to do after a restore
}

// Entry is one file of the backup.
type Entry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Names of the entries.
const (
	headerName   = "backup.json"
	manifestName = "manifest.json"
	// SecretsName is what was sealed with a passphrase.
	SecretsName = "secrets.age"
	// ConfigName is a configuration that did not lie in the data folder.
	ConfigName = "configuration.toml"

	filesPrefix  = "files/"  // a file of the data folder
	storesPrefix = "stores/" // the records of a store, in parts
)

// Bounds of what is read. A backup beyond them was not written by this package.
const (
	maxHeader   = 4 << 20
	maxManifest = 1 << 30
	maxEntries  = 4 << 20
	maxEntry    = 1 << 41
	maxPart     = 64 << 20
	maxSmall    = 64 << 20 // secrets, configuration
	// PartSize is after how many bytes of records a part is written.
	PartSize = 4 << 20
)

// rooms are the top of a data folder, as far as a backup may write there.
var rooms = []string{"index", "feedback", "telemetry", "rollout", "suite", "quarantine", "models", "sync", "cache", "clients", "rxedge.toml"}

var validStore = regexp.MustCompile(`^(feedback|telemetry|cache|index/gen-[0-9]{6,20}/live)$`)

// DamagedError says that the file is not what was written.
type DamagedError struct {
	Entry string // where; "": before the first
	What  string
}

func (e *DamagedError) Error() string {
	if e.Entry == "" {
		return "the backup is damaged: " + e.What
	}
	return fmt.Sprintf("the backup is damaged at %s: %s", e.Entry, e.What)
}

// NewerError says that a later rxedge wrote it.
type NewerError struct {
	What        string
	Have, Reads int
	Rxedge      string
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the backup was written by rxedge %s: its %s is of format %d, and this rxedge reads up to %d; install that version or a later one, then restore", e.Rxedge, e.What, e.Have, e.Reads)
}

// ErrNotBackup: the file is something else.
var ErrNotBackup = errors.New("this is no backup of rxedge")

// Check that what the header says can be read by an rxedge with those schema numbers.
func (h *Header) Check(schema map[string]int) error {
	if h.Format < 1 || h.ID == "" {
		return &DamagedError{headerName, "it says neither format nor id"}
	}
	if h.Format > Format {
		return &NewerError{"file", h.Format, Format, h.Rxedge}
	}
	for _, what := range slices.Sorted(func(yield func(string) bool) {
		for k := range h.Schema {
			if !yield(k) {
				return
			}
		}
	}) {
		reads, known := schema[what]
		if have := h.Schema[what]; !known || have > reads {
			return &NewerError{what, have, reads, h.Rxedge}
		}
	}
	return nil
}

// checkName says whether a name is one that this package writes.
func checkName(name string) error {
	switch name {
	case headerName, manifestName, SecretsName, ConfigName:
		return nil
	}
	if rel, ok := strings.CutPrefix(name, filesPrefix); ok {
		return checkPath(rel)
	}
	if rest, ok := strings.CutPrefix(name, storesPrefix); ok {
		rel, part, _ := cutLast(rest)
		if err := checkPath(rel); err != nil {
			return err
		}
		if !validStore.MatchString(rel) || len(part) != 8 || strings.Trim(part, "0123456789") != "" {
			return errors.New("it is no part of a store")
		}
		return nil
	}
	return errors.New("its name is none that a backup has")
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// checkPath of a file below the data folder: plain names, none of which is hidden, in a
// room that a backup may write to.
func checkPath(rel string) error {
	if len(rel) > 1024 || !fs.ValidPath(rel) || rel == "." {
		return errors.New("its path is not allowed")
	}
	for _, r := range rel {
		if r < 0x20 || r == 0x7f || r == '\\' || r == 0xfffd {
			return errors.New("its path is not allowed")
		}
	}
	parts := strings.Split(rel, "/")
	for _, p := range parts {
		if strings.HasPrefix(p, ".") || len(p) > 255 {
			return errors.New("its path is not allowed")
		}
	}
	if !slices.Contains(rooms, parts[0]) {
		return errors.New("it lies where a backup writes nothing")
	}
	return nil
}

// sealed guards the manifest by its own hash.
type sealedManifest struct {
	Manifest json.RawMessage `json:"manifest"`
	SHA256   string          `json:"sha256"` // of the manifest as it stands here
}

// manifest is the last entry: all that is in the backup.
type manifest struct {
	Entries []Entry `json:"entries"`
}
