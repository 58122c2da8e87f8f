package document

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"rxedge/index/document/archive"
)

// Quarantine keeps what could not be read, in a folder of its own: for each
// Problem a JSON file, and a copy of the file it concerns unless that is too
// large. Putting the same Problem of the same file there twice changes nothing.
type Quarantine struct {
	dir     string
	maxCopy int64
}

// Quarantined is one Problem in quarantine.
type Quarantined struct {
	ID string `json:"id"`
	Problem
	Size   int64  `json:"size"`             // of the file, in bytes
	SHA256 string `json:"sha256,omitempty"` // of the file, "" where it was too large to copy
	Copy   string `json:"copy,omitempty"`   // base name of the copy, "" where there is none
}

// DefaultMaxCopyBytes is the largest file that is copied into quarantine.
const DefaultMaxCopyBytes = 16 << 20

// OpenQuarantine opens, and makes where it is missing, the folder
// dataDir/quarantine. Files over maxCopy bytes are named there, not copied;
// 0 means DefaultMaxCopyBytes.
func OpenQuarantine(dataDir string, maxCopy int64) (*Quarantine, error) {
	if maxCopy <= 0 {
		maxCopy = DefaultMaxCopyBytes
	}
	dir := filepath.Join(dataDir, "quarantine")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("opening the quarantine: %w", err)
	}
	return &Quarantine{dir: dir, maxCopy: maxCopy}, nil
}

// Dir is the folder of the quarantine.
func (q *Quarantine) Dir() string { return q.dir }

// Put records p. The copy is read from src where it is not nil (an upload has
// no file to go back to), else from p.File.
func (q *Quarantine) Put(p Problem, src io.Reader) (Quarantined, error) {
	out := Quarantined{Problem: p}
	data, err := q.read(&out, src)
	if err != nil {
		return Quarantined{}, fmt.Errorf("quarantine: %w", err)
	}
	if data != nil {
		sum := sha256.Sum256(data)
		out.SHA256 = hex.EncodeToString(sum[:])
		out.Copy = out.SHA256[:16] + copyExt(p.File)
		if err := writeOnce(filepath.Join(q.dir, out.Copy), data); err != nil {
			return Quarantined{}, fmt.Errorf("quarantine: %w", err)
		}
	}
	id := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s\x00%s\x00%s\x00%d", sourceName(p.File), p.Record, p.Field, p.Reason, out.SHA256, out.Size))
	out.ID = hex.EncodeToString(id[:8])
	j, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return Quarantined{}, fmt.Errorf("quarantine: %w", err)
	}
	if err := writeOnce(filepath.Join(q.dir, out.ID+".problem.json"), append(j, '\n')); err != nil {
		return Quarantined{}, fmt.Errorf("quarantine: %w", err)
	}
	return out, nil
}

// alike is how many problems of one archive that have the same reason are put one by one.
const alike = 20

// PutAll puts problems as Put does, without contents. Of those of one archive with one
// reason only the first are put by themselves; the others are counted by one more
// entry, so that an archive of ten thousand bad files is no ten thousand entries.
func (q *Quarantine) PutAll(problems []Problem) error {
	type group struct{ archive, reason string }
	count := map[group]int{}
	last := map[group]Problem{}
	var order []group
	var errs []error
	put := func(p Problem) {
		if _, err := q.Put(p, nil); err != nil {
			errs = append(errs, err)
		}
	}
	for _, p := range problems {
		outer, _, inside := strings.Cut(p.File, archive.Inside)
		g := group{outer, p.Reason}
		if count[g]++; !inside || count[g] <= alike {
			put(p)
			continue
		}
		l, ok := last[g]
		if !ok {
			order, l = append(order, g), p
		} else {
			l.More += 1 + p.More
		}
		last[g] = l
	}
	for _, g := range order {
		put(last[g])
	}
	return errors.Join(errs...)
}

// read returns the content to copy, or nil where it is too large or gone.
func (q *Quarantine) read(out *Quarantined, src io.Reader) ([]byte, error) {
	if src == nil {
		info, err := os.Stat(out.File)
		if err != nil || !info.Mode().IsRegular() {
			return nil, nil // the problem itself is still worth keeping
		}
		out.Size = info.Size()
		if info.Size() > q.maxCopy {
			return nil, nil
		}
		f, err := os.Open(out.File)
		if err != nil {
			return nil, nil
		}
		defer f.Close()
		src = f
	}
	data, err := io.ReadAll(io.LimitReader(src, q.maxCopy+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > q.maxCopy {
		return nil, nil
	}
	out.Size = int64(len(data))
	return data, nil
}

// Count is how many entries are in quarantine.
func (q *Quarantine) Count() (int, error) {
	names, err := q.entries()
	return len(names), err
}

func (q *Quarantine) entries() ([]string, error) {
	names, err := filepath.Glob(filepath.Join(q.dir, "*.problem.json"))
	if err != nil {
		return nil, fmt.Errorf("listing the quarantine: %w", err)
	}
	return names, nil
}

// List returns what is in quarantine, by file and then by place.
func (q *Quarantine) List() ([]Quarantined, error) {
	names, err := q.entries()
	if err != nil {
		return nil, err
	}
	var out []Quarantined
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("listing the quarantine: %w", err)
		}
		var e Quarantined
		if err := json.Unmarshal(data, &e); err != nil {
			return nil, fmt.Errorf("listing the quarantine: %s is damaged: %w; remove it", name, err)
		}
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Record != b.Record {
			return a.Record < b.Record
		}
		return a.ID < b.ID
	})
	return out, nil
}

// Remove takes one entry out of the quarantine, and its copy where no other
// entry has it. Removing what is not there is no error.
func (q *Quarantine) Remove(id string) error {
	all, err := q.List()
	if err != nil {
		return err
	}
	gone, shared := "", false
	for _, e := range all {
		if e.ID == id {
			gone = e.Copy
		}
	}
	for _, e := range all {
		shared = shared || e.ID != id && e.Copy == gone
		if e.ID == id {
			if err := os.Remove(filepath.Join(q.dir, id+".problem.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("quarantine: %w", err)
			}
		}
	}
	if gone != "" && !shared {
		if err := os.Remove(filepath.Join(q.dir, filepath.Base(gone))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	return nil
}

// Oldest entries that would have to go for the rest to have at most so many bytes and
// be at most so many, the oldest first; bytes is what they have.
func (q *Quarantine) Oldest(mostBytes int64, most int) (ids []string, bytes int64, err error) {
	all, err := q.List()
	if err != nil {
		return nil, 0, err
	}
	type aged struct {
		Quarantined
		at    time.Time
		bytes int64
	}
	var out []aged
	var sum int64
	for _, e := range all {
		a := aged{Quarantined: e}
		for _, name := range []string{e.ID + ".problem.json", e.Copy} {
			if fi, err := os.Stat(filepath.Join(q.dir, filepath.Base(name))); name != "" && err == nil {
				a.bytes += fi.Size()
				if name != e.Copy {
					a.at = fi.ModTime()
				}
			}
		}
		sum += a.bytes
		out = append(out, a)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].at.Before(out[j].at) })
	for i := 0; i < len(out) && (sum > mostBytes || len(out)-i > most); i++ {
		ids, bytes, sum = append(ids, out[i].ID), bytes+out[i].bytes, sum-out[i].bytes
	}
	return ids, bytes, nil
}

// copyExt keeps a short, harmless extension of the file's name.
func copyExt(name string) string {
	ext := strings.ToLower(filepath.Ext(name))
	if len(ext) < 2 || len(ext) > 10 {
		return ".bin"
	}
	for _, c := range ext[1:] {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return ".bin"
		}
	}
	return ext
}

// writeOnce writes data to name unless it is there with that size; a reader
// never sees half a file.
func writeOnce(name string, data []byte) error {
	if info, err := os.Stat(name); err == nil && info.Size() == int64(len(data)) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
