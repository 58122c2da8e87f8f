package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/index/document"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/synctest"
)

const (
	asHub     = "RXEDGE_TEST_HUB"   // makes the test binary a node of the hub
	clockFile = "RXEDGE_TEST_CLOCK" // file with seconds by which the site's clock is off
)

func hubNode(conf string) int {
	h, err := central.RunNode(conf, strings.TrimSuffix(conf, ".conf")+".log")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	h.Close()
	return 0
}

func shifted(file string) time.Time {
	b, _ := os.ReadFile(file)
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return time.Now().Add(time.Duration(n) * time.Second)
}

// labels to publish: of the number each, version v.
func labels(version func(i int) int, n int) iter.Seq2[bundle.Document, error] {
	return func(yield func(bundle.Document, error) bool) {
		for i := range n {
			d := &document.Document{ID: fmt.Sprintf("medicine%d", i), Kind: document.KindJSONL, Title: fmt.Sprintf("medicine%d", i), Names: []document.Name{{Text: fmt.Sprintf("medicine%d", i), Kind: "generic"}}}
			for k, section := range []string{"Dosage and Administration", "Contraindications", "Drug Interactions", "Adverse Reactions"} {
				v := 0
				if k == 0 {
					v = version(i)
				}
				text := ""
				for q := range 12 {
					text += fmt.Sprintf("The %s of medicine%d number %d is %d mg with %d tablets every %d hours. ", section, i, q, 100+i+q, v+q, 4+q)
				}
				d.Sections = append(d.Sections, document.Section{ID: fmt.Sprintf("medicine%d#%s", i, section), Title: section, Text: text})
			}
			if !yield(box.Publishable(d)) {
				return
			}
		}
	}
}

// cluster is a hub of three processes, a centre, and a site daemon behind lines.
type cluster struct {
	t      testing.TB
	centre *central.Folder
	direct []string // the nodes' addresses
	confs  []string
	nodes  []*exec.Cmd
	lines  []*synctest.Line
	data   string
	site   *exec.Cmd
	clock  string
	full   string // a file that fills the disk
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t, nodes: make([]*exec.Cmd, 3), data: filepath.Join(t.TempDir(), "var"), clock: filepath.Join(t.TempDir(), "clock")}
	var routes []string
	for range 3 {
		c.direct = append(c.direct, synctest.FreePort(t))
		routes = append(routes, synctest.FreePort(t))
	}
	dir := t.TempDir()
	var err error
	if c.centre, err = central.Init(filepath.Join(dir, "central"), central.InitOptions{Name: "faults", Hubs: c.direct, Nodes: 3}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		conf, err := c.centre.WriteNode(filepath.Join(dir, fmt.Sprintf("hub-%d", i+1)), central.Node{Number: i + 1, Listen: c.direct[i], Cluster: routes[i], Routes: routes})
		if err != nil {
			t.Fatal(err)
		}
		c.confs = append(c.confs, conf)
		c.startNode(i)
		l, err := synctest.NewLine(c.direct[i])
		if err != nil {
			t.Fatal(err)
		}
		c.lines = append(c.lines, l)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.centre.Serve(ctx, nil, slog.New(slog.DiscardHandler), func() { close(ready) }); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		wg.Wait()
		c.killSite()
		for _, n := range c.nodes {
			if n != nil {
				_ = n.Process.Kill()
				_ = n.Wait()
			}
		}
		for _, l := range c.lines {
			l.Close()
		}
	})
	select {
	case <-ready:
	case <-time.After(2 * time.Minute):
		t.Fatal("the cluster is not ready")
	}
	file, err := c.centre.AddSite("site-1", "stable", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	file.Hubs = nil
	for _, l := range c.lines {
		file.Hubs = append(file.Hubs, l.Address())
	}
	if err := os.MkdirAll(filepath.Join(c.data, "sync"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.data, "rxedge.toml"), []byte("sample = false\n[index]\ndisk_floor_mb = 0\n[rollout]\nwatch = \"0s\"\nquestions = 8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := enroll.Claim(t.Context(), filepath.Join(c.data, "sync"), file, enroll.Options{}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) startNode(i int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asHub+"="+c.confs[i])
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = cmd
}

func (c *cluster) killNode(i int) {
	_ = c.nodes[i].Process.Kill()
	_ = c.nodes[i].Wait()
	c.nodes[i] = nil
}

// stopNode as a service is stopped.
func (c *cluster) stopNode(i int) {
	_ = c.nodes[i].Process.Signal(syscall.SIGTERM)
	_ = c.nodes[i].Wait()
	c.nodes[i] = nil
}

func (c *cluster) startSite() {
	cmd := exec.Command(os.Args[0], "--data", c.data, "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), asDaemon+"=1", clockFile+"="+c.clock)
	f, err := os.OpenFile(c.data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.site = cmd
}

func (c *cluster) killSite() {
	if c.site != nil {
		_ = c.site.Process.Kill()
		_ = c.site.Wait()
		c.site = nil
	}
}

func (c *cluster) each(f func(*synctest.Line)) {
	for _, l := range c.lines {
		f(l)
	}
}

// leader of a stream, as an index of nodes.
func (c *cluster) leader(ctx context.Context, stream string) int {
	nc, err := c.centre.Connect(nil, false)
	if err != nil {
		return 0
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0
	}
	s, err := js.Stream(ctx, stream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return 0
	}
	l := s.CachedInfo().Cluster.Leader
	if l == "" {
		return 0
	}
	return int(l[len(l)-1] - '1')
}

// status of the site, asked anew until it answers or ctx ends.
func (c *cluster) status(ctx context.Context) (box.SyncStatus, error) {
	k, err := control.Dial(c.data)
	if err != nil {
		return box.SyncStatus{}, err
	}
	defer k.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return k.SyncStatus(ctx)
}

// smallDisk gives what sync keeps a disk of its own, to be filled.
func (c *cluster) smallDisk() {
	dir := filepath.Join(c.data, "sync")
	keep, err := os.ReadFile(filepath.Join(dir, "site.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=96m,mode=700"); err != nil {
		c.t.Logf("no disk of its own can be mounted, so none is filled: %v", err)
		return
	}
	c.t.Cleanup(func() { c.killSite(); _ = unix.Unmount(dir, 0) })
	if err := os.WriteFile(filepath.Join(dir, "site.json"), keep, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.full = filepath.Join(dir, "full")
}
