package logfile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/logfile"
)

func lines(t *testing.T, path string) []map[string]any {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for l := range strings.Lines(string(b)) {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatalf("%s: %q: %v", path, l, err)
		}
		out = append(out, m)
	}
	return out
}

func TestKept(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	var other bytes.Buffer
	const most = 20_000
	h := logfile.New(slog.NewTextHandler(&other, nil), slog.LevelInfo, most)
	log := slog.New(h).With("from", "test")
	log.Info("before the folder is ours", "n", -1, "took", 85*time.Millisecond)
	log.Debug("not at this level")
	if err := h.Keep(data); err != nil {
		t.Fatal(err)
	}
	path, before := filepath.Join(data, logfile.Folder, logfile.Name), filepath.Join(data, logfile.Folder, logfile.Before)
	if got := lines(t, path); len(got) != 1 || got[0]["msg"] != "before the folder is ours" || got[0]["from"] != "test" || got[0]["took"] != "85ms" {
		t.Errorf("%v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Error(info.Mode(), err)
	}
	for i := range 1000 {
		log.Info("a line", "n", i)
	}
	h.Kept().Error("told elsewhere")
	all := append(lines(t, before), lines(t, path)...)
	if last := all[len(all)-1]; last["msg"] != "told elsewhere" || strings.Contains(other.String(), "told elsewhere") {
		t.Error(last)
	}
	for i, l := range all[:len(all)-1] {
		if want := float64(1000 - (len(all) - 1) + i); l["n"] != want {
			t.Fatalf("line %d is %v, want %v", i, l["n"], want)
		}
	}
	a, _ := os.Stat(path)
	b, _ := os.Stat(before)
	if sum := a.Size() + b.Size(); sum > most || sum < most/3 {
		t.Errorf("%d bytes", sum)
	}
	if n := strings.Count(other.String(), "\n"); n != 1001 {
		t.Errorf("the other handler got %d", n)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	log.Info("after the end")

	// Half a line of a power cut does not swallow the next one.
	f, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	fmt.Fprint(f, `{"msg":"cut o`)
	_ = f.Close()
	h = logfile.New(slog.DiscardHandler, slog.LevelInfo, most)
	if err := h.Keep(data); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	slog.New(h).Info("next")
	text, _ := os.ReadFile(path)
	if !strings.Contains(string(text), "cut o\n{") {
		t.Errorf("%q", text[len(text)-200:])
	}
}

func TestJournalled(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	st := info.Sys().(*syscall.Stat_t)
	for env, want := range map[string]bool{"": false, "1:2": false, fmt.Sprintf("%d:%d", st.Dev, st.Ino): true} {
		t.Setenv("JOURNAL_STREAM", env)
		if logfile.Journalled(f) != want {
			t.Errorf("%q: %v", env, !want)
		}
	}
}
