package benchmark

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"rxedge/index"
)

// BenchmarkTyping measures what is done at each key that is pressed, and phrases
// in quotes: of two words that stand so in a passage, and of frequent words that
// seldom do.
func BenchmarkTyping(b *testing.B) {
	ix, err := index.Open(b.TempDir(), index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer ix.Close()
	c := newCorpus()
	if _, err := ix.Apply(b.Context(), index.Changes{Put: c.documents(0, *passages/passagesPerDocument, 1)}, nil); err != nil {
		b.Fatal(err)
	}
	s := ix.Acquire()
	defer s.Release()
	r := rand.New(rand.NewPCG(5, 5))
	measure := func(name string, n int, do func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var took []float64
				for range n {
					began := time.Now()
					if err := do(); err != nil {
						b.Fatal(err)
					}
					took = append(took, ms(time.Since(began)))
				}
				b.ReportMetric(percentile(took, 50), "p50-ms")
				b.ReportMetric(percentile(took, 95), "p95-ms")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
	for _, typed := range []int{1, 2, 3, 5} {
		measure("suggest/"+string(rune('0'+typed))+"-letters", 500, func() error {
			w := c.word(r)
			_, err := s.Suggest(w[:min(typed, len(w))], 8)
			return err
		})
	}
	search := func(text string) error {
		_, err := s.Search(b.Context(), index.Query{Text: text, K: 10, Mode: index.ModeBM25})
		return err
	}
	measure("search/prefix", 300, func() error {
		w := c.word(r)
		_, err := s.Search(b.Context(), index.Query{Text: c.word(r) + " " + w[:min(4, len(w))], K: 10, Mode: index.ModeBM25, Prefix: true})
		return err
	})
	measure("search/words", 300, func() error { return search(c.word(r) + " " + c.word(r)) })
	measure("phrase/there", 300, func() error {
		d := c.document(r.IntN(*passages/passagesPerDocument), 1)
		w := strings.Fields(d.Sections[r.IntN(len(d.Sections))].Text)
		i := 1 + r.IntN(10)
		return search(`"` + w[i] + " " + w[i+1] + `"`)
	})
	measure("phrase/frequent", 50, func() error { return search(`"` + c.words[r.IntN(30)] + " " + c.words[r.IntN(30)] + `"`) })
}
