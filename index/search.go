package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rxedge/index/dense"
	"rxedge/index/generation"
	"rxedge/index/lexical"
	"rxedge/index/names"
	"rxedge/index/pace"
)

// Search is Acquire, Snapshot.Search, Release. Where what is read turns out
// damaged the last good generation is asked.
func (ix *Index) Search(ctx context.Context, q Query) (Result, error) {
	for {
		s := ix.Acquire()
		if s == nil {
			return Result{}, ErrClosed
		}
		res, err := s.Search(ctx, q)
		name := s.Generation().Name
		s.Release()
		if !Damaged(err) {
			return res, err
		}
		if _, back := ix.Retreat(ctx, name, err); back != nil {
			return res, err
		}
	}
}

// found is a passage on its way to being a Hit.
type found struct {
	passage             uint32
	score, bm25, dense  float64
	bm25Rank, denseRank int
	name, section       float64    // parts of bm25
	lift                float64    // part of score
	shares              [2]float64 // what words and vectors add to a fused score
}

// Search finds passages. ModeDense without usable vectors is ErrNoVectors;
// ModeHybrid then searches by BM25 alone, and also when the embedder fails,
// which Result.Mode shows. An empty Mode is ModeHybrid.
func (s *Snapshot) Search(ctx context.Context, q Query) (Result, error) {
	start := time.Now()
	mode, err := s.mode(q.Mode)
	if err != nil {
		return Result{Generation: s.view.Info().Label(), Mode: mode}, err
	}
	q.Mode = mode
	var v vector
	beside := mode == ModeHybrid && pace.Idle()
	if mode != ModeBM25 && !beside && !q.Prefix {
		v = s.embedded(ctx, q.Text) // which may wait for another process
	}
	turn := pace.Question()
	defer turn.End()
	allowed, drugs, err := s.allow(&q.Filter)
	if err != nil {
		return Result{Generation: s.view.Info().Label(), Mode: q.Mode}, err
	}
	completed := ""
	if q.Prefix {
		if completed, err = s.completed(q.Text); err != nil {
			return Result{Generation: s.view.Info().Label(), Mode: q.Mode}, err
		}
		q.Text = completed
	}
	fs, reading, coded, mode, v, err := s.find(ctx, q, allowed, v, beside)
	res := Result{Hits: make([]Hit, 0, len(fs)), Generation: s.view.Info().Label(), Mode: mode, Explain: reading, Codes: coded, Drugs: drugs, Completed: completed, Vector: v.of}
	if err != nil {
		return res, err
	}
	for _, f := range fs {
		h, err := s.hit(f)
		if err != nil {
			return res, s.outcome("read a passage", err)
		}
		res.Hits = append(res.Hits, h)
	}
	if q.Explain {
		if err := s.explain(q, mode, reading, fs, res.Hits); err != nil {
			return res, s.outcome("explain the scores", err)
		}
	}
	res.Timings = Timings{Embed: milliseconds(v.took), Retrieve: milliseconds(time.Since(start) - v.took)}
	return res, nil
}

// Ranked is a passage found, without its text.
type Ranked struct {
	Passage    uint32 // its number in the generation
	DocumentID string
	Score      float64
	// Lift is the part of Score that it has for being about a medicine that the
	// question names.
	Lift float64
}

// Rank is Search without reading the passages, for long rankings.
func (s *Snapshot) Rank(ctx context.Context, q Query) ([]Ranked, error) {
	allowed, _, err := s.allow(&q.Filter)
	if err != nil {
		return nil, err
	}
	if q.Prefix {
		if q.Text, err = s.completed(q.Text); err != nil {
			return nil, err
		}
	}
	if q.Mode, err = s.mode(q.Mode); err != nil {
		return nil, err
	}
	fs, _, _, _, _, err := s.find(ctx, q, allowed, vector{}, q.Mode == ModeHybrid)
	if err != nil {
		return nil, err
	}
	out := make([]Ranked, len(fs))
	for i, f := range fs {
		id, err := s.view.DocumentOf(f.passage)
		if err != nil {
			return nil, s.outcome("rank passages", err)
		}
		out[i] = Ranked{f.passage, id, f.score, f.lift}
	}
	return out, nil
}

// candidates are taken from each source where ten are wanted. A hundred found no
// more: fusion/DESIGN.md.
const candidates = 30

// mode that is searched where one is asked for.
func (s *Snapshot) mode(asked Mode) (Mode, error) {
	switch asked {
	case ModeBM25:
	case ModeDense:
		if !s.usable() {
			return asked, ErrNoVectors
		}
	case ModeHybrid, "":
		if !s.usable() {
			return ModeBM25, nil
		}
		return ModeHybrid, nil
	default:
		return asked, fmt.Errorf("search mode %q is none of bm25, dense, hybrid", asked)
	}
	return asked, nil
}

// find searches both sources: beside each other, or one after the other. v is the
// question's vector where it was made before. It also says how the question was
// read, which mode was searched, and gives the question's vector.
func (s *Snapshot) find(ctx context.Context, q Query, allowed *generation.Allowed, v vector, beside bool) (_ []found, reading names.Reading, coded []Code, mode Mode, _ vector, _ error) {
	if q.K <= 0 {
		q.K = 10
	}
	if q.Depth <= 0 {
		q.Depth = candidates
	}
	q.Depth = max(q.Depth, q.K)
	mode = q.Mode
	var near []dense.Scored
	vectors := func(first func() []wordHit) {
		if !v.made {
			v = s.embedded(ctx, q.Text)
		}
		if v.err == nil && v.of != nil {
			near, v.err = s.searchDense(v.of, q.Depth, allowed, first)
		}
	}
	first, done := make(chan []wordHit, 1), make(chan struct{})
	if beside {
		go func() {
			defer close(done)
			vectors(func() []wordHit { return <-first })
		}()
	}
	quotes := s.phrases(q.Text)
	var words []wordHit
	var about []lexical.Range
	var err error
	if mode != ModeDense {
		words, about, reading, coded, err = s.searchWords(ctx, q, quotes, ranges(allowed))
	}
	switch {
	case beside: // which reads the view
		first <- words
		<-done
	case mode != ModeBM25 && err == nil:
		vectors(func() []wordHit { return words })
	}
	if err != nil {
		return nil, reading, coded, mode, v, s.outcome("read the names", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, reading, coded, mode, v, err
	}
	if near, err = quotes.near(ctx, near); err != nil {
		return nil, reading, coded, mode, v, s.outcome("read a passage", err)
	}
	if v.err != nil {
		if mode == ModeDense {
			return nil, reading, coded, mode, v, fmt.Errorf("embed the query: %w", v.err)
		}
		s.ix.opt.Logger.Warn("the embedder failed; searching by BM25 alone", "error", v.err)
		mode = ModeBM25
	}
	return fuse(mode, s.ix.opt.Fusion, words, near, about, q.K), reading, coded, mode, v, nil
}

func milliseconds(d time.Duration) float64 { return max(0, float64(d)/float64(time.Millisecond)) }

// vector of a question.
type vector struct {
	made bool
	of   []float32 // of unit length; nil: the embedder knows no word of the question
	took time.Duration
	err  error
}

// embedded is a question as the embedder sees it.
func (s *Snapshot) embedded(ctx context.Context, text string) (v vector) {
	v.made = true
	start := time.Now()
	if k, ok := s.held.embedder.(Knower); ok && !k.Knows(text) {
		v.took = time.Since(start)
		return v
	}
	vs, err := s.held.embedder.Embed(ctx, []string{text})
	v.took = time.Since(start)
	switch {
	case err != nil:
		v.err = err
	case len(vs) != 1:
		v.err = fmt.Errorf("the embedder returned %d vectors for one text", len(vs))
	default:
		v.of = append([]float32(nil), vs[0]...)
		v.err = dense.Normalise(v.of)
	}
	return v
}

// Embed gives the vector of a text, of unit length, as a question's would be made; nil
// where the generation is not searched by vectors, or the embedder knows no word of it.
func (s *Snapshot) Embed(ctx context.Context, text string) ([]float32, error) {
	if !s.usable() {
		return nil, nil
	}
	v := s.embedded(ctx, text)
	return v.of, v.err
}

// searchDense finds the k passages nearest to q; where the index leans questions
// towards what words found first, that is waited for.
func (s *Snapshot) searchDense(q []float32, k int, allowed *generation.Allowed, first func() []wordHit) ([]dense.Scored, error) {
	if s.ix.opt.Feedback > 0 {
		if err := s.lean(q, first()); err != nil {
			return nil, err
		}
	}
	return s.view.Dense(q, k, allowed)
}

func (s *Snapshot) hit(f found) (Hit, error) {
	p, d, err := s.view.Hit(f.passage)
	if errors.Is(err, generation.ErrNotFound) {
		err = fmt.Errorf("passage %d is missing", f.passage)
	}
	if err != nil {
		return Hit{}, err
	}
	return Hit{
		Passage: p.Passage, Text: p.Text,
		SetID: d.ID, Version: d.Version, DocumentTitle: d.Title, SectionTitle: p.SectionTitle, LOINC: p.LOINC, Places: p.Places,
		Effective: d.Effective, Notice: d.Notice,
		Score: f.score, BM25: f.bm25, Dense: f.dense, BM25Rank: f.bm25Rank, DenseRank: f.denseRank, Name: f.name, Section: f.section,
	}, nil
}
