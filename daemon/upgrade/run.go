package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"syscall"
	"time"
)

// Probe says whether the running daemon is of a version, ready, and passes the
// self-test. It is asked again until it says yes or the time is over.
type Probe func(ctx context.Context, version string) error

// Await asks the probe until it says yes, and confirms the release; or until
// within is over, and gives it up. The error says why it was given up.
func (r *Root) Await(ctx context.Context, version string, within time.Duration, probe Probe) error {
	try, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := await(try, version, probe)
	switch {
	case err == nil:
		return r.Confirm(version)
	case ctx.Err() != nil:
		return ctx.Err() // stopped: it stays pending
	}
	err = fmt.Errorf("it was not ready within %v: %w", within, err)
	return errors.Join(err, r.Fail(version, err.Error()))
}

func await(ctx context.Context, version string, probe Probe) error {
	var last error // before the time was over
	for {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := probe(try, version)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() == nil || last == nil:
			last = err
		}
		t := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return last
		case <-t.C:
		}
	}
}

// RunOptions of Run.
type RunOptions struct {
	Args   []string // of rxedged
	Within time.Duration
	Probe  Probe
	Out    io.Writer // of rxedged, both streams
	Log    *slog.Logger
}

// stopWithin is how long a daemon has to end by itself.
const stopWithin = 20 * time.Second

// Run starts what Guard says and stays its parent, where no service manager
// does: a release that does not come up is stopped, given up, and the one that
// was confirmed is started at once. It ends with ctx, and where a confirmed
// daemon ends, with what that ended with.
func (r *Root) Run(ctx context.Context, opt RunOptions) error {
	if opt.Within == 0 {
		opt.Within = Within
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	for {
		s, err := r.Guard()
		if err != nil {
			return err
		}
		if s.FellBack != "" {
			opt.Log.Error("a release was given up", "why", s.FellBack, "now", s.Version)
		}
		again, err := r.once(ctx, s, opt)
		switch {
		case ctx.Err() != nil:
			return nil
		case !again:
			return err
		}
		opt.Log.Error("a release was given up", "version", s.Version, "why", err)
	}
}

// once starts a release. again: it was given up, and the next is to be started.
func (r *Root) once(ctx context.Context, s Start, opt RunOptions) (again bool, err error) {
	cmd := exec.Command(r.Program(s), opt.Args...)
	cmd.Stdout, cmd.Stderr = opt.Out, opt.Out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		err = fmt.Errorf("it can't be started: %w", err)
		if !s.Pending {
			return false, err
		}
		if ferr := r.Fail(s.Version, err.Error()); ferr != nil {
			return false, errors.Join(err, ferr)
		}
		return true, err
	}
	opt.Log.Info("started", "version", s.Version, "pending", s.Pending)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(stopWithin):
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	if s.Pending {
		watch, unwatch := context.WithCancel(ctx)
		came := make(chan error, 1)
		go func() { came <- r.Await(watch, s.Version, opt.Within, opt.Probe) }()
		select {
		case err := <-came:
			unwatch()
			if err != nil {
				stop()
				return ctx.Err() == nil && !errors.Is(err, ErrNothing), err
			}
			opt.Log.Info("confirmed", "version", s.Version)
		case err := <-ended:
			unwatch()
			if cerr := <-came; cerr == nil {
				return false, err // it came up, and ended in the same moment
			}
			if ctx.Err() != nil {
				return false, nil
			}
			err = fmt.Errorf("it ended before it was ready: %w", exited(err))
			if ferr := r.Fail(s.Version, err.Error()); ferr != nil {
				return false, errors.Join(err, ferr)
			}
			return true, err
		}
	}
	select {
	case <-ctx.Done():
		stop()
		return false, nil
	case err := <-ended:
		return false, err
	}
}

func exited(err error) error {
	if err == nil {
		return errors.New("exit code 0")
	}
	return err
}
