package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// PullOptions of Pull.
type PullOptions struct {
	// Mirror is where the files lie: an http(s) address, file:// or a folder.
	// An address is that of a hub, whose files are at
	// ADDRESS/REPO/resolve/REVISION/PATH, or it names its own order with
	// {repo}, {revision}, {path}, {file} and {sha256}. A folder holds a file
	// as REPO/PATH, as NAME/FILE, as SHA256 or as FILE.
	Mirror string
	// Trust gives the SHA-256 of files that are not pinned, by their path in
	// the pin. The key "" is meant for the only such file.
	Trust map[string]string
	// Client for http; nil: one that honours the proxy of the environment.
	Client *http.Client
	// Import puts the finished folder (or the one GGUF file) into the catalog;
	// nil: the catalog's own Import.
	Import func(ctx context.Context, path string, o ImportOptions, progress func(done, total int64)) (Entry, error)
	// Stall is how long a connection may deliver nothing before it is given up
	// and made anew; 0: a minute.
	Stall time.Duration
	// retry waits between attempts; nil: exponentially, a second to a minute.
	retry backoff.BackOff
}

// PullProgress is what Pull says of its way.
type PullProgress struct {
	Stage string // "checking", "pulling" or "importing"
	File  string
	Done  int64 // bytes of all files
	Total int64 // 0: not known
}

// ErrNoMirror: nothing says where models are pulled from.
var ErrNoMirror = errors.New(`no mirror is set; name where models are pulled from in rxedge.toml:
  [model]
  mirror = "https://…"        # a hub or its mirror, or a folder with the files
or give it with --mirror`)

// UnpinnedError is a pin with files whose digest nobody has recorded.
type UnpinnedError struct {
	Name  string
	Files []string
}

func (e *UnpinnedError) Error() string {
	if len(e.Files) == 1 {
		return fmt.Sprintf("%s: no SHA-256 of %s is on record; give one that you trust with --trust-sha256 HASH", e.Name, e.Files[0])
	}
	return fmt.Sprintf("%s: no SHA-256 of %s is on record; give those that you trust with --trust-sha256 FILE=HASH for each", e.Name, strings.Join(e.Files, ", "))
}

// HashError is a file that is not what was pinned. It has been discarded.
type HashError struct {
	File, Want, Got string
}

func (e *HashError) Error() string {
	return fmt.Sprintf("%s: its SHA-256 is %s instead of %s: the mirror has another file, or someone changed it; it was discarded", e.File, e.Got, e.Want)
}

// Refused tells whether err is a check that said no: a file that is not what
// was pinned, or of which nobody says what it should be.
func Refused(err error) bool {
	var wrong *HashError
	var unpinned *UnpinnedError
	var taken *NameTakenError
	return errors.As(err, &wrong) || errors.As(err, &unpinned) || errors.As(err, &taken)
}

// pullAttempts is how many attempts in a row may bring no byte.
const pullAttempts = 8

// Pull fetches the files of a pin, checks each by its SHA-256, and imports the
// model. What an interruption leaves is kept beside the catalog with the
// server's validator, and the next Pull goes on from there, whatever ended the
// first; a file that turns out wrong is discarded. Every attempt that brings
// bytes earns more attempts; a server that refuses (404, 403) ends it at once.
//
// A model whose name is in the catalog already is returned as it is.
func (c *Catalog) Pull(ctx context.Context, name string, o PullOptions, progress func(PullProgress)) (Entry, error) {
	pin, err := FindPin(name)
	if err != nil {
		return Entry{}, err
	}
	if e, err := c.Get(pin.Name); err == nil {
		if want := pin.Files[0].SHA256; pin.Format == "gguf" && want != "" && e.SHA256 != want {
			return Entry{}, &NameTakenError{Name: e.Name, SHA256: e.SHA256}
		}
		return e, nil
	}
	return c.pull(ctx, pin, o, progress)
}

func (c *Catalog) pull(ctx context.Context, pin Pin, o PullOptions, progress func(PullProgress)) (Entry, error) {
	pin, err := trusted(pin, o.Trust)
	if err != nil {
		return Entry{}, err
	}
	from, err := newMirror(o)
	if err != nil {
		return Entry{}, err
	}
	if progress == nil {
		progress = func(PullProgress) {}
	}
	if o.Import == nil {
		o.Import = c.Import
	}
	dir := filepath.Join(c.dir, "pull", pin.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Entry{}, fmt.Errorf("model catalog: %w", err)
	}
	unlock, err := lockPull(dir)
	if err != nil {
		return Entry{}, err
	}
	defer unlock()

	total, known := pin.Size()
	if !known {
		total = 0
	}
	// The files, and the import's copy of them.
	if err := c.room(2*total - have(dir)); err != nil {
		return Entry{}, err
	}
	var before int64
	for _, f := range pin.Files {
		p := &download{mirror: from, pin: pin, file: f, path: filepath.Join(dir, path.Base(f.Path)), stall: o.Stall, retry: o.retry,
			room: c.room,
			progress: func(stage string, done int64) {
				progress(PullProgress{Stage: stage, File: f.Path, Done: before + done, Total: total})
			}}
		if p.stall <= 0 {
			p.stall = time.Minute
		}
		n, err := p.run(ctx)
		if err != nil {
			return Entry{}, fmt.Errorf("pulling %s: %w", pin.Name, err)
		}
		before += n
	}
	target := dir
	if pin.Format == "gguf" {
		target = filepath.Join(dir, path.Base(pin.Files[0].Path))
	}
	e, err := o.Import(ctx, target, ImportOptions{Name: pin.Name, Kind: importKind(pin), Licence: pin.Licence}, func(done, total int64) {
		progress(PullProgress{Stage: "importing", Done: done, Total: total})
	})
	if err != nil {
		return Entry{}, fmt.Errorf("importing %s: %w", pin.Name, err)
	}
	// A file in the catalog that is byte for byte the pulled one must hash so.
	if pin.Format == "gguf" && e.SHA256 != pin.Files[0].SHA256 {
		return Entry{}, &HashError{File: pin.Files[0].Path, Want: pin.Files[0].SHA256, Got: e.SHA256}
	}
	return e, os.RemoveAll(dir)
}

// importKind: what the file says of itself is right except where a file of the
// BERT family has lost its head's name.
func importKind(p Pin) Kind {
	if p.Kind == Embedder || p.Kind == Reranker {
		return p.Kind
	}
	return ""
}

// have is the size of what lies in dir already.
func have(dir string) int64 {
	var sum int64
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if i, err := e.Info(); err == nil {
			sum += i.Size()
		}
	}
	return sum
}

// trusted gives every file of the pin a digest.
func trusted(pin Pin, trust map[string]string) (Pin, error) {
	unpinned := pin.Unpinned()
	pin.Files = slices.Clone(pin.Files)
	used := 0
	for i, f := range pin.Files {
		if f.SHA256 != "" {
			continue
		}
		h, ok := trust[f.Path]
		if !ok && len(unpinned) == 1 {
			h, ok = trust[""]
		}
		if !ok {
			return pin, &UnpinnedError{Name: pin.Name, Files: unpinned}
		}
		if h = strings.ToLower(h); !validHash.MatchString(h) {
			return pin, fmt.Errorf("%.80q is no SHA-256: that is 64 hexadecimal digits", h)
		}
		pin.Files[i].SHA256 = h
		used++
	}
	if used < len(trust) {
		return pin, fmt.Errorf("%s: trust was given for %s, but only for files without a digest on record can it be (%s)", pin.Name,
			strings.Join(slices.Sorted(maps.Keys(trust)), ", "), orNone(unpinned))
	}
	return pin, nil
}

func orNone(s []string) string {
	if len(s) == 0 {
		return "here none"
	}
	return strings.Join(s, ", ")
}

// mirror is a folder or an address.
type mirror struct {
	folder string // "" for an address
	base   string
	client *http.Client
}

func newMirror(o PullOptions) (mirror, error) {
	base := strings.TrimSpace(o.Mirror)
	if base == "" {
		return mirror{}, ErrNoMirror
	}
	u, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(base))
	if err != nil {
		return mirror{}, fmt.Errorf("mirror %.200q: %w", base, err)
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return mirror{}, fmt.Errorf("mirror %.200q names no host", base)
		}
		m := mirror{base: strings.TrimRight(base, "/"), client: o.Client}
		if m.client == nil {
			m.client = &http.Client{CheckRedirect: sameSafety}
		}
		return m, nil
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return mirror{}, fmt.Errorf("mirror %.200q: a file address names no host: file:///folder", base)
		}
		return mirror{folder: filepath.FromSlash(u.Path)}, isFolder(u.Path)
	case "":
		return mirror{folder: base}, isFolder(base)
	}
	return mirror{}, fmt.Errorf("mirror %.200q: it must begin with https://, http:// or file://, or be a folder", base)
}

func isFolder(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	if !st.IsDir() {
		return fmt.Errorf("mirror: %s is no folder", dir)
	}
	return nil
}

// sameSafety follows redirects, as hubs send them, but not from https to http.
func sameSafety(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("it redirects ten times")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("it redirects from https to http")
	}
	return nil
}

func (m mirror) address(pin Pin, f PinFile) string {
	revision := pin.Revision
	if revision == "" {
		revision = "main"
	}
	if strings.Contains(m.base, "{") {
		return strings.NewReplacer("{repo}", pin.Repo, "{revision}", revision, "{path}", f.Path, "{file}", path.Base(f.Path), "{sha256}", f.SHA256).Replace(m.base)
	}
	return m.base + "/" + pin.Repo + "/resolve/" + revision + "/" + f.Path
}

// find looks for the file in a folder.
func (m mirror) find(pin Pin, f PinFile) (string, error) {
	for _, rel := range []string{path.Join(pin.Repo, f.Path), path.Join(pin.Name, path.Base(f.Path)), f.SHA256, path.Base(f.Path)} {
		p := filepath.Join(m.folder, filepath.FromSlash(rel))
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("the mirror %s has no %s (it is looked for as %s/%s, as %s and as %s): %w", m.folder, f.Path, pin.Repo, f.Path, f.SHA256, path.Base(f.Path), fs.ErrNotExist)
}

// validator is what the server said of the file that a partial one is of.
type validator struct {
	ETag         string `json:"etag,omitempty"` // a strong one
	LastModified string `json:"last_modified,omitempty"`
	Size         int64  `json:"size,omitempty"` // 0: not known
}

func (v validator) token() string {
	if v.ETag != "" {
		return v.ETag
	}
	return v.LastModified
}

func readValidator(file string) validator {
	var v validator
	if b, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(b, &v)
	}
	return v
}

// write replaces the validator; it is a hint that the hash stands behind, so
// it need not be synced.
func (v validator) write(file string) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// copyFrom copies a file of a folder into w from offset on.
func copyFrom(name string, offset int64, w io.Writer) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	_, err = io.CopyBuffer(w, f, make([]byte, 1<<20))
	return err
}
