// Command lexical measures the search by words beside its peers: Lucene, Xapian
// and SQLite as Debian has them, and bleve. 'make bench-lexical' runs it;
// BENCHMARKS.md has figures that were seen.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

type config struct {
	cache, dir, only           string
	documents, queries, rounds int
	prepare                    bool
}

func main() {
	var c config
	flag.StringVar(&c.cache, "cache", ".cache/bench/lexical", "folder for data that is made once, and for the peers' indexes")
	flag.StringVar(&c.dir, "dir", "bench/lexical/peers", "folder of the peers' sources")
	flag.StringVar(&c.only, "only", "", "measure only the peers whose names contain one of these words, separated by commas; 'none': no peer")
	flag.IntVar(&c.documents, "documents", 100_000, "documents, of which a tenth is withdrawn")
	flag.IntVar(&c.queries, "queries", 1000, "queries of 2 to 8 terms")
	flag.IntVar(&c.rounds, "rounds", 5, "turns of each contender")
	flag.BoolVar(&c.prepare, "prepare", false, "only make the data and the indexes, so that a later run measures at once")
	flag.Parse()
	if c.documents < 1000 || c.queries < 100 || c.rounds < 1 {
		fmt.Fprintln(os.Stderr, "bench lexical: at least 1000 documents, 100 queries and a round")
		os.Exit(2)
	}
	if err := run(c); err != nil {
		fmt.Fprintln(os.Stderr, "bench lexical:", err)
		os.Exit(1)
	}
}

func run(c config) (err error) {
	debug.SetGCPercent(400)
	s, err := open(c.cache, c.documents, c.queries)
	if err != nil {
		return err
	}
	fmt.Printf("%s; %d cores, one thread measured\n", processor(), runtime.NumCPU())
	fmt.Printf("%d documents with title, heading and text, a tenth withdrawn; %d queries of 2 to 8 terms, best %d\n", len(s.docs), len(s.queries), depth)
	peers, notes := find(c.dir, c.cache)
	for _, n := range notes {
		fmt.Println(" ", n)
	}
	several, err := indexed(s, "rxedge", shares)
	if err != nil {
		return err
	}
	one, err := indexed(s, "rxedge, one segment", []float64{1})
	if err != nil {
		return err
	}
	all := []contender{several, one}
	defer func() {
		for _, x := range all {
			err = errors.Join(err, x.close())
		}
	}()
	for _, p := range peers {
		if c.only != "" && !slices.ContainsFunc(strings.Split(c.only, ","), func(w string) bool { return strings.Contains(p.label, w) }) {
			continue
		}
		x, err := p.start(s, c.cache)
		if err != nil {
			return err
		}
		all = append(all, x)
	}
	for _, x := range all {
		fmt.Printf("  %s: %s\n", x.name(), x.about())
	}
	if c.prepare {
		return nil
	}
	runtime.GC()
	results, err := turns(all, c.rounds)
	if err != nil {
		return err
	}
	report(results)
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
