// Package flow brings files into the library: fetch, read, section, chunk, embed, check
// and commit, as work on a JetStream bus that any number of workers take up. Whatever is
// killed, at any moment, the same command goes on where it was: nothing is lost, and
// nothing comes in twice.
//
// See DESIGN.md.
package flow

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"rxedge/centre/library"
	"rxedge/index/document"
)

// Stage of the way from a file to the library.
type Stage string

// Stages, in order.
const (
	Fetch   Stage = "fetch"
	Read    Stage = "read"
	Section Stage = "section"
	Chunk   Stage = "chunk"
	Embed   Stage = "embed"
	Check   Stage = "check"
	Commit  Stage = "commit"
)

// Source is one file, or one member of an archive, that is to be read.
type Source struct {
	library.Source
	// Content is the SHA-256 of what is read, hex: that of the file, or of the member.
	Content string `json:"content"`
	As      string `json:"as"`    // the name under which it is read: ids of some kinds are made from it
	Bytes   int64  `json:"bytes"` // of what is read
	Disk    int64  `json:"disk"`  // what it has of the bytes of the files that were given, for progress
	// Mapping of the columns, of a table.
	Mapping *Mapping `json:"mapping,omitempty"`
}

// key of its tries and its dead letter.
func (s *Source) key() string {
	sum := sha256.Sum256([]byte(s.SHA256 + "\x00" + s.Place))
	return hex.EncodeToString(sum[:16])
}

// Unit is a piece of work: sources that lie one after another in one blob.
type Unit struct {
	ID      string   `json:"id"`
	Run     string   `json:"run"`
	Blob    blob     `json:"blob"`
	Sources []placed `json:"sources"`
	// Embedder whose vectors are wanted, where any are.
	Embedder Embedder `json:"embedder,omitzero"`
	// After is when it may be worked on, where it waits after a failure.
	After time.Time `json:"after,omitzero"`
}

type placed struct {
	Source
	At int64 `json:"at"` // byte of the blob
}

func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// result of one unit or a part of it, on its way to the library.
type result struct {
	Unit string `json:"unit"`
	Run  string `json:"run"`
	// Last says that nothing more comes of the unit; its blob is no longer needed.
	Last     bool     `json:"last,omitempty"`
	Blob     blob     `json:"blob"`
	Embedder Embedder `json:"embedder,omitzero"` // whose vectors the items have
	Done     []placed `json:"done,omitempty"`    // sources of which all is in this result or one before
	// Sources that the items and problems are of.
	Sources []placed  `json:"sources"`
	Items   []item    `json:"items,omitempty"`
	Refused []refused `json:"refused,omitempty"`
}

type item struct {
	Source   int                `json:"source"` // in Sources
	Document *document.Document `json:"document"`
	Passages int                `json:"passages"`
	Vectors  []byte             `json:"vectors,omitempty"` // rows that were made
	Bare     bool               `json:"bare,omitempty"`    // vectors were wanted, and none made
}

type refused struct {
	Source  int              `json:"source"`
	Problem document.Problem `json:"problem"`
}
