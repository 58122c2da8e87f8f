package box

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/health"
	"rxedge/daemon/store"
	profiles "rxedge/firmware-profiles"
	"rxedge/inference/gpu"
)

// What can be seen of the machine while serving, in well under a millisecond: two calls
// of the kernel, and some lines of /proc.

const (
	leastFree   = store.Reserve // bytes of a disk that is not full
	leastInodes = 256           // files that a disk must still take
	leastMemory = 256 << 20     // bytes that are to be available
	leastFiles  = 4096          // that the service may open
	clockSlack  = time.Hour     // by which clocks may differ
)

// Built is a day on which this version had been made; a release's build sets it with
// -X. A clock before it is wrong.
var Built = "2026-11-01"

// DiskConditions of the data folder, and how many bytes are free. needed is what has to
// be free for all that may come; 0: not known.
func DiskConditions(dir string, needed int64) (found []health.Finding, free uint64) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil, 0 // what is said of the folder itself says more
	}
	free = st.Bavail * uint64(st.Bsize)
	switch {
	case st.Flags&unix.ST_RDONLY != 0:
		found = append(found, health.DiskReadOnly.Found("the disk of %s is mounted read-only", dir))
	case free < leastFree:
		found = append(found, health.DiskFull.Found("%d MB are free on the disk of %s", free/1e6, dir))
	case needed > 0 && free < uint64(needed):
		found = append(found, health.DiskLow.Found("%d MB are free on the disk of %s, and %d MB are needed: what has to stay free, and room for the index once more", free/1e6, dir, needed/1e6))
	}
	if st.Files > 0 && st.Ffree < leastInodes {
		found = append(found, health.InodesLow.Found("%d files more is all that the disk of %s takes", st.Ffree, dir))
	}
	return found, free
}

// diskNeeded for what may come: the floor, and the index once more. 0 while the profile
// is not known.
func (b *Box) diskNeeded(index int64) int64 {
	floor := int64(0)
	if f := b.Config.Index.DiskFloorMB; f != nil {
		floor = int64(*f) * 1e6
	} else if p, err := profiles.Get(b.Models.profileName()); err == nil {
		floor = int64(p.Disk.FloorGB) * 1e9
	} else {
		return 0
	}
	return DiskNeeded(floor, index)
}

// DiskNeeded is what has to be free, in bytes: a new generation of the index is written
// beside the old one.
func DiskNeeded(floor, index int64) int64 { return floor + index + 64<<20 }

// ClockConditions: whether now is before what is known to be past. signed is a time that
// the centre has signed, made one at which something here was made; both may be zero.
func ClockConditions(now, signed, made time.Time) []health.Finding {
	built, _ := time.Parse(time.DateOnly, Built)
	for _, past := range []struct {
		at   time.Time
		what string
	}{{built, "this version was made on"}, {signed, "the centre has signed a time of"}, {made, "the index was made on"}} {
		if !past.at.IsZero() && now.Add(clockSlack).Before(past.at) {
			return []health.Finding{health.ClockWrong.Found("it says %s, and %s %s", now.UTC().Format(time.DateTime), past.what, past.at.UTC().Format(time.DateTime))}
		}
	}
	return nil
}

// MemoryConditions of the machine.
func MemoryConditions() []health.Finding {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(b), "MemAvailable:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return nil
	}
	if kb, err := strconv.ParseUint(f[0], 10, 50); err == nil && kb<<10 < leastMemory {
		return []health.Finding{health.MemoryLow.Found("%d MB of memory are available", kb/1000)}
	}
	return nil
}

// memoryKills counts what the kernel has ended in this process's control group for want
// of memory; -1 where that is not told.
func memoryKills(root string) int64 {
	b, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		file := ""
		switch {
		case f[1] == "": // version 2
			file = filepath.Join(root, "sys/fs/cgroup", f[2], "memory.events")
		case f[1] == "memory":
			file = filepath.Join(root, "sys/fs/cgroup/memory", f[2], "memory.oom_control")
		}
		if text, err := os.ReadFile(file); file != "" && err == nil {
			if _, rest, ok := strings.Cut("\n"+string(text), "\noom_kill "); ok {
				n, err := strconv.ParseInt(strings.Fields(rest + " ")[0], 10, 64)
				if err == nil {
					return n
				}
			}
		}
	}
	return -1
}

// FilesCondition of a process that may open so many files.
func FilesCondition(most uint64) []health.Finding {
	if most >= leastFiles {
		return nil
	}
	return []health.Finding{health.FilesLimit.Found("it may open %d files, and %d are the least", most, leastFiles)}
}

// machineConditions as the daemon sees them.
func (b *Box) machineConditions(index int64, made time.Time) []health.Finding {
	found, _ := DiskConditions(b.Config.Data, b.diskNeeded(index))
	found = append(found, ClockConditions(SyncClock(), b.signedTime(), made)...)
	found = append(found, MemoryConditions()...)
	if n := memoryKills("/"); b.kills >= 0 && n > b.kills {
		found = append(found, health.MemoryKilled.Found("%d of its programs since it was started", n-b.kills))
	}
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		found = append(found, FilesCondition(lim.Cur)...)
	}
	b.cards.mu.Lock()
	snap, none, fault, watched := b.cards.snap, b.cards.none, b.cards.fault, b.cards.watched
	b.cards.mu.Unlock()
	switch {
	case watched && fault != "":
		found = append(found, CardConditions(nil, errors.New(fault))...)
	case watched && snap != nil:
		found = append(found, CardConditions(snap, nil)...)
	case none != nil:
		found = append(found, CardConditions(nil, none)...)
	}
	return found
}

// CardConditions of a reading of the cards, or of the error that it failed with. That a
// machine has no card is none.
func CardConditions(snap *gpu.Snapshot, err error) []health.Finding {
	var no *gpu.NoGPUError
	switch {
	case errors.As(err, &no):
		switch {
		case no.Reason == gpu.Mismatched:
			return []health.Finding{health.DriverMismatch.Found("%v", no)}
		case no.Reason == gpu.NoAccess:
			return []health.Finding{health.DriverAccess.Found("%v", no)}
		case no.OnBus > 0:
			return []health.Finding{health.DriverMissing.Found("%v", no)}
		}
		return nil
	case err != nil:
		return []health.Finding{health.DriverHangs.Found("%v", err)}
	case snap == nil:
		return nil
	}
	var found []health.Finding
	if snap.Source == "nvidia-smi" {
		found = append(found, health.LibraryMissing.Found("driver %s is read through nvidia-smi", snap.Driver))
	}
	for _, c := range snap.Cards {
		found = append(found, cardConditions(c)...)
	}
	return found
}

// Of a card: so near to where it slows down it is hot, so full its memory is full.
const (
	nearSlowdown = 3    // °C
	fullCard     = 0.97 // of its memory
)

func cardConditions(c gpu.Card) (found []health.Finding) {
	name := fmt.Sprintf("card %d (%s)", c.Index, c.Name)
	if c.Fault != "" {
		return append(found, health.CardLost.Found("%s: %s", name, c.Fault))
	}
	t := c.Temperature
	held, throttled := c.Clocks.Throttled()
	switch hot := t.Now != nil && t.Slowdown != nil && *t.Now >= *t.Slowdown-nearSlowdown; {
	case hot:
		found = append(found, health.CardHot.Found("%s has %d °C and slows down at %d °C", name, *t.Now, *t.Slowdown))
	case throttled && held == gpu.HeldPowerBrake:
		found = append(found, health.CardPower.Found("%s is slowed down (%s)", name, held.Text()))
	case throttled:
		found = append(found, health.CardHot.Found("%s is slowed down (%s)", name, held.Text()))
	}
	if m := c.Remapped; m != nil && (m.Failed || m.Pending) {
		what := "failed memory is replaced at the next restart"
		if m.Failed {
			what = "failed memory can't be replaced any more"
		}
		found = append(found, health.CardMemoryBad.Found("%s: %s", name, what))
	} else if e := c.ECC; e != nil && e.Uncorrected != nil && *e.Uncorrected > 0 {
		found = append(found, health.CardMemoryBad.Found("%s: %d errors were not corrected since the driver was loaded", name, *e.Uncorrected))
	}
	if m := c.Memory; m != nil && m.Total > 0 && float64(m.Used) > fullCard*float64(m.Total) {
		found = append(found, health.CardFull.Found("%s: %d of %d MB are used", name, m.Used>>20, m.Total>>20))
	}
	return found
}
