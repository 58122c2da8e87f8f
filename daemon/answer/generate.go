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

// prompt lays the passages out before the question, and in the order in which
// they stand in their documents: questions that rest on the same passages then
// begin alike, whatever their ranking, and an engine has read that already.
func prompt(question string, hits []index.Hit) []inference.Message {
	hits = slices.Clone(hits)
	slices.SortStableFunc(hits, func(a, b index.Hit) int {
		return cmp.Or(cmp.Compare(a.SetID, b.SetID), cmp.Compare(a.Passage.SectionID, b.Passage.SectionID), cmp.Compare(a.Passage.Start, b.Passage.Start))
	})
	var b strings.Builder
	for i, h := range hits {
		fmt.Fprintf(&b, "[%d] %s: %s\n%s\n\n", i+1, h.DocumentTitle, h.SectionTitle, strings.TrimSpace(h.Text))
	}
	fmt.Fprintf(&b, "Question: %s", question)
	return []inference.Message{{Role: "system", Content: instructions}, {Role: "user", Content: b.String()}}
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

// generated lets the language model write the answer and binds each sentence
// to its evidence as it comes. It reports false where the extract should
// answer instead; an error is for the caller alone.
func (s *Service) generated(ctx context.Context, q Question, a *Answer, hits []index.Hit, lex lexicon, subjects subjects, ev Events) (bool, error) {
	if q.Mode == ModeExtractive || s.Generator == nil {
		if q.Mode == ModeGenerated {
			a.Fallback = "no language model is configured; these are sentences of the documents, verbatim"
		}
		return false, nil
	}
	gen, err := s.Generator(ctx)
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
	a.Mode, a.Model = ModeGenerated, gen.Model()
	b := newBinder(hits, lex, subjects)
	w := &writer{binder: b, answer: a, events: ev}
	err = s.write(ctx, gen, q.Text, hits, w)
	a.Timings.Generate = since(began)
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
		if w.declined && a.Withheld == 0 {
			a.abstain(ReasonNoEvidence, "The passages found do not answer this question.")
			return true, nil
		}
		a.Fallback = "what the language model wrote was not supported by the passages and was withheld; these are sentences of the documents, verbatim"
		return false, nil
	}
	return true, nil
}

// write asks the model, with fewer passages where they do not all fit.
func (s *Service) write(ctx context.Context, gen inference.Generator, question string, hits []index.Hit, w *writer) error {
	limit := s.MaxTokens
	if limit == 0 {
		limit = 256
	}
	for n := len(hits); n > 0; n = n / 2 {
		messages := prompt(question, hits[:n])
		req := inference.GenerateRequest{Messages: messages, MaxTokens: limit}
		_, err := gen.Generate(ctx, req, w.piece)
		if errors.Is(err, inference.ErrNoChatTemplate) {
			req.Messages, req.Prompt = nil, plain(messages)
			_, err = gen.Generate(ctx, req, w.piece)
		}
		var full *inference.ContextError
		if errors.As(err, &full) && n > 1 {
			continue
		}
		if err == nil {
			w.finish()
		}
		return err
	}
	return nil
}

// writer cuts what a model streams into sentences and judges each.
type writer struct {
	binder   *binder
	answer   *Answer
	events   Events
	buffer   string
	declined bool
}

// piece takes the next text; a sentence is judged once another has begun.
func (w *writer) piece(p string) error {
	w.buffer += p
	for {
		spans := chunk.Sentences(w.buffer)
		if len(spans) < 2 {
			return nil
		}
		w.judge(w.buffer[spans[0].Start:spans[0].End])
		w.buffer = w.buffer[spans[1].Start:]
	}
}

func (w *writer) finish() {
	for _, s := range chunk.Sentences(w.buffer) {
		w.judge(w.buffer[s.Start:s.End])
	}
	w.buffer = ""
}

func (w *writer) judge(sentence string) {
	sentence = flow(sentence)
	if sentence == "" {
		return
	}
	if strings.HasPrefix(strings.ToLower(sentence), "not in my documents") {
		w.declined = true
		return
	}
	if cs := w.binder.bind(sentence); len(cs) > 0 {
		w.answer.add(Claim{Text: sentence, Citations: cs}, w.events)
		return
	}
	w.answer.Withheld++
	if w.events.Withheld != nil {
		w.events.Withheld(w.answer.Withheld)
	}
}
