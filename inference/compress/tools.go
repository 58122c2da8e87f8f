package compress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"rxedge/inference/llama"
)

// ErrToolsMissing: llama.cpp's tools do not lie beside the engine.
var ErrToolsMissing = errors.New("llama.cpp's tools are not built; run 'make engine-tools' (they lie in bin/llama)")

const (
	toolQuantize   = "llama-quantize"
	toolImatrix    = "llama-imatrix"
	toolPerplexity = "llama-perplexity"
	toolBench      = "llama-bench"
)

// Tools are llama.cpp's own programs, beside the engine.
type Tools struct {
	engine llama.Engine
}

// FindTools looks for the engine as llama.Find does and for the tools beside
// it. The error is inference.ErrEngineMissing or ErrToolsMissing.
func FindTools(dirs ...string) (Tools, error) {
	e, err := llama.Find(dirs...)
	if err != nil {
		return Tools{}, err
	}
	for _, name := range []string{toolQuantize, toolImatrix, toolPerplexity, toolBench} {
		st, err := os.Stat(filepath.Join(e.Dir, name))
		if err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0 {
			return Tools{}, fmt.Errorf("%s is not in %s: %w", name, e.Dir, ErrToolsMissing)
		}
	}
	return Tools{engine: e}, nil
}

// ToolError is a tool that ended with a failure.
type ToolError struct {
	Tool   string
	Reason string // what it said of it; never a text it was given
	Err    error  // how it ended
}

func (e *ToolError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s failed: %v", e.Tool, e.Err)
	}
	return fmt.Sprintf("%s failed: %s (%v)", e.Tool, e.Reason, e.Err)
}

func (e *ToolError) Unwrap() error { return e.Err }

// invocation of one tool.
type invocation struct {
	tool string
	args []string
	dir  string // working folder
	// ends are the bytes after which a piece of output is whole; "": a newline.
	ends string
	// piece is given the output, both streams, piece by piece, by one caller
	// at a time. Nil: nobody listens.
	piece func(string)
	// out is standard output as it came, for a tool that writes a document.
	out *bytes.Buffer
}

// run runs a tool until it ends and returns the most memory that was seen
// resident in it, in bytes, 0 where that is not known. When ctx ends the tool
// is killed and ctx's error returned.
func (t Tools) run(ctx context.Context, in invocation) (resident int64, err error) {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(t.engine.Dir, in.tool), in.args...)
	cmd.Dir = in.dir
	cmd.Env = environment()
	cmd.SysProcAttr = childAttributes()
	cmd.WaitDelay = 2 * time.Second
	watch := &residentSet{}
	var mu sync.Mutex
	var said complaints
	listen := func(p string) {
		mu.Lock()
		defer mu.Unlock()
		said.add(p)
		watch.look()
		if in.piece != nil {
			in.piece(p)
		}
	}
	ends := in.ends
	if ends == "" {
		ends = "\n"
	}
	out, errOut := &pieces{ends: ends, to: listen}, &pieces{ends: ends, to: listen}
	cmd.Stdout, cmd.Stderr = out, errOut
	if in.out != nil {
		cmd.Stdout = tee{in.out, watch}
	}
	// The kernel kills the child when the thread that made it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 0, &ToolError{Tool: in.tool, Err: err}
	}
	watch.follow(running, cmd.Process.Pid)
	err = cmd.Wait()
	cancel()
	resident = watch.most()
	out.flush()
	errOut.flush()
	if err == nil {
		return resident, nil
	}
	if ctx.Err() != nil {
		return resident, ctx.Err()
	}
	return resident, &ToolError{Tool: in.tool, Reason: said.text(), Err: err}
}

// environment is ours without what would set the tools' options.
func environment() []string {
	var out []string
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "LLAMA_") || strings.HasPrefix(name, "GGML_") {
			continue
		}
		out = append(out, kv)
	}
	return append(out, "LC_ALL=C")
}

// maxPiece bounds what a tool can make us hold.
const maxPiece = 64 << 10

// pieces cuts what is written to it.
type pieces struct {
	ends string
	to   func(string)
	held []byte
}

func (p *pieces) Write(b []byte) (int, error) {
	for _, c := range b {
		if strings.IndexByte(p.ends, c) >= 0 {
			p.flush()
			continue
		}
		if len(p.held) < maxPiece {
			p.held = append(p.held, c)
		}
	}
	return len(b), nil
}

func (p *pieces) flush() {
	if len(p.held) > 0 {
		p.to(string(p.held))
		p.held = p.held[:0]
	}
}

// tee keeps a document and looks at the child's memory as it comes.
type tee struct {
	to    *bytes.Buffer
	watch *residentSet
}

func (t tee) Write(b []byte) (int, error) {
	t.watch.look()
	if t.to.Len() > 4<<20 {
		return 0, errors.New("more output than there can be")
	}
	return t.to.Write(b)
}

// complaints keeps the last lines in which a tool says what went wrong.
type complaints struct{ lines []string }

var (
	// A line of llama.cpp's log: time, level, text.
	logLine   = regexp.MustCompile(`^[0-9.]+ ([A-Z]) +(.*)$`)
	complains = regexp.MustCompile(`(?i)\b(error|failed|fail|invalid|unable|cannot|disabled|you need at least|tokenizes to only|out of memory|no such file|unknown)\b`)
)

func (c *complaints) add(line string) {
	line = strings.TrimSpace(line)
	if m := logLine.FindStringSubmatch(line); m != nil {
		if line = m[2]; m[1] != "E" {
			return
		}
	} else if !complains.MatchString(line) {
		return
	}
	c.lines = append(c.lines, line[:min(len(line), 300)])
	if len(c.lines) > 3 {
		c.lines = c.lines[1:]
	}
}

func (c *complaints) text() string { return strings.Join(c.lines, "; ") }

// residentSet is the greatest resident set of a child. The kernel's own figure
// at the child's end (ru_maxrss) is of no use: it counts what our process held
// when it made the child.
type residentSet struct {
	mu   sync.Mutex
	path string
	peak int64
	done chan struct{}
}

func (r *residentSet) follow(ctx context.Context, pid int) {
	r.mu.Lock()
	r.path = fmt.Sprintf("/proc/%d/status", pid)
	r.done = make(chan struct{})
	r.mu.Unlock()
	go func() {
		defer close(r.done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			r.look()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}

func (r *residentSet) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path == "" {
		return
	}
	b, err := os.ReadFile(r.path)
	if err != nil {
		return
	}
	r.peak = max(r.peak, highWater(b))
}

// most is the peak; the child has been waited for and its number may be
// another's from now on.
func (r *residentSet) most() int64 {
	r.mu.Lock()
	r.path = ""
	r.mu.Unlock()
	<-r.done
	return r.peak
}

// highWater reads VmHWM, in bytes, from /proc/PID/status; 0 where it is not there.
func highWater(status []byte) int64 {
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, "VmHWM:")
		if !ok {
			continue
		}
		f := strings.Fields(rest)
		if len(f) != 2 || f[1] != "kB" {
			return 0
		}
		n, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil || n < 0 || n > 1<<50 {
			return 0
		}
		return n << 10
	}
	return 0
}
