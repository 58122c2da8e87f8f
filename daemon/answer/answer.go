// Package answer turns a question into an Answer: retrieve, generate or
// extract, bind every sentence to the passage it rests on, and withhold what
// nothing supports. "Not in my documents" is an answer too.
package answer

import (
	"time"

	"rxedge/daemon/answer/guard"
	"rxedge/index/names"
	"rxedge/inference"
)

// Status of an answer.
const (
	StatusAnswered  = "answered"
	StatusAbstained = "abstained"
)

// Reasons for an abstention.
const (
	ReasonNoEvidence = "no_evidence"
	ReasonUnverified = "unverified" // something was written, nothing of it was supported
	ReasonStale      = "stale"      // the labels that speak of it are too old
	ReasonUnsafe     = "unsafe"
)

// Modes: who wrote the claims.
const (
	ModeExtractive = "extractive" // verbatim sentences of the documents
	ModeGenerated  = "generated"  // a language model, every sentence bound to a passage
)

// PathShort is the Path of an answer to a simple lookup.
const PathShort = "short"

// Question is what a client asks.
type Question struct {
	Text string `json:"question"`
	// Mode asks for "extractive" or "generated"; empty: generated where a
	// language model is configured and ready, extractive otherwise.
	Mode string `json:"mode,omitempty"`
	// K is the number of passages looked at; 0: 8.
	K int `json:"k,omitempty"`
	// Fresh asks for an answer that is made now, whatever the cache holds.
	Fresh bool `json:"fresh,omitempty"`
	// Explain asks the guard to say why it trusts the answer, or does not.
	Explain bool `json:"explain,omitempty"`
	// Previous are the questions asked before in this conversation, oldest first:
	// one that names no medicine is about theirs.
	Previous []string `json:"previous,omitempty"`
	// Cohort is a coarse group that the patient is of, such as an age band: for
	// telling whether a group is refused more often. Never a person. One that is not
	// in telemetry.cohorts is counted as "other" and kept nowhere.
	Cohort string `json:"cohort,omitempty"`

	carried *names.Carried
}

// Answer is the whole result of one question.
type Answer struct {
	ID       string  `json:"id"`
	Question string  `json:"question"`
	Status   string  `json:"status"`
	Reason   string  `json:"reason,omitempty"`  // of an abstention
	Message  string  `json:"message,omitempty"` // a sentence for the person who asked
	Claims   []Claim `json:"claims"`
	// Withheld counts sentences that a model wrote and no passage supports.
	Withheld int `json:"withheld"`
	// Verification of what a model wrote; absent where none wrote.
	Verification *Verification `json:"verification,omitempty"`
	// Retrieved are the passages looked at, best first.
	Retrieved []Retrieved `json:"retrieved"`
	Mode      string      `json:"mode"`
	// Path is "short" where a language model is configured and was not asked: a
	// simple lookup, which the sentences answer.
	Path  string `json:"path,omitempty"`
	Model string `json:"model,omitempty"`
	// Fallback says in words why the answer was made in a lesser way than was
	// asked or configured; empty when it was not. Fallbacks names each of them.
	Fallback   string     `json:"fallback,omitempty"`
	Fallbacks  []Fallback `json:"fallbacks,omitempty"`
	Generation string     `json:"generation"` // of the index
	// Made is when an earlier answer was written that stands in for a new one.
	Made *time.Time `json:"made,omitempty"`
	// Cached: it was made for the same question before, and what it rests on is
	// as it was. Timings are then those of finding it again.
	Cached bool `json:"cached"`
	// Explain says how the question was read: the medicines it names, what else
	// was searched for its words, and the sections it asks for.
	Explain *names.Reading `json:"explain,omitempty"`
	// Decision of the guard: how likely it is that the answer is wrong, or should
	// be none. Absent where there is no answer.
	Decision *guard.Decision `json:"decision,omitempty"`
	// Severity is the worst of the claims'. LabelDate is the effective date of the
	// oldest label cited; Stale: it is too old.
	Severity  string `json:"severity,omitempty"`
	LabelDate string `json:"label_date,omitempty"`
	Stale     bool   `json:"stale,omitempty"`
	// Conflicting: labels of one medicine say different things of what was asked.
	Conflicting bool       `json:"conflicting,omitempty"`
	Conflicts   []Conflict `json:"conflicts,omitempty"`
	// CohortNote says that the cohort named with the question is none of this box's,
	// and which those are.
	CohortNote string `json:"cohort_note,omitempty"`
	// Notices of the documents that are cited, each once.
	Notices []string `json:"notices,omitempty"`
	Timings Timings  `json:"timings_ms"`

	// Cohort of the question, of those that the box tells apart; it is counted and told
	// to nobody.
	Cohort string `json:"-"`

	staleBefore   string    // the date
	now           time.Time // when it was made
	vector        []float32 // of the question
	probabilities probabilities
	written       []inference.TokenLogProb // of the first attempt
}

// Written are the tokens of a language model's first attempt, whether or not anything of
// it is shown; nil where none was asked, or the answer is a kept one.
func (a *Answer) Written() []inference.TokenLogProb { return a.written }

// Asked is the language model that was asked, whether or not anything of what it wrote is
// shown; "": none.
func (a *Answer) Asked() string {
	if a.Verification == nil {
		return ""
	}
	return a.Verification.Model
}

// Claim is one sentence of an answer.
type Claim struct {
	Text      string     `json:"text"`
	Citations []Citation `json:"citations"`
	// Support says how far what is cited bears it out: grounded, partly, or
	// unverified; Score is the judge's, 0 to 1, and 1 for a verbatim sentence.
	Support string  `json:"support"`
	Score   float64 `json:"score"`
	// Severity, Action and EvidenceLevel as daemon/answer/grade gives them: how
	// bad, what to do, how well known; each left out where nothing is said of it.
	Severity      string `json:"severity,omitempty"`
	Action        string `json:"action,omitempty"`
	EvidenceLevel string `json:"evidence_level,omitempty"`
}

// Citation is where a claim rests: bytes [Start, End) of the section's text
// are Quote.
type Citation struct {
	SetID         string `json:"set_id"`
	Version       string `json:"version,omitempty"`
	DocumentTitle string `json:"document_title"`
	SectionID     string `json:"section_id"`
	SectionTitle  string `json:"section_title"`
	LOINC         string `json:"loinc,omitempty"`
	EffectiveDate string `json:"effective_date,omitempty"`
	Start         int    `json:"start"`
	End           int    `json:"end"`
	Quote         string `json:"quote"`
	Stale         bool   `json:"stale,omitempty"` // the label is too old
	// Page of the source on which the span begins, from 1, or the part of a source
	// without pages ("sheet Interactions, row 7"); where the source has such.
	Page    int    `json:"page,omitempty"`
	Element string `json:"element,omitempty"`
}

// Retrieved is a passage that was looked at.
type Retrieved struct {
	SetID         string  `json:"set_id"`
	DocumentTitle string  `json:"document_title"`
	SectionID     string  `json:"section_id"`
	SectionTitle  string  `json:"section_title"`
	Start         int     `json:"start"`
	End           int     `json:"end"`
	Score         float64 `json:"score"`
}

// Timings of the stages, in milliseconds.
type Timings struct {
	Queue    float64 `json:"queue"`
	Embed    float64 `json:"embed"`
	Retrieve float64 `json:"retrieve"`
	Rerank   float64 `json:"rerank"`   // ordering what was found, where a reranker is configured
	Generate float64 `json:"generate"` // writing or picking sentences
	Verify   float64 `json:"verify"`   // judging them
	Cache    float64 `json:"cache"`    // looking for an answer that is kept
	Total    float64 `json:"total"`
}

// Vector of the question, where it was searched by one: to be counted by what it is
// near, and given to nobody, since a text can be guessed from it.
func (a *Answer) Vector() []float32 { return a.vector }
