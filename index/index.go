// Package index is the hybrid search over documents: BM25 and vectors, asked
// at the same time and fused by rank, kept in immutable generations on disk.
//
// DESIGN.md in generation/ describes what lies on disk, the one in lexical/
// how text becomes terms.
package index

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"rxedge/index/chunk"
	"rxedge/index/codes"
	"rxedge/index/document"
	"rxedge/index/generation"
	"rxedge/index/names"
)

// Embedder makes the vectors of passages and queries. It is declared here
// because this room knows no model.
type Embedder interface {
	// Embed returns one unit vector for each text, in order.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Adapter is an Embedder that learns from the texts of an index how words are
// used there. Each generation has what was learned from its passages when it was
// built; live updates and questions are embedded by that.
type Adapter interface {
	Embedder
	// Adapt returns an embedder fitted to texts, which are those of all passages
	// as they are embedded, and what Restore needs to make it again. The same
	// texts in the same order give the same. Its vectors are of the dimension in
	// Options.EmbedderInfo.
	Adapt(ctx context.Context, texts iter.Seq[string]) (Embedder, []byte, error)
	// Restore makes the embedder again, or fails where state is damaged.
	Restore(state []byte) (Embedder, error)
}

// Knower is an Embedder that can tell texts of which it knows no word. A question
// of that kind has no vector: searched by meaning, nothing is found.
type Knower interface {
	Knows(text string) bool
}

// EmbedderInfo says whose vectors a generation holds.
type EmbedderInfo = generation.EmbedderInfo

// GenerationInfo says what a generation is and holds.
type GenerationInfo = generation.Info

// Report is the result of Verify.
type Report = generation.Report

// Fault is one thing Verify found.
type Fault = generation.Fault

// DefaultMaxTokens is the length of a passage where Options name none. On
// questions about labels, passages of 256 found the right section a little more
// often than those of 512 and of 128 (lexical/DESIGN.md).
const DefaultMaxTokens = 256

// Options of an index. The zero value searches by BM25 alone.
type Options struct {
	// Embedder makes vectors; nil: BM25 alone. An Adapter is fitted to each
	// generation. EmbedderInfo must be set with it:
	// vectors of another name, hash or dimension are never compared with its.
	Embedder     Embedder
	EmbedderInfo EmbedderInfo
	// Others gives the embedder of a generation's vectors where that is another than
	// Embedder, so that the generation is searched and updated by it; false: it is not at
	// hand. They share Fusion and Feedback. Nil: there are none.
	Others func(EmbedderInfo) (Embedder, bool)
	// Fusion is how much words and vectors count in ModeHybrid; it belongs to the
	// embedder. Zero: reciprocal rank fusion, which asks for no weights.
	Fusion Fusion
	// Feedback is how much the passages that words find first count beside the
	// question in what vectors are searched by in ModeHybrid; it belongs to the
	// embedder. 0: nothing, and both are searched at the same time.
	Feedback float64
	// Counter counts tokens when passages are cut; nil: chunk's conservative
	// estimate. CounterName names it, so that passages cut by another counter
	// are cut again ("" for the estimate).
	Counter     chunk.Counter
	CounterName string
	// MaxTokens of a passage with its heading; 0: DefaultMaxTokens.
	MaxTokens int
	// WholeSections makes each section one passage, however long it is; for
	// evaluation of BM25 over collections whose unit is the document.
	WholeSections bool
	// KeepGenerations on disk, the current one included; 0: 2.
	KeepGenerations int
	// LiveDocuments is how many documents a batch may have to become a live
	// update, or a tenth of those there are where that is more; 0: 64; -1: every
	// batch becomes a new generation.
	LiveDocuments int
	// DiskFloor is what has to stay free on the disk, in bytes, whatever is
	// written. It is asked when something is first written; nil: 0.
	DiskFloor func() int64
	// DiskBudget is what all generations together may take, in bytes; 0, nil: what
	// there is.
	DiskBudget func() int64
	// MakeRoom is called where so many bytes are missing, before something is refused.
	// It must not call the index. Nil: nothing gives way.
	MakeRoom func(missing int64)
	// DiskFree says how much is free in the folder, in bytes, and whether that is
	// known; nil asks the file system.
	DiskFree func(dir string) (int64, bool)
	Logger   *slog.Logger     // nil: silent
	Now      func() time.Time // nil: time.Now
}

var (
	// ErrNotFound: the index holds no such document or section.
	ErrNotFound = errors.New("no such document or section in the index")
	// ErrLocked: another process has the index open.
	ErrLocked = errors.New("the index is open in another process")
	// ErrClosed: the index has been closed.
	ErrClosed = errors.New("the index is closed")
	// ErrNoEarlier: there is no earlier generation to go back to.
	ErrNoEarlier = errors.New("there is no earlier generation of the index to go back to")
	// ErrNoRoom: the disk has too little room; a *DiskError says how little.
	ErrNoRoom = errors.New("the disk has too little room")
	// ErrNoVectors: dense search was asked for and there are no vectors it can use.
	ErrNoVectors = errors.New("the index has no vectors that the loaded embedder can search; use mode bm25, or build the index again with this embedder")
)

// Changes is one batch: it becomes visible at once and whole, or not at all.
type Changes struct {
	// Put adds documents or replaces those of the same id; of two with the same
	// id the later one counts. An error that it yields ends the batch. Nil: none.
	Put iter.Seq2[*document.Document, error]
	// Delete removes documents by id; unknown ids are passed over. An id that is
	// also put is put.
	Delete []string
	// Vectors were made elsewhere, so that passages of which one is there need not be
	// embedded. Nil: none.
	Vectors *Vectors
	// Embedder makes the vectors of what Prepare builds, all anew where they are another's.
	// Zero: the one that made those that are there, or else the loaded one.
	Embedder Source
}

// Source of vectors: an embedder, and whose its vectors are.
type Source struct {
	Embedder
	Info EmbedderInfo
}

// Vectors of passages, made elsewhere. They are used where Embedder has the hash and
// the dimension of the embedder that is loaded, and it is not one that is fitted to
// what is indexed.
type Vectors struct {
	Embedder EmbedderInfo
	// Of gives those of a document, by what was embedded. One that is missing, of
	// another dimension, or not of finite numbers is made instead; after an error all
	// of the document are.
	Of func(id string) (map[TextHash][]float32, error)
}

// TextHash is the beginning of the SHA-256 of a text that was embedded.
type TextHash = generation.TextHash

// HashText hashes what is embedded of a passage.
func HashText(text string) TextHash { return generation.HashText(text) }

// Documents is a Put for documents in memory.
func Documents(docs ...*document.Document) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		for _, d := range docs {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// Stages of Apply, in order.
const (
	StageRead   = "read"   // documents come in
	StageCarry  = "carry"  // unchanged documents are copied
	StageIndex  = "index"  // passages are cut, embedded and analysed
	StageWrite  = "write"  // postings are written, files synced
	StageVerify = "verify" // of Verify
)

// Progress of Apply and Verify. Total is 0 where it is not known.
type Progress struct {
	Stage string `json:"stage"`
	Done  int    `json:"done"`
	Total int    `json:"total"`
}

// ApplyResult says what a batch came to.
type ApplyResult struct {
	// Generation that serves afterwards: a new one, or where Changed is false
	// the one that served before.
	Generation GenerationInfo `json:"generation"`
	Changed    bool           `json:"changed"`
	Added      int            `json:"added"`
	Replaced   int            `json:"replaced"`
	Removed    int            `json:"removed"`
	Unchanged  int            `json:"unchanged"` // put, but already there as they are
	Embedded   int            `json:"embedded"`  // passages
	// Lost are the documents that a Renew could not read: they are to be ingested again.
	Lost []string `json:"lost,omitempty"`
	// Given are passages whose vectors came with the batch.
	Given int `json:"given,omitempty"`
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
	// Text of the question. What stands in double quotes, two words or more, a
	// passage must have as it stands, but for case, endings and stop words.
	Text  string
	K     int // passages wanted; 0: 10
	Mode  Mode
	Depth int // candidates taken from each source before fusion; 0: max(K, 30)
	// Plain searches the words as they stand: no names, shorthand or sections.
	Plain bool
	// Prefix takes the last word for the beginning of one, as in a search that is
	// shown while it is typed: what completes it (Snapshot.Suggest) is searched.
	Prefix bool
	// Without leaves out parts of the reading, to measure what each is worth.
	Without names.Parts
	// Filter narrows the search; the zero value is all. The best K of what it
	// allows are found, with the scores that they have without it.
	Filter Filter
	// Explain gives each hit the parts of its score.
	Explain bool
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
	// Places of the passage in a source that has pages or elements.
	Places []document.Place `json:"places,omitempty"`
	// Score of the mode asked for; ranks start at 1, 0 means not among the
	// candidates of that source.
	Score     float64 `json:"score"`
	BM25      float64 `json:"bm25"`
	Dense     float64 `json:"dense"` // cosine
	BM25Rank  int     `json:"bm25_rank"`
	DenseRank int     `json:"dense_rank"`
	// Name and Section are the parts of BM25 that it has for being about a
	// medicine that the question names, which lifts it over all that is not,
	// and for being of a section that it asks for.
	Name    float64 `json:"name,omitempty"`
	Section float64 `json:"section,omitempty"`
	// Parts of the scores, where Query.Explain asks for them.
	Parts *Parts `json:"parts,omitempty"`
}

// Result of a search, best first.
type Result struct {
	Hits       []Hit  `json:"hits"`
	Generation string `json:"generation"` // its name, as in GenerationInfo
	// Mode that was searched: bm25 where hybrid was asked and there are no vectors.
	Mode Mode `json:"mode"`
	// Explain says how the question was read: medicines, expansions, sections.
	Explain names.Reading `json:"explain"`
	// Codes in the question, with the documents they stand for.
	Codes []Code `json:"codes,omitempty"`
	// Completed is the text that was searched, of a query by prefix.
	Completed string `json:"completed,omitempty"`
	// Drugs says how those of the filter were read.
	Drugs   []FilterDrug `json:"filter_drugs,omitempty"`
	Timings Timings      `json:"timings_ms"`
	// Vector of the question, where one was made; a text can be guessed from it, so
	// it is given to nobody.
	Vector []float32 `json:"-"`
}

// Code is one that was found in a question.
type Code struct {
	codes.Code
	Documents []string `json:"documents,omitempty"` // by id
}

// Timings of a search in milliseconds.
type Timings struct {
	Embed    float64 `json:"embed"`    // of the query
	Retrieve float64 `json:"retrieve"` // the rest: search, fusion, reading the passages
}

// DocumentSummary is a line of the list of documents.
type DocumentSummary struct {
	ID        string          `json:"id"`
	Version   string          `json:"version,omitempty"`
	Title     string          `json:"title"`
	Effective string          `json:"effective_date,omitempty"`
	Kind      string          `json:"kind"`
	Source    string          `json:"source"`
	Names     []document.Name `json:"names,omitempty"`
	Notice    string          `json:"notice,omitempty"`
	Sections  int             `json:"sections"`
	Passages  int             `json:"passages"`
}

// Stats of an index.
type Stats struct {
	Generation  GenerationInfo `json:"generation"`
	Generations int            `json:"generations"`
	Segments    int            `json:"segments"` // that a search looks at
	Terms       int            `json:"terms"`    // of the largest segment
	// LexicalBytes and VectorBytes are in memory, or mapped there from disk.
	LexicalBytes int64    `json:"lexical_bytes"`
	VectorBytes  int64    `json:"vector_bytes"`
	DiskBytes    int64    `json:"disk_bytes"`
	Dense        bool     `json:"dense"` // vectors are searched
	Notes        []string `json:"notes,omitempty"`
}
