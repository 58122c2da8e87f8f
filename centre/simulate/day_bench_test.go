package simulate

import (
	"testing"
	"time"
)

// What a site's day costs the simulator: about 100 questions.
func BenchmarkWindow(b *testing.B) {
	s := Site{ID: "a", Questions: 100}
	pool()
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	size := 0
	for b.Loop() {
		w, err := s.window(1, 1, day)
		if err != nil {
			b.Fatal(err)
		}
		data, err := w.MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		size = len(data)
	}
	b.ReportMetric(float64(size), "bytes")
}
