package validate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/evaluate"
	"rxedge/index/chunk"
	"rxedge/index/document"
	"rxedge/sync/bundle"
)

// Golden is a question of which it is known where its answer stands. In a bundle
// it is one line of JSON, in the form of 'rxedge eval answers' with a cohort.
type Golden struct {
	evaluate.Question
	// Cohort is a coarse group that the question is typical of, such as
	// "children"; "" is none. Abstentions are compared between cohorts.
	Cohort string `json:"cohort,omitempty"`

	drawn, changed bool
}

// Limits of a file of golden questions.
const (
	MaxGolden     = 2000
	maxCohort     = 40
	maxGoldenFile = bundle.MaxGolden
)

// ReadGolden reads a file of golden questions, one JSON object a line. name is
// for errors.
func ReadGolden(name string, r io.Reader) ([]Golden, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxGoldenFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(b) > maxGoldenFile {
		return nil, fmt.Errorf("%s: more than %d MB", name, maxGoldenFile>>20)
	}
	questions, err := evaluate.Read(name, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	if len(questions) > MaxGolden {
		return nil, fmt.Errorf("%s: %d questions; at most %d are asked, so choose", name, len(questions), MaxGolden)
	}
	cohorts := map[string]string{}
	for line := range bytes.Lines(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var c struct {
			ID     string `json:"id"`
			Cohort string `json:"cohort"`
		}
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, fmt.Errorf("%s: question %q: field \"cohort\" must be a string", name, c.ID)
		}
		if len(c.Cohort) > maxCohort || strings.ContainsFunc(c.Cohort, unicode.IsControl) {
			return nil, fmt.Errorf("%s: question %q: a cohort is a coarse group, in at most %d bytes", name, c.ID, maxCohort)
		}
		cohorts[c.ID] = c.Cohort
	}
	out := make([]Golden, len(questions))
	for i, q := range questions {
		if len(q.Question) > answer.MaxQuestionBytes || !utf8.ValidString(q.Question) {
			return nil, fmt.Errorf("%s: question %q: a question has at most %d bytes of UTF-8", name, q.ID, answer.MaxQuestionBytes)
		}
		out[i] = Golden{Question: q, Cohort: cohorts[q.ID]}
	}
	return out, nil
}

// DrawOptions say which questions are drawn.
type DrawOptions struct {
	N       int
	Seed    uint64
	Changed []string // of these documents first; nil: of any
}

const (
	mostOfDocument = 6 // questions drawn from one document
	leastWords     = 4 // that a sentence must have to ask by them
	mostWords      = 6 // of a question, beside the medicine's name
	leastText      = 80
	readMost       = 1500 // documents are read to draw from
)

// Draw makes questions of which it is known where their answer stands in the
// generation that serves: the name of a document and the rarest words of one of
// its sentences, which ask for the section that the sentence stands in. Half of
// them at least are drawn from the changed documents, where there are enough.
// The section's title is not among the words, so it is the text that decides:
// where texts were moved between sections, or between documents, another section
// is found. Sections that either generation lacks are left out.
func Draw(ctx context.Context, serving, candidate Corpus, o DrawOptions) ([]Golden, error) {
	docs, err := serving.Documents()
	if err != nil {
		return nil, fmt.Errorf("listing the documents that serve: %w", err)
	}
	changed := map[string]bool{}
	for _, id := range o.Changed {
		changed[id] = true
	}
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	rng.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	slices.SortStableFunc(docs, func(a, b summary) int { return cmp.Compare(rank(changed[a.ID]), rank(changed[b.ID])) })

	half := o.N
	if len(changed) > 0 && len(changed) < len(docs) {
		half = (o.N + 1) / 2 // the rest is of what did not change
	}
	var out []Golden
	read := 0
	for pass := 0; pass < 2; pass++ {
		for _, d := range docs {
			if len(out) >= o.N || read >= readMost {
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if len(changed) > 0 && changed[d.ID] != (pass == 0) {
				continue
			}
			if pass == 0 && len(out) >= half {
				break
			}
			if len(d.Names) == 0 || pass == 1 && len(changed) == 0 {
				continue
			}
			now, err := serving.Document(d.ID)
			if err != nil {
				return nil, fmt.Errorf("reading document %s of the generation that serves: %w", d.ID, err)
			}
			read++
			next, err := candidate.Document(d.ID)
			if err != nil {
				continue // it is not in both
			}
			for _, g := range drawFrom(serving, now, next, rng) {
				g.drawn, g.changed = true, changed[d.ID]
				out = append(out, g)
				if len(out) >= o.N || pass == 0 && len(out) >= half {
					break
				}
			}
		}
	}
	return out, nil
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

func drawFrom(c Corpus, now, next *document.Document, rng *rand.Rand) (out []Golden) {
	has := map[string]bool{}
	for _, s := range next.Sections {
		has[s.ID+"\x00"+title(s.Title)] = true
	}
	order := rng.Perm(len(now.Sections))
	name := now.Names[0].Text
	own := map[string]bool{}
	for _, n := range now.Names {
		for _, t := range c.Terms(n.Text) {
			own[t] = true
		}
	}
	for _, i := range order {
		s := now.Sections[i]
		if len(out) == mostOfDocument {
			break
		}
		if len(s.Text) < leastText || !has[s.ID+"\x00"+title(s.Title)] {
			continue
		}
		words := rarest(c, s, own, rng)
		if len(words) < leastWords {
			continue
		}
		out = append(out, Golden{Question: evaluate.Question{
			ID: "drawn:" + s.ID, Question: name + ": " + strings.Join(words, " "), Relevant: []string{s.ID}, Kind: "drawn"}})
	}
	return out
}

// rarest words of one sentence of a section, in their order, without the medicine's names and
// the section's title.
func rarest(c Corpus, s document.Section, own map[string]bool, rng *rand.Rand) []string {
	spans := chunk.Sentences(s.Text)
	titled := map[string]bool{}
	for _, t := range c.Terms(s.Title) {
		titled[t] = true
	}
	type word struct {
		text string
		at   int
		idf  float64
	}
	for range min(len(spans), 4) { // a few tries: many sentences are short
		sp := spans[rng.IntN(len(spans))]
		seen := map[string]bool{}
		var ws []word
		for i, f := range strings.FieldsFunc(s.Text[sp.Start:sp.End], func(r rune) bool { return !unicode.IsLetter(r) }) {
			if len(f) < 4 {
				continue
			}
			ts := c.Terms(f)
			if len(ts) != 1 || own[ts[0]] || titled[ts[0]] || seen[ts[0]] {
				continue
			}
			seen[ts[0]] = true
			ws = append(ws, word{f, i, c.IDF(ts[0])})
		}
		if len(ws) < leastWords {
			continue
		}
		slices.SortStableFunc(ws, func(a, b word) int { return cmp.Compare(b.idf, a.idf) })
		ws = ws[:min(len(ws), mostWords)]
		slices.SortFunc(ws, func(a, b word) int { return cmp.Compare(a.at, b.at) })
		out := make([]string, len(ws))
		for i, w := range ws {
			out[i] = strings.ToLower(w.text)
		}
		return out
	}
	return nil
}

// title of a section as it is compared: small letters, digits left out (a section that is
// numbered anew stays what it is).
func title(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) }), " ")
}
