package llama

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
)

const (
	longestLine = 2048 // bytes of a log line that are kept
	keptLines   = 40   // of the beginning, to find a reason in
)

// harmless are the lines that a serving engine may log and that never carry
// text of a request: faults of the machine and of the engine's own making. All
// others are dropped, because some of the engine's warnings quote the request.
var harmless = regexp.MustCompile(`^(?:[EW] )?(?:\S*/ggml\S*:\d+: |ggml_\w+: |CUDA error|terminate called|what\(\): +std::bad_alloc)`)

// engineLog takes a child's output line by line.
type engineLog struct {
	to *slog.Logger

	mu      sync.Mutex
	serving bool
	lines   []string
}

// serve says that requests may reach the child from now on.
func (l *engineLog) serve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving = true
	l.lines = nil
}

// drain reads until the child has closed its end.
func (l *engineLog) drain(r io.Reader) {
	br := bufio.NewReaderSize(r, longestLine)
	for {
		line, err := br.ReadSlice('\n')
		l.take(strings.TrimRight(string(line), "\r\n"))
		for err == bufio.ErrBufferFull { // the rest of a long line
			_, err = br.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func (l *engineLog) take(line string) {
	line = strings.ToValidUTF8(strings.TrimSpace(line), "?")
	if line == "" {
		return
	}
	l.mu.Lock()
	pass := !l.serving || harmless.MatchString(line)
	if pass && len(l.lines) < keptLines {
		l.lines = append(l.lines, line)
	}
	l.mu.Unlock()
	if pass {
		l.to.LogAttrs(context.Background(), slog.LevelDebug, "engine", slog.String("line", line))
	}
}

// layers are what llama.cpp says at each level that a failure passes through on
// its way up; they add nothing to the first line.
var layers = regexp.MustCompile(`^failed to load model|^exiting due to|trying to fit params`)

var errorLine = regexp.MustCompile(`^(?:[\d.]+ )?E |^error`)

// linePrefix is the level and the function that a line begins with.
var linePrefix = regexp.MustCompile(`^(?:[\d.]+ )?[EW] (?:(?:srv|slot|cmn)\s+\S+: +|\w+: +)?`)

// reason picks the lines that say why the child failed: at most the first three
// different errors, as one line.
func (l *engineLog) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var picked []string
	seen := map[string]bool{}
	for _, line := range l.lines {
		if !errorLine.MatchString(line) && !harmless.MatchString(line) {
			continue
		}
		line = linePrefix.ReplaceAllString(line, "")
		if layers.MatchString(line) || seen[line] {
			continue
		}
		seen[line] = true
		if picked = append(picked, line); len(picked) == 3 {
			break
		}
	}
	if len(picked) == 0 && len(l.lines) > 0 && !l.serving {
		picked = l.lines[max(0, len(l.lines)-2):]
	}
	return strings.Join(picked, "; ")
}
