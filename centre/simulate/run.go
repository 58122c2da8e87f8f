package simulate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
)

// Run is one simulation.
type Run struct {
	Options
	// Work is the folder of the fleet. One that a simulation has left is gone on with: its
	// sites are enrolled.
	Work string
	// Boxes is the folder of the sites' own folders; "": in Work.
	Boxes string
	// Centre and Hubs are those of a fleet that is there; nil: one of its own is made.
	Centre *central.Folder
	Hubs   []string
	// Command of this program, for the hub's nodes and the processes of sites.
	Command func(args ...string) *exec.Cmd
	// Readers of what sites send.
	Readers central.Readers
	// Progress is called each second; nil: nobody is told.
	Progress func(Progress)
}

// Progress of a simulation.
type Progress struct {
	Phase     string  `json:"phase"`
	Seconds   float64 `json:"seconds"` // since it began
	Sites     int     `json:"sites"`   // that run
	Connected int     `json:"connected"`
	Day       float64 `json:"day,omitempty"` // that goes by
	Put       int64   `json:"put"`
	Sent      int64   `json:"sent"`
	PerSecond int64   `json:"per_second"`
	HubRSS    int64   `json:"hub_rss"`
	HubCPU    float64 `json:"hub_cpu"` // of one processor, over the last second
}

// Channel that simulated sites are on, so that no other site is given their bundles.
const Channel = "simulate"

// runner is a simulation that is under way.
type runner struct {
	Run
	centre *central.Folder
	hubs   []string
	nodes  []*node
	groups []*group
	plan   *Plan
	first  time.Time // of the simulated days
	kept   int64
	begun  uint64 // sequence of the hub's stream at the start
	ran    string // folder of this run's ledgers
	asked  int

	news chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex // of what follows
	report *Report
	days   time.Time // when they began
	before told      // as they did
	stock  int64     // what the hub kept then, and its disks
	disks  int64
	off    int
	bursts int64
}

// Simulate a fleet. Where ctx ends the report says so, and tells what there is so far;
// the error is then nil.
func Simulate(ctx context.Context, run Run) (*Report, error) {
	if err := run.Check(); err != nil {
		return nil, err
	}
	if run.Centre != nil {
		run.Faults = slices.DeleteFunc(slices.Clone(run.Faults), func(k Kind) bool { return k == Hub || k == Herd })
		run.Nodes = run.Centre.Nodes
	}
	if err := raiseFiles(run.Options); err != nil {
		return nil, err
	}
	r := &runner{Run: run, plan: NewPlan(run.Options), news: make(chan struct{}, 1), report: newReport(run.Options)}
	if err := r.plan.checkIDs(); err != nil {
		return nil, err
	}
	if r.Boxes == "" {
		r.Boxes = filepath.Join(r.Work, "sites")
	}
	r.first = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -int(run.Days()+0.999))
	// What ends in good order does so after ctx has ended.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		stop()
		for _, g := range r.groups {
			r.wg.Go(g.stop)
		}
		r.wg.Wait()
		for _, n := range r.nodes {
			n.kill()
		}
	}()
	began := time.Now()
	err := r.phases(ctx, life)
	rep := r.report
	if ctx.Err() != nil {
		rep.Interrupted = true
		err = nil
	}
	if err == nil && r.centre != nil && r.ran != "" {
		end, cancel := context.WithTimeout(life, 10*time.Minute)
		defer cancel()
		if err = r.count(end); err != nil && rep.Interrupted {
			err = nil // it may have ended before there was anything to count
		}
	}
	t, _ := r.told()
	rep.Errors, rep.Refused, rep.Took = t.Errors, t.Refused, time.Since(began).Seconds()
	rep.PerDay = rep.perDay()
	return rep, err
}

func (r *runner) phases(ctx, life context.Context) error {
	for _, p := range []struct {
		name string
		do   func(ctx, life context.Context) error
	}{
		{"hub", r.startHub}, {"enrolment", r.enrol}, {"rest", r.rest}, {"looks", r.looks}, {"days", r.live}, {"drain", r.drain}, {"return", r.herd}, {"take-up", r.takeUp},
	} {
		r.mu.Lock()
		r.report.Phase = p.name
		r.mu.Unlock()
		if err := p.do(ctx, life); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// startHub with the centre's services, and a first bundle.
func (r *runner) startHub(ctx, life context.Context) error {
	if err := os.MkdirAll(r.Work, 0o700); err != nil {
		return err
	}
	if r.Centre != nil {
		r.centre, r.hubs = r.Centre, r.Hubs
		if len(r.hubs) == 0 {
			r.hubs = r.centre.Hubs
		}
	} else if err := r.ownHub(ctx); err != nil {
		return err
	}
	if r.Centre == nil {
		ready, failed := make(chan struct{}), make(chan error, 1)
		r.wg.Go(func() {
			if err := r.centre.Serve(life, r.hubs, slog.New(slog.DiscardHandler), func() { close(ready) }); err != nil {
				failed <- err
			}
		})
		select {
		case <-ready:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Minute):
			return errors.New("the centre's services are not ready after two minutes")
		}
	}
	p, err := r.publish(ctx, "first", 1<<10, false)
	if err != nil {
		return err
	}
	r.kept = p.Number
	if r.begun, err = r.lastReport(ctx); err != nil {
		return err
	}
	r.ran = filepath.Join(r.Work, "ledgers", time.Now().UTC().Format("20060102T150405.000"))
	if err := os.MkdirAll(r.ran, 0o700); err != nil {
		return err
	}
	r.wg.Go(func() { r.sample(life) })
	return nil
}

// ownHub starts the nodes of a hub of this simulation, each a process.
func (r *runner) ownHub(ctx context.Context) error {
	ports, err := freePorts(2 * r.Nodes)
	if err != nil {
		return err
	}
	listen, routes := ports[:r.Nodes], ports[r.Nodes:]
	dir := filepath.Join(r.Work, "central")
	f, err := central.Open(dir)
	if errors.Is(err, central.ErrNoFolder) {
		f, err = central.Init(dir, central.InitOptions{Name: "simulated", Hubs: listen, Nodes: r.Nodes})
	}
	if err != nil {
		return err
	}
	if f.Nodes != r.Nodes {
		return fmt.Errorf("the fleet in %s has a hub of %d nodes, not %d; name another folder", r.Work, f.Nodes, r.Nodes)
	}
	f.Hubs = listen // other ports than the last time
	r.centre, r.hubs = f, listen
	for i := range r.Nodes {
		n := central.Node{Number: i + 1, Listen: listen[i], Store: filepath.Join(r.Work, "hub", fmt.Sprintf("data-%d", i+1))}
		if r.Nodes > 1 {
			n.Cluster, n.Routes = routes[i], routes
		}
		conf, err := f.WriteNode(filepath.Join(r.Work, "hub", fmt.Sprintf("node-%d", i+1)), n)
		if err != nil {
			return err
		}
		x := &node{command: r.Command, conf: conf, store: n.Store, address: listen[i]}
		r.nodes = append(r.nodes, x)
		if err := x.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// enrol what is not enrolled yet, start all sites, and wait until each is connected and
// has the first bundle.
func (r *runner) enrol(ctx, _ context.Context) error {
	base := r.usage()
	known := map[string]bool{}
	sites, err := r.centre.Sites()
	if err != nil {
		return err
	}
	for _, s := range sites {
		known[s.ID] = s.Public != "" && s.Revoked == nil
	}
	hub, own, began := r.hubCPU(), ownCPU(), time.Now()
	for k := range r.Processes {
		g := &group{command: r.Command, hear: r.heard, set: setup{Options: r.Options, Process: k, Folder: r.Boxes, Ledger: filepath.Join(r.ran, fmt.Sprint(k)), Hubs: r.hubs, First: r.first, Channel: Channel, Kept: r.kept}}
		if err := g.start(); err != nil {
			return err
		}
		r.mu.Lock()
		r.groups = append(r.groups, g)
		r.mu.Unlock()
	}
	anew := 0
	for i := range r.plan.Sites {
		g, o, id := r.groups[r.process(i)], order{Do: doSite, Site: i}, r.plan.Sites[i].ID
		_, lerr := enroll.Load(filepath.Join(r.Boxes, id), nil)
		switch {
		case known[id] && lerr != nil:
			return fmt.Errorf("the site %s is enrolled in this fleet, and its folder is not in %s: %w; name another folder or another seed", id, r.Boxes, lerr)
		case !known[id]:
			if o.File, err = r.centre.AddSite(id, Channel, 24*time.Hour); err != nil {
				return err
			}
			o.File.Hubs = r.hubs
			anew++
		}
		if err := g.order(o); err != nil {
			return err
		}
		g.places = append(g.places, i)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	var enrolled time.Duration
	if err := r.wait(ctx, "all sites are connected and have the first bundle", r.patience(), func(t *told) bool {
		if enrolled == 0 && t.Enrolled == r.Sites {
			enrolled = time.Since(began)
		}
		return t.Connected == r.Sites && t.hold(r.kept) >= r.Sites
	}); err != nil {
		return err
	}
	e := &Enrolled{Sites: anew, Took: enrolled.Seconds(), HubCPU: (r.hubCPU() - hub).Seconds(), CentreCPU: (ownCPU() - own).Seconds(), FirstBundle: time.Since(began).Seconds()}
	if anew > 0 {
		e.PerSecond = float64(anew) / e.Took
	}
	r.note(func(p *Report) { p.Enrolled, p.Rest = e, &Rest{Base: base} })
	return nil
}

// patience with what all sites are to do, by their number.
func (r *runner) patience() time.Duration {
	return 2*time.Minute + time.Duration(r.Sites)*200*time.Millisecond
}

// settles waits until the sites are done with what came last.
func (r *runner) settles(ctx context.Context) {
	last := int64(-1)
	for range 400 {
		t, _ := r.told()
		if t.Put == last && t.Sent >= t.Put {
			return
		}
		last = t.Put
		pause(ctx, 300*time.Millisecond)
	}
}

func (r *runner) rest(ctx, _ context.Context) error {
	pause(ctx, r.watching())
	r.settles(ctx)
	sites := r.sitesCPU()
	hub, before, began := r.hubCPU(), r.sum(), time.Now()
	pause(ctx, r.Resting)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	took, after, cpu := time.Since(began).Seconds(), r.sum(), (r.hubCPU() - hub).Seconds()
	clients := Usage{CPU: (r.sitesCPU() - sites).Seconds() / max(0.001, took)}
	for _, g := range r.groups {
		u := g.usage()
		clients.RSS, clients.Files = clients.RSS+u.RSS, clients.Files+u.Open()
	}
	use, n := r.usage(), float64(r.Sites)
	r.note(func(p *Report) {
		p.Clients = clients
		x := p.Rest
		x.For, x.CPU, x.Hub, x.Connected = took, cpu, use, after.Connected
		x.PerSite = float64(use.RSS-x.Base.RSS) / n
		if r.Resting > 0 {
			x.PerHour = cpu / took * 3600 / n * 1000
			x.Up, x.Down = float64(after.Out-before.Out)/took/n, float64(after.In-before.In)/took/n
		}
	})
	return nil
}

// looks: each site once, at no more than some hundred a second.
func (r *runner) looks(ctx, _ context.Context) error {
	hub, before, began := r.hubCPU(), r.sum(), time.Now()
	within := time.Second + time.Duration(r.Sites)*time.Second/400
	for _, g := range r.groups {
		if err := g.order(order{Do: doLook, Within: within}); err != nil {
			return err
		}
	}
	if err := r.wait(ctx, "each site has looked", r.patience(), func(t *told) bool { return t.Looks-before.Looks >= int64(r.Sites) }); err != nil {
		return err
	}
	r.settles(ctx)
	took, after, cpu := time.Since(began).Seconds(), r.sum(), (r.hubCPU() - hub).Seconds()
	n := float64(after.Looks - before.Looks)
	r.note(func(p *Report) {
		at := func(rate float64) float64 { return rate * took * float64(r.Sites) }
		p.Looks = &Looks{N: int64(n), Took: took, PerSecond: n / within.Seconds(), CPU: max(0, cpu-p.Rest.PerHour/3.6e6*took*float64(r.Sites)) / n,
			Up: (float64(after.Out-before.Out) - at(p.Rest.Up)) / n, Down: (float64(after.In-before.In) - at(p.Rest.Down)) / n}
	})
	return nil
}

// publish a bundle of about so many bytes that no site has yet.
func (r *runner) publish(ctx context.Context, name string, size int64, hold bool) (*central.Published, error) {
	docs := documents(name+time.Now().UTC().Format(time.RFC3339Nano), size)
	p, err := r.centre.Publish(central.Release{Channel: Channel, Note: name, Hold: hold, Who: "simulation", Replace: true,
		Documents: func(yield func(bundle.Document, error) bool) {
			for _, d := range docs {
				if !yield(d, nil) {
					return
				}
			}
		}})
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(hubPatience); ; pause(ctx, time.Second) { // a node may be killed in the midst of it
		nc, err := r.connect(ctx)
		if err == nil {
			err = r.centre.Push(ctx, nc, nil)
			nc.Close()
		}
		if err == nil || ctx.Err() != nil || time.Now().After(end) {
			return p, err
		}
	}
}
