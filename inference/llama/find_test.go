package llama

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/inference"
)

func TestFind(t *testing.T) {
	module := t.TempDir()
	sub := filepath.Join(module, "a", "b")
	engine := filepath.Join(module, "bin", "llama")
	for _, dir := range []string{sub, engine} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RXEDGE_LLAMA", "")
	t.Chdir(sub)
	if _, err := Find(); !errors.Is(err, inference.ErrEngineMissing) {
		t.Errorf("none: %v", err)
	}
	write(filepath.Join(engine, binaryName), 0o644)
	write(filepath.Join(module, "go.mod"), 0o644)
	if _, err := Find(); !errors.Is(err, inference.ErrEngineMissing) {
		t.Errorf("one that cannot be run: %v", err)
	}
	os.Chmod(filepath.Join(engine, binaryName), 0o755)
	if e, err := Find(); err != nil || e.Dir != engine {
		t.Errorf("from a folder of the module: %+v, %v", e, err)
	}
	other := filepath.Join(module, "other")
	os.Mkdir(other, 0o755)
	write(filepath.Join(other, binaryName), 0o755)
	if e, err := Find(other); err != nil || e.Dir != other {
		t.Errorf("a folder that is named goes first: %+v, %v", e, err)
	}
	t.Setenv("RXEDGE_LLAMA", filepath.Join(module, "nowhere"))
	if _, err := Find(other); !errors.Is(err, inference.ErrEngineMissing) {
		t.Errorf("RXEDGE_LLAMA names a wrong folder: %v", err)
	}
}

func TestRunDirIsShort(t *testing.T) {
	t.Parallel()
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	d, err := newRunDir(long)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.socket()) > maxSocketPath || strings.HasPrefix(d.path, long) {
		t.Errorf("socket %s", d.socket())
	}
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

func TestLogFilter(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := &engineLog{to: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	l.take("E gguf_init_from_reader: failed to read key-value pairs")
	l.take("I srv  llama_server: model loaded")
	if got := l.reason(); got != "failed to read key-value pairs" {
		t.Errorf("reason %q", got)
	}
	l.serve()
	if got := l.reason(); got != "" {
		t.Errorf("a reason from before: %q", got)
	}
	l.drain(strings.NewReader("W srv    operator(): got exception: warfarin\n" +
		"E srv    send_error: task id = 5, error: warfarin\n" +
		"warfarin ggml_abort\n" +
		strings.Repeat("warfarin ", 10_000) + "\n" +
		"/src/ggml/src/ggml.c:12: GGML_ASSERT(n > 0) failed\nCUDA error: an illegal memory access"))
	if got := l.reason(); got != "/src/ggml/src/ggml.c:12: GGML_ASSERT(n > 0) failed; CUDA error: an illegal memory access" {
		t.Errorf("reason %q", got)
	}
	if strings.Contains(out.String(), "warfarin") || !strings.Contains(out.String(), "GGML_ASSERT") || !strings.Contains(out.String(), "model loaded") {
		t.Errorf("log:\n%s", out.String())
	}
}

// What is read at once by default depends on what reads.
func TestUsualMicroBatch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		files  string
		device string
		want   int
	}{
		{"libggml-base.so libggml-cpu-haswell.so libggml-cpu.so libggml.v0.5.0.so", "", 128},
		{"libggml-base.so libggml-cpu-haswell.so libggml-cuda.so", "", 512},
		{"libggml-base.so libggml-vulkan.so", "", 512},
		{"libggml-base.so libggml-cuda.so", NoDevice, 128},
		{"", "", 512},
	} {
		dir := t.TempDir()
		for name := range strings.FieldsSeq(test.files) {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		o := Options{Engine: Engine{Dir: dir}, Device: test.device}
		if got := o.usualMicroBatch(); got != test.want {
			t.Errorf("%s, device %q: %d", test.files, test.device, got)
		}
	}
}
