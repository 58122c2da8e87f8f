package compress

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// distributions is a file of next-token distributions as llama-perplexity's
// --save-all-logits writes it, little endian:
//
//	"_logits_"  context i32  vocabulary i32  chunks i32
//	chunks × context tokens, i32
//	for each scored position: scale f32, least f32, vocabulary × u16
//
// Scored are the positions context/2 … context−2 of a chunk. The logarithm of
// a word's probability is scale·u16 + least, none being less than the
// likeliest word's by more than 16; a row is filled up to an even number of
// words.
//
// Source: tools/perplexity/perplexity.cpp of llama.cpp v0.5.0.
type distributions struct {
	io.Closer
	r                      *bufio.Reader
	context, vocab, chunks int
	tokens                 []int32
	row                    []byte
}

const (
	distributionsMagic = "_logits_"
	mostVocabulary     = 1 << 22
	mostTokens         = 1 << 26
)

var (
	errNoDistributions = errors.New(toolPerplexity + " kept no distributions")
	errCutOff          = errors.New("the distributions that " + toolPerplexity + " kept are cut off")
)

// openDistributions opens a file of chunks of the given context. It is
// errNoDistributions where the tool found too little text.
func openDistributions(path string, context int) (*distributions, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil {
		var d *distributions
		if d, err = readDistributions(f, st.Size(), context); err == nil {
			d.Closer = f
			return d, nil
		}
	}
	f.Close()
	return nil, err
}

func readDistributions(r io.Reader, size int64, context int) (*distributions, error) {
	d := &distributions{r: bufio.NewReaderSize(r, 1<<20)}
	head := make([]byte, len(distributionsMagic)+4)
	if _, err := io.ReadFull(d.r, head); err != nil || string(head[:len(distributionsMagic)]) != distributionsMagic {
		return nil, fmt.Errorf("%s kept its distributions in a form that is not known; is it of the engine's release? ('make engine-tools' builds it)", toolPerplexity)
	}
	d.context = int(int32(binary.LittleEndian.Uint32(head[len(distributionsMagic):])))
	if size == int64(len(head)) {
		return nil, errNoDistributions
	}
	var counts [8]byte
	if _, err := io.ReadFull(d.r, counts[:]); err != nil {
		return nil, errCutOff
	}
	d.vocab, d.chunks = int(int32(binary.LittleEndian.Uint32(counts[:]))), int(int32(binary.LittleEndian.Uint32(counts[4:])))
	if d.context != context || d.context < 4 || d.vocab < 1 || d.vocab > mostVocabulary || d.chunks < 1 || d.chunks > mostTokens/d.context {
		return nil, fmt.Errorf("%s kept distributions of %d chunks of %d tokens, of %d words each, which can't be", toolPerplexity, d.chunks, d.context, d.vocab)
	}
	d.row = make([]byte, 8+2*(d.vocab+d.vocab%2))
	want := int64(len(head)+len(counts)) + 4*int64(d.chunks)*int64(d.context) + int64(d.chunks)*int64(d.scored())*int64(len(d.row))
	if size != want {
		return nil, fmt.Errorf("%w: %d bytes of %d; is the disk full?", errCutOff, size, want)
	}
	d.tokens = make([]int32, d.chunks*d.context)
	if err := binary.Read(d.r, binary.LittleEndian, d.tokens); err != nil {
		return nil, errCutOff
	}
	for _, t := range d.tokens {
		if t < 0 || int(t) >= d.vocab {
			return nil, fmt.Errorf("%s kept a token %d of a vocabulary of %d", toolPerplexity, t, d.vocab)
		}
	}
	return d, nil
}

// scored positions of a chunk.
func (d *distributions) scored() int { return d.context - 1 - d.context/2 }

// next reads the next position's distribution into logs, and returns the
// likeliest word and the least logarithm, which many words may share.
func (d *distributions) next(logs []float64) (top int, least float64, err error) {
	if _, err := io.ReadFull(d.r, d.row); err != nil {
		return 0, 0, errCutOff
	}
	scale := float64(math.Float32frombits(binary.LittleEndian.Uint32(d.row)))
	least = float64(math.Float32frombits(binary.LittleEndian.Uint32(d.row[4:])))
	if math.IsNaN(scale) || math.IsInf(scale, 0) || math.IsNaN(least) || math.IsInf(least, 0) {
		return 0, 0, errBroken
	}
	words, most := d.row[8:], uint16(0)
	for i := range logs {
		q := binary.LittleEndian.Uint16(words[2*i:])
		if q > most {
			most, top = q, i
		}
		logs[i] = scale*float64(q) + least
	}
	return top, least, nil
}

// compareDistributions reads both to their ends.
func compareDistributions(ctx context.Context, a, b *distributions) (Predictions, error) {
	p := Predictions{Context: a.context, Chunks: a.chunks, Scored: a.chunks * a.scored()}
	if a.context != b.context || a.vocab != b.vocab || !slices.Equal(a.tokens, b.tokens) {
		return p, fmt.Errorf("%w (they cut the texts into different tokens)", ErrVocabularies)
	}
	la, lb := make([]float64, a.vocab), make([]float64, a.vocab)
	kl, ratio := make([]float64, 0, p.Scored), make([]float64, 0, p.Scored)
	var nllA, nllB float64
	same := 0
	for i := range p.Scored {
		if ctx.Err() != nil {
			return p, ctx.Err()
		}
		topA, least, err := a.next(la)
		if err != nil {
			return p, err
		}
		topB, _, err := b.next(lb)
		if err != nil {
			return p, err
		}
		if topA == topB {
			same++
		}
		var sum float64
		unlikely := math.Exp(least) // of most words of a large vocabulary
		for w, l := range la {
			if l == least {
				sum += unlikely * (l - lb[w])
			} else {
				sum += math.Exp(l) * (l - lb[w])
			}
		}
		said := a.tokens[i/a.scored()*a.context+a.context/2+i%a.scored()+1]
		nllA, nllB = nllA-la[said], nllB-lb[said]
		kl, ratio = append(kl, sum), append(ratio, la[said]-lb[said])
	}
	n := float64(p.Scored)
	p.PerplexityA, p.PerplexityB, p.Top1Agreement = math.Exp(nllA/n), math.Exp(nllB/n), float64(same)/n
	p.LogRatio, p.LogRatioStandardError = meanAndError(ratio)
	p.KL.Mean, p.KL.StandardError = meanAndError(kl)
	slices.Sort(kl)
	p.KL.Median, p.KL.P99, p.KL.Max = median(kl), quantile(kl, 0.99), kl[len(kl)-1]
	// A divergence is never below zero; the rounding to 16 bits can put it there
	// by a millionth.
	p.KL.Mean, p.KL.Median, p.KL.P99, p.KL.Max = max(p.KL.Mean, 0), max(p.KL.Median, 0), max(p.KL.P99, 0), max(p.KL.Max, 0)
	for _, v := range []float64{p.PerplexityA, p.PerplexityB, p.LogRatio, p.LogRatioStandardError, p.KL.Mean, p.KL.StandardError, p.KL.Max} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return p, errBroken
		}
	}
	return p, nil
}

// meanAndError is the mean of at least one number, and its standard error.
func meanAndError(v []float64) (mean, standardError float64) {
	n := float64(len(v))
	for _, x := range v {
		mean += x / n
	}
	if len(v) < 2 {
		return mean, 0
	}
	for _, x := range v {
		standardError += (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(standardError / (n - 1) / n)
}

// quantile of sorted numbers, between the neighbours in proportion.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	j := min(i+1, len(sorted)-1)
	return sorted[i] + (at-float64(i))*(sorted[j]-sorted[i])
}
