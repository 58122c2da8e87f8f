// Package contest lets ways of doing the same work take turns in one benchmark,
// so that what else a machine does meanwhile slows them alike, and gives ratios
// of medians.
package contest

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Rounds of each contest; more of them make medians that can be trusted.
var Rounds = flag.Int("rounds", 5, "rounds of the benchmarks against peers, which take turns in each")

// A Contender does a piece of work and says how fast, in units a second.
type Contender struct {
	Name string
	Run  func() float64
}

// Figures are a contender's, one a round.
type Figures map[string][]float64

// Run lets contenders take turns, each round in another order, after a round
// that does not count. Work during which others took more than a twentieth of
// the machine is done again, three times at most.
func Run(b *testing.B, contenders ...Contender) Figures {
	b.Helper()
	out := Figures{}
	var worst float64
	for round := range *Rounds + 1 {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			for try := 0; ; try++ {
				began, busy, own := time.Now(), busyTime(), ownTime()
				speed := c.Run()
				others := ((busyTime() - busy) - (ownTime() - own)).Seconds() / time.Since(began).Seconds() / float64(runtime.NumCPU())
				if round == 0 {
					break
				}
				if others > 0.05 && try < 3 {
					continue
				}
				worst = max(worst, others)
				out[c.Name] = append(out[c.Name], speed)
				break
			}
		}
	}
	b.ReportMetric(100*max(worst, 0), "others-%")
	return out
}

// Median of figures; 0 of none.
func Median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Report gives the medians, and of the first contender its ratio to each other's.
func (f Figures) Report(b *testing.B, unit string, contenders ...Contender) {
	for i, c := range contenders {
		b.ReportMetric(Median(f[c.Name]), c.Name+"-"+unit)
		if i > 0 {
			b.ReportMetric(Median(f[contenders[0].Name])/Median(f[c.Name]), contenders[0].Name+"/"+c.Name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// busyTime is what all processors together have worked; see proc_stat(5).
func busyTime() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var ticks int64
	for i, field := range strings.Fields(line)[1:] {
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && i != 3 && i != 4 && i < 8 { // idle, waiting for a disk; guests count twice
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// ownTime is what this process and its children, those that have ended included,
// have worked.
func ownTime() (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		stat, err := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); err == nil && len(f) > 12 && f[1] == strconv.Itoa(os.Getpid()) {
			for _, ticks := range f[11:13] {
				n, _ := strconv.ParseInt(ticks, 10, 64)
				sum += time.Duration(n) * 10 * time.Millisecond
			}
		}
	}
	return sum
}
