// Package evaluate measures answers against questions with known sections,
// evidence and numbers.
package evaluate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"rxedge/daemon/answer"
	"rxedge/index"
	"rxedge/index/document"
	retrieval "rxedge/index/evaluate"
	"rxedge/inference/quantity"
)

// Question is one line of a questions file.
type Question struct {
	ID       string `json:"id"`
	Question string `json:"question"`
	// Relevant section ids; empty: the documents do not answer it.
	Relevant []string `json:"relevant"`
	Evidence []string `json:"evidence"` // verbatim strings of the sections
	Numbers  []string `json:"numbers"`  // that the answer must state, with units
	Kind     string   `json:"kind"`
	// Answer in the words of whoever wrote the question, for overlap of words; "": the
	// evidence.
	Answer string `json:"answer,omitempty"`
}

const maxLine = 1 << 20

// Read reads a questions file, one JSON object a line. name is for errors.
func Read(name string, r io.Reader) ([]Question, error) {
	var out []Question
	seen := map[string]int{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	line := 0
	for sc.Scan() {
		line++
		text := bytes.TrimSpace(sc.Bytes())
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if len(text) == 0 {
			continue
		}
		var q Question
		if err := json.Unmarshal(text, &q); err != nil {
			var typ *json.UnmarshalTypeError
			if errors.As(err, &typ) {
				return nil, fmt.Errorf("%s, line %d: field %q is of the wrong type, want %s", name, line, typ.Field, typ.Type)
			}
			return nil, fmt.Errorf("%s, line %d: not a JSON object: %w", name, line, err)
		}
		switch {
		case q.ID == "":
			return nil, fmt.Errorf("%s, line %d: field \"id\" is missing", name, line)
		case strings.TrimSpace(q.Question) == "":
			return nil, fmt.Errorf("%s, line %d: field \"question\" is missing", name, line)
		case seen[q.ID] > 0:
			return nil, fmt.Errorf("%s, line %d: id %q was used in line %d", name, line, q.ID, seen[q.ID])
		}
		seen[q.ID] = line
		out = append(out, q)
	}
	if err := sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, fmt.Errorf("%s, line %d: longer than %d bytes", name, line+1, maxLine)
		}
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: holds no questions", name)
	}
	return out, nil
}

// Box is what is measured.
type Box interface {
	Ask(context.Context, answer.Question, answer.Events) (*answer.Answer, error)
	Document(ctx context.Context, id string) (*document.Document, error)
	Section(ctx context.Context, id string) (index.SectionRef, error)
}

// Ratio is a share; 0 of 0 is undefined, null in JSON.
type Ratio struct{ Of, All int }

// Value of the share, NaN where it is undefined.
func (r Ratio) Value() float64 {
	if r.All == 0 {
		return math.NaN()
	}
	return float64(r.Of) / float64(r.All)
}

// MarshalJSON rounds to four digits.
func (r Ratio) MarshalJSON() ([]byte, error) {
	if r.All == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(math.Round(r.Value()*1e4) / 1e4)
}

func (r *Ratio) add(ok bool) {
	r.All++
	if ok {
		r.Of++
	}
}

// Figures of a set of questions. The keys are fixed; see the package comment
// of each in Report.
type Figures struct {
	Questions int `json:"questions"`
	Answered  int `json:"answered"`
	Abstained int `json:"abstained"`
	// RightSectionAtK: answerable questions with a relevant section among the
	// first k distinct sections retrieved.
	RightSectionAt1 Ratio `json:"right_section@1"`
	RightSectionAt5 Ratio `json:"right_section@5"`
	// CitationValid: emitted spans that read again byte for byte.
	CitationValid Ratio `json:"citation_valid"`
	// EvidenceRecall: gold evidence strings of which at least half the words
	// lie in the spans that the answer cites.
	EvidenceRecall Ratio `json:"evidence_recall"`
	// NumberRecall: gold numbers found in the claims by value and unit.
	NumberRecall Ratio `json:"number_recall"`
	// AbstainPrecision: unanswerable among the abstained; AbstainRecall:
	// abstained among the unanswerable.
	AbstainPrecision Ratio `json:"abstain_precision"`
	AbstainRecall    Ratio `json:"abstain_recall"`
	// ClaimsPerAnswer is the mean number of claims of the answered; CitedEvidence
	// the share of the words cited for answerable questions that gold evidence
	// has: what recall costs the reader.
	ClaimsPerAnswer Mean  `json:"claims_per_answer"`
	CitedEvidence   Ratio `json:"cited_evidence"`
	// WrongNumber: answered questions with gold numbers whose answer states none
	// of them, and another of the same unit instead.
	WrongNumber Ratio `json:"wrong_number"`
}

// Mean of counts; of none it is undefined, null in JSON.
type Mean struct{ Sum, N int }

// MarshalJSON rounds to two digits.
func (m Mean) MarshalJSON() ([]byte, error) {
	if m.N == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(math.Round(float64(m.Sum)/float64(m.N)*100) / 100)
}

// Report is the whole result.
type Report struct {
	Figures
	P50    float64             `json:"p50_ms"`
	P95    float64             `json:"p95_ms"`
	ByKind map[string]*Figures `json:"by_kind"`
}

// Outcome is what came of one question, for reading failures.
type Outcome struct {
	Question Question       `json:"question"`
	Answer   *answer.Answer `json:"answer"`
	Rank     int            `json:"rank"` // of the first relevant section, 0: none

	figures Figures
}

// RunLine gives the question's own figures, for comparing runs: the shares of
// the report, and "answered", which is 1 or 0 for a question that the documents
// answer.
func (o Outcome) RunLine() retrieval.RunLine {
	l := retrieval.RunLine{ID: o.Question.ID, Kind: o.Question.Kind, Metrics: map[string]*float64{}}
	put := func(name string, r Ratio) {
		if r.All > 0 {
			v := r.Value()
			l.Metrics[name] = &v
		}
	}
	f := o.figures
	put("right_section@1", f.RightSectionAt1)
	put("right_section@5", f.RightSectionAt5)
	put("citation_valid", f.CitationValid)
	put("evidence_recall", f.EvidenceRecall)
	put("number_recall", f.NumberRecall)
	put("abstain_precision", f.AbstainPrecision)
	put("abstain_recall", f.AbstainRecall)
	if len(o.Question.Relevant) > 0 {
		put("answered", Ratio{f.Answered, 1})
	}
	return l
}

// Run asks every question. each, which may be nil, is called after each.
func Run(ctx context.Context, box Box, questions []Question, mode string, each func(Outcome)) (Report, error) {
	rep := Report{ByKind: map[string]*Figures{}}
	m := &measure{ctx: ctx, box: box, documents: map[string]*document.Document{}, aliases: map[string][]string{}}
	var times []float64
	for _, q := range questions {
		began := time.Now()
		a, err := box.Ask(ctx, answer.Question{Text: q.Question, Mode: mode, Fresh: true}, answer.Events{})
		if err != nil {
			return rep, fmt.Errorf("question %s: %w", q.ID, err)
		}
		times = append(times, float64(time.Since(began).Microseconds())/1000)
		kind := rep.ByKind[q.Kind]
		if kind == nil {
			kind = &Figures{}
			rep.ByKind[q.Kind] = kind
		}
		rank := m.rank(q, a)
		valid := m.citations(a)
		var own Figures
		for _, f := range []*Figures{&rep.Figures, kind, &own} {
			f.count(q, a, rank, valid)
		}
		if each != nil {
			each(Outcome{Question: q, Answer: a, Rank: rank, figures: own})
		}
	}
	rep.P50, rep.P95 = Percentile(times, 0.5), Percentile(times, 0.95)
	return rep, nil
}

func (f *Figures) count(q Question, a *answer.Answer, rank int, valid []bool) {
	f.Questions++
	answerable := len(q.Relevant) > 0
	abstained := a.Status == answer.StatusAbstained
	if abstained {
		f.Abstained++
		f.AbstainPrecision.add(!answerable)
	} else {
		f.Answered++
		f.ClaimsPerAnswer.Sum += len(a.Claims)
		f.ClaimsPerAnswer.N++
	}
	for _, ok := range valid {
		f.CitationValid.add(ok)
	}
	if !answerable {
		f.AbstainRecall.add(abstained)
		return
	}
	f.RightSectionAt1.add(rank == 1)
	f.RightSectionAt5.add(rank >= 1 && rank <= 5)
	cited := citedWords(a)
	if len(q.Evidence) > 0 {
		of, all := overlap(q.Evidence, cited)
		f.CitedEvidence.Of += of
		f.CitedEvidence.All += all
	}
	for _, e := range q.Evidence {
		f.EvidenceRecall.add(covered(e, cited) >= 0.5)
	}
	var said []quantity.Number
	for _, c := range a.Claims {
		said = append(said, quantity.Numbers(c.Text)...)
	}
	right, other := 0, false
	for _, gold := range q.Numbers {
		ok := quantity.Stated(gold, said)
		f.NumberRecall.add(ok)
		if ok {
			right++
			continue
		}
		for _, n := range quantity.Numbers(gold) {
			other = other || n.Unit != "" && slices.ContainsFunc(said, func(s quantity.Number) bool { return s.Unit == n.Unit })
		}
	}
	if len(q.Numbers) > 0 && !abstained {
		f.WrongNumber.add(right == 0 && other)
	}
}

// overlap counts the cited words, and those of them that evidence has too.
func overlap(evidence []string, cited map[string]int) (of, all int) {
	left := map[string]int{}
	for _, e := range evidence {
		for _, w := range words(e) {
			left[w]++
		}
	}
	for w, n := range cited {
		all += n
		of += min(n, left[w])
	}
	return of, all
}

type measure struct {
	ctx       context.Context
	box       Box
	documents map[string]*document.Document
	aliases   map[string][]string
}

// rank of the first relevant section among the distinct ones retrieved, from 1.
func (m *measure) rank(q Question, a *answer.Answer) int {
	seen := map[string]bool{}
	for _, r := range a.Retrieved {
		if seen[r.SectionID] {
			continue
		}
		seen[r.SectionID] = true
		for _, id := range append([]string{r.SectionID}, m.alias(r.SectionID)...) {
			if slices.Contains(q.Relevant, id) {
				return len(seen)
			}
		}
	}
	return 0
}

// Ranking is the distinct sections of those found, as the judgements name them: a
// section that a relevant id is another name of has that name.
func Ranking(found, relevant []string, aliases func(section string) []string) ([]retrieval.Scored, retrieval.Judgements) {
	judged := retrieval.Judgements{}
	for _, id := range relevant {
		judged[id] = 1
	}
	var ranked []retrieval.Scored
	seen := map[string]bool{}
	for _, id := range found {
		if seen[id] {
			continue
		}
		seen[id] = true
		if judged[id] == 0 {
			for _, al := range aliases(id) {
				if judged[al] > 0 && !seen[al] {
					id = al
					break
				}
			}
		}
		seen[id] = true
		ranked = append(ranked, retrieval.Scored{ID: id})
	}
	return ranked, judged
}

func (m *measure) alias(id string) []string {
	al, ok := m.aliases[id]
	if !ok {
		if ref, err := m.box.Section(m.ctx, id); err == nil {
			al = ref.Section.Aliases
		}
		m.aliases[id] = al
	}
	return al
}

// Valid says of each citation of a's claims whether its span reads again byte for
// byte, as box has the documents.
func Valid(ctx context.Context, box Box, a *answer.Answer) []bool {
	m := &measure{ctx: ctx, box: box, documents: map[string]*document.Document{}}
	return m.citations(a)
}

// citations reads every span again, out of the document as it is stored.
func (m *measure) citations(a *answer.Answer) []bool {
	var out []bool
	for _, c := range a.Claims {
		if len(c.Citations) == 0 {
			out = append(out, false) // a claim that rests on nothing
		}
		for _, ci := range c.Citations {
			out = append(out, m.valid(ci))
		}
	}
	return out
}

func (m *measure) valid(c answer.Citation) bool {
	d, ok := m.documents[c.SetID]
	if !ok {
		d, _ = m.box.Document(m.ctx, c.SetID)
		m.documents[c.SetID] = d
	}
	if d == nil || d.Version != c.Version || d.Effective != c.EffectiveDate {
		return false
	}
	for _, s := range d.Sections {
		if s.ID == c.SectionID {
			return c.Start >= 0 && c.Start < c.End && c.End <= len(s.Text) && s.Text[c.Start:c.End] == c.Quote
		}
	}
	return false
}

func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func citedWords(a *answer.Answer) map[string]int {
	m := map[string]int{}
	seen := map[string]bool{}
	for _, c := range a.Claims {
		for _, ci := range c.Citations {
			key := fmt.Sprint(ci.SectionID, ci.Start, ci.End)
			if seen[key] {
				continue
			}
			seen[key] = true
			for _, w := range words(ci.Quote) {
				m[w]++
			}
		}
	}
	return m
}

// covered is the share of text's words, each counted as often as it occurs,
// that lie in the cited ones.
func covered(text string, cited map[string]int) float64 {
	ws := words(text)
	if len(ws) == 0 {
		return 0
	}
	left := map[string]int{}
	n := 0
	for _, w := range ws {
		if left[w] < cited[w] {
			left[w]++
			n++
		}
	}
	return float64(n) / float64(len(ws))
}

// Percentile p in 0..1 of values, by the nearest rank.
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return s[max(0, int(math.Ceil(p*float64(len(s))))-1)]
}
