package main

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"rxedge/index/lexical"
)

// version of the data that the sources below make: files of another are not
// used.
const version = 1

// depth is how many of the first documents each contender gives.
const depth = 20

// set is documents and queries, made up. Peers read the same files, in which
// text has been analysed already: what differs is search alone.
type set struct {
	docs    []document // as a peer reads them, terms
	dead    []bool     // by document: it is withdrawn again
	queries []string   // terms
	paths   struct{ docs, queries string }
}

type document struct{ title, heading, text string }

// open the set of n documents and q queries, made where the cache lacks it.
func open(dir string, n, q int) (*set, error) {
	s := &set{}
	stem := filepath.Join(dir, fmt.Sprintf("zipf-v%d-%d-%d", version, n, q))
	s.paths.docs, s.paths.queries = stem+".docs.tsv", stem+".queries.txt"
	if _, err := os.Stat(s.paths.queries); err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := generate(s.paths.docs, s.paths.queries, n, q); err != nil {
			return nil, err
		}
	}
	err := eachLine(s.paths.docs, func(line string) error {
		f := strings.Split(line, "\t")
		if len(f) != 4 {
			return fmt.Errorf("%s: a line has %d fields instead of 4; remove the file", s.paths.docs, len(f))
		}
		s.docs = append(s.docs, document{f[1], f[2], f[3]})
		s.dead = append(s.dead, f[0] == "dead")
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, eachLine(s.paths.queries, func(line string) error {
		s.queries = append(s.queries, line)
		return nil
	})
}

func eachLine(path string, fn func(string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if err := fn(in.Text()); err != nil {
			return err
		}
	}
	return in.Err()
}

const (
	vocabulary = 300_000
	topics     = 800
	ofTopic    = 80 // words
)

// generate documents of a length like passages' (180 words, log-normal), their
// words drawn by Zipf's law with exponent 1.07 and, one in eight, from the words
// of the document's topic; titles and headings are of its topic. A tenth is
// withdrawn. Queries have 2 to 8 words: of a topic, of the most frequent, and of
// any rank. The seed decides everything.
func generate(docs, queries string, n, q int) error {
	r := rand.New(rand.NewPCG(3, 3))
	words := make([]string, vocabulary)
	cumulated := make([]float64, vocabulary)
	total := 0.0
	for i := range words {
		words[i] = word(i)
		total += math.Pow(float64(i)+2.7, -1.07)
		cumulated[i] = total
	}
	var topic [topics][ofTopic]int
	for t := range topic {
		for j := range topic[t] {
			topic[t][j] = 200 + r.IntN(60_000-200)
		}
	}
	drawn := func(t int) int {
		if r.Float64() < .12 {
			return ofTopicAt(&topic[t], r)
		}
		x := r.Float64() * total
		lo, hi := 0, vocabulary-1
		for lo < hi {
			if m := (lo + hi) / 2; cumulated[m] < x {
				lo = m + 1
			} else {
				hi = m
			}
		}
		return lo
	}
	some := func(n int, draw func() int) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(words[draw()])
		}
		return b.String()
	}
	a := lexical.NewAnalyzer(nil)
	terms := func(text string) string { return strings.Join(a.Terms(text), " ") }
	err := lines(docs, n, func(int) string {
		t := r.IntN(topics)
		length := min(max(int(math.Exp(5.05+.45*r.NormFloat64())), 20), 900)
		title := some(1+r.IntN(3), func() int { return ofTopicAt(&topic[t], r) })
		heading := some(2+r.IntN(4), func() int { return drawn(t) })
		text := some(length, func() int { return drawn(t) })
		state := "live"
		if r.Float64() < .1 {
			state = "dead"
		}
		return strings.Join([]string{state, terms(title), terms(heading), terms(text)}, "\t")
	})
	if err != nil {
		return err
	}
	return lines(queries, q, func(i int) string {
		t := r.IntN(topics)
		return terms(some(2+i%7, func() int {
			switch u := r.Float64(); {
			case u < .35:
				return ofTopicAt(&topic[t], r)
			case u < .6:
				return r.IntN(200)
			}
			return int(math.Exp(math.Log(50) + r.Float64()*(math.Log(40_000)-math.Log(50))))
		}))
	})
}

func ofTopicAt(words *[ofTopic]int, r *rand.Rand) int {
	u := r.Float64()
	return words[int(u*u*ofTopic)]
}

// word of a rank: syllables, shorter for the frequent ones, with an ending. The
// rank is in it as letters, so that no two are the same.
func word(i int) string {
	const consonants, vowels = "bcdfghjklmnprstvz", "aeiou"
	endings := [...]string{"", "", "", "s", "ing", "ed", "ine", "ol", "ate", "ium"}
	var b strings.Builder
	j, n := uint32(uint64(i)*2654435761), 2
	if i >= 3000 {
		n = 3
	}
	for ; n > 0; n-- {
		b.WriteByte(consonants[j%17])
		b.WriteByte(vowels[j/17%5])
		j /= 85
	}
	for k := i; k > 0; k /= 17 {
		b.WriteByte(consonants[k%17])
	}
	b.WriteString(endings[i%len(endings)])
	return b.String()
}

// lines writes a file whole or not at all.
func lines(path string, n int, line func(i int) string) error {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		fmt.Fprintln(w, line(i))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
