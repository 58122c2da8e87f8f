package embedder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rxedge/centre/trainer"
	"rxedge/daemon/box"
	"rxedge/daemon/rollout/validate"
	"rxedge/index"
	"rxedge/index/document"
	"rxedge/index/evaluate"
	"rxedge/index/names"
	"rxedge/inference/semantic"
)

const (
	// depth is how many passages are read for the ranking of sections.
	depth = 60
	// mostHeldOut questions are made up.
	mostHeldOut = 400
)

func keys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// asked is a question with the sections that answer it, and what it weighs.
type asked struct {
	text     string
	relevant map[string]int
	weight   float64
}

// Measure the model in a file beside the champion of the request in dir: each in an index
// of its own over the request's documents, asked as a site is.
func Measure(ctx context.Context, dir string, q *trainer.Request, path string) (*trainer.Metrics, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	challenger, err := semantic.Read(raw)
	if err != nil {
		return nil, err
	}
	champion, err := Champion(dir, q)
	if err != nil {
		return nil, err
	}
	docs, err := read(dir, q)
	if err != nil {
		return nil, err
	}
	golden, err := goldenOf(dir, q)
	if err != nil {
		return nil, err
	}
	heldOut := heldOutOf(docs, q)
	sum := sha256.Sum256(raw)
	m := &trainer.Metrics{Schema: trainer.Schema, Request: q.ID, Model: hex.EncodeToString(sum[:]), HeldOut: trainer.Contest{Questions: len(heldOut)}}
	if len(golden) > 0 {
		m.Golden = &trainer.Contest{Questions: len(golden)}
	}
	for _, side := range []struct {
		model *semantic.Model
		of    func(*trainer.Contest) *trainer.Quality
	}{{champion, func(c *trainer.Contest) *trainer.Quality { return &c.Champion }}, {challenger, func(c *trainer.Contest) *trainer.Quality { return &c.Challenger }}} {
		if err := over(ctx, side.model, docs, func(ix *index.Index) error {
			if m.Golden != nil {
				if err := measure(ctx, ix, golden, side.of(m.Golden)); err != nil {
					return err
				}
			}
			return measure(ctx, ix, heldOut, side.of(&m.HeldOut))
		}); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// over an index of the documents that is searched with a model.
func over(ctx context.Context, m *semantic.Model, docs []source, do func(*index.Index) error) error {
	dir, err := os.MkdirTemp("", "rxedge-measure-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ix, err := index.Open(dir, box.StaticOptions(m))
	if err != nil {
		return err
	}
	defer ix.Close()
	if _, err := ix.Apply(ctx, index.Changes{Put: func(yield func(*document.Document, error) bool) {
		for i := range docs {
			if !yield(&docs[i].Document, nil) {
				return
			}
		}
	}}, nil); err != nil {
		return err
	}
	return do(ix)
}

func measure(ctx context.Context, ix *index.Index, questions []asked, out *trainer.Quality) error {
	total := 0.0
	for _, q := range questions {
		for _, mode := range []index.Mode{index.ModeHybrid, index.ModeDense} {
			r, err := ix.Search(ctx, index.Query{Text: q.text, Mode: mode, K: depth})
			if err != nil {
				return fmt.Errorf("searching: %w", err)
			}
			var ranking []evaluate.Scored
			seen := map[string]bool{}
			for _, h := range r.Hits {
				if s := h.Passage.SectionID; !seen[s] {
					seen[s] = true
					ranking = append(ranking, evaluate.Scored{ID: s, Score: h.Score})
				}
			}
			j := evaluate.Judgements(q.relevant)
			if mode == index.ModeDense {
				out.Dense += q.weight * evaluate.NDCG(ranking, j, 10)
				continue
			}
			out.NDCG10 += q.weight * evaluate.NDCG(ranking, j, 10)
			out.Recall5 += q.weight * evaluate.Recall(ranking, j, 5)
			out.MRR += q.weight * evaluate.ReciprocalRank(ranking, j)
		}
		total += q.weight
	}
	if total > 0 {
		out.NDCG10, out.Recall5, out.MRR, out.Dense = out.NDCG10/total, out.Recall5/total, out.MRR/total, out.Dense/total
	}
	return nil
}

// goldenOf a request: those that the documents answer.
func goldenOf(dir string, q *trainer.Request) (out []asked, err error) {
	for _, g := range q.Golden {
		b, err := os.ReadFile(filepath.Join(dir, g.Name))
		if err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != g.SHA256 {
			return nil, fmt.Errorf("%s is not the file that the request names", g.Name)
		}
		questions, err := validate.ReadGolden(g.Name, strings.NewReader(string(b)))
		if err != nil {
			return nil, err
		}
		for _, x := range questions {
			if len(x.Relevant) == 0 {
				continue
			}
			a := asked{x.Question.Question, map[string]int{}, 1}
			for _, s := range x.Relevant {
				a.relevant[s] = 1
			}
			out = append(out, a)
		}
	}
	return out, nil
}

// heldOutOf a request are questions in the wordings that nothing was trained on, of every
// medicine in turn, and weighted by how often each kind is asked.
func heldOutOf(docs []source, q *trainer.Request) (out []asked) {
	_, prefers := names.Kinds()
	weights := map[string]float64{}
	for _, k := range q.Questions.Kinds {
		weights[k.Value] = k.Weight
	}
	rng := rand.New(rand.NewPCG(11, 7))
	order := rng.Perm(len(docs))
	for _, kind := range slices.Sorted(keys(q.Questions.Templates)) {
		w := weights[kind]
		if len(weights) == 0 {
			w = 1
		}
		var texts []string
		for _, t := range q.Questions.Templates[kind] {
			if t.HeldOut {
				texts = append(texts, t.Text)
			}
		}
		if w == 0 || len(texts) == 0 || len(prefers[kind]) == 0 {
			continue
		}
		var of []asked
		for _, i := range order {
			d := &docs[i]
			a := asked{relevant: map[string]int{}}
			for _, s := range d.Sections {
				if s.LOINC == prefers[kind][0].LOINC {
					a.relevant[s.ID] = 1
				}
			}
			if d.name == "" || len(a.relevant) == 0 || len(of) == mostHeldOut/8 {
				continue
			}
			a.text = strings.ReplaceAll(texts[len(of)%len(texts)], "{medicine}", d.name)
			of = append(of, a)
		}
		for i := range of {
			of[i].weight = w / float64(len(of))
		}
		out = append(out, of...)
	}
	return out[:min(len(out), mostHeldOut)]
}
