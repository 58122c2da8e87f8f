package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rxedge/daemon/answer"
	answers "rxedge/daemon/answer/evaluate"
	"rxedge/daemon/answer/falsify"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/evaluate"
	"rxedge/inference"
	"rxedge/inference/support"
)

// lay are questions of questions_dev.jsonl as people without training ask them, by id.
// They were written from the questions alone, before any of them was asked.
//
//go:embed lay.jsonl
var lay string

// metrics of answers, in the order they are printed.
var metrics = []string{"right_section@1", "right_section@5", "evidence_recall", "number_recall", "abstain_precision", "abstain_recall", "answered"}

// asked prints what each step answers of the questions about labels, as they are and
// in lay words.
func asked(ctx context.Context, data, dir string, opt index.Options, runs string) error {
	path := filepath.Join(data, "labels", "questions_dev.jsonl")
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	qs, err := answers.Read(path, f)
	if err != nil {
		return err
	}
	said := map[string]string{}
	for _, l := range strings.Split(strings.TrimSpace(lay), "\n") {
		var q struct{ ID, Question string }
		if err := json.Unmarshal([]byte(l), &q); err != nil {
			return fmt.Errorf("lay.jsonl: %w", err)
		}
		said[q.ID] = q.Question
	}
	var plain []answers.Question
	for _, q := range qs {
		if s := said[q.ID]; s != "" {
			q.Question = s
			plain = append(plain, q)
		}
	}
	type step struct {
		name   string
		opt    index.Options
		rerank bool
	}
	rrf := opt
	rrf.Fusion, rrf.Feedback = index.Fusion{}, 0
	steps := []step{{"words and names", index.Options{}, false}, {"and vectors, by rank (RRF)", rrf, false}, {"and vectors, weighted, as shipped", opt, false}, {"+ rerank", opt, true}}
	lines := map[string][][]evaluate.RunLine{}
	for i, s := range steps {
		labels, err := falsify.Load(ctx, data, filepath.Join(dir, fmt.Sprint("labels", i)), s.opt)
		if err != nil {
			return err
		}
		service := &answer.Service{Index: labels.Index, Relevance: support.Builtin()}
		if s.rerank {
			service.Reranker = func(context.Context) (inference.Reranker, error) { return support.Builtin(), nil }
		}
		for set, qs := range map[string][]answers.Question{"label questions": qs, "label questions, in lay words": plain} {
			var ls []evaluate.RunLine
			if _, err := answers.Run(ctx, asking{service, labels.Index}, qs, answer.ModeExtractive, func(o answers.Outcome) { ls = append(ls, o.RunLine()) }); err != nil {
				return err
			}
			lines[set] = append(lines[set], ls)
			if err := keep(runs, set, s.name, ls); err != nil {
				return err
			}
		}
		if err := labels.Close(); err != nil {
			return err
		}
	}
	for _, set := range []string{"label questions", "label questions, in lay words"} {
		fmt.Printf("%s: %d\n  %-36s", set, len(lines[set][0]), "")
		for _, m := range metrics {
			fmt.Printf(" %18s", m)
		}
		fmt.Println()
		for i, s := range steps {
			fmt.Printf("  %-36s", s.name)
			for _, m := range metrics {
				fmt.Printf(" %18.3f", mean(lines[set][i], m, ""))
			}
			fmt.Println()
		}
		byKind(steps[0].name, steps[2].name, lines[set][0], lines[set][2])
		fmt.Printf("  + rerank beside as shipped: right_section@1, @5, evidence %s\n\n", against(lines[set][2], lines[set][3], metrics[:3]...))
	}
	return nil
}

// byKind prints what b adds to a in each kind of question.
func byKind(nameA, nameB string, a, b []evaluate.RunLine) {
	fmt.Printf("  %s → %s, by kind\n", nameA, nameB)
	c, err := evaluate.Compare(a, b)
	if err != nil {
		fmt.Println(" ", err)
		return
	}
	kinds := []string{""}
	for k := range c.ByKind {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		ps, name := c.ByKind[k], k
		if k == "" {
			ps, name = c.Metrics, "all"
		}
		if _, ok := ps["right_section@1"]; !ok {
			continue
		}
		fmt.Printf("    %-18s", name)
		for _, m := range metrics[:4] {
			p, ok := ps[m]
			if !ok {
				continue
			}
			test := "p –"
			if p.P != nil {
				test = fmt.Sprintf("p %.2g", *p.P)
			}
			fmt.Printf("  %s %.3f → %.3f (%d+ %d−, %s)", strings.TrimSuffix(m, "_recall"), p.A, p.B, p.Better, p.Worse, test)
		}
		fmt.Println()
	}
}

func mean(ls []evaluate.RunLine, metric, kind string) float64 {
	sum, n := 0.0, 0
	for _, l := range ls {
		if v := l.Metrics[metric]; v != nil && (kind == "" || l.Kind == kind) {
			sum, n = sum+*v, n+1
		}
	}
	return sum / float64(n)
}

// keep writes a run file where a folder was named.
func keep(runs, set, step string, ls []evaluate.RunLine) error {
	if runs == "" {
		return nil
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, set+" "+step)
	f, err := os.Create(filepath.Join(runs, name+".jsonl"))
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	for _, l := range ls {
		if err := e.Encode(l); err != nil {
			_ = f.Close()
			return err
		}
	}
	return f.Close()
}

// asking is a box as answers.Run asks it.
type asking struct {
	*answer.Service
	ix *index.Index
}

func (b asking) Document(_ context.Context, id string) (*document.Document, error) {
	snap := b.ix.Acquire()
	defer snap.Release()
	return snap.Document(id)
}

func (b asking) Section(_ context.Context, id string) (index.SectionRef, error) {
	snap := b.ix.Acquire()
	defer snap.Release()
	return snap.Section(id)
}
