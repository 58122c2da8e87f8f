package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/daemon/rollout"
	"rxedge/sync/central"
	"rxedge/sync/link"
	"rxedge/sync/spool"
)

// hubPatience is how long a node that was killed as a fault may take to be back.
const hubPatience = 20 * time.Second

// connect to the hub, which may be on its way back from a kill.
func (r *runner) connect(ctx context.Context) (*nats.Conn, error) {
	for end := time.Now().Add(hubPatience); ; {
		nc, err := r.centre.Connect(r.hubs, false)
		if err == nil || ctx.Err() != nil || time.Now().After(end) {
			return nc, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stream of the hub that holds what sites sent.
func (r *runner) stream(ctx context.Context, name string, do func(jetstream.Stream) error) error {
	nc, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	s, err := central.StreamOf(ctx, js, name)
	if err != nil {
		return err
	}
	return do(s)
}

// lastReport is the sequence of the latest message of a site at the hub.
func (r *runner) lastReport(ctx context.Context) (n uint64, err error) {
	err = r.stream(ctx, central.StreamTelemetry, func(s jetstream.Stream) error { n = s.CachedInfo().State.LastSeq; return nil })
	return n, err
}

// stored is what the hub keeps of what sites sent, in bytes of one copy.
func (r *runner) stored(ctx context.Context) (n int64, err error) {
	err = r.stream(ctx, central.StreamTelemetry, func(s jetstream.Stream) error { n = int64(s.CachedInfo().State.Bytes); return nil })
	return n, err
}

// takeUp measures what the centre needs for what sites sent.
func (r *runner) takeUp(ctx, _ context.Context) error {
	was, err := r.centre.Taken()
	if err != nil {
		return err
	}
	cpu, at := ownCPU(), time.Now()
	t, err := r.centre.TakeReports(ctx, r.hubs, r.Readers)
	if err != nil {
		return err
	}
	x := &TakeUp{Windows: t.Windows - was.Windows, Again: t.Again - was.Again, Refused: refusedIn(t) - refusedIn(was), Took: time.Since(at).Seconds(), CPU: (ownCPU() - cpu).Seconds()}
	if n := x.Windows + x.Again + x.Refused; n > 0 {
		x.PerSecond = float64(n) / x.Took
	}
	r.note(func(p *Report) {
		if days := int64(p.Days.Days); days > 0 && x.PerSecond > 0 {
			x.PerDay = float64(p.Days.Windows/days) / x.PerSecond
		}
		p.TakeUp = x
	})
	return nil
}

func refusedIn(t *central.Taken) (n int64) {
	for _, codes := range t.Refused {
		for _, x := range codes {
			n += x.Count
		}
	}
	return n
}

// count looks for each message that was put into a spool at the hub, by its id.
func (r *runner) count(ctx context.Context) error {
	waits, err := r.empty(ctx, time.Second)
	if err != nil {
		return err
	}
	t := r.sum()
	c := &Counted{Waiting: waits, Dropped: t.Spools.Dropped}
	put := map[string]int{} // how often the hub has each
	type day struct {
		site int
		day  time.Time
	}
	windows := map[day]bool{}
	for k := range r.Processes {
		if err := readLedger(filepath.Join(r.ran, fmt.Sprint(k)), func(e entry) {
			put[e.ID] = 0
			if !e.Day.IsZero() {
				windows[day{e.Site, e.Day}] = true
			}
		}); err != nil {
			return err
		}
	}
	c.Put = int64(len(put))
	if err := r.reports(ctx, func(id string) {
		if n, ok := put[id]; ok {
			put[id] = n + 1
		} else {
			c.Unnoted++
		}
	}); err != nil {
		return err
	}
	for _, n := range put {
		switch {
		case n == 0:
			c.Lost++
		case n > 1:
			c.Twice++
			c.Hub++
		default:
			c.Hub++
		}
	}
	// What was put and not noted may be among what waits.
	c.Lost = max(0, c.Lost-c.Waiting-c.Dropped)
	if c.States, err = r.states(ctx, &t); err != nil {
		return err
	}
	r.note(func(p *Report) {
		if p.TakeUp != nil {
			c.Missed = max(0, int64(len(windows))-p.TakeUp.Windows-p.TakeUp.Again)
		}
		p.Counted = c
	})
	return nil
}

// reports are the ids of the messages of simulated sites that came since the start, each
// time that the hub has it whole.
func (r *runner) reports(ctx context.Context, do func(id string)) error {
	nc, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	s, err := central.StreamOf(ctx, js, central.StreamTelemetry)
	if err != nil {
		return err
	}
	if s.CachedInfo().State.LastSeq <= r.begun {
		return nil
	}
	mine := map[string]bool{}
	for i := range r.plan.Sites {
		mine[r.plan.Sites[i].ID] = true
	}
	var parts spool.Assembler
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.begun + 1}
	return link.ReadStream(ctx, s, cfg, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		site := strings.Split(m.Subject(), ".")[1]
		if id, _, whole := parts.Add(site, m.Headers(), m.Data()); whole && mine[site] {
			do(id)
		}
		return nil
	})
}

// states counts the sites whose state at the hub names the bundle that they have in use;
// the last change may be on its way, so it is looked at for a while.
func (r *runner) states(ctx context.Context, t *told) (agree int, err error) {
	for range 20 {
		active := map[int64]int{}
		if err := r.stateOf(ctx, active); err != nil {
			return 0, err
		}
		agree = 0
		for n, k := range t.Active {
			agree += min(k, active[n])
		}
		if agree >= r.Sites {
			break
		}
		pause(ctx, 500*time.Millisecond)
		now := r.sum()
		*t = now
	}
	return agree, nil
}

func (r *runner) stateOf(ctx context.Context, active map[int64]int) error {
	mine := map[string]bool{}
	for i := range r.plan.Sites {
		mine[r.plan.Sites[i].ID] = true
	}
	return r.stream(ctx, central.StreamState, func(s jetstream.Stream) error {
		return link.ReadStream(ctx, s, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
			var x rollout.SiteState
			if _, site, _ := strings.Cut(m.Subject(), "."); mine[site] && json.Unmarshal(m.Data(), &x) == nil {
				active[x.Active]++
			}
			return nil
		})
	})
}
