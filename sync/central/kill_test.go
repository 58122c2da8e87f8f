package central_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

const (
	asSite = "RXEDGE_TEST_SITE" // makes the test binary a site that pulls until a bundle is staged
	asHub  = "RXEDGE_TEST_HUB"  // makes it a hub
	asRoll = "RXEDGE_TEST_ROLL" // makes it the controller of rollouts of a folder
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(asSite); dir != "" {
		if err := pullSite(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(asRoll); dir != "" {
		f, err := central.Open(dir)
		if err == nil {
			err = f.RunRollouts(context.Background(), central.RunOptions{Who: "controller", Every: 20 * time.Millisecond})
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if conf := os.Getenv(asHub); conf != "" {
		if _, err := central.RunNode(conf, ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {}
	}
	os.Exit(m.Run())
}

func pullSite(dir string) error {
	id, err := enroll.Load(dir, nil)
	if err != nil {
		return err
	}
	r, err := bundle.Open(filepath.Join(dir, "bundles"), bundle.Config{Channel: id.Channel, Root: id.Root, Least: id.Floor, Issued: id.Issued})
	if err != nil {
		return err
	}
	u, err := uplink.Start(uplink.Options{Identity: id, Now: r.Now})
	if err != nil {
		return err
	}
	defer u.Close()
	for {
		res, err := r.Pull(context.Background(), u.Source())
		if err == nil && res.Staged != 0 {
			return nil
		}
		if bundle.CodeOf(err) != "" {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// number of an environment variable, or what stands for it.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// peakMemory of a process in bytes.
func peakMemory(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, l := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(l, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// A model file is fetched by a process that is killed again and again: little
// more than its size goes over the wire, and the file is right.
// RXEDGE_SYNC_MB=256 RXEDGE_SYNC_KILLS=100 is the long run.
func TestKilledFetch(t *testing.T) {
	t.Parallel()
	mb, kills := number("RXEDGE_SYNC_MB", 6), number("RXEDGE_SYNC_KILLS", 3)
	seed := uint64(number("RXEDGE_SEED", int(time.Now().UnixNano())))
	t.Logf("RXEDGE_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	size := int64(mb)<<20 + 12345
	path := filepath.Join(t.TempDir(), "model.gguf")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(file, h), rand.NewChaCha8([32]byte{byte(seed)}), size); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	f := synctest.NewFleet(t)
	f.Release(t, central.Release{Files: []central.File{{Name: "model.gguf", Kind: bundle.KindModel, Path: path}}})
	line, err := synctest.NewLine(f.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	dir := filepath.Join(t.TempDir(), "sync")
	f.Enroll(t, dir, "site-1", "stable", line.Address())
	rate := int64(number("RXEDGE_SYNC_RATE", 12<<20))
	line.Slow(rate, 2*time.Millisecond)
	before := line.Bytes()
	peak, killed := int64(0), 0
	began := time.Now()
	for done := false; !done; {
		cmd := exec.Command(os.Args[0])
		var out bytes.Buffer
		cmd.Env, cmd.Stderr = append(os.Environ(), asSite+"="+dir), &out
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		// The next point at which it is killed: so many bytes from here.
		next := int64(-1)
		if killed < kills {
			next = line.Bytes() + 2*size/int64(kills+1)*rnd.Int64N(1000)/1000 + 1
		}
		tick := time.NewTicker(time.Millisecond)
		for running := true; running; {
			select {
			case err := <-ended:
				if err != nil && next < 0 {
					t.Fatal(err, out.String())
				}
				running, done = false, err == nil
			case <-tick.C:
				if m := peakMemory(cmd.Process.Pid); m > peak {
					peak = m
				}
				if next >= 0 && line.Bytes() >= next {
					next = -1
					killed++
					_ = cmd.Process.Kill()
					<-ended
					running = false
				}
			}
		}
		tick.Stop()
	}
	wire := line.Bytes() - before
	t.Logf("%d bytes killed %d times: %d bytes on the wire, %.3f of its size; peak memory %.1f MB; %.1f s", size, killed, wire, float64(wire)/float64(size), float64(peak)/1e6, time.Since(began).Seconds())
	if float64(wire) > 1.1*float64(size)+float64(200<<10)*float64(killed)/10 {
		t.Errorf("too much went over the wire")
	}
	r, err := os.Open(filepath.Join(dir, "bundles", "artefacts", fmt.Sprintf("%x", h.Sum(nil))))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	again := sha256.New()
	if n, err := io.Copy(again, r); err != nil || n != size || !bytes.Equal(again.Sum(nil), h.Sum(nil)) {
		t.Fatalf("%d bytes, %v, another hash", n, err)
	}
}
