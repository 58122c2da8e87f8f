// Command flow measures what 'rxedge central ingest' does to 100,000 made-up labels:
// documents a second with one worker and with two, and what is in the library in the end
// when workers are killed every few seconds, and the command itself, with the bus and the
// library, every minute. With -cluster the same on a bus of three servers, which are killed
// one after another as well, and workers that have a file that lets them in and nothing
// else. Bad labels of nine kinds are planted; each must be where it
// belongs, and no other.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"rxedge/bench/labels"
	"rxedge/bench/process"
	"rxedge/centre/flow"
)

var (
	many    = flag.Int("labels", 100_000, "that come in while processes are killed; 0: none")
	few     = flag.Int("rate", 20_000, "labels that come in undisturbed, for the rates; 0: none")
	workers = flag.Int("workers", 2, "processes of the disturbed run")
	kill    = flag.Duration("kill", 3*time.Second, "between the deaths of workers")
	hub     = flag.Duration("hub", time.Minute, "between the deaths of the command, its bus and its library")
	data    = flag.String("data", filepath.Join("..", "shared", "data", "labels"), "folder of real labels; without it the sample's sentences do")
	prog    = flag.String("rxedge", "", "program to run; \"\": it is built")
	three   = flag.Bool("cluster", false, "on a bus of three servers with three copies, whose workers are elsewhere, too: the rates beside those without, and the disturbed run on it instead")
	server  = flag.Duration("server", 20*time.Second, "between the deaths of the cluster's servers, one after another; each is away for a quarter of it")
	keep    = flag.String("dir", "", "folder to work in, which is kept; \"\": a temporary one")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/flow:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir := *keep
	if dir == "" {
		d, err := os.MkdirTemp("", "bench-flow-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(d)
		dir = d
	}
	bin := *prog
	if bin == "" {
		var err error
		if bin, err = process.Build(ctx, dir, "./admin", "rxedge"); err != nil {
			return err
		}
	}
	_, texts, err := labels.Read(*data)
	if err != nil {
		return err
	}
	m := labels.NewMaker(texts, max(*many, *few))
	b := &bench{bin: bin, dir: dir}
	if *few > 0 {
		p, err := plant(filepath.Join(dir, "few"), m, *few)
		if err != nil {
			return err
		}
		for n := 1; n <= 2; n++ {
			if err := b.rate(ctx, p, n); err != nil {
				return err
			}
		}
		for n := 1; *three && n <= 2; n++ {
			if err := b.clusterRate(ctx, p, n); err != nil {
				return err
			}
		}
	}
	if *many == 0 {
		return nil
	}
	p, err := plant(filepath.Join(dir, "many"), m, *many)
	if err != nil {
		return err
	}
	if *three {
		return b.clusterDisturbed(ctx, p)
	}
	return b.disturbed(ctx, p)
}

type bench struct{ bin, dir string }

// centre makes a new one.
func (b *bench) centre(ctx context.Context, name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, b.bin, "central", "--dir", dir, "init", "--hub", "127.0.0.1:1").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("making a centre: %w\n%s", err, out)
	}
	return dir, nil
}

func (b *bench) command(centre string, workers int, p *planted) (*exec.Cmd, *bytes.Buffer) {
	var out bytes.Buffer
	c := exec.Command(b.bin, "central", "--dir", centre, "ingest", "--json", "--workers", strconv.Itoa(workers), p.dir)
	c.Stdout, c.Stderr = &out, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c, &out
}

// rate without any disturbance.
func (b *bench) rate(ctx context.Context, p *planted, workers int) error {
	centre, err := b.centre(ctx, fmt.Sprintf("centre-%d", workers))
	if err != nil {
		return err
	}
	c, out := b.command(centre, workers, p)
	if err := c.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Process.Signal(os.Interrupt) })
	defer stop()
	err = c.Wait()
	sum, err := summary(out, err)
	if err != nil {
		return err
	}
	fmt.Printf("%d workers: %d documents in %.1f s: %.0f a second; processor time of the command with its bus and workers %.1f s\n",
		workers, sum.Documents, sum.Seconds, float64(sum.Documents)/sum.Seconds, took(c).Seconds())
	return p.verify(ctx, centre, sum)
}

// summary of a command that ended; that something was held back is no error here.
func summary(out *bytes.Buffer, err error) (*flow.Summary, error) {
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 4) {
		return nil, fmt.Errorf("the ingest ended: %w\n%s", err, out)
	}
	sum := &flow.Summary{}
	return sum, json.Unmarshal(out.Bytes(), sum)
}

// disturbed is a run in which processes are killed until it ends all the same.
func (b *bench) disturbed(ctx context.Context, p *planted) error {
	centre, err := b.centre(ctx, "centre")
	if err != nil {
		return err
	}
	began := time.Now()
	rnd := rand.New(rand.NewPCG(1, 1))
	dead, commands := 0, 0
	for {
		c, out := b.command(centre, *workers, p)
		if err := c.Start(); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		sum, killed, err := b.watch(ctx, c, out, ended, rnd, &dead)
		if err != nil {
			return err
		}
		if killed {
			commands++
			continue
		}
		took := time.Since(began)
		fmt.Printf("disturbed: %d documents in %.0f s, %.0f a second; %d workers killed, %d times the command with bus and library\n",
			sum.Documents, took.Seconds(), float64(sum.Documents)/took.Seconds(), dead, commands)
		return p.verify(ctx, centre, sum)
	}
}

// watch kills workers, and in the end the command, where it does not end before.
func (b *bench) watch(ctx context.Context, c *exec.Cmd, out *bytes.Buffer, ended <-chan error, rnd *rand.Rand, dead *int) (sum *flow.Summary, killed bool, err error) {
	end := time.NewTimer(*hub)
	defer end.Stop()
	next := time.NewTicker(*kill)
	defer next.Stop()
	for {
		select {
		case err := <-ended:
			if killed {
				return nil, true, nil
			}
			sum, err := summary(out, err)
			return sum, false, err
		case <-end.C:
			killed = c.Process.Kill() == nil
		case <-next.C:
			if ws := process.Children(c.Process.Pid); len(ws) > 0 && syscall.Kill(ws[rnd.IntN(len(ws))], syscall.SIGKILL) == nil {
				*dead++
			}
		case <-ctx.Done():
			_ = c.Process.Signal(os.Interrupt)
			<-ended
			return nil, false, ctx.Err()
		}
	}
}
