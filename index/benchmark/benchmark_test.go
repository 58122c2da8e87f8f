package benchmark

import (
	"flag"
	"testing"
)

var passages = flag.Int("passages", 20_000, "of the benchmark")

// The figures add up, and a small run has all of them.
func TestRun(t *testing.T) {
	t.Parallel()
	r, err := Run(t.Context(), Request{Passages: 400, Dense: true, Dir: t.TempDir(), Readers: 2, Seconds: .6, Rate: 200})
	if err != nil {
		t.Fatal(err)
	}
	if r.Passages != 400 || r.BuildPerS <= 0 || r.StartMS <= 0 || r.AloneP95 < r.AloneP50 || r.FilterFirst <= 0 || r.FilterP50 <= 0 || r.P50 <= 0 || r.P95 < r.P50 || r.QueriesPerS <= 0 || r.MappedBytes < 4*dimension || r.PeakResidents <= 0 {
		t.Errorf("%+v", r)
	}
	// What is kept is asked without being built again.
	kept := Request{Passages: 400, Dir: t.TempDir(), Keep: true}
	if r, err = Run(t.Context(), kept); err != nil || r.BuildPerS <= 0 || r.QueriesPerS != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	kept.Seconds, kept.Readers = .2, 1
	if r, err = Run(t.Context(), kept); err != nil || r.BuildPerS != 0 || r.StartMS <= 0 || r.QueriesPerS <= 0 || r.WrittenPerS != 0 {
		t.Errorf("%+v %v", r, err)
	}
	kept.Dense = true
	if _, err = Run(t.Context(), kept); err == nil {
		t.Error("what is there has no vectors")
	}
	if _, err := Run(t.Context(), Request{Passages: 1}); err == nil {
		t.Error("one passage is too few")
	}
}

func BenchmarkIndex(b *testing.B) {
	for range b.N {
		r, err := Run(b.Context(), Request{Passages: *passages, Dense: true, Readers: 4, Seconds: 20, Rate: 1000})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(r.BuildPerS, "passages/s")
		b.ReportMetric(r.StartMS, "start-ms")
		b.ReportMetric(r.P95, "p95-ms")
		b.ReportMetric(r.AloneP50, "alone-p50-ms")
		b.ReportMetric(0, "ns/op")
	}
}
