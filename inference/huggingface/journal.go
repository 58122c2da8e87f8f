package huggingface

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"rxedge/inference/gguf"
)

// journalVersion changes with the bytes that this package writes for the same
// plan.
const journalVersion = 1

// identity is a source file as it was when it was read.
type identity struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Time int64  `json:"time"` // of its last change, Unix nanoseconds
}

// entry is a line of the journal: a tensor that is in the part file.
type entry struct {
	TensorReport
	SHA256 string `json:"sha256"` // of its data
}

// identify notes the files that the tensors come from.
func (v *Conversion) identify() error {
	seen := make(map[string]bool)
	for _, t := range v.c.Tensors() {
		name := v.c.File(t)
		if seen[name] {
			continue
		}
		seen[name] = true
		st, err := os.Stat(filepath.Join(v.dir, name))
		if err != nil {
			return err
		}
		v.identities = append(v.identities, identity{name, st.Size(), st.ModTime().UnixNano()})
	}
	return nil
}

// fingerprint tells conversions apart: of the head, the sources and how each
// tensor is made of them.
func (v *Conversion) fingerprint(head []byte) string {
	h := sha256.New()
	abs, _ := filepath.Abs(v.dir)
	fmt.Fprintf(h, "%d %q %x %+v\n", journalVersion, abs, sha256.Sum256(head), v.identities)
	for _, it := range v.items {
		fmt.Fprintf(h, "%q %q %v %q\n", it.name, it.module, it.as, it.note)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// journal keeps the part file and the list of what is in it.
type journal struct {
	part, list *os.File
	entries    []entry // as found
}

// openJournal opens what is there for out, and begins anew where that belongs
// to another conversion.
func openJournal(out, fingerprint string) (*journal, error) {
	j := &journal{}
	var err error
	if j.part, err = os.OpenFile(out+PartSuffix, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	if j.list, err = os.OpenFile(out+JournalSuffix, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		j.close()
		return nil, err
	}
	line := append([]byte(fingerprint), '\n')
	b, err := io.ReadAll(j.list)
	if err != nil {
		j.close()
		return nil, err
	}
	if rest, ok := bytes.CutPrefix(b, line); ok {
		j.entries = parseEntries(rest)
	}
	return j, errors.Join(err, j.rewrite(line))
}

// rewrite makes the list what is known to be good: a crash may have torn its
// last line.
func (j *journal) rewrite(first []byte) error {
	if err := j.list.Truncate(0); err != nil {
		return err
	}
	if _, err := j.list.WriteAt(first, 0); err != nil {
		return err
	}
	_, err := j.list.Seek(0, io.SeekEnd)
	return err
}

// parseEntries reads lines up to the first that is not whole.
func parseEntries(b []byte) []entry {
	var out []entry
	for {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			return out
		}
		var e entry
		if json.Unmarshal(line, &e) != nil {
			return out
		}
		out = append(out, e)
		b = rest
	}
}

// verify compares the part file with the journal and returns the tensors, from
// the first on, that are there as they were written.
func (j *journal) verify(ctx context.Context, head []byte, tensors []gguf.Tensor) ([]entry, error) {
	found := j.entries[:min(len(j.entries), len(tensors))]
	st, err := j.part.Stat()
	if err != nil {
		return nil, err
	}
	begin := make([]byte, len(head))
	if _, err := j.part.ReadAt(begin, 0); err != nil || !bytes.Equal(begin, head) {
		found = nil
	}
	at := int64(len(head))
	good := 0
	for i, e := range found {
		n := int64(tensors[i].Bytes())
		if e.Name != tensors[i].Name || at+n > st.Size() {
			break
		}
		h := sha256.New()
		r := bufio.NewReaderSize(&cancelled{ctx, io.NewSectionReader(j.part, at, n)}, 1<<20)
		if _, err := io.Copy(h, r); err != nil {
			return nil, err
		}
		if hex.EncodeToString(h.Sum(nil)) != e.SHA256 {
			break
		}
		good++
		at += (n + alignment - 1) / alignment * alignment
	}
	if good == 0 {
		if err := j.part.Truncate(0); err != nil {
			return nil, err
		}
	}
	for _, e := range found[:good] {
		if err := j.add(e); err != nil {
			return nil, err
		}
	}
	return slices.Clip(found[:good]), nil
}

// alignment of tensors in a GGUF file that does not set another.
const alignment = 32

// add notes a tensor. It need not be on disk: verify finds out what is.
func (j *journal) add(e entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = j.list.Write(append(b, '\n'))
	return err
}

// finish puts the file, of size bytes, in its place.
func (j *journal) finish(out string, size int64) error {
	if err := errors.Join(j.part.Truncate(size), j.part.Sync()); err != nil {
		return err
	}
	if err := os.Rename(out+PartSuffix, out); err != nil {
		return err
	}
	return errors.Join(os.Remove(out+JournalSuffix), syncDir(out))
}

func (j *journal) close() {
	for _, f := range []*os.File{j.part, j.list} {
		if f != nil {
			f.Close()
		}
	}
}

// cancelled is a reader that ends with its context.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
