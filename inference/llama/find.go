package llama

import (
	"os"
	"path/filepath"
	"strings"

	"rxedge/inference"
)

const binaryName = "rxedge-llama"

// Engine is an installed engine: the server with its libraries beside it.
type Engine struct {
	Dir    string // holds the binary and the libraries
	Binary string // absolute
}

// onlyCPU: no backend for a GPU lies beside the engine.
func (e Engine) onlyCPU() bool {
	if e.Dir == "" {
		return false
	}
	found, err := filepath.Glob(filepath.Join(e.Dir, "libggml-*.so"))
	if err != nil || len(found) == 0 {
		return false
	}
	for _, f := range found {
		name := strings.TrimPrefix(filepath.Base(f), "libggml-")
		if !strings.HasPrefix(name, "cpu-") && !strings.HasPrefix(name, "cpu.") && !strings.HasPrefix(name, "base.") {
			return false
		}
	}
	return true
}

// Find looks for the engine and returns inference.ErrEngineMissing where there
// is none. It looks in the folder that RXEDGE_LLAMA names (and nowhere else
// where that is set), then in dirs, in llama/ beside the running executable,
// and in bin/llama of the working folder and of the folders above it up to the
// one that holds go.mod.
func Find(dirs ...string) (Engine, error) {
	if env := os.Getenv("RXEDGE_LLAMA"); env != "" {
		dirs = []string{env}
	} else {
		if exe, err := os.Executable(); err == nil {
			if real, err := filepath.EvalSymlinks(exe); err == nil {
				exe = real
			}
			dirs = append(dirs, filepath.Join(filepath.Dir(exe), "llama"))
		}
		if wd, err := os.Getwd(); err == nil {
			dirs = append(dirs, above(wd)...)
		}
	}
	for _, d := range dirs {
		bin, err := filepath.Abs(filepath.Join(d, binaryName))
		if err != nil {
			continue
		}
		if st, err := os.Stat(bin); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 {
			return Engine{Dir: filepath.Dir(bin), Binary: bin}, nil
		}
	}
	return Engine{}, inference.ErrEngineMissing
}

// above lists bin/llama of dir and, inside a Go module, of its parents up to
// the module's root.
func above(dir string) []string {
	out := []string{filepath.Join(dir, "bin", "llama")}
	var parents []string
	for d := dir; ; d = filepath.Dir(d) {
		if d != dir {
			parents = append(parents, filepath.Join(d, "bin", "llama"))
		}
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return append(out, parents...)
		}
		if d == filepath.Dir(d) {
			return out
		}
	}
}
