package central

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/sync/link"
)

// listener hears what the sites tell: all that lies at the hub, then each message as
// it comes. What was missed while the connection was lost is read again.
type listener struct {
	f    *Folder
	nc   *nats.Conn
	wake chan struct{} // something was heard

	mu    sync.Mutex
	heard *heard
	fresh *heard // what was told while all was read
	stale bool   // the connection was lost since it was read whole
	whole time.Time
}

// listen on the hub; retry: also where it is not there yet.
func (f *Folder) listen(hubs []string, retry bool) (*listener, error) {
	n := &listener{f: f, wake: make(chan struct{}, 1), heard: newHeard(), fresh: newHeard(), stale: true}
	again := func(*nats.Conn) { n.reread() }
	var err error
	if n.nc, err = f.Connect(hubs, retry, nats.ReconnectHandler(again), nats.ConnectHandler(again)); err != nil {
		return nil, err
	}
	for _, subject := range []string{"state.*", "tel.*.high.rollout"} {
		if _, err := n.nc.Subscribe(subject, func(m *nats.Msg) {
			n.mu.Lock()
			n.heard.hear(m, time.Now())
			n.fresh.hear(m, time.Now())
			n.mu.Unlock()
			n.poke()
		}); err != nil {
			n.close()
			return nil, err
		}
	}
	return n, nil
}

func (n *listener) close() { n.nc.Close() }

func (n *listener) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *listener) reread() {
	n.mu.Lock()
	n.stale = true
	n.mu.Unlock()
	n.poke()
}

// once says whether all was read once.
func (n *listener) once() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.whole.IsZero()
}

// rereadEvery so that nothing that was missed stays so.
const rereadEvery = time.Minute

// readAgain reads all that lies at the hub, where it is time.
func (n *listener) readAgain(ctx context.Context) error {
	n.mu.Lock()
	due := n.stale || time.Since(n.whole) > rereadEvery
	if due {
		n.stale = false // before reading: what is lost meanwhile says so again
		n.fresh = newHeard()
	}
	n.mu.Unlock()
	if !due {
		return nil
	}
	h, err := n.f.hear(ctx, n.nc)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.stale = true
		return err
	}
	maps.Copy(h.states, n.fresh.states)
	for site, m := range n.heard.failures {
		for k, o := range m {
			h.note(site, k, o)
		}
	}
	n.heard, n.whole = h, time.Now()
	return nil
}

// hear what lies at the hub: the last state of each site, and its reports.
func (f *Folder) hear(ctx context.Context, nc *nats.Conn) (*heard, error) {
	states, err := f.states(ctx, nc)
	if err != nil {
		return nil, err
	}
	h := newHeard()
	for site, s := range states {
		h.state(site, s.State, s.At)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	s, err := StreamOf(ctx, js, StreamTelemetry)
	if err != nil {
		return nil, err
	}
	err = link.ReadStream(ctx, s, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"tel.*.high.rollout"}}, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		r := report(m)
		h.report(r.Site, r.Data, r.Here)
		return nil
	})
	if err != nil {
		return nil, err // and not a part of them: what is missed may be what halts
	}
	return h, nil
}

// Watch is what the sites tell, kept up to date: for who shows the fleet. It changes
// nothing.
type Watch struct {
	n *listener

	mu   sync.Mutex
	last map[string]time.Time // when the hub had anything of a site
	err  error                // of the latest reading
}

// Watch the fleet until ctx ends. changed is called after something was heard, and
// after each attempt to read the hub; not at the same time as itself. It connects as
// soon as the hub is there.
func (f *Folder) Watch(ctx context.Context, hubs []string, changed func()) (*Watch, error) {
	n, err := f.listen(hubs, true)
	if err != nil {
		return nil, err
	}
	w := &Watch{n: n, last: map[string]time.Time{}}
	if _, err := n.nc.Subscribe("tel.*.*.*", func(m *nats.Msg) { w.note(m.Subject, time.Now()); n.poke() }); err != nil {
		n.close()
		return nil, err
	}
	go w.run(ctx, changed)
	return w, nil
}

// wait between two calls of changed, so that a thousand sites that tell at once are
// one change.
const watchPause = 500 * time.Millisecond

func (w *Watch) run(ctx context.Context, changed func()) {
	defer w.n.close()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, time.Minute)
		whole := w.wholeAt()
		err := errors.New("it is not reached")
		if w.n.nc.IsConnected() {
			err = w.n.readAgain(try)
		}
		if err == nil && !w.wholeAt().Equal(whole) {
			err = w.readLast(try)
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
		changed()
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchPause):
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.n.wake:
		}
	}
}

func (w *Watch) wholeAt() time.Time {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	return w.n.whole
}

func (w *Watch) note(subject string, at time.Time) {
	p := strings.Split(subject, ".")
	if len(p) < 2 {
		return
	}
	w.mu.Lock()
	if at.After(w.last[p[1]]) {
		w.last[p[1]] = at
	}
	w.mu.Unlock()
}

// readLast reads when the hub had the last of each site and kind: headers alone.
func (w *Watch) readLast(ctx context.Context) error {
	js, err := jetstream.New(w.n.nc)
	if err != nil {
		return err
	}
	s, err := StreamOf(ctx, js, StreamTelemetry)
	if err != nil {
		return err
	}
	return link.ReadStream(ctx, s, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: true}, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		w.note(m.Subject(), meta.Timestamp)
		return nil
	})
}

// Hub says since when what is shown is whole, and why it is not up to date; nil: it is.
func (w *Watch) Hub() (whole time.Time, err error) {
	whole = w.wholeAt()
	w.mu.Lock()
	defer w.mu.Unlock()
	return whole, w.err
}

// States as they were heard, by site.
func (w *Watch) States() map[string]SiteState {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	out := make(map[string]SiteState, len(w.n.heard.states))
	for site, s := range w.n.heard.states {
		out[site] = SiteState{Site: site, At: s.at, State: json.RawMessage(s.raw)}
	}
	return out
}

// Last is when the hub had anything of each site.
func (w *Watch) Last() map[string]time.Time {
	w.mu.Lock()
	out := maps.Clone(w.last)
	w.mu.Unlock()
	for site, s := range w.States() {
		if s.At.After(out[site]) {
			out[site] = s.At
		}
	}
	return out
}

// Standings of rollouts, by what was heard. The rollouts are not changed.
func (w *Watch) Standings(rs []*Rollout) []Standing {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	h := w.n.heard
	if w.n.whole.IsZero() {
		h = nil
	}
	out := []Standing{}
	for _, r := range rs {
		out = append(out, standing(r, h, w.n.f.now()))
	}
	return out
}
