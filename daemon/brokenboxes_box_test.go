package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/control"
)

func boxes() []sick { return slices.Concat(machineBoxes, fileBoxes, contentBoxes, linkBoxes) }

// onDisk puts the box on a disk of its own, of so many MB.
func onDisk(options string) func(*ward) {
	return func(w *ward) {
		dir := filepath.Join(w.TempDir(), "disk")
		w.must(os.Mkdir(dir, 0o755))
		w.must(unix.Mount("tmpfs", dir, "tmpfs", 0, options))
		w.Cleanup(func() {
			w.end(syscall.SIGKILL)
			if err := unix.Unmount(dir, 0); err != nil {
				w.Error(err)
			}
		})
		conf, err := os.ReadFile(w.conf)
		w.must(err)
		w.path, w.data = dir, filepath.Join(dir, "var")
		w.must(os.Mkdir(w.data, 0o750))
		w.conf = filepath.Join(w.data, "rxedge.toml")
		w.must(os.WriteFile(w.conf, conf, 0o600))
	}
}

// beside starts this program as something that plays a part beside the box.
func (w *ward) beside(env string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), env)
	w.must(c.Start())
	w.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c
}

var machineBoxes = []sick{
	{
		name: "driver gone", fast: true, first: "driver-missing", says: "the PCI bus shows an NVIDIA card", acts: "restart the machine",
		before: func(w *ward) {
			w.path = filepath.Join(w.TempDir(), "card")
			w.must(os.WriteFile(w.path, nil, 0o600))
			w.env = append(w.env, cardFile+"="+w.path)
		},
		breaks: func(w *ward) { w.must(os.WriteFile(w.path, []byte("gone"), 0o600)); w.restart() },
		act:    func(w *ward) { w.must(os.WriteFile(w.path, nil, 0o600)); w.restart() },
	}, {
		name: "disk full", root: true, fast: true, first: "disk-full", says: "MB are free", acts: "remove from that disk what is not rxedge's",
		before: onDisk("size=192m"),
		breaks: func(w *ward) {
			f, err := os.Create(filepath.Join(w.path, "somebody's"))
			w.must(err)
			for block := make([]byte, 1<<20); err == nil; {
				_, err = f.Write(block)
			}
			_ = f.Close()
		},
		act: func(w *ward) { w.must(os.Remove(filepath.Join(w.path, "somebody's"))) },
	}, {
		name: "disk read-only", root: true, first: "disk-read-only", says: "read-only", also: []string{"service-stopped"},
		before: onDisk("size=192m"),
		breaks: func(w *ward) {
			w.stop()
			w.must(unix.Mount("", w.path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
			w.start() // it ends at once
			w.cmd = nil
		},
		acts: "'mount -o remount,rw' its folder",
		act: func(w *ward) {
			_, err := w.sh("mount", "-o", "remount,rw", w.path)
			w.must(err)
			w.start()
		},
	}, {
		name: "no inodes left", root: true, first: "inodes-low", says: "files more", acts: "remove from that disk the many small files",
		before: onDisk("size=192m,nr_inodes=900"),
		breaks: func(w *ward) {
			for n := 0; ; n++ {
				if err := os.WriteFile(filepath.Join(w.path, fmt.Sprintf("%d.small", n)), nil, 0o600); err != nil {
					break
				}
			}
		},
		act: func(w *ward) {
			small, _ := filepath.Glob(filepath.Join(w.path, "*.small"))
			for _, f := range small {
				w.must(os.Remove(f))
			}
		},
	}, {
		name: "disk short of room", first: "disk-low", says: "are needed", config: "[disk]\nfloor_mb = 0\n",
		breaks: func(w *ward) { w.set("[disk]\nfloor_mb = 900000000\n"); w.restart() },
		acts:   "or lower disk.floor_mb in rxedge.toml and restart", act: func(w *ward) { w.set(""); w.restart() },
	}, {
		name: "clock wrong", fast: true, first: "clock-wrong", says: "this version was made on", acts: "set the clock",
		before: func(w *ward) {
			w.path = filepath.Join(w.TempDir(), "clock")
			w.must(os.WriteFile(w.path, []byte("0"), 0o600))
			w.env = append(w.env, clockFile+"="+w.path)
		},
		breaks: func(w *ward) {
			w.must(os.WriteFile(w.path, []byte(fmt.Sprint(-int(4*365*24*time.Hour/time.Second))), 0o600))
		},
		act: func(w *ward) { w.must(os.WriteFile(w.path, []byte("0"), 0o600)) },
	}, {
		name: "out of memory", root: true, first: "memory-killed", says: "1 of its programs", acts: "give the service more memory",
		before: func(w *ward) {
			w.path = memoryGroup(w, 1<<30)
			w.wrap = []string{"sh", "-c", `echo $$ >` + w.path + `/cgroup.procs && exec "$@"`, "sh"}
		},
		breaks: func(w *ward) {
			hog := exec.Command("sh", "-c", `echo $$ >`+w.path+`/cgroup.procs && exec "$0"`, os.Args[0])
			hog.Env = append(os.Environ(), hungry+"=1")
			_ = hog.Run() // until the kernel ends it
		},
		act: (*ward).restart,
	}, {
		name: "too few open files", first: "files-limit", says: "it may open 1024 files", acts: "raise its limit",
		breaks: func(w *ward) {
			w.wrap = []string{"sh", "-c", `ulimit -n 1024 && exec "$@"`, "sh"}
			w.restart()
		},
		act: func(w *ward) { w.wrap = nil; w.restart() },
	}, {
		name: "port taken", fast: true, first: "port-taken", says: "is held by process", also: []string{"service-stopped"}, runs: []string{"kill [0-9]+"},
		breaks: func(w *ward) {
			w.stop()
			w.beside(holds + "=" + w.listen)
			w.start()
			w.cmd = nil
		},
		acts: "then start the service",
		act: func(w *ward) {
			for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				if w.start(); w.running() { // the port is free when the other has ended
					return
				}
			}
		},
	}, {
		name: "wrong profile", first: "profile-unsuited", says: "h200", breaks: func(w *ward) { w.set("[model]\nprofile = \"h200\"\n"); w.restart() },
		runs: []string{"rxedge config set model.profile auto"}, acts: "then restart", act: (*ward).restart,
	}, {
		name: "service killed", first: "service-stopped", says: "does not run", acts: "start", breaks: func(w *ward) { w.end(syscall.SIGKILL) }, act: (*ward).start,
	}, {
		name: "service hangs", first: "service-hangs", says: "does not answer", runs: []string{"kill -KILL [0-9]+"}, acts: "start the service again",
		breaks: func(w *ward) { w.must(w.cmd.Process.Signal(syscall.SIGSTOP)) },
		act:    func(w *ward) { <-w.ended; w.start() },
	}, {
		name: "another version runs", first: "service-version", says: "version 0.0.7", acts: "systemctl restart",
		breaks: func(w *ward) { w.env = append(w.env, asVersion+"=0.0.7"); w.restart() },
		act: func(w *ward) {
			w.env = slices.DeleteFunc(w.env, func(e string) bool { return strings.HasPrefix(e, asVersion) })
			w.restart()
		},
	},
}

// running: the daemon that was started has not ended.
func (w *ward) running() bool {
	select {
	case <-w.ended:
		return false
	default:
		return true
	}
}

// memoryGroup is a control group of so many bytes, of whichever version there is.
func memoryGroup(w *ward, bytes int) string {
	for _, g := range []struct{ root, limit string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		b, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			break
		}
		m := regexp.MustCompile(`(?m)^\d+:(?:memory)?:(.*)$`).FindSubmatch(b)
		if g.limit == "memory.limit_in_bytes" {
			m = regexp.MustCompile(`(?m)^\d+:memory:(.*)$`).FindSubmatch(b)
		}
		if m == nil {
			continue
		}
		dir := filepath.Join(g.root, string(m[1]), fmt.Sprintf("rxedge-broken-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		w.Cleanup(func() {
			w.end(syscall.SIGKILL)
			for end := time.Now().Add(10 * time.Second); os.Remove(dir) != nil && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			}
		})
		if os.WriteFile(filepath.Join(dir, g.limit), []byte(fmt.Sprint(bytes)), 0) == nil {
			return dir
		}
	}
	w.Skip("there is no control group for memory that could be made")
	return ""
}

// nobody's is a user that is not root.
const nobodys = 65534

// asNobody has the service run as a user of its own, as an installed one does.
func asNobody(w *ward) {
	dir, err := os.MkdirTemp("", "rxedge-broken-*")
	w.must(err)
	w.Cleanup(func() { w.end(syscall.SIGKILL); _ = os.RemoveAll(dir) })
	w.must(os.Chmod(dir, 0o755))
	w.public = dir
	exe := filepath.Join(dir, "rxedged")
	if os.Link(os.Args[0], exe) != nil {
		b, err := os.ReadFile(os.Args[0])
		w.must(err)
		w.must(os.WriteFile(exe, b, 0o755))
	}
	conf, err := os.ReadFile(w.conf)
	w.must(err)
	w.data = filepath.Join(dir, "var")
	w.must(os.Mkdir(w.data, 0o750))
	w.conf = filepath.Join(w.data, "rxedge.toml")
	w.must(os.WriteFile(w.conf, conf, 0o640))
	w.must(os.Chown(w.conf, nobodys, nobodys))
	w.must(os.Chown(w.data, nobodys, nobodys))
	w.wrap = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", `shift; exec ` + exe + ` "$@"`, "sh"}
}

var fileBoxes = []sick{
	{
		name: "files of another user", root: true, fast: true, first: "data-folder-owner", says: "do not belong to user 65534", also: []string{"service-stopped"},
		before: asNobody,
		breaks: func(w *ward) {
			w.stop()
			w.must(filepath.WalkDir(filepath.Join(w.data, "feedback"), func(path string, _ fs.DirEntry, err error) error {
				if err == nil {
					err = os.Chown(path, 0, 0)
				}
				return err
			}))
			w.start()
			w.cmd = nil
		},
		runs: []string{"rxedge doctor --fix"}, act: (*ward).start,
	}, {
		name: "folder closed to its owner", root: true, first: "data-folder-unusable", says: "its owner may not use", also: []string{"service-stopped"},
		before: asNobody,
		breaks: func(w *ward) {
			w.stop()
			w.must(os.Chmod(filepath.Join(w.data, "index"), 0))
			w.start()
			w.cmd = nil
		},
		runs: []string{"rxedge doctor --fix"}, act: (*ward).start,
	}, {
		name: "config typo", fast: true, first: "config-unsound", says: "generater", also: []string{"service-stopped"},
		breaks: func(w *ward) { w.set("[model]\ngenerater = \"x\"\n"); w.stop(); w.start(); w.cmd = nil },
		acts:   "correct rxedge.toml where the sentence says",
		act:    func(w *ward) { w.set(""); w.start() },
	}, {
		name: "config for anybody to change", first: "config-permissions", says: "anybody may change",
		breaks: func(w *ward) { w.must(os.Chmod(w.conf, 0o666)) }, runs: []string{"rxedge doctor --fix"},
	}, {
		name: "token missing", first: "secret-missing", says: "no such file", also: []string{"service-stopped"},
		before: withToken, breaks: func(w *ward) { w.stop(); w.must(os.Remove(w.path)); w.start(); w.cmd = nil },
		acts: "put the token into that file", act: func(w *ward) { w.must(os.WriteFile(w.path, []byte("0123456789abcdef"), 0o600)); w.start() },
	}, {
		name: "token for all to read", first: "secret-permissions", says: "can be read by others", also: []string{"service-stopped"},
		before: withToken, breaks: func(w *ward) { w.stop(); w.must(os.Chmod(w.path, 0o644)); w.start(); w.cmd = nil },
		runs: []string{"rxedge doctor --fix"}, act: (*ward).start,
	}, {
		name: "socket for all", first: "socket-permissions", says: "0666",
		breaks: func(w *ward) { w.must(os.Chmod(filepath.Join(w.data, control.SocketName), 0o666)) }, runs: []string{"rxedge doctor --fix"},
	},
}

func withToken(w *ward) {
	w.path = filepath.Join(filepath.Dir(w.data), "token")
	w.must(os.WriteFile(w.path, []byte("0123456789abcdef"), 0o600))
	w.set("[[api.client]]\nname = \"ehr\"\ntoken_file = \"" + w.path + "\"\n")
}

// storiesIn imports the small language model.
func storiesIn(w *ward) {
	w.path = filepath.Join(testdata(w.T), "models", "stories260K")
	_, err := w.rxedge("model", "import", w.path)
	w.must(err)
}

// one file that the pattern matches.
func (w *ward) one(pattern ...string) string {
	w.Helper()
	all, err := filepath.Glob(filepath.Join(append([]string{w.data}, pattern...)...))
	w.must(err)
	if len(all) == 0 {
		w.Fatalf("there is no %v", pattern)
	}
	return all[len(all)-1]
}

// flipAt turns a byte of a file, so far from its beginning.
func (w *ward) flipAt(file string, share float64) {
	w.Helper()
	b, err := os.ReadFile(file)
	w.must(err)
	b[int(share*float64(len(b)))] ^= 0x20
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if os.IsPermission(err) {
		w.must(os.Chmod(file, 0o600))
		f, err = os.OpenFile(file, os.O_WRONLY, 0)
	}
	w.must(err)
	defer f.Close()
	_, err = f.Write(b)
	w.must(err)
}

var contentBoxes = []sick{
	{
		name: "model file damaged", first: "model-damaged", says: "SHA-256", before: storiesIn,
		breaks: func(w *ward) { w.flipAt(w.one("models", "blobs", "*.gguf"), .5) },
		runs:   []string{"rxedge model import FILE"}, act: (*ward).restart, acts: "then restart",
	}, {
		name: "model file gone", first: "model-missing", says: "is gone", before: storiesIn,
		breaks: func(w *ward) { w.must(os.Remove(w.one("models", "blobs", "*.gguf"))) },
		runs:   []string{"rxedge model import FILE"}, act: (*ward).restart, acts: "then restart",
	}, {
		name: "model not imported", first: "model-missing", says: "names stories260K, which is not in the catalog",
		breaks: func(w *ward) {
			w.path = filepath.Join(testdata(w.T), "models", "stories260K")
			w.set("[model]\ngenerator = \"stories260K\"\n")
			w.restart()
		},
		runs: []string{"rxedge model import FILE"}, act: (*ward).restart, acts: "then restart",
	}, {
		name: "catalog entry damaged", first: "catalog-damaged", says: "is damaged", before: storiesIn,
		breaks: func(w *ward) { w.must(os.WriteFile(w.one("models", "entries", "*.json"), []byte("{"), 0o600)) },
		acts:   "delete the file that the sentence names",
		act: func(w *ward) {
			w.must(os.Remove(w.one("models", "entries", "*.json")))
			_, err := w.rxedge("model", "import", w.path)
			w.must(err)
			w.restart()
		},
	}, {
		name: "model too large", first: "model-too-large", says: "of a budget of", before: storiesIn,
		breaks: func(w *ward) { w.set("[model]\ngenerator = \"stories260K\"\nmemory_mb = 4\n"); w.restart() },
		runs:   []string{"rxedge config set model.memory_mb N"}, with: map[string]string{"N": "2000"}, act: (*ward).restart, acts: "then restart",
	}, {
		name: "adapter missing", first: "adapter-missing", says: "no such file", before: storiesIn,
		breaks: func(w *ward) {
			w.set("[[model.adapter]]\nname = \"tone\"\nbase = \"stories260K\"\npath = \"/nowhere/tone.gguf\"\n")
			w.restart()
		},
		acts: "take the adapter out", act: func(w *ward) { w.set(""); w.restart() },
	}, {
		name: "index damaged", fast: true, first: "index-damaged", says: "SHA-256",
		breaks: func(w *ward) { w.flipAt(w.one("index", "gen-*", "*.vlog"), .6) },
		runs:   []string{"rxedge index rebuild"},
	}, {
		name: "documents of the index damaged", first: "index-damaged", says: "faults",
		breaks: func(w *ward) {
			w.stop()
			w.flipAt(w.one("index", "gen-*", "*.sst"), .6)
			w.start()
			w.path = realLabels(w.T, "Keep it dry.")
		},
		runs: []string{"rxedge index rebuild", "rxedge ingest PATH"},
	}, {
		name: "newest generation unreadable", first: "index-retreated", says: "serves instead",
		breaks: func(w *ward) {
			w.path = realLabels(w.T, "Keep it cool.")
			for _, a := range [][]string{{"ingest", w.path}, {"index", "compact"}} {
				_, err := w.rxedge(a...)
				w.must(err)
			}
			w.stop()
			w.must(os.WriteFile(w.one("index", "gen-*", "manifest.json"), []byte("{"), 0o600))
			w.start()
		},
		runs: []string{"rxedge ingest PATH", "rxedge index compact"},
		act:  (*ward).restart,
	}, {
		name: "index beyond use", fast: true, first: "index-lost", says: "nothing is left of it",
		breaks: func(w *ward) {
			w.stop()
			all, _ := filepath.Glob(filepath.Join(w.data, "index", "gen-*", "manifest.json"))
			for _, m := range all {
				w.must(os.WriteFile(m, []byte("{"), 0o600))
			}
			w.path = realLabels(w.T, "Keep it dry.")
			w.start()
		},
		runs: []string{"rxedge ingest PATH"},
	}, {
		name: "a file that is no label", first: "quarantine", says: "could not be read",
		breaks: func(w *ward) {
			dir := w.TempDir()
			w.must(os.WriteFile(filepath.Join(dir, "a.xml"), []byte("<document xmlns=\"urn:hl7-org:v3\"><broken"), 0o600))
			_, _ = w.rxedge("ingest", dir)
		},
		runs: []string{"rxedge index quarantine --remove-all"},
	}, {
		name: "feedback damaged", first: "feedback-renewed", says: "lies in", acts: "it is gone after the next start",
		breaks: func(w *ward) {
			w.stop()
			w.must(os.WriteFile(w.one("feedback", "MANIFEST"), []byte("not a manifest"), 0o600))
			w.start()
		},
		act: (*ward).restart,
	}, {
		name: "index with vectors and no embedder", first: "index-embedder-missing", says: "by words alone",
		breaks: func(w *ward) { w.set("[model]\nembedder = \"none\"\n"); w.restart() },
		runs:   []string{"rxedge config set model.embedder builtin"}, act: (*ward).restart, acts: "then restart",
	},
}

// report is one to the centre.
func report(n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"n":%d,"pad":"%s"}`, n, strings.Repeat("x", 60_000)))
}
