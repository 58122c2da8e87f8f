package catalog

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"rxedge/inference/gguf"
	"rxedge/inference/huggingface"
	"rxedge/inference/llama2c"
)

const temporaryPrefix = ".import-"

// ImportOptions of Import.
type ImportOptions struct {
	Name    string // "": made from the file's name
	Kind    Kind   // "": as Inspect finds
	Licence string // "": as the file states
	// Lineage of a model that was made from another of the catalog.
	Lineage *Lineage
	// Type of plain matrices in a folder of Hugging Face: f16, q8_0 or q4_0; "":
	// as they are, of the BERT family F32. Weights that are quantised already stay so.
	Type string
}

// NameTakenError says that another model has the name already.
type NameTakenError struct {
	Name   string
	SHA256 string // of the model that has it
}

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("the name %q belongs to another model (SHA-256 %.12s…); choose another with --name, or remove that one first", e.Name, e.SHA256)
}

// Import copies a model into the catalog: a GGUF file, a llama2.c checkpoint
// with its tokenizer beside it (tok*.bin), a folder that holds one of these, or
// a folder as Hugging Face publishes models (config.json, *.safetensors).
// All but GGUF files are converted. progress, which may be nil, is told the
// bytes done and their total, of a conversion roughly.
//
// Importing the same file under the same name again changes nothing and
// returns the entry that is there. Another model of that name is a
// *NameTakenError. Whatever the error, and when ctx ends, nothing is left
// behind; where the process is killed while it converts a folder of Hugging
// Face, importing that again goes on where it was. It waits for another import
// until ctx ends.
func (c *Catalog) Import(ctx context.Context, path string, o ImportOptions, progress func(done, total int64)) (Entry, error) {
	src, err := locate(path)
	if err != nil {
		return Entry{}, err
	}
	if o.Name == "" {
		o.Name = src.name()
	}
	if !validName.MatchString(o.Name) {
		return Entry{}, fmt.Errorf("%q can't be a model's name: use letters, digits, '.', '_' and '-', at most 100 (--name)", o.Name)
	}
	switch o.Kind {
	case "", Generator, Embedder, Reranker, Entailer:
	default:
		return Entry{}, fmt.Errorf("kind %q: a model is a generator, an embedder, a reranker or an entailer", o.Kind)
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return Entry{}, err
	}
	defer unlock()
	if err := c.clear(src.conversion(o)); err != nil {
		return Entry{}, fmt.Errorf("model catalog: %w", err)
	}
	if src.folder {
		return c.importFolder(ctx, src, o, progress)
	}
	if err := c.room(src.size); err != nil {
		return Entry{}, err
	}
	tmp, err := os.CreateTemp(c.blobs(), temporaryPrefix+"*")
	if err != nil {
		return Entry{}, fmt.Errorf("model catalog: %w", err)
	}
	defer os.Remove(tmp.Name()) // gone already where all went well
	defer tmp.Close()
	e, err := c.stage(ctx, tmp, src, progress)
	if err != nil {
		return Entry{}, err
	}
	e.Source = filepath.Base(path)
	o.apply(&e)
	return c.commit(ctx, tmp, e)
}

// apply lays what was asked for over what was found.
func (o ImportOptions) apply(e *Entry) {
	e.Name, e.Lineage = o.Name, o.Lineage
	if o.Kind != "" {
		e.Kind = o.Kind
	}
	if o.Licence != "" {
		e.Licence = o.Licence
	}
}

// source is what an import reads.
type source struct {
	model, tokenizer string // tokenizer only with a llama2.c checkpoint
	size             int64  // of model
	folder           bool   // model is a folder as Hugging Face publishes them
}

func (s source) llama2c() bool { return s.tokenizer != "" }

// locate finds the files of the model at path and what they are.
func locate(path string) (source, error) {
	st, err := os.Stat(path)
	if err != nil {
		return source{}, err
	}
	if st.IsDir() {
		if huggingface.IsModel(path) {
			return source{model: path, folder: true}, nil
		}
		if path, err = modelIn(path); err != nil {
			return source{}, err
		}
		if st, err = os.Stat(path); err != nil {
			return source{}, err
		}
	}
	if !st.Mode().IsRegular() {
		return source{}, fmt.Errorf("%s is no regular file", path)
	}
	src := source{model: path, size: st.Size()}
	gg, err := isGGUF(path)
	switch {
	case err != nil:
		return source{}, err
	case gg:
		return src, nil
	case isTokenizer(path):
		return source{}, fmt.Errorf("%s is the tokenizer; name the model's file or the folder", path)
	case filepath.Ext(path) != ".bin":
		return source{}, fmt.Errorf("%s is neither a GGUF file nor a llama2.c checkpoint (.bin)", path)
	}
	tokenizers, err := matching(filepath.Dir(path), isTokenizer)
	if err != nil {
		return source{}, err
	}
	if len(tokenizers) != 1 {
		return source{}, fmt.Errorf("%s: a llama2.c checkpoint needs one tokenizer file (tok*.bin) beside it, and there are %d", path, len(tokenizers))
	}
	src.tokenizer = tokenizers[0]
	return src, nil
}

func modelIn(dir string) (string, error) {
	models, err := matching(dir, func(p string) bool {
		ext := filepath.Ext(p)
		return ext == ".gguf" || ext == ".bin" && !isTokenizer(p)
	})
	if err != nil {
		return "", err
	}
	if len(models) != 1 {
		return "", fmt.Errorf("%s holds %d models (*.gguf, *.bin); name the file", dir, len(models))
	}
	return models[0], nil
}

func matching(dir string, want func(string) bool) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		if p := filepath.Join(dir, f.Name()); !f.IsDir() && want(p) {
			out = append(out, p)
		}
	}
	return out, nil
}

func isTokenizer(path string) bool {
	base := filepath.Base(path)
	return strings.HasPrefix(base, "tok") && filepath.Ext(base) == ".bin"
}

func isGGUF(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var head [4]byte
	_, err = io.ReadFull(f, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return string(head[:]) == "GGUF" || filepath.Ext(path) == ".gguf", nil
}

func nameFrom(base string) string {
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, base)
	name = strings.TrimLeft(name, "._-")
	return name[:min(len(name), 100)]
}

// stage writes the model as GGUF into tmp, synced, and says what it is.
func (c *Catalog) stage(ctx context.Context, tmp *os.File, src source, progress func(done, total int64)) (Entry, error) {
	e := Entry{Format: "gguf"}
	var err error
	if src.llama2c() {
		e.ConvertedFrom = "llama2c"
		h := &hashWriter{ctx: ctx, w: tmp, hash: sha256.New(), progress: func(done int64) { progress(min(done, src.size), src.size) }}
		name := strings.TrimSuffix(filepath.Base(src.model), filepath.Ext(src.model))
		buffered := bufio.NewWriterSize(h, 1<<20)
		if err = llama2c.ConvertFiles(buffered, src.model, src.tokenizer, llama2c.Options{Name: name}); err == nil {
			err = buffered.Flush()
		}
		if err != nil {
			return Entry{}, err
		}
		e.SHA256, e.Size = h.sum(), h.n
		progress(src.size, src.size)
	} else {
		// A look at the head first spares copying what is no model.
		if _, err = inspectFile(src.model, src.model); err != nil {
			return Entry{}, err
		}
		in, err := os.Open(src.model)
		if err != nil {
			return Entry{}, err
		}
		defer in.Close()
		e.SHA256, e.Size, err = copyHashed(ctx, tmp, in, func(done int64) { progress(done, max(done, src.size)) })
		if err != nil {
			return Entry{}, fmt.Errorf("copying %s: %w", src.model, err)
		}
	}
	if err := tmp.Sync(); err != nil {
		return Entry{}, fmt.Errorf("model catalog: %w", err)
	}
	// The facts come from the copy: the source may have changed meanwhile.
	e.Facts, err = inspectFile(tmp.Name(), src.model)
	return e, err
}

// inspectFile inspects the file at path and speaks of it as called.
func inspectFile(path, called string) (Facts, error) {
	f, err := os.Open(path)
	if err != nil {
		return Facts{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Facts{}, err
	}
	g, err := gguf.Read(f, st.Size())
	if err != nil {
		return Facts{}, fmt.Errorf("%s: %w", called, err)
	}
	facts, err := Inspect(g)
	if err != nil {
		return Facts{}, fmt.Errorf("%s: %w", called, err)
	}
	return facts, nil
}

// commit puts the staged file and its entry in their places.
func (c *Catalog) commit(ctx context.Context, tmp *os.File, e Entry) (Entry, error) {
	was, err := c.read(e.Name)
	known := err == nil
	switch {
	case known && was.SHA256 != e.SHA256:
		return Entry{}, &NameTakenError{Name: e.Name, SHA256: was.SHA256}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return Entry{}, err
	}
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	// A file that is there already stays, since an engine may have it mapped,
	// but not one that was damaged: importing again is how that is mended.
	reason, err := c.verify(ctx, e)
	if err != nil {
		return Entry{}, err
	}
	if reason != "" {
		if err := c.placeBlob(tmp, e); err != nil {
			return Entry{}, fmt.Errorf("model catalog: %w", err)
		}
	}
	if known {
		return was, nil
	}
	e.ImportedAt = c.now().UTC().Truncate(1e9)
	if err := c.writeEntry(e); err != nil {
		c.clear("")
		return Entry{}, fmt.Errorf("model catalog: %w", err)
	}
	return e, nil
}

func (c *Catalog) placeBlob(tmp *os.File, e Entry) error {
	if err := tmp.Chmod(0o444); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), c.Path(e)); err != nil {
		return err
	}
	return syncDir(c.blobs())
}

func (c *Catalog) writeEntry(e Entry) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(c.entries(), temporaryPrefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), c.entryPath(e.Name)); err != nil {
		return err
	}
	return syncDir(c.entries())
}

// copyHashed copies src to dst (nil: nowhere) until ctx ends and returns the
// SHA-256 and the bytes.
func copyHashed(ctx context.Context, dst io.Writer, src io.Reader, progress func(done int64)) (string, int64, error) {
	h := &hashWriter{ctx: ctx, w: dst, hash: sha256.New(), progress: progress}
	buf := make([]byte, 1<<20)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := h.Write(buf[:n]); err != nil {
				return "", h.n, err
			}
		}
		if errors.Is(err, io.EOF) {
			return h.sum(), h.n, nil
		}
		if err != nil {
			return "", h.n, err
		}
	}
}

// hashWriter hashes and counts what passes, and refuses it when ctx has ended.
type hashWriter struct {
	ctx      context.Context
	w        io.Writer // nil: nowhere
	hash     hash.Hash
	n        int64
	progress func(done int64)
}

func (h *hashWriter) sum() string { return hex.EncodeToString(h.hash.Sum(nil)) }

func (h *hashWriter) Write(p []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	h.hash.Write(p)
	if h.w != nil {
		if n, err := h.w.Write(p); err != nil {
			return n, err
		}
	}
	h.n += int64(len(p))
	if h.progress != nil {
		h.progress(h.n)
	}
	return len(p), nil
}
