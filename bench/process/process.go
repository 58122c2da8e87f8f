// Package process runs a rxedged as a process of its own, for what is measured on a
// whole box, and reads what it and its engines take from the machine.
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Daemon is a rxedged that runs.
type Daemon struct {
	URL  string // of its HTTP interface, http://127.0.0.1:port
	Data string
	PID  int

	cmd    *exec.Cmd
	ended  chan struct{}
	result error
}

// Options of Start; the zero value will do.
type Options struct {
	Listen string    // "": a free port of loopback
	Log    io.Writer // its standard error; nil: the caller's
	Env    []string  // beside the caller's
}

// Start runs bin over the folder data and returns once it says where it answers.
func Start(ctx context.Context, bin, data string, o Options) (*Daemon, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	d := &Daemon{Data: data, ended: make(chan struct{}), cmd: exec.Command(bin, "--data", data, "--listen", o.Listen)}
	d.cmd.Env = append(os.Environ(), o.Env...)
	d.cmd.Stderr = o.Log
	// An interrupt from the terminal is the caller's, who stops it in good order.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", bin, err)
	}
	d.PID = d.cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { _ = d.cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, addr, ok := strings.Cut(lines.Text(), "answers on "); ok {
			d.URL = strings.TrimSpace(addr)
			go func() {
				_, _ = io.Copy(io.Discard, out)
				d.result = d.cmd.Wait()
				close(d.ended)
			}()
			return d, nil
		}
	}
	return nil, errors.Join(errors.New("rxedged ended before it answered"), d.cmd.Wait(), ctx.Err())
}

// Ended is closed when the process has ended, of itself or not.
func (d *Daemon) Ended() <-chan struct{} { return d.ended }

// Stop asks it to end, and waits until it has.
func (d *Daemon) Stop() error { return d.end(syscall.SIGTERM) }

// Kill ends it as a power cut would.
func (d *Daemon) Kill() { _ = d.end(syscall.SIGKILL) }

func (d *Daemon) end(with syscall.Signal) error {
	_ = d.cmd.Process.Signal(with)
	select {
	case <-d.ended:
	case <-time.After(time.Minute):
		_ = d.cmd.Process.Kill()
		<-d.ended
		return errors.New("rxedged did not end within a minute and was killed")
	}
	return d.result
}

// Build makes the program of the package into dir and returns its path. Under the race
// detector it has that too: what the tests have compiled is linked then, and nothing is
// compiled a second time.
func Build(ctx context.Context, dir, pkg, name string, flags ...string) (string, error) {
	bin := filepath.Join(dir, name)
	args := []string{"build", "-trimpath"}
	if underRace {
		args = []string{"build", "-race"}
	}
	args = append(append(args, "-o", bin), flags...)
	c := exec.CommandContext(ctx, "go", append(args, pkg)...)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return bin, nil
}
