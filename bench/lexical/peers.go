package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// contender answers the queries of a set, one after another in one thread.
type contender interface {
	name() string
	about() string
	// round gives the milliseconds of each query and the documents found, best
	// first. A slow one may answer only the first of the queries.
	round() (ms []float64, ids [][]int32, err error)
	close() error
}

// child is a contender in a process of its own, which measures itself. It makes
// its index where the folder is empty, warms up, says "ready" and what it is; then each line "run" is
// answered by a line of JSON.
type child struct {
	label, what string
	cmd         *exec.Cmd
	in          io.WriteCloser
	out         *bufio.Reader
}

// peer is a command that takes the files of the set, a folder for its index and
// the name of a way to search.
type peer struct {
	label   string
	command []string
	way     string
}

func (p peer) start(s *set, dir string) (*child, error) {
	own := filepath.Join(dir, strings.Join(strings.FieldsFunc(strings.ToLower(p.label)+" "+filepath.Base(s.paths.docs), func(r rune) bool {
		return r == ' ' || r == ','
	}), "-"))
	made := own + ".made" // an index that is whole is used again
	if _, err := os.Stat(made); err != nil {
		if err := errors.Join(os.RemoveAll(own), os.MkdirAll(own, 0o755)); err != nil {
			return nil, err
		}
	}
	args := slices.Concat(p.command[1:], []string{s.paths.docs, s.paths.queries, own, p.way})
	c := &child{label: p.label, cmd: exec.Command(p.command[0], args...)}
	c.cmd.Stderr = os.Stderr
	in, err1 := c.cmd.StdinPipe()
	out, err2 := c.cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	c.in, c.out = in, bufio.NewReaderSize(out, 1<<20)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.label, err)
	}
	line, err := c.out.ReadString('\n')
	if what, ok := strings.CutPrefix(strings.TrimSpace(line), "ready "); ok {
		c.what = what
		return c, os.WriteFile(made, nil, 0o644)
	}
	return nil, fmt.Errorf("%s did not start: %q %w", p.label, line, errors.Join(err, c.close()))
}

func (c *child) name() string  { return c.label }
func (c *child) about() string { return c.what }

func (c *child) round() ([]float64, [][]int32, error) {
	if _, err := io.WriteString(c.in, "run\n"); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.label, err)
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.label, err)
	}
	var r struct {
		MS  []float64 `json:"ms"`
		IDs [][]int32 `json:"ids"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.label, err)
	}
	return r.MS, r.IDs, nil
}

func (c *child) close() error { return errors.Join(c.in.Close(), c.cmd.Wait()) }

// jars of Lucene that Debian's liblucene8-java puts here.
var jars = []string{"core", "analyzers-common", "sandbox", "queries"}

// find the peers that this machine has; what is missing is named.
func find(dir, cache string) (found []peer, notes []string) {
	build := func(missing string, into string, command ...string) bool {
		if _, err := exec.LookPath(command[0]); err != nil {
			notes = append(notes, missing)
			return false
		}
		c := exec.Command(command[0], command[1:]...)
		c.Dir = into
		if out, err := c.CombinedOutput(); err != nil {
			notes = append(notes, fmt.Sprintf("%s (%s)", missing, firstLine(out)))
			return false
		}
		return true
	}
	abs := func(path string) string {
		p, err := filepath.Abs(path)
		if err != nil {
			return path
		}
		return p
	}
	dir, cache = abs(dir), abs(cache)

	class := []string{cache}
	for _, j := range jars {
		m, _ := filepath.Glob("/usr/share/java/lucene-" + j + "-8*.jar")
		class = append(class, m...)
	}
	path := strings.Join(class, ":")
	const noLucene = "no Lucene: apt-get install liblucene8-java default-jdk-headless"
	if len(class) <= len(jars) {
		notes = append(notes, noLucene)
	} else if build(noLucene, "", "javac", "-nowarn", "-cp", path, "-d", cache, filepath.Join(dir, "Lucene.java")) {
		// The collector with the least to do at each write, and no pauses here:
		// a round makes little garbage.
		java := []string{"java", "-Xms1500m", "-Xmx1500m", "-XX:+UseSerialGC", "-cp", path, "Lucene"}
		found = append(found, peer{"Lucene, fields boosted", java, "fields"}, peer{"Lucene, BM25F", java, "bm25f"},
			peer{"Lucene, one field", java, "one"})
	}
	xapian := filepath.Join(cache, "xapian")
	if build("no Xapian: apt-get install libxapian-dev g++", "", "c++", "-std=c++17", "-O3", "-march=native", "-o", xapian, filepath.Join(dir, "xapian.cpp"), "-lxapian") {
		found = append(found, peer{"Xapian, one field", []string{xapian}, "one"})
	}
	bleve := filepath.Join(cache, "bleve")
	if build("no bleve: its module can't be had", filepath.Join(dir, "bleve"), "go", "build", "-o", bleve, ".") {
		found = append(found, peer{"bleve, fields boosted", []string{bleve}, "fields"}, peer{"bleve, one field", []string{bleve}, "one"})
	}
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import sqlite3; sqlite3.connect(':memory:').execute('create virtual table t using fts5(x)')").Run() == nil {
			found = append(found, peer{"SQLite FTS5, fields weighed", []string{python, filepath.Join(dir, "fts5.py")}, "fields"})
			return found, notes
		}
	}
	return found, append(notes, "no SQLite with FTS5: apt-get install python3")
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}
