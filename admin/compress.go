package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"rxedge/daemon/box"
	profiles "rxedge/firmware-profiles"
	"rxedge/inference/catalog"
	"rxedge/inference/compress"
)

// quantised is the result of 'model quantize'.
type quantised struct {
	Entry  catalog.Entry           `json:"entry"`
	Report compress.QuantizeReport `json:"report"`
}

func (a *app) modelQuantize() *cobra.Command {
	var (
		o       compress.QuantizeOptions
		name    string
		texts   string
		indexed bool
	)
	c := &cobra.Command{
		Use:   "quantize NAME --type TYPE",
		Short: "Make a model of the catalog smaller, through llama.cpp",
		Long: `Quantise a model of the catalog and put the result beside it, with what it was made
from. An importance matrix, of a file of plain text or of passages of the index,
says which weights matter to such texts; Q4 and below gain by it.

Types: ` + strings.Join(compress.Types, ", ") + `.
A tensor whose rows are no multiple of the type's block gets another type; they are
listed. 'rxedge model compare' says what it cost.`,
		Example: `  rxedge model quantize qwen-f16 --type Q4_K_M --imatrix-index
  rxedge model quantize qwen-f16 --type Q5_K_M --imatrix-texts labels.txt --name qwen-small`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			t, err := compress.CheckType(o.Type)
			if err != nil {
				return usage("--type: %w", err)
			}
			o.Type = t
			if texts != "" && indexed {
				return usage("--imatrix-texts and --imatrix-index exclude each other")
			}
			if err := exists("--imatrix-texts", texts); err != nil {
				return err
			}
			w, err := a.workshop(given[0], cmp.Or(name, given[0]+"-"+t))
			if err != nil {
				return err
			}
			defer w.close()
			tools, err := compress.FindTools()
			if err != nil {
				return err
			}
			if (texts != "" || indexed) && w.from.Kind != catalog.Generator {
				return &refusedError{fmt.Sprintf("model %s is no generator, and importance matrices are made of what a generator writes; leave out --imatrix-texts and --imatrix-index", w.from.Name)}
			}
			if err := w.room(bitsAtMost(t)); err != nil {
				return err
			}
			if o.Texts = texts; indexed {
				o.Texts = filepath.Join(w.dir, "passages.txt")
				if err := a.passages(c.Context(), o.Texts); err != nil {
					return err
				}
			}
			bar := a.progress()
			defer bar.finish()
			o.Progress = bar.set
			out := filepath.Join(w.dir, "model.gguf")
			var res quantised
			if res.Report, err = tools.Quantize(c.Context(), w.path, out, o); err != nil {
				if errors.Is(err, compress.ErrQuantised) {
					return &refusedError{err.Error()}
				}
				return err
			}
			lineage := catalog.Lineage{How: "quantize", Type: t}
			if im := res.Report.Importance; im != nil {
				lineage.TextsSHA256 = im.TextsSHA256
			}
			if res.Entry, err = w.put(c.Context(), out, lineage, bar); err != nil {
				return err
			}
			bar.finish()
			if a.json {
				return a.print(res)
			}
			r := res.Report
			a.printf("%s: %s, %s from %s (%.2f bits a weight)\n  sha256 %s\n", res.Entry.Name, r.Type, size(r.BytesAfter), size(r.BytesBefore), r.BitsPerWeight, res.Entry.SHA256)
			if r.Importance != nil {
				a.printf("  importance matrix of %d chunks of %d tokens\n", r.Importance.Chunks, r.Importance.Context)
			}
			if len(r.Fallbacks) > 0 {
				f := r.Fallbacks[0]
				a.printf("  %d of %d tensors have another type, as their rows are no multiple of its block: %s has rows of %d, and became %s\n", len(r.Fallbacks), r.Tensors, f.Tensor, f.Columns, f.Got)
			}
			a.printf("What it cost: rxedge model compare %s %s --texts FILE\n", w.from.Name, res.Entry.Name)
			return nil
		},
	}
	c.Flags().StringVar(&o.Type, "type", "Q4_K_M", "type to quantise to")
	c.Flags().StringVar(&texts, "imatrix-texts", "", "plain text `file` for an importance matrix")
	c.Flags().BoolVar(&indexed, "imatrix-index", false, "an importance matrix of passages of the index")
	c.Flags().IntVar(&o.Chunks, "imatrix-chunks", 0, "most chunks of texts that are read (default all)")
	c.Flags().BoolVar(&o.Requantize, "requantize", false, "take a model that is quantised already")
	c.Flags().StringVar(&name, "name", "", "name in the catalog (default NAME-TYPE)")
	c.Flags().IntVar(&o.Threads, "threads", 0, "threads (default one a core)")
	return c
}

// prunedModel is the result of 'model prune'.
type prunedModel struct {
	Entry catalog.Entry `json:"entry"`
	// DequantisedFirst: the model's form could not be pruned, and llama.cpp made
	// F16 of it.
	DequantisedFirst bool                 `json:"dequantised_first"`
	Report           compress.PruneReport `json:"report"`
}

func (a *app) modelPrune() *cobra.Command {
	var (
		o      compress.PruneOptions
		layers string
		name   string
	)
	c := &cobra.Command{
		Use:   "prune NAME --sparsity SHARE",
		Short: "Set the smallest weights of each matrix of a model to zero",
		Long: `Set a share of the weights of each two-dimensional matrix of the layers to zero, the
smallest magnitudes first; embeddings, norms and the head stay. A quantised model is
made F16 first. The result is put into the catalog with what it was made from.

` + wrap(compress.PruneNote, "", lineWidth) + `
'rxedge model compare' says what it cost.`,
		Example: `  rxedge model prune qwen-f16 --sparsity 0.3
  rxedge model prune qwen-f16 --sparsity 0.5 --layers 4-20,23`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if !(o.Sparsity > 0 && o.Sparsity < 1) {
				return usage("--sparsity: %v is no share between 0 and 1", o.Sparsity)
			}
			var err error
			if o.Layers, err = compress.ParseLayers(layers); err != nil {
				return usage("--layers: %w", err)
			}
			w, err := a.workshop(given[0], cmp.Or(name, fmt.Sprintf("%s-pruned%s", given[0], strconv.FormatFloat(100*o.Sparsity, 'g', 4, 64))))
			if err != nil {
				return err
			}
			defer w.close()
			bits := bitsAtMost("F16")
			if w.from.Quantisation == "F32" {
				bits = bitsAtMost("F32")
			}
			if err := w.room(bits); err != nil {
				return err
			}
			bar := a.progress()
			defer bar.finish()
			o.Progress = func(done, total int64) { bar.set("pruning", done, total) }
			out := filepath.Join(w.dir, "model.gguf")
			var res prunedModel
			res.Report, err = compress.Prune(c.Context(), w.path, out, o)
			var unreadable *compress.UnreadableTypeError
			if errors.As(err, &unreadable) {
				tools, missing := compress.FindTools()
				if missing != nil {
					return fmt.Errorf("%w: %w", unreadable, missing)
				}
				plain := filepath.Join(w.dir, "f16.gguf")
				if _, err = tools.Quantize(c.Context(), w.path, plain, compress.QuantizeOptions{Type: "F16", Requantize: true, Progress: bar.set}); err != nil {
					return err
				}
				res.DequantisedFirst = true
				res.Report, err = compress.Prune(c.Context(), plain, out, o)
			}
			if err != nil {
				return err
			}
			res.Report.BytesBefore = w.from.Size
			if res.Entry, err = w.put(c.Context(), out, catalog.Lineage{How: "prune", Sparsity: o.Sparsity, Layers: o.Layers.String()}, bar); err != nil {
				return err
			}
			bar.finish()
			if a.json {
				return a.print(res)
			}
			r := res.Report
			a.printf("%s: %.1f %% of %d matrices is zero, %.1f %% of the whole model; %s from %s\n  sha256 %s\n", res.Entry.Name, 100*r.Achieved, len(r.Pruned), 100*r.Whole, size(r.BytesAfter), size(r.BytesBefore), res.Entry.SHA256)
			low := slices.MinFunc(r.Pruned, func(x, y compress.TensorSparsity) int { return cmp.Compare(x.After, y.After) })
			high := slices.MaxFunc(r.Pruned, func(x, y compress.TensorSparsity) int { return cmp.Compare(x.After, y.After) })
			a.printf("  least in %s: %.2f %%; most in %s: %.2f %% (--json lists all)\n", low.Tensor, 100*low.After, high.Tensor, 100*high.After)
			a.printf("%s\n", wrap(r.Note, "  ", lineWidth))
			a.printf("What it cost: rxedge model compare %s %s --texts FILE\n", w.from.Name, res.Entry.Name)
			return nil
		},
	}
	c.Flags().Float64Var(&o.Sparsity, "sparsity", 0, "`share` of each matrix that becomes zero, such as 0.3")
	c.Flags().StringVar(&layers, "layers", "", "layers, such as 0-3,7 (default all)")
	c.Flags().StringVar(&name, "name", "", "name in the catalog (default NAME-prunedPERCENT)")
	return c
}

// workshop is a folder in which a model is made from another.
type workshop struct {
	catalog *catalog.Catalog
	from    catalog.Entry
	path    string // of from
	name    string // of what is made
	dir     string
	lock    *os.File
}

const workPrefix = "work-"

// workshop opens one in the data folder, since the system's folder for
// temporary files is often small. Those that a kill left behind are removed.
// name is that of the model to be made, "" for none.
func (a *app) workshop(from, name string) (*workshop, error) {
	cfg, err := a.settings()
	if err != nil {
		return nil, err
	}
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return nil, err
	}
	w := &workshop{name: name}
	if w.catalog, err = catalog.Open(modelFolder(data)); err != nil {
		return nil, err
	}
	if w.from, err = w.catalog.Get(from); err != nil {
		return nil, err
	}
	w.path = w.catalog.Path(w.from)
	// Taken names show before the work and not after it. The same work done
	// again gives the same model, and changes nothing.
	if e, err := w.catalog.Get(name); name != "" && err == nil && (e.Lineage == nil || e.Lineage.From != w.from.SHA256) {
		return nil, &catalog.NameTakenError{Name: e.Name, SHA256: e.SHA256}
	}
	clearWork(data)
	if w.dir, err = os.MkdirTemp(data, workPrefix); err != nil {
		return nil, err
	}
	if w.lock, err = os.Create(filepath.Join(w.dir, "lock")); err == nil {
		err = unix.Flock(int(w.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *workshop) close() {
	os.RemoveAll(w.dir)
	if w.lock != nil {
		w.lock.Close()
	}
}

// clearWork removes workshops that nobody holds.
func clearWork(data string) {
	left, _ := filepath.Glob(filepath.Join(data, workPrefix+"*", "lock"))
	for _, path := range left {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.RemoveAll(filepath.Dir(path))
		}
		f.Close()
	}
}

// room says whether the disk holds the new model twice, here and in the
// catalog, at so many bits a weight.
func (w *workshop) room(bits uint64) error {
	need := 2 * w.from.Parameters / 8 * bits
	if free := box.DiskFree(w.dir); free != 0 && free < need {
		return fmt.Errorf("to make %s takes up to %s of room for a while, and the disk has %s free; make room or set another data folder", w.name, size(int64(need)), size(int64(free)))
	}
	return nil
}

// bitsAtMost a weight takes in a type, scales and a few bigger tensors included.
func bitsAtMost(t string) uint64 {
	switch {
	case t == "F32":
		return 33
	case strings.HasSuffix(t, "F16"):
		return 17
	}
	n, _ := strconv.ParseUint(strings.TrimLeft(t, "IQ")[:1], 10, 8)
	return n + 2
}

func (w *workshop) put(ctx context.Context, path string, l catalog.Lineage, bar *progress) (catalog.Entry, error) {
	l.From, l.FromName = w.from.SHA256, w.from.Name
	return w.catalog.Import(ctx, path, catalog.ImportOptions{Name: w.name, Kind: w.from.Kind, Licence: w.from.Licence, Lineage: &l},
		func(done, total int64) { bar.set("importing", done, total) })
}

func exists(flag, path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: %w", flag, errNotFound, err)
	} else if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}

// importanceBytes of text suffice: llama.cpp's own matrices are of some hundred
// thousand tokens, and more changes little.
const importanceBytes = 512 << 10

// passages writes sections of the index to a file that only the owner can
// read: documents in the order of their ids' hashes, from each no more than
// its share, so that the same index gives the same texts, of many documents.
func (a *app) passages(ctx context.Context, path string) error {
	st, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	docs, err := st.Documents(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, d := range docs {
		ids = append(ids, d.ID)
	}
	byHash(ids)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	if len(ids) == 0 {
		return &refusedError{"the index holds no document to make an importance matrix of; 'rxedge ingest' adds some, or name a file with --imatrix-texts"}
	}
	share := max(importanceBytes/len(ids), 8<<10)
	for total, i := 0, 0; i < len(ids) && total < importanceBytes; i++ {
		d, err := st.Document(ctx, ids[i])
		if err != nil {
			return err
		}
		texts := map[string]string{}
		for _, s := range d.Sections {
			texts[s.ID] = strings.TrimSpace(s.Text)
		}
		sections := sortedKeys(texts)
		byHash(sections)
		taken := 0
		for _, id := range sections {
			if text := texts[id]; text != "" && (taken == 0 || taken+len(text) <= share) {
				fmt.Fprintf(out, "%s\n\n", text)
				taken += len(text)
			}
		}
		total += taken
	}
	return errors.Join(out.Flush(), f.Close())
}

// byHash is an order that has nothing to do with what the ids mean, and is
// always the same.
func byHash(ids []string) {
	slices.SortFunc(ids, func(x, y string) int {
		hx, hy := sha256.Sum256([]byte(x)), sha256.Sum256([]byte(y))
		return slices.Compare(hx[:], hy[:])
	})
}

// gate is the named profile's, or that of the profile that fits this machine.
func (a *app) gate(c *cobra.Command, name string) (compress.Gate, string, error) {
	p, err := profiles.Profile{}, error(nil)
	if name != "" {
		p, err = findProfile(name)
	} else {
		var m profiles.Machine
		if m, err = a.machine(c.Context()); err == nil {
			p, _ = profiles.Detect(m)
		}
	}
	return compress.Gate{QualityDrop: p.Gate.QualityDrop, LatencyGain: p.Gate.LatencyGain}, p.Name, err
}
