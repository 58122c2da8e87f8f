package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rxedge/index/lexical"
)

// TuneRequest is a search for parameters of BM25F over a grid.
type TuneRequest struct {
	Corpus  string // corpus.jsonl: _id, title, text; the title is the passage's title
	Queries string // queries.jsonl: _id, text
	Qrels   string // qrels.tsv: query-id, corpus-id, score
	Grid    Grid   // zero: DefaultGrid
	Folds   int    // 0: 5
	Names   []string
	// Progress, where set, is told how many points of the grid are done.
	Progress func(done, of int)
}

// Grid of parameters: every combination is tried.
type Grid struct {
	K1, B, Heading, Title []float64
}

// DefaultGrid spans what collections of labels and abstracts were best at.
var DefaultGrid = Grid{
	K1:      []float64{0.6, 0.9, 1.2, 1.5, 2, 2.5},
	B:       []float64{0.3, 0.5, 0.65, 0.75, 0.9},
	Heading: []float64{lexical.DefaultParams.Heading},
	Title:   []float64{0.5, 1, 2, 3, 4},
}

// Tuned is a point of the grid.
type Tuned struct {
	K1      float64 `json:"k1"`
	B       float64 `json:"b"`
	Heading float64 `json:"heading"`
	Title   float64 `json:"title"`
	NDCG10  float64 `json:"ndcg@10"` // over all queries
}

// TuneReport says what the parameters are worth. CrossValidated is the honest
// figure: each fold measured with the parameters that were best on the others.
// Where it is not above Default, tuning found noise.
type TuneReport struct {
	Table          []Tuned `json:"table"` // best first
	Best           Tuned   `json:"best"`
	CrossValidated float64 `json:"cross_validated"`
	Default        Tuned   `json:"default"`
	Folds          []Tuned `json:"folds"` // the best without each fold, measured on it
	Queries        int     `json:"queries"`
}

// Tune measures nDCG@10 at every point of a grid, BM25 alone, each document one
// passage. The same request gives the same report: folds go by the order of the
// queries' ids, and of equal points the first of the grid is the best.
func Tune(ctx context.Context, req TuneRequest) (TuneReport, error) {
	var rep TuneReport
	if req.Folds == 0 {
		req.Folds = 5
	}
	points, err := req.Grid.points()
	if err != nil {
		return rep, err
	}
	qrels, err := ReadQrels(req.Qrels)
	if err != nil {
		return rep, err
	}
	queries, err := ReadQueries(req.Queries)
	if err != nil {
		return rep, err
	}
	if err := judged(queries, qrels, RetrievalRequest{Queries: req.Queries, Qrels: req.Qrels}); err != nil {
		return rep, err
	}
	a := lexical.NewAnalyzer(req.Names)
	b := lexical.NewBuilder(a)
	var ids []string
	for d, err := range ReadCorpus(req.Corpus) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			ids = append(ids, d.ID)
			err = b.AddPassage(lexical.Passage{Title: d.Title, Text: d.Sections[0].Text})
		}
		if err != nil {
			return rep, err
		}
	}
	var blobs [][]byte
	if err := b.Finish(func(blob []byte) error { blobs = append(blobs, blob); return nil }); err != nil {
		return rep, err
	}
	segment, err := lexical.OpenSegment(blobs)
	if err != nil {
		return rep, err
	}
	slices.SortFunc(queries, func(a, b Text) int { return strings.Compare(a.ID, b.ID) })
	queries = slices.DeleteFunc(queries, func(q Text) bool { return qrels[q.ID].relevant() == 0 })
	if req.Folds < 2 || req.Folds > len(queries) {
		return rep, fmt.Errorf("%d folds of %d queries: there must be two or more, and no more than queries", req.Folds, len(queries))
	}
	t := tuner{segment: segment, ids: ids, queries: queries, qrels: qrels, folds: req.Folds}
	for _, q := range queries {
		var ts []lexical.Weighted
		for _, term := range a.Terms(q.Text) {
			ts = append(ts, lexical.Weighted{Term: term, Weight: 1})
		}
		t.terms = append(t.terms, ts)
	}
	return t.run(ctx, points, req.Progress)
}

func (g Grid) points() ([]lexical.Params, error) {
	if len(g.K1)+len(g.B)+len(g.Heading)+len(g.Title) == 0 {
		g = DefaultGrid
	}
	d := lexical.DefaultParams
	axis := func(values []float64, byDefault float64) []float64 {
		if len(values) == 0 {
			return []float64{byDefault}
		}
		return values
	}
	var out []lexical.Params
	for _, k1 := range axis(g.K1, d.K1) {
		for _, b := range axis(g.B, d.B) {
			for _, h := range axis(g.Heading, d.Heading) {
				for _, t := range axis(g.Title, d.Title) {
					p := lexical.Params{K1: k1, B: b, Heading: h, Title: t}
					if _, err := lexical.NewSearcher(p); err != nil {
						return nil, err
					}
					out = append(out, p)
				}
			}
		}
	}
	if len(out) > 100_000 {
		return nil, errors.New("the grid has more than 100,000 points")
	}
	return out, nil
}

type tuner struct {
	segment *lexical.Segment
	ids     []string // of the passages
	queries []Text
	terms   [][]lexical.Weighted
	qrels   map[string]Judgements
	folds   int
}

func (t *tuner) run(ctx context.Context, points []lexical.Params, progress func(done, of int)) (TuneReport, error) {
	rep := TuneReport{Queries: len(t.queries)}
	sums := make([][]float64, len(points)) // of nDCG, by point and fold
	for i, p := range points {
		var err error
		if sums[i], err = t.measure(ctx, p); err != nil {
			return rep, err
		}
		rep.Table = append(rep.Table, t.tuned(p, sums[i]))
		if progress != nil {
			progress(i+1, len(points))
		}
	}
	def, err := t.measure(ctx, lexical.DefaultParams)
	if err != nil {
		return rep, err
	}
	rep.Default = t.tuned(lexical.DefaultParams, def)
	for f := range t.folds {
		best, most := 0, -1.0
		for i := range points {
			others := 0.0
			for g, s := range sums[i] {
				if g != f {
					others += s
				}
			}
			if others > most {
				best, most = i, others
			}
		}
		own := sums[best][f]
		rep.CrossValidated += own
		row := t.tuned(points[best], nil)
		row.NDCG10 = own / float64((len(t.queries)-f+t.folds-1)/t.folds)
		rep.Folds = append(rep.Folds, row)
	}
	rep.CrossValidated /= float64(len(t.queries))
	slices.SortStableFunc(rep.Table, func(a, b Tuned) int { return cmp.Compare(b.NDCG10, a.NDCG10) })
	rep.Best = rep.Table[0]
	return rep, nil
}

func (t *tuner) tuned(p lexical.Params, sums []float64) Tuned {
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return Tuned{K1: p.K1, B: p.B, Heading: p.Heading, Title: p.Title, NDCG10: total / float64(len(t.queries))}
}

// measure gives the sum of nDCG@10 by fold; query i is of fold i modulo folds.
func (t *tuner) measure(ctx context.Context, p lexical.Params) ([]float64, error) {
	s, err := lexical.NewSearcher(p, lexical.Part{Segment: t.segment})
	if err != nil {
		return nil, err
	}
	sums := make([]float64, t.folds)
	for i, q := range t.queries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// Some more than ten: of equal scores trec_eval takes another order.
		found, err := s.Search(lexical.Query{Terms: t.terms[i], K: 20})
		if err != nil {
			return nil, err
		}
		ranking := make([]Scored, len(found))
		for j, f := range found {
			ranking[j] = Scored{t.ids[f.Passage], f.Score}
		}
		Order(ranking)
		sums[i%t.folds] += NDCG(ranking, t.qrels[q.ID], 10)
	}
	return sums, nil
}
