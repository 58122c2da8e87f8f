package catalog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
	v, err := huggingface.Prepare(src.model, huggingface.Options{Name: o.Name, Type: huggingface.Type(o.Type)})
	if err != nil {
		return Entry{}, err
	}
	defer v.Close()
	out := filepath.Join(c.conversions(), src.conversion(o))
	begun := int64(0)
	if st, err := os.Stat(out + huggingface.PartSuffix); err == nil {
		begun = st.Size()
	}
	if err := c.room(v.Size() - begun); err != nil {
		return Entry{}, err
	}
	report, err := v.Write(ctx, out, progress)
	if err != nil {
		return Entry{}, err
	}
	defer os.Remove(out) // gone already where all went well
	f, err := os.Open(out)
	if err != nil {
		return Entry{}, fmt.Errorf("model catalog: %w", err)
	}
	defer f.Close()
	e := Entry{Format: "gguf", ConvertedFrom: "huggingface", Notes: report.Summary(), Source: filepath.Base(src.model)}
	if report.Quantisation != "" {
		e.Notes = append([]string{"quantised by " + report.Quantisation}, e.Notes...)
	}
	if e.SHA256, e.Size, err = copyHashed(ctx, nil, f, nil); err != nil {
		return Entry{}, err
	}
	if e.Facts, err = inspectFile(out, src.model); err != nil {
		return Entry{}, err
	}
	o.apply(&e)
	return c.commit(ctx, f, e)
}
