package systemd_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// container is a Debian of its own: systemd as its first process, in namespaces of
// its own, with no network but its loopback.
type container struct {
	root string
	init int // its systemd, as this machine numbers it
}

// boot unpacks the archive of a Debian and starts it.
func boot(t *testing.T, archive string) *container {
	t.Helper()
	c := &container{root: t.TempDir()}
	if out, err := exec.Command("tar", "-x", "-f", archive, "-C", c.root, "--exclude=./dev/*").CombinedOutput(); err != nil {
		t.Fatalf("unpacking %s: %v: %s", archive, err, out)
	}
	var console bytes.Buffer
	nspawn := exec.Command("systemd-nspawn", "-q", "-D", c.root, "-b", "-M", fmt.Sprintf("rxedge-test-%d", os.Getpid()),
		"--private-network", "--register=no", "--keep-unit", "--console=pipe")
	nspawn.Stdout, nspawn.Stderr = &console, &console
	nspawn.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := nspawn.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = nspawn.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = nspawn.Process.Signal(syscall.SIGTERM) // an orderly shutdown
		select {
		case <-ended:
		case <-time.After(60 * time.Second):
			_ = nspawn.Process.Kill()
			<-ended
		}
	})
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", nspawn.Process.Pid)
	c.eventually(t, time.Minute, "its systemd comes up", func() error {
		select {
		case <-ended:
			t.Fatalf("systemd-nspawn ended: %s", console.String())
		default:
		}
		b, err := os.ReadFile(children)
		if err != nil {
			return err
		}
		for _, f := range strings.Fields(string(b)) {
			if comm, _ := os.ReadFile("/proc/" + f + "/comm"); strings.TrimSpace(string(comm)) == "systemd" {
				c.init, _ = strconv.Atoi(f)
			}
		}
		if c.init == 0 {
			return fmt.Errorf("no child of it is systemd: %q", b)
		}
		if out, err := c.try("systemctl", "is-system-running"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return c
}

// try runs a command inside.
func (c *container) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(c.init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "TERM=dumb"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (c *container) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.try(args...)
	if err != nil {
		journal, _ := c.try("journalctl", "-u", "rxedged", "-n", "60", "--no-pager", "-o", "cat")
		t.Fatalf("%s: %v\n%s\n--- journal\n%s", strings.Join(args, " "), err, out, journal)
	}
	return out
}

func (c *container) show(t *testing.T, property string) string {
	t.Helper()
	return c.run(t, "systemctl", "show", "rxedged", "-P", property)
}

func (c *container) eventually(t *testing.T, within time.Duration, what string, ok func() error) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
	}
}

// client speaks to the container's loopback: a connection belongs to the namespace of
// the thread that makes it.
func (c *container) client() *http.Client {
	ns := fmt.Sprintf("/proc/%d/ns/net", c.init)
	dial := func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
			f, ferr := os.Open(ns)
			if ferr != nil {
				err = ferr
				return
			}
			defer f.Close()
			if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				return
			}
			fd, serr := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if serr != nil {
				err = serr
				return
			}
			host, port, _ := net.SplitHostPort(addr)
			p, _ := strconv.Atoi(port)
			sa := &unix.SockaddrInet4{Port: p}
			copy(sa.Addr[:], net.ParseIP(host).To4())
			if err = unix.Connect(fd, sa); err != nil {
				_ = unix.Close(fd)
				return
			}
			file := os.NewFile(uintptr(fd), "tcp")
			defer file.Close()
			conn, err = net.FileConn(file)
		}()
		<-done
		return conn, err
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}, Timeout: 30 * time.Second}
}

// files that a package could leave: all but what runs and logs.
func (c *container) files(t *testing.T) []string {
	t.Helper()
	skip := map[string]bool{"/proc": true, "/sys": true, "/dev": true, "/run": true, "/tmp": true, "/var/tmp": true, "/var/log": true, "/var/cache": true, "/srv": true}
	var out []string
	err := filepath.WalkDir(c.root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // it went while we looked
		}
		inside := strings.TrimPrefix(path, c.root)
		if skip[inside] {
			return filepath.SkipDir
		}
		// dpkg's and the account tools' copies of what was before.
		if strings.HasSuffix(inside, "-old") || strings.HasPrefix(inside, "/etc/") && strings.HasSuffix(inside, "-") || inside == "/etc/.pwd.lock" || strings.HasPrefix(inside, "/var/lib/systemd/") {
			return nil
		}
		out = append(out, inside)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(out)
	return out
}
