package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rxedge/daemon/config"
	"rxedge/daemon/logfile"
)

const unitName = "rxedged"

// logQuery is what of the log is asked for.
type logQuery struct {
	since  time.Time
	level  string
	lines  int
	follow bool
	unit   string
}

func (a *app) log() *cobra.Command {
	var q logQuery
	var since string
	c := &cobra.Command{Use: "log", Short: "What the daemon has logged, in plain words",
		Long: `What the daemon has logged, with what warnings and errors mean and what to do. It is read
from the journal where the box is installed, and else from DIR/logs, where rxedged keeps the
latest of it (log.keep_mb). The log holds no question and no answer.`,
		Example: `  rxedge log --since 2h --level warn
  rxedge log --follow
  rxedge log --since 2026-03-01 --json`, Args: args(cobra.NoArgs)}
	c.Flags().StringVar(&since, "since", "", "from `when` on: 2h, 30m, 3d, 2026-03-01, '2026-03-01 14:00'")
	c.Flags().StringVar(&q.level, "level", "info", "least `level`: debug, info, warn, error")
	c.Flags().IntVarP(&q.lines, "lines", "n", 200, "the latest `N` lines, 0: all; where --since is not given")
	c.Flags().BoolVarP(&q.follow, "follow", "f", false, "go on with what comes, until Ctrl-C")
	c.Flags().StringVar(&q.unit, "unit", "", "read the journal of this `unit` of systemd")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		if _, ok := rank[q.level]; !ok {
			return usage("--level %q is none of debug, info, warn, error", q.level)
		}
		if since != "" {
			if q.since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
			if !c.Flags().Changed("lines") {
				q.lines = 0
			}
		}
		if q.lines < 0 {
			return usage("--lines %d is less than 0", q.lines)
		}
		show := a.logShower()
		err = a.readLog(c.Context(), q, show)
		if q.follow && c.Context().Err() != nil { // that is how it ends
			return nil
		}
		return err
	}
	return c
}

// parseSince reads a span back from now, a day, or a moment in local time.
func parseSince(s string, now time.Time) (time.Time, error) {
	var days float64
	if n, err := fmt.Sscanf(s, "%fd", &days); n == 1 && err == nil && strings.HasSuffix(s, "d") && days >= 0 && days < 36500 {
		return now.Add(-time.Duration(days * 24 * float64(time.Hour))), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, form := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("--since %q is neither a span such as 2h or 3d nor a moment such as 2026-03-01 or '2026-03-01 14:00'", s)
}

// logShower prints lines; what one means is said the first time.
func (a *app) logShower() func(logLine) error {
	told := map[string]bool{}
	return func(l logLine) error {
		if a.json {
			return a.line(l)
		}
		at := "                   "
		if !l.Time.IsZero() {
			at = l.Time.Local().Format(time.DateTime)
		}
		a.printf("%s  %-5s  %s", at, l.Level, printable(l.Message))
		for _, x := range l.Attrs {
			v := printable(x.Value)
			if v == "" || strings.ContainsAny(v, " =") {
				v = `"` + v + `"`
			}
			a.printf("  %s=%s", printable(x.Key), v)
		}
		a.printf("\n")
		if l.Means != "" && !told[l.Message] {
			told[l.Message] = true
			a.printf("%s\n%s\n", wrap(l.Means, "        ", lineWidth), wrap("→ "+l.Do, "        ", lineWidth))
		}
		return nil
	}
}

// printable keeps what a log holds from speaking to the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
}

// readLog hands the lines that are asked for to show, in order.
func (a *app) readLog(ctx context.Context, q logQuery, show func(logLine) error) error {
	cfg, err := a.settings()
	if err != nil { // the log may say why
		if cfg.Data = a.data; cfg.Data == "" {
			cfg.Data = config.Default().Data
		}
	}
	file := filepath.Join(cfg.Data, logfile.Folder, logfile.Name)
	_, ferr := os.Stat(file)
	installed := filepath.Clean(cfg.Data) == config.InstalledData
	if q.unit == "" && installed && errors.Is(ferr, fs.ErrNotExist) {
		q.unit = unitName
	}
	keep := newTail(q, show)
	switch {
	case q.unit != "":
		keep.live = keep.live || q.follow // the journal counts the lines itself
		return keep.end(journal(ctx, q, keep.line))
	case errors.Is(ferr, fs.ErrNotExist):
		return fmt.Errorf("%w: no log is kept in %s: rxedged has not run there, or log.keep_mb is 0, or the journal has it ('rxedge log --unit NAME')", errNotFound, filepath.Dir(file))
	case ferr != nil:
		return ferr
	}
	for _, path := range []string{filepath.Join(filepath.Dir(file), logfile.Before), file} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if path == file && q.follow {
			defer f.Close()
			return followFile(ctx, f, path, keep)
		}
		err = eachLine(f, func(s string) error { return keep.line(parseLog(s)) })
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return keep.end(nil)
}

// tail holds the latest lines back until all are read.
type tail struct {
	q    logQuery
	show func(logLine) error
	held []logLine
	live bool // what comes is shown at once
}

func newTail(q logQuery, show func(logLine) error) *tail {
	return &tail{q: q, show: show, live: q.lines == 0}
}

func (t *tail) line(l logLine) error {
	if rank[l.Level] < rank[t.q.level] || !l.Time.IsZero() && l.Time.Before(t.q.since) {
		return nil
	}
	if t.live {
		return t.show(l)
	}
	if t.held = append(t.held, l); len(t.held) >= 2*t.q.lines {
		t.held = append(t.held[:0], t.held[len(t.held)-t.q.lines:]...)
	}
	return nil
}

// end shows what was held back, also where reading ended with an error.
func (t *tail) end(err error) error {
	for _, l := range t.held[max(0, len(t.held)-t.q.lines):] {
		err = errors.Join(err, t.show(l))
	}
	t.held, t.live = nil, true
	return err
}

// followEvery is how often a file is looked at.
const followEvery = 200 * time.Millisecond

// followFile shows what f has and what comes, across the change to a new file.
func followFile(ctx context.Context, f *os.File, path string, t *tail) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var part []byte
	read := func() error {
		b, err := io.ReadAll(f)
		part = append(part, b...)
		for err == nil {
			i := bytes.IndexByte(part, '\n')
			if i < 0 {
				break
			}
			if i > 0 {
				err = t.line(parseLog(string(part[:i])))
			}
			part = part[i+1:]
		}
		return err
	}
	if err := read(); err != nil {
		return err
	}
	if err := t.end(nil); err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		is, err := os.Stat(path)
		was, werr := f.Stat()
		if err := read(); err != nil {
			return err
		}
		if err == nil && werr == nil && !os.SameFile(is, was) {
			next, err := os.Open(path)
			if err != nil {
				continue
			}
			if err := read(); err != nil { // what came between the two looks
				_ = next.Close()
				return err
			}
			_ = f.Close()
			f, part = next, nil
		}
	}
}

// journal reads the journal of a unit through its own program.
func journal(ctx context.Context, q logQuery, line func(logLine) error) error {
	program, err := exec.LookPath("journalctl")
	if err != nil {
		return fmt.Errorf("%w: journalctl is not installed, and no log is kept in the data folder", errNotFound)
	}
	args := []string{"--unit", q.unit, "--output", "json", "--no-pager", "--quiet", "--all"}
	if !q.since.IsZero() {
		args = append(args, "--since", "@"+fmt.Sprint(q.since.Unix()))
	}
	if q.follow {
		args = append(args, "--follow")
	}
	if q.follow || q.level == "debug" || q.level == "info" {
		if q.lines > 0 {
			args = append(args, "--lines", fmt.Sprint(q.lines))
		} else {
			args = append(args, "--lines", "all")
		}
	}
	c := exec.CommandContext(ctx, program, args...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 2 * time.Second
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	err = eachLine(out, func(s string) error {
		l, err := parseJournal(s)
		if err != nil {
			return err
		}
		return line(l)
	})
	if werr := c.Wait(); err == nil && werr != nil && ctx.Err() == nil {
		err = fmt.Errorf("journalctl: %w: %s; does your user read the journal? With sudo it does", werr, strings.TrimSpace(said.String()))
	}
	return errors.Join(err, ctx.Err())
}
