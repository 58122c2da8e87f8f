// Command liar lets a generator that lies answer questions about real labels, and
// prints how many of its true and its altered sentences were shown: 'make bench-liar'.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/falsify"
	"rxedge/index"
	"rxedge/inference"
	"rxedge/inference/support"
)

func main() {
	data := flag.String("data", "../shared/data", "folder of the labels")
	n := flag.Int("n", 1000, "answers")
	seed := flag.Uint64("seed", 1, "seed of the liar")
	examples := flag.Int("examples", 0, "sentences of each kind to print that were judged wrongly")
	flag.Parse()
	log.SetFlags(0)
	if err := run(*data, *n, *seed, *examples); err != nil {
		log.Fatal(err)
	}
}

func run(data string, n int, seed uint64, examples int) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "liar")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	labels, err := falsify.Load(ctx, data, dir, index.Options{})
	if err != nil {
		return err
	}
	defer labels.Close()
	liar := falsify.NewLiar(seed, labels.Others)
	s := &answer.Service{Index: labels.Index,
		Generator: func(context.Context) (inference.Generator, error) { return liar, nil },
		Entailer:  func(context.Context) (inference.Entailer, error) { return answer.InPlainWords(support.Builtin()), nil }}
	began := time.Now()
	rep, err := falsify.Run(ctx, s, liar, labels.Questions, n)
	if err != nil {
		return err
	}
	rep.Print(os.Stdout, examples)
	fmt.Printf("%.1f s\n", time.Since(began).Seconds())
	return nil
}
