// Package benchmark measures an index as a box has it: building, starting,
// hybrid questions while it is written to. The documents are made up, and the
// same on every machine.
package benchmark

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/cespare/xxhash/v2"

	"rxedge/index"
	"rxedge/index/document"
)

const (
	passagesPerDocument = 20
	wordsPerPassage     = 75
	dictionary          = 60_000
	topics              = 400 // that vectors gather around
	dimension           = 384
)

// corpus makes documents of sections that are a passage each.
type corpus struct {
	words []string
	cdf   []float64 // of Zipf's law
	guide []int     // the first word whose cdf reaches i/len(guide)
}

func newCorpus() *corpus {
	c := &corpus{words: make([]string, dictionary), cdf: make([]float64, dictionary)}
	r := rand.New(rand.NewPCG(1, 1))
	const letters = "aeioubcdfglmnprst"
	sum := 0.0
	for i := range c.words {
		var b strings.Builder
		for range 2 + r.IntN(3) {
			b.WriteByte(letters[5+r.IntN(len(letters)-5)])
			b.WriteByte(letters[r.IntN(5)])
		}
		fmt.Fprintf(&b, "%c", 'a'+rune(i%26))
		c.words[i] = b.String()
		sum += 1 / math.Pow(float64(i+3), 1.05)
		c.cdf[i] = sum
	}
	for i := range c.cdf {
		c.cdf[i] /= sum
	}
	c.guide = make([]int, dictionary+1)
	for i, w := 0, 0; i < len(c.guide); i++ {
		for w < len(c.cdf)-1 && c.cdf[w] < float64(i)/dictionary {
			w++
		}
		c.guide[i] = w
	}
	return c
}

func (c *corpus) word(r *rand.Rand) string {
	x := r.Float64()
	w := c.guide[int(x*dictionary)]
	for w < len(c.cdf)-1 && c.cdf[w] < x {
		w++
	}
	return c.words[w]
}

// loincs of the sections, by turns.
var loincs = []string{"34067-9", "34068-7", "34070-3", "34071-1", "34073-7", "34084-4", "43684-0", "88828-9"}

// document n, in a version.
func (c *corpus) document(n, version int) *document.Document {
	r := rand.New(rand.NewPCG(uint64(n), uint64(version)))
	name := c.words[2000+n%(dictionary-2000)]
	d := &document.Document{ID: fmt.Sprintf("doc-%07d", n), Version: fmt.Sprint(version), Title: name + " tablets", Kind: document.KindSPL,
		Effective: "2026-01-01", Names: []document.Name{{Text: name, Kind: "generic"}}}
	for i := range passagesPerDocument {
		var b strings.Builder
		fmt.Fprintf(&b, "%s", name)
		for w := range wordsPerPassage {
			b.WriteByte(' ')
			if w%15 == 14 {
				fmt.Fprintf(&b, "%d mg. ", 5*(1+r.IntN(100)))
			}
			b.WriteString(c.word(r))
		}
		b.WriteByte('.')
		d.Sections = append(d.Sections, document.Section{ID: fmt.Sprintf("%s#%d", d.ID, i), Title: c.words[i], LOINC: loincs[i%len(loincs)], Text: b.String()})
	}
	return d
}

// madeBefore the clock starts are as many documents at most: the rest is made ahead
// beside the reading, which takes some of the processor.
const madeBefore = 10_000

// documents from the first on: an ingest's parsing is not measured.
func (c *corpus) documents(first, n, version int) iter.Seq2[*document.Document, error] {
	made := make([]*document.Document, min(n, madeBefore))
	for i := range made {
		made[i] = c.document(first+i, version)
	}
	return func(yield func(*document.Document, error) bool) {
		for i, d := range made {
			made[i] = nil
			if !yield(d, nil) {
				return
			}
		}
		ahead, stop := make(chan *document.Document, 64), make(chan struct{})
		go func() {
			defer close(ahead)
			for i := first + len(made); i < first+n; i++ {
				select {
				case ahead <- c.document(i, version):
				case <-stop:
					return
				}
			}
		}()
		defer close(stop)
		for d := range ahead {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// question of two to eight words, some rare and some common.
func (c *corpus) question(r *rand.Rand) string {
	n := 2 + r.IntN(7)
	words := make([]string, n)
	for i := range words {
		words[i] = c.word(r)
	}
	return strings.Join(words, " ")
}

// vectors stands for an embedder: its vectors gather around topics, as a real
// one's do, and cost nothing to speak of.
type vectors struct {
	topics [][]float32
	noise  []float32 // of a vector: what begins at two places in it, added
}

// noises is a power of two.
const noises = 1 << 20

func newVectors() *vectors {
	v := &vectors{topics: make([][]float32, topics), noise: make([]float32, noises+dimension)}
	r := rand.New(rand.NewPCG(2, 2))
	for i := range v.topics {
		v.topics[i] = make([]float32, dimension)
		for j := range v.topics[i] {
			v.topics[i][j] = float32(r.NormFloat64())
		}
	}
	for i := range v.noise {
		v.noise[i] = float32(.815 * r.NormFloat64())
	}
	return v
}

func (v *vectors) info() index.EmbedderInfo {
	return index.EmbedderInfo{Name: "benchmark", SHA256: "0", Dimension: dimension}
}

// Embed implements index.Embedder.
func (v *vectors) Embed(_ context.Context, texts []string) ([][]float32, error) {
	out, all := make([][]float32, len(texts)), make([]float32, len(texts)*dimension)
	for i, t := range texts {
		h := xxhash.Sum64String(t)
		one, other := v.noise[h>>44:][:dimension], v.noise[h>>24%noises:][:dimension]
		topic := v.topics[h%topics]
		x := all[i*dimension:][:dimension:dimension]
		sum := float32(0)
		for j := range x {
			x[j] = topic[j] + (one[j] + other[j])
			sum += x[j] * x[j]
		}
		f := 1 / float32(math.Sqrt(float64(sum)))
		for j := range x {
			x[j] *= f
		}
		out[i] = x
	}
	return out, nil
}
