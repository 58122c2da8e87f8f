package generation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// EmbedderInfo says whose vectors these are. Vectors of different embedders
// are never compared.
type EmbedderInfo struct {
	Name      string `json:"name"`
	SHA256    string `json:"sha256"` // of the model file
	Dimension int    `json:"dimension"`
}

// String names it with the beginning of its hash, as models of one name differ.
func (e EmbedderInfo) String() string {
	return fmt.Sprintf("%s (%.8s, %d dimensions)", e.Name, e.SHA256, e.Dimension)
}

// Info says what a generation is and holds.
type Info struct {
	Number    uint64       `json:"number"`
	Name      string       `json:"name"` // of its folder: gen-000007
	Parent    string       `json:"parent,omitempty"`
	Created   time.Time    `json:"created"`
	Documents int          `json:"documents"`
	Sections  int          `json:"sections"`
	Passages  int          `json:"passages"`
	Vectors   int          `json:"vectors"`  // passages that have one
	Analyzer  string       `json:"analyzer"` // version of the analyser
	Embedder  EmbedderInfo `json:"embedder"` // zero where there are no vectors
	Cut       string       `json:"cut"`      // how passages were cut; "mixed": in several ways
	Bytes     int64        `json:"bytes"`    // on disk
	// Update is the number of the latest live update that is in it, 0 where
	// there is none, Updated when that was made, and Withdrawn how many passages
	// such updates have replaced or removed, which are still on disk.
	Update    int       `json:"update,omitempty"`
	Updated   time.Time `json:"updated,omitzero"`
	Withdrawn int       `json:"withdrawn,omitempty"`
	Current   bool      `json:"current"`
	Candidate bool      `json:"candidate,omitempty"` // built beside, and not confirmed
	Fault     string    `json:"fault,omitempty"`     // why it can't be opened
}

// ErrFormat: another version of rxedge wrote it.
var ErrFormat = errors.New("the format is of another version of rxedge")

// manifest is what manifest.json holds.
type manifest struct {
	Format int `json:"format"`
	Info
	LexicalBlobs  int `json:"lexical_blobs"`
	PassageBlocks int `json:"passage_blocks"`
	VectorBlocks  int `json:"vector_blocks"`
	DenseBlocks   int `json:"dense_blocks"`
	CodeBlobs     int `json:"code_blobs"`
	NameBlobs     int `json:"name_blobs"`
	// AdaptationBlobs hold what the embedder learned from the passages.
	AdaptationBlobs int `json:"adaptation_blobs,omitempty"`
	// Same as its parent with all its updates, packed anew.
	Same  bool      `json:"same,omitempty"`
	Files []fileSum `json:"files"`
}

// base is what the manifest says of the base unit.
func (m *manifest) base() unitInfo {
	return unitInfo{m.Documents, m.Sections, m.Passages, m.Vectors, m.Cut, m.LexicalBlobs, m.PassageBlocks, m.VectorBlocks, m.DenseBlocks, m.CodeBlobs, m.NameBlobs}
}

// Label names a generation as one of its views: "gen-000007", or after live
// updates "gen-000007+3".
func (i Info) Label() string {
	if i.Update == 0 {
		return i.Name
	}
	return fmt.Sprintf("%s+%d", i.Name, i.Update)
}

// fileSum is a file of the generation as it was sealed.
type fileSum struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const manifestName = "manifest.json"

// Format of the generations that this version writes and serves.
const Format = 4

// sealedManifest guards the manifest by its own hash.
type sealedManifest struct {
	Manifest json.RawMessage `json:"manifest"`
	SHA256   string          `json:"sha256"` // of the manifest, white space left out
}

func writeManifest(dir string, m manifest) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	out, err := json.MarshalIndent(sealedManifest{body, hex.EncodeToString(sum[:])}, "", " ")
	if err != nil {
		return err
	}
	return writeFileSynced(filepath.Join(dir, manifestName), append(out, '\n'))
}

func readManifest(dir string) (manifest, error) {
	m, err := anyManifest(dir)
	if err == nil && m.Format != Format {
		err = fmt.Errorf("%s: %w: it is %d and this version reads %d", filepath.Join(dir, manifestName), ErrFormat, m.Format, Format)
	}
	if err != nil {
		return m, err
	}
	if name := filepath.Base(dir); name != m.Name {
		return m, damaged(filepath.Join(dir, manifestName), fmt.Sprintf("it belongs to %s and lies in %s", m.Name, name))
	}
	return m, nil
}

// anyManifest reads a manifest of any format: what it says is as it was written.
func anyManifest(dir string) (manifest, error) {
	var m manifest
	path := filepath.Join(dir, manifestName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return m, damaged(path, "it is missing: the folder was never finished")
	}
	if err != nil {
		return m, err
	}
	var s sealedManifest
	if err := json.Unmarshal(raw, &s); err != nil {
		return m, damaged(path, "it does not parse")
	}
	var body bytes.Buffer
	if err := json.Compact(&body, s.Manifest); err != nil {
		return m, damaged(path, "it does not parse")
	}
	if sum := sha256.Sum256(body.Bytes()); hex.EncodeToString(sum[:]) != s.SHA256 {
		return m, damaged(path, "its checksum does not fit")
	}
	if err := json.Unmarshal(body.Bytes(), &m); err != nil {
		return m, damaged(path, "it does not parse")
	}
	return m, nil
}

// DamageError says what part of a generation can't be trusted.
type DamageError struct {
	Where string // file, record or blob
	What  string
}

func (e *DamageError) Error() string { return e.Where + " is damaged: " + e.What }

func damaged(where, what string) error { return &DamageError{where, what} }
