package gpu

import (
	"bufio"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Backend is one of llama.cpp's backend libraries that lie beside the engine.
type Backend struct {
	File    string   `json:"file"`
	Kind    string   `json:"kind"`              // cuda, vulkan, cpu…
	Variant string   `json:"variant,omitempty"` // of a CPU backend: haswell…
	Missing []string `json:"missing,omitempty"` // libraries that it wants and the system has not
}

// EngineReport says which backend the engine uses, and why not a better one.
type EngineReport struct {
	Dir      string    `json:"dir"`
	Uses     string    `json:"uses"`              // cuda, vulkan, … or cpu
	Variant  string    `json:"variant,omitempty"` // of the CPU backend; the CPU works beside any card
	Devices  []string  `json:"devices,omitempty"` // as the engine names them
	Backends []Backend `json:"backends"`
	Why      string    `json:"why,omitempty"` // why not a better one
	Fix      string    `json:"fix,omitempty"`
}

// engineTimeout is for the engine to list its devices: the first start of CUDA
// on a big card takes seconds.
const engineTimeout = 30 * time.Second

// Engine asks the engine in dir which devices it finds, and where it finds no
// card says why, as the engine itself does not. noGPU is what Open said, nil
// where there is a card.
func Engine(ctx context.Context, dir string, noGPU error) (EngineReport, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "rxedge-llama"), "--list-devices")
	cmd.WaitDelay = time.Second
	cmd.Dir = dir // it looks for backends in its working folder too
	out, err := cmd.Output()
	if err != nil {
		return EngineReport{}, fmt.Errorf("asking the engine in %s for its devices: %w", dir, err)
	}
	flags, _ := os.ReadFile("/proc/cpuinfo")
	return engineReport(dir, string(out), string(flags), libraryFolders(), noGPU)
}

func engineReport(dir, devices, cpuinfo string, folders []string, noGPU error) (EngineReport, error) {
	r := EngineReport{Dir: dir, Uses: "cpu"}
	for _, d := range engineDevices(devices) {
		r.Devices = append(r.Devices, d)
		if r.Uses == "cpu" {
			r.Uses = strings.ToLower(strings.TrimRight(strings.SplitN(d, ":", 2)[0], "0123456789"))
		}
	}
	var err error
	if r.Backends, err = backends(dir, folders); err != nil {
		return EngineReport{}, err
	}
	r.Variant = bestVariant(r.Backends, cpuinfo)
	if r.Uses != "cuda" {
		r.Why, r.Fix = r.whyNotCUDA(noGPU)
	}
	return r, nil
}

// The lines of --list-devices: "  CUDA0: NVIDIA L4 (22565 MiB, 22370 MiB free)".
var deviceLine = regexp.MustCompile(`(?m)^\s+([A-Za-z]+[0-9]+: .*\S)\s*$`)

func engineDevices(out string) []string {
	var all []string
	for _, m := range deviceLine.FindAllStringSubmatch(out, -1) {
		all = append(all, m[1])
	}
	return all
}

func (r EngineReport) whyNotCUDA(noGPU error) (why, fix string) {
	var cuda *Backend
	for i, b := range r.Backends {
		if b.Kind == "cuda" {
			cuda = &r.Backends[i]
		}
	}
	var no *NoGPUError
	switch {
	case errors.As(noGPU, &no) && no.Reason == NoDevice && no.OnBus == 0, errors.As(noGPU, &no) && no.Reason == NoLibrary && no.OnBus == 0:
		return no.Error(), "" // a box without a card: nothing to mend
	case noGPU != nil:
		return noGPU.Error(), "install the driver that the firmware profile names and restart the machine"
	case cuda == nil:
		return "there is a card, but no CUDA backend (libggml-cuda.so) beside the engine", "run 'make cuda' on a machine with nvcc, and bring the file to " + r.Dir
	case len(cuda.Missing) > 0:
		return fmt.Sprintf("%s wants %s, which the system has not", cuda.File, strings.Join(cuda.Missing, " and ")),
			"install NVIDIA's CUDA run-time libraries of that version, or run 'make cuda' with the CUDA that is there"
	default:
		return fmt.Sprintf("%s loads but finds no device that it can run on", cuda.File),
			"it was built for another architecture or for a newer driver: run 'make cuda' on this machine, or update the driver"
	}
}

// backends lists the backend libraries in dir: libggml-<kind>[-<variant>].so.
func backends(dir string, folders []string) ([]Backend, error) {
	files, err := filepath.Glob(filepath.Join(dir, "libggml-*.so"))
	if err != nil {
		return nil, err
	}
	var out []Backend
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "libggml-"), ".so")
		if name == "base" {
			continue
		}
		b := Backend{File: filepath.Base(f)}
		b.Kind, b.Variant, _ = strings.Cut(name, "-")
		b.Missing, err = missing(f, folders)
		if err != nil {
			return nil, fmt.Errorf("%s can't be read: %w; run 'make engine' again", f, err)
		}
		out = append(out, b)
	}
	return out, nil
}

// missing lists the libraries that file wants and that lie in none of the
// folders, nor where its own run path says.
func missing(file string, folders []string) ([]string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	needed, err := f.DynString(elf.DT_NEEDED)
	if err != nil {
		return nil, err
	}
	var own []string
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		paths, _ := f.DynString(tag)
		for _, p := range paths {
			for d := range strings.SplitSeq(p, ":") {
				d = strings.ReplaceAll(d, "${ORIGIN}", "$ORIGIN")
				own = append(own, strings.ReplaceAll(d, "$ORIGIN", filepath.Dir(file)))
			}
		}
	}
	var out []string
	for _, lib := range needed {
		// The loader itself is found by the kernel. The engine's own libraries
		// are loaded before its backends.
		if strings.HasPrefix(lib, "ld-linux") {
			continue
		}
		found := slices.ContainsFunc(slices.Concat(own, []string{filepath.Dir(file)}, folders), func(d string) bool {
			st, err := os.Stat(filepath.Join(d, lib))
			return err == nil && st.Mode().IsRegular()
		})
		if !found {
			out = append(out, lib)
		}
	}
	return out, nil
}

// libraryFolders are where the loader looks: LD_LIBRARY_PATH, ld.so.conf and
// the standard folders.
func libraryFolders() []string {
	var out []string
	for d := range strings.SplitSeq(os.Getenv("LD_LIBRARY_PATH"), ":") {
		if d != "" {
			out = append(out, d)
		}
	}
	out = append(out, confFolders("/etc/ld.so.conf", 0)...)
	for _, d := range []string{"/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"} {
		out = append(out, d)
		multiarch, _ := filepath.Glob(filepath.Join(d, "*-linux-gnu"))
		out = append(out, multiarch...)
	}
	return out
}

// confFolders reads a file of ld.so.conf's form, with its includes.
func confFolders(file string, depth int) []string {
	f, err := os.Open(file)
	if err != nil || depth > 4 {
		return nil
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "include":
			for _, pattern := range words[1:] {
				if !filepath.IsAbs(pattern) {
					pattern = filepath.Join(filepath.Dir(file), pattern)
				}
				files, _ := filepath.Glob(pattern)
				for _, inc := range files {
					out = append(out, confFolders(inc, depth+1)...)
				}
			}
		default:
			out = append(out, words[0])
		}
	}
	return out
}

// What each x86 variant of ggml's CPU backend needs, and how ggml scores it
// (ggml-cpu/arch/x86/cpu-feats.cpp): one for each feature, doubling.
var cpuFeatures = []struct {
	flags []string // of /proc/cpuinfo
	score int
}{
	{[]string{"fma"}, 1},
	{[]string{"f16c"}, 1 << 1},
	{[]string{"sse4_2"}, 1 << 2},
	{[]string{"bmi2"}, 1 << 3},
	{[]string{"avx"}, 1 << 4},
	{[]string{"avx2"}, 1 << 5},
	{[]string{"avx_vnni"}, 1 << 6},
	{[]string{"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"}, 1 << 7},
	{[]string{"avx512vbmi"}, 1 << 8},
	{[]string{"avx512_bf16"}, 1 << 9},
	{[]string{"avx512_vnni"}, 1 << 10},
	{[]string{"amx_int8"}, 1 << 11},
}

// The variants' features as bits of the table above.
var cpuVariants = map[string]int{
	"x64": 0, "sse42": 0b100, "sandybridge": 0b10100, "ivybridge": 0b10110, "piledriver": 0b10111, "haswell": 0b111111,
	"alderlake": 0b1111111, "skylakex": 0b10111111, "cannonlake": 0b110111111, "cascadelake": 0b10010111111, "icelake": 0b10110111111,
	"cooperlake": 0b11010111111, "zen4": 0b11110111111, "sapphirerapids": 0b111110111111,
}

// bestVariant is the CPU backend that ggml would choose on this processor; ""
// where that is not known.
func bestVariant(bs []Backend, cpuinfo string) string {
	_, line, ok := strings.Cut(cpuinfo, "\nflags")
	if !ok {
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
	has := make(map[string]bool)
	for _, f := range strings.Fields(line) {
		has[f] = true
	}
	can := 0
	for i, f := range cpuFeatures {
		if !slices.ContainsFunc(f.flags, func(flag string) bool { return !has[flag] }) {
			can |= 1 << i
		}
	}
	best, bestScore := "", -1
	for _, b := range bs {
		needs, known := cpuVariants[b.Variant]
		if b.Kind != "cpu" || !known || needs&^can != 0 {
			continue
		}
		score := 0
		for i, f := range cpuFeatures {
			if needs&(1<<i) != 0 {
				score += f.score
			}
		}
		if score > bestScore {
			best, bestScore = b.Variant, score
		}
	}
	return best
}
