package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// A ledger is what a process of sites put into spools, a line for each message, so that
// what the hub has can be counted against it. A message is in the spool first, so one
// that a kill fell upon may be at the hub and not in the ledger, never the reverse.
type ledger struct{ f *os.File }

// entry is one message.
type entry struct {
	Site int
	Kind string
	ID   string
	Day  time.Time // of a window
}

// openLedger goes on with a ledger. last is the latest day of each site that is in it.
func openLedger(path string) (l *ledger, last map[int]time.Time, err error) {
	last = map[int]time.Time{}
	err = readLedger(path, func(e entry) {
		if e.Day.After(last[e.Site]) {
			last[e.Site] = e.Day
		}
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	for s, d := range last {
		if d.IsZero() {
			delete(last, s)
		}
	}
	return &ledger{f}, last, nil
}

// note an entry; one write, so that a kill leaves whole lines.
func (l *ledger) note(e entry) error {
	day := "-"
	if !e.Day.IsZero() {
		day = e.Day.Format(time.DateOnly)
	}
	_, err := fmt.Fprintf(l.f, "%d %s %s %s\n", e.Site, e.Kind, e.ID, day)
	return err
}

func (l *ledger) close() { _ = l.f.Close() }

func readLedger(path string, do func(entry)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		w := strings.Fields(lines.Text())
		if len(w) != 4 {
			return fmt.Errorf("%s:%d: it is no line of a ledger", path, n)
		}
		e := entry{Kind: w[1], ID: w[2]}
		if e.Site, err = strconv.Atoi(w[0]); err == nil && w[3] != "-" {
			e.Day, err = time.Parse(time.DateOnly, w[3])
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		do(e)
	}
	return lines.Err()
}
