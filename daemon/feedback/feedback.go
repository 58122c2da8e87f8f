// Package feedback keeps what people said of answers. It stays on the box: what
// they wrote is read by whoever may read the data folder, and goes into no log,
// no metric and no status.
//
// Feedback is about an answer that this box gave. So the box remembers, of each
// answer, its id and numbers: generation, model, mode, scores; no text.
package feedback

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"rxedge/daemon/answer"
)

// Thumbs.
const (
	Up   = "up"
	Down = "down"
)

// Outcomes of a card, as CDS Hooks names them.
const (
	Accepted   = "accepted"
	Overridden = "overridden"
)

// Reasons are what may be wrong with an answer.
var Reasons = []string{"wrong", "incomplete", "outdated", "irrelevant", "wrong_citation", "should_have_answered", "should_have_abstained", "unsafe", "other"}

// Withheld stands for a correction whose text was not asked for.
const Withheld = "(text)"

// Limits of one item.
const (
	MaxText = 4000 // bytes of a correction or a comment
	maxCode = 64
)

// Item is what somebody said of one answer.
type Item struct {
	// ID that the client chose: sent again, it counts once. Empty: the box
	// chooses one.
	ID       string `json:"id,omitempty" maxLength:"64" doc:"Chosen by the client; the same again counts once"`
	AnswerID string `json:"answer_id" minLength:"1" maxLength:"64" doc:"id of an answer, or uuid of a card, that this box gave"`
	Thumb    string `json:"thumb,omitempty" enum:"up,down,"`
	Reason   string `json:"reason,omitempty" enum:"wrong,incomplete,outdated,irrelevant,wrong_citation,should_have_answered,should_have_abstained,unsafe,other,"`
	// Outcome of a card.
	Outcome string `json:"outcome,omitempty" enum:"accepted,overridden,"`
	// OverrideReason is a code, why advice was overridden.
	OverrideReason string `json:"override_reason,omitempty" maxLength:"64"`
	// Correction is what should have been said, or a comment. Kept on this box.
	Correction string `json:"correction,omitempty" doc:"What should have been said; at most 4000 bytes; it stays on this box"`
}

// Given is what the box remembers of an answer: numbers and words of its own.
type Given struct {
	ID         string    `json:"id"`
	At         time.Time `json:"at"`
	Interface  string    `json:"interface,omitempty"` // cds-hooks and the service's id; empty: a question
	Generation string    `json:"generation"`
	Model      string    `json:"model,omitempty"`
	Mode       string    `json:"mode"`
	Status     string    `json:"status"`
	Reason     string    `json:"reason,omitempty"` // of the abstention
	Fallback   bool      `json:"fallback,omitempty"`
	Cached     bool      `json:"cached,omitempty"`
	Claims     int       `json:"claims"`
	Withheld   int       `json:"withheld"`
	Scores     []float64 `json:"scores,omitempty"` // of the passages, best first
	TotalMS    float64   `json:"total_ms"`
}

// Record is an item as it is kept.
type Record struct {
	Item
	Number uint64    `json:"number"` // in the order they came, from 1
	At     time.Time `json:"at"`
	Answer Given     `json:"answer"`
}

// GivenOf takes the numbers of an answer.
func GivenOf(a *answer.Answer, now time.Time) Given {
	g := Given{ID: a.ID, At: now.UTC(), Generation: a.Generation, Model: a.Model, Mode: a.Mode, Status: a.Status, Reason: a.Reason,
		Fallback: a.Fallback != "", Cached: a.Cached, Claims: len(a.Claims), Withheld: a.Withheld, TotalMS: a.Timings.Total}
	for _, r := range a.Retrieved[:min(8, len(a.Retrieved))] {
		g.Scores = append(g.Scores, r.Score)
	}
	return g
}

// ErrUnknownAnswer: no answer of that id is remembered.
var ErrUnknownAnswer = errors.New("this box remembers no answer of that id; feedback is taken for 90 days")

// ErrConflict: the id was used before, for something else.
var ErrConflict = errors.New("other feedback was sent under this id before; choose another id")

// ErrFull: no more is taken.
var ErrFull = errors.New("the store of feedback is full; 'rxedge feedback export' and 'rxedge feedback remove --before DATE' make room")

// InvalidError says what is wrong with an item.
type InvalidError struct{ Field, Detail string }

func (e *InvalidError) Error() string { return e.Field + ": " + e.Detail }

// ids and codes are plain, so that nothing a person wrote hides in them.
var (
	plainID   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	plainCode = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
)

// Check says what is wrong with it.
func (i *Item) Check() error {
	i.Correction = strings.TrimSpace(i.Correction)
	switch {
	case i.ID != "" && !plainID.MatchString(i.ID):
		return &InvalidError{"id", "use 1 to 64 letters, digits, - and _"}
	case i.AnswerID == "":
		return &InvalidError{"answer_id", "name the answer"}
	case i.Thumb != "" && i.Thumb != Up && i.Thumb != Down:
		return &InvalidError{"thumb", "is neither up nor down"}
	case i.Reason != "" && !slices.Contains(Reasons, i.Reason):
		return &InvalidError{"reason", "is none of " + strings.Join(Reasons, ", ")}
	case i.Outcome != "" && i.Outcome != Accepted && i.Outcome != Overridden:
		return &InvalidError{"outcome", "is neither accepted nor overridden"}
	case i.OverrideReason != "" && !plainCode.MatchString(i.OverrideReason):
		return &InvalidError{"override_reason", fmt.Sprintf("is a code of at most %d letters, digits and . _ : -; write the rest into correction", maxCode)}
	case !utf8.ValidString(i.Correction):
		return &InvalidError{"correction", "is not valid UTF-8"}
	case len(i.Correction) > MaxText:
		return &InvalidError{"correction", fmt.Sprintf("has %d bytes, and at most %d are kept", len(i.Correction), MaxText)}
	case i.Thumb == "" && i.Reason == "" && i.Outcome == "" && i.OverrideReason == "" && i.Correction == "":
		return &InvalidError{"thumb", "say something: a thumb, a reason, a correction, an outcome or a reason for overriding"}
	}
	return nil
}

// NewID for an item that came without one, or for a card.
func NewID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Summary counts what was said; it holds no text.
type Summary struct {
	Records      int            `json:"records"`
	Corrections  int            `json:"corrections"` // with text
	Thumbs       map[string]int `json:"thumbs"`
	Reasons      map[string]int `json:"reasons"`
	Outcomes     map[string]int `json:"outcomes"`
	Overrides    map[string]int `json:"override_reasons"`
	ByMode       map[string]int `json:"by_mode"`
	ByModel      map[string]int `json:"by_model"`
	ByGeneration map[string]int `json:"by_generation"`
	Answers      int            `json:"answers_remembered"`
	First        time.Time      `json:"first,omitzero"`
	Last         time.Time      `json:"last,omitzero"`
}

func summarise(rs []Record, answers int) Summary {
	s := Summary{Records: len(rs), Answers: answers, Thumbs: map[string]int{}, Reasons: map[string]int{}, Outcomes: map[string]int{},
		Overrides: map[string]int{}, ByMode: map[string]int{}, ByModel: map[string]int{}, ByGeneration: map[string]int{}}
	add := func(m map[string]int, k string) {
		if k != "" {
			m[k]++
		}
	}
	for _, r := range rs {
		add(s.Thumbs, r.Thumb)
		add(s.Reasons, r.Reason)
		add(s.Outcomes, r.Outcome)
		add(s.Overrides, r.OverrideReason)
		add(s.ByMode, r.Answer.Mode)
		add(s.ByModel, r.Answer.Model)
		add(s.ByGeneration, r.Answer.Generation)
		if r.Correction != "" {
			s.Corrections++
		}
	}
	if n := len(rs); n > 0 {
		s.First, s.Last = rs[0].At, rs[n-1].At
	}
	return s
}
