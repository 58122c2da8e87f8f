package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const (
	// IndexName is the file that says in which shard each tensor lies.
	IndexName = "model.safetensors.index.json"
	// SingleName is the file of a checkpoint that is not sharded.
	SingleName = "model.safetensors"

	extension      = ".safetensors"
	indexExtension = ".safetensors.index.json"
	maxIndex       = 64 << 20 // bytes
	maxShards      = 1 << 10
)

// Checkpoint is the heads of one or more files, with access to their tensors'
// data. It may be used by several goroutines.
type Checkpoint struct {
	tensors  []Tensor
	byName   map[string]int
	files    []file
	metadata map[string]string
}

type file struct {
	name   string // base name, "" after Read
	r      io.ReaderAt
	data   int64 // where its tensors begin
	closer io.Closer
}

// Open opens a safetensors file, or a folder that holds one or, with their
// index, several. Close it. Errors name the file; what is wrong with a file's
// content is a *FormatError underneath.
func Open(path string) (*Checkpoint, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		if strings.HasSuffix(path, indexExtension) {
			return openIndex(path)
		}
		return openFile(path)
	}
	if path, err = find(path); err != nil {
		return nil, err
	}
	return Open(path)
}

// find says which file of the folder to open.
func find(dir string) (string, error) {
	for _, name := range []string{IndexName, SingleName} {
		_, err := os.Stat(filepath.Join(dir, name))
		if err == nil {
			return filepath.Join(dir, name), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	for _, pattern := range []string{"*" + indexExtension, "*" + extension} {
		found, err := filepath.Glob(filepath.Join(escape(dir), pattern))
		if err != nil {
			return "", err
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return "", fmt.Errorf("%s holds %d files %s and no %s that says which belong together", dir, len(found), pattern, IndexName)
		}
	}
	return "", fmt.Errorf("%s holds no safetensors file", dir)
}

// escape keeps filepath.Glob from reading a folder's name as a pattern.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func openFile(path string) (*Checkpoint, error) {
	c := &Checkpoint{byName: make(map[string]int)}
	tensors, err := c.add(path)
	if err != nil {
		c.Close()
		return nil, err
	}
	c.take(tensors)
	return c, nil
}

// add opens one more file and returns its tensors.
func (c *Checkpoint) add(path string) ([]Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c.files = append(c.files, file{name: filepath.Base(path), r: f, closer: f})
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return c.head(f, st.Size())
}

// head reads the head of the last file.
func (c *Checkpoint) head(r io.ReaderAt, size int64) ([]Tensor, error) {
	at := len(c.files) - 1
	h, err := readHeader(r, size)
	var bad *FormatError
	if errors.As(err, &bad) {
		bad.File = c.files[at].name
	} else if err != nil {
		err = fmt.Errorf("%s: %w", c.files[at].name, err)
	}
	if err != nil {
		return nil, err
	}
	c.files[at].data = h.data
	for i := range h.tensors {
		h.tensors[i].file = at
	}
	if c.metadata == nil {
		c.metadata = h.metadata
	}
	return h.tensors, nil
}

func (c *Checkpoint) take(tensors []Tensor) {
	for _, t := range tensors {
		c.byName[t.Name] = len(c.tensors)
		c.tensors = append(c.tensors, t)
	}
}

// Read reads the head of a file of the given size in bytes.
func Read(r io.ReaderAt, size int64) (*Checkpoint, error) {
	c := &Checkpoint{byName: make(map[string]int), files: []file{{r: r}}}
	tensors, err := c.head(r, size)
	if err != nil {
		return nil, err
	}
	c.take(tensors)
	return c, nil
}

// openIndex opens the shards that an index names, which lie beside it.
func openIndex(path string) (*Checkpoint, error) {
	shards, err := readIndex(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	names := make([]string, 0, len(shards))
	for name := range shards {
		names = append(names, name)
	}
	sort.Strings(names)
	c := &Checkpoint{byName: make(map[string]int)}
	for _, name := range names {
		tensors, err := c.add(filepath.Join(filepath.Dir(path), name))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s names the shard %s, which is missing; fetch it too", path, name)
		}
		if err != nil {
			c.Close()
			return nil, err
		}
		want := shards[name]
		held := tensors[:0]
		for _, t := range tensors {
			if want[t.Name] {
				held = append(held, t)
				delete(want, t.Name)
			}
		}
		for missing := range want {
			c.Close()
			return nil, fmt.Errorf("%s places the tensor %.200q in %s, which does not hold it; the files do not belong together", path, missing, name)
		}
		c.take(held)
	}
	return c, nil
}

// readIndex returns the names of the tensors by shard.
func readIndex(path string) (map[string]map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxIndex {
		return nil, fmt.Errorf("it has more than %d MiB", maxIndex>>20)
	}
	return parseIndex(b)
}

func parseIndex(b []byte) (map[string]map[string]bool, error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("not an index of shards: %w", err)
	}
	if len(index.WeightMap) == 0 {
		return nil, errors.New("not an index of shards: it has no weight_map")
	}
	if len(index.WeightMap) > maxTensors {
		return nil, fmt.Errorf("it names %d tensors, more than %d", len(index.WeightMap), maxTensors)
	}
	shards := make(map[string]map[string]bool)
	for tensor, name := range index.WeightMap {
		if name != filepath.Base(name) || strings.ContainsAny(name, `/\`) || !strings.HasSuffix(name, extension) {
			return nil, fmt.Errorf("it places the tensor %.200q in %.200q, which is no name of a safetensors file beside it", tensor, name)
		}
		if shards[name] == nil {
			shards[name] = make(map[string]bool)
		}
		shards[name][tensor] = true
	}
	if len(shards) > maxShards {
		return nil, fmt.Errorf("it names %d shards, more than %d", len(shards), maxShards)
	}
	return shards, nil
}

// Close closes the files that Open opened.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		if f.closer != nil {
			errs = append(errs, f.closer.Close())
		}
	}
	return errors.Join(errs...)
}

// Tensors of all files, in the order of the files and their data. The caller
// leaves them as they are.
func (c *Checkpoint) Tensors() []Tensor { return c.tensors }

// Tensor finds a tensor by name.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	i, ok := c.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return c.tensors[i], true
}

// Metadata is the texts under __metadata__ of the first file that has them. The
// caller leaves it as it is.
func (c *Checkpoint) Metadata() map[string]string { return c.metadata }

// File is the base name of the file that holds the tensor.
func (c *Checkpoint) File(t Tensor) string { return c.files[t.file].name }

// Size is the bytes of all tensors.
func (c *Checkpoint) Size() int64 {
	var n int64
	for _, t := range c.tensors {
		n += t.Bytes()
	}
	return n
}
