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
	"strconv"
	"strings"
)

// contender answers all queries of a set, one after another in one thread.
type contender interface {
	name() string
	// round gives the milliseconds of each query and the rows found, depth to
	// a query where there are that many.
	round() (ms []float64, rows [][]int32, err error)
	close() error
}

// child is a contender in a process of its own. It loads its index, or makes
// it, says "ready" and what it is; then each "run" is answered by a line of
// JSON. It takes the files of the set as they are: raw float32.
type child struct {
	label string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	about string // how it was compiled
}

// start a peer. args follow the set's base file, queries file and dimension.
func start(s *set, label string, command []string, args ...string) (*child, error) {
	all := slices.Concat(command[1:], []string{s.paths.base, s.paths.queries, strconv.Itoa(s.dim)}, args)
	c := &child{label: label, cmd: exec.Command(command[0], all...)}
	c.cmd.Stderr = os.Stderr
	c.cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=2", "OPENBLAS_NUM_THREADS=2")
	in, err1 := c.cmd.StdinPipe()
	out, err2 := c.cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	c.in, c.out = in, bufio.NewReaderSize(out, 1<<20)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", label, err)
	}
	line, err := c.out.ReadString('\n')
	if about, ok := strings.CutPrefix(strings.TrimSpace(line), "ready "); ok {
		c.about = about
		return c, nil
	}
	return nil, fmt.Errorf("%s did not start: %q %w", label, line, errors.Join(err, c.close()))
}

func (c *child) name() string { return c.label }

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

func (c *child) close() error {
	return errors.Join(c.in.Close(), c.cmd.Wait())
}

// peers are what the packages on this machine allow.
type peers struct {
	dir, cache      string
	flat, hnsw      []string // commands of the programs compiled here
	faiss           []string
	compiled, notes []string
}

// find the peers: FAISS from the system's Python, and two programs compiled
// with all that this processor has. What is missing is noted.
func find(dir, cache string) *peers {
	p := &peers{dir: dir, cache: cache}
	compile := func(source string, command ...string) []string {
		bin := filepath.Join(cache, strings.TrimSuffix(source, filepath.Ext(source)))
		command = append(command, "-O3", "-march=native", "-o", bin, filepath.Join(dir, source), "-lm")
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			p.notes = append(p.notes, fmt.Sprintf("%s does not compile: %s", source, firstLine(out)))
			return nil
		}
		p.compiled = append(p.compiled, strings.Join(command, " "))
		return []string{bin}
	}
	p.flat = compile("flat.c", "cc")
	p.hnsw = compile("hnsw.cpp", "c++", "-std=c++17")
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import faiss, numpy").Run() == nil {
			p.faiss = []string{python, filepath.Join(dir, "faiss_index.py")}
			break
		}
	}
	if p.faiss == nil {
		p.notes = append(p.notes, "no FAISS: apt-get install python3-faiss libopenblas0-pthread")
	}
	return p
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}
