package catalog

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rxedge/inference/bert"
	"rxedge/inference/gguf"
	"rxedge/inference/huggingface"
)

// name that a model gets of itself.
func (s source) name() string {
	if !s.folder {
		return nameFrom(filepath.Base(s.model))
	}
	if abs, err := filepath.Abs(s.model); err == nil {
		return nameFrom(filepath.Base(abs) + ".gguf") // nameFrom takes an ending off
	}
	return ""
}

// conversion is the base name of the file that a folder is converted into, the
// same each time; "" for other sources.
func (s source) conversion(o ImportOptions) string {
	abs, err := filepath.Abs(s.model)
	if !s.folder || err != nil {
		return ""
	}
	return fmt.Sprintf("%.12x.gguf", sha256.Sum256(fmt.Appendf(nil, "%q %q %q", abs, o.Type, o.Name)))
}

// clearConversions removes all unfinished conversions but keep.
func (c *Catalog) clearConversions(keep string) error {
	files, err := os.ReadDir(c.conversions())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		if keep != "" && strings.HasPrefix(f.Name(), keep) {
			continue
		}
		if err := os.Remove(filepath.Join(c.conversions(), f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// importFolder converts a folder of Hugging Face. The lock is held.
func (c *Catalog) importFolder(ctx context.Context, src source, o ImportOptions, progress func(done, total int64)) (Entry, error) {
	out := filepath.Join(c.conversions(), src.conversion(o))
	convert := c.convertDecoder
	if slices.ContainsFunc(huggingface.Architectures(src.model), bert.Supports) {
		convert = c.convertBERT
	}
	notes, err := convert(ctx, src.model, out, o, progress)
	if err != nil {
		return Entry{}, err
	}
	defer os.Remove(out) // gone already where all went well
	f, err := os.Open(out)
	if err != nil {
		return Entry{}, fmt.Errorf("model catalog: %w", err)
	}
	defer f.Close()
	e := Entry{Format: "gguf", ConvertedFrom: "huggingface", Notes: notes, Source: filepath.Base(src.model)}
	if e.SHA256, e.Size, err = copyHashed(ctx, nil, f, nil); err != nil {
		return Entry{}, err
	}
	if e.Facts, err = inspectFile(out, src.model); err != nil {
		return Entry{}, err
	}
	o.apply(&e)
	return c.commit(ctx, f, e)
}

// convertDecoder converts a model that writes text, and goes on with what a
// killed import left at out.
func (c *Catalog) convertDecoder(ctx context.Context, dir, out string, o ImportOptions, progress func(done, total int64)) ([]string, error) {
	v, err := huggingface.Prepare(dir, huggingface.Options{Name: o.Name, Type: huggingface.Type(o.Type)})
	if err != nil {
		return nil, err
	}
	defer v.Close()
	begun := int64(0)
	if st, err := os.Stat(out + huggingface.PartSuffix); err == nil {
		begun = st.Size()
	}
	if err := c.room(v.Size() - begun); err != nil {
		return nil, err
	}
	report, err := v.Write(ctx, out, progress)
	if err != nil {
		return nil, err
	}
	notes := report.Summary()
	if report.Quantisation != "" {
		notes = append([]string{"quantised by " + report.Quantisation}, notes...)
	}
	return notes, nil
}

// convertBERT converts a model of the BERT family. These are small: what a
// killed import left is done again.
func (c *Catalog) convertBERT(ctx context.Context, dir, out string, o ImportOptions, progress func(done, total int64)) ([]string, error) {
	types := map[string]gguf.Type{"": gguf.F32, "f32": gguf.F32, "f16": gguf.F16, "q8_0": gguf.Q8_0}
	as, ok := types[o.Type]
	if !ok {
		return nil, fmt.Errorf("models of the BERT family are written as f32, f16 or q8_0, not as %q", o.Type)
	}
	f, err := os.Create(out)
	if err != nil {
		return nil, fmt.Errorf("model catalog: %w", err)
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	report, err := bert.Convert(ctx, dir, buffered, bert.Options{Name: o.Name, Type: as}, progress)
	if err == nil {
		err = errors.Join(buffered.Flush(), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(out)
		return nil, err
	}
	return report.Notes, nil
}
