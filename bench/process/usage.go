package process

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what a process takes. Memory in bytes: RSS all of its pages in memory,
// Anon those of them that no file stands behind, PSS its share where pages are shared.
type Usage struct {
	RSS     int64          `json:"rss"`
	Anon    int64          `json:"anon"`
	PSS     int64          `json:"pss"`
	CPU     time.Duration  `json:"cpu"`
	Threads int            `json:"threads"`
	Files   map[string]int `json:"files"` // open descriptors by kind
}

// Open descriptors of all kinds.
func (u *Usage) Open() (n int) {
	for _, v := range u.Files {
		n += v
	}
	return n
}

// clockTick of /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// Read what the process takes. Descriptors of files under data are told apart by
// the folder there; data may be "".
func Read(pid int, data string) (u Usage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return u, err
	}
	u.RSS, u.Anon = field(string(status), "VmRSS:")<<10, field(string(status), "RssAnon:")<<10
	u.Threads = int(field(string(status), "Threads:"))
	if rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup")); err == nil { // it needs the same user
		u.PSS = field(string(rollup), "\nPss:") << 10
	}
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return u, err
	}
	f := afterName(string(stat))
	if len(f) < 13 {
		return u, fmt.Errorf("%s/stat is not understood", dir)
	}
	for _, ticks := range f[11:13] { // utime and stime
		n, _ := strconv.ParseInt(ticks, 10, 64)
		u.CPU += time.Duration(n) * clockTick
	}
	u.Files, err = files(dir, data)
	return u, err
}

// afterName are the fields of /proc/PID/stat from the state on: the name before
// them may hold anything.
func afterName(stat string) []string {
	return strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
}

func files(dir, data string) (map[string]int, error) {
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, fd := range fds {
		target, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		kind := "other"
		if rel, err := filepath.Rel(data, target); data != "" && err == nil && !strings.HasPrefix(rel, "..") {
			kind, _, _ = strings.Cut(rel, "/")
			if strings.HasPrefix(kind, "lock") || kind == "." {
				kind = "other"
			}
		} else if k, _, ok := strings.Cut(target, ":"); ok {
			kind = k // socket, pipe, anon_inode
		}
		out[kind]++
	}
	return out, nil
}

// Children of the process: of a rxedged its engines.
func Children(pid int) (out []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range all {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if f := afterName(string(b)); len(f) > 1 && f[1] == strconv.Itoa(pid) && f[0] != "Z" {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			out = append(out, child)
		}
	}
	return out
}

// Disk is what each folder of data takes on disk, in bytes; files that lie in data
// itself are "".
func Disk(data string) (map[string]int64, error) {
	out := map[string]int64{}
	err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // it went meanwhile
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return nil
		}
		kind := ""
		if rel, _ := filepath.Rel(data, path); strings.Contains(rel, "/") {
			kind, _, _ = strings.Cut(rel, "/")
		}
		size := fi.Size()
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			size = st.Blocks * 512 // Badger's files are longer than what is in them
		}
		out[kind] += size
		return nil
	})
	return out, err
}

// field is the number that stands after name.
func field(text, name string) int64 {
	_, rest, ok := strings.Cut(text, name)
	f := strings.Fields(rest)
	if !ok || len(f) == 0 {
		return 0
	}
	v, _ := strconv.ParseInt(f[0], 10, 64)
	return v
}
