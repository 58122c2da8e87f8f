package llama

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"rxedge/inference"
)

// child is one run of the engine.
type child struct {
	o      Options
	header header
	cmd    *exec.Cmd
	key    string
	client *http.Client
	log    *engineLog

	// gone ends when the process has, or when it is given up for hung; its cause
	// is ErrEngineLost or ErrEngineHung.
	gone   context.Context
	end    context.CancelCauseFunc
	reaped chan struct{} // closed when the process has ended
	exited error         // what Wait said; read after reaped
	pulse  pulse
	hung   atomic.Pointer[string] // why it was given up

	// suspect is until when (nanoseconds from born) no new request is given to it: its
	// connections broke, and a moment later it may be known to have ended.
	suspect atomic.Int64

	limit      int // tokens of one request
	trained    int
	vocabulary int
	dimension  int
}

// launch starts the engine. The calling goroutine must be locked to its thread
// and stay so until the child is gone; see childAttributes.
func launch(o Options, h header, socket string, log *slog.Logger) (*child, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	secret := make([]byte, 24)
	rand.Read(secret) // never fails
	c := &child{o: o, header: h, key: hex.EncodeToString(secret), log: &engineLog{}, reaped: make(chan struct{})}
	c.pulse.works = map[*work]struct{}{}
	c.cmd = exec.Command(o.Engine.Binary, arguments(o, socket)...)
	c.cmd.Dir = "/"
	c.cmd.Env = append(environment(), "LLAMA_API_KEY="+c.key)
	c.cmd.SysProcAttr = childAttributes()
	// A pipe of our own: Wait must not depend on the reading of it.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdout, c.cmd.Stderr = w, w
	if err := c.cmd.Start(); err != nil {
		r.Close()
		w.Close()
		return nil, err
	}
	w.Close()
	c.log.to = log.With(slog.Int("pid", c.cmd.Process.Pid))

	// One connection for each request: it is a local socket, and a kept
	// connection that the engine has closed in the meantime would look as if
	// the engine were lost.
	c.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives:  true,
		DisableCompression: true,
	}}

	c.gone, c.end = context.WithCancelCause(context.Background())
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		c.log.drain(r)
	}()
	go func() {
		c.exited = c.cmd.Wait()
		c.pulse.close()
		// What the engine said last is in the pipe; nobody else holds its end.
		r.SetReadDeadline(time.Now().Add(time.Second))
		<-drained
		r.Close()
		close(c.reaped)
		c.end(inference.ErrEngineLost)
	}()
	return c, nil
}

// environment is what the child may see of ours: nothing that sets llama.cpp's
// own options (LLAMA_*), of which some write prompts to disk.
func environment() []string {
	env := []string{
		// Where a debugger is installed, ggml_abort would have it write a trace
		// first, for seconds.
		"GGML_NO_BACKTRACE=1",
		// glibc asks the kernel for huge pages under weights and cache: a token,
		// for which all weights are read, is written 5 to 12 % sooner (x86-64, 1B,
		// Q4_0). Where the kernel has none to give, nothing changes.
		"GLIBC_TUNABLES=glibc.malloc.hugetlb=1",
	}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case name == "PATH", name == "HOME", name == "TMPDIR", name == "LD_LIBRARY_PATH",
			strings.HasPrefix(name, "CUDA_"), strings.HasPrefix(name, "NVIDIA_"),
			strings.HasPrefix(name, "GGML_"), strings.HasPrefix(name, "VK_"):
			env = append(env, kv)
		}
	}
	return env
}

// hang gives the child up: its callers are told at once, and it is killed.
func (c *child) hang(why string) {
	c.pulse.close()
	c.hung.CompareAndSwap(nil, &why)
	c.end(inference.ErrEngineHung)
	c.kill()
}

func (c *child) kill() {
	select {
	case <-c.reaped:
	default:
		syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// stop ends the child: it is asked to, and killed after the grace. False: not
// even that ended it, because the kernel holds it in a driver or on a disk; it
// is left to end when it can.
func (c *child) stop(grace time.Duration) bool {
	select {
	case <-c.reaped:
		return true
	default:
	}
	if grace > 0 {
		c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.reaped:
			return true
		case <-time.After(grace):
		}
	}
	c.kill()
	select {
	case <-c.reaped:
		return true
	case <-time.After(killGrace):
		c.end(inference.ErrEngineLost)
		return false
	}
}

// ending says how the child ended and, where it said so, why.
func (c *child) ending() string {
	if why := c.hung.Load(); why != nil {
		return *why + " and was ended"
	}
	how := "it ended by itself"
	select {
	case <-c.reaped:
	default:
		return "it cannot be ended, even by force; a driver or a disk holds it"
	}
	var exit *exec.ExitError
	if errors.As(c.exited, &exit) {
		how = exit.String()
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			how = fmt.Sprintf("it was ended by signal %d (%s)", ws.Signal(), ws.Signal())
		}
	} else if c.exited != nil {
		how = c.exited.Error()
	}
	if why := c.log.reason(); why != "" {
		return why + " (" + how + ")"
	}
	return how
}

// signal is the one that ended the child; 0: none.
func (c *child) signal() syscall.Signal {
	var exit *exec.ExitError
	if errors.As(c.exited, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return ws.Signal()
		}
	}
	return 0
}

// born is what suspect counts from: the wall's clock may be set.
var born = time.Now()
