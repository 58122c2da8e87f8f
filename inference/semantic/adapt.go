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
	// ofPhrase is what the words of a phrase count themselves whose clinical ways are
	// read too.
	ofPhrase = 0.3
	// rounds of the analysis; DESIGN.md compares them.
	rounds = 2
)

// Adapted is a model together with what was learned of the words of the texts
// that are searched: words that are used alike there are near one another,
// names among them that no training text had. Safe for concurrent use.
type Adapted struct {
	*Model
	words   map[string]int32
	scale   []float32
	rows    []int8 // words × LearnedDimension
	phrases map[string][]phrase
	readers sync.Pool
}

var _ inference.Embedder = (*Adapted)(nil)

// AdaptedInfo is the model's, with the dimension of adapted vectors.
func (m *Model) AdaptedInfo() inference.EmbedderInfo {
	i := m.Info()
	i.Dimension += LearnedDimension
	return i
}

// Trained is the part of an adapted vector that is the model's own, the same whatever was
// learned but for its length; nil of a vector that is too short to be one.
func Trained(v []float32) []float32 {
	if len(v) <= LearnedDimension {
		return nil
	}
	return v[:len(v)-LearnedDimension]
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
	a.phrases = a.phrasesOf(m.sayings)
	a.readers.New = func() any { return &reader{stemmer: newStemmer(), a: a, known: map[string]*lexeme{}} }
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
// side by side, so that the cosine of two texts is the weighted mean of both. A
// word that neither the training nor the indexed texts had adds nothing, whatever
// its pieces look like. The learned vector counts as far as the indexed texts have
// the text's words.
func (a *Adapted) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	r := a.readers.Get().(*reader)
	defer a.readers.Put(r)
	dim := a.header.Dimension
	out := make([][]float32, len(texts))
	for i, t := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v := make([]float32, dim+LearnedDimension)
		trained, learned := v[:dim], v[dim:]
		a.parts(r, t, trained, learned)
		share := 0.0
		if unit(learned) {
			share = learnedShare * r.covered()
		}
		if Norm(trained) == 0 && share == 0 {
			a.add(trained, unknownPiece, 1)
			unit(trained)
		}
		scaled(trained, math.Sqrt(1-share))
		scaled(learned, math.Sqrt(share))
		unit(v)
		out[i] = v
	}
	return out, nil
}

// parts of a text's vector, of length one each: of its trained words, and of those
// that were learned. Nothing where there are none.
func (a *Adapted) parts(r *reader, text string, trained, learned []float32) {
	r.read(text)
	counted(r.pieces, func(id int32, n int) { a.add(trained, int(id), damped(n)) })
	for i := 0; i < len(r.learned); {
		id, n := r.learned[i].id, float32(0)
		for ; i < len(r.learned) && r.learned[i].id == id; i++ {
			n += r.learned[i].weight
		}
		if n > 1 {
			n = 1 + float32(math.Log(float64(n)))
		}
		f := n * a.scale[id]
		row := a.rows[int(id)*LearnedDimension:][:LearnedDimension]
		for d, x := range row {
			learned[d] += float32(f * float32(x))
		}
	}
	unit(trained)
	unit(learned)
}

func scaled(v []float32, f float64) {
	for i := range v {
		v[i] *= float32(f)
	}
}

// Knows says whether the training or the indexed texts had any word of text that
// is not grammar alone. Where they had none, what Embed returns means nothing.
func (a *Adapted) Knows(text string) bool {
	r := a.readers.Get().(*reader)
	defer a.readers.Put(r)
	known := false
	r.each(text, func(word, stem string) {
		if !known && !grammar[word] {
			w := r.lexeme(word, stem)
			known = len(w.pieces) > 0 || w.learned >= 0
		}
	})
	return known
}
