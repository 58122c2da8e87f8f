package box

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	profiles "rxedge/firmware-profiles"
	"rxedge/inference/gpu"
	"rxedge/inference/llama"
)

// gpuTimeout is how long a driver may take to answer; nvidia-smi's first call
// after a start takes several seconds.
const gpuTimeout = 20 * time.Second

// ReadGPU reads the cards once. That there are none is noGPU and no error.
func ReadGPU(ctx context.Context) (snap *gpu.Snapshot, noGPU, err error) {
	ctx, cancel := context.WithTimeout(ctx, gpuTimeout)
	defer cancel()
	src, err := OpenCards(ctx)
	if errors.Is(err, gpu.ErrNoGPU) {
		return nil, err, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer src.Close()
	s, err := src.Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	return &s, nil, nil
}

// LookAround says what machine this is and what room the data folder has.
func LookAround(ctx context.Context, data string) (profiles.Machine, error) {
	m := profiles.Machine{Arch: runtime.GOARCH, Board: gpu.Board(), Cores: runtime.NumCPU(), Memory: hostMemory(), Cards: []gpu.Card{}, Disk: DiskFree(data)}
	snap, noGPU, err := ReadGPU(ctx)
	if err != nil {
		return m, err
	}
	if snap == nil {
		m.NoGPU = noGPU.Error()
		return m, nil
	}
	m.Driver, m.Cards = snap.Driver, snap.Cards
	if e, err := llama.Find(); err == nil {
		if report, err := gpu.Engine(ctx, e.Dir, nil); err == nil {
			m.Engine = report.Uses
		}
	}
	return m, nil
}

// hostMemory in bytes; 0 where it is not known.
func hostMemory() uint64 {
	b, _ := os.ReadFile("/proc/meminfo")
	_, rest, _ := strings.Cut(string(b), "MemTotal:")
	if f := strings.Fields(rest); len(f) > 0 {
		if kb, err := strconv.ParseUint(f[0], 10, 50); err == nil {
			return kb << 10
		}
	}
	return 0
}

// DiskFree of the folder, or of the first above it that there is, in bytes.
func DiskFree(dir string) uint64 {
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil {
			return st.Bavail * uint64(st.Bsize)
		}
		up := filepath.Dir(dir)
		if up == dir {
			return 0
		}
		dir = up
	}
}
