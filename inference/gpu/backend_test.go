package gpu

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shared makes a small library that wants others, with the system's compiler.
func shared(t *testing.T, dir, name string, wants ...string) {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is not on this machine")
	}
	src := filepath.Join(t.TempDir(), "empty.c")
	if err := os.WriteFile(src, []byte("int rxedge_test;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"-shared", "-fPIC", "-nostdlib", "-o", filepath.Join(dir, name), src, "-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN/own"}
	for _, w := range wants {
		lib := filepath.Join(t.TempDir(), w)
		if out, err := exec.Command(cc, "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,"+w, "-o", lib, src).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		args = append(args, lib)
	}
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

const haswell = "processor\t: 0\nflags\t\t: fpu sse4_2 fma f16c bmi2 avx avx2\nbugs : x\n"

func TestEngineReport(t *testing.T) {
	t.Parallel()
	dir, system := t.TempDir(), t.TempDir()
	for _, name := range []string{"libggml-base.so", "libggml-cpu-x64.so", "libggml-cpu-haswell.so", "libggml-cpu-icelake.so"} {
		shared(t, dir, name)
	}
	report := func(devices string, noGPU error) EngineReport {
		t.Helper()
		r, err := engineReport(dir, devices, haswell, []string{system}, noGPU)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	none := "Available devices:\n  (none)\n"

	r := report(none, &NoGPUError{Reason: NoLibrary})
	if r.Uses != "cpu" || r.Variant != "haswell" || len(r.Backends) != 3 || r.Why != "no NVIDIA driver is installed" || r.Fix != "" {
		t.Errorf("a box without a card: %+v", r)
	}
	if r := report(none, &NoGPUError{Reason: NoLibrary, OnBus: 1}); !strings.Contains(r.Why, "PCI bus") || r.Fix == "" {
		t.Errorf("a card without a driver: %+v", r)
	}
	if r := report(none, nil); !strings.Contains(r.Why, "no CUDA backend") || !strings.Contains(r.Fix, "make cuda") {
		t.Errorf("a card without a backend: %+v", r)
	}
	shared(t, dir, "libggml-cuda.so", "libcudart.so.13", "libggml-base.so", "libcublas.so.13")
	if r := report(none, nil); !strings.Contains(r.Why, "libggml-cuda.so wants libcudart.so.13 and libcublas.so.13") {
		t.Errorf("a backend without its libraries: %+v", r)
	}
	os.WriteFile(filepath.Join(system, "libcudart.so.13"), nil, 0o644)
	os.Mkdir(filepath.Join(dir, "own"), 0o755)
	os.WriteFile(filepath.Join(dir, "own", "libcublas.so.13"), nil, 0o644)
	if r := report(none, nil); !strings.Contains(r.Why, "finds no device") {
		t.Errorf("a backend for another card: %+v", r)
	}
	r = report("Available devices:\n  CUDA0: NVIDIA L4 (22565 MiB, 22370 MiB free)\n  CUDA1: NVIDIA L4 (1 MiB, 1 MiB free)\n", nil)
	if r.Uses != "cuda" || r.Why != "" || !slices.Equal(r.Devices, []string{"CUDA0: NVIDIA L4 (22565 MiB, 22370 MiB free)", "CUDA1: NVIDIA L4 (1 MiB, 1 MiB free)"}) {
		t.Errorf("%+v", r)
	}
	if r := report("  Vulkan0: NVIDIA L4 (22565 MiB, 22370 MiB free)\n", errors.New("odd")); r.Uses != "vulkan" || r.Why != "odd" {
		t.Errorf("%+v", r)
	}
	os.WriteFile(filepath.Join(dir, "libggml-vulkan.so"), []byte("no library"), 0o644)
	if _, err := engineReport(dir, none, haswell, nil, nil); err == nil || !strings.Contains(err.Error(), "libggml-vulkan.so") {
		t.Errorf("a damaged backend: %v", err)
	}
}

// The engine itself, where it has been built.
func TestEngineHere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "bin", "llama")
	if _, err := os.Stat(filepath.Join(dir, "rxedge-llama")); err != nil {
		t.Skip("the engine is not built ('make engine')")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, noGPU := Open(t.Context())
	r, err := Engine(t.Context(), dir, noGPU)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range r.Backends {
		if b.Kind == "cpu" && len(b.Missing) > 0 {
			t.Errorf("%+v", b)
		}
	}
	if r.Uses == "cpu" && r.Why == "" {
		t.Errorf("%+v", r)
	}
}

func TestConfFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "d"), 0o755)
	os.WriteFile(filepath.Join(dir, "conf"), []byte("# x\n/opt/a # b\ninclude d/*.conf\n\ninclude conf\n"), 0o644)
	os.WriteFile(filepath.Join(dir, "d", "cuda.conf"), []byte("/usr/local/cuda/lib64\n"), 0o644)
	got := confFolders(filepath.Join(dir, "conf"), 0)
	if !slices.Contains(got, "/usr/local/cuda/lib64") || !slices.Contains(got, "/opt/a") {
		t.Errorf("%v", got)
	}
}
