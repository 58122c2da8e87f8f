// Command train makes rxedge's built-in embedder (inference/semantic/builtin.bin)
// of the texts in a folder. The same texts give the same file, on any number of
// cores; on another kind of processor, or with another version of Go, the last
// bits of exponentials may differ and the file with them.
package main

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"rxedge/inference/semantic"
	"rxedge/inference/semantic/contrast"
	"rxedge/inference/wordpiece"
)

// settings of the training; DESIGN.md says what they were compared with.
type settings struct {
	contrast.Settings
	epochs int
	seed   uint64
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "train:", err)
		os.Exit(1)
	}
}

func run() error {
	s := settings{Settings: contrast.Settings{Batch: 256, Workers: runtime.GOMAXPROCS(0)}}
	data := flag.String("data", "", "folder of the training texts")
	out := flag.String("out", "inference/semantic/builtin.bin", "the model file")
	flag.IntVar(&s.Dimension, "dimension", 256, "of the vectors")
	flag.IntVar(&s.epochs, "epochs", 6, "passes over the pairs")
	flag.Float64Var(&s.Temperature, "temperature", 0.05, "of the softmax")
	flag.Float64Var(&s.Rate, "rate", 0.02, "of learning at first, in parts of the rows' root mean square")
	flag.Uint64Var(&s.seed, "seed", 1, "of the random numbers")
	heldOut := flag.String("held-out", "", "write the part of MedQuAD that is not learned from to this folder, for 'rxedge eval', and train nothing")
	flag.Parse()
	if *data == "" || flag.NArg() > 0 {
		return fmt.Errorf("name the folder of the training texts with -data")
	}
	if *heldOut != "" {
		return export(*data, *heldOut)
	}
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Printf("%6.1f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	t, err := read(*data)
	if err != nil {
		return err
	}
	sayings, err := semantic.ParseSayings(layTable)
	if err != nil {
		return err
	}
	lay := layPairs(sayings, t.whole, rand.New(rand.NewPCG(s.seed, 5)))
	t.pairs = append(t.pairs, lay...)
	say("%d texts, %d pairs, of these %d of the table of lay words", len(t.whole), len(t.pairs), len(lay))
	words := vocabulary(append(slices.Clip(t.whole), strings.Repeat(layTable, wholeCount))) // its words are whole pieces
	say("%d pieces", len(words))
	tok, err := wordpiece.New(words, wordpiece.Options{Special: []string{}})
	if err != nil {
		return err
	}
	encode := func(text string) []int32 {
		var ids []int32
		for _, id := range tok.Encode(text) {
			if id > 0 {
				ids = append(ids, int32(id))
			}
		}
		return ids
	}
	b := &batches{rng: rand.New(rand.NewPCG(s.seed, 2))}
	for _, text := range t.whole {
		b.whole = append(b.whole, encode(text))
	}
	for _, p := range t.pairs {
		x, y := encode(p.a), encode(p.b)
		if len(x) > 0 && len(y) > 0 {
			b.pairs = append(b.pairs, [2][]int32{x, y})
		}
	}
	rows := begin(b.whole, len(words), s)
	say("begun with latent semantic analysis")
	c := contrast.New(s.Settings, rows)
	for e := range s.epochs {
		items := b.epoch()
		steps, loss := len(items)/s.Batch, 0.0
		for i := range steps {
			for j, it := range items[i*s.Batch : (i+1)*s.Batch] {
				c.Set(j, it[0], it[1])
			}
			loss += c.Step((float64(e) + float64(i)/float64(steps)) / float64(s.epochs))
		}
		say("epoch %d of %d, %d batches, loss %.4f", e+1, s.epochs, steps, loss/float64(steps))
	}
	unknown(rows[:s.Dimension], s)
	file, err := semantic.Write("rxedge-semantic-1", "Apache-2.0", "MedQuAD, RQE, SciFact, FDA labels; see MODEL_CARD.md", s.Dimension, words, layTable, rows)
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, file, 0o644); err != nil {
		return err
	}
	say("%s, %.1f MB", *out, float64(len(file))/1e6)
	return nil
}

// windowPieces is how much of a text is one row of the first analysis.
const windowPieces = 100

// begin with each piece's place in a latent semantic analysis of windows of the
// texts, times its inverse document frequency.
func begin(texts [][]int32, pieces int, s settings) []float32 {
	var bags []contrast.Bag
	df := make([]int, pieces)
	for _, t := range texts {
		for i := 0; i < len(t); i += windowPieces {
			b := contrast.BagOf(t[i:min(len(t), i+windowPieces)])
			if len(b.IDs) < 5 {
				continue
			}
			bags = append(bags, b)
			for _, id := range b.IDs {
				df[id]++
			}
		}
	}
	idf := make([]float32, pieces)
	for i, n := range df {
		idf[i] = float32(math.Log(1 + float64(len(bags))/float64(n+1)))
	}
	m := &semantic.Sparse{Columns: pieces}
	for _, b := range bags {
		w := make([]float32, len(b.IDs))
		for j, id := range b.IDs {
			w[j] = b.Weights[j] * idf[id]
		}
		l := semantic.Norm(w)
		for j := range w {
			w[j] /= l
		}
		m.Append(b.IDs, w)
	}
	rows := semantic.Latent(m, s.Dimension, 1, s.Workers, s.seed)
	sum := 0.0
	for i := range pieces {
		row := rows[i*s.Dimension:][:s.Dimension]
		for d := range row {
			row[d] *= idf[i]
			sum += float64(row[d]) * float64(row[d])
		}
	}
	// Pieces of no text stay nothing.
	scale := float32(math.Sqrt(float64(pieces) / sum))
	for i := range rows {
		rows[i] *= scale
	}
	return rows
}

// unknown is a direction that is no text's.
func unknown(row []float32, s settings) {
	rng := rand.New(rand.NewPCG(s.seed, 3))
	for d := range row {
		row[d] = float32(rng.NormFloat64())
	}
}
