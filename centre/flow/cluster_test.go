package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/bench/process"
	"rxedge/index"
	"rxedge/sync/central"
	"rxedge/sync/synctest"
)

// busProcess is a server of a bus, until its standard input ends.
func busProcess() error {
	h, err := central.RunNode(os.Getenv(configEnv), "")
	if err != nil {
		return err
	}
	defer h.Close()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// machineProcess is another machine: it has a file that lets in, and nothing else.
func machineProcess() error {
	hub, err := hubOf()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	nc, err := hub.Reach(ctx, "worker", time.Minute, func(error) {})
	if err != nil {
		return err
	}
	defer nc.Close()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return Work(ctx, nc, 1, func() *exec.Cmd { return self("worker", "") }, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// start a process of this program, which ends with the test.
func start(t *testing.T, as, dir string, env ...string) *exec.Cmd {
	t.Helper()
	c := self(as, "")
	c.Dir, c.Stderr = dir, os.Stderr
	c.Env = append(append(c.Env, "HOME="+dir, "TMPDIR="+dir), env...)
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(c) })
	return c
}

func kill(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait()
}

// servers are a bus of three processes.
type servers struct {
	t       *testing.T
	dir     string
	configs []string
	ingest  *Hub
	worker  string // the file
	up      []*exec.Cmd
}

func newServers(t *testing.T, centre string) *servers {
	t.Helper()
	s := &servers{t: t, dir: t.TempDir(), up: make([]*exec.Cmd, 3)}
	var c Cluster
	for range s.up {
		c.Nodes, c.Routes = append(c.Nodes, synctest.FreePort(t)), append(c.Routes, synctest.FreePort(t))
	}
	configs, files, err := c.Write(centre, s.dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := ReadAccess(files[0])
	if err != nil {
		t.Fatal(err)
	}
	s.configs, s.ingest, s.worker = configs, &Hub{Access: a}, files[1]
	for i := range s.up {
		s.start(i)
	}
	return s
}

func (s *servers) start(i int) {
	s.t.Helper()
	s.up[i] = start(s.t, "bus", s.dir, configEnv+"="+s.configs[i])
}

// connect as the command, as soon as a server is there.
func (s *servers) connect() *nats.Conn {
	s.t.Helper()
	nc, err := s.ingest.Connect("test", nats.RetryOnFailedConnect(true))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	for until := time.Now().Add(time.Minute); !nc.IsConnected(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			s.t.Fatal("no server of the bus answers")
		}
	}
	return nc
}

// leader is the server that leads a stream.
func (s *servers) leader(js jetstream.JetStream, stream string) int {
	s.t.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
		st, err := js.Stream(ctx, stream)
		cancel()
		if err != nil || st.CachedInfo().Cluster == nil {
			continue
		}
		var n int
		if _, err := fmt.Sscanf(st.CachedInfo().Cluster.Leader, "bus-%d", &n); err == nil {
			return n - 1
		}
	}
	s.t.Fatalf("nobody leads %s", stream)
	return 0
}

// A bus of three servers, each a process, keeps three copies; two machines, which have
// nothing but the file that lets them in, work for it. The server that leads the work is
// killed and comes back, a worker is killed, and a machine with its worker: each good label
// is in the library once, and the bad ones are in quarantine.
func TestCluster(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("processes are killed for some seconds")
	}
	p, centre := plant(t, 300, 8), t.TempDir()
	s := newServers(t, centre)
	var machines []*exec.Cmd
	machine := func() {
		t.Helper()
		dir := t.TempDir()
		b, err := os.ReadFile(s.worker)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "worker.bus"), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		machines = append(machines, start(t, "machine", dir, accessEnv+"=worker.bus", pauseEnv+"=10ms"))
	}
	machine() // before there is a bus to reach
	machine()
	js, err := jetstream.New(s.connect())
	if err != nil {
		t.Fatal(err)
	}
	worker := func(of *exec.Cmd) {
		t.Helper()
		for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if ws := process.Children(of.Process.Pid); len(ws) > 0 {
				if err := syscall.Kill(ws[0], syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					t.Error(err)
				}
				return
			}
			if time.Now().After(until) {
				t.Fatal("a machine has no worker")
			}
		}
	}

	began, ended := make(chan bool, 1), make(chan struct{})
	var sum *Summary
	o := options(t, centre, p.dir)
	o.Hub, o.NoWork, o.Queue.Replicas, o.Vectors = s.ingest, true, 3, fake
	o.Progress = func(p Progress) {
		if p.ToRead > 0 {
			select {
			case began <- true:
			default:
			}
		}
	}
	go func() {
		defer close(ended)
		sum, err = Run(t.Context(), o)
	}()
	running := func() {
		t.Helper()
		select {
		case <-ended:
			t.Fatalf("the run ended early: %+v, %v", sum, err)
		default:
		}
	}
	select {
	case <-began:
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("nothing comes to the bus")
	}
	running()
	n := s.leader(js, StreamWork)
	worker(machines[0])
	kill(s.up[n])
	running()
	time.Sleep(500 * time.Millisecond)
	kill(machines[1]) // its worker ends with it
	machine()
	s.start(n)
	select {
	case <-ended:
	case <-time.After(3 * time.Minute):
		t.Fatal("the run does not end")
	}
	if err != nil {
		t.Fatal(err)
	}
	p.verify(t, centre, sum, 0)
	if n := rowsOf(t, centre); n != 3*300 || sum.Bare != 0 {
		t.Errorf("%d vectors, %+v", n, sum)
	}
	// A worker is answered which texts have their vectors.
	answering := &kept{centre: centre}
	defer answering.close()
	quiet, err := answering.answer(t.Context(), s.connect(), fake)
	if err != nil {
		t.Fatal(err)
	}
	defer quiet()
	for _, name := range []string{StreamWork, StreamBlobs, StreamDead} {
		st, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if c := st.CachedInfo().Config; c.Replicas != 3 || c.AllowDirect {
			t.Errorf("%s has %d copies; answered by any: %v", name, c.Replicas, c.AllowDirect)
		}
		if n := st.CachedInfo().State.Msgs; n != 0 {
			t.Errorf("%d messages are left in %s", n, name)
		}
	}

	// A worker takes up work, and can do nothing else to the bus: nor can anybody without a
	// certificate, nor a worker that says it is a server.
	a, err := ReadAccess(s.worker)
	if err != nil {
		t.Fatal(err)
	}
	wc, err := Hub{Access: a}.Connect("worker")
	if err != nil {
		t.Fatal(err)
	}
	defer wc.Close()
	wjs, err := jetstream.New(wc, jetstream.WithDefaultTimeout(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	known := index.HashText("label-00007#contraindications" + strings.TrimSpace(strings.Repeat("Take 8 mg of label-00007 once a day with water. ", 8)))
	if has := (&Queue{nc: wc}).has(t.Context(), fake, []index.TextHash{known, {}}); !has[known] || len(has) != 2 || has[index.TextHash{}] {
		t.Errorf("a worker hears of what has vectors: %v", has)
	}
	if err := wjs.DeleteStream(t.Context(), StreamDead); err == nil {
		t.Error("a worker may remove a stream")
	}
	if _, err := wjs.Publish(t.Context(), subjectBlob+"x.0", nil); err == nil {
		t.Error("a worker may put content on the bus")
	}
	if _, err := wjs.Consumer(t.Context(), StreamWork, "commit"); err == nil {
		t.Error("a worker may take results")
	}
	if nc, err := (Hub{Addresses: a.Addresses[:1]}).Connect("nobody", nats.Timeout(time.Second)); err == nil {
		nc.Close()
		t.Error("the bus lets in who has nothing to show")
	}
	s.intruder(a)

	// A file of another bus-config is told at once, and not waited with.
	_, files, err := Cluster{Nodes: a.Addresses}.Write(t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if a, err = ReadAccess(files[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := (Hub{Access: a}).Reach(t.Context(), "worker", time.Minute, func(err error) { t.Error(err) }); err == nil || !strings.Contains(err.Error(), "copy the one that bus-config wrote") {
		t.Errorf("a file of another bus: %v", err)
	}
}

// intruder is a server with a worker's certificate, which wants to be one of the cluster.
func (s *servers) intruder(a *Access) {
	s.t.Helper()
	dir := s.t.TempDir()
	conf, err := os.ReadFile(s.configs[0])
	if err != nil {
		s.t.Fatal(err)
	}
	for name, text := range map[string]string{"bus.crt": a.Certificate, "bus.key": a.Key, "ca.crt": a.CA} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	text := strings.ReplaceAll(string(conf), filepath.Dir(s.configs[0]), dir)
	text = strings.ReplaceAll(text, "bus-1", "bus-4")
	path := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	o.NoLog, o.NoSigs, o.Port, o.Cluster.Port, o.JetStream = true, true, server.RANDOM_PORT, server.RANDOM_PORT, false
	srv, err := server.NewServer(o)
	if err != nil {
		s.t.Fatal(err)
	}
	go srv.Start()
	defer srv.Shutdown()
	for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if srv.NumRoutes() > 0 {
			s.t.Error("a worker's certificate makes a server of the bus")
			return
		}
	}
}

// Content is gone where the server has what came after it. One that has not come as far
// may have it yet: then the unit is not done.
func TestContentThatIsMissing(t *testing.T) {
	t.Parallel()
	b, err := StartBus(t.TempDir(), BusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	q, err := OpenQueue(t.Context(), nc, QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := q.putBlob(t.Context(), subjectBlob, "x", strings.NewReader("what is to be read"))
	if err != nil || x.Seq == 0 {
		t.Fatal(x, err)
	}
	if got, err := q.getBlob(t.Context(), x); err != nil || string(got) != "what is to be read" {
		t.Errorf("%q, %v", got, err)
	}
	if err := q.dropBlob(t.Context(), x.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := q.getBlob(t.Context(), x); !errors.Is(err, errGone) {
		t.Errorf("%v", err)
	}
	x.Seq++ // as if the server lacked it
	ctx, stop := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer stop()
	if _, err := q.getBlob(ctx, x); err == nil || errors.Is(err, errGone) {
		t.Errorf("%v", err)
	}
}

// What can't be a bus is refused with what is wrong, and a file of the bus with its name.
func TestClusterConfiguration(t *testing.T) {
	t.Parallel()
	centre := t.TempDir()
	for want, c := range map[string]Cluster{
		"1, 3 or 5 servers": {Nodes: []string{"a:1", "b:1"}},
		"is no address":     {Nodes: []string{"a"}},
		"is named twice":    {Nodes: []string{"a:1", "b:1", "a:1"}},
		"2000 above":        {Nodes: []string{"a:64000"}},
	} {
		if _, _, err := c.Write(centre, t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", c.Nodes, err)
		}
	}
	out := t.TempDir()
	c := Cluster{Nodes: []string{"a.example:4222", "10.0.0.2:4222", "[::1]:4222"}, Prefix: "/etc/bus", Store: "/var/bus", MaxStore: 1 << 30}
	configs, files, err := c.Write(centre, out)
	if err != nil || len(configs) != 3 || len(files) != 2 {
		t.Fatal(configs, files, err)
	}
	first, err := ReadAccess(files[1])
	if err != nil || first.Role != RoleWorker || len(first.Addresses) != 3 || time.Until(first.Expires) < 2*365*24*time.Hour {
		t.Errorf("%+v, %v", first, err)
	}
	// The same CA again, but for --anew.
	if _, files, err = c.Write(centre, out); err != nil {
		t.Fatal(err)
	}
	if a, err := ReadAccess(files[1]); err != nil || a.CA != first.CA || a.Key == first.Key {
		t.Error("another CA, or the same key", err)
	}
	c.Anew = true
	if _, files, err = c.Write(centre, out); err != nil {
		t.Fatal(err)
	}
	if a, err := ReadAccess(files[1]); err != nil || a.CA == first.CA {
		t.Error("the same CA", err)
	}
	if err := os.WriteFile(files[0], []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAccess(files[0]); err == nil || !strings.Contains(err.Error(), files[0]) {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(Folder(centre), "bus", "ca.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Anew = false
	if _, _, err = c.Write(centre, out); err == nil || !strings.Contains(err.Error(), "--anew") {
		t.Error(err)
	}
}
