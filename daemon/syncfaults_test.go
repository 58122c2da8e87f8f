package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/sync/central"
	"rxedge/sync/spool"
	"rxedge/sync/synctest"
)

type fault struct {
	name  string
	lasts time.Duration // about
	do    func(ctx context.Context, c *cluster, r *rand.Rand)
}

// pauseFor d of time in which this process runs.
func pauseFor(ctx context.Context, d time.Duration) {
	for d > 0 && ctx.Err() == nil {
		step, began := min(d, 50*time.Millisecond), time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(step):
		}
		if gone := time.Since(began); gone < stoodStill {
			step = gone
		}
		d -= step
	}
}

func cut(d time.Duration) fault {
	return fault{fmt.Sprintf("cut %v", d), d, func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each((*synctest.Line).Cut)
		pauseFor(ctx, d)
		c.each((*synctest.Line).Heal)
	}}
}

func clockBy(name string, by time.Duration) fault {
	return fault{name, 4 * time.Second, func(ctx context.Context, c *cluster, _ *rand.Rand) {
		if err := os.WriteFile(c.clock, []byte(fmt.Sprint(int(by.Seconds()))), 0o600); err != nil {
			c.t.Error(err)
		}
		c.each((*synctest.Line).Cut) // so that certificates are looked at again
		c.each((*synctest.Line).Heal)
		pauseFor(ctx, 4*time.Second)
		if err := os.WriteFile(c.clock, []byte("0"), 0o600); err != nil {
			c.t.Error(err)
		}
	}}
}

func fillDisk(ctx context.Context, c *cluster, _ *rand.Rand) {
	if c.full == "" {
		return
	}
	f, err := os.Create(c.full)
	if err != nil {
		c.t.Error(err)
		return
	}
	// To the last byte, and what is freed meanwhile too.
	block := make([]byte, 64<<10)
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end) && ctx.Err() == nil; {
		if _, err := f.Write(block); err != nil {
			if len(block) > 512 {
				block = block[:len(block)/2]
				continue
			}
			pauseFor(ctx, 20*time.Millisecond)
		}
	}
	_ = f.Close()
	if err := os.Remove(c.full); err != nil {
		c.t.Error(err)
	}
}

// faults, of which the first three are the short test.
var faults = []fault{
	cut(3 * time.Second),
	{"leader of a stream killed, back after 3 s", 3 * time.Second, func(ctx context.Context, c *cluster, r *rand.Rand) {
		i := c.leader(ctx, []string{"TELEM", "UPDATES", "ART", "STATE"}[r.IntN(4)])
		c.killNode(i)
		pauseFor(ctx, 3*time.Second)
		c.startNode(i)
	}},
	{"site killed", 0, func(_ context.Context, c *cluster, _ *rand.Rand) { c.killSite(); c.startSite() }},
	{"site killed while the line is down", 6 * time.Second, func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each((*synctest.Line).Cut)
		pauseFor(ctx, time.Second)
		c.killSite()
		c.startSite()
		pauseFor(ctx, 5*time.Second)
		c.each((*synctest.Line).Heal)
	}},
	{"blackhole 20 s", 20 * time.Second, func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each((*synctest.Line).Hole)
		pauseFor(ctx, 20*time.Second)
		c.each((*synctest.Line).Heal)
	}},
	{"600 ms round trip at 64 kbit/s for 20 s", 20 * time.Second, func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each(func(l *synctest.Line) { l.Slow(8000, 300*time.Millisecond) })
		pauseFor(ctx, 20*time.Second)
		c.each(func(l *synctest.Line) { l.Slow(0, 0) })
	}},
	clockBy("clock a day forward, then right", 24*time.Hour),
	clockBy("clock a day back, then right", -24*time.Hour),
	{"rolling restart", 15 * time.Second, func(ctx context.Context, c *cluster, _ *rand.Rand) {
		for i := range c.nodes {
			c.stopNode(i)
			pauseFor(ctx, time.Second)
			c.startNode(i)
			pauseFor(ctx, 4*time.Second)
		}
	}},
	{"disk full 8 s", 8 * time.Second, fillDisk},
	cut(20 * time.Second),
	{"site killed during a blackhole", 6 * time.Second, func(ctx context.Context, c *cluster, _ *rand.Rand) {
		c.each((*synctest.Line).Hole)
		pauseFor(ctx, 2*time.Second)
		c.killSite()
		c.startSite()
		pauseFor(ctx, 4*time.Second)
		c.each((*synctest.Line).Heal)
	}},
}

// planned are n faults: round after round, each in another order, a cut of two
// minutes in every second.
func planned(n int, r *rand.Rand) (out []fault) {
	for round := 0; len(out) < n; round++ {
		next := slices.Clone(faults)
		if round%2 == 0 {
			next = append(next, cut(2*time.Minute))
		}
		r.Shuffle(len(next), func(i, j int) { next[i], next[j] = next[j], next[i] })
		out = append(out, next...)
	}
	return out[:n]
}

const (
	labelCount = 30
	lead       = 2 * time.Second // of traffic before a fault
)

// traffic is what a site has to report and what the centre publishes. Each fault
// has its share of both.
type traffic struct {
	c       *cluster
	version [labelCount]int

	allowed atomic.Int64 // messages that may be put by now
	pause   atomic.Int64 // between batches
	bundles chan time.Duration

	mu     sync.Mutex
	next   int
	acked  map[int]bool
	newest atomic.Int64 // at the hub
}

func (l *traffic) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// report puts messages and notes which were acknowledged.
func (l *traffic) report(ctx context.Context, k *control.Client, n int) error {
	l.mu.Lock()
	first := l.next
	l.next += n
	l.mu.Unlock()
	r := box.Reports{Class: spool.Normal, Kind: "n"}
	for i := range n {
		r.Each = append(r.Each, json.RawMessage(fmt.Sprintf(`{"n":%d,"pad":%q}`, first+i, strings.Repeat("x", 250))))
	}
	kept, err := k.SyncReport(ctx, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range kept {
		l.acked[first+i] = true
	}
	return err
}

// messages of the site, as many as are allowed, until ctx ends.
func (l *traffic) messages(ctx context.Context) {
	for ctx.Err() == nil {
		k, err := control.Dial(l.c.data)
		for err == nil && ctx.Err() == nil {
			if left := int(l.allowed.Load()) - l.count(); left > 0 {
				err = l.report(ctx, k, min(left, 10))
			}
			pauseFor(ctx, time.Duration(l.pause.Load()))
		}
		if k != nil {
			_ = k.Close()
		}
		pauseFor(ctx, 100*time.Millisecond)
	}
}

// publish the next bundle, and see it at the hub.
func (l *traffic) publish(ctx context.Context) error {
	p, err := l.c.centre.Publish(central.Release{Channel: "stable", Documents: labels(func(i int) int { return l.version[i] }, labelCount)})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, 15*time.Second)
		nc, err := l.c.centre.Connect(nil, false)
		if err == nil {
			err = l.c.centre.Push(try, nc, nil)
			nc.Close()
		}
		cancel()
		if err == nil {
			l.newest.Store(p.Number)
			return nil
		}
		pauseFor(ctx, 300*time.Millisecond)
	}
	return ctx.Err()
}

// caught is how long after a fault's end a site was in step again, and what of it
// how long: until it took a message, was connected, had delivered all up to that
// message, had the bundle that was at the hub when the fault ended.
type caught struct{ spool, line, messages, bundle, all time.Duration }

func (d caught) String() string {
	return fmt.Sprintf("%.1f s (took a message %.1f, line %.1f, messages %.1f, bundle %.1f)", d.all.Seconds(), d.spool.Seconds(), d.line.Seconds(), d.messages.Seconds(), d.bundle.Seconds())
}

// stoodStill is a gap after which this process, with the hub and the site, was not
// run at all: the machine was suspended, or halted them while something else is
// measured. What a site takes to catch up can't be told where that happens.
const stoodStill = time.Second

// still adds up for how long that was.
type still struct{ ns atomic.Int64 }

func (s *still) watch(ctx context.Context) {
	for last := time.Now(); ctx.Err() == nil; {
		time.Sleep(50 * time.Millisecond)
		now := time.Now()
		if gap := now.Sub(last); gap > stoodStill {
			s.ns.Add(int64(gap))
		}
		last = now
	}
}

func (l *traffic) settle(ctx context.Context, what string, began time.Time, want int64) (d caught) {
	c := l.c
	since := func() time.Duration { return max(1, time.Since(began)) }
	late := func() {
		if since() > 10*time.Minute {
			st, err := c.status(ctx)
			b, _ := json.Marshal(st)
			log, _ := os.ReadFile(c.data + ".log")
			c.t.Fatalf("%s: not caught up after 10 minutes: %s %v\n%s", what, b, err, log[max(0, len(log)-4000):])
		}
	}
	for {
		k, err := control.Dial(c.data)
		if err == nil {
			err = l.report(ctx, k, 1)
			_ = k.Close()
		}
		if err == nil {
			break
		}
		late()
		pauseFor(ctx, 20*time.Millisecond)
	}
	put := time.Now()
	d.spool = since()
	for d.line == 0 || d.messages == 0 || d.bundle == 0 {
		st, err := c.status(ctx)
		if err == nil && st.Uplink != nil && st.Bundles != nil {
			if d.line == 0 && st.Uplink.Connected {
				d.line = since()
			}
			if w := st.Uplink.Waiting; d.messages == 0 && st.Uplink.Spool == "" && (w.Messages == 0 || w.Oldest.After(put)) {
				d.messages = since()
			}
			if d.bundle == 0 && st.Bundles.Active != nil && st.Bundles.Active.Number >= want {
				d.bundle = since()
			}
		}
		late()
		pauseFor(ctx, 20*time.Millisecond)
	}
	d.all = max(d.spool, d.line, d.messages, d.bundle)
	return d
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
	plan := faults[:3]
	if long {
		if os.Geteuid() == 0 {
			c.smallDisk()
		}
		plan = planned(count, rnd)
	}
	l := &traffic{c: c, acked: map[int]bool{}, bundles: make(chan time.Duration, bundles)}
	if err := l.publish(ctx); err != nil {
		t.Fatal(err)
	}
	c.startSite()
	work, done := context.WithCancel(ctx)
	var wg, publishing sync.WaitGroup
	defer wg.Wait()
	defer done()
	quiet := &still{}
	wg.Go(func() { quiet.watch(work) })
	l.settle(ctx, "the start", time.Now(), 1)
	l.pause.Store(int64(100 * time.Millisecond))
	wg.Go(func() { l.messages(work) })
	publishing.Go(func() {
		n := 0
		for after := range l.bundles {
			pauseFor(work, after)
			l.version[n%labelCount]++
			n++
			if err := l.publish(work); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var all []time.Duration
	again := 0
	for i, f := range plan {
		for range (bundles-1)*(i+1)/count - (bundles-1)*i/count {
			l.bundles <- time.Duration(rnd.Int64N(int64(lead + f.lasts)))
		}
		for {
			// Its share of what is left.
			before, was := l.count(), l.newest.Load()
			share := max(10, (messages-before)/(count-i))
			l.pause.Store(int64(lead+f.lasts+time.Second) * 10 / int64(share))
			l.allowed.Store(int64(before + share))
			pauseFor(ctx, lead)
			f.do(ctx, c, rnd)
			stood := quiet.ns.Load()
			at, want, met, waits := time.Now(), l.newest.Load(), l.count()-before, "?"
			if st, err := c.status(ctx); err == nil && st.Uplink != nil && st.Uplink.Spool == "" {
				waits = fmt.Sprint(st.Uplink.Waiting.Messages)
			}
			d := l.settle(ctx, f.name, at, want)
			t.Logf("%2d  %-42s %3d messages (%s waiting at its end), %d bundles; caught up after %v", i+1, f.name, met, waits, want-was, d)
			if stood = quiet.ns.Load() - stood; stood > 0 {
				t.Logf("    of which this test stood still for %.1f s; the fault is made once more", time.Duration(stood).Seconds())
				again++
				continue
			}
			all = append(all, d.all)
			break
		}
	}
	close(l.bundles)
	publishing.Wait()
	rest := messages - l.count()
	l.allowed.Store(int64(messages))
	for l.count() < messages && ctx.Err() == nil {
		pauseFor(ctx, 100*time.Millisecond)
	}
	done()
	wg.Wait()
	l.settle(ctx, "the end", time.Now(), l.newest.Load())

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
	for n := range l.acked {
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
	t.Logf("%d faults, and %d that were made once more; %d messages acknowledged at the site (the last %d after the last fault), %d at the centre, %d lost, %d twice; bundle %d of %d active; caught up: median %.1f s, most %.1f s, %d later than 5 s",
		count, again, len(l.acked), max(0, rest), len(seen), lost, twice, st.Bundles.Active.Number, l.newest.Load(), all[len(all)/2].Seconds(), all[len(all)-1].Seconds(), late)
	if lost > 0 || twice > 0 || st.Bundles.Active.Number != l.newest.Load() || l.newest.Load() != int64(bundles) {
		t.Error("see above")
	}
	// The site's documents are those of the last bundle.
	k, err := control.Dial(c.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for i := range labelCount {
		d, err := k.Document(ctx, fmt.Sprintf("medicine%d", i))
		if err != nil || !strings.Contains(d.Sections[0].Text, fmt.Sprintf("with %d tablets every 4 hours", l.version[i])) {
			t.Fatalf("medicine%d is not of version %d: %v", i, l.version[i], err)
		}
	}
}
