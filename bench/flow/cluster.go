package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"rxedge/bench/process"
)

// cluster is a bus of three servers, each a process with a folder of its own.
type cluster struct {
	bin, dir       string
	configs        []string
	ingest, worker string // files that let in
	up             []*exec.Cmd
	log            *os.File
	took           time.Duration // of processor time, by servers that have ended
}

// newCluster for a centre.
func (b *bench) newCluster(ctx context.Context, centre, name string) (*cluster, error) {
	c := &cluster{bin: b.bin, dir: filepath.Join(b.dir, name), up: make([]*exec.Cmd, 3)}
	if err := os.RemoveAll(c.dir); err != nil {
		return nil, err
	}
	args := []string{"central", "--dir", centre, "ingest", "bus-config", c.dir, "--prefix", "", "--store", "", "--json"}
	for range c.up {
		a, err := freeNode()
		if err != nil {
			return nil, err
		}
		args = append(args, "--node", a)
	}
	out, err := exec.CommandContext(ctx, b.bin, args...).Output()
	if err != nil {
		return nil, fmt.Errorf("configuring a bus: %w", err)
	}
	var w struct {
		Configurations []string
		Ingest, Worker string
	}
	if err := json.Unmarshal(out, &w); err != nil {
		return nil, err
	}
	c.configs, c.ingest, c.worker = w.Configurations, w.Ingest, w.Worker
	if c.log, err = os.Create(filepath.Join(c.dir, "log")); err != nil {
		return nil, err
	}
	for i := range c.up {
		if err := c.start(i); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// freeNode is an address of loopback with a free port, as is the one 2,000 above.
func freeNode() (string, error) {
	for range 1000 {
		p := 12000 + rand.IntN(15000)
		free := true
		for _, q := range []int{p, p + 2000} {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(q)))
			if free = free && err == nil; err == nil {
				_ = l.Close()
			}
		}
		if free {
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(p)), nil
		}
	}
	return "", errors.New("no port is free")
}

func (c *cluster) start(i int) error {
	p := exec.Command(c.bin, "central", "ingest", "bus", "--config", c.configs[i])
	p.Stdout, p.Stderr = c.log, c.log
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.up[i] = p
	return p.Start()
}

func (c *cluster) kill(i int) {
	if p := c.up[i]; p != nil {
		_ = p.Process.Kill()
		_ = p.Wait()
		c.took += took(p)
		c.up[i] = nil
	}
}

// took is the processor time of a process that has ended, with those that it waited for.
func took(c *exec.Cmd) time.Duration {
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

func (c *cluster) close() {
	for i := range c.up {
		c.kill(i)
	}
	_ = c.log.Close()
}

// machine is one that has the file that lets a worker in, and a folder of its own, and
// nothing else of the centre.
type machine struct{ cmd *exec.Cmd }

func (c *cluster) machine(n int) (*machine, error) {
	dir := filepath.Join(c.dir, fmt.Sprintf("machine-%d", n))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(c.worker)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "worker.bus"), b, 0o600)
	}
	if err != nil {
		return nil, err
	}
	p := exec.Command(c.bin, "central", "ingest", "worker", "--bus", "worker.bus", "--workers", "1")
	p.Dir, p.Env = dir, []string{"HOME=" + dir, "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH")}
	p.Stderr = c.log
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return &machine{cmd: p}, p.Start()
}

func (m *machine) stop() {
	if m.cmd.ProcessState != nil {
		return
	}
	_ = m.cmd.Process.Signal(os.Interrupt)
	_ = m.cmd.Wait()
}

// ingestOn is the command without workers, on a cluster.
func (b *bench) ingestOn(centre string, c *cluster, p *planted) (*exec.Cmd, *bytes.Buffer) {
	var out bytes.Buffer
	cmd := exec.Command(b.bin, "central", "--dir", centre, "ingest", "--json", "--bus", c.ingest, "--no-workers", p.dir)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, &out
}

// clusterRate is rate with three copies of each message, and workers elsewhere.
func (b *bench) clusterRate(ctx context.Context, p *planted, workers int) error {
	name := fmt.Sprintf("centre-r3-%d", workers)
	centre, err := b.centre(ctx, name)
	if err != nil {
		return err
	}
	c, err := b.newCluster(ctx, centre, fmt.Sprintf("bus-%d", workers))
	if err != nil {
		return err
	}
	defer c.close()
	machines := make([]*machine, workers)
	for n := range machines {
		if machines[n], err = c.machine(n); err != nil {
			return err
		}
		defer machines[n].stop()
	}
	select { // the servers find one another, and choose who leads
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	cmd, out := b.ingestOn(centre, c, p)
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(os.Interrupt) })
	defer stop()
	sum, err := summary(out, cmd.Wait())
	if err != nil {
		return err
	}
	var working time.Duration
	for _, m := range machines {
		m.stop()
		working += took(m.cmd)
	}
	c.close()
	fmt.Printf("three servers, three copies, %d workers elsewhere: %d documents in %.1f s: %.0f a second; processor time of the command %.1f s, of the workers %.1f s, of the servers %.1f s\n",
		workers, sum.Documents, sum.Seconds, float64(sum.Documents)/sum.Seconds, took(cmd).Seconds(), working.Seconds(), c.took.Seconds())
	return p.verify(ctx, centre, sum)
}

// clusterDisturbed is a run on a cluster whose servers are killed one after another, with
// all else.
func (b *bench) clusterDisturbed(ctx context.Context, p *planted) error {
	centre, err := b.centre(ctx, "centre-r3")
	if err != nil {
		return err
	}
	c, err := b.newCluster(ctx, centre, "bus")
	if err != nil {
		return err
	}
	defer c.close()
	machines := make([]*machine, *workers)
	for n := range machines {
		if machines[n], err = c.machine(n); err != nil {
			return err
		}
		defer func() { machines[n].stop() }()
	}
	began := time.Now()
	rnd := rand.New(rand.NewPCG(1, 1))
	var died struct{ workers, machines, servers, commands int }
	var cmd *exec.Cmd
	var out *bytes.Buffer
	ended := make(chan error, 1)
	begin := func() error {
		cmd, out = b.ingestOn(centre, c, p)
		if err := cmd.Start(); err != nil {
			return err
		}
		go func(cmd *exec.Cmd) { ended <- cmd.Wait() }(cmd)
		return nil
	}
	if err := begin(); err != nil {
		return err
	}
	kills, servers, commands := time.NewTicker(*kill), time.NewTicker(*server), time.NewTicker(*hub)
	defer kills.Stop()
	defer servers.Stop()
	defer commands.Stop()
	back := time.NewTimer(time.Hour) // when the server that is down comes back
	down, next := -1, 0
	for {
		select {
		case err := <-ended:
			sum, err := summary(out, err)
			if err != nil {
				return err
			}
			took := time.Since(began)
			fmt.Printf("three servers, disturbed: %d documents in %.0f s, %.0f a second; killed: %d workers, %d machines of workers, %d servers of the bus one after another, %d times the command\n",
				sum.Documents, took.Seconds(), float64(sum.Documents)/took.Seconds(), died.workers, died.machines, died.servers, died.commands)
			return p.verify(ctx, centre, sum)
		case <-kills.C:
			n := rnd.IntN(len(machines))
			if rnd.IntN(5) == 0 {
				_ = machines[n].cmd.Process.Kill()
				_ = machines[n].cmd.Wait()
				if machines[n], err = c.machine(n); err != nil {
					return err
				}
				died.machines++
				continue
			}
			if ws := process.Children(machines[n].cmd.Process.Pid); len(ws) > 0 && syscall.Kill(ws[rnd.IntN(len(ws))], syscall.SIGKILL) == nil {
				died.workers++
			}
		case <-servers.C:
			if down >= 0 {
				continue
			}
			down, next = next, (next+1)%len(c.up)
			c.kill(down)
			died.servers++
			back.Reset(*server / 4)
		case <-back.C:
			if err := c.start(down); err != nil {
				return err
			}
			down = -1
		case <-commands.C:
			_ = cmd.Process.Kill()
			<-ended
			died.commands++
			if err := begin(); err != nil {
				return err
			}
		case <-ctx.Done():
			_ = cmd.Process.Signal(os.Interrupt)
			<-ended
			return ctx.Err()
		}
	}
}
