package main

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/daemon/logfile"
)

// Whoever logs a warning or an error says in wordings what it means and what to do.
func TestEveryMessageIsExplained(t *testing.T) {
	t.Parallel()
	found := map[string]string{}
	for _, room := range []string{"daemon", "inference", "index", "sync"} {
		err := filepath.WalkDir(filepath.Join("..", room), func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && (e.Name() == "central" || e.Name() == "synctest" || e.Name() == "testdata") { // what the centre logs is the centre's
				return fs.SkipDir
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				c, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				s, ok := c.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				arg := map[string]int{"Warn": 0, "Error": 0, "WarnContext": 1, "ErrorContext": 1}
				i, ok := arg[s.Sel.Name]
				if !ok || i >= len(c.Args) {
					return true
				}
				if l, ok := c.Args[i].(*ast.BasicLit); ok && l.Kind == token.STRING {
					m, _ := strconv.Unquote(l.Value)
					found[m] = path
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 80 {
		t.Errorf("only %d messages were found", len(found))
	}
	for m, path := range found {
		if w := wordings[m]; w.means == "" || w.do == "" {
			t.Errorf("%s logs %q: say in admin/logwords.go what it means and what to do", path, m)
		}
	}
	for m := range wordings {
		if found[m] == "" && m != "lines of the log were lost" {
			t.Errorf("nobody logs %q any more", m)
		}
	}
}

func TestParseLog(t *testing.T) {
	t.Parallel()
	// What slog writes is read as it was meant, in both forms.
	for _, form := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(form(&b)).Warn("the last stop was not clean", "a", `two words and "quotes"`, "b", 3, "e", errors.New("x=y"), "odd key", "ü\n")
		l := parseLog(b.String())
		want := []logAttr{{"a", `two words and "quotes"`}, {"b", "3"}, {"e", "x=y"}, {"odd key", "ü\n"}}
		if l.Message != "the last stop was not clean" || l.Level != "warn" || time.Since(l.Time) > time.Minute || l.Means == "" || l.Do == "" || len(l.Attrs) != 4 {
			t.Errorf("%q: %+v", b.String(), l)
		}
		for i, x := range l.Attrs {
			if x != want[i] {
				t.Errorf("%+v, want %+v", x, want[i])
			}
		}
	}
	for line, want := range map[string]logLine{
		"rxedged: listening on 127.0.0.1:1: in use": {Level: "error", Message: "rxedged: listening on 127.0.0.1:1: in use"},
		"time=x":  {Level: "info", Message: "time=x"},
		`{"a":1}`: {Level: "info", Message: `{"a":1}`},
	} {
		if got := parseLog(line); got.Level != want.Level || got.Message != want.Message {
			t.Errorf("%q: %+v", line, got)
		}
	}
	l, err := parseJournal(`{"MESSAGE":[104,105,255],"__REALTIME_TIMESTAMP":"1700000000000000","PRIORITY":"3","SYSLOG_IDENTIFIER":"systemd"}`)
	if err != nil || l.Message != "hi\uFFFD" || l.Level != "error" || l.Time.Unix() != 1700000000 {
		t.Errorf("%+v %v", l, err)
	}
	now := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{"2h": now.Add(-2 * time.Hour), "3d": now.AddDate(0, 0, -3), "2026-03-01": time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), "2026-03-01 14:00": time.Date(2026, 3, 1, 14, 0, 0, 0, time.UTC)} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
	for _, s := range []string{"yesterday", "-2h", "d", "2h d", ""} {
		if _, err := parseSince(s, now); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

// Following a log goes on across the change to a new file, and loses no line.
func TestFollow(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	h := logfile.New(slog.DiscardHandler, slog.LevelInfo, 8000)
	if err := h.Keep(data); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	log := slog.New(h)
	log.Info("before")
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var got []string
	next := make(chan string, 1000)
	done := make(chan error, 1)
	go func() {
		a := &app{data: data, out: &bytes.Buffer{}, err: &bytes.Buffer{}}
		path := filepath.Join(data, logfile.Folder, logfile.Name)
		f, err := os.Open(path)
		if err == nil {
			err = followFile(ctx, f, path, newTail(logQuery{level: "info", lines: 10, follow: true}, func(l logLine) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, l.Message)
				next <- l.Message
				return nil
			}))
		}
		_ = a
		done <- err
	}()
	<-next
	// More than one file's worth, waiting for each third: two changes between two looks
	// would be more than a box ever logs.
	for i := range 60 {
		log.Info("line " + strconv.Itoa(i) + strings.Repeat(" x", 50))
		if i%20 == 19 {
			for range 20 {
				<-next
			}
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(got) != 61 || !strings.HasPrefix(got[60], "line 59") {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
	if _, err := os.Stat(filepath.Join(data, logfile.Folder, logfile.Before)); err != nil {
		t.Error("the file was never changed:", err)
	}
}

func FuzzParseLog(f *testing.F) {
	f.Add(`time=2026-01-01T00:00:00Z level=WARN+1 msg="a b" "odd key"=1 k="x\n"`)
	f.Add(`{"time":"2026-01-01T00:00:00Z","level":"ERROR","msg":"m","a":{"b":[1]}}`)
	f.Add(`{"MESSAGE":[1,2],"__REALTIME_TIMESTAMP":"1","PRIORITY":"x"}`)
	f.Fuzz(func(t *testing.T, s string) {
		l := parseLog(s)
		if _, ok := rank[l.Level]; !ok {
			t.Fatalf("level %q", l.Level)
		}
		var out bytes.Buffer
		_ = (&app{out: &out}).logShower()(l)
		if i := strings.IndexFunc(strings.ReplaceAll(out.String(), "\n", ""), func(r rune) bool { return r < ' ' || r == 0x9b }); i >= 0 {
			t.Fatalf("%q speaks to the terminal", out.String())
		}
		_, _ = parseJournal(s)
	})
}
