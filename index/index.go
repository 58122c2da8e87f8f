// Package index is the hybrid search over documents: BM25 and vectors, asked
// at the same time and fused by rank, kept in immutable generations on disk.
package index

import (
	"context"

	"rxedge/index/chunk"
)

// Embedder makes the vectors of passages and queries. It is declared here
// because this room knows no model.
type Embedder interface {
	// Embed returns one unit vector for each text, in order.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Mode chooses the sources of a search.
type Mode string

const (
	ModeBM25   Mode = "bm25"
	ModeDense  Mode = "dense"
	ModeHybrid Mode = "hybrid" // dense is left out where there are no vectors
)

// Query is one search.
type Query struct {
	Text  string
	K     int // passages wanted; 0: 10
	Mode  Mode
	Depth int // candidates taken from each source before fusion; 0: max(K, 100)
}

// Hit is one passage found.
type Hit struct {
	Passage chunk.Passage `json:"passage"`
	Text    string        `json:"text"`
	// Document facts that a citation needs.
	SetID         string `json:"set_id"`
	Version       string `json:"version,omitempty"`
	DocumentTitle string `json:"document_title"`
	SectionTitle  string `json:"section_title"`
	LOINC         string `json:"loinc,omitempty"`
	Effective     string `json:"effective_date,omitempty"`
	Notice        string `json:"notice,omitempty"`
	// Score of the mode asked for; ranks start at 1, 0 means not among the
	// candidates of that source.
	Score     float64 `json:"score"`
	BM25      float64 `json:"bm25"`
	Dense     float64 `json:"dense"` // cosine
	BM25Rank  int     `json:"bm25_rank"`
	DenseRank int     `json:"dense_rank"`
}
