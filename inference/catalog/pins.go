package catalog

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"rxedge/inference"
)

// Pin is a model that rxedge knows by name: where its files lie on any hub or
// mirror, and what they must hash to.
type Pin struct {
	Name         string `json:"name"`
	Kind         Kind   `json:"kind"`
	Format       string `json:"format"` // "gguf", or "safetensors", which is converted
	Quantisation string `json:"quantisation"`
	Repo         string `json:"repo"`               // owner/name on the hub
	Revision     string `json:"revision,omitempty"` // "": the main one
	Licence      string `json:"licence,omitempty"`  // "": not known
	// EvaluationOnly: its licence does not allow an appliance that is sold, or
	// its terms were not read.
	EvaluationOnly bool `json:"evaluation_only,omitempty"`
	Context        int  `json:"context,omitempty"`   // tokens
	Dimension      int  `json:"dimension,omitempty"` // of an embedder's vectors
	// KVBytesPerToken of the cache at 16 bits: 2 (key and value) × 2 bytes ×
	// layers × key heads × head size.
	KVBytesPerToken int64 `json:"kv_bytes_per_token,omitempty"`
	// Doubtful: the digests stand in public records without a named source.
	Doubtful bool      `json:"doubtful,omitempty"`
	Files    []PinFile `json:"files"` // the weights first
	Notes    string    `json:"notes,omitempty"`
}

// PinFile is one file of a pin.
type PinFile struct {
	Path   string `json:"path"`             // in the repository
	Size   int64  `json:"size,omitempty"`   // bytes; 0: not known
	SHA256 string `json:"sha256,omitempty"` // "": not pinned; trust must be given
}

// Size of all files in bytes, and whether each one's is known.
func (p Pin) Size() (bytes int64, known bool) {
	known = true
	for _, f := range p.Files {
		bytes += f.Size
		known = known && f.Size > 0
	}
	return bytes, known
}

// Unpinned lists the files that have no digest.
func (p Pin) Unpinned() []string {
	var out []string
	for _, f := range p.Files {
		if f.SHA256 == "" {
			out = append(out, f.Path)
		}
	}
	return out
}

//go:embed pins.json
var pinsJSON []byte

var embeddedPins = sync.OnceValues(func() ([]Pin, error) { return parsePins(pinsJSON) })

// Pins lists the models that can be pulled, in the order of the file.
func Pins() []Pin {
	pins, err := embeddedPins()
	if err != nil {
		return nil // a test reads the embedded file
	}
	return slices.Clone(pins)
}

// FindPin returns the pin of that name, whatever its capitals, or
// inference.ErrModelNotFound.
func FindPin(name string) (Pin, error) {
	for _, p := range Pins() {
		if strings.EqualFold(p.Name, name) {
			return p, nil
		}
	}
	return Pin{}, fmt.Errorf("%w: there is no pin named %.100q ('rxedge model pins' lists them)", inference.ErrModelNotFound, name)
}

// parsePins reads a file of pins, strictly.
func parsePins(b []byte) ([]Pin, error) {
	var file struct {
		About string `json:"about"`
		Pins  []Pin  `json:"pins"`
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("pins: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("pins: something follows the end")
	}
	seen := map[string]bool{}
	for i, p := range file.Pins {
		if seen[strings.ToLower(p.Name)] {
			return nil, fmt.Errorf("pins: entry %d: the name %q is there twice", i+1, p.Name)
		}
		seen[strings.ToLower(p.Name)] = true
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("pins: entry %d (%.100q): %w", i+1, p.Name, err)
		}
	}
	return file.Pins, nil
}

func (p Pin) check() error {
	switch {
	case !validName.MatchString(p.Name):
		return errors.New("the name can't be a model's")
	case !slices.Contains([]Kind{Generator, Embedder, Reranker, "entailer"}, p.Kind):
		return fmt.Errorf("kind %q", p.Kind)
	case p.Format != "gguf" && p.Format != "safetensors":
		return fmt.Errorf("format %q", p.Format)
	case p.Format == "gguf" && len(p.Files) != 1:
		return errors.New("a GGUF model is one file")
	case strings.Count(p.Repo, "/") != 1 || !cleanPath(p.Repo):
		return fmt.Errorf("repo %q is not owner/name", p.Repo)
	case p.Revision != "" && !cleanPath(p.Revision):
		return fmt.Errorf("revision %q", p.Revision)
	case p.Quantisation == "" || len(p.Files) == 0:
		return errors.New("quantisation and files must be given")
	}
	paths := map[string]bool{}
	for _, f := range p.Files {
		switch {
		case !cleanPath(f.Path):
			return fmt.Errorf("path %q", f.Path)
		case paths[path.Base(f.Path)]:
			return fmt.Errorf("two files are named %s", path.Base(f.Path))
		case f.SHA256 != "" && !validHash.MatchString(f.SHA256):
			return fmt.Errorf("%s: sha256 %.80q", f.Path, f.SHA256)
		case f.Size < 0:
			return fmt.Errorf("%s: size %d", f.Path, f.Size)
		}
		paths[path.Base(f.Path)] = true
	}
	return nil
}

// cleanPath: a path below a folder, that a URL and a file system take alike.
func cleanPath(p string) bool {
	for _, r := range p {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/", r) {
			return false
		}
	}
	return p != "" && path.Clean(p) == p && !path.IsAbs(p) && !strings.HasPrefix(p, "..")
}
