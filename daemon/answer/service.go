package answer

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"rxedge/daemon/answer/guard"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/names"
	"rxedge/inference"
	"rxedge/inference/extract"
)

// Limits of a question.
const (
	MaxQuestionBytes = 2000
	MaxPassages      = 50
	wider            = 2 // times as many passages are read for sentences as a model is given
	minSections      = 5 // distinct sections that Retrieved lists where there are as many
)

// InvalidError says what is wrong with a question, in words for the asker.
type InvalidError struct{ Field, Detail string }

func (e *InvalidError) Error() string { return e.Field + ": " + e.Detail }

// Searcher is the index, held at one generation for one question.
type Searcher interface {
	Acquire() *index.Snapshot
}

// Service answers questions. Safe for concurrent use.
type Service struct {
	Index Searcher
	// Generator returns the language model that writes answers, or nil where
	// none is configured; an error says why a configured one can't serve now.
	Generator func(ctx context.Context) (inference.Generator, error)
	// Reranker returns the judge that orders what was found, or nil where none is
	// configured; an error says why a configured one can't serve now. May be nil.
	Reranker func(ctx context.Context) (inference.Reranker, error)
	// Entailer returns the judge of what a model wrote. Where it can't serve, or
	// is nil, nothing that a model writes is shown.
	Entailer func(ctx context.Context) (inference.Entailer, error)
	// Relevance judges for the guard how well claims answer a question: the judge
	// that the guard was trained with. May be nil.
	Relevance inference.Reranker
	// ShortPath: a simple lookup is answered by the extract alone, though a language
	// model is configured.
	ShortPath bool
	Passages  int // 0: 8
	MaxTokens int // of a generated answer; 0: 256
	Log       *slog.Logger
	// StaleAfter is the age from which a label is stale; 0: never. StaleAbstains:
	// stale labels answer nothing. Now is the clock; nil: time.Now.
	StaleAfter    time.Duration
	StaleAbstains bool
	// GuardAbstains: an extract of which the guard has much doubt is not shown. Else the
	// guard tells its doubt and takes nothing away.
	GuardAbstains bool
	Now           func() time.Time
	// Cache keeps answers; nil: none. Variant names what an answer depends on
	// beside the question and the index: models with their hashes, profile.
	Cache   Cache
	Variant func() string
	// Embedder that the index searches by; an answer that was searched without it
	// though it could have been is not kept.
	Embedder index.EmbedderInfo
	// Vectors: an embedder is configured, whether or not it could be loaded.
	Vectors bool
	// Retreat lets the last good generation serve where the one named turned out
	// damaged, or fails where there is none; Retreated says that it does, and
	// Lost that nothing of what was ingested can be searched. Each may be nil.
	Retreat   func(ctx context.Context, generation string, why error) error
	Retreated func() string
	Lost      func() bool
	// Cohorts that are told apart; another is taken for OtherCohort.
	Cohorts []string
	// Serving gives what answers the next question, of whoever the context says; nil:
	// Index, Generator and Variant do. The question releases it.
	Serving func(context.Context) Serving
	// Observe is called with each question as it was asked and its answer, or the error
	// where there is none; it is for counting, and nobody's answer waits for it. The
	// context says what answered (ServingOf). May be nil.
	Observe func(context.Context, Question, *Answer, error)

	flights  flights
	underway underway
	guard    *guard.Model // nil: the one that is built in
}

// Events of one question, in the order they happen. Each may be nil.
type Events struct {
	Retrieved func([]Retrieved)
	Claim     func(Claim)
	Withheld  func(total int)
}

// Ask answers q. An abstention is an Answer, not an error; an error means that
// the question could not be looked at. The text of the question goes into no
// log and no error.
func (s *Service) Ask(ctx context.Context, q Question, ev Events) (*Answer, error) {
	began := time.Now()
	defer at(&s.underway.asked)()
	observe, asked := s.Observe, q
	if isHidden(ctx) {
		observe, q.Fresh = nil, true
	}
	if err := q.check(); err != nil {
		if observe != nil {
			observe(ctx, asked, nil, err)
		}
		return nil, err
	}
	note := ""
	if q.Cohort != "" && !slices.Contains(s.Cohorts, q.Cohort) {
		// Here, before anything can count or keep it.
		q.Cohort, asked.Cohort, note = OtherCohort, OtherCohort, s.cohortNote()
	}
	if q.K == 0 {
		q.K = s.Passages
	}
	if q.K == 0 {
		q.K = 8
	}
	ctx, done := s.pinned(ctx)
	defer done()
	if len(q.Previous) > 0 {
		if err := s.resolve(ctx, &q); err != nil {
			return nil, fmt.Errorf("reading the questions before: %w", err)
		}
	}
	a, err := s.answer(ctx, q, ev, began)
	if err != nil {
		a, err = s.rescue(ctx, q, ev, began, err)
	}
	if err == nil {
		s.named(a)
		a.Cohort, a.CohortNote = q.Cohort, note
	}
	if observe != nil {
		observe(ctx, asked, a, err)
	}
	return a, err
}

// resolve reads the questions before q, where the index is open.
func (s *Service) resolve(ctx context.Context, q *Question) error {
	snap := s.acquire(ctx)
	if snap == nil {
		return nil
	}
	defer snap.Release()
	return q.resolve(snap)
}

func (s *Service) answer(ctx context.Context, q Question, ev Events, began time.Time) (*Answer, error) {
	if s.Lost != nil && s.Lost() {
		return nil, ErrLost
	}
	if s.Cache == nil || q.Fresh {
		return s.ask(ctx, q, ev, began)
	}
	return s.kept(ctx, q, ev, began)
}

func (s *Service) ask(ctx context.Context, q Question, ev Events, began time.Time) (*Answer, error) {
	snap := s.acquire(ctx)
	if snap == nil {
		return nil, index.ErrClosed
	}
	defer snap.Release()
	p, err := s.look(ctx, snap, q)
	if err != nil {
		return nil, err
	}
	return s.say(ctx, p, ev, began)
}

// looked is a question with all that decides what will be said of it.
type looked struct {
	q         Question
	snap      *index.Snapshot
	found     index.Result
	reading   names.Reading
	hits      []index.Hit // that a model reads, best first
	wide      []index.Hit // that sentences are taken from; hits are the first of them
	ex        extract.Result
	about     map[string]bool // documents of what the question names
	strangers []names.Subject
	retrieved []Retrieved
	differing []Conflict
	tooOld    bool    // stale labels alone would have answered
	picking   float64 // milliseconds that the extract took
	reranking float64 // milliseconds
	unranked  string  // why the reranker did not serve
	listed    string  // what is said of a list of interactions
}

// look searches for q and picks sentences; nothing is written yet.
func (s *Service) look(ctx context.Context, snap *index.Snapshot, q Question) (_ *looked, err error) {
	defer func() {
		if err != nil {
			err = &searchError{snap.Generation().Name, err}
		}
	}()
	found, err := s.search(ctx, snap, index.Query{Text: q.asked(), K: MaxPassages, Mode: index.ModeHybrid})
	if err != nil {
		return nil, fmt.Errorf("searching the index: %w", err)
	}
	ranking := time.Now()
	var unranked string
	if found.Hits, unranked, err = s.rerank(ctx, q.asked(), found.Hits); err != nil {
		return nil, err
	}
	reranking := since(ranking)
	reading := found.Explain
	reading.Previous = q.carried
	about := map[string]bool{}
	for _, id := range reading.About() {
		about[id] = true
	}
	for _, c := range found.Codes {
		for _, id := range c.Documents {
			about[id] = true
		}
	}
	found.Hits = prefer(found.Hits, about)
	p := &looked{q: q, snap: snap, reading: reading, about: about, retrieved: retrieved(found.Hits, q.K), strangers: reading.Strangers(),
		reranking: reranking, unranked: unranked}
	if len(p.strangers) > 0 {
		kin := classes(&reading)
		if found.Hits, err = general(snap, found.Hits, p.strangers, kin); err != nil {
			return nil, fmt.Errorf("reading the documents' names: %w", err)
		}
		for id := range kin {
			about[id] = true
		}
	}
	p.found, p.hits = found, found.Hits[:min(q.K, len(found.Hits))]

	// The extract is made in any case: it is quick, it says whether the
	// passages speak of the question at all, and it serves when a model fails.
	picking := time.Now()
	text, lex := uncoded(q.asked(), found.Codes), remember(snap)
	p.wide = found.Hits[:min(wider*q.K, len(found.Hits))]
	also := also(reading)
	rest := found.Hits[len(p.wide):]
	p.ex = extract.Extract(text, passages(snap, p.wide, about, &reading), lex, extract.Options{
		Also: also, Rest: passages(snap, rest, about, &reading)})
	if p.ex.Unmet {
		more, err := focus(ctx, snap, text, p.wide, &reading, about)
		if err != nil {
			return nil, fmt.Errorf("searching the index: %w", err)
		}
		if len(more) > len(p.wide) {
			p.wide = more
			p.ex = extract.Extract(text, passages(snap, p.wide, about, &reading), lex, extract.Options{
				Also: also, Rest: passages(snap, rest, about, &reading)})
		}
	}
	if before := s.staleBefore(); s.StaleAbstains && before != "" && len(p.ex.Sentences) > 0 {
		if kept := current(p.wide, before); len(kept) < len(p.wide) {
			p.wide, p.hits = kept, current(p.hits, before)
			p.ex = extract.Extract(text, passages(snap, p.wide, about, &reading), lex, extract.Options{
				Also: also, Rest: passages(snap, current(rest, before), about, &reading)})
			p.tooOld = len(p.ex.Sentences) == 0
		}
	}
	rows, alone, err := p.tabled(text, func(hits []index.Hit) []index.Hit {
		if before := s.staleBefore(); s.StaleAbstains && before != "" {
			return current(hits, before)
		}
		return hits
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tables of interactions: %w", err)
	}
	if len(rows) > 0 {
		p.ex.Sentences = slices.DeleteFunc(p.ex.Sentences, func(c extract.Sentence) bool {
			return slices.ContainsFunc(rows, func(it interaction) bool { return it.hits[0].SetID == p.wide[c.Passage].SetID })
		})
	}
	p.differing = p.conflicts(lex)
	if len(rows) > 0 {
		p.list(rows)
	} else if alone {
		if err := p.partly(); err != nil {
			return nil, fmt.Errorf("reading the sections on interactions: %w", err)
		}
	}
	p.picking = since(picking)
	return p, nil
}

func (s *Service) search(ctx context.Context, snap *index.Snapshot, q index.Query) (index.Result, error) {
	defer at(&s.underway.retrieve)()
	return snap.Search(ctx, q)
}

// say writes the answer.
func (s *Service) say(ctx context.Context, p *looked, ev Events, began time.Time) (*Answer, error) {
	a := &Answer{
		ID: newID(), Question: p.q.Text, Status: StatusAbstained, Mode: ModeExtractive,
		Claims: []Claim{}, Retrieved: p.retrieved, Generation: p.found.Generation, Explain: &p.reading,
		staleBefore: s.staleBefore(), now: s.now(),
	}
	a.Timings.Embed, a.Timings.Retrieve, a.Timings.Generate = p.found.Timings.Embed, p.found.Timings.Retrieve, p.picking
	a.Timings.Rerank = p.reranking
	a.vector = p.found.Vector
	if ev.Retrieved != nil {
		ev.Retrieved(a.Retrieved)
	}
	if len(p.strangers) > 0 && len(p.hits) == 0 && p.snap.Generation().Documents > 0 {
		a.abstain(ReasonNoEvidence, noDocument(p.strangers))
	} else if p.tooOld {
		a.abstain(ReasonStale, fmt.Sprintf("The labels here that speak of this are older than %s, and this box does not answer from those.", s.staleBefore()))
	} else if len(p.ex.Sentences) == 0 {
		a.abstain(ReasonNoEvidence, cmp.Or(codeTrouble(p.found.Codes), noEvidence(p.snap, p.ex, len(p.about) == 0)))
	} else if s.short(ctx, p) {
		a.Path = PathShort
		s.extracted(ctx, a, p, ev)
	} else if done, err := s.generated(ctx, p.q, a, p.hits, lexicon{p.snap}, subjects{p.snap}, ev); err != nil {
		return nil, err
	} else if !done {
		s.extracted(ctx, a, p, ev)
	}
	if a.Status == StatusAnswered {
		a.Message = strings.TrimSpace(corrections(p.reading) + " " + p.listed)
	}
	a.Notices = notices(a, p.wide)
	if a.Status == StatusAnswered {
		a.differ(p.differing)
	}
	a.date(a.staleBefore)
	s.fellBack(a, p)
	guarding := time.Now()
	if a.Decision == nil {
		a.Decision = s.guarded(ctx, a, p)
	}
	a.Timings.Verify += since(guarding)
	a.Timings.Total = since(began)
	return a, nil
}

func (q *Question) check() error {
	q.Text = strings.TrimSpace(q.Text)
	switch {
	case q.Text == "":
		return &InvalidError{"question", "ask something"}
	case !utf8.ValidString(q.Text):
		return &InvalidError{"question", "is not valid UTF-8"}
	case len(q.Text) > MaxQuestionBytes:
		return &InvalidError{"question", fmt.Sprintf("has %d bytes, and at most %d are read; ask more briefly", len(q.Text), MaxQuestionBytes)}
	case slices.ContainsFunc(q.Previous, func(p string) bool { return len(p) > MaxQuestionBytes || !utf8.ValidString(p) }):
		return &InvalidError{"previous", fmt.Sprintf("a question in it is not valid UTF-8 or has more than %d bytes", MaxQuestionBytes)}
	case q.K < 0 || q.K > MaxPassages:
		return &InvalidError{"k", fmt.Sprintf("%d is outside 1 to %d", q.K, MaxPassages)}
	case q.Mode != "" && q.Mode != ModeExtractive && q.Mode != ModeGenerated:
		return &InvalidError{"mode", "is neither extractive nor generated"}
	case q.Cohort != "" && !IsCohort(q.Cohort):
		return &InvalidError{"cohort", "is the name of a coarse group, such as 65+ or 0-17: at most 32 lower-case letters, digits and . _ + -"}
	}
	return nil
}

// short says whether the extract answers, and the language model that is
// configured is not asked: a simple lookup, and labels that do not differ.
func (s *Service) short(ctx context.Context, p *looked) bool {
	return s.ShortPath && s.hasGenerator(ctx) && p.q.Mode == "" && p.ex.Plain && len(p.differing) == 0 && len(p.strangers) == 0
}

// OtherCohort is that of a question whose cohort is none of the box's.
const OtherCohort = "other"

// cohortNote does not say what was named: it may be a person's name.
func (s *Service) cohortNote() string {
	if len(s.Cohorts) == 0 {
		return "This box tells no cohorts apart (telemetry.cohorts); the question is counted as other."
	}
	return "The cohort is none of those that this box tells apart (" + strings.Join(s.Cohorts, ", ") + "); the question is counted as other."
}

// IsCohort says whether s may be a question's cohort.
func IsCohort(s string) bool {
	for i, r := range s {
		if i >= 32 || (r < 'a' || r > 'z') && (r < '0' || r > '9') && (i == 0 || !strings.ContainsRune("._+-", r)) {
			return false
		}
	}
	return true
}

// extracted fills a with verbatim sentences.
func (s *Service) extracted(ctx context.Context, a *Answer, p *looked, ev Events) {
	show := ev.Claim
	if s.GuardAbstains {
		ev.Claim = nil // what is taken back must not have been seen
	}
	a.Mode, a.Model = ModeExtractive, ""
	began := time.Now()
	for _, sent := range p.ex.Sentences {
		h := &p.wide[sent.Passage]
		c := cite(h, sent.Start, sent.End)
		support, score, ok := quoted(p, h, c.Quote)
		if !ok {
			continue
		}
		a.add(Claim{Text: flow(c.Quote), Citations: []Citation{c}, Support: support, Score: score}, ev)
	}
	a.Timings.Verify += since(began)
	if len(a.Claims) == 0 {
		a.abstain(ReasonUnverified, "What was found is not about the medicine that was asked about.")
	}
	if !s.GuardAbstains {
		return
	}
	if a.Decision = s.guarded(ctx, a, p); a.Decision != nil && a.Decision.Doubt == guard.High {
		a.Decision.Advisory = false
		a.Claims = []Claim{}
		a.abstain(ReasonUnsafe, fmt.Sprintf("What was found is too doubtful to be shown: answers like it are wrong in about %.0f of 100. Read the label.", 100*a.Decision.Wrong))
		return
	}
	for _, c := range a.Claims {
		if show != nil {
			show(c)
		}
	}
}

func (a *Answer) add(c Claim, ev Events) {
	a.Status, a.Reason, a.Message = StatusAnswered, "", ""
	c.grade()
	for i := range c.Citations {
		c.Citations[i].Stale = stale(c.Citations[i].EffectiveDate, a.staleBefore)
	}
	a.Claims = append(a.Claims, c)
	if ev.Claim != nil {
		ev.Claim(c)
	}
}

func (a *Answer) abstain(reason, message string) {
	a.Status, a.Reason, a.Message = StatusAbstained, reason, message
}

// flow puts a quote on one line; the citation keeps the bytes as they are.
func flow(quote string) string { return strings.Join(strings.Fields(quote), " ") }

func noEvidence(snap *index.Snapshot, ex extract.Result, unnamed bool) string {
	switch {
	case snap.Generation().Documents == 0:
		return "There are no documents on this box yet. Add some with 'rxedge ingest PATH'."
	case len(ex.Absent) > 0:
		return "The documents about this medicine do not speak of " + list(ex.Absent) + "."
	case len(ex.Missing) > 0:
		return "None of the documents on this box mentions " + list(ex.Missing) + "."
	}
	const nothing = "Nothing in the documents on this box answers this question."
	if unnamed {
		return nothing + " It names no medicine that is known here."
	}
	return nothing
}

func list(words []string) string {
	quoted := make([]string, 0, len(words))
	for _, w := range words[:min(3, len(words))] {
		quoted = append(quoted, "“"+w+"”")
	}
	return strings.Join(quoted, " or ")
}

func retrieved(hits []index.Hit, k int) []Retrieved {
	out := []Retrieved{}
	sections := map[string]bool{}
	for i, h := range hits {
		if i >= k && len(sections) >= minSections {
			break
		}
		sections[h.Passage.SectionID] = true
		out = append(out, Retrieved{SetID: h.SetID, DocumentTitle: h.DocumentTitle, SectionID: h.Passage.SectionID,
			SectionTitle: h.SectionTitle, Start: h.Passage.Start, End: h.Passage.End, Score: h.Score})
	}
	return out
}

// cite makes the citation of bytes [start, end) of the section that h lies in.
func cite(h *index.Hit, start, end int) Citation {
	at := document.PlaceAt(h.Places, start)
	return Citation{SetID: h.SetID, Version: h.Version, DocumentTitle: h.DocumentTitle, SectionID: h.Passage.SectionID,
		Page: at.Page, Element: at.Element, SectionTitle: h.SectionTitle, LOINC: h.LOINC, EffectiveDate: h.Effective,
		Start: start, End: end, Quote: h.Text[start-h.Passage.Start : end-h.Passage.Start]}
}

func notices(a *Answer, hits []index.Hit) []string {
	cited := map[string]bool{}
	for _, c := range a.Claims {
		for _, ci := range c.Citations {
			cited[ci.SetID] = true
		}
	}
	var out []string
	seen := map[string]bool{"": true}
	for _, h := range hits {
		if cited[h.SetID] && !seen[h.Notice] {
			seen[h.Notice] = true
			out = append(out, h.Notice)
		}
	}
	return out
}

func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func since(t time.Time) float64 { return float64(time.Since(t).Microseconds()) / 1000 }

// unavailable turns the reason why a model can't serve into words for the answer.
func unavailable(err error) string {
	switch {
	case errors.Is(err, inference.ErrEngineMissing):
		return "the language engine is not installed; these are sentences of the documents, verbatim"
	case errors.Is(err, inference.ErrSteppedBack):
		return "no language model runs at the moment, to spare the card; these are sentences of the documents, verbatim"
	case errors.Is(err, inference.ErrBusy):
		return "the language engine is busy; these are sentences of the documents, verbatim"
	case errors.Is(err, inference.ErrEngineStarting):
		return "the language model is not ready yet; these are sentences of the documents, verbatim"
	case errors.Is(err, inference.ErrEngineLost):
		return "the language engine stopped while it was answering and is being restarted; these are sentences of the documents, verbatim"
	case errors.Is(err, inference.ErrModelNotFound):
		return "the configured language model is not in the catalog; these are sentences of the documents, verbatim"
	}
	return "the language model is not available; these are sentences of the documents, verbatim"
}
