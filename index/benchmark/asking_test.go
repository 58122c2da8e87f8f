package benchmark

import (
	"encoding/binary"
	"flag"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"rxedge/index"
)

var kept = flag.String("index", "", "folder that 'rxedge bench index --keep --dir' made, to ask")

// BenchmarkAsking asks the same questions, one after another, by words, by vectors
// and by both. What was found is hashed, so that a change that should only be
// quicker can be seen to be no more than that.
func BenchmarkAsking(b *testing.B) {
	dir := *kept
	v := newVectors()
	opt := index.Options{Embedder: v, EmbedderInfo: v.info()}
	c := newCorpus()
	if dir == "" {
		dir = b.TempDir()
	}
	ix, err := index.Open(dir+"/index", opt)
	if err != nil {
		b.Fatal(err)
	}
	defer ix.Close()
	if ix.Stats().Generation.Passages == 0 {
		if _, err := ix.Apply(b.Context(), index.Changes{Put: c.documents(0, *passages/passagesPerDocument, 1)}, nil); err != nil {
			b.Fatal(err)
		}
	}
	for _, mode := range []index.Mode{index.ModeBM25, index.ModeDense, index.ModeHybrid} {
		b.Run(string(mode), func(b *testing.B) {
			const n = 1000
			for b.Loop() {
				r := rand.New(rand.NewPCG(7, 8))
				h := xxhash.New()
				var took []float64
				sum := 0.0
				for range n {
					q := index.Query{Text: c.question(r), K: 10, Mode: mode}
					began := time.Now()
					res, err := ix.Search(b.Context(), q)
					if err != nil {
						b.Fatal(err)
					}
					t := ms(time.Since(began)) - res.Timings.Embed
					took, sum = append(took, t), sum+t
					for _, x := range res.Hits {
						h.WriteString(x.SetID)
						h.WriteString(x.Text)
						h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(x.Score)))
						h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(x.BM25)))
						h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(x.Dense)))
					}
				}
				b.ReportMetric(sum/n, "mean-ms")
				b.ReportMetric(percentile(took, 50), "p50-ms")
				b.ReportMetric(percentile(took, 95), "p95-ms")
				b.ReportMetric(0, "ns/op")
				b.Logf("found %016x", h.Sum64())
			}
		})
	}
}
