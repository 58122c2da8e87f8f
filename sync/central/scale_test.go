package central_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

func resident(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.ParseInt(f[1], 10, 64)
	return n * int64(os.Getpagesize())
}

// Many sites on one hub of its own process: how soon all have a small update, how
// soon all are back after the hub was killed, what a site costs the hub.
// RXEDGE_SYNC_SITES=1000 is the long run (TMPDIR on a memory disk, as the sites'
// thousand disks are one here).
func TestManySites(t *testing.T) {
	sites := number("RXEDGE_SYNC_SITES", 20)
	addr := synctest.FreePort(t)
	f, err := central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "many", Hubs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := f.WriteNode(filepath.Join(f.Dir, "hub"), central.Node{Number: 1, Listen: addr})
	if err != nil {
		t.Fatal(err)
	}
	var hub *exec.Cmd
	start := func() {
		hub = exec.Command(os.Args[0])
		hub.Env, hub.Stderr = append(os.Environ(), asHub+"="+conf), os.Stderr
		hub.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := hub.Start(); err != nil {
			t.Fatal(err)
		}
	}
	start()
	defer func() { _ = hub.Process.Kill(); _ = hub.Wait() }()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	ready := make(chan struct{})
	wg.Go(func() { _ = f.Serve(ctx, nil, slog.New(slog.DiscardHandler), func() { close(ready) }) })
	<-ready
	if _, err := f.Publish(central.Release{Channel: "stable", Documents: docs(map[string]string{"a": "one"})}); err != nil {
		t.Fatal(err)
	}
	push := func() {
		nc, err := f.Connect(nil, false)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if err := f.Push(ctx, nc, nil); err != nil {
			t.Fatal(err)
		}
	}
	push()
	time.Sleep(time.Second) // so that what the hub did before is not counted
	base := resident(hub.Process.Pid)

	var have [3]atomic.Int64 // sites that have bundle 1, 2
	ups := make([]*uplink.Uplink, sites)
	dir := t.TempDir()
	began := time.Now()
	gate := make(chan struct{}, 8)
	for i := range sites {
		gate <- struct{}{}
		wg.Go(func() {
			id := f.Grant(t, fmt.Sprintf("site-%d", i))
			r, err := bundle.Open(filepath.Join(dir, id.Site), bundle.Config{Channel: "stable", Root: id.Root, Least: id.Floor, Issued: id.Issued})
			if err != nil {
				t.Error(err)
				return
			}
			news := make(chan struct{}, 1)
			u, err := uplink.Start(uplink.Options{Identity: id, Now: r.Now, News: func() {
				select {
				case news <- struct{}{}:
				default:
				}
			}})
			<-gate
			if err != nil {
				t.Error(err)
				return
			}
			ups[i] = u
			defer u.Close()
			for {
				select {
				case <-ctx.Done():
					return
				case <-news:
				}
				for ctx.Err() == nil {
					res, err := r.Pull(ctx, u.Source())
					if err != nil {
						time.Sleep(200 * time.Millisecond)
						continue
					}
					if res.Staged != 0 {
						if err := r.Activate(res.Staged); err != nil {
							t.Error(err)
						}
						have[res.Staged].Add(1)
					}
					break
				}
			}
		})
	}
	all := func(what string, n *atomic.Int64) time.Duration {
		at := time.Now()
		for n.Load() < int64(sites) {
			if time.Since(at) > 3*time.Minute {
				t.Fatalf("%s: %d of %d", what, n.Load(), sites)
			}
			time.Sleep(10 * time.Millisecond)
		}
		return time.Since(at)
	}
	all("the first bundle", &have[1])
	t.Logf("%d sites connected and in step after %.1f s", sites, time.Since(began).Seconds())
	time.Sleep(3 * time.Second)
	memory := resident(hub.Process.Pid) - base
	if _, err := f.Publish(central.Release{Channel: "stable", Documents: docs(map[string]string{"a": "two"})}); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	push()
	all("the update", &have[2])
	update := time.Since(began)

	// Where the clock starts: the hub is killed, and starts again at once.
	began = time.Now()
	_ = hub.Process.Kill()
	_ = hub.Wait()
	start()
	back := func() (n int) {
		for _, u := range ups {
			if s := u.Status(ctx); s.Connected && s.Since.After(began) {
				n++
			}
		}
		return n
	}
	n := 0
	for ; n < sites && time.Since(began) < 2*time.Minute; n = back() {
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%d sites: update at all after %.1f s; %d back %.1f s after the hub was killed; hub memory %.0f KB a site (%.0f MB over %.0f MB); %d cores",
		sites, update.Seconds(), n, time.Since(began).Seconds(), float64(memory)/1e3/float64(sites), float64(memory)/1e6, float64(base)/1e6, runtime.NumCPU())
	if n < sites {
		t.Errorf("%d of %d came back", n, sites)
	}
}
