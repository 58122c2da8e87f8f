package index

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"time"

	"rxedge/index/chunk"
	"rxedge/index/document"
	"rxedge/index/generation"
	"rxedge/index/pace"
)

// status of a document in a batch.
type status int

const (
	unchanged status = iota + 1
	added
	replaced
	removed
)

// build is one run of Apply.
type build struct {
	ix     *Index
	old    *generation.View
	live   bool               // a live update will do, so far
	staged map[string]staged  // documents of a live update
	size   int                // bytes of their text
	w      *generation.Writer // nil while a live update will do, or nothing changes
	status map[string]status
	report func(Progress)
	sealed generation.Info
	// foreign: the vectors that are there are of another embedder than the one
	// that is loaded, and stay; passages that come in get none.
	foreign  bool
	by       Source   // of the vectors that it makes
	turns    bool     // by is another than that of the vectors that are there
	fitted   Embedder // to what is built or updated; nil: there is none
	pending  []waiting
	asking   int // of those that wait, how many for the embedder
	embedded int
	made     map[generation.TextHash][]float32 // vectors made in this batch, some of them
	log      *generation.VectorLog             // nil: none
	// candidate: what is built serves nobody yet.
	candidate bool
	given     given
	// renew: of what is there only the documents are believed, and those only where they
	// read as they were written; lost are the others.
	renew bool
	lost  []string
}

// staged is a document that waits for the decision between a live update and a
// new generation.
type staged struct {
	doc  *document.Document
	hash string
}

func (b *build) result() (r ApplyResult) {
	for _, s := range b.status {
		switch s {
		case unchanged:
			r.Unchanged++
		case added:
			r.Added++
		case replaced:
			r.Replaced++
		case removed:
			r.Removed++
		}
	}
	r.Embedded, r.Given, r.Lost = b.embedded, b.given.used, b.lost
	return r
}

func (b *build) abandon() {
	if b.w != nil {
		if err := b.w.Abandon(); err != nil {
			b.ix.opt.Logger.Warn("an unfinished generation of the index could not be removed", "error", err)
		}
	}
}

// embedder that the new generation is built with: the loaded one, or where
// none is loaded that of the vectors which are carried over.
func (b *build) embedder() EmbedderInfo {
	if b.embeds() {
		return b.by.Info
	}
	if b.renew {
		return EmbedderInfo{} // no vector is carried over
	}
	return b.old.Info().Embedder
}

// begin a new generation, with the documents that were staged.
func (b *build) begin() (err error) {
	if b.w != nil {
		return nil
	}
	if err := b.ix.room("a new generation of the index", b.buildNeeds()); err != nil {
		return err
	}
	if b.w, err = b.ix.store.Begin(b.old.Info().Name, b.embedder()); err != nil {
		return err
	}
	if b.candidate {
		if err := b.w.SetCandidate(); err != nil {
			return err
		}
	}
	b.live = false
	for _, d := range b.staged {
		if err := b.w.PutDocument(d.doc, d.hash); err != nil {
			return err
		}
	}
	b.staged = nil
	return nil
}

// run takes the batch in. Where a live update does it, run returns its view;
// where it took a new generation, b.sealed is that; else nothing changed.
func (b *build) run(ctx context.Context, ch Changes, compact bool, g *generation.Generation) (*generation.View, error) {
	b.given.from = b.usable(ch.Vectors)
	if err := b.readPut(ctx, ch); err != nil {
		return nil, err
	}
	if err := b.markDeleted(ch.Delete); err != nil {
		return nil, err
	}
	changes := b.changes()
	if b.w == nil && changes > 0 && b.live {
		light, err := b.light()
		if err != nil {
			return nil, err
		}
		if light {
			return b.update(ctx, g)
		}
	}
	if b.w == nil {
		if changes == 0 && !compact && !b.turns && (b.foreign || b.ix.needsRebuild(b.old) == "") {
			return nil, nil
		}
		if err := b.begin(); err != nil {
			return nil, err
		}
	}
	if changes == 0 && !b.renew && !b.turns {
		b.w.SetSame()
	}
	return nil, b.whole(ctx, g)
}

func (b *build) changes() (n int) {
	for _, s := range b.status {
		if s != unchanged {
			n++
		}
	}
	return n
}

// whole builds a new generation.
func (b *build) whole(ctx context.Context, g *generation.Generation) error {
	b.fitted = b.by.Embedder
	if err := b.carry(ctx); err != nil {
		return err
	}
	if err := b.w.PlaceDocuments(ctx); err != nil {
		return err
	}
	if err := b.passages(ctx); err != nil {
		return err
	}
	if err := b.keepAdaptation(g); err != nil {
		return err
	}
	b.report(Progress{Stage: StageWrite, Total: 1})
	var err error
	if b.sealed, err = b.w.Seal(ctx); err != nil {
		return fmt.Errorf("write the new generation: %w", err)
	}
	b.report(Progress{StageWrite, 1, 1})
	return nil
}

// readPut takes in the documents that differ from what is there.
func (b *build) readPut(ctx context.Context, ch Changes) error {
	if ch.Put == nil {
		return nil
	}
	n, work := 0, pace.Begin()
	for in := range hashes(ch.Put) {
		work.Pause()
		d, hash, err := in.document, in.hash, in.err
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if d == nil || d.ID == "" {
			return fmt.Errorf("document %d of the batch has no id", n+1)
		}
		h, err := b.old.Header(d.ID)
		was := err == nil
		if err != nil && !errors.Is(err, generation.ErrNotFound) {
			return fmt.Errorf("read document %q: %w", d.ID, err)
		}
		same := was && h.Hash == hash
		if !same || b.status[d.ID] > unchanged {
			if err := b.put(d, hash); err != nil {
				return err
			}
		}
		switch {
		case same && b.status[d.ID] <= unchanged:
			b.status[d.ID] = unchanged
		case was:
			b.status[d.ID] = replaced
		default:
			b.status[d.ID] = added
		}
		n++
		b.report(Progress{Stage: StageRead, Done: n})
	}
	return nil
}

// hashed is a document that comes in.
type hashed struct {
	document *document.Document
	hash     string
	err      error
}

// mostHashed documents are hashed while others come in.
const mostHashed = 16

// hashes gives the documents in their order, hashed on all processors. They are read
// where they are asked for: what reads them need not know.
func hashes(put iter.Seq2[*document.Document, error]) iter.Seq[hashed] {
	return func(yield func(hashed) bool) {
		type job struct {
			document *document.Document
			done     chan hashed
		}
		jobs := make(chan job, mostHashed)
		var workers sync.WaitGroup
		for range min(runtime.GOMAXPROCS(0), mostCutters) {
			workers.Go(func() {
				work := pace.Begin()
				for j := range jobs {
					j.done <- hashed{j.document, document.Hash(j.document), nil}
					work.Pause()
				}
			})
		}
		defer workers.Wait()
		defer close(jobs)
		var ahead []chan hashed
		for d, err := range put {
			done := make(chan hashed, 1)
			if d == nil || err != nil {
				done <- hashed{document: d, err: err}
			} else {
				jobs <- job{d, done}
			}
			if ahead = append(ahead, done); len(ahead) < mostHashed {
				continue
			}
			if !yield(<-ahead[0]) {
				return
			}
			ahead = ahead[1:]
		}
		for _, done := range ahead {
			if !yield(<-done) {
				return
			}
		}
	}
}

// put stages a document, or hands it to the new generation.
func (b *build) put(d *document.Document, hash string) error {
	if b.live && b.w == nil {
		if b.staged == nil {
			b.staged = map[string]staged{}
		}
		b.staged[d.ID] = staged{d, hash}
		for i := range d.Sections {
			b.size += len(d.Sections[i].Text)
		}
		if b.size <= mostStaged && len(b.staged) <= max(b.ix.opt.LiveDocuments, b.old.Info().Documents/10) {
			return nil
		}
	}
	if err := b.begin(); err != nil {
		return err
	}
	if _, ok := b.staged[d.ID]; ok {
		return nil
	}
	return b.w.PutDocument(d, hash)
}

func (b *build) markDeleted(ids []string) error {
	for _, id := range ids {
		if b.status[id] != 0 {
			continue
		}
		if _, err := b.old.Header(id); errors.Is(err, generation.ErrNotFound) {
			continue
		} else if err != nil {
			return fmt.Errorf("read document %q: %w", id, err)
		}
		b.status[id] = removed
	}
	return nil
}

// carry copies the documents that stay as they are.
func (b *build) carry(ctx context.Context) error {
	if b.renew {
		return b.salvage(ctx)
	}
	n, total := 0, b.old.Info().Documents
	return b.old.Documents(ctx, func(h generation.Header) error {
		n++
		b.report(Progress{StageCarry, n, total})
		if b.w.Has(h.ID) || b.status[h.ID] == removed {
			return nil
		}
		return b.w.CopyDocument(b.old, h)
	})
}

// salvage takes the documents that read as they were written.
func (b *build) salvage(ctx context.Context) error {
	ids := b.old.IDs()
	for n, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.report(Progress{StageCarry, n + 1, len(ids)})
		h, err := b.old.Header(id)
		var d *document.Document
		if err == nil {
			d, err = b.old.Document(id)
		}
		switch {
		case err == nil && document.Hash(d) == h.Hash:
			if err := b.w.PutDocument(d, h.Hash); err != nil {
				return err
			}
		case err == nil || Damaged(err) || errors.Is(err, generation.ErrNotFound):
			b.lost = append(b.lost, id)
		default:
			return fmt.Errorf("read document %q: %w", id, err)
		}
	}
	if len(b.lost) == len(ids) && len(ids) > 0 {
		return fmt.Errorf("%w: not one of its documents reads as it was written; ingest them again", ErrUnusable)
	}
	return nil
}

// passages cuts, embeds and indexes, document after document in order of id,
// so that what is built depends on the documents alone and not on their order.
func (b *build) passages(ctx context.Context) error {
	n := 0
	total, _ := b.w.Counts()
	for c := range b.cuts(ctx) {
		if c.err != nil {
			return c.err
		}
		if err := b.document(ctx, c); err != nil {
			return err
		}
		n++
		b.report(Progress{StageIndex, n, total})
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.adapts() {
		if err := b.adapt(ctx); err != nil {
			return err
		}
	}
	return b.embed(ctx)
}

func (b *build) document(ctx context.Context, c cutDocument) error {
	ps := c.passages
	b.w.Describe(c.head)
	first := b.w.NextPassage()
	if err := b.w.AddPassages(c.head.ID, c.cut, ps); err != nil {
		return err
	}
	carry := c.kept && b.old.HasVectors() && b.old.Info().Embedder == b.embedder() && !b.adapts()
	var known map[string][]float32
	if !c.kept && !b.renew && b.embeds() && !b.adapts() {
		var err error
		if known, err = b.before(c.head); err != nil {
			return err
		}
	}
	for i := range ps {
		n := first + uint32(i)
		if carry {
			if v := b.old.Vector(c.old + uint32(i)); v != nil {
				if err := b.vector(waiting{passage: n, vector: v}); err != nil {
					return err
				}
				continue
			}
		}
		if !b.embeds() || b.adapts() {
			continue
		}
		text := EmbeddedText(ps[i].Heading, ps[i].Text)
		v, err := b.have(c.head.ID, text, known)
		if err != nil {
			return err
		}
		if err := b.vector(waiting{n, text, v}); err != nil {
			return err
		}
		if b.asking == embedBatch || len(b.pending) >= mostWaiting {
			if err := b.embed(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// kept gives the passages of an unchanged document as they were cut, with the
// number of the first; cut is "" where they have to be cut again.
func (b *build) kept(h generation.Header, cut string) (ps []generation.Passage, first uint32, was string, err error) {
	o, err := b.old.Header(h.ID)
	if errors.Is(err, generation.ErrNotFound) || err == nil && o.Hash != h.Hash {
		return nil, 0, "", nil
	}
	if err != nil {
		return nil, 0, "", err
	}
	r, err := b.old.Range(h.ID)
	if err != nil {
		return nil, 0, "", err
	}
	if r.Cut != cut && (b.embeds() || b.old.Info().Vectors == 0) {
		return nil, 0, "", nil
	}
	ps = make([]generation.Passage, r.Passages)
	for i := range ps {
		if ps[i], err = b.old.Passage(r.First + uint32(i)); err != nil {
			return nil, 0, "", fmt.Errorf("read passage %d of %q: %w", i, h.ID, err)
		}
	}
	return ps, r.First, r.Cut, nil
}

func (b *build) split(d *document.Document) []generation.Passage {
	cut := b.ix.opt.split(d)
	ps := make([]generation.Passage, len(cut))
	for i, p := range cut {
		s := &d.Sections[p.Section]
		ps[i] = generation.Passage{Passage: p, Text: s.Text[p.Start:p.End], SectionTitle: s.Title, LOINC: s.LOINC, Places: s.PlacesIn(p.Start, p.End)}
	}
	return ps
}

func (o Options) split(d *document.Document) []chunk.Passage {
	if o.WholeSections {
		return wholeSections(d)
	}
	return chunk.Split(d, o.Counter, chunk.Options{MaxTokens: o.MaxTokens})
}

func wholeSections(d *document.Document) []chunk.Passage {
	var out []chunk.Passage
	for i, s := range d.Sections {
		heading := d.Title
		if s.Title != "" {
			heading += ": " + s.Title
		}
		whole := chunk.Span{End: len(s.Text)}
		out = append(out, chunk.Passage{DocumentID: d.ID, SectionID: s.ID, Section: i, Heading: heading, Span: whole, Sentences: []chunk.Span{whole}})
	}
	return out
}

// EmbeddedText is what the embedder is given of a passage.
func EmbeddedText(heading, text string) string {
	if heading == "" {
		return text
	}
	return heading + "\n" + text
}

// throttle passes on the first and last report of a stage and one every tenth
// of a second between.
func throttle(progress func(Progress)) func(Progress) {
	var last time.Time
	var stage string
	return func(p Progress) {
		now := time.Now()
		if p.Stage == stage && p.Done != p.Total && now.Sub(last) < 100*time.Millisecond {
			return
		}
		last, stage = now, p.Stage
		progress(p)
	}
}
