// Package trainer sees to what follows an approved retrain.requested: it describes what
// is to be trained without a word that anybody asked, takes in the model that comes of it,
// and sends it to the sites through the gates of a rollout. DESIGN.md says how it
// survives a kill.
package trainer

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"rxedge/sync/bundle"
)

// Schema of requests; what reads them refuses another.
const Schema = 1

// RequestSchema is the JSON schema of a request, which lies beside it.
//
//go:embed request.schema.json
var RequestSchema []byte

// KindEmbedder is a model in the place of the built-in embedder, FormatStatic its file
// (inference/semantic). Nothing else is asked for yet.
const (
	KindEmbedder = "embedder"
	FormatStatic = "rxedge-static"
)

// Request is what is to be trained, and why. Every count in it is 0 or of eleven
// questions at least; it names no site, and holds no word that a site could have been
// told about a person: words are of this program's own tables, or of what is published.
type Request struct {
	Schema    int       `json:"schema"`
	ID        string    `json:"id"`     // such as retrain-3
	Record    string    `json:"record"` // SHA-256 of the signed request, hex
	Requested time.Time `json:"requested"`
	Approved  time.Time `json:"approved"`
	Deadline  time.Time `json:"deadline"` // what is registered later is not taken
	Model     Wanted    `json:"model"`
	Drift     []Drift   `json:"drift"`
	Windows   Windows   `json:"windows"`
	Questions Questions `json:"questions"`
	Documents Documents `json:"documents"`
	// Golden questions are to be measured by, and not to be trained on.
	Golden []File `json:"golden"`
	Beat   Beat   `json:"beat"`
}

// Wanted is the kind of model that is asked for, and the one that serves.
type Wanted struct {
	Kind     string   `json:"kind"`
	Format   string   `json:"format"`
	MaxBytes int64    `json:"max_bytes"`
	Champion Champion `json:"champion"`
}

// Champion is the model that serves.
type Champion struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256,omitempty"` // of its file; "": it is not among the published ones
	File    string `json:"file,omitempty"`   // in the request's folder
	Builtin bool   `json:"builtin,omitempty"`
	Bundle  int64  `json:"bundle,omitempty"` // of the channel, that brought it
	// Lineage are the requests that it and those before it were trained for, the latest
	// first.
	Lineage []Ancestor `json:"lineage"`
}

// Ancestor is a model that came of a request.
type Ancestor struct {
	Request string `json:"request"`
	SHA256  string `json:"sha256"`
	From    string `json:"from,omitempty"` // SHA-256 of the champion of then; "": the built-in one
}

// Drift is one thing that has changed.
type Drift struct {
	Feature string  `json:"feature"`
	Kind    string  `json:"kind"`
	Level   string  `json:"level"`
	Fleet   bool    `json:"fleet"`        // of all sites together
	By      string  `json:"by,omitempty"` // where it comes from: class, section, kind, cohort
	Value   string  `json:"value,omitempty"`
	Figure  float64 `json:"figure"` // PSI, or the difference of rates
	P       float64 `json:"p"`
	N       int64   `json:"n"` // questions that it rests on
}

// Windows that were found to have changed.
type Windows struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Questions int64     `json:"questions"`
	Sites     int       `json:"sites"`  // where it holds, counted
	Count     int       `json:"count"`  // of windows
	SHA256    []string  `json:"sha256"` // of what the sites sent, as it was sent, sorted; some where there are many
	Compared  *Period   `json:"compared_with,omitempty"`
}

// Period that is compared with.
type Period struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Questions int64     `json:"questions"`
}

// Questions say what is asked, as shares, and how such questions can be made up.
type Questions struct {
	Asked   int64   `json:"asked"`
	Kinds   []Share `json:"kinds"`
	Classes []Share `json:"classes"`
	// Sections are LOINC codes of what was cited first.
	Sections []Share `json:"sections"`
	// Topics are this program's own sentences, by which questions are counted.
	Topics  []Share `json:"topics"`
	Cohorts []Share `json:"cohorts"`
	// Templates by kind; {medicine} stands for a name. They were written for this program:
	// nobody asked them.
	Templates map[string][]Template `json:"templates"`
}

// Share of the questions.
type Share struct {
	Value  string  `json:"value"`
	N      int64   `json:"n"`
	Weight float64 `json:"weight"`           // of those that have one, from 0 to 1
	Before *Before `json:"before,omitempty"` // nil: nothing is compared with
}

// Before is a share of the period that is compared with.
type Before struct {
	N      int64   `json:"n"`
	Weight float64 `json:"weight"`
}

// Template of a question, and whether it is for measuring alone.
type Template struct {
	Text    string `json:"text"`
	HeldOut bool   `json:"held_out,omitempty"`
}

// Documents that are published, which the model is to be trained on.
type Documents struct {
	Channel  string            `json:"channel"`
	Bundle   int64             `json:"bundle"`
	File     string            `json:"file"`
	SHA256   string            `json:"sha256"` // of the file
	Count    int               `json:"count"`
	Versions []DocumentVersion `json:"versions"`
}

// DocumentVersion is a document by its content.
type DocumentVersion struct {
	ID     string `json:"id"`
	SHA256 string `json:"sha256"` // of its line in the file
}

// File of the request's folder.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// Beat says what the model has to be no worse in than the champion, measured in the same
// way on the same documents.
type Beat struct {
	// GoldenLoss is how much the mean nDCG at 10 of the golden questions may fall.
	GoldenLoss float64 `json:"golden_loss"`
	// HeldOutGain is how much that of made-up questions, weighted as they are asked now,
	// has to rise at least.
	HeldOutGain float64 `json:"held_out_gain"`
	// Rates of the sites' answers in the windows, for what they are worth.
	Answers Rates `json:"answers"`
}

// Rates of answers; nil: of fewer than eleven.
type Rates struct {
	Abstained  *float64 `json:"abstained"`
	Flagged    *float64 `json:"flagged"`
	Ungrounded *float64 `json:"ungrounded"`
}

// File names of a request's folder.
const (
	RequestFile   = "request.json"
	SchemaFile    = "request.schema.json"
	DocumentsFile = "documents.jsonl"
	goldenFolder  = "golden"
	championFile  = "champion.model"
)

// maxRequest is the most bytes of a request: 60,000 documents have 8 MB.
const maxRequest = 64 << 20

var (
	idForm   = regexp.MustCompile(`^retrain-[1-9][0-9]{0,17}$`)
	hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	fileForm = regexp.MustCompile(`^(golden/)?[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

// ErrRequest: what was read is no request that this release understands.
var ErrRequest = errors.New("this is no request for training")

// ParseRequest reads a request, strictly.
func ParseRequest(r io.Reader) (*Request, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxRequest+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxRequest {
		return nil, fmt.Errorf("%w: it has more than %d MB", ErrRequest, maxRequest>>20)
	}
	var version struct{ Schema int }
	if err := json.Unmarshal(b, &version); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if version.Schema != Schema {
		return nil, fmt.Errorf("%w: it is of schema %d, and this rxedge reads %d", ErrRequest, version.Schema, Schema)
	}
	q := &Request{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows it", ErrRequest)
	}
	return q, q.check()
}

func (q *Request) check() error {
	bad := func(field, why string) error { return fmt.Errorf("%w: %s: %s", ErrRequest, field, why) }
	m := &q.Model
	switch {
	case !idForm.MatchString(q.ID):
		return bad("id", "it is none")
	case !hashForm.MatchString(q.Record):
		return bad("record", "it is no SHA-256")
	case q.Deadline.IsZero() || q.Approved.IsZero() || q.Requested.IsZero():
		return bad("deadline, approved, requested", "a time is missing")
	case m.Kind != KindEmbedder || m.Format != FormatStatic:
		return bad("model", "it asks for another kind or format than "+KindEmbedder+", "+FormatStatic)
	case m.MaxBytes < 1:
		return bad("model.max_bytes", "it is not above 0")
	case m.Champion.SHA256 != "" && !hashForm.MatchString(m.Champion.SHA256):
		return bad("model.champion.sha256", "it is no SHA-256")
	case q.Documents.File != "" && !fileForm.MatchString(q.Documents.File), m.Champion.File != "" && !fileForm.MatchString(m.Champion.File):
		return bad("file", "it is no name of a file in the folder")
	case q.Documents.Count != len(q.Documents.Versions):
		return bad("documents", "it does not have as many as it says")
	case q.Windows.Count < len(q.Windows.SHA256):
		return bad("windows", "there are more hashes than windows")
	}
	for _, f := range q.Golden {
		if !fileForm.MatchString(f.Name) || !hashForm.MatchString(f.SHA256) {
			return bad("golden", "a file has no name or no SHA-256")
		}
	}
	for _, shares := range [][]Share{q.Questions.Kinds, q.Questions.Classes, q.Questions.Sections, q.Questions.Topics, q.Questions.Cohorts} {
		for _, s := range shares {
			if s.N < 0 || s.Weight < 0 || s.Weight > 1 {
				return bad("questions", "a share is none")
			}
		}
	}
	return nil
}

// encode a request as it is written, with its hash.
func (q *Request) encode() ([]byte, bundle.Hash, error) {
	b, err := json.MarshalIndent(q, "", "  ")
	if err != nil {
		return nil, bundle.Hash{}, err
	}
	b = append(b, '\n')
	return b, bundle.HashOf(b), nil
}
