package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rxedge/index/chunk"
	"rxedge/index/dense"
	"rxedge/index/document"
	"rxedge/index/generation"
	"rxedge/index/lexical"
)

// cutVersion names the way chunk.Split cuts; change it when that changes, and
// passages are cut again.
const cutVersion = "sentences-1"

// embedBatch is the number of passages handed to the embedder at once.
const embedBatch = 32

func (ix *Index) cut() string {
	if ix.opt.WholeSections {
		return "sections"
	}
	return fmt.Sprintf("%s/%d/%s", cutVersion, ix.opt.MaxTokens, ix.opt.CounterName)
}

// recuts says whether passages cut otherwise are cut again. Without an
// embedder, passages that have vectors are left as they are: the limit that
// they were cut for is not known here.
func (ix *Index) recuts(g *generation.Generation) bool {
	return ix.opt.Embedder != nil || g.Info().Vectors == 0
}

func (ix *Index) needsRebuild(g *generation.Generation) string {
	i := g.Info()
	e := ix.opt.Embedder != nil
	switch {
	case i.Passages == 0:
		return ""
	case i.Analyzer != lexical.Version:
		return fmt.Sprintf("the index was made by analyser %s and this rxedge has %s: build it again", i.Analyzer, lexical.Version)
	case e && i.Vectors > 0 && i.Embedder != ix.opt.EmbedderInfo:
		return fmt.Sprintf("the vectors are of embedder %s and %s is loaded, so search is by BM25 alone: build the index again", i.Embedder.Name, ix.opt.EmbedderInfo.Name)
	case e && i.Vectors < i.Passages:
		return fmt.Sprintf("%d of %d passages have no vector: build the index again", i.Passages-i.Vectors, i.Passages)
	case ix.recuts(g) && i.Cut != ix.cut():
		return "passages were cut with other settings: build the index again"
	}
	return ""
}

// Apply builds a new generation out of the current one and a batch of changes,
// and lets it serve. Documents whose content is the same are carried over and
// not embedded again; where nothing changes no generation is made. Cancelling
// ctx, or an error, leaves the index as it was. Batches queue for one another;
// progress, which may be nil, is called from one goroutine.
func (ix *Index) Apply(ctx context.Context, ch Changes, progress func(Progress)) (ApplyResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ix.stop, cancel)()
	if err := ix.take(ctx); err != nil {
		return ApplyResult{}, err
	}
	defer func() { <-ix.writing }()
	old := ix.Acquire()
	if old == nil {
		return ApplyResult{}, ErrClosed
	}
	defer old.Release()
	b := &build{ix: ix, old: old.held.gen, status: make(map[string]status), report: func(Progress) {}}
	if progress != nil {
		b.report = throttle(progress)
	}
	defer b.abandon()
	changed, err := b.run(ctx, ch)
	if err != nil {
		if ix.stop.Err() != nil {
			return ApplyResult{}, ErrClosed
		}
		return ApplyResult{}, err
	}
	res := b.result()
	res.Changed = changed
	res.Generation = old.Generation()
	if !changed {
		return res, nil
	}
	g, err := ix.serve(b.sealed.Name)
	if err != nil {
		return ApplyResult{}, err
	}
	res.Generation = g.Info()
	res.Generation.Current = true
	if removed, err := ix.store.Prune(b.sealed.Name, ix.opt.KeepGenerations); err != nil {
		ix.opt.Logger.Warn("old generations of the index could not be removed", "error", err)
	} else if len(removed) > 0 {
		ix.opt.Logger.Info("old generations of the index removed", "generations", removed)
	}
	ix.opt.Logger.Info("index generation serves", "generation", b.sealed.Name, "documents", b.sealed.Documents, "passages", b.sealed.Passages, "vectors", b.sealed.Vectors)
	return res, nil
}

// take waits for the right to write.
func (ix *Index) take(ctx context.Context) error {
	if ix.stop.Err() != nil {
		return ErrClosed
	}
	select {
	case ix.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		if ix.stop.Err() != nil {
			return ErrClosed
		}
		return ctx.Err()
	}
}

// serve opens a sealed generation and makes it the current one, on disk first.
func (ix *Index) serve(name string) (*generation.Generation, error) {
	g, err := generation.Open(ix.store.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("open generation %s: %w", name, err)
	}
	if err := ix.store.SetCurrent(name); err != nil {
		_ = g.Close()
		return nil, fmt.Errorf("switch to generation %s: %w", name, err)
	}
	ix.swap(g)
	return g, nil
}

// Rollback lets the generation before the current one serve again, or fails
// with ErrNoEarlier.
func (ix *Index) Rollback(ctx context.Context) (GenerationInfo, error) {
	if err := ix.take(ctx); err != nil {
		return GenerationInfo{}, err
	}
	defer func() { <-ix.writing }()
	s := ix.Acquire()
	if s == nil {
		return GenerationInfo{}, ErrClosed
	}
	defer s.Release()
	now := s.Generation()
	infos, err := ix.store.Infos() // newest first
	if err != nil {
		return GenerationInfo{}, err
	}
	target := ""
	for _, i := range infos {
		if i.Name == now.Parent || target == "" && i.Number < now.Number {
			target = i.Name
		}
	}
	if target == "" {
		return GenerationInfo{}, ErrNoEarlier
	}
	g, err := ix.serve(target)
	if err != nil {
		return GenerationInfo{}, err
	}
	ix.opt.Logger.Warn("index rolled back", "from", now.Name, "to", target)
	i := g.Info()
	i.Current = true
	return i, nil
}

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
	ix       *Index
	old      *generation.Generation
	w        *generation.Writer // nil until something changes
	status   map[string]status
	report   func(Progress)
	sealed   generation.Info
	pending  []waiting
	embedded int
}

// waiting is a passage that waits for its vector.
type waiting struct {
	passage uint32
	text    string
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
	r.Embedded = b.embedded
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
	if b.ix.opt.Embedder != nil {
		return b.ix.opt.EmbedderInfo
	}
	return b.old.Info().Embedder
}

func (b *build) begin() (err error) {
	if b.w == nil {
		b.w, err = b.ix.store.Begin(b.old.Info().Name, b.embedder())
	}
	return err
}

// run says whether anything changed; then b.sealed is the new generation.
func (b *build) run(ctx context.Context, ch Changes) (bool, error) {
	if err := b.readPut(ctx, ch); err != nil {
		return false, err
	}
	if err := b.markDeleted(ch.Delete); err != nil {
		return false, err
	}
	if b.w == nil {
		if b.ix.needsRebuild(b.old) == "" {
			return false, nil
		}
		if err := b.begin(); err != nil {
			return false, err
		}
	}
	if err := b.carry(ctx); err != nil {
		return false, err
	}
	if err := b.w.PlaceDocuments(ctx); err != nil {
		return false, err
	}
	if err := b.passages(ctx); err != nil {
		return false, err
	}
	b.report(Progress{Stage: StageWrite, Total: 1})
	var err error
	if b.sealed, err = b.w.Seal(ctx); err != nil {
		return false, fmt.Errorf("write the new generation: %w", err)
	}
	b.report(Progress{StageWrite, 1, 1})
	return true, nil
}

// readPut takes in the documents that differ from what is there.
func (b *build) readPut(ctx context.Context, ch Changes) error {
	if ch.Put == nil {
		return nil
	}
	n := 0
	for d, err := range ch.Put {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if d == nil || d.ID == "" {
			return fmt.Errorf("document %d of the batch has no id", n+1)
		}
		hash := document.Hash(d)
		h, err := b.old.Header(d.ID)
		was := err == nil
		if err != nil && !errors.Is(err, generation.ErrNotFound) {
			return fmt.Errorf("read document %q: %w", d.ID, err)
		}
		same := was && h.Hash == hash
		if !same || b.status[d.ID] > unchanged {
			if err := b.begin(); err != nil {
				return err
			}
			if err := b.w.PutDocument(d, hash); err != nil {
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
		if err := b.begin(); err != nil {
			return err
		}
		b.status[id] = removed
	}
	return nil
}

// carry copies the documents that stay as they are.
func (b *build) carry(ctx context.Context) error {
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

// passages cuts, embeds and indexes, document after document in order of id,
// so that what is built depends on the documents alone and not on their order.
func (b *build) passages(ctx context.Context) error {
	n := 0
	total, _ := b.w.Counts()
	err := b.w.Documents(ctx, func(h generation.Header) error {
		if err := b.document(ctx, h); err != nil {
			return err
		}
		n++
		b.report(Progress{StageIndex, n, total})
		return nil
	})
	if err != nil {
		return err
	}
	return b.embed(ctx)
}

func (b *build) document(ctx context.Context, h generation.Header) error {
	cut := b.ix.cut()
	ps, olds, kept, err := b.kept(h, cut)
	if err != nil {
		return err
	}
	if kept != "" {
		cut = kept
	} else {
		d, err := b.w.Document(h)
		if err != nil {
			return err
		}
		ps = b.split(d)
	}
	first := b.w.NextPassage()
	if err := b.w.AddPassages(h.ID, cut, ps); err != nil {
		return err
	}
	carry := kept != "" && b.old.Vectors != nil && b.old.Info().Embedder == b.embedder()
	for i := range ps {
		n := first + uint32(i)
		if carry {
			if v := b.old.Vectors.Vector(olds + uint32(i)); v != nil {
				if err := b.w.AddVector(n, v); err != nil {
					return err
				}
				continue
			}
		}
		if b.ix.opt.Embedder == nil {
			continue
		}
		b.pending = append(b.pending, waiting{n, EmbeddedText(ps[i].Heading, ps[i].Text)})
		if len(b.pending) == embedBatch {
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
	if r.Cut != cut && b.ix.recuts(b.old) {
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
	var cut []chunk.Passage
	if b.ix.opt.WholeSections {
		cut = wholeSections(d)
	} else {
		cut = chunk.Split(d, b.ix.opt.Counter, chunk.Options{MaxTokens: b.ix.opt.MaxTokens})
	}
	ps := make([]generation.Passage, len(cut))
	for i, p := range cut {
		s := &d.Sections[p.Section]
		ps[i] = generation.Passage{Passage: p, Text: s.Text[p.Start:p.End], SectionTitle: s.Title, LOINC: s.LOINC}
	}
	return ps
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

// embed makes the vectors of the passages that wait.
func (b *build) embed(ctx context.Context) error {
	if len(b.pending) == 0 {
		return nil
	}
	texts := make([]string, len(b.pending))
	for i, p := range b.pending {
		texts[i] = p.text
	}
	vs, err := b.ix.opt.Embedder.Embed(ctx, texts)
	if err != nil {
		return fmt.Errorf("embed %d passages: %w", len(texts), err)
	}
	if len(vs) != len(texts) {
		return fmt.Errorf("the embedder returned %d vectors for %d texts", len(vs), len(texts))
	}
	for i, v := range vs {
		v = append([]float32(nil), v...)
		if err := dense.Normalise(v); err != nil {
			return fmt.Errorf("embed passage %d: %w", b.pending[i].passage, err)
		}
		if err := b.w.AddVector(b.pending[i].passage, v); err != nil {
			return err
		}
	}
	b.embedded += len(vs)
	b.pending = b.pending[:0]
	return nil
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
