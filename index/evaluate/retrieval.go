// Package evaluate measures retrieval as trec_eval defines it.
package evaluate

import (
	"context"
	"errors"

	"rxedge/index"
)

// RetrievalRequest names the files of an evaluation in BEIR layout.
type RetrievalRequest struct {
	Corpus  string // corpus.jsonl: _id, title, text
	Queries string // queries.jsonl: _id, text
	Qrels   string // qrels.tsv: query-id, corpus-id, score
	Mode    index.Mode
	// Index settings; the embedder is needed for dense and hybrid.
	Options index.Options
	// Dir for the temporary index; "": the system's.
	Dir      string
	Progress func(index.Progress) // may be nil
	// Run, where set, is called with each query's ranking, documents best first.
	Run func(query string, ranking []Scored)
}

// RetrievalReport is what `rxedge eval retrieval` prints.
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

// Scored is a document in a ranking.
type Scored struct {
	ID    string
	Score float64
}

// Retrieval builds a temporary index of the corpus, runs the queries that the
// qrels judge, and measures.
func Retrieval(ctx context.Context, req RetrievalRequest) (RetrievalReport, error) {
	return RetrievalReport{}, errors.New("evaluate: not written yet")
}
