package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	"rxedge/sync/spool"
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
	if err := os.WriteFile(filepath.Join(c.data, "rxedge.toml"), []byte("sample = false\n[index]\ndisk_floor_mb = 0\n"), 0o600); err != nil {
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

type fault struct {
	name string
	do   func(ctx context.Context, c *cluster, r *rand.Rand)
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func cutFor(d time.Duration) func(context.Context, *cluster, *rand.Rand) {
	return func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each((*synctest.Line).Cut)
		pauseFor(ctx, d)
		c.each((*synctest.Line).Heal)
	}
}

var faults = []fault{
	{"cut 3 s", cutFor(3 * time.Second)},
	{"leader of a stream killed, back after 3 s", func(ctx context.Context, c *cluster, r *rand.Rand) {
		i := c.leader(ctx, []string{"TELEM", "UPDATES", "ART", "STATE"}[r.IntN(4)])
		c.killNode(i)
		pauseFor(ctx, 3*time.Second)
		c.startNode(i)
	}},
	{"site killed", func(ctx context.Context, c *cluster, _ *rand.Rand) { c.killSite(); c.startSite() }},
	{"site killed while the line is down", func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each((*synctest.Line).Cut)
		pauseFor(ctx, time.Second)
		c.killSite()
		c.startSite()
		pauseFor(ctx, 5*time.Second)
		c.each((*synctest.Line).Heal)
	}},
	{"blackhole 20 s", func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each((*synctest.Line).Hole)
		pauseFor(ctx, 20*time.Second)
		c.each((*synctest.Line).Heal)
	}},
	{"600 ms round trip at 64 kbit/s for 20 s", func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each(func(l *synctest.Line) { l.Slow(8000, 300*time.Millisecond) })
		pauseFor(ctx, 20*time.Second)
		c.each(func(l *synctest.Line) { l.Slow(0, 0) })
	}},
	{"clock a day forward, then right", clockBy(24 * time.Hour)},
	{"clock a day back, then right", clockBy(-24 * time.Hour)},
	{"rolling restart", func(ctx context.Context, c *cluster, _ *rand.Rand) {
		for i := range c.nodes {
			c.killNode(i)
			pauseFor(ctx, time.Second)
			c.startNode(i)
			pauseFor(ctx, 4*time.Second)
		}
	}},
	{"disk full 8 s", func(ctx context.Context, c *cluster, _ *rand.Rand) {
		if c.full == "" {
			return
		}
		f, err := os.Create(c.full)
		if err != nil {
			c.t.Error(err)
			return
		}
		block := make([]byte, 64<<10)
		for err == nil {
			_, err = f.Write(block)
		}
		_ = f.Close()
		pauseFor(ctx, 8*time.Second)
		if err := os.Remove(c.full); err != nil {
			c.t.Error(err)
		}
	}},
	{"cut 20 s", cutFor(20 * time.Second)},
	{"site killed during a blackhole", func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each((*synctest.Line).Hole)
		pauseFor(ctx, 2*time.Second)
		c.killSite()
		c.startSite()
		pauseFor(ctx, 4*time.Second)
		c.each((*synctest.Line).Heal)
	}},
}

func clockBy(d time.Duration) func(context.Context, *cluster, *rand.Rand) {
	return func(ctx context.Context, c *cluster, _ *rand.Rand) {
		if err := os.WriteFile(c.clock, []byte(fmt.Sprint(int(d.Seconds()))), 0o600); err != nil {
			c.t.Error(err)
		}
		c.each((*synctest.Line).Cut) // so that certificates are looked at again
		c.each((*synctest.Line).Heal)
		pauseFor(ctx, 4*time.Second)
		if err := os.WriteFile(c.clock, []byte("0"), 0o600); err != nil {
			c.t.Error(err)
		}
	}
}

// A hub of three processes and a site daemon through faults: nothing that was
// acknowledged is lost, nothing is at the centre twice, the last bundle is active.
// RXEDGE_SYNC_FAULTS=60 is the long run, RXEDGE_SEED repeats one.
func TestSyncFaults(t *testing.T) {
	count, messages, bundles, long := 3, 150, 3, false
	if n, err := strconv.Atoi(os.Getenv("RXEDGE_SYNC_FAULTS")); err == nil {
		count, messages, bundles, long = n, 10_000, 50, true
	} else if testing.Short() {
		t.Skip("three hub processes take a while")
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("RXEDGE_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("RXEDGE_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	ctx := t.Context()
	c := newCluster(t)
	if long && os.Geteuid() == 0 {
		// A small disk of its own for what sync keeps, to be filled.
		dir := filepath.Join(c.data, "sync")
		keep, err := os.ReadFile(filepath.Join(dir, "site.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=96m,mode=700"); err == nil {
			t.Cleanup(func() { c.killSite(); _ = unix.Unmount(dir, 0) })
			if err := os.WriteFile(filepath.Join(dir, "site.json"), keep, 0o600); err != nil {
				t.Fatal(err)
			}
			c.full = filepath.Join(dir, "full")
		} else {
			t.Logf("no disk of its own can be mounted, so none is filled: %v", err)
		}
	}
	const nLabels = 30
	version := make([]int, nLabels)
	publish := func() (int64, error) {
		p, err := c.centre.Publish(central.Release{Channel: "stable", Documents: labels(func(i int) int { return version[i] }, nLabels)})
		if err != nil {
			return 0, err
		}
		return p.Number, nil
	}
	var newest atomic.Int64
	push := func() {
		for ctx.Err() == nil {
			try, cancel := context.WithTimeout(ctx, 15*time.Second)
			nc, err := c.centre.Connect(nil, false)
			if err == nil {
				err = c.centre.Push(try, nc, nil)
				nc.Close()
			}
			cancel()
			if err == nil {
				return
			}
			pauseFor(ctx, 300*time.Millisecond)
		}
	}
	if n, err := publish(); err != nil {
		t.Fatal(err)
	} else {
		push()
		newest.Store(n)
	}
	c.startSite()
	settled := func(at time.Time) bool {
		st, err := c.status(ctx)
		if err != nil || st.Uplink == nil || !st.Uplink.Connected || st.Bundles.Active == nil || st.Bundles.Active.Number < newest.Load() {
			return false
		}
		w := st.Uplink.Waiting
		return w.Messages == 0 || w.Oldest.After(at)
	}
	settle := func(what string) time.Duration {
		began := time.Now()
		for !settled(began) {
			if time.Since(began) > 3*time.Minute {
				st, err := c.status(ctx)
				b, _ := json.Marshal(st)
				log, _ := os.ReadFile(c.data + ".log")
				t.Fatalf("%s: not caught up after 3 minutes: %s %v\n%s", what, b, err, log[max(0, len(log)-4000):])
			}
			time.Sleep(50 * time.Millisecond)
		}
		return time.Since(began)
	}
	settle("the start")

	// Messages and bundles all the while.
	work, done := context.WithCancel(ctx)
	defer done()
	var wg sync.WaitGroup
	acked := map[int]bool{}
	var enough atomic.Bool
	wg.Go(func() {
		next := 0
		for work.Err() == nil && len(acked) < messages {
			k, err := control.Dial(c.data)
			if err != nil {
				pauseFor(work, 100*time.Millisecond)
				continue
			}
			for work.Err() == nil && len(acked) < messages {
				r := box.Reports{Class: spool.Normal, Kind: "n"}
				for range 20 {
					r.Each = append(r.Each, json.RawMessage(fmt.Sprintf(`{"n":%d,"pad":%q}`, next, strings.Repeat("x", 250))))
					next++
				}
				kept, err := k.SyncReport(work, r)
				for i := range kept {
					acked[next-20+i] = true
				}
				if err != nil {
					break
				}
				pauseFor(work, 500*time.Millisecond)
			}
			_ = k.Close()
			pauseFor(work, 200*time.Millisecond)
		}
		enough.Store(len(acked) >= messages)
	})
	published := make(chan struct{})
	wg.Go(func() {
		defer close(published)
		for n := 1; n < bundles && work.Err() == nil; n++ {
			version[n%nLabels]++
			num, err := publish()
			if err != nil {
				t.Error(err)
				return
			}
			push()
			newest.Store(num)
			pauseFor(work, time.Duration(5000/(1+n%3))*time.Millisecond)
		}
	})
	took := map[string][]time.Duration{}
	var all []time.Duration
	for i := range count {
		f := faults[i%len(faults)]
		if long && i == count/2 {
			f = fault{"cut 120 s", cutFor(2 * time.Minute)}
		}
		pauseFor(ctx, time.Duration(1000+rnd.IntN(2000))*time.Millisecond)
		f.do(ctx, c, rnd)
		d := settle(f.name)
		took[f.name] = append(took[f.name], d)
		all = append(all, d)
		t.Logf("%2d  %-45s caught up after %.1f s", i+1, f.name, d.Seconds())
	}
	<-published
	for !enough.Load() && long && ctx.Err() == nil {
		pauseFor(ctx, time.Second) // the last messages, in peace
	}
	done()
	wg.Wait()
	settle("the end")

	seen := map[int]int{}
	if err := c.centre.Collect(ctx, nil, 0, func(r central.Report) error {
		if r.Kind != "n" {
			return nil
		}
		var m struct{ N int }
		if err := json.Unmarshal(r.Data, &m); err != nil {
			return err
		}
		seen[m.N]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	lost, twice := 0, 0
	for n := range acked {
		if seen[n] == 0 {
			lost++
		}
	}
	for _, k := range seen {
		if k > 1 {
			twice++
		}
	}
	st, err := c.status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	late := 0
	for _, d := range all {
		if d > 5*time.Second {
			late++
		}
	}
	t.Logf("%d faults; %d messages acknowledged at the site, %d at the centre, %d lost, %d twice; bundle %d of %d active; caught up: median %.1f s, most %.1f s, %d later than 5 s",
		count, len(acked), len(seen), lost, twice, st.Bundles.Active.Number, newest.Load(), all[len(all)/2].Seconds(), all[len(all)-1].Seconds(), late)
	if lost > 0 || twice > 0 || st.Bundles.Active.Number != newest.Load() || newest.Load() != int64(bundles) {
		t.Error(errors.New("see above"))
	}
	// The site's documents are those of the last bundle.
	k, err := control.Dial(c.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for i := range nLabels {
		d, err := k.Document(ctx, fmt.Sprintf("medicine%d", i))
		if err != nil || !strings.Contains(d.Sections[0].Text, fmt.Sprintf("with %d tablets every 4 hours", version[i])) {
			t.Fatalf("medicine%d is not of version %d: %v", i, version[i], err)
		}
	}
}
