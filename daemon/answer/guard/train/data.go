package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/evaluate"
	"rxedge/daemon/answer/falsify"
	"rxedge/daemon/answer/guard"
	"rxedge/index"
	"rxedge/index/chunk"
	"rxedge/index/document"
	"rxedge/inference/support"
)

// asked is a question with what is right about it.
type asked struct {
	evaluate.Question
	group string // of a medicine: no group is in two folds
	real  bool
	lost  bool // asked of an index without its section
}

// row is an answer: its features, and whether it should have been none.
type row struct {
	x      guard.Vector
	wrong  bool
	group  uint32
	real   bool
	lost   bool
	weight float64
	id     string
}

// outcome of a real question, also where there was no answer.
type outcome struct {
	q        asked
	answered bool
	row      int // of the rows, −1 where there was no answer
	right    bool
}

func group(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.ToLower(s)))
	return h.Sum32()
}

// realQuestions reads a file of questions. The group is the medicine of the
// section that answers, or the question itself where nothing does.
func realQuestions(path string) ([]asked, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	qs, err := evaluate.Read(path, f)
	if err != nil {
		return nil, err
	}
	out := make([]asked, len(qs))
	for i, q := range qs {
		out[i] = asked{Question: q, real: true, group: q.ID}
		if len(q.Relevant) > 0 {
			out[i].group, _, _ = strings.Cut(q.Relevant[0], "#")
		}
	}
	return out, nil
}

// section of a labels file.
type section struct {
	ID, Drug, Section, Text string
	Events                  []string `json:"gold_adverse_events"`
}

func sections(data string) ([]section, error) {
	var out []section
	for _, name := range []string{"openfda_20drugs.jsonl", "spl_adr_train.jsonl"} {
		f, err := os.Open(filepath.Join(data, "labels", name))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		sc := bufio.NewScanner(f)
		sc.Buffer(nil, 4<<20)
		for sc.Scan() {
			var s section
			if err := json.Unmarshal(sc.Bytes(), &s); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out = append(out, s)
		}
		if err := sc.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// forms of questions about a section, by a word of its title.
var forms = []struct {
	title string
	ask   []string // of a medicine and some words
}{
	{"dosage", []string{"%s dose for %s", "How is %s dosed with %s?", "What dose of %s is given for %s?", "%s %s, how much", "pt with %[2]s, %[1]s dose?"}},
	{"contraindication", []string{"Is %s contraindicated with %s?", "can a patient with %[2]s take %[1]s", "hx of %[2]s - %[1]s ok?", "%s in %s, safe?"}},
	{"interaction", []string{"Does %s interact with %s?", "pt on %s, ok to add %s?", "%[2]s together with %[1]s", "on %s and %s, what to watch"}},
	{"adverse", []string{"Does %s cause %s?", "how often is %[2]s seen with %[1]s", "pt has %[2]s, could it be the %[1]s?", "%s %s rate"}},
	{"warning", []string{"What is the warning of %s about %s?", "%s and %s: what to watch for?", "%[2]s on %[1]s, stop it?", "when to check %[2]s with %[1]s"}},
	{"boxed", []string{"Is there a boxed warning of %s about %s?"}},
	{"indication", []string{"Is %s used for %s?"}},
}

// generated are questions by rules over the sections: some words of a sentence,
// asked of its medicine.
func generated(ss []section, rng *rand.Rand, words func(string) []string) []asked {
	var out []asked
	for _, s := range ss {
		var form []string
		for _, f := range forms {
			if strings.Contains(strings.ToLower(s.Section), f.title) {
				form = f.ask
			}
		}
		if form == nil {
			continue
		}
		add := func(about, evidence string) {
			out = append(out, asked{Question: evaluate.Question{ID: fmt.Sprintf("gen-%d", len(out)), Relevant: []string{s.ID}, Evidence: []string{evidence},
				Question: fmt.Sprintf(form[rng.IntN(len(form))], s.Drug, about), Kind: "generated"}, group: s.Drug})
		}
		var usable []string
		for _, v := range chunk.Sentences(s.Text) {
			if t := strings.Join(strings.Fields(s.Text[v.Start:v.End]), " "); falsify.Usable(t) {
				usable = append(usable, t)
			}
		}
		for k, i := range rng.Perm(len(usable)) {
			if k == 4 {
				break
			}
			if w := words(usable[i]); len(w) >= 2 {
				at := rng.IntN(len(w) - 1)
				add(strings.Join(w[at:min(len(w), at+1+rng.IntN(3))], " "), usable[i])
			}
		}
		for k, i := range rng.Perm(len(s.Events)) {
			if k == 2 {
				break
			}
			for _, u := range usable {
				if strings.Contains(strings.ToLower(u), strings.ToLower(s.Events[i])) {
					add(strings.ToLower(s.Events[i]), u)
					break
				}
			}
		}
	}
	return out
}

// content are the words of a sentence worth asking about, in order.
func content(snap *index.Snapshot, drug string) func(string) []string {
	return func(s string) []string {
		var out []string
		for _, w := range strings.Fields(s) {
			w = strings.Trim(w, ".,;:()[]\"'")
			ts := snap.Terms(w)
			if len(ts) == 1 && len(w) > 3 && w[0] > '9' && snap.IDF(ts[0]) > 3 && !strings.EqualFold(w, drug) {
				out = append(out, strings.ToLower(w))
			}
		}
		return out
	}
}

// library is an index of documents.
func library(ctx context.Context, opt index.Options, docs []*document.Document) (*index.Index, func(), error) {
	dir, err := os.MkdirTemp("", "guard")
	if err != nil {
		return nil, nil, err
	}
	ix, err := index.Open(dir, opt)
	if err != nil {
		return nil, nil, err
	}
	end := func() { _ = ix.Close(); _ = os.RemoveAll(dir) }
	if _, err := ix.Apply(ctx, index.Changes{Put: index.Documents(docs...)}, nil); err != nil {
		end()
		return nil, nil, err
	}
	return ix, end, nil
}

// read the labels as documents.
func read(ctx context.Context, data string) ([]*document.Document, error) {
	var docs []*document.Document
	for _, p := range []string{"spl_xml", "labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl"} {
		if _, err := document.Read(ctx, filepath.Join(data, p), document.Options{}, func(d *document.Document) error {
			docs = append(docs, d)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// cut takes a section from two documents of three, and every sixth document away.
// It gives the ids of the sections that are gone.
func cut(docs []*document.Document, rng *rand.Rand) (left []*document.Document, gone map[string]bool) {
	gone = map[string]bool{}
	for _, d := range docs {
		k := rng.IntN(6)
		switch {
		case k == 0 || k < 4 && len(d.Sections) < 2:
			for _, s := range d.Sections {
				gone[s.ID] = true
			}
			continue
		case k < 4:
			c := *d
			at := rng.IntN(len(d.Sections))
			gone[d.Sections[at].ID] = true
			c.Sections = slices.Delete(slices.Clone(d.Sections), at, at+1)
			left = append(left, &c)
			continue
		}
		left = append(left, d)
	}
	return left, gone
}

// said says whether a text has most of the words of a sentence.
func said(evidence, text string) bool {
	have := map[string]bool{}
	for _, w := range strings.Fields(strings.ToLower(text)) {
		have[strings.Trim(w, ".,;:()[]")] = true
	}
	n, ws := 0, strings.Fields(strings.ToLower(evidence))
	for _, w := range ws {
		if have[strings.Trim(w, ".,;:()[]")] {
			n++
		}
	}
	return 2*n >= len(ws)
}

// ask every question; gone are sections that are not there to be found.
func ask(ctx context.Context, ix *index.Index, qs []asked, gone map[string]bool) ([]row, []outcome, error) {
	// A fixed day: the age of a label must not depend on when this is run.
	today := func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	s := &answer.Service{Index: ix, Relevance: support.Builtin(), Now: today}
	var rows []row
	var outs []outcome
	for _, q := range qs {
		a, err := s.Ask(ctx, answer.Question{Text: q.Question.Question}, answer.Events{})
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", q.ID, err)
		}
		o := outcome{q: q, row: -1}
		if a.Status == answer.StatusAnswered {
			relevant := slices.DeleteFunc(slices.Clone(q.Relevant), func(id string) bool { return gone[id] })
			var cited strings.Builder
			section := false
			for _, c := range a.Claims {
				for _, ci := range c.Citations {
					cited.WriteString(ci.Quote + "\n")
					section = section || slices.Contains(relevant, ci.SectionID)
				}
			}
			o.answered, o.right = true, section
			if len(q.Evidence) > 0 {
				// A section that is gone may be repeated by another.
				o.right = slices.ContainsFunc(q.Evidence, func(e string) bool { return said(e, cited.String()) })
			}
			o.row = len(rows)
			weight := 1.0
			if q.real {
				weight = realWeight
			}
			rows = append(rows, row{x: a.Decision.Features, wrong: !o.right, group: group(q.group), real: q.real, lost: q.lost, weight: weight, id: q.ID})
		}
		outs = append(outs, o)
	}
	return rows, outs, nil
}

// foreign are questions of MedQuAD about diseases: people's, and none of a label's.
func foreign(data string, n int, rng *rand.Rand) ([]asked, error) {
	f, err := os.Open(filepath.Join(data, "medquad", "medquad.jsonl"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []asked
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		var q struct{ ID, Focus, QType, Question string }
		if err := json.Unmarshal(sc.Bytes(), &q); err != nil {
			return nil, fmt.Errorf("medquad: %w", err)
		}
		all = append(all, asked{Question: evaluate.Question{ID: "medquad-" + q.ID, Question: q.Question, Kind: "foreign"}, group: q.Focus})
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))], nil
}
