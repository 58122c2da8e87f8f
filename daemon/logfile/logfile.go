// Package logfile keeps the latest of the daemon's log in the data folder, where no
// journal takes it: DIR/logs/rxedged.log and the one before it, rxedged.log.1, as lines of
// JSON. What is logged before the folder is this process's own waits in memory. The log
// is never in the way: what can't be written is lost, and counted.
package logfile

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Folder of the log in the data folder, Name of the file in it, and Before of the one
// that it was turned into when it had grown.
const (
	Folder = "logs"
	Name   = "rxedged.log"
	Before = Name + ".1"
)

// mostWaiting is what is kept in memory until Keep, in bytes.
const mostWaiting = 1 << 20

// Handler hands records to another handler, and keeps them.
type Handler struct {
	slog.Handler
	file *file
	only slog.Handler // the file alone
}

// New hands records to h and keeps them in at most max bytes, from level on.
func New(h slog.Handler, level slog.Leveler, max int64) *Handler {
	f := &file{max: max}
	only := slog.NewJSONHandler(f, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // 85ms, and no number of nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}})
	return &Handler{slog.NewMultiHandler(h, only), f, only}
}

// Keep writes from now on into the data folder, what has waited first. Whoever calls it
// holds the folder.
func (h *Handler) Keep(data string) error {
	dir := filepath.Join(data, Folder)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("keeping a log: %w", err)
	}
	h.file.mu.Lock()
	defer h.file.mu.Unlock()
	h.file.dir = dir
	if err := h.file.open(); err != nil {
		return fmt.Errorf("keeping a log: %w", err)
	}
	for _, b := range h.file.waiting {
		_, _ = h.file.put(b)
	}
	h.file.waiting, h.file.held = nil, 0
	return nil
}

// Kept is a logger into the file alone, for what has been told elsewhere.
func (h *Handler) Kept() *slog.Logger { return slog.New(h.only) }

// Close the file; what is logged afterwards is not kept.
func (h *Handler) Close() error {
	h.file.mu.Lock()
	defer h.file.mu.Unlock()
	h.file.closed, h.file.waiting = true, nil
	if h.file.f == nil {
		return nil
	}
	err := h.file.f.Close()
	h.file.f = nil
	return err
}

// file is where lines go. Each Write is one line.
type file struct {
	max int64

	mu      sync.Mutex
	dir     string // "": not known yet
	f       *os.File
	size    int64
	waiting [][]byte
	held    int
	lost    int // lines that could not be written
	closed  bool
}

var _ io.Writer = (*file)(nil)

func (l *file) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
	case l.dir == "":
		if l.held += len(b); l.held <= mostWaiting {
			l.waiting = append(l.waiting, append([]byte{}, b...))
		}
	default:
		return l.put(b)
	}
	return len(b), nil
}

// put a line, mu held. It never fails: nobody is to wait or end for a log.
func (l *file) put(b []byte) (int, error) {
	if l.f == nil || l.size > 0 && l.size+int64(len(b)) > l.max/2 {
		if l.f != nil {
			_ = l.f.Close()
			l.f = nil
			if err := os.Rename(filepath.Join(l.dir, Name), filepath.Join(l.dir, Before)); err != nil && !errors.Is(err, os.ErrNotExist) {
				l.lost++
				return len(b), nil
			}
		}
		if err := l.open(); err != nil {
			l.lost++
			return len(b), nil
		}
	}
	if l.lost > 0 {
		b = append([]byte(fmt.Sprintf("{\"level\":\"WARN\",\"msg\":\"lines of the log were lost\",\"lines\":%d}\n", l.lost)), b...)
	}
	n, err := l.f.Write(b)
	if l.size += int64(n); err != nil {
		l.lost++
		// A line that was cut off must not run into the next.
		_ = l.f.Truncate(l.size - int64(n))
		l.size -= int64(n)
	} else {
		l.lost = 0
	}
	return len(b), nil
}

// open the file at its end, mu held.
func (l *file) open() error {
	path := filepath.Join(l.dir, Name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	l.f, l.size = f, info.Size()
	// A power cut may have left half a line.
	if l.size > 0 {
		last := make([]byte, 1)
		if r, err := os.Open(path); err == nil {
			if _, err := r.ReadAt(last, l.size-1); err == nil && last[0] != '\n' {
				n, _ := f.WriteString("\n")
				l.size += int64(n)
			}
			_ = r.Close()
		}
	}
	return nil
}

// Journalled says that a file is the journal's: systemd names its device and inode in
// JOURNAL_STREAM.
func Journalled(f *os.File) bool {
	dev, ino, ok := strings.Cut(os.Getenv("JOURNAL_STREAM"), ":")
	info, err := f.Stat()
	if !ok || err != nil {
		return false
	}
	st, isSys := info.Sys().(*syscall.Stat_t)
	return isSys && dev == strconv.FormatUint(uint64(st.Dev), 10) && ino == strconv.FormatUint(st.Ino, 10)
}
