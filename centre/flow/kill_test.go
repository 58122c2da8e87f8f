package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rxedge/bench/process"
	"rxedge/index/document"
)

// A test starts its own program again, as a run or as a worker of one.
const (
	asEnv     = "RXEDGE_FLOW_AS"
	centreEnv = "RXEDGE_FLOW_CENTRE"
	pathsEnv  = "RXEDGE_FLOW_PATHS"
	accessEnv = "RXEDGE_FLOW_ACCESS" // the file that lets in to a bus of others
	configEnv = "RXEDGE_FLOW_CONFIG" // of a server of such a bus
	pauseEnv  = "RXEDGE_FLOW_PAUSE"  // of a worker, before each label
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(asEnv) {
	case "worker":
		err = workerProcess()
	case "run":
		err = runProcess()
	case "machine":
		err = machineProcess()
	case "bus":
		err = busProcess()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// hubOf is nil where the bus is the run's.
func hubOf() (*Hub, error) {
	path := os.Getenv(accessEnv)
	if path == "" {
		return nil, nil
	}
	a, err := ReadAccess(path)
	return &Hub{Access: a}, err
}

// workerProcess reads as a worker does, but for what is called poison: that kills it.
func workerProcess() error {
	connect := func() (*nats.Conn, error) { return Dial(Folder(os.Getenv(centreEnv)), "worker") }
	hub, err := hubOf()
	if err != nil {
		return err
	}
	if hub != nil {
		connect = func() (*nats.Conn, error) { return hub.Connect("worker", nats.RetryOnFailedConnect(true)) }
	}
	pause := 2 * time.Millisecond // so that a kill finds something under way
	if p, err := time.ParseDuration(os.Getenv(pauseEnv)); err == nil {
		pause = p
	}
	o := WorkerOptions{MaxTries: 3, Vectors: (&faker{}).embedding()}
	o.reads = func(ctx context.Context, name string, src io.Reader, size int64, opt document.Options, yield func(*document.Document) error) ([]document.Problem, error) {
		if strings.Contains(name, "poison") {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		time.Sleep(pause)
		return readSource(ctx, name, src, size, opt, yield)
	}
	return ServeWorker(context.Background(), connect, o, os.Stdin, os.Stdout)
}

func self(as, centre string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), asEnv+"="+as, centreEnv+"="+centre)
	return c
}

func runProcess() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	centre := os.Getenv(centreEnv)
	o := Options{Centre: centre, Workers: 2, Queue: QueueOptions{AckWait: 2 * time.Second}, Command: func() *exec.Cmd { return self("worker", centre) },
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Vectors: fake}
	last := ""
	o.Progress = func(p Progress) {
		if s := fmt.Sprintf("%+v", p); s != last {
			o.Log.Info(s)
			last = s
		}
	}
	if p := os.Getenv(pathsEnv); p != "" {
		o.Paths = strings.Split(p, ":")
	}
	sum, err := Run(ctx, o)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(sum)
}

// Workers are killed at any moment, and so is the run with its bus and its library, some
// times; two labels kill whoever reads them. In the end each good label is in the library
// once, the bad ones are in quarantine, the poison is given up, and nothing else.
func TestKills(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("processes are killed for some seconds")
	}
	p, centre := plant(t, 240, 12), t.TempDir()
	for _, n := range []string{"poison-1.txt", "poison-2.md"} {
		if err := os.WriteFile(filepath.Join(p.dir, n), []byte("# "+n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	killedWorkers, killedRuns := 0, 0
	var sum *Summary
	for sum == nil {
		var out, log bytes.Buffer
		c := self("run", centre)
		c.Env = append(c.Env, pathsEnv+"="+p.dir)
		c.Stdout, c.Stderr = &out, &log
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		for running, beats := true, 0; running; {
			select {
			case err := <-ended:
				running = false
				if err == nil {
					sum = &Summary{}
					if err := json.Unmarshal(out.Bytes(), sum); err != nil {
						t.Fatal(err)
					}
				} else if beats >= 0 {
					t.Fatalf("the run ended: %v\n%s", err, &log)
				}
			case <-time.After(time.Duration(100+rnd.IntN(300)) * time.Millisecond):
				beats++
				if beats > 3+rnd.IntN(6) && killedRuns < 2 {
					_ = c.Process.Kill()
					killedRuns, beats = killedRuns+1, -1000
					continue
				}
				if ws := process.Children(c.Process.Pid); len(ws) > 0 && killedWorkers < 8 {
					if syscall.Kill(ws[rnd.IntN(len(ws))], syscall.SIGKILL) == nil {
						killedWorkers++
					}
				}
			}
		}
	}
	t.Logf("%d workers and %d runs were killed", killedWorkers, killedRuns)
	p.verify(t, centre, sum, 2)
	// Each document but the 12 bad ones and the poison has its vectors, whoever was killed.
	if n := rowsOf(t, centre); n != 3*240 || sum.Bare != 0 {
		t.Errorf("%d vectors, want %d; %d documents have none", n, 3*240, sum.Bare)
	}
	q, stop := opened(t, centre)
	defer stop()
	dead, err := q.DeadLetters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dead {
		if !strings.HasPrefix(filepath.Base(d.Source.Name), "poison") || d.Stage != Read || d.Tries != 3 || !d.Kept {
			t.Errorf("%+v", d)
		}
	}
	info, err := q.blobs.Info(t.Context())
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("%d messages of content are left on the bus: %v", info.State.Msgs, err)
	}
}

// A worker whose run was killed before there was a queue to join ends.
func TestWorkerEndsWithItsRun(t *testing.T) {
	t.Parallel()
	b, err := StartBus(t.TempDir(), BusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	in, run := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- ServeWorker(t.Context(), func() (*nats.Conn, error) { return b.Connect("worker") }, WorkerOptions{}, in, io.Discard)
	}()
	_ = run.Close()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it waits for a queue that never comes")
	}
}
