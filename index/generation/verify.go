package generation

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/badger/v4"

	"rxedge/index/chunk"
	"rxedge/index/dense"
	"rxedge/index/document"
	"rxedge/index/lexical"
)

// Report is what Verify found.
type Report struct {
	Generation string  `json:"generation"`
	Files      int     `json:"files"`
	Records    int     `json:"records"`
	Documents  int     `json:"documents"`
	Passages   int     `json:"passages"`
	Postings   int     `json:"postings"`
	Vectors    int     `json:"vectors"`
	Faults     []Fault `json:"faults"`
}

// OK says that nothing is wrong.
func (r Report) OK() bool { return len(r.Faults) == 0 }

// Fault is one thing that is wrong in a generation.
type Fault struct {
	Where string `json:"where"` // the file, record or blob
	What  string `json:"what"`
}

// maxFaults ends a report: what is broken all over needs no longer list.
const maxFaults = 1000

var errEnough = errors.New("enough faults")

// verifier reads a generation again.
type verifier struct {
	g      *Generation
	r      Report
	report func(done, total int)
	done   int
	total  int
	// postings that the passages should have, as a sum of hashes in any order
	want, have uint64
	// places that sections and aliases should have
	places map[string]bool
	blobs  [][]byte
	next   uint32 // first passage of the next document
	vecs   map[uint32]bool
}

// Verify reads every file and every record again and checks them against
// their checksums and one another: documents and sections against the content
// hash, passages against the text they were cut from, postings against the
// analysed passages, vectors against the passages. What it finds is in the
// report. The error is of ctx, or of what kept it from looking.
func (g *Generation) Verify(ctx context.Context, report func(done, total int)) (Report, error) {
	v := &verifier{g: g, report: report, places: make(map[string]bool), vecs: make(map[uint32]bool)}
	v.r = Report{Generation: g.manifest.Name, Faults: []Fault{}}
	m := &g.manifest
	v.total = len(m.Files) + m.Documents + m.LexicalBlobs + m.VectorBlocks
	for _, step := range []func(context.Context) error{v.files, v.records, v.documents, v.lexical, v.vectors, v.counts} {
		if err := step(ctx); errors.Is(err, errEnough) {
			break
		} else if err != nil {
			return v.r, err
		}
	}
	return v.r, nil
}

func (v *verifier) tick() {
	v.done++
	v.report(v.done, v.total)
}

func (v *verifier) fault(where, format string, args ...any) error {
	f := Fault{where, fmt.Sprintf(format, args...)}
	for _, have := range v.r.Faults {
		if have == f {
			return nil
		}
	}
	v.r.Faults = append(v.r.Faults, f)
	if len(v.r.Faults) >= maxFaults {
		return errEnough
	}
	return nil
}

// failed turns damage into a fault and passes other errors on.
func (v *verifier) failed(err error) error {
	var d *DamageError
	if errors.As(err, &d) {
		return v.fault(d.Where, "%s", d.What)
	}
	return err
}

func (v *verifier) files(ctx context.Context) error {
	m, err := readManifest(v.g.dir)
	if err != nil {
		if err := v.failed(err); err != nil {
			return err
		}
		m = v.g.manifest
	}
	for _, f := range m.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(v.g.dir, f.Name)
		sum, err := sumFile(path, false)
		switch {
		case errors.Is(err, os.ErrNotExist):
			err = v.fault(path, "it is missing")
		case err != nil:
			err = v.fault(path, "it can't be read: %v", err)
		case sum.Size != f.Size:
			err = v.fault(path, "it has %d bytes instead of %d", sum.Size, f.Size)
		case sum.SHA256 != f.SHA256:
			err = v.fault(path, "its SHA-256 is not what it was when it was sealed")
		}
		if err != nil {
			return err
		}
		v.r.Files++
		v.tick()
	}
	return nil
}

// records reads every record once and checks its checksum.
func (v *verifier) records(ctx context.Context) error {
	return v.g.db.View(func(txn *badger.Txn) (err error) {
		at := []byte(nil)
		defer func() {
			if p := recover(); p != nil {
				err = v.fault("the record after "+describe(at), "the store could not read it (%v)", p)
			}
		}()
		opt := badger.DefaultIteratorOptions
		opt.PrefetchValues = false
		it := txn.NewIterator(opt)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			at = it.Item().KeyCopy(at)
			v.r.Records++
			if err := v.record(it.Item()); err != nil {
				return err
			}
		}
		return nil
	})
}

func (v *verifier) record(item *badger.Item) (err error) {
	k := item.Key()
	var body []byte
	func() {
		defer guard(&err, func() string { return describe(k) })
		body, err = itemBody(item)
	}()
	if err != nil {
		return v.failed(err)
	}
	if k[0] == kindLookup {
		var p place
		if json.Unmarshal(body, &p) != nil {
			return v.fault(describe(k), "it does not parse")
		}
		v.places[p.ID] = true
		var s document.Section
		if err := v.g.read(sectionKey(p.Document, p.Section), &s); errors.Is(err, ErrNotFound) {
			return v.fault(describe(k), "it names section %d of document %q, which is not there", p.Section, p.Document)
		}
	}
	return nil
}

// documents checks each document with its sections and passages.
func (v *verifier) documents(ctx context.Context) error {
	err := v.g.Documents(ctx, func(h Header) error {
		v.r.Documents++
		v.tick()
		return v.document(ctx, h)
	})
	if err != nil {
		return v.failed(err)
	}
	return nil
}

func (v *verifier) document(ctx context.Context, h Header) error {
	where := fmt.Sprintf("document %q", h.ID)
	d, err := v.g.Document(h.ID)
	if err != nil {
		return v.failed(err)
	}
	if document.Hash(d) != h.Hash {
		if err := v.fault(where, "its content does not have its hash"); err != nil {
			return err
		}
	}
	for _, s := range d.Sections {
		for _, id := range append([]string{s.ID}, s.Aliases...) {
			if id != "" && !v.places[id] {
				if err := v.fault(describe(lookupKey(id)), "it is missing"); err != nil {
					return err
				}
			}
		}
	}
	r, err := v.g.Range(h.ID)
	if errors.Is(err, ErrNotFound) {
		return v.fault(describe(key(kindRange, h.ID)), "it is missing")
	}
	if err != nil {
		return v.failed(err)
	}
	if r.First != v.next {
		if err := v.fault(describe(key(kindRange, h.ID)), "it begins at passage %d instead of %d", r.First, v.next); err != nil {
			return err
		}
	}
	for n := r.First; n < r.First+uint32(r.Passages); n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.passage(n, d); err != nil {
			return err
		}
	}
	v.next = r.First + uint32(r.Passages)
	return nil
}

func (v *verifier) passage(n uint32, d *document.Document) error {
	where := describe(numberKey(kindPassage, int(n)))
	p, err := v.g.Passage(n)
	if errors.Is(err, ErrNotFound) {
		return v.fault(where, "it is missing")
	}
	if err != nil {
		return v.failed(err)
	}
	v.r.Passages++
	if what := wrongPassage(p, d); what != "" {
		return v.fault(where, "%s", what)
	}
	if v.g.manifest.Analyzer == lexical.Version {
		lexical.Count(v.g.Analyzer, p.Heading, p.Text, func(term string, tf [2]uint32) {
			v.want += postingHash(term, n, tf)
		})
	}
	return nil
}

func wrongPassage(p Passage, d *document.Document) string {
	if p.DocumentID != d.ID {
		return fmt.Sprintf("it is of document %q and lies with %q", p.DocumentID, d.ID)
	}
	if p.Section < 0 || p.Section >= len(d.Sections) || d.Sections[p.Section].ID != p.SectionID {
		return fmt.Sprintf("it names section %q, which document %q does not have there", p.SectionID, d.ID)
	}
	text := d.Sections[p.Section].Text
	if p.Start < 0 || p.End < p.Start || p.End > len(text) || text[p.Start:p.End] != p.Text {
		return "its text is not what its span in the section says"
	}
	within := chunk.Span{Start: p.Start, End: p.End}
	for _, s := range p.Sentences {
		if s.Start < within.Start || s.End > within.End || s.End < s.Start {
			return "a sentence of it lies outside of it"
		}
	}
	return ""
}

func postingHash(term string, passage uint32, tf [2]uint32) uint64 {
	var b [12]byte
	binary.LittleEndian.PutUint32(b[:], passage)
	binary.LittleEndian.PutUint32(b[4:], tf[0])
	binary.LittleEndian.PutUint32(b[8:], tf[1])
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(term)
	_, _ = d.Write(b[:])
	return d.Sum64()
}

// lexical reads the blobs again and compares their postings with the passages.
func (v *verifier) lexical(ctx context.Context) error {
	whole := true
	for i := range v.g.manifest.LexicalBlobs {
		body, err := v.blob(numberKey(kindLexical, i))
		if err != nil {
			return err
		}
		whole = whole && body != nil
		v.blobs = append(v.blobs, body)
		v.tick()
	}
	if !whole {
		return nil // that is a fault already
	}
	x, err := lexical.Load(v.blobs, lexical.DefaultParams)
	if err != nil {
		return v.fault("postings", "%v", err)
	}
	err = x.Each(func(term string, passage uint32, tf [2]uint32) error {
		v.r.Postings++
		v.have += postingHash(term, passage, tf)
		if v.r.Postings&0xffff == 0 {
			return ctx.Err()
		}
		return nil
	})
	if errors.Is(err, lexical.ErrDamaged) {
		return v.fault("postings", "%v", err)
	}
	if err != nil {
		return err
	}
	if v.g.manifest.Analyzer == lexical.Version && v.want != v.have && len(v.r.Faults) == 0 {
		return v.fault("postings", "they are not those of the passages")
	}
	return nil
}

// blob reads a record; nil where it is damaged, which is then a fault.
func (v *verifier) blob(k []byte) (body []byte, err error) {
	err = v.g.db.View(func(txn *badger.Txn) (err error) {
		body, err = get(txn, k)
		return missing(err, k)
	})
	if err != nil {
		return nil, v.failed(err)
	}
	return body, nil
}

func (v *verifier) vectors(ctx context.Context) error {
	for i := range v.g.manifest.VectorBlocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		k := numberKey(kindVectors, i)
		v.tick()
		body, err := v.blob(k)
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		f := dense.NewFlat(v.g.manifest.Embedder.Dimension, 0)
		if err := f.Load(body); err != nil {
			if err := v.fault(describe(k), "%v", err); err != nil {
				return err
			}
			continue
		}
		for _, n := range f.Passages() {
			v.r.Vectors++
			what := ""
			switch sum := norm(f.Vector(n)); {
			case int(n) >= v.g.manifest.Passages:
				what = fmt.Sprintf("it has a vector of passage %d and there are %d passages", n, v.g.manifest.Passages)
			case v.vecs[n]:
				what = fmt.Sprintf("passage %d has two vectors", n)
			case math.Abs(sum-1) > 1e-3 || math.IsNaN(sum):
				what = fmt.Sprintf("the vector of passage %d has length %.4g instead of 1", n, sum)
			}
			v.vecs[n] = true
			if what != "" {
				if err := v.fault(describe(k), "%s", what); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// counts compares what was read with the manifest.
func (v *verifier) counts(context.Context) error {
	if len(v.r.Faults) > 0 {
		return nil // they would only say the same again
	}
	m := &v.g.manifest
	for _, c := range []struct {
		what       string
		have, want int
	}{{"documents", v.r.Documents, m.Documents}, {"passages", v.r.Passages, m.Passages}, {"vectors", v.r.Vectors, m.Vectors}} {
		if c.have != c.want {
			if err := v.fault(manifestName, "it says %d %s and there are %d", c.want, c.what, c.have); err != nil {
				return err
			}
		}
	}
	return nil
}
