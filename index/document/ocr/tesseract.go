package ocr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The two models: networks that were trained apart, so that one's mistake is not
// the other's.
const firstModel = "eng"

// secondModels are tried in this order: they know the digits, signs and units of
// Latin script and are small.
var secondModels = []string{"deu", "fra", "spa", "ita", "por", "nld", "script/Latin", "Latin"}

// Engine is a tesseract that was found here.
type Engine struct {
	cfg     Config
	path    string
	version string
	other   string // the second model
}

// String is the program, its version and its models: what a reading rests on.
func (e *Engine) String() string {
	return fmt.Sprintf("tesseract %s (%s, %s)", e.version, firstModel, e.other)
}

var (
	found   = map[string]*Engine{}
	foundMu sync.Mutex
	number  = regexp.MustCompile(`\d+(\.\d+)+`)
)

// Find looks for tesseract and asks it for its version and models. Errors:
// ErrAbsent, ErrLanguage, ErrFailed.
func Find(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.PageTime <= 0 {
		cfg.PageTime = 10 * time.Minute
	}
	if cfg.Memory == 0 {
		cfg.Memory = 1 << 30
	}
	name := cfg.Path
	if name == "" {
		name = "tesseract"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, ErrAbsent
	}
	foundMu.Lock()
	defer foundMu.Unlock()
	if e := found[path]; e != nil {
		c := *e
		c.cfg = cfg
		return &c, nil
	}
	e := &Engine{cfg: cfg, path: path}
	out, err := e.run(ctx, nil, "--version")
	if err != nil {
		return nil, err
	}
	if e.version = number.FindString(string(out)); e.version == "" {
		return nil, ErrFailed
	}
	if out, err = e.run(ctx, nil, "--list-langs"); err != nil {
		return nil, err
	}
	have := strings.Fields(string(out))
	for _, m := range secondModels {
		if e.other == "" && slices.Contains(have, m) {
			e.other = m
		}
	}
	if e.other == "" || !slices.Contains(have, firstModel) || !slices.Contains(have, "osd") {
		return nil, ErrLanguage
	}
	found[path] = e
	c := *e
	return &c, nil
}

// What is taken of a run's output, and how many seconds of a processor it may take:
// a page needs ten. The time that it stands still while others work is bounded apart.
const (
	mostSeconds = 120

	maxOutput = 32 << 20
	maxStderr = 4 << 10
)

// run starts tesseract in a process group of its own, with one thread, with bounds
// on its memory and time, with nothing of this process's environment, and without
// a file: picture in, text out. What it says of errors may hold text and is dropped.
func (e *Engine) run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	// The signal at this process's death is tied to the thread that starts a child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	within, cancel := context.WithTimeout(ctx, e.cfg.PageTime)
	defer cancel()
	c := exec.CommandContext(within, e.path, args...)
	c.Env = []string{"OMP_THREAD_LIMIT=1", "LC_ALL=C", "PATH=/usr/bin:/bin"}
	if p := os.Getenv("TESSDATA_PREFIX"); p != "" {
		c.Env = append(c.Env, "TESSDATA_PREFIX="+p)
	}
	c.Dir = os.TempDir()
	c.Stdin = stdin
	out, errs := bounded{max: maxOutput}, bounded{max: maxStderr}
	c.Stdout, c.Stderr = &out, &errs
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 5 * time.Second
	if err := c.Start(); err != nil {
		return nil, ErrAbsent
	}
	// Where a sandbox forbids it, the size of the picture still bounds the memory.
	_ = unix.Prlimit(c.Process.Pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: e.cfg.Memory, Max: e.cfg.Memory}, nil)
	_ = unix.Prlimit(c.Process.Pid, unix.RLIMIT_CPU, &unix.Rlimit{Cur: mostSeconds, Max: mostSeconds}, nil)
	err := c.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGXCPU {
		return nil, ErrTime
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case within.Err() != nil:
		return nil, ErrTime
	case err != nil || out.over:
		return nil, ErrFailed
	}
	if len(args) == 1 { // it has answered on either, from one version to the next
		return append(out.buf.Bytes(), errs.buf.Bytes()...), nil
	}
	return out.buf.Bytes(), nil
}

// bounded keeps the first max bytes.
type bounded struct {
	buf  bytes.Buffer
	max  int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.max - b.buf.Len(); room >= len(p) {
		b.buf.Write(p)
	} else {
		b.buf.Write(p[:room])
		b.over = true
	}
	return len(p), nil
}

// pgm is a picture in the plainest form that tesseract takes.
func pgm(g *image.Gray) io.Reader {
	b := g.Bounds()
	var buf bytes.Buffer
	buf.Grow(b.Dx()*b.Dy() + 32)
	fmt.Fprintf(&buf, "P5\n%d %d\n255\n", b.Dx(), b.Dy())
	for y := b.Min.Y; y < b.Max.Y; y++ {
		i := g.PixOffset(b.Min.X, y)
		buf.Write(g.Pix[i : i+b.Dx()])
	}
	return &buf
}

// words runs one reading. mode is tesseract's page segmentation mode.
func (e *Engine) words(ctx context.Context, g *image.Gray, model string, mode int) ([]*line, error) {
	out, err := e.run(ctx, pgm(g), "stdin", "stdout", "-l", model, "--psm", strconv.Itoa(mode), "--dpi", "300",
		"-c", "tessedit_create_tsv=1", "-c", "tessedit_create_txt=0")
	if err != nil {
		return nil, err
	}
	return parseTSV(out, g.Bounds())
}

var rotate = regexp.MustCompile(`(?m)^Rotate: (0|90|180|270)\s*$`)

// orientation is by how many quarters, clockwise, the picture must be turned to
// stand upright. A page with too few letters for an answer stays as it is.
func (e *Engine) orientation(ctx context.Context, g *image.Gray) (int, error) {
	out, err := e.run(ctx, pgm(g), "stdin", "stdout", "-l", "osd", "--psm", "0", "--dpi", "300")
	if errors.Is(err, ErrFailed) {
		return 0, nil // "Too few characters"
	}
	if err != nil {
		return 0, err
	}
	m := rotate.FindSubmatch(out)
	if m == nil {
		return 0, nil
	}
	deg, _ := strconv.Atoi(string(m[1]))
	return deg / 90, nil
}
