package generation

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/badger/v4"

	"rxedge/index/chunk"
	"rxedge/index/document"
	"rxedge/index/lexical"
	"rxedge/index/pace"
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

// verifier reads a generation again, unit after unit.
type verifier struct {
	g      *Generation
	view   *View
	r      Report
	report func(done, total int)
	work   pace.Work
	done   int
	total  int
	last   int // faults before this unit

	u        *unit // at hand
	postings int
	counted  unitInfo
	// postings that the passages should have, as a sum of hashes in any order
	want, have uint64
	// places that sections and aliases should have
	places map[string]bool
	vecs   map[uint32]bool
	vector uint32 // the last of vecs
}

// Verify reads every file and every record again and checks them against
// their checksums and one another: documents and sections against the content
// hash, passages against the text they were cut from, postings against the
// analysed passages, vectors against the passages, the list of what is withdrawn
// against a new reckoning. What it finds is in the report. The error is of ctx,
// or of what kept it from looking.
func (v *View) Verify(ctx context.Context, report func(done, total int)) (Report, error) {
	r := &verifier{g: v.g, view: v, report: report, work: pace.BeginIn(ctx)}
	r.r = Report{Generation: v.info.Label(), Faults: []Fault{}}
	r.total = len(v.g.manifest.Files)
	for _, u := range v.units {
		r.total += u.info.Documents + u.info.LexicalBlobs + u.info.VectorBlocks
	}
	err := r.files(ctx)
	for _, u := range v.units {
		r.u, r.counted, r.want, r.have, r.postings = u, unitInfo{}, 0, 0, 0
		r.places, r.vecs, r.last = map[string]bool{}, map[uint32]bool{}, len(r.r.Faults)
		for _, step := range []func(context.Context) error{r.records, r.documents, r.lexical, r.vectors, r.dense, r.codes, r.counts} {
			if err == nil {
				err = step(ctx)
			}
		}
		r.r.Postings += r.postings
	}
	if err == nil {
		err = r.withdrawn(ctx)
	}
	// The report counts what can be found.
	r.r.Documents, r.r.Passages, r.r.Vectors = v.info.Documents, v.info.Passages, v.info.Vectors
	if errors.Is(err, errEnough) {
		err = nil
	}
	return r.r, err
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
		sum, err := sumFile(path, false, v.work.Pause)
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

// records reads every record of the unit once and checks its checksum.
func (v *verifier) records(ctx context.Context) error {
	return v.u.db.View(func(txn *badger.Txn) (err error) {
		at := []byte(nil)
		defer func() {
			if p := recover(); p != nil {
				err = v.fault("the record after "+describe(at), "the store could not read it (%v)", p)
			}
		}()
		opt := badger.DefaultIteratorOptions
		opt.Prefix, opt.PrefetchValues = v.u.prefix, false
		it := txn.NewIterator(opt)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			at = it.Item().KeyCopy(at)
			v.r.Records++
			v.work.Pause()
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
	if rest := k[len(v.u.prefix):]; rest[0] == kindLookup {
		var p place
		if json.Unmarshal(body, &p) != nil {
			return v.fault(describe(k), "it does not parse")
		}
		v.places[p.ID] = true
		if _, err := v.u.sectionAt(sectionKey(p.Document, p.Section)); errors.Is(err, ErrNotFound) {
			return v.fault(describe(k), "it names section %d of document %q, which is not there", p.Section, p.Document)
		}
	}
	return nil
}

// documents checks each document with its sections and passages.
func (v *verifier) documents(ctx context.Context) error {
	err := v.u.eachDocument(ctx, func(h Header) error {
		v.counted.Documents++
		v.tick()
		return v.document(ctx, h)
	})
	if err != nil {
		return v.failed(err)
	}
	return nil
}

func (v *verifier) document(ctx context.Context, h Header) error {
	where := v.u.named(fmt.Sprintf("document %q", h.ID))
	d, err := v.u.whole(h)
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
				if err := v.fault(describe(v.u.key(lookupKey(id))), "it is missing"); err != nil {
					return err
				}
			}
		}
	}
	first, end, ok := v.u.table.find(h.ID)
	if !ok {
		return v.fault(describe(v.u.key(key(kindTable, ""))), "document %q is missing", h.ID)
	}
	f, err := v.u.documentFacts()
	if err != nil {
		return v.failed(err)
	}
	if i, _ := slices.BinarySearch(v.u.table.ids, h.ID); f.effective(i) != day(h.Effective) || f.kinds[f.kind(i)] != h.Kind || f.sources[f.source(i)] != h.Source {
		if err := v.fault(describe(v.u.key(key(kindFacts, ""))), "they are not those of document %q", h.ID); err != nil {
			return err
		}
	}
	for n := first; n < end; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		v.work.Pause()
		if err := v.passage(n, d); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) passage(n uint32, d *document.Document) error {
	where := describe(v.u.key(numberKey(kindPassage, int(n))))
	p, err := v.u.passage(n)
	if errors.Is(err, ErrNotFound) {
		return v.fault(where, "it is missing")
	}
	if err != nil {
		return v.failed(err)
	}
	v.counted.Passages++
	if code := v.u.table.section(n); code != p.LOINC {
		return v.fault(describe(v.u.key(key(kindTable, ""))), "it has passage %d in section %q instead of %q", n, code, p.LOINC)
	}
	if what := wrongPassage(p, d); what != "" {
		return v.fault(where, "%s", what)
	}
	if v.g.manifest.Analyzer == lexical.Version {
		v.g.Analyzer.Count(p.indexed(), func(term string, tf lexical.Counts) {
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

func postingHash(term string, passage uint32, tf lexical.Counts) uint64 {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 32), passage)
	for _, n := range tf {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(term)
	_, _ = d.Write(b)
	return d.Sum64()
}

// lexical reads the blobs again and compares their postings with the passages.
func (v *verifier) lexical(ctx context.Context) error {
	whole := true
	var blobs [][]byte
	for i := range v.u.info.LexicalBlobs {
		body, err := v.blob(numberKey(kindLexical, i))
		if err != nil {
			return err
		}
		whole = whole && body != nil
		blobs = append(blobs, body)
		v.tick()
	}
	if !whole {
		return nil // that is a fault already
	}
	where := v.u.named("postings")
	x, err := lexical.OpenSegment(blobs)
	if err != nil {
		return v.fault(where, "%v", err)
	}
	err = x.Each(func(term string, passage uint32, tf lexical.Counts) error {
		v.postings++
		v.have += postingHash(term, passage, tf)
		if v.postings&0xff == 0 {
			v.work.Pause()
		}
		if v.postings&0xffff == 0 {
			return ctx.Err()
		}
		return nil
	})
	if errors.Is(err, lexical.ErrDamaged) {
		return v.fault(where, "%v", err)
	}
	if err != nil {
		return err
	}
	if v.g.manifest.Analyzer == lexical.Version && v.want != v.have && len(v.r.Faults) == v.last {
		return v.fault(where, "they are not those of the passages")
	}
	return nil
}

// blob reads a record; nil where it is damaged, which is then a fault.
func (v *verifier) blob(k []byte) (body []byte, err error) {
	if body, err = v.u.get(k); err != nil {
		return nil, v.failed(missing(err, v.u.key(k)))
	}
	return body, nil
}

// codes checks the postings of codes.
func (v *verifier) codes(context.Context) error {
	if err := v.u.codes.Verify(uint32(v.u.info.Documents)); err != nil {
		return v.fault(v.u.named("codes"), "%v", err)
	}
	return nil
}

// dense checks the blocks that dense search scans.
func (v *verifier) dense(context.Context) error {
	if v.u.dense == nil {
		return nil
	}
	if err := v.u.dense.Verify(); err != nil {
		return v.fault(v.u.named("dense blocks"), "%v", err)
	}
	return nil
}

// withdrawn reckons the withdrawn passages of the base again.
func (v *verifier) withdrawn(ctx context.Context) error {
	if len(v.view.units) == 1 || len(v.r.Faults) > 0 {
		return nil
	}
	again := firstView(v.g, v.view.units[0])
	for _, u := range v.view.units[1:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := again.add(u, nil); err != nil {
			return v.failed(err)
		}
	}
	if err := again.finish(); err != nil {
		return err
	}
	base := v.g.base.lexical
	if !bytes.Equal(again.segments[0].dead.Append(nil, base), v.view.segments[0].dead.Append(nil, base)) {
		return v.fault("list of withdrawn passages", "it is not what the updates withdrew")
	}
	if a, b := again.info, v.view.info; a.Documents != b.Documents || a.Passages != b.Passages || a.Vectors != b.Vectors {
		return v.fault("updates", "they come to %d documents and %d passages, where %d and %d are served", a.Documents, a.Passages, b.Documents, b.Passages)
	}
	return nil
}

func (v *verifier) vectors(ctx context.Context) error {
	for i := range v.u.info.VectorBlocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		k := numberKey(kindVectors, i)
		v.tick()
		v.work.Pause()
		body, err := v.blob(k)
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		block := &vectors{dim: v.g.manifest.Embedder.Dimension}
		where := describe(v.u.key(k))
		if err := block.add(body); err != nil {
			if err := v.fault(where, "%v", err); err != nil {
				return err
			}
			continue
		}
		for r := range block.rows {
			v.counted.Vectors++
			n, what := block.passage(r), ""
			switch sum := norm(block.at(r)); {
			case int(n) >= v.u.info.Passages:
				what = fmt.Sprintf("it has a vector of passage %d and there are %d passages", n, v.u.info.Passages)
			case len(v.vecs) > 0 && n < v.vector:
				what = fmt.Sprintf("the vector of passage %d comes after that of passage %d: 'rxedge index compact' mends it", n, v.vector)
			case v.vecs[n]:
				what = fmt.Sprintf("passage %d has two vectors", n)
			case math.Abs(sum-1) > 1e-3 || math.IsNaN(sum):
				what = fmt.Sprintf("the vector of passage %d has length %.4g instead of 1", n, sum)
			}
			v.vecs[n], v.vector = true, n
			if what != "" {
				if err := v.fault(where, "%s", what); err != nil {
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

// counts compares what was read with what the unit says of itself.
func (v *verifier) counts(context.Context) error {
	if len(v.r.Faults) > v.last {
		return nil // they would only say the same again
	}
	where := manifestName
	if v.u.number > 0 {
		where = describe(v.u.key(key(kindUnit, "")))
	}
	for _, c := range []struct {
		what       string
		have, want int
	}{{"documents", v.counted.Documents, v.u.info.Documents}, {"passages", v.counted.Passages, v.u.info.Passages}, {"vectors", v.counted.Vectors, v.u.info.Vectors}} {
		if c.have != c.want {
			if err := v.fault(where, "it says %d %s and there are %d", c.want, c.what, c.have); err != nil {
				return err
			}
		}
	}
	return nil
}
