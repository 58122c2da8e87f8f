package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/health"
	profiles "rxedge/firmware-profiles"
)

// What the machine itself must have: room, a clock, memory, an address, a port.
var machineLooks = []look{
	{name: "disk", of: []*health.Condition{health.DiskReadOnly, health.DiskFull, health.InodesLow, health.DiskLow}, run: lookDisk},
	{name: "disk speed", of: []*health.Condition{health.DiskSlow}, run: lookDiskSpeed},
	{name: "clock", of: []*health.Condition{health.ClockUnsynchronised}, run: lookClock},
	{name: "memory", of: []*health.Condition{health.MemoryLow}, run: lookMemory},
	{name: "open files", of: []*health.Condition{health.FilesLimit}, run: lookFiles},
	{name: "loopback", of: []*health.Condition{health.LoopbackMissing}, run: lookLoopback},
	{name: "port", of: []*health.Condition{health.PortTaken}, run: lookPort},
}

func lookDisk(ctx context.Context, p *patient, s *seen) {
	dir := p.cfg.Data
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	floor, whose := int64(0), "index.disk_floor_mb"
	if f := p.cfg.Index.DiskFloorMB; f != nil {
		floor = int64(*f) * 1e6
	} else if prof, err := p.app.profileOf(ctx, p.cfg); err == nil {
		floor, whose = int64(prof.Disk.FloorGB)*1e9, "profile "+prof.Name
	}
	needed := box.DiskNeeded(floor, int64(folderSize(filepath.Join(p.cfg.Data, "index"))))
	found, free := box.DiskConditions(dir, needed)
	for _, f := range found {
		if f.Code == health.DiskLow.Code {
			f.Detail += fmt.Sprintf(" (%s are to stay free: %s)", size(floor), whose)
		}
		s.find(f)
	}
	s.ok = fmt.Sprintf("%s free; a new generation of the index needs about %s, and %s are to stay free (%s)", size(int64(free)), size(needed-floor), size(floor), whose)
}

// profileOf is the one that is configured, or that suits the machine.
func (a *app) profileOf(ctx context.Context, cfg config.Config) (profiles.Profile, error) {
	if cfg.Model.Profile != config.Auto && cfg.Model.Profile != "" {
		return profiles.Get(cfg.Model.Profile)
	}
	m, err := a.machine(ctx)
	if err != nil {
		return profiles.Profile{}, err
	}
	p, _ := profiles.Detect(m)
	return p, nil
}

func folderSize(dir string) uint64 {
	var sum uint64
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if i, err := d.Info(); err == nil {
				sum += uint64(i.Size())
			}
		}
		return nil
	})
	return sum
}

const (
	syncTries = 5
	slowSync  = 300 * time.Millisecond // of the median: a disk that turns takes a tenth
)

func lookDiskSpeed(_ context.Context, p *patient, s *seen) {
	if !mayUse(p.cfg.Data) {
		if s.skip = p.stranger(); s.skip == "" {
			s.skip = "the data folder can't be written"
		}
		return
	}
	f, err := os.CreateTemp(p.cfg.Data, ".new-doctor-*")
	if err != nil {
		s.skip = err.Error() // the look at the disk says it
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []time.Duration
	for range syncTries {
		began := time.Now()
		_, err := f.Write(make([]byte, 4096))
		if err = errors.Join(err, f.Sync()); err != nil {
			s.skip = err.Error()
			return
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	median := took[len(took)/2]
	if median > slowSync {
		s.find(health.DiskSlow.Found("4 kB take %v to be kept, %v at worst", median.Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond)))
	}
	s.ok = fmt.Sprintf("4 kB are kept within %v", median.Round(10*time.Microsecond))
}

func lookClock(_ context.Context, _ *patient, s *seen) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		s.skip = "the kernel does not say: " + err.Error()
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		s.find(health.ClockUnsynchronised.Found("it says %s", time.Now().UTC().Format(time.DateTime)))
	default:
		s.ok = "kept by a time server"
	}
}

func lookMemory(_ context.Context, _ *patient, s *seen) {
	s.found = box.MemoryConditions()
	s.ok = "enough is available"
}

func lookFiles(ctx context.Context, p *patient, s *seen) {
	pid := p.service(ctx).pid
	if pid == 0 {
		s.skip = "the service does not run"
		return
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		s.skip = "this user may not look at the service"
		return
	}
	_, rest, ok := strings.Cut(string(b), "Max open files")
	f := strings.Fields(rest)
	if !ok || len(f) == 0 {
		s.skip = "the kernel does not say"
		return
	}
	if most, err := strconv.ParseUint(f[0], 10, 64); err == nil {
		s.found = box.FilesCondition(most)
	}
	s.ok = f[0] + " may be open"
}

func lookLoopback(_ context.Context, _ *patient, s *seen) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.find(health.LoopbackMissing.Found("%v", err))
		return
	}
	_ = l.Close()
	s.ok = "127.0.0.1 is there"
}

func lookPort(ctx context.Context, p *patient, s *seen) {
	_, port, err := net.SplitHostPort(p.cfg.Listen)
	if err != nil || port == "0" {
		s.ok = "any"
		return
	}
	if p.service(ctx).pid != 0 {
		s.ok = p.cfg.Listen + " is the service's"
		return
	}
	l, err := net.Listen("tcp", p.cfg.Listen)
	switch {
	case err == nil:
		_ = l.Close()
		s.ok = p.cfg.Listen + " is free"
	case errors.Is(err, syscall.EADDRINUSE):
		if ready(ctx, p.cfg.Listen) { // who may not look at the service's socket sees it here
			s.ok = p.cfg.Listen + " is the service's"
			return
		}
		who, act := "a program that this user may not see", "stop that program"
		if pid := holder(port); pid > 0 {
			who = fmt.Sprintf("process %d (%s)", pid, command(pid))
			act = fmt.Sprintf("stop that program ('kill %d')", pid)
		}
		s.find(health.PortTaken.Found("%s is held by %s", p.cfg.Listen, who).Mend(act + ", or 'rxedge config set listen 127.0.0.1:PORT' with another port; then start the service"))
	default:
		s.find(health.PortTaken.Found("%v", err).Mend("set another address in rxedge.toml (listen = \"127.0.0.1:PORT\")"))
	}
}

// holder of a TCP port, as /proc shows it; 0: not to be seen.
func holder(port string) int {
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for in := bufio.NewScanner(f); in.Scan(); {
			// sl local_address rem_address st … inode; state 0A listens.
			c := strings.Fields(in.Text())
			if len(c) > 9 && strings.HasSuffix(c[1], fmt.Sprintf(":%04X", n)) && c[3] == "0A" {
				inodes["socket:["+c[9]+"]"] = true
			}
		}
		_ = f.Close()
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && inodes[to] {
			pid, _ := strconv.Atoi(strings.Split(l, "/")[2])
			return pid
		}
	}
	return 0
}

// command that a process runs.
func command(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "unknown"
	}
	return printableText(strings.TrimSpace(string(b)))
}
