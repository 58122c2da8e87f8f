package flow

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

// supervisor keeps worker processes running. What one had in hand when it died is given
// back to the bus at once, with a pause that grows.
type supervisor struct {
	q       *Queue
	n       int
	command func() *exec.Cmd
	log     *slog.Logger
}

// atOnce is how many workers may die one after another, within moments and without
// having taken up anything, before that is an error.
const atOnce = 5

// run until ctx ends. The error is that workers can't be started.
func (s *supervisor) run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, s.n)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range s.n {
		wg.Go(func() {
			if errs[i] = s.keep(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *supervisor) keep(ctx context.Context) error {
	for failed := 0; ctx.Err() == nil; {
		began := time.Now()
		took, err := s.one(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.log.Warn("a worker ended and another takes its place", "how", err)
		if took || time.Since(began) > 10*time.Second {
			failed = 0
			continue
		}
		var exit *exec.ExitError
		if failed++; failed >= atOnce && !(errors.As(err, &exit) && exit.ExitCode() < 0) { // not killed by somebody
			return fmt.Errorf("workers do not stay alive: %w", err)
		}
		if sleep(ctx, backoff(failed)) != nil {
			return nil
		}
	}
	return nil
}

// one runs a worker to its end. took: it had taken up work.
func (s *supervisor) one(ctx context.Context) (took bool, err error) {
	c := s.command()
	if c.SysProcAttr == nil {
		// An interrupt from the terminal is the run's, which ends its workers in good order.
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	in, err := c.StdinPipe() // a worker ends when it is closed, as by the death of this process
	if err != nil {
		return false, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := c.Start(); err != nil {
		return false, err
	}
	// Where memory runs out, a worker is to go, and not the bus.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", c.Process.Pid), []byte("800"), 0o600)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = in.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = c.Process.Kill()
		}
	})
	defer stop()
	var h inHand
	for lines := bufio.NewScanner(out); lines.Scan(); {
		h.hear(lines.Text())
		took = took || h.reply != ""
	}
	err = c.Wait()
	close(ended)
	_ = in.Close()
	s.giveBack(ctx, h, c.ProcessState.String())
	if err == nil {
		err = errors.New("it ended of itself")
	}
	return took, err
}

// What a worker says of itself, a line each: "unit TRIES REPLY", "at KEY STAGE", "idle".
const (
	tellUnit = "unit"
	tellAt   = "at"
	tellIdle = "idle"
)

// inHand is what a worker last said it has.
type inHand struct {
	reply string // of the unit
	tries int
	key   string // of the source
	stage Stage
}

func (h *inHand) hear(line string) {
	f := strings.Fields(line)
	switch {
	case len(f) == 3 && f[0] == tellUnit && strings.HasPrefix(f[2], "$JS.ACK."):
		n, _ := strconv.Atoi(f[1])
		*h = inHand{reply: f[2], tries: n}
	case len(f) == 3 && f[0] == tellAt && validKey.MatchString(f[1]):
		h.key, h.stage = f[1], Stage(f[2])
	case len(f) == 1 && f[0] == tellIdle:
		*h = inHand{}
	}
}

var validKey = regexp.MustCompile(`^[0-9a-f]{32}$`)

// giveBack what a worker had in hand when it died, and note over what.
func (s *supervisor) giveBack(ctx context.Context, h inHand, how string) {
	if h.reply == "" || ctx.Err() != nil {
		return
	}
	tries := h.tries
	if h.key != "" {
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		t, err := s.q.tried(within, h.key)
		if h.tries <= blind { // else the worker has counted it
			t.Tries++
		}
		if err == nil {
			err = s.q.note(within, h.key, try{t.Tries, h.stage, "its worker ended over it: " + how})
		}
		cancel()
		tries = t.Tries
		if err != nil {
			s.log.Warn("what a worker died over could not be noted", "error", err)
		}
	}
	// Where it is lost, the bus gives the unit out again later.
	_ = s.q.nc.Publish(h.reply, fmt.Appendf(nil, `-NAK {"delay": %d}`, backoff(tries)))
}

// ServeWorker is a worker process: it works until in ends, and says on out what it has in
// hand. It looks at in from the first: whoever started it may be killed before there is a
// queue to join, and it would wait for that without end.
func ServeWorker(ctx context.Context, connect func() (*nats.Conn, error), o WorkerOptions, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	nc, err := connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	q, err := JoinQueue(ctx, nc)
	if err != nil {
		return err
	}
	o.tell = func(word string, args ...any) {
		_, _ = io.WriteString(out, strings.TrimSuffix(fmt.Sprintln(append([]any{word}, args...)...), "\n")+"\n")
	}
	return NewWorker(q, o).Run(ctx)
}

// Work keeps worker processes running for a run elsewhere, until ctx ends.
func Work(ctx context.Context, nc *nats.Conn, workers int, command func() *exec.Cmd, log *slog.Logger) error {
	q, err := JoinQueue(ctx, nc)
	if err != nil {
		return err
	}
	s := &supervisor{q: q, n: workers, command: command, log: log}
	return s.run(ctx)
}
