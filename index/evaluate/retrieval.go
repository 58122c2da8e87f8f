package evaluate

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"rxedge/index"
)

// RetrievalRequest names the files of an evaluation in BEIR layout.
type RetrievalRequest struct {
	Corpus  string // corpus.jsonl: _id, title, text
	Queries string // queries.jsonl: _id, text
	Qrels   string // qrels.tsv: query-id, corpus-id, score
	Mode    index.Mode
	// Options of the temporary index; the embedder is needed for dense and hybrid.
	// With BM25 alone each document is one passage, as the collections mean it;
	// with an embedder it is cut to what that can read, and a document scores
	// as its best passage.
	Options index.Options
	// Reranker, where set, orders the first RerankDepth passages anew, which are
	// then cut to what it can read.
	Reranker Reranker
	// Blend, from 0 to 1, is how much the search's own score counts beside the
	// reranker's: 0, and its order is the reranker's alone.
	Blend    float64
	Dir      string               // for the temporary index; "": the system's
	Progress func(index.Progress) // may be nil
	// Run, where set, is called with each query's ranking, documents best first.
	Run func(query string, ranking []Scored)
	// Each, where set, is called with each query's own figures.
	Each func(RunLine)
}

// RetrievalReport is what `rxedge eval retrieval` prints: means over the
// queries that have a relevant document, and the time of a search for ten
// passages with their texts.
type RetrievalReport struct {
	NDCG10    float64 `json:"ndcg@10"`
	Recall5   float64 `json:"recall@5"`
	Recall10  float64 `json:"recall@10"`
	Recall100 float64 `json:"recall@100"`
	MRR       float64 `json:"mrr"`
	Queries   int     `json:"queries"`
	P50       float64 `json:"p50_ms"`
	P95       float64 `json:"p95_ms"`
}

// Reranker scores how well passages answer a query, one score for each.
type Reranker interface {
	Rerank(ctx context.Context, query string, passages []string) ([]float32, error)
}

// RerankDepth is how many passages a reranker reads.
const RerankDepth = 50

// depth is the length of a ranking: trec_eval's usual 1000.
const depth = 1000

// Retrieval builds a temporary index of the corpus, runs the queries that the
// qrels judge, and measures. Queries without a judgement are not run, those
// without a relevant document are left out of the means.
func Retrieval(ctx context.Context, req RetrievalRequest) (RetrievalReport, error) {
	var rep RetrievalReport
	queries, qrels, err := readJudged(req)
	if err != nil {
		return rep, err
	}
	dir, err := os.MkdirTemp(req.Dir, "rxedge-eval-")
	if err != nil {
		return rep, err
	}
	defer os.RemoveAll(dir)
	opt := req.Options
	if req.Mode == index.ModeBM25 {
		opt.Embedder, opt.WholeSections = nil, req.Reranker == nil
	} else if opt.Embedder == nil {
		return rep, fmt.Errorf("mode %q needs an embedder and none is loaded", req.Mode)
	}
	ix, err := index.Open(dir, opt)
	if err != nil {
		return rep, err
	}
	defer ix.Close()
	if _, err := ix.Apply(ctx, index.Changes{Put: ReadCorpus(req.Corpus)}, req.Progress); err != nil {
		return rep, err
	}
	return measured(ctx, req, ix, queries, qrels)
}

// readJudged reads the queries, and what is judged of them.
func readJudged(req RetrievalRequest) ([]Text, map[string]Judgements, error) {
	qrels, err := ReadQrels(req.Qrels)
	if err != nil {
		return nil, nil, err
	}
	queries, err := ReadQueries(req.Queries)
	if err != nil {
		return nil, nil, err
	}
	return queries, qrels, judged(queries, qrels, req)
}

// measured runs the queries over an index of the corpus.
func measured(ctx context.Context, req RetrievalRequest, ix *index.Index, queries []Text, qrels map[string]Judgements) (rep RetrievalReport, err error) {
	snap := ix.Acquire()
	defer snap.Release()
	if snap.Generation().Documents == 0 {
		return rep, fmt.Errorf("%s has no documents", req.Corpus)
	}
	var took []float64
	for _, q := range queries {
		j, ok := qrels[q.ID]
		if !ok || j.relevant() == 0 {
			continue
		}
		start := time.Now()
		k := 10
		if req.Reranker != nil {
			k = RerankDepth
		}
		found, err := snap.Search(ctx, index.Query{Text: q.Text, K: k, Mode: req.Mode})
		if err != nil {
			return rep, fmt.Errorf("query %s: %w", q.ID, err)
		}
		var first []Scored
		if req.Reranker != nil {
			if first, err = reranked(ctx, req.Reranker, q.Text, found.Hits); err != nil {
				return rep, fmt.Errorf("query %s: %w", q.ID, err)
			}
		}
		took = append(took, float64(time.Since(start))/float64(time.Millisecond))
		ranking, err := rank(ctx, snap, q.Text, req.Mode)
		if err != nil {
			return rep, fmt.Errorf("query %s: %w", q.ID, err)
		}
		if req.Reranker != nil {
			ranking = follow(blend(first, ranking, req.Blend), ranking)
		}
		if req.Run != nil {
			req.Run(q.ID, ranking)
		}
		rep.Queries++
		line := RunLine{ID: q.ID, Metrics: make(map[string]*float64, 5)}
		for name, sum := range rep.means() {
			v := measure(name, ranking, j)
			*sum += v
			line.Metrics[name] = &v
		}
		if req.Each != nil {
			req.Each(line)
		}
	}
	for _, sum := range rep.means() {
		*sum /= float64(rep.Queries)
	}
	rep.P50, rep.P95 = Percentile(took, 50), Percentile(took, 95)
	return rep, nil
}

// means by their names in JSON.
func (r *RetrievalReport) means() map[string]*float64 {
	return map[string]*float64{"ndcg@10": &r.NDCG10, "recall@5": &r.Recall5, "recall@10": &r.Recall10, "recall@100": &r.Recall100, "mrr": &r.MRR}
}

// measure gives the metric of that name for one query.
func measure(name string, ranking []Scored, j Judgements) float64 {
	switch name {
	case "ndcg@10":
		return NDCG(ranking, j, 10)
	case "recall@5":
		return Recall(ranking, j, 5)
	case "recall@10":
		return Recall(ranking, j, 10)
	case "recall@100":
		return Recall(ranking, j, 100)
	}
	return ReciprocalRank(ranking, j)
}

// judged says what is wrong where nothing could be measured. As in trec_eval,
// judgements of queries that are not there do not count.
func judged(queries []Text, qrels map[string]Judgements, req RetrievalRequest) error {
	for _, q := range queries {
		if qrels[q.ID].relevant() > 0 {
			return nil
		}
	}
	return fmt.Errorf("no query of %s has a relevant document in %s; do the two belong together?", req.Queries, req.Qrels)
}

// rank gives documents by their best passage.
func rank(ctx context.Context, snap *index.Snapshot, text string, mode index.Mode) ([]Scored, error) {
	hits, err := snap.Rank(ctx, index.Query{Text: text, K: depth, Mode: mode, Depth: depth})
	if err != nil {
		return nil, err
	}
	out := make([]Scored, 0, len(hits))
	seen := make(map[string]bool, len(hits))
	for _, h := range hits {
		if !seen[h.DocumentID] {
			seen[h.DocumentID] = true
			out = append(out, Scored{h.DocumentID, h.Score})
		}
	}
	Order(out)
	return out, nil
}

// reranked gives the documents of the hits by the reranker's best score.
func reranked(ctx context.Context, r Reranker, query string, hits []index.Hit) ([]Scored, error) {
	texts := make([]string, len(hits))
	for i, h := range hits {
		texts[i] = index.EmbeddedText(h.Passage.Heading, h.Text)
	}
	scores, err := r.Rerank(ctx, query, texts)
	if err != nil {
		return nil, err
	}
	best := map[string]float64{}
	var out []Scored
	for i, h := range hits {
		if was, ok := best[h.SetID]; !ok || float64(scores[i]) > was {
			best[h.SetID] = float64(scores[i])
		}
	}
	for id, score := range best {
		out = append(out, Scored{id, score})
	}
	Order(out)
	return out, nil
}

// blend mixes a reranker's scores of some documents with the search's own of the
// same, both brought to 0…1 among them; how much the latter count is share.
func blend(judged, all []Scored, share float64) []Scored {
	if share == 0 || len(judged) == 0 {
		return judged
	}
	at := make(map[string]float64, len(all))
	for _, s := range all {
		at[s.ID] = s.Score
	}
	own := make([]Scored, len(judged))
	for i, s := range judged {
		own[i] = Scored{s.ID, at[s.ID]}
	}
	scaled := func(ss []Scored) func(int) float64 {
		low, high := math.Inf(1), math.Inf(-1)
		for _, s := range ss {
			low, high = min(low, s.Score), max(high, s.Score)
		}
		return func(i int) float64 {
			if high > low {
				return (ss[i].Score - low) / (high - low)
			}
			return 1
		}
	}
	search, judge := scaled(own), scaled(judged)
	out := make([]Scored, len(judged))
	for i, s := range judged {
		out[i] = Scored{s.ID, share*search(i) + (1-share)*judge(i)}
	}
	Order(out)
	return out
}

// follow puts what the reranker did not see behind what it did, in its old order.
func follow(first, all []Scored) []Scored {
	seen := make(map[string]bool, len(first))
	out := make([]Scored, 0, len(all))
	for _, s := range first {
		seen[s.ID] = true
		out = append(out, Scored{s.ID, 1 + s.Score})
	}
	rest := 0
	for _, s := range all {
		if !seen[s.ID] {
			rest++
			out = append(out, Scored{s.ID, 1 / float64(rest+1)})
		}
	}
	return out
}
