package evaluate

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"rxedge/index"
	"rxedge/index/fusion"
)

// FusionRequest is a search for the weights of a fusion.
type FusionRequest struct {
	Corpus, Queries, Qrels string // as in RetrievalRequest
	Options                index.Options
	// Reranker, where set, is a third source: its scores of the RerankDepth best
	// passages of either search.
	Reranker Reranker
	Dir      string
	Progress func(index.Progress)
	Folds    int    // 0: 5
	Trials   int    // of the search in each fold; 0: 60
	Depth    int    // candidates of a source; 0: 200
	Seed     uint64 // 0: 1
	// Fixed weights, one a source, are measured instead of searched for.
	Fixed []float64
	// Each, where set, is called with each query's figures by reciprocal rank
	// fusion ("rrf"), by the weights found on the other folds ("weighted") and by
	// each source alone.
	Each func(name string, line RunLine)
}

// Penalty of the search on weights that lean on one source: so much times the sum
// of squares of what they differ from equal weights.
const Penalty = 0.02

// FusionReport says what learned weights are worth. Weighted is the honest figure:
// each fold measured with the weights that were best on the others.
type FusionReport struct {
	Sources  []string           `json:"sources"`
	Weights  []float64          `json:"weights"` // over all queries; sum 1
	Folds    [][]float64        `json:"folds"`   // found without each fold
	Figures  map[string]Figures `json:"figures"` // of each source, "rrf" and "weighted"
	NDCG10   Paired             `json:"ndcg@10"` // weighted against rrf
	Recall   Paired             `json:"recall@100"`
	Kept     bool               `json:"kept"` // better than rrf on folds that the search did not see
	Pairs    []Complement       `json:"complement"`
	Queries  int                `json:"queries"`
	Relevant int                `json:"relevant"` // judged relevant documents
}

// Figures are means over the queries.
type Figures struct {
	NDCG10    float64 `json:"ndcg@10"`
	Recall10  float64 `json:"recall@10"`
	Recall100 float64 `json:"recall@100"`
	MRR       float64 `json:"mrr"`
}

// Complement says how two sources complete one another.
type Complement struct {
	A string `json:"a"`
	B string `json:"b"`
	// Correlation of the scores of what both found, the mean over queries of
	// Pearson's; nil where no query has three such documents.
	Correlation *float64 `json:"correlation"`
	// Of the relevant documents, those that both have among their first 100, one
	// alone, and neither.
	Both    int `json:"both"`
	OnlyA   int `json:"only_a"`
	OnlyB   int `json:"only_b"`
	Neither int `json:"neither"`
	// Union is the recall of both first hundreds together, the mean over queries.
	Union float64 `json:"union"`
}

// candidates are what the sources found for one query.
type candidates struct {
	id      string
	judged  Judgements
	sources [][]Scored // best first
	lifted  map[string]bool
}

// TuneFusion indexes the collection, runs each query through each source once,
// and looks for weights. The same request gives the same report.
func TuneFusion(ctx context.Context, req FusionRequest) (FusionReport, error) {
	rep := FusionReport{Sources: []string{"bm25", "dense"}, Figures: map[string]Figures{}}
	if req.Reranker != nil {
		rep.Sources = append(rep.Sources, "rerank")
	}
	req.Folds, req.Trials, req.Depth, req.Seed = orDefault(req.Folds, 5), orDefault(req.Trials, 60), orDefault(req.Depth, 200), max(req.Seed, 1)
	if n := len(req.Fixed); n > 0 && n != len(rep.Sources) {
		return rep, fmt.Errorf("%d weights for %d sources (%s)", n, len(rep.Sources), strings.Join(rep.Sources, ", "))
	}
	qs, err := gather(ctx, req)
	if err != nil {
		return rep, err
	}
	if req.Folds < 2 || req.Folds > len(qs) {
		return rep, fmt.Errorf("%d folds of %d queries: there must be two or more, and no more than queries", req.Folds, len(qs))
	}
	rep.Queries = len(qs)
	find := func(in []candidates) []float64 {
		if len(req.Fixed) > 0 {
			return normal(req.Fixed)
		}
		return weigh(in, len(rep.Sources), req.Trials, req.Seed)
	}
	rankings := map[string][][]Scored{}
	for f := range req.Folds {
		var in []candidates
		for i, q := range qs {
			if i%req.Folds != f {
				in = append(in, q)
			}
		}
		rep.Folds = append(rep.Folds, find(in))
	}
	rep.Weights = find(qs)
	for i, q := range qs {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		rep.Relevant += q.judged.relevant()
		rankings["rrf"] = append(rankings["rrf"], q.rrf())
		rankings["weighted"] = append(rankings["weighted"], q.convex(rep.Folds[i%req.Folds]))
		for s, name := range rep.Sources {
			rankings[name] = append(rankings[name], q.alone(s))
		}
	}
	values := map[string]map[string][]float64{}
	for name, rs := range rankings {
		v := map[string][]float64{}
		for i, r := range rs {
			line := RunLine{ID: qs[i].id, Metrics: map[string]*float64{}}
			for _, m := range []string{"ndcg@10", "recall@5", "recall@10", "recall@100", "mrr"} {
				x := measure(m, r, qs[i].judged)
				v[m] = append(v[m], x)
				line.Metrics[m] = &x
			}
			if req.Each != nil {
				req.Each(name, line)
			}
		}
		values[name] = v
		rep.Figures[name] = Figures{stat.Mean(v["ndcg@10"], nil), stat.Mean(v["recall@10"], nil), stat.Mean(v["recall@100"], nil), stat.Mean(v["mrr"], nil)}
	}
	rep.NDCG10 = PairedTest(values["rrf"]["ndcg@10"], values["weighted"]["ndcg@10"])
	rep.Recall = PairedTest(values["rrf"]["recall@100"], values["weighted"]["recall@100"])
	rep.Kept = objective(rep.Figures["weighted"]) > objective(rep.Figures["rrf"])
	for a := range rep.Sources {
		for b := a + 1; b < len(rep.Sources); b++ {
			rep.Pairs = append(rep.Pairs, complement(qs, rep.Sources, a, b))
		}
	}
	return rep, nil
}

func orDefault(v, byDefault int) int {
	if v == 0 {
		return byDefault
	}
	return v
}

// objective of the search: the first page and what a reader could go on with
// count the same.
func objective(f Figures) float64 { return (f.NDCG10 + f.Recall100) / 2 }

// weigh finds weights for some queries.
func weigh(qs []candidates, sources, trials int, seed uint64) []float64 {
	x, _ := searchTPE(sources, trials, seed, func(x []float64) float64 {
		w := normal(x)
		var f Figures
		for _, q := range qs {
			r := q.convex(w)
			f.NDCG10 += NDCG(r, q.judged, 10) / float64(len(qs))
			f.Recall100 += Recall(r, q.judged, 100) / float64(len(qs))
		}
		lean := 0.0
		for _, v := range w {
			lean += (v - 1/float64(len(w))) * (v - 1/float64(len(w)))
		}
		return objective(f) - Penalty*lean
	})
	return normal(x)
}

// normal scales weights to a sum of 1.
func normal(x []float64) []float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	w := make([]float64, len(x))
	for i, v := range x {
		w[i] = 1 / float64(len(x))
		if sum > 0 {
			w[i] = v / sum
		}
	}
	return w
}

func (q *candidates) convex(w []float64) []Scored {
	sources := make([]fusion.Source[string], len(w))
	for i, s := range q.sources {
		sources[i].Weight = w[i]
		for _, x := range s {
			sources[i].Items = append(sources[i].Items, fusion.Scored[string]{ID: x.ID, Score: x.Score})
		}
	}
	return q.lift(fusion.Convex(sources, 0))
}

func (q *candidates) rrf() []Scored {
	lists := make([][]string, 2) // a reranker is no source of its own
	for i := range lists {
		for _, x := range q.sources[i] {
			lists[i] = append(lists[i], x.ID)
		}
	}
	return q.lift(fusion.RRF(lists, fusion.K, 0))
}

// lift puts the documents about a medicine that the query names before all.
func (q *candidates) lift(rs []fusion.Ranked[string]) []Scored {
	out := make([]Scored, len(rs))
	for i, r := range rs {
		out[i] = Scored{r.ID, r.Score}
		if q.lifted[r.ID] {
			out[i].Score++
		}
	}
	Order(out)
	return out
}

// alone is the ranking of one source.
func (q *candidates) alone(s int) []Scored {
	out := slices.Clone(q.sources[s])
	if s == 0 {
		for i := range out {
			if q.lifted[out[i].ID] {
				out[i].Score += 1e6
			}
		}
	}
	Order(out)
	return out
}

// gather runs the queries through the sources.
func gather(ctx context.Context, req FusionRequest) ([]candidates, error) {
	qrels, err := ReadQrels(req.Qrels)
	if err != nil {
		return nil, err
	}
	queries, err := ReadQueries(req.Queries)
	if err != nil {
		return nil, err
	}
	if err := judged(queries, qrels, RetrievalRequest{Queries: req.Queries, Qrels: req.Qrels}); err != nil {
		return nil, err
	}
	if req.Options.Embedder == nil {
		return nil, fmt.Errorf("a fusion needs an embedder and none is loaded")
	}
	dir, err := os.MkdirTemp(req.Dir, "rxedge-eval-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ix, err := index.Open(dir, req.Options)
	if err != nil {
		return nil, err
	}
	defer ix.Close()
	if _, err := ix.Apply(ctx, index.Changes{Put: ReadCorpus(req.Corpus)}, req.Progress); err != nil {
		return nil, err
	}
	snap := ix.Acquire()
	defer snap.Release()
	slices.SortFunc(queries, func(a, b Text) int { return strings.Compare(a.ID, b.ID) })
	var out []candidates
	for _, q := range queries {
		j := qrels[q.ID]
		if j.relevant() == 0 {
			continue
		}
		c := candidates{id: q.ID, judged: j, lifted: map[string]bool{}}
		for _, mode := range []index.Mode{index.ModeBM25, index.ModeDense} {
			hits, err := snap.Rank(ctx, index.Query{Text: q.Text, K: req.Depth, Mode: mode, Depth: req.Depth})
			if err != nil {
				return nil, fmt.Errorf("query %s: %w", q.ID, err)
			}
			var list []Scored
			seen := map[string]bool{}
			for _, h := range hits {
				if !seen[h.DocumentID] {
					seen[h.DocumentID] = true
					list = append(list, Scored{h.DocumentID, h.Score - h.Lift})
				}
				if h.Lift > 0 {
					c.lifted[h.DocumentID] = true
				}
			}
			c.sources = append(c.sources, list)
		}
		if req.Reranker != nil {
			var hits []index.Hit
			seen := map[string]bool{}
			for _, mode := range []index.Mode{index.ModeBM25, index.ModeDense} {
				found, err := snap.Search(ctx, index.Query{Text: q.Text, K: RerankDepth, Mode: mode})
				if err != nil {
					return nil, fmt.Errorf("query %s: %w", q.ID, err)
				}
				for _, h := range found.Hits {
					if key := fmt.Sprint(h.SetID, " ", h.Passage.Section, " ", h.Passage.Start); !seen[key] {
						seen[key] = true
						hits = append(hits, h)
					}
				}
			}
			list, err := reranked(ctx, req.Reranker, q.Text, hits)
			if err != nil {
				return nil, fmt.Errorf("query %s: %w", q.ID, err)
			}
			c.sources = append(c.sources, list)
		}
		out = append(out, c)
	}
	return out, nil
}

func complement(qs []candidates, names []string, a, b int) Complement {
	c := Complement{A: names[a], B: names[b]}
	sum, n := 0.0, 0
	for _, q := range qs {
		at := map[string]float64{}
		first := [2]map[string]bool{{}, {}}
		for k, s := range []int{a, b} {
			for i, x := range q.alone(s) {
				if i < 100 {
					first[k][x.ID] = true
				}
			}
		}
		for _, x := range q.sources[a] {
			at[x.ID] = x.Score
		}
		var xs, ys []float64
		for _, y := range q.sources[b] {
			if x, ok := at[y.ID]; ok {
				xs, ys = append(xs, x), append(ys, y.Score)
			}
		}
		if len(xs) >= 3 {
			if r := stat.Correlation(xs, ys, nil); !math.IsNaN(r) {
				sum, n = sum+r, n+1
			}
		}
		found := 0
		for id, g := range q.judged {
			if g <= 0 {
				continue
			}
			switch inA, inB := first[0][id], first[1][id]; {
			case inA && inB:
				c.Both++
				found++
			case inA:
				c.OnlyA++
				found++
			case inB:
				c.OnlyB++
				found++
			default:
				c.Neither++
			}
		}
		c.Union += float64(found) / float64(q.judged.relevant()) / float64(len(qs))
	}
	if n > 0 {
		r := sum / float64(n)
		c.Correlation = &r
	}
	return c
}
