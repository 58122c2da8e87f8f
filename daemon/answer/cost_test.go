package answer

import (
	"context"
	"testing"

	"rxedge/inference/support"
)

// BenchmarkExtract answers from the sample, with and without the guard: what the
// guard costs is the difference, and "verify" says it too.
func BenchmarkExtract(b *testing.B) {
	ix := sample(b)
	for _, guarded := range []bool{false, true} {
		name := "without relevance"
		s := &Service{Index: ix}
		if guarded {
			name, s.Relevance = "with relevance", support.Builtin()
		}
		b.Run(name, func(b *testing.B) {
			verify := 0.0
			n := 0
			for b.Loop() {
				a, err := s.Ask(context.Background(), Question{Text: "Can metformin be started with an eGFR of 40?"}, Events{})
				if err != nil {
					b.Fatal(err)
				}
				verify += a.Timings.Verify
				n++
			}
			b.ReportMetric(1000*verify/float64(n), "µs/verify")
		})
	}
}

// BenchmarkVerify judges one true sentence of a model against eight passages.
func BenchmarkVerify(b *testing.B) {
	ix := sample(b)
	snap := ix.Acquire()
	defer snap.Release()
	s := &Service{Index: ix}
	p, err := s.look(context.Background(), snap, Question{Text: "Can metformin be started with an eGFR of 40?", K: 8})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("passages", func(b *testing.B) {
		for b.Loop() {
			newBinder(p.hits, lexicon{snap}, subjects{snap})
		}
	})
	v := &verifier{binder: newBinder(p.hits, lexicon{snap}, subjects{snap}), judge: InPlainWords(support.Builtin())}
	b.Run("sentence", func(b *testing.B) {
		for b.Loop() {
			if _, ok := v.verify(context.Background(), dose); ok != passed {
				b.Fatal("a true sentence was withheld")
			}
		}
	})
}
