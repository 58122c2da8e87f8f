package huggingface

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"rxedge/inference/gptq/gptqtest"
	"rxedge/inference/safetensors"
)

func TestMain(m *testing.M) {
	if os.Getenv("RXEDGE_TEST_KILL_AT") != "" {
		convertAndDie()
		return
	}
	goleak.VerifyTestMain(m)
}

// convertAndDie converts until so many bytes of tensors are done, and is killed.
func convertAndDie() {
	at, err := strconv.ParseInt(os.Getenv("RXEDGE_TEST_KILL_AT"), 10, 64)
	if err == nil {
		_, err = Convert(context.Background(), os.Getenv("RXEDGE_TEST_SOURCE"), os.Getenv("RXEDGE_TEST_OUT"), Options{Name: "x"}, func(done, total int64) {
			if done >= at {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
	}
	fmt.Println("not killed:", err)
	os.Exit(3)
}

func plainFolder(t *testing.T) string {
	t.Helper()
	dir, _ := loadStories(t).folder(t, &gptqtest.Kind{Bits: 4, GroupSize: 32, DescAct: true}, safetensors.F32, 2)
	return dir
}

// leftovers are the files beside out.
func leftovers(t *testing.T, out string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(out))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A conversion that is killed anywhere goes on where it was, and the file is the
// same to the byte.
func TestResumesAfterAKill(t *testing.T) {
	t.Parallel()
	dir := plainFolder(t)
	whole := filepath.Join(t.TempDir(), "whole.gguf")
	var total int64
	want, err := Convert(t.Context(), dir, whole, Options{Name: "x"}, func(done, n int64) { total = n })
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for i, damage := range []string{"", "", "", "", "", "", "", "torn journal", "torn part", "flipped", "other source", "no journal", "garbage"} {
		at := total * int64(i%7+5) / 12 // the first tensor takes 36 %
		out := filepath.Join(t.TempDir(), "out.gguf")
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "RXEDGE_TEST_KILL_AT="+strconv.FormatInt(at, 10), "RXEDGE_TEST_SOURCE="+dir, "RXEDGE_TEST_OUT="+out)
		var killed *exec.ExitError
		if said, err := cmd.CombinedOutput(); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the child was not killed: %v\n%s", err, said)
		}
		part, journal := out+PartSuffix, out+JournalSuffix
		b, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		finished := bytes.Count(b, []byte("\n")) - 1
		least, most := finished, finished
		change := func(path string, f func([]byte) []byte) {
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, f(b), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		switch damage {
		case "torn journal":
			change(journal, func(b []byte) []byte { return b[:len(b)-10] })
			least, most = finished-1, finished-1
		case "torn part":
			change(part, func(b []byte) []byte { return b[:len(b)*3/4] })
			least, most = 0, finished-1
		case "flipped":
			change(part, func(b []byte) []byte { b[len(b)*3/4] ^= 1; return b })
			least, most = 0, finished-1
		case "other source":
			change(journal, func(b []byte) []byte { b[0] ^= 1; return b })
			least, most = 0, 0
		case "no journal":
			os.Remove(journal)
			least, most = 0, 0
		case "garbage":
			change(part, func(b []byte) []byte { return bytes.Repeat([]byte("x"), 2*len(good)) })
			least, most = 0, 0
		}
		first := int64(-1)
		got, err := Convert(t.Context(), dir, out, Options{Name: "x"}, func(done, _ int64) {
			if first < 0 {
				first = done
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		b, err = os.ReadFile(out)
		if err != nil || !bytes.Equal(b, good) {
			t.Fatalf("%s, killed at %d of %d: the file differs (%v)", damage, at, total, err)
		}
		if got.Resumed < least || got.Resumed > most || finished == 0 {
			t.Errorf("%s, killed at %d of %d with %d tensors done: %d were not done again", damage, at, total, finished, got.Resumed)
		}
		got.Resumed = 0
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the report differs:\n got %+v\nwant %+v", got, want)
		}
		if left := leftovers(t, out); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestCancelLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := plainFolder(t)
	for i := range int64(5) {
		ctx, cancel := context.WithCancel(t.Context())
		out := filepath.Join(t.TempDir(), "out.gguf")
		_, err := Convert(ctx, dir, out, Options{}, func(done, total int64) {
			if done >= total*i/5 {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if left := leftovers(t, out); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	// The disk refuses.
	out := filepath.Join(t.TempDir(), "none", "out.gguf")
	if _, err := Convert(t.Context(), dir, out, Options{}, nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	dir := plainFolder(t)
	var last, total int64
	_, err := Convert(t.Context(), dir, filepath.Join(t.TempDir(), "out.gguf"), Options{}, func(done, n int64) {
		if done < last || done > n || total != 0 && n != total {
			t.Errorf("%d of %d after %d of %d", done, n, last, total)
		}
		last, total = done, n
	})
	if err != nil || last != total || total == 0 {
		t.Errorf("ended at %d of %d, %v", last, total, err)
	}
}
