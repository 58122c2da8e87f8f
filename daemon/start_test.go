package main

import (
	"testing"

	"rxedge/daemon/config"
)

// BenchmarkStart is from nothing to ready with the sample's documents, and from their
// index to ready, with the embedder that is built in and without.
func BenchmarkStart(b *testing.B) {
	for _, embedder := range []string{config.Builtin, config.None} {
		start := func(b *testing.B, data string) {
			s := startDaemon(b, func(c *config.Config) { c.Data, c.Model.Embedder = data, embedder })
			b.StopTimer()
			if err := s.stop(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		b.Run(embedder+"/new", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				data := b.TempDir()
				b.StartTimer()
				start(b, data)
			}
		})
		b.Run(embedder+"/later", func(b *testing.B) {
			data := b.TempDir()
			start(b, data)
			for b.Loop() {
				start(b, data)
			}
		})
	}
}
