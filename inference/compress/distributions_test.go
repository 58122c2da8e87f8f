package compress

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

// written makes a file of distributions as llama-perplexity does: logs[i] are
// the logarithms at scored position i.
func written(context, vocab int, tokens []int32, logs [][]float64) []byte {
	b := []byte(distributionsMagic)
	for _, n := range []int{context, vocab, len(tokens) / context} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	b, _ = binary.Append(b, binary.LittleEndian, tokens)
	for _, row := range logs {
		least, most := math.Inf(1), math.Inf(-1)
		for _, l := range row {
			least, most = min(least, l), max(most, l)
		}
		least = max(least, most-16)
		scale := (most - least) / 65535
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(scale)))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(least)))
		for i := range vocab + vocab%2 {
			q := uint16(0)
			if i < vocab && row[i] > least && scale > 0 {
				q = uint16(math.Round((row[i] - least) / scale))
			}
			b = binary.LittleEndian.AppendUint16(b, q)
		}
	}
	return b
}

func logsOf(p ...float64) []float64 {
	out := make([]float64, len(p))
	for i, v := range p {
		out[i] = math.Log(v)
	}
	return out
}

func TestDistributionsByHand(t *testing.T) {
	t.Parallel()
	tokens := []int32{1, 0, 2, 1, 0, 0, 0, 2} // two chunks of four, in each one position is scored: 2, whose next is 3
	a := written(4, 3, tokens, [][]float64{logsOf(0.5, 0.25, 0.25), logsOf(0.2, 0.2, 0.6)})
	b := written(4, 3, tokens, [][]float64{logsOf(0.25, 0.5, 0.25), logsOf(0.2, 0.3, 0.5)})
	read := func(b []byte) *distributions {
		d, err := readDistributions(bytes.NewReader(b), int64(len(b)), 4)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	p, err := compareDistributions(t.Context(), read(a), read(b))
	if err != nil {
		t.Fatal(err)
	}
	k1 := 0.5*math.Log(2) - 0.25*math.Log(2)
	k2 := 0.2*math.Log(2.0/3) + 0.6*math.Log(0.6/0.5)
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-4 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("perplexity A", p.PerplexityA, 1/math.Sqrt(0.25*0.6))
	near("perplexity B", p.PerplexityB, 1/math.Sqrt(0.5*0.5))
	near("log ratio", p.LogRatio, math.Log(p.PerplexityB/p.PerplexityA))
	near("mean KL", p.KL.Mean, (k1+k2)/2)
	near("KL's standard error", p.KL.StandardError, math.Abs(k1-k2)/2)
	near("greatest KL", p.KL.Max, max(k1, k2))
	near("median KL", p.KL.Median, (k1+k2)/2)
	near("agreement", p.Top1Agreement, 0.5)
	if p.Scored != 2 || p.Chunks != 2 {
		t.Errorf("%+v", p)
	}
	same, err := compareDistributions(t.Context(), read(a), read(a))
	if err != nil || same.KL != (Divergence{}) || same.Top1Agreement != 1 || same.LogRatio != 0 {
		t.Errorf("with itself: %+v, %v", same, err)
	}
	other := bytes.Clone(a)
	other[20] = 2
	if _, err := compareDistributions(t.Context(), read(a), read(other)); !errors.Is(err, ErrVocabularies) {
		t.Errorf("other tokens: %v", err)
	}
	nan := bytes.Clone(a)
	binary.LittleEndian.PutUint32(nan[20+4*len(tokens):], math.Float32bits(float32(math.NaN())))
	if _, err := compareDistributions(t.Context(), read(a), read(nan)); !errors.Is(err, errBroken) {
		t.Errorf("NaN: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compareDistributions(ended, read(a), read(b)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, n := range []int{0, 5, 14, 19, 30, len(a) - 1} {
		if _, err := readDistributions(bytes.NewReader(a[:n]), int64(n), 4); err == nil || errors.Is(err, errNoDistributions) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := readDistributions(bytes.NewReader(a[:12]), 12, 4); !errors.Is(err, errNoDistributions) {
		t.Errorf("no chunk: %v", err)
	}
	if _, err := readDistributions(bytes.NewReader(a), int64(len(a)), 8); err == nil {
		t.Error("another context")
	}
}

func FuzzDistributions(f *testing.F) {
	tokens := []int32{1, 0, 2, 1, 0, 0, 0, 2}
	f.Add(written(4, 3, tokens, [][]float64{logsOf(0.5, 0.25, 0.25), logsOf(0.2, 0.2, 0.6)}))
	f.Add(written(4, 2, tokens[:4], [][]float64{logsOf(1, 1e-30)}))
	f.Add([]byte(distributionsMagic + "\x04\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := readDistributions(bytes.NewReader(b), int64(len(b)), 4)
		if err != nil {
			return
		}
		e, err := readDistributions(bytes.NewReader(b), int64(len(b)), 4)
		if err != nil {
			t.Fatal(err)
		}
		p, err := compareDistributions(t.Context(), d, e)
		if err == nil && (p.KL.Mean != 0 || p.Top1Agreement != 1 || p.Scored < 1) {
			t.Errorf("with itself: %+v", p)
		}
	})
}
