// Command dense measures the vector search beside its peers: FAISS and hnswlib
// as Debian has them, and a scan in float32 compiled for this very processor.
// 'make bench-dense' runs it; BENCHMARKS.md has figures that were seen.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"rxedge/index/dense"
)

type config struct {
	cache, dir, source, real string
	sizes                    []int
	rounds, queries          int
	prepare                  bool
}

func main() {
	var c config
	sizes := flag.String("sizes", "10000,100000", "numbers of passages; 500000 and 2000000 take 1 and 6 GB of memory and disk")
	flag.StringVar(&c.cache, "cache", ".cache/bench/dense", "folder for data and indexes that are made once")
	flag.StringVar(&c.dir, "dir", "bench/dense/peers", "folder of the peers' sources")
	flag.StringVar(&c.source, "source", "index/dense", "folder of the sources of what is measured: segments of others are built anew")
	flag.StringVar(&c.real, "real", "../shared/data/minilm_golden_vectors/corpus_embeddings.npy", "real vectors to widen, in NumPy's format; none are used where the file is missing")
	flag.IntVar(&c.rounds, "rounds", 5, "turns of each contender")
	flag.IntVar(&c.queries, "queries", 400, "synthetic queries")
	flag.BoolVar(&c.prepare, "prepare", false, "only make the data and the indexes, so that a later run measures at once")
	flag.Parse()
	for _, f := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(f)
		if err != nil || n < 100 {
			fmt.Fprintf(os.Stderr, "-sizes: %q is not a number of at least 100\n", f)
			os.Exit(2)
		}
		c.sizes = append(c.sizes, n)
	}
	if err := run(c); err != nil {
		fmt.Fprintln(os.Stderr, "bench dense:", err)
		os.Exit(1)
	}
}

func run(c config) error {
	debug.SetGCPercent(400)
	if err := os.MkdirAll(c.cache, 0o755); err != nil {
		return err
	}
	p := find(c.dir, c.cache)
	fmt.Printf("%s; scan by %s; %d cores, one thread measured\n", processor(), dense.Kernel(), runtime.NumCPU())
	for _, note := range slices.Concat(p.notes, p.compiled) {
		fmt.Println(" ", note)
	}
	for _, n := range c.sizes {
		sources := []source{synthetic(n, c.queries)}
		if _, err := os.Stat(c.real); err == nil && n <= 500_000 {
			src, err := widened(c.real, n)
			if err != nil {
				return err
			}
			sources = append(sources, src)
		}
		for _, src := range sources {
			if err := c.measure(p, src); err != nil {
				return fmt.Errorf("%s, %d passages: %w", src.name, n, err)
			}
			runtime.GC()
		}
	}
	return nil
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(b), "\n") {
		if name, ok := strings.CutPrefix(line, "model name\t: "); ok {
			return name
		}
	}
	return runtime.GOARCH
}

// measure one set with the peers that its size is for.
func (c config) measure(p *peers, src source) error {
	s, err := open(c.cache, src)
	if err != nil {
		return err
	}
	defer s.close()
	var all []contender
	defer func() {
		for _, x := range all {
			if err := x.close(); err != nil {
				fmt.Fprintln(os.Stderr, x.name()+":", err)
			}
		}
	}()
	mine, err := segmentOf(c, s, "rxedge", dense.BuildOptions{})
	if err != nil {
		return err
	}
	all = append(all, mine)
	fmt.Printf("\n%s, %d passages of %d dimensions, %d queries, best %d\n", s.name, s.rows(), s.dim, s.count(), depth)
	if mine.built > 0 {
		fmt.Printf("  built in %.1f s, %.0f passages a second; ", mine.built.Seconds(), float64(s.rows())/mine.built.Seconds())
	} else {
		fmt.Print("  ")
	}
	fmt.Printf("loaded in %.1f ms; %d bytes a passage beside its vector; %d lists, held-out recall %.4f\n",
		mine.loaded.Seconds()*1e3, mine.segment.Bytes()/int64(s.rows()), mine.segment.Lists(), mine.segment.Recall())

	add := func(label string, command []string, args ...string) error {
		if command == nil {
			return nil
		}
		x, err := start(s, label, command, args...)
		if err == nil {
			all = append(all, x)
			fmt.Printf("  %s: %s\n", label, x.about)
		}
		return err
	}
	stem := filepath.Join(c.cache, fmt.Sprintf("%s-v%d-%d", s.name, version, s.rows()))
	var errs []error
	errs = append(errs, add(flatLabel, p.flat, "scan", fmt.Sprint(max(20, 20_000_000/s.rows()))))
	switch n := s.rows(); {
	case n <= 20_000:
		errs = append(errs, add("FAISS Flat", p.faiss, "Flat", stem+".flat"))
	case n <= 200_000:
		errs = append(errs, add("FAISS HNSW32 ef 128", p.faiss, "HNSW32", stem+".hnsw32", "efSearch=128"),
			add("hnswlib M 32 ef 128", p.hnsw, "32", "100", "128", stem+".hnswlib"))
	case n <= 1_000_000:
		errs = append(errs, add("FAISS IVF1024 nprobe 16", p.faiss, "IVF1024,Flat", stem+".ivf1024", "nprobe=16"))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// The scan of all codes alone, beside a read of as many bytes.
	var whole *ours
	if s.rows() >= 100_000 && s.name == "synthetic" {
		if whole, err = segmentOf(c, s, "rxedge, all codes", dense.BuildOptions{Lists: 1}); err != nil {
			return err
		}
		alone := *whole
		alone.label, alone.options.Threshold, alone.mapped = scanLabel, 2, nil // no cosine is
		all = append(all, whole, &alone)
		errs = append(errs, add(readLabel, p.flat, "read", fmt.Sprint(codeBytes(s))))
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	if c.prepare {
		return nil
	}
	results, err := turns(s, all, c.rounds)
	if err != nil {
		return err
	}
	report(s, results)
	return mine.filters()
}

const (
	flatLabel = "float32 scan, -O3"
	scanLabel = "scanning them, no more"
	readLabel = "reading as many bytes"
)

// codeBytes that the scan of all rows reads: a bit a dimension and a factor.
func codeBytes(s *set) int { return s.rows() * ((s.dim+63)/64*8 + 4) }
