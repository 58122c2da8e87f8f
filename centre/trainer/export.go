package trainer

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"rxedge/inference/semantic"
	"rxedge/sync/bundle"
	"rxedge/sync/durable"
)

// fill the request's folder with what is published: documents, golden questions, the
// champion's file. It is written beside and put in its place whole, so that a folder that
// is there is complete.
func (t *Trainer) fill(q *Request, dir string) (hash bundle.Hash, err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return hash, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return hash, err
	}
	defer os.RemoveAll(tmp)
	set, err := t.Folder.Released(t.Options.Channel)
	if err != nil {
		return hash, err
	}
	if err := t.documents(q, set, tmp); err != nil {
		return hash, fmt.Errorf("exporting the documents: %w", err)
	}
	if err := t.champion(q, set, tmp); err != nil {
		return hash, fmt.Errorf("exporting the model that serves: %w", err)
	}
	b, hash, err := q.encode()
	if err != nil {
		return hash, err
	}
	if err := os.WriteFile(filepath.Join(tmp, SchemaFile), RequestSchema, 0o600); err != nil {
		return hash, err
	}
	if err := os.WriteFile(filepath.Join(tmp, RequestFile), b, 0o600); err != nil {
		return hash, err
	}
	if err := syncTree(tmp); err != nil {
		return hash, err
	}
	if err := os.RemoveAll(dir); err != nil { // of one that was killed before it was put on record
		return hash, err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return hash, err
	}
	return hash, durable.SyncDir(filepath.Dir(dir))
}

func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return durable.SyncDir(path)
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// documents of the set, one a line, as they are published.
func (t *Trainer) documents(q *Request, set *bundle.Set, dir string) error {
	d := &q.Documents
	d.Channel, d.File, d.Versions = t.Options.Channel, DocumentsFile, []DocumentVersion{}
	f, err := os.OpenFile(filepath.Join(dir, DocumentsFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	w := bufio.NewWriter(io.MultiWriter(f, sum))
	if set != nil {
		d.Bundle = set.Manifest.Number
	}
	if err := set.Each(func(id string, content func() ([]byte, error)) error {
		c, err := content()
		if err != nil {
			return err
		}
		line, err := t.Line(id, c)
		if err != nil {
			return err
		}
		h := sha256.Sum256(line)
		d.Versions = append(d.Versions, DocumentVersion{id, hex.EncodeToString(h[:])})
		_, err = w.Write(append(line, '\n'))
		return err
	}); err != nil {
		return err
	}
	d.Count = len(d.Versions)
	if err := w.Flush(); err != nil {
		return err
	}
	d.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f.Close()
}

// champion is the embedder that the newest bundle for all has, or else the built-in one. Golden questions of the bundle go along.
func (t *Trainer) champion(q *Request, set *bundle.Set, dir string) error {
	c := &q.Model.Champion
	c.Lineage, q.Golden = []Ancestor{}, []File{}
	var artefacts []bundle.Artefact
	if set != nil {
		artefacts = set.Manifest.Artefacts
	}
	for i := range artefacts {
		a := &artefacts[i]
		switch a.Kind {
		case bundle.KindGolden:
			name := goldenFolder + "/" + a.Name
			if err := copyFile(t.Folder.ArtefactPath(a), filepath.Join(dir, name), a.SHA256); err != nil {
				return err
			}
			q.Golden = append(q.Golden, File{name, a.SHA256.String()})
		case bundle.KindModel:
			if sum, err := semantic.Sum(t.Folder.ArtefactPath(a)); err != nil || sum == "" {
				if err != nil {
					return err
				}
				continue
			}
			c.Name, c.SHA256, c.Bundle, c.File = strings.TrimSuffix(a.Name, filepath.Ext(a.Name)), a.SHA256.String(), set.Manifest.Number, championFile
			if err := copyFile(t.Folder.ArtefactPath(a), filepath.Join(dir, championFile), a.SHA256); err != nil {
				return err
			}
		}
	}
	if c.SHA256 == "" {
		m, err := semantic.Builtin()
		if err != nil {
			return err
		}
		c.Name, c.Builtin = m.Info().Name, true
	}
	all, err := t.Folder.Matters()
	if err != nil {
		return err
	}
	for sum, i := c.SHA256, len(all)-1; i >= 0 && sum != ""; i-- {
		if r, err := RegisteredOf(all[i]); err != nil {
			return err
		} else if r != nil && r.SHA256 == sum {
			c.Lineage = append(c.Lineage, Ancestor{all[i].ID, sum, r.Champion})
			sum = r.Champion
		}
	}
	return nil
}

func copyFile(from, to string, want bundle.Hash) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum), in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if bundle.Hash(sum.Sum(nil)) != want {
		return fmt.Errorf("%s is damaged in the centre's folder; restore it from its backup", filepath.Base(to))
	}
	return nil
}
