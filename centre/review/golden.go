package review

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"rxedge/centre/compare"
	"rxedge/daemon/answer"
	"rxedge/daemon/rollout/validate"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/inference/support"
)

// Golden makes Desk.Golden: of the questions those about the document are asked of an
// index of the version before and of one of the version after, by the pipeline that a
// box answers with, extractively. now is the day of the answers, on which the age of a
// label rests.
func Golden(questions []validate.Golden, now time.Time) func(ctx context.Context, before, after *document.Document) ([]GoldenChange, int, error) {
	return func(ctx context.Context, before, after *document.Document) ([]GoldenChange, int, error) {
		qs := about(questions, before, after)
		if len(qs) == 0 {
			return nil, 0, nil
		}
		was, err := answers(ctx, before, qs, now)
		if err != nil {
			return nil, 0, err
		}
		is, err := answers(ctx, after, qs, now)
		if err != nil {
			return nil, 0, err
		}
		var out []GoldenChange
		for i, q := range qs {
			if compare.Plain(was[i]) != compare.Plain(is[i]) {
				out = append(out, GoldenChange{ID: q.ID, Question: q.Question.Question, Before: was[i], After: is[i]})
			}
		}
		return out, len(qs), nil
	}
}

// about are the questions whose answer stands in one of the documents, or that name the
// medicine.
func about(questions []validate.Golden, docs ...*document.Document) []validate.Golden {
	ids, names := map[string]bool{}, map[string]bool{}
	for _, d := range docs {
		for _, s := range d.Sections {
			ids[s.ID] = true
			for _, a := range s.Aliases {
				ids[a] = true
			}
		}
		for _, n := range d.Names {
			names[strings.ToLower(n.Text)] = true
		}
	}
	var out []validate.Golden
	for _, q := range questions {
		named := slices.ContainsFunc(strings.FieldsFunc(strings.ToLower(q.Question.Question), func(r rune) bool { return strings.ContainsRune(" ,.;:?!()'’", r) }), func(w string) bool { return names[w] })
		if named || slices.ContainsFunc(q.Relevant, func(id string) bool { return ids[id] }) {
			out = append(out, q)
		}
	}
	return out
}

// answers to the questions from one document alone; "" where there is none.
func answers(ctx context.Context, d *document.Document, qs []validate.Golden, now time.Time) (out []string, err error) {
	dir, err := os.MkdirTemp("", "rxedge-review-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ix, err := index.Open(dir, index.Options{})
	if err != nil {
		return nil, fmt.Errorf("making an index: %w", err)
	}
	defer func() { err = errors.Join(err, ix.Close()) }()
	if _, err := ix.Apply(ctx, index.Changes{Put: func(yield func(*document.Document, error) bool) { yield(d, nil) }}, nil); err != nil {
		return nil, fmt.Errorf("making an index: %w", err)
	}
	s := &answer.Service{Index: ix, Relevance: support.Builtin(), Now: func() time.Time { return now }}
	for _, q := range qs {
		a, err := s.Ask(ctx, answer.Question{Text: q.Question.Question, Mode: answer.ModeExtractive}, answer.Events{})
		if err != nil {
			return nil, fmt.Errorf("question %s: %w", q.ID, err)
		}
		var claims []string
		for _, c := range a.Claims {
			claims = append(claims, c.Text)
		}
		out = append(out, strings.Join(claims, " "))
	}
	return out, nil
}
