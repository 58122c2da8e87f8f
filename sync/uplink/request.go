package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"rxedge/sync/bundle"
	"rxedge/sync/spool"
)

const (
	answerIn = 10 * time.Second // where nothing much comes in meanwhile
	answerBy = 3 * time.Minute  // in any case
	moving   = 1 << 10          // bytes in a second: more than pings, so something large is on its way
	askAgain = 2 * time.Second  // of such quiet, after which a small request is sent once more
	small    = 4 << 10
)

// ask sends a request and waits for its answer: while the line is up, and as
// long as bytes come in, for on a slow line an answer waits behind a chunk. What
// went down with a node of the hub is asked again of those that are left; all that
// is asked may be asked twice, as the hub knows a message by its id.
func (u *Uplink) ask(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	epoch, up := u.current()
	if !up {
		return nil, ErrDown
	}
	ctx, cancel := context.WithTimeout(ctx, answerBy)
	defer cancel()
	defer context.AfterFunc(epoch, cancel)()
	type answer struct {
		msg *nats.Msg
		err error
	}
	answers := make(chan answer, 3)
	send := func() {
		r, err := u.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		answers <- answer{r, err}
	}
	go send()
	sent := 1
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	quiet, before := time.Duration(0), u.read.Load()
	for {
		select {
		case a := <-answers:
			switch {
			case a.err == nil:
				return a.msg, nil
			case epoch.Err() != nil:
				return nil, ErrDown
			case errors.Is(a.err, context.Canceled), errors.Is(a.err, context.DeadlineExceeded):
				return nil, fmt.Errorf("the hub did not answer: %w", a.err)
			}
			return nil, a.err
		case <-tick.C:
		}
		now := u.read.Load()
		if quiet += time.Second; now-before > moving {
			quiet = 0
		}
		before = now
		if quiet >= answerIn {
			cancel()
		} else if quiet >= askAgain*time.Duration(sent) && sent < cap(answers) && len(m.Data) <= small {
			sent++
			go send()
		}
	}
}

// Ask sends a request on a subject that this site may use, and returns the answer.
func (u *Uplink) Ask(ctx context.Context, subject string, data []byte) ([]byte, error) {
	m := nats.NewMsg(subject)
	m.Data = data
	r, err := u.ask(ctx, m)
	if err != nil {
		return nil, err
	}
	return r.Data, nil
}

// Source is the hub as bundle wants it.
func (u *Uplink) Source() bundle.Source { return source{u} }

type source struct{ u *Uplink }

// Metadata implements bundle.Source.
func (s source) Metadata(ctx context.Context, name string, most int64) ([]byte, error) {
	b, err := s.u.get(ctx, "UPDATES", bundle.Subject(name))
	if err == nil && int64(len(b)) > most {
		return b[:most+1], nil // too long already; whoever asked refuses it
	}
	return b, err
}

// Chunk implements bundle.Source.
func (s source) Chunk(ctx context.Context, h bundle.Hash) ([]byte, error) {
	return s.u.get(ctx, "ART", bundle.ChunkSubject(h))
}

// get the last message of a subject, from any server that has it.
func (u *Uplink) get(ctx context.Context, stream, subject string) ([]byte, error) {
	r, err := u.ask(ctx, nats.NewMsg("$JS.API.DIRECT.GET."+stream+"."+subject))
	if err != nil {
		return nil, err
	}
	switch status := r.Header.Get("Status"); status {
	case "":
		return r.Data, nil
	case "404":
		return nil, bundle.ErrNotFound
	default:
		return nil, fmt.Errorf("the hub answered %s %s", status, r.Header.Get("Description"))
	}
}

const (
	batch = 64
	pause = 300 * time.Millisecond // after a failure that is not the line's
)

// forward what the spool holds, until ctx ends.
func (u *Uplink) forward(ctx context.Context) {
	for {
		epoch, ok := u.wait(ctx)
		if !ok {
			return
		}
		ms, err := u.opt.Spool.Fetch(epoch, batch)
		if errors.Is(err, spool.ErrClosed) && ctx.Err() != nil {
			return
		}
		if err != nil {
			u.opt.Log.Warn("the spool", "error", err)
			sleep(ctx, pause)
			continue
		}
		failed := make(chan error, len(ms))
		for _, m := range ms {
			go func() { failed <- u.send(epoch, m) }()
		}
		var first error
		for range ms {
			if err := <-failed; err != nil && first == nil {
				first = err
			}
		}
		if first != nil && !errors.Is(first, ErrDown) {
			u.opt.Log.Debug("a message could not be delivered yet", "error", first)
			sleep(ctx, pause)
		}
	}
}

// send one message; it leaves the spool once the hub has all of it.
func (u *Uplink) send(ctx context.Context, m *spool.Message) error {
	if len(m.Data) > spool.PartSize { // one at a time, so that few are at the centre in pieces
		u.long.Lock()
		defer u.long.Unlock()
	}
	subject := "tel." + u.opt.Identity.Site + "." + string(m.Class) + "." + m.Kind
	for h, data := range m.Parts() {
		id := h.Get(nats.MsgIdHdr)
		if u.landed.has(id) {
			continue
		}
		h.Set("Nats-Expected-Stream", "TELEM")
		h.Set("Rxedge-At", m.At.UTC().Format(time.RFC3339Nano))
		if err := u.publish(ctx, &nats.Msg{Subject: subject, Header: h, Data: data}); err != nil {
			if aerr := m.Again(); aerr != nil {
				return aerr
			}
			return err
		}
		if id != m.ID {
			u.landed.add(id)
		}
	}
	u.sent.Add(1)
	u.mu.Lock()
	u.lastAck = time.Now().UTC()
	u.mu.Unlock()
	return m.Done()
}

// publish to a stream and wait until it is there.
func (u *Uplink) publish(ctx context.Context, m *nats.Msg) error {
	n := len(m.Data) + overhead
	if err := u.window.enter(ctx, n); err != nil {
		return err
	}
	sent := time.Now()
	r, err := u.ask(ctx, m)
	u.window.leave(n, sent, err == nil)
	if err != nil {
		return err
	}
	var ack struct {
		Stream string `json:"stream"`
		Error  *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(r.Data, &ack); err != nil || ack.Error == nil && ack.Stream == "" {
		return errors.New("the hub's acknowledgement can't be read")
	}
	if ack.Error != nil {
		return fmt.Errorf("the hub could not keep it: %s", ack.Error.Description)
	}
	u.opt.Acknowledged(time.Since(sent))
	return nil
}

// Tell the centre what this site has. The latest counts; it is told again at
// each connection, until the hub has it.
func (u *Uplink) Tell(state []byte) {
	u.mu.Lock()
	u.state, u.told = state, false
	u.mu.Unlock()
	select {
	case u.tell <- struct{}{}:
	default:
	}
}

func (u *Uplink) report(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.tell:
		}
		epoch, ok := u.wait(ctx)
		if !ok {
			return
		}
		u.mu.Lock()
		b, told := u.state, u.told
		u.mu.Unlock()
		if b == nil || told {
			continue
		}
		m := nats.NewMsg("state." + u.opt.Identity.Site)
		m.Data = b
		err := u.publish(epoch, m)
		u.mu.Lock()
		if err == nil && string(b) == string(u.state) {
			u.told = true
		}
		again := !u.told
		u.mu.Unlock()
		if again {
			sleep(ctx, pause)
			select {
			case u.tell <- struct{}{}:
			default:
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
