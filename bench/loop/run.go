package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"rxedge/centre/trainer"
	"rxedge/sync/central"
)

// loop is one run.
type loop struct {
	began        time.Time
	dir, centre  string
	temporary    bool
	tool, daemon string
	folder       *central.Folder
	sites        []*site
	others       []*other
	id           string // of the matter of training
	plan         string // of a trial
	toKill       bool   // a node of the hub, as soon as a wave is open
	killed       *other
	mu           sync.Mutex
	transcript   *os.File
}

// other is a command that runs beside.
type other struct {
	cmd   *exec.Cmd
	name  string
	out   *buffer
	ended chan error
}

// buffer of what a command prints.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (l *loop) since() time.Duration { return time.Since(l.began).Round(time.Second) }

// say a line to the transcript and here.
func (l *loop) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := io.Writer(os.Stdout)
	if l.transcript != nil {
		w = io.MultiWriter(os.Stdout, l.transcript)
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// short is s with paths cut to the run's folder.
func (l *loop) short(s string) string {
	return strings.ReplaceAll(s, l.dir+string(filepath.Separator), "")
}

// output of something, of most lines.
func (l *loop) output(s string, most int) {
	s = l.short(strings.TrimRight(s, "\n"))
	lines := strings.Split(s, "\n")
	cut := ""
	if len(lines) > most {
		cut = fmt.Sprintf("\n… %d lines more", len(lines)-most)
		lines = lines[:most]
	}
	for i, x := range lines {
		if r := []rune(x); len(r) > 220 {
			lines[i] = string(r[:220]) + " …"
		}
	}
	l.say("\n```text\n%s%s\n```\n", strings.Join(lines, "\n"), cut)
}

// rxedge as an admin types it, with what it printed, and the exit code that it has to end with.
func (l *loop) rxedge(ctx context.Context, want int, given ...string) (string, error) {
	return l.rxedgeAt(ctx, "", want, given...)
}

// steps are commands one after the other, each of which has to end well.
func (l *loop) steps(ctx context.Context, all ...[]string) error {
	for _, given := range all {
		if _, err := l.rxedge(ctx, 0, given...); err != nil {
			return err
		}
	}
	return nil
}

// killNode of the hub, the first that was started, as a power cut would.
func (l *loop) killNode() error {
	l.toKill, l.killed = false, l.others[0]
	if err := l.killed.cmd.Process.Kill(); err != nil {
		return err
	}
	l.say("- `rxedge %s` is killed: two of the hub's three nodes are left.", l.short(l.killed.name))
	return nil
}

// nodeBack starts the node that was killed again.
func (l *loop) nodeBack(ctx context.Context) error {
	if l.killed == nil {
		return nil
	}
	return l.background(ctx, "listens on", l.killed.cmd.Args[1:]...)
}

func (l *loop) rxedgeAt(ctx context.Context, data string, want int, given ...string) (string, error) {
	began := time.Now()
	out, code, err := l.command(ctx, data, given...)
	shown := given
	if data != "" {
		shown = append([]string{"--data", filepath.Base(data)}, given...)
	}
	l.output(fmt.Sprintf("$ rxedge %s\n%s", quoted(shown), out), 40)
	if took := time.Since(began); took > 5*time.Second {
		l.say("(It took %s.)", took.Round(time.Second))
	}
	if err != nil {
		return out, err
	}
	if code != want {
		return out, fmt.Errorf("rxedge %s ended with %d, not %d", quoted(given), code, want)
	}
	return out, nil
}

func quoted(given []string) string {
	var out []string
	for _, g := range given {
		if strings.ContainsAny(g, " %") {
			g = "'" + g + "'"
		}
		out = append(out, g)
	}
	return strings.Join(out, " ")
}

// quiet is a command that the transcript does not show.
func (l *loop) quiet(ctx context.Context, given ...string) (string, error) {
	return l.quietAt(ctx, "", given...)
}

func (l *loop) quietAt(ctx context.Context, data string, given ...string) (string, error) {
	out, code, err := l.command(ctx, data, given...)
	if err == nil && code != 0 {
		err = fmt.Errorf("rxedge %s ended with %d: %s", quoted(given), code, out)
	}
	return out, err
}

func (l *loop) command(ctx context.Context, data string, given ...string) (out string, code int, err error) {
	if data != "" {
		given = append([]string{"--data", data}, given...)
	}
	c := exec.CommandContext(ctx, l.tool, given...)
	c.Env = append(os.Environ(), "RXEDGE_CENTRAL="+l.centre)
	b, err := c.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(b), exit.ExitCode(), nil
	}
	return string(b), 0, err
}

// background runs a command beside until the end, and returns when it has printed ready.
func (l *loop) background(ctx context.Context, ready string, given ...string) error {
	o := &other{cmd: exec.Command(l.tool, given...), name: quoted(given), out: &buffer{}, ended: make(chan error, 1)}
	o.cmd.Env = append(os.Environ(), "RXEDGE_CENTRAL="+l.centre)
	o.cmd.Stdout, o.cmd.Stderr = o.out, o.out
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := o.cmd.Start(); err != nil {
		return err
	}
	l.others = append(l.others, o)
	go func() { o.ended <- o.cmd.Wait() }()
	for end := time.Now().Add(3 * time.Minute); ready != "" && !strings.Contains(o.out.String(), ready); {
		select {
		case err := <-o.ended:
			o.ended <- err
			return fmt.Errorf("rxedge %s ended: %v: %s", o.name, err, o.out)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("rxedge %s does not say %q: %s", o.name, ready, o.out)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	l.output("$ rxedge "+o.name+" &\n"+o.out.String(), 10)
	return nil
}

// state waits until the matter of training has come to a state.
func (l *loop) state(ctx context.Context, want string, most time.Duration) error {
	began := time.Now()
	for {
		all, err := trainer.Matters(l.folder)
		if err != nil {
			return err
		}
		for _, m := range all {
			if m.ID != l.id {
				continue
			}
			for _, s := range m.Steps {
				if strings.HasSuffix(string(s.Action), "."+want) {
					l.say("%s is %s, %s after it was waited for.", l.id, want, time.Since(began).Round(time.Second))
					return nil
				}
			}
			if m.Ended() {
				return fmt.Errorf("%s is %s", l.id, m.State)
			}
		}
		if time.Since(began) > most {
			return fmt.Errorf("%s is not %s after %s", l.id, want, most)
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// end everything that runs, and show what the commands beside have printed.
func (l *loop) end() {
	for _, s := range l.sites {
		if s.d != nil {
			_ = s.d.Stop()
		}
	}
	for _, o := range slices.Backward(l.others) { // the hub's nodes last
		_ = o.cmd.Process.Signal(os.Interrupt)
		select {
		case <-o.ended:
		case <-time.After(20 * time.Second):
			_ = o.cmd.Process.Kill()
		}
	}
	for _, o := range l.others {
		if strings.Contains(o.name, " run") {
			l.say("\nWhat `rxedge %s` printed meanwhile:", l.short(o.name))
			l.output(o.out.String(), 60)
		}
	}
}

func (l *loop) close() {
	if l.transcript != nil {
		_ = l.transcript.Close()
	}
	if l.temporary {
		_ = os.RemoveAll(l.dir)
	}
}

// ports of loopback that are free.
func ports(n int) (out []string, err error) {
	for range n {
		p, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer p.Close()
		out = append(out, p.Addr().String())
	}
	return out, nil
}

// copyLines of a file, the first most of them (0: all), with one text in the place of
// another, which has to be there.
func copyLines(from, to string, most int, old, now string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if lines := strings.SplitAfter(string(b), "\n"); most > 0 && most < len(lines) {
		b = []byte(strings.Join(lines[:most], ""))
	}
	if old != "" {
		if !bytes.Contains(b, []byte(old)) {
			return fmt.Errorf("%s does not say %q", from, old)
		}
		b = bytes.ReplaceAll(b, []byte(old), []byte(now))
	}
	return os.WriteFile(to, b, 0o600)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func errFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
