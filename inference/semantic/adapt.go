package semantic

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"rxedge/inference"
)

const (
	// LearnedDimension is how many numbers of an adapted vector come from the
	// indexed texts.
	LearnedDimension = 128
	// learnedShare of the likeness of two texts is that of the words as they are
	// used in the indexed texts; the rest is the trained model's.
	learnedShare = 0.7
	// mostSampled texts are learned from: more of them teach little.
	mostSampled = 20000
	// mostWords have a learned vector, those of most texts.
	mostWords = 50000
	// rounds of the analysis; DESIGN.md compares them.
	rounds = 2
)

// Adapted is a model together with what was learned of the words of the texts
// that are searched: words that are used alike there are near one another,
// names among them that no training text had. Safe for concurrent use.
type Adapted struct {
	*Model
	words    map[string]int32
	scale    []float32
	rows     []int8 // words × LearnedDimension
	stemmers sync.Pool
}

var _ inference.Embedder = (*Adapted)(nil)

// AdaptedInfo is the model's, with the dimension of adapted vectors.
func (m *Model) AdaptedInfo() inference.EmbedderInfo {
	i := m.Info()
	i.Dimension += LearnedDimension
	return i
}

// Info says whose vectors these are. What was learned is not part of it: it
// belongs to an index and is kept there.
func (a *Adapted) Info() inference.EmbedderInfo { return a.AdaptedInfo() }

// Adapt learns from texts, by latent semantic analysis of a sample of them. The
// same texts in the same order give the same result.
func (m *Model) Adapt(ctx context.Context, texts iter.Seq[string]) (*Adapted, error) {
	sample, err := sampled(ctx, texts)
	if err != nil {
		return nil, err
	}
	s := newStemmer()
	type entry struct{ df, id int }
	vocabulary := map[string]*entry{}
	for i, t := range sample {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.counted(t, func(w string, _ int) {
			e := vocabulary[w]
			if e == nil {
				e = &entry{}
				vocabulary[w] = e
			}
			e.df++
		})
	}
	var list []string
	for w, e := range vocabulary {
		if e.id = -1; e.df >= 2 && e.df < len(sample) {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		if d := vocabulary[b].df - vocabulary[a].df; d != 0 {
			return d
		}
		if a < b {
			return -1
		}
		return 1
	})
	list = list[:min(len(list), mostWords)]
	idf := make([]float32, len(list))
	for i, w := range list {
		vocabulary[w].id = i
		idf[i] = float32(math.Log(float64(len(sample)) / float64(vocabulary[w].df)))
	}
	matrix := &Sparse{Columns: len(list)}
	var ids []int32
	var weights []float32
	for i, t := range sample {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		ids, weights = ids[:0], weights[:0]
		s.counted(t, func(w string, n int) {
			if id := vocabulary[w].id; id >= 0 {
				ids, weights = append(ids, int32(id)), append(weights, damped(n)*idf[id])
			}
		})
		if !unit(weights) {
			continue
		}
		matrix.Append(ids, weights)
	}
	rows := make([]float32, len(list)*LearnedDimension)
	if len(matrix.From) > 1 {
		rows = Latent(matrix, LearnedDimension, rounds, runtime.GOMAXPROCS(0), 1)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i := range list {
		for d := range rows[i*LearnedDimension:][:LearnedDimension] {
			rows[i*LearnedDimension+d] *= idf[i]
		}
	}
	scale, quantised := quantise(rows, LearnedDimension)
	return m.adapted(list, scale, quantised), nil
}

func (m *Model) adapted(list []string, scale []float32, rows []int8) *Adapted {
	a := &Adapted{Model: m, words: make(map[string]int32, len(list)), scale: scale, rows: rows}
	for i, w := range list {
		a.words[w] = int32(i)
	}
	a.stemmers.New = func() any { return newStemmer() }
	return a
}

// sampled is all the texts, or where they are more than mostSampled so many of
// them, each as likely as any other.
func sampled(ctx context.Context, texts iter.Seq[string]) ([]string, error) {
	rng := rand.New(rand.NewPCG(1, 4))
	var out []string
	n := 0
	for t := range texts {
		if n%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if n++; len(out) < mostSampled {
			out = append(out, t)
		} else if i := rng.IntN(n); i < mostSampled {
			out[i] = t
		}
	}
	return out, ctx.Err()
}

// Embed implements inference.Embedder: the trained vector and the learned one
// side by side, so that the cosine of two texts is the weighted mean of both.
func (a *Adapted) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	s := a.stemmers.Get().(*stemmer)
	defer a.stemmers.Put(s)
	dim := a.header.Dimension
	out := make([][]float32, len(texts))
	for i, t := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v := make([]float32, dim+LearnedDimension)
		a.embed(v[:dim], t)
		learned := v[dim:]
		s.counted(t, func(w string, n int) {
			if id, ok := a.words[w]; ok {
				f := damped(n) * a.scale[id]
				row := a.rows[int(id)*LearnedDimension:][:LearnedDimension]
				for d, x := range row {
					learned[d] += float32(f * float32(x))
				}
			}
		})
		if unit(learned) {
			for d := range dim {
				v[d] *= trainedPart
			}
			for d := range learned {
				learned[d] *= learnedPart
			}
		}
		out[i] = v
	}
	return out, nil
}

var (
	trainedPart = float32(math.Sqrt(1 - learnedShare))
	learnedPart = float32(math.Sqrt(learnedShare))
)
