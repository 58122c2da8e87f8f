package llama

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"rxedge/bench/contest"
	"rxedge/inference/gguf"
)

// miniLM is a model of random weights in MiniLM-L6's shape.
func miniLM(b *testing.B, kind gguf.Type) string {
	return benchModel(b, "minilm-"+strings.ToLower(kind.String())+".gguf", func(path string) {
		m, tensors := bertOf(b, bertShape{layers: 6, dim: 384, ff: 1536, heads: 12, positions: 512}, kind)
		writeRandom(b, path, m, tensors)
	})
}

// BenchmarkEmbed compares a Server with the same child called directly, given
// tokens, and with llama-bench, in texts of 128 tokens.
func BenchmarkEmbed(b *testing.B) {
	const length, texts = 128, 64
	for _, kind := range []gguf.Type{gguf.Q8_0, gguf.F16} {
		b.Run(kind.String(), func(b *testing.B) {
			model := miniLM(b, kind)
			s := ready(b, Options{Model: model, Kind: Embed, Context: 256, Threads: benchThreads})
			r := rand.New(rand.NewPCG(2, 2))
			list := make([]string, texts)
			batch := make([][]int, texts)
			fresh := func() {
				for i := range list {
					list[i] = strings.TrimSpace(wordsOf(r, length-2))
					if err := s.with(b.Context(), func(k *call) (err error) { batch[i], err = k.input(list[i]); return err }); err != nil || len(batch[i]) != length {
						b.Fatalf("%d tokens, %v", len(batch[i]), err)
					}
				}
			}
			args := []string{"-p", strconv.Itoa(length), "-n", "0", "-embd", "1", "-r", strconv.Itoa(texts)}
			all := []contest.Contender{
				{Name: "ours", Run: func() float64 {
					fresh()
					began := time.Now()
					if _, err := s.Embed(b.Context(), list); err != nil {
						b.Fatal(err)
					}
					return texts / time.Since(began).Seconds()
				}},
				{Name: "direct", Run: func() float64 {
					fresh()
					began := time.Now()
					if err := s.with(b.Context(), func(k *call) error { _, err := k.embed(batch, 384); return err }); err != nil {
						b.Fatal(err)
					}
					return texts / time.Since(began).Seconds()
				}},
				{Name: "llama-bench", Run: func() float64 { return llamaBench(b, model, nil, args...) / length }},
				{Name: "llama-bench-pages", Run: func() float64 { return llamaBench(b, model, environment(), args...) / length }},
			}
			contest.Run(b, all...).Report(b, "texts/s", all...)
		})
	}
}

// BenchmarkFlash: what blockwise attention does for an encoder, by the length of
// texts.
func BenchmarkFlash(b *testing.B) {
	for _, length := range []int{16, 32, 48, 64, 128, 384} {
		b.Run(strconv.Itoa(length), func(b *testing.B) {
			var all []contest.Contender
			for _, flash := range []Flash{FlashOn, FlashOff} {
				s := ready(b, Options{Model: miniLM(b, gguf.Q8_0), Kind: Embed, Context: 512, Threads: benchThreads, Flash: flash})
				batch := make([][]int, max(4096/length, 1))
				for i := range batch {
					batch[i] = make([]int, length)
					for j := range batch[i] {
						batch[i][j] = 2000 + (i*length+j)%20000
					}
				}
				all = append(all, contest.Contender{Name: string(flash), Run: func() float64 {
					began := time.Now()
					if err := s.with(b.Context(), func(k *call) error { _, err := k.embed(batch, 384); return err }); err != nil {
						b.Fatal(err)
					}
					return float64(len(batch)) / time.Since(began).Seconds()
				}})
			}
			contest.Run(b, all...).Report(b, "texts/s", all...)
		})
	}
}
