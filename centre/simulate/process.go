package simulate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/bench/process"
)

// child is a process of this program, begun by a command of its own. It ends with this
// one, and hears no interrupt of the terminal.
func child(command func(args ...string) *exec.Cmd, args ...string) *exec.Cmd {
	c := command(args...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	return c
}

// node of the hub, a process of its own.
type node struct {
	command func(args ...string) *exec.Cmd
	conf    string
	store   string
	address string

	mu   sync.Mutex
	cmd  *exec.Cmd // nil: killed
	dead time.Duration
}

// start it and wait until it listens.
func (n *node) start(ctx context.Context) error {
	c := child(n.command, "central", "hub", "--config", n.conf)
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting a node of the hub: %w", err)
	}
	n.mu.Lock()
	n.cmd = c
	n.mu.Unlock()
	for end := time.Now().Add(time.Minute); ; {
		conn, err := net.DialTimeout("tcp", n.address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil || time.Now().After(end) || c.ProcessState != nil {
			return errors.Join(fmt.Errorf("the hub's node at %s does not listen: %w", n.address, err), ctx.Err())
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// kill it as a power cut would; what it took of the processor stays counted.
func (n *node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.dead += n.cmd.ProcessState.UserTime() + n.cmd.ProcessState.SystemTime()
	n.cmd = nil
}

// usage of the node; its CPU with that of those killed before.
func (n *node) usage() (u process.Usage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		u, _ = process.Read(n.cmd.Process.Pid, "")
	}
	u.CPU += n.dead
	return u
}

// group is a process of sites.
type group struct {
	command func(args ...string) *exec.Cmd
	set     setup
	places  []int
	hear    func() // that it told something

	mu     sync.Mutex
	cmd    *exec.Cmd
	in     io.WriteCloser
	ended  chan struct{}
	err    error
	killed bool // by us, and not started again yet
	latest told
	before told // of those that were killed
	days   time.Time
	marked time.Time
}

func (g *group) start() error {
	c := child(g.command, "central", "simulate-sites")
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting a process of sites: %w", err)
	}
	ended := make(chan struct{})
	g.mu.Lock()
	g.cmd, g.in, g.ended, g.err, g.killed = c, in, ended, nil, false
	g.mu.Unlock()
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 4<<20)
		var last told
		for lines.Scan() {
			var t told
			if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
				continue // cut by a kill
			}
			last = t
			g.mu.Lock()
			g.latest = t
			g.mu.Unlock()
			g.hear()
		}
		err := c.Wait()
		g.mu.Lock()
		if !last.Stopped {
			g.err = errors.Join(errors.New("a process of sites ended"), err)
		}
		g.mu.Unlock()
	}()
	return g.order(order{Do: doSetup, Setup: &g.set})
}

func (g *group) order(o order) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	g.mu.Lock()
	in := g.in
	switch o.Do {
	case doDays:
		g.days = o.Began
	case doMark:
		g.marked = o.Mark
	}
	g.mu.Unlock()
	if _, err := in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("telling a process of sites: %w", err)
	}
	return nil
}

// kill it as a power cut would.
func (g *group) kill() {
	g.mu.Lock()
	c, ended := g.cmd, g.ended
	g.killed = true
	g.mu.Unlock()
	_ = c.Process.Kill()
	<-ended
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before.addSums(&g.latest)
	for n, h := range g.latest.Have { // what they hold they find on their disks
		if g.before.Have == nil {
			g.before.Have = map[int64]*having{}
		}
		if b := g.before.Have[n]; b == nil {
			g.before.Have[n] = &having{h.N, h.Last}
		} else {
			b.N, b.Last = b.N+h.N, h.Last
		}
	}
	g.latest = told{}
}

// again starts it after a kill, with its sites.
func (g *group) again() error {
	if err := g.start(); err != nil {
		return err
	}
	g.mu.Lock()
	days, marked := g.days, g.marked
	g.mu.Unlock()
	for _, i := range g.places {
		if err := g.order(order{Do: doSite, Site: i}); err != nil {
			return err
		}
	}
	if !marked.IsZero() {
		if err := g.order(order{Do: doMark, Mark: marked}); err != nil {
			return err
		}
	}
	if days.IsZero() {
		return nil
	}
	return g.order(order{Do: doDays, Began: days})
}

// told by it, with what those before it did.
func (g *group) told() (told, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := told{Days: true}
	t.Spools.Asked = 1 << 30
	t.add(&g.latest)
	t.addSums(&g.before)
	for n, h := range g.before.Have {
		t.add(&told{Have: map[int64]*having{n: h}, Days: t.Days, Spools: waiting{Asked: 1 << 30}})
	}
	return t, g.err
}

// stop it in good order; it is killed where that takes longer than a while.
func (g *group) stop() {
	g.mu.Lock()
	c, in, ended := g.cmd, g.in, g.ended
	g.mu.Unlock()
	if c == nil {
		return
	}
	_ = g.order(order{Do: doStop})
	_ = in.Close()
	select {
	case <-ended:
	case <-time.After(time.Minute + 20*time.Millisecond*time.Duration(len(g.places))):
		_ = c.Process.Kill()
		<-ended
	}
}

func (g *group) usage() (u process.Usage) {
	g.mu.Lock()
	c := g.cmd
	g.mu.Unlock()
	if c != nil {
		u, _ = process.Read(c.Process.Pid, "")
	}
	return u
}

// freePorts of loopback. Another process may take one meanwhile; that is rare.
func freePorts(n int) (out []string, err error) {
	var open []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		open = append(open, l)
		out = append(out, l.Addr().String())
	}
	for _, l := range open {
		err = errors.Join(err, l.Close())
	}
	return out, err
}

// What a site needs of file descriptors in its own process, and a node beside a
// connection of each site.
const (
	filesOfSite = 5
	filesBeside = 500
)

// raiseFiles raises the limit of open files so far as is needed and can be. Children
// have it too.
func raiseFiles(o Options) error {
	need := uint64(max(o.Sites, filesOfSite*(o.Sites/o.Processes+1)) + filesBeside)
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return err
	}
	if r.Cur >= need {
		return nil
	}
	want := unix.Rlimit{Cur: need, Max: max(r.Max, need)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &want) == nil {
		return nil
	}
	return fmt.Errorf("%d sites in %d processes need %d open files each, and the limit is %d: raise it ('ulimit -n %d'), or spread them over more --processes", o.Sites, o.Processes, need, r.Max, need)
}

// load average of the machine over a minute.
func load() float64 {
	b, _ := os.ReadFile("/proc/loadavg")
	var l float64
	_, _ = fmt.Sscan(strings.Fields(string(b) + " 0")[0], &l)
	return l
}

// ownCPU is what this process has taken.
func ownCPU() time.Duration {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
