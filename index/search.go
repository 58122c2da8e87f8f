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
	pace.Question()
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
	fs, reading, coded, mode, embed, err := s.find(ctx, q, allowed)
	res := Result{Hits: make([]Hit, 0, len(fs)), Generation: s.view.Info().Label(), Mode: mode, Explain: reading, Codes: coded, Drugs: drugs, Completed: completed}
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
	res.Timings = Timings{Embed: milliseconds(embed), Retrieve: milliseconds(time.Since(start) - embed)}
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
	fs, _, _, _, _, err := s.find(ctx, q, allowed)
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
const candidates = 50

// find searches both sources at the same time. It also says how the question
// was read, which mode was searched and how long the embedder took.
func (s *Snapshot) find(ctx context.Context, q Query, allowed *generation.Allowed) (_ []found, reading names.Reading, coded []Code, mode Mode, _ time.Duration, _ error) {
	if q.K <= 0 {
		q.K = 10
	}
	if q.Depth <= 0 {
		q.Depth = candidates
	}
	q.Depth = max(q.Depth, q.K)
	mode = q.Mode
	switch mode {
	case ModeBM25:
	case ModeDense:
		if !s.usable() {
			return nil, reading, coded, mode, 0, ErrNoVectors
		}
	case ModeHybrid, "":
		mode = ModeHybrid
		if !s.usable() {
			mode = ModeBM25
		}
	default:
		return nil, reading, coded, mode, 0, fmt.Errorf("search mode %q is none of bm25, dense, hybrid", mode)
	}
	type denseResult struct {
		hits  []dense.Scored
		embed time.Duration
		err   error
	}
	vectors := make(chan denseResult, 1)
	var first chan []wordHit // what the vectors wait for
	if mode == ModeHybrid && s.ix.opt.Feedback > 0 {
		first = make(chan []wordHit, 1)
		defer close(first)
	}
	if mode != ModeBM25 {
		go func() {
			var r denseResult
			r.hits, r.embed, r.err = s.searchDense(ctx, q.Text, q.Depth, allowed, first)
			vectors <- r
		}()
	}
	q.Mode = mode
	quotes := s.phrases(q.Text)
	var words []wordHit
	var about []lexical.Range
	if mode != ModeDense {
		var err error
		if words, about, reading, coded, err = s.searchWords(ctx, q, quotes, ranges(allowed)); err != nil {
			return nil, reading, coded, mode, 0, s.outcome("read the names", err)
		}
	}
	if first != nil {
		first <- words
	}
	var r denseResult
	if mode != ModeBM25 {
		r = <-vectors
	}
	if err := ctx.Err(); err != nil {
		return nil, reading, coded, mode, r.embed, err
	}
	var err error
	if r.hits, err = quotes.near(ctx, r.hits); err != nil {
		return nil, reading, coded, mode, r.embed, s.outcome("read a passage", err)
	}
	if r.err != nil {
		if mode == ModeDense {
			return nil, reading, coded, mode, r.embed, fmt.Errorf("embed the query: %w", r.err)
		}
		s.ix.opt.Logger.Warn("the embedder failed; searching by BM25 alone", "error", r.err)
		mode = ModeBM25
	}
	return fuse(mode, s.ix.opt.Fusion, words, r.hits, about, q.K), reading, coded, mode, r.embed, nil
}

func milliseconds(d time.Duration) float64 { return max(0, float64(d)/float64(time.Millisecond)) }

func (s *Snapshot) searchDense(ctx context.Context, text string, k int, allowed *generation.Allowed, first <-chan []wordHit) ([]dense.Scored, time.Duration, error) {
	start := time.Now()
	if k, ok := s.held.embedder.(Knower); ok && !k.Knows(text) {
		return nil, time.Since(start), nil
	}
	vs, err := s.held.embedder.Embed(ctx, []string{text})
	took := time.Since(start)
	if err != nil {
		return nil, took, err
	}
	if len(vs) != 1 {
		return nil, took, fmt.Errorf("the embedder returned %d vectors for one text", len(vs))
	}
	v := append([]float32(nil), vs[0]...)
	if err := dense.Normalise(v); err != nil {
		return nil, took, err
	}
	if first != nil {
		if err := s.lean(v, <-first); err != nil {
			return nil, took, err
		}
	}
	hits, err := s.view.Dense(v, k, allowed)
	return hits, took, err
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
		SetID: d.ID, Version: d.Version, DocumentTitle: d.Title, SectionTitle: p.SectionTitle, LOINC: p.LOINC,
		Effective: d.Effective, Notice: d.Notice,
		Score: f.score, BM25: f.bm25, Dense: f.dense, BM25Rank: f.bm25Rank, DenseRank: f.denseRank, Name: f.name, Section: f.section,
	}, nil
}
