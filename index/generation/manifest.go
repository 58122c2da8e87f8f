package generation

import "time"

// EmbedderInfo says whose vectors these are. Vectors of different embedders
// are never compared.
type EmbedderInfo struct {
	Name      string `json:"name"`
	SHA256    string `json:"sha256"` // of the model file
	Dimension int    `json:"dimension"`
}

// Info says what a generation is and holds.
type Info struct {
	Number    uint64       `json:"number"`
	Name      string       `json:"name"` // of its folder: gen-000007
	Created   time.Time    `json:"created"`
	Documents int          `json:"documents"`
	Sections  int          `json:"sections"`
	Passages  int          `json:"passages"`
	Vectors   int          `json:"vectors"`  // passages that have one
	Analyzer  string       `json:"analyzer"` // version of the analyser
	Embedder  EmbedderInfo `json:"embedder"` // zero where there are no vectors
	Current   bool         `json:"current"`
	Bytes     int64        `json:"bytes"` // on disk
}

// Report is what Verify found.
type Report struct {
	Generation string  `json:"generation"`
	Files      int     `json:"files"`
	Records    int     `json:"records"`
	Documents  int     `json:"documents"`
	Passages   int     `json:"passages"`
	Postings   int     `json:"postings"`
	Vectors    int     `json:"vectors"`
	Faults     []Fault `json:"faults"`
}

// OK says that nothing is wrong.
func (r Report) OK() bool { return len(r.Faults) == 0 }

// Fault is one thing that is wrong in a generation.
type Fault struct {
	Where string `json:"where"` // the file, record or blob
	What  string `json:"what"`
}
