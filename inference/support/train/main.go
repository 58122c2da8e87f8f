// Command train makes the model of inference/support from texts outside the
// repository, and prints what it reaches: 'make support-model'. The same texts give
// the same file.
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"rxedge/inference/support"
)

const folds = 5

func main() {
	data := flag.String("data", "../shared/data", "folder of the texts")
	out := flag.String("out", "inference/support/model.bin", "file to write; \"\": none")
	to := flag.String("scores", "", "file for the scores of what a model was not trained on, for auc.py")
	flag.Parse()
	log.SetFlags(0)
	if err := run(*data, *out, *to); err != nil {
		log.Fatal(err)
	}
}

func run(data, out, to string) error {
	began := time.Now()
	c, err := load(data)
	if err != nil {
		return err
	}
	sc, err := newScores(to)
	if err != nil {
		return err
	}
	m := &support.Model{}
	df, n := map[string]int{}, 0
	for d := range c.documents {
		n++
		seen := map[string]bool{}
		for _, t := range m.Terms(d) {
			if !seen[t] {
				seen[t] = true
				df[t]++
			}
		}
	}
	m.Words = support.NewWords(n, df, 4)
	fmt.Printf("%d texts, %d words, %.1f s\n", n, len(m.Words.Hashes), time.Since(began).Seconds())

	rng := rand.New(rand.NewPCG(1, 1))
	pairs := append(scifact(c, rng), labels(c, rng)...)
	sup, con := vectors(m, pairs)
	fmt.Printf("%d pairs, %.1f s\n", len(pairs), time.Since(began).Seconds())
	claimOptions := options{trees: 150, depth: 3, rate: 0.08, ridge: 5, least: 3}
	var oofS, oofC []float64
	var foldS, foldC []support.Forest
	m.Support, foldS, oofS = crossed(sup, claimOptions)
	m.Contradict, foldC, oofC = crossed(con, claimOptions)
	reportClaims(sup, con, oofS, oofC)
	without := make([]support.Model, folds)
	for k := range folds {
		without[k] = support.Model{Words: m.Words, Support: foldS[k], Contradict: foldC[k]}
	}
	for i, p := range pairs {
		e, _ := support.Resolve(sup[i].x, oofS[i], oofC[i])
		sc.add("window", sup[i], p.claim, e)
	}
	whole(m, passages(m, c, pairs), without, sc)
	fmt.Printf("%.1f s\n", time.Since(began).Seconds())
	if err := reportDoses(doses(c, rand.New(rand.NewPCG(1, 2))), without, sc); err != nil {
		return err
	}
	if err := sc.close(); err != nil {
		return err
	}

	as := questions(m, c, rng)
	var rows []row
	for _, a := range as {
		rows = append(rows, a.rows...)
	}
	fmt.Printf("%d questions, %.1f s\n", len(as), time.Since(began).Seconds())
	var oof []float64
	m.Answers, _, oof = crossed(rows, options{trees: 120, depth: 4, rate: 0.08, ridge: 5, least: 5})
	reportQuestions(as, oof)

	if out == "" {
		return nil
	}
	if err := os.WriteFile(out, m.Encode(), 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes; %.1f s in all\n", out, len(m.Encode()), time.Since(began).Seconds())
	return nil
}

// crossed trains on all rows, and calibrates by what forests trained without a
// fold say of it. Those forests are returned too, with the curve of all, and their
// scores, calibrated by the other folds.
func crossed(rows []row, o options) (support.Forest, []support.Forest, []float64) {
	var without []support.Forest
	raw := make([]float64, len(rows))
	for k := range folds {
		var in []row
		for _, r := range rows {
			if r.in(k) {
				in = append(in, r)
			}
		}
		f := boost(in, o)
		without = append(without, f)
		for i, r := range rows {
			if r.fold() == k {
				raw[i] = f.Score(r.x)
			}
		}
	}
	scores := make([]float64, len(rows))
	for k := range folds {
		var s []float64
		var in []row
		for i, r := range rows {
			if r.fold() != k {
				s, in = append(s, raw[i]), append(in, r)
			}
		}
		f := support.Forest{Curve: isotonic(s, in)}
		for i, r := range rows {
			if r.fold() == k {
				scores[i] = f.Calibrated(raw[i])
			}
		}
	}
	forest := boost(rows, o)
	forest.Curve = isotonic(raw, rows)
	for k := range without {
		without[k].Curve = forest.Curve
	}
	return forest, without, scores
}
