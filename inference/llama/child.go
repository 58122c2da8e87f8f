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
	"strconv"
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

	gone   context.Context // ends when the process has, with ErrEngineLost as its cause
	exited error           // what Wait said; read after gone

	// suspect is until when (Unix ns) no new request is given to it: its
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
	c := &child{o: o, header: h, key: hex.EncodeToString(secret), log: &engineLog{}}
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

	gone, end := context.WithCancelCause(context.Background())
	c.gone = gone
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		c.log.drain(r)
	}()
	go func() {
		c.exited = c.cmd.Wait()
		// What the engine said last is in the pipe; nobody else holds its end.
		r.SetReadDeadline(time.Now().Add(time.Second))
		<-drained
		r.Close()
		end(inference.ErrEngineLost)
	}()
	return c, nil
}

func arguments(o Options, socket string) []string {
	args := []string{
		"--model", o.Model,
		"--host", socket,
		"--offline", "--no-ui", "--no-slots",
		"--log-colors", "off", "--no-log-timestamps", "--log-verbosity", "3",
		"--parallel", strconv.Itoa(o.Slots), "--no-kv-unified",
		"--ctx-size", strconv.Itoa(o.Context * o.Slots),
		"--no-context-shift", // a text that does not fit is an error, never cut
		"--cache-ram", "0",   // the slots' own cache is enough; this one may take 8 GB
		"--no-warmup", // the probe does it
	}
	if o.Threads > 0 {
		args = append(args, "--threads", strconv.Itoa(o.Threads))
	}
	switch o.Kind {
	case Embed:
		// An encoder reads a text in one piece, and more tokens than a batch
		// holds abort the process.
		n := strconv.Itoa(o.Context)
		args = append(args, "--embeddings", "--pooling", "mean", "--batch-size", n, "--ubatch-size", n)
	default:
		args = append(args, "--jinja", "--reasoning", "off")
	}
	return args
}

// environment is what the child may see of ours: nothing that sets llama.cpp's
// own options (LLAMA_ARG_*), of which some write prompts to disk.
func environment() []string {
	var env []string
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

// stop ends the child: it is asked to, and killed after the grace.
func (c *child) stop(grace time.Duration) {
	pid := c.cmd.Process.Pid
	if c.gone.Err() == nil {
		c.cmd.Process.Signal(syscall.SIGTERM)
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-c.gone.Done():
			return
		case <-t.C:
		}
		syscall.Kill(-pid, syscall.SIGKILL)
	}
	<-c.gone.Done()
}

// ending says how the child ended and, where it said so, why.
func (c *child) ending() string {
	how := "it ended by itself"
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
