package answer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rxedge/index"
	"rxedge/index/chunk"
	"rxedge/inference"
)

const instructions = `You answer pharmacists' questions from the numbered passages alone.
Write one to three short sentences. Copy every number and unit exactly. Use only what the passages say.
If the passages do not answer the question, write: Not in my documents.`

// laid gives the passages in the order in which they stand in their documents:
// questions that rest on the same passages then begin alike, whatever their
// ranking, and an engine has read that already.
func laid(hits []index.Hit) []index.Hit {
	hits = slices.Clone(hits)
	slices.SortStableFunc(hits, func(a, b index.Hit) int {
		return cmp.Or(cmp.Compare(a.SetID, b.SetID), cmp.Compare(a.Passage.SectionID, b.Passage.SectionID), cmp.Compare(a.Passage.Start, b.Passage.Start))
	})
	return hits
}

// prompt lays the passages out before the question.
func prompt(question, added string, hits []index.Hit) []inference.Message {
	var b strings.Builder
	for i, h := range hits {
		fmt.Fprintf(&b, "[%d] %s: %s\n%s\n\n", i+1, h.DocumentTitle, h.SectionTitle, strings.TrimSpace(h.Text))
	}
	fmt.Fprintf(&b, "Question: %s", question)
	return []inference.Message{{Role: "system", Content: instructions + added}, {Role: "user", Content: b.String()}}
}

// plain is the same prompt for a model without a chat template.
func plain(m []inference.Message) string {
	var b strings.Builder
	for _, m := range m {
		b.WriteString(m.Content)
		b.WriteString("\n\n")
	}
	b.WriteString("Answer:")
	return b.String()
}

// stricter is added where sentences of a first attempt were not borne out.
const stricter = `
Some of what was written before was not supported by the passages. Copy sentences of the passages word for word, change nothing and add nothing.`

// stricterTop is how many of the best passages a second attempt reads: what is
// mixed up between many is not between few.
const stricterTop = 3

// generated lets the language model write the answer and checks each sentence
// against its evidence as it comes. It reports false where the extract should
// answer instead; an error is for the caller alone.
func (s *Service) generated(ctx context.Context, q Question, a *Answer, hits []index.Hit, lex lexicon, subjects subjects, ev Events) (bool, error) {
	if q.Mode == ModeExtractive {
		return false, nil
	}
	gen, err := s.generator(ctx)
	if err != nil {
		a.Fallback = unavailable(err)
		return false, nil
	}
	if gen == nil {
		if q.Mode == ModeGenerated {
			a.Fallback = "no language model is configured; these are sentences of the documents, verbatim"
		}
		return false, nil
	}
	began := time.Now()
	defer at(&s.underway.generate)()
	a.Mode, a.Model = ModeGenerated, gen.Model()
	w := &writer{ctx: ctx, verifier: &verifier{binder: newBinder(hits, lex, subjects)}, answer: a, events: ev, seen: map[string]bool{}}
	a.Verification, w.report.Model = &w.report, gen.Model()
	if s.Entailer != nil {
		if judge, err := s.Entailer(ctx); err == nil && judge != nil {
			w.verifier.judge, w.report.Judge = judge, judge.Model()
		}
	}
	err = s.write(ctx, gen, q.asked(), "", hits, w)
	if err == nil && w.refused > 0 && !w.declined {
		// Once more, and then what is not borne out stays withheld. Its failure
		// takes nothing from what was shown.
		w.report.Regenerated = true
		if again := s.write(ctx, gen, q.asked(), stricter, hits[:min(stricterTop, len(hits))], w); ctx.Err() != nil {
			err = again
		}
	}
	if err == nil {
		err = ctx.Err() // a judge was waited for in vain
	}
	verifying := float64(w.verifier.spent.Microseconds()) / 1000
	a.Timings.Generate += since(began) - verifying
	a.Timings.Verify += verifying
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		// A sentence already shown is bound to its evidence and stays true; what
		// was half written is dropped. Nothing shown yet: the extract answers.
		if len(a.Claims) > 0 {
			a.Fallback = "the language model stopped before it had finished; what is shown is supported"
			return true, nil
		}
		a.Fallback = unavailable(err)
		return false, nil
	}
	if len(a.Claims) == 0 {
		switch {
		case w.declined && a.Withheld == 0:
			a.abstain(ReasonNoEvidence, "The passages found do not answer this question.")
			return true, nil
		case w.report.Unverified > 0 && w.report.Unverified == a.Withheld:
			a.Fallback = "what the language model wrote could not be checked and was withheld; these are sentences of the documents, verbatim"
		default:
			a.Fallback = "what the language model wrote was not supported by the passages and was withheld; these are sentences of the documents, verbatim"
		}
		return false, nil
	}
	return true, nil
}

// write asks the model, with fewer passages where they do not all fit. added goes
// behind the instructions.
func (s *Service) write(ctx context.Context, gen inference.Generator, question, added string, hits []index.Hit, w *writer) error {
	limit := s.MaxTokens
	if limit == 0 {
		limit = 256
	}
	for n := len(hits); n > 0; n = n / 2 {
		w.verifier.order = laid(hits[:n])
		messages := prompt(question, added, w.verifier.order)
		req := inference.GenerateRequest{Messages: messages, MaxTokens: limit, LogProbs: 1}
		res, err := gen.Generate(ctx, req, w.piece)
		if errors.Is(err, inference.ErrNoChatTemplate) {
			req.Messages, req.Prompt = nil, plain(messages)
			res, err = gen.Generate(ctx, req, w.piece)
		}
		var full *inference.ContextError
		if errors.As(err, &full) && n > 1 {
			continue
		}
		w.answer.probabilities.take(res.LogProbs)
		if w.answer.written == nil {
			w.answer.written = res.LogProbs
		}
		if err == nil {
			w.finish(res.FinishReason == "length")
		} else {
			w.buffer = ""
		}
		return err
	}
	return nil
}

// writer cuts what a model streams into sentences and judges each.
type writer struct {
	ctx      context.Context
	verifier *verifier
	answer   *Answer
	events   Events
	report   Verification
	buffer   string
	seen     map[string]bool // sentences judged
	refused  int
	declined bool
}

// piece takes the next text; a sentence is judged once another has begun.
func (w *writer) piece(p string) error {
	w.buffer += p
	for {
		spans := chunk.Sentences(w.buffer)
		if len(spans) < 2 {
			return w.ctx.Err()
		}
		w.judge(w.buffer[spans[0].Start:spans[0].End])
		w.buffer = w.buffer[spans[1].Start:]
	}
}

// finish judges what is left. A sentence that was cut off for its length may have
// lost what turns it round ("unless …"), and is dropped.
func (w *writer) finish(cut bool) {
	spans := chunk.Sentences(w.buffer)
	for i, s := range spans {
		sentence := w.buffer[s.Start:s.End]
		if cut && i == len(spans)-1 && !strings.HasSuffix(strings.TrimRight(sentence, ` )]"'”’`), ".") {
			break
		}
		w.judge(sentence)
	}
	w.buffer = ""
}

func (w *writer) judge(sentence string) {
	sentence = flow(sentence)
	if sentence == "" || w.seen[sentence] {
		return
	}
	w.seen[sentence] = true
	if strings.HasPrefix(strings.ToLower(sentence), "not in my documents") {
		w.declined = true
		return
	}
	w.report.Checked++
	c, v := w.verifier.verify(w.ctx, sentence)
	switch v {
	case passed:
		w.answer.add(c, w.events)
		return
	case refused:
		w.refused++
	case unchecked:
		w.report.Unverified++
	}
	w.answer.Withheld++
	w.report.Withheld++
	if w.events.Withheld != nil {
		w.events.Withheld(w.answer.Withheld)
	}
}
