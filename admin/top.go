package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rxedge/daemon/box"
	"rxedge/daemon/control"
)

const (
	leastInterval = 200 * time.Millisecond
	mostInterval  = time.Hour
)

func (a *app) top() *cobra.Command {
	var once bool
	var every time.Duration
	c := &cobra.Command{Use: "top", Short: "What the box does now, live",
		Long: `What the running rxedged does now: questions a second and how long they take, what is under
way, the cards, memory, the link to the centre. One screen, drawn anew each second; 'q' or
Ctrl-C ends it. Where output is no terminal it is printed once. With --json a line is
written at each interval, until Ctrl-C. Numbers are of the last interval; those of how long
answers took are of the last minute.`,
		Example: `  rxedge top
  rxedge top --once
  rxedge top --json --interval 10s >> load.jsonl`, Args: args(cobra.NoArgs)}
	c.Flags().BoolVar(&once, "once", false, "print it once")
	c.Flags().DurationVar(&every, "interval", time.Second, "time between two looks")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if every < leastInterval || every > mostInterval {
			return usage("--interval %v is outside %v to %v", every, leastInterval, mostInterval)
		}
		cfg, err := a.settings()
		if err != nil {
			return err
		}
		d, err := control.Dial(cfg.Data)
		if err != nil {
			return err
		}
		defer d.Close()
		in, inOK := a.in.(*os.File)
		out, outOK := a.out.(*os.File)
		switch screen := inOK && outOK && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd())); {
		case a.json && !once:
			return a.topLines(c.Context(), d, every)
		case once || a.json || !screen:
			return a.topOnce(c.Context(), d, every)
		default:
			return topScreen(c.Context(), d, every, in, out)
		}
	}
	return c
}

// liver is the daemon, as far as top needs it.
type liver interface {
	Live(context.Context) (box.Live, error)
}

// topOnce takes two looks and shows what was between them.
func (a *app) topOnce(ctx context.Context, d liver, every time.Duration) error {
	var w window
	for i := range 2 {
		if i > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(every):
			}
		}
		l, err := d.Live(ctx)
		if err != nil {
			return err
		}
		w.add(l)
	}
	if a.json {
		return a.line(w.figures())
	}
	for _, s := range w.figures().screen() {
		a.printf("%s\n", s)
	}
	return nil
}

// topLines writes a line of JSON at each interval; one that tells of an error where the
// daemon does not answer.
func (a *app) topLines(ctx context.Context, d liver, every time.Duration) error {
	var w window
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		l, err := d.Live(ctx)
		switch {
		case ctx.Err() != nil:
			return nil // that is how it ends
		case err != nil:
			err = a.line(map[string]any{"at": time.Now().UTC(), "error": err.Error()})
			w = window{}
		default:
			if w.add(l); !first && len(w.looks) > 1 {
				err = a.line(w.figures())
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// What a terminal understands.
const (
	otherScreen  = "\x1b[?1049h\x1b[?25l" // and no cursor
	formerScreen = "\x1b[?25h\x1b[?1049l"
	home         = "\x1b[H"
	restOfLine   = "\x1b[K"
	restOfScreen = "\x1b[J"
	holdDrawing  = "\x1b[?2026h" // a frame is shown whole, where the terminal can
	showDrawing  = "\x1b[?2026l"
)

// topScreen draws until somebody ends it, and leaves the terminal as it was.
func topScreen(ctx context.Context, d liver, every time.Duration, in, out *os.File) (err error) {
	was, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("taking the terminal: %w", err)
	}
	defer func() {
		_, _ = out.WriteString(formerScreen)
		if rerr := term.Restore(int(in.Fd()), was); err == nil {
			err = rerr
		}
	}()
	if _, err := out.WriteString(otherScreen); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // reads until the program ends: a read of a terminal can't be called off
		defer cancel()
		for key := make([]byte, 1); ; {
			if n, err := in.Read(key); err != nil || n == 0 {
				return
			}
			switch key[0] {
			case 'q', 'Q', 3, 4: // Ctrl-C and Ctrl-D come as they are
				return
			}
		}
	}()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	hung := make(chan os.Signal, 1)
	signal.Notify(hung, syscall.SIGHUP)
	defer signal.Stop(hung)

	var w window
	var lost error
	draw := func() error {
		lines := []string{"rxedged does not answer; waiting for it", "", "q ends this"}
		if len(w.looks) > 0 {
			lines = w.figures().screen()
		}
		if lost != nil {
			lines[0] = "NO ANSWER: " + lost.Error()
		}
		_, err := out.WriteString(frame(lines, out))
		return err
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for look := true; ; {
		if look {
			l, err := d.Live(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if lost = err; err == nil {
				w.add(l)
			}
		}
		if err := draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-hung:
			return nil
		case <-resized:
			look = false
		case <-tick.C:
			look = true
		}
	}
}

// frame is lines as they are drawn over the frame before, cut to the terminal.
func frame(lines []string, out *os.File) string {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width < 1 || height < 1 {
		width, height = 80, 24
	}
	s := holdDrawing + home
	for i, l := range lines[:min(height, len(lines))] {
		if i > 0 {
			s += "\r\n"
		}
		if r := []rune(printable(l)); len(r) > width {
			s += string(r[:width])
		} else {
			s += string(r) + restOfLine
		}
	}
	return s + restOfScreen + showDrawing
}
