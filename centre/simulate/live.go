package simulate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"rxedge/bench/process"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// heard is called when a process of sites has told something.
func (r *runner) heard() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// told by all processes together.
func (r *runner) told() (told, error) {
	r.mu.Lock()
	groups := r.groups
	r.mu.Unlock()
	sum := told{Days: true}
	sum.Spools.Asked = 1 << 30
	var err error
	for _, g := range groups {
		t, gerr := g.told()
		sum.add(&t)
		err = errors.Join(err, gerr)
		if t.Failed != "" {
			err = errors.Join(err, errors.New(t.Failed))
		}
	}
	return sum, err
}

// sum of what was told; for figures of bytes and messages.
func (r *runner) sum() told { t, _ := r.told(); return t }

// wait until what was told is so.
func (r *runner) wait(ctx context.Context, what string, most time.Duration, ok func(*told) bool) error {
	end := time.NewTimer(most)
	defer end.Stop()
	for {
		t, err := r.told()
		if ok(&t) {
			return nil
		}
		if err != nil && r.down() {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return fmt.Errorf("it did not come to this within %v: %s (%d of %d sites run, %d are connected, %d messages wait; %v)", most, what, t.Sites, r.Sites, t.Connected, t.Put-t.Sent, err)
		case <-r.news:
		}
	}
}

// down says whether a process of sites, or a site, has failed.
func (r *runner) down() bool {
	for _, g := range r.groups {
		g.mu.Lock()
		bad := g.err != nil && !g.killed || g.latest.Failed != ""
		g.mu.Unlock()
		if bad {
			return true
		}
	}
	return false
}

func (r *runner) note(f func(*Report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.report)
}

func (r *runner) hubCPU() (d time.Duration) {
	for _, n := range r.nodes {
		d += n.usage().CPU
	}
	return d
}

// sitesCPU of the processes of sites that run.
func (r *runner) sitesCPU() (d time.Duration) {
	for _, g := range r.groups {
		d += g.usage().CPU
	}
	return d
}

// usage of the hub's nodes together.
func (r *runner) usage() (u Usage) {
	for _, n := range r.nodes {
		x := n.usage()
		u.RSS, u.Files = u.RSS+x.RSS, u.Files+x.Open()
	}
	return u
}

// disk that the hub's folders take.
func (r *runner) disk() (n int64) {
	for _, x := range r.nodes {
		d, err := process.Disk(x.store)
		if err != nil {
			continue
		}
		for _, k := range d {
			n += k
		}
	}
	return n
}

// sample the hub and tell of progress each second, until ctx ends.
func (r *runner) sample(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began, before, cpu := time.Now(), int64(0), r.hubCPU()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		t, u, c, l := r.sum(), r.usage(), r.hubCPU(), load()
		r.mu.Lock()
		p := Progress{Phase: r.report.Phase, Seconds: time.Since(began).Seconds(), Sites: t.Sites, Connected: t.Connected, Put: t.Put, Sent: t.Sent, PerSecond: max(0, t.Sent-before), HubRSS: u.RSS, HubCPU: (c - cpu).Seconds()}
		if !r.days.IsZero() {
			p.Day = min(r.Options.Days(), time.Since(r.days).Hours()/24*r.Speed)
		}
		if p.Phase == "days" {
			r.off, r.bursts = max(r.off, t.Sites-t.Connected), max(r.bursts, p.PerSecond)
		}
		m := r.report
		m.LoadLeast, m.LoadMost = min(m.LoadLeast, l), max(m.LoadMost, l)
		m.Most.RSS, m.Most.Files = max(m.Most.RSS, u.RSS), max(m.Most.Files, u.Files)
		r.mu.Unlock()
		before, cpu = t.Sent, c
		if r.Progress != nil {
			r.Progress(p)
		}
	}
}

// documents of about so many bytes in all, which compress as labels' text does, to a
// third or so.
func documents(name string, size int64) (out []bundle.Document) {
	const each = 20 << 10
	seed := uint64(0)
	for _, c := range []byte(name) {
		seed = seed*31 + uint64(c)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	var word [4]byte
	for i := 0; size > 0; i++ {
		var b strings.Builder
		for int64(b.Len()) < min(each, size) {
			for k := range word {
				word[k] = byte(rng.Uint32())
			}
			fmt.Fprintf(&b, "%s mg of it ", hex.EncodeToString(word[:]))
		}
		size -= each
		out = append(out, bundle.Document{ID: fmt.Sprintf("medicine-%d", i), Parts: [][]byte{[]byte(b.String())}})
	}
	return out
}

// live lets the days go by, with an update, a rollout and the faults of the plan.
func (r *runner) live(ctx, life context.Context) error {
	hub, before, disk, began := r.hubCPU(), r.sum(), r.disk(), time.Now()
	stored, err := r.stored(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.days, r.before, r.stock, r.disks = began, before, stored, disk
	r.mu.Unlock()
	for _, g := range r.groups {
		if err := g.order(order{Do: doDays, Began: began}); err != nil {
			return err
		}
	}
	faults, cancel := context.WithCancel(life)
	defer cancel()
	failed := make(chan error, 2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.faults(faults, ctx, began); err != nil {
			failed <- err
		}
	}()
	released := make(chan struct{})
	go func() {
		defer close(released)
		if err := r.releases(ctx, began); err != nil && ctx.Err() == nil {
			failed <- err
		}
	}()
	end := time.NewTimer(time.Until(began.Add(r.For)))
	defer end.Stop()
	select {
	case <-ctx.Done():
	case <-end.C:
	}
	<-released
	if ctx.Err() != nil {
		cancel()
	}
	<-done
	select {
	case err = <-failed:
	default:
	}
	took, after := time.Since(began).Seconds(), r.sum()
	cpu := (r.hubCPU() - hub).Seconds()
	r.note(func(p *Report) {
		d := &Days{Days: r.Options.Days(), Took: took, Messages: after.Sent - before.Sent,
			HubCPU: cpu, Looks: after.Looks - before.Looks, Up: after.Out - before.Out, Down: after.In - before.In, Faults: len(r.plan.Faults), Off: r.off, Busiest: float64(r.bursts)}
		d.PerSecond = float64(d.Messages) / took
		if d.Messages > 0 {
			d.PerMessage = max(0, cpu-p.Rest.PerHour/3.6e6*took*float64(r.Sites)-float64(d.Looks)*p.Looks.CPU) / float64(d.Messages)
		}
		p.Days = d
	})
	return err
}

// faults of the plan, until it is over. What was broken is mended though ctx ends.
func (r *runner) faults(life, ctx context.Context, began time.Time) error {
	for i := range r.plan.Faults {
		f := &r.plan.Faults[i]
		if pause(ctx, time.Until(began.Add(f.At))); ctx.Err() != nil {
			return nil
		}
		var err error
		switch f.Kind {
		case Hub:
			n := r.nodes[f.Of]
			n.kill()
			pause(life, f.For)
			err = n.start(life)
		case Power:
			g := r.groups[f.Of]
			g.kill()
			pause(life, f.For)
			err = g.again()
		default:
			err = r.groups[r.process(f.Sites[0])].order(order{Do: doFault, Fault: f})
		}
		if err != nil && life.Err() == nil {
			return fmt.Errorf("the fault %s: %w", f.Kind, err)
		}
	}
	return nil
}

// releases: an update for all, and after it one in waves.
func (r *runner) releases(ctx context.Context, began time.Time) error {
	pause(ctx, time.Until(began.Add(r.For/20)))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	hub, at := r.hubCPU(), time.Now()
	p, err := r.publish(ctx, "update", r.Bundle, false)
	if err != nil {
		return err
	}
	s := &Spread{Number: p.Number, Bytes: p.NewBytes}
	err = r.wait(ctx, "all have the update", r.patience(), func(t *told) bool {
		n := t.hold(p.Number)
		s.Sites = max(s.Sites, n) // of those of a process that was killed nothing is told meanwhile
		took := time.Since(at).Seconds()
		if s.Half == 0 && n >= (r.Sites+1)/2 {
			s.Half = took
		}
		if s.P99 == 0 && n >= r.Sites*99/100 {
			s.P99 = took
		}
		if h := t.Have[p.Number]; h != nil {
			s.All = h.Last.Sub(at).Seconds()
		}
		return n >= r.Sites
	})
	s.HubCPU = (r.hubCPU() - hub).Seconds()
	r.note(func(p *Report) { p.Update = s })
	if err != nil {
		return err
	}
	return r.wave(ctx)
}

// wave by wave a bundle goes out, as the sites answer.
func (r *runner) wave(ctx context.Context) error {
	at := time.Now()
	p, err := r.publish(ctx, "rollout", r.Bundle/4+1<<10, true)
	if err != nil {
		return err
	}
	plan := central.DefaultPlan()
	plan.Soak = central.Duration(r.watching())
	by := central.By{Who: "simulation"}
	if _, err := r.centre.CreateRollout(Channel, p.Number, plan, by); err != nil {
		return err
	}
	x := &Rollout{Number: p.Number, Waves: plan.Waves}
	run, end := context.WithTimeout(ctx, r.patience())
	defer end()
	err = r.centre.RunRollouts(run, central.RunOptions{Hubs: r.hubs, Who: by.Who, Every: time.Second, Told: func(s central.Standing) {
		if s.Bundle != p.Number {
			return
		}
		x.State, x.Took = string(s.State), time.Since(at).Seconds()
		if f := s.Figures; f != nil {
			x.Confirmed, x.RolledBack = f.Confirmed, f.RolledBack
			if s.State == central.RolloutHalted {
				x.Why = f.Why
			}
		}
		switch s.State {
		case central.RolloutDone, central.RolloutHalted, central.RolloutAborted:
			end()
		}
	}})
	r.note(func(p *Report) { p.Rollout = x })
	if x.State != string(central.RolloutDone) && x.State != string(central.RolloutAborted) {
		// Nothing is left open: the next simulation of this fleet publishes too.
		if _, aerr := r.centre.AbortRollout(Channel, p.Number, false, by); aerr != nil {
			return errors.Join(err, aerr)
		}
		return errors.Join(err, r.centre.PushGates(context.WithoutCancel(ctx), r.hubs))
	}
	return err
}

// drain: what days are over is sent, and all spools are empty.
func (r *runner) drain(ctx, _ context.Context) error {
	at := time.Now()
	if err := r.wait(ctx, "all days are sent", r.patience()+time.Minute, func(t *told) bool { return t.Days }); err != nil {
		return err
	}
	left, err := r.empty(ctx, r.patience())
	if err != nil {
		return err
	}
	t := r.sum()
	acks, err := readSketch(t.Acks)
	stored, serr := r.stored(ctx)
	err = errors.Join(err, serr)
	r.note(func(p *Report) {
		d, b := p.Days, &r.before
		d.Windows, d.Questions, d.Messages = t.Windows-b.Windows, t.Questions-b.Questions, t.Sent-b.Sent
		d.WindowBytes = t.Bytes - b.Bytes
		d.Disk, d.Stored = r.disk()-r.disks, stored-r.stock
		p.Days.Drained = time.Since(at).Seconds()
		if q, qerr := acks.GetValuesAtQuantiles([]float64{0.5, 0.95, 0.99}); qerr == nil {
			p.Days.P50, p.Days.P95, p.Days.P99 = q[0], q[1], q[2]
		}
		p.Days.Worst, _ = acks.GetMaxValue()
	})
	if left > 0 {
		return fmt.Errorf("%d messages are in the sites' spools after %v", left, r.patience())
	}
	return err
}

// empty asks what waits in spools until nothing does, and says how much is left.
func (r *runner) empty(ctx context.Context, most time.Duration) (int64, error) {
	for end := time.Now().Add(most); ; {
		r.asked++
		for _, g := range r.groups {
			if err := g.order(order{Do: doAsk, Ask: r.asked}); err != nil {
				return 0, err
			}
		}
		if err := r.wait(ctx, "all spools are asked", r.patience(), func(t *told) bool { return t.Spools.Asked >= r.asked }); err != nil {
			return 0, err
		}
		if t := r.sum(); t.Spools.Messages == 0 || time.Now().After(end) {
			return t.Spools.Messages, nil
		}
		pause(ctx, time.Second)
	}
}

// herd: all nodes are killed at once and start again, and every site comes back.
func (r *runner) herd(ctx, life context.Context) error {
	if !r.has(Herd) || len(r.nodes) == 0 {
		return nil
	}
	at := time.Now()
	for _, g := range r.groups {
		if err := g.order(order{Do: doMark, Mark: at}); err != nil {
			return err
		}
	}
	for _, n := range r.nodes {
		n.kill()
	}
	hub := r.hubCPU()
	started := make(chan error, len(r.nodes))
	for _, n := range r.nodes {
		go func() { started <- n.start(life) }()
	}
	var err error
	for range r.nodes {
		err = errors.Join(err, <-started)
	}
	x := &Return{Sites: r.Sites, Listening: time.Since(at).Seconds()}
	taking := make(chan float64, 1)
	if err == nil {
		go func() {
			defer close(taking)
			if _, err := r.lastReport(ctx); err == nil {
				taking <- time.Since(at).Seconds()
			}
		}()
		err = r.wait(ctx, "all sites are back", r.patience(), func(t *told) bool {
			x.Back = t.Back
			took := time.Since(at).Seconds()
			if x.Half == 0 && t.Back >= (r.Sites+1)/2 {
				x.Half = took
			}
			if x.P99 == 0 && t.Back >= r.Sites*99/100 {
				x.P99 = took
			}
			x.All = t.LastBack.Sub(at).Seconds()
			return t.Back >= r.Sites
		})
		x.Taking = <-taking
	}
	x.HubCPU = (r.hubCPU() - hub).Seconds()
	x.PerSite = x.HubCPU / float64(max(x.Back, 1))
	x.PerSecond = float64(x.Back) / max(0.001, x.All-x.Listening)
	r.note(func(p *Report) { p.Return = x })
	return err
}
