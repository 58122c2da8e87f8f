package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/sync/link"
	"rxedge/sync/spool"
)

// Report of a site, as it lies at the hub.
type Report struct {
	ID    string    `json:"id"`
	Site  string    `json:"site"`
	Class string    `json:"class"`
	Kind  string    `json:"kind"`
	At    time.Time `json:"at"`       // when the site put it into its spool
	Here  time.Time `json:"received"` // when the hub had it
	Data  []byte    `json:"data"`
}

// leaderless is how long a stream is asked for that has no leader: a hub of which all
// nodes were started anew lets sites in seconds before its nodes have agreed on one.
var leaderless = 30 * time.Second

// StreamOf the hub by its name. While nothing leads it, it is asked again for a while.
func StreamOf(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	for end := time.Now().Add(leaderless); ; {
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		s, err := js.Stream(one, name)
		cancel()
		switch {
		case err == nil:
			return s, nil
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return nil, fmt.Errorf("the hub has no stream %s yet: %w", name, err)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case time.Now().After(end):
			return nil, fmt.Errorf("the hub does not answer for its stream %s; have its nodes found one another? 'rxedge central hub' logs it: %w", name, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// LastReports of a kind, one of each site that sent any. One that came in parts is left out.
func (f *Folder) LastReports(ctx context.Context, hubs []string, kind string) (out []Report, err error) {
	nc, err := f.Connect(hubs, false)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	s, err := StreamOf(ctx, js, StreamTelemetry)
	if err != nil {
		return nil, err
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{"tel.*.*." + kind}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
	err = link.ReadStream(ctx, s, cfg, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		var parts spool.Assembler
		r := report(m)
		whole := false
		if r.ID, r.Data, whole = parts.Add(r.Site, m.Headers(), r.Data); whole {
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// Collect calls do for the reports at the hub, the oldest first, until there
// are no more or most messages were read; 0: all. One that came in parts is given
// with its last, and not where some are still on their way.
func (f *Folder) Collect(ctx context.Context, hubs []string, most int, do func(Report) error) error {
	nc, err := f.Connect(hubs, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	s, err := StreamOf(ctx, js, StreamTelemetry)
	if err != nil {
		return err
	}
	left := s.CachedInfo().State.Msgs
	if most > 0 {
		left = min(left, uint64(most))
	}
	next, tries := uint64(0), 0
	var parts spool.Assembler
	for left > 0 {
		got, err := fetchReports(ctx, s, &next, &left, func(m jetstream.Msg) error {
			r := report(m)
			whole := false
			if r.ID, r.Data, whole = parts.Add(r.Site, m.Headers(), r.Data); !whole {
				return nil // the rest comes later
			}
			return do(r)
		})
		if got > 0 {
			tries = 0
		}
		var mine *doError
		switch {
		case errors.As(err, &mine):
			return mine.err
		case ctx.Err() != nil:
			return ctx.Err()
		case left > 0 && got == 0:
			// A cluster that changes its leader answers nothing for a while.
			if tries++; tries > 20 {
				return errors.Join(errors.New("the hub gave fewer reports than it has"), err)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	return nil
}

// doError is what the caller's function said, which ends it.
type doError struct{ err error }

func (e *doError) Error() string { return e.err.Error() }

// fetchReports from the sequence next on, until there is no more or a failure.
func fetchReports(ctx context.Context, s jetstream.Stream, next, left *uint64, do func(jetstream.Msg) error) (got int, err error) {
	cfg := jetstream.OrderedConsumerConfig{MaxResetAttempts: 2} // else it is made anew without end
	if *next > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, *next
	}
	c, err := s.OrderedConsumer(ctx, cfg)
	if err != nil {
		return 0, err
	}
	for *left > 0 && ctx.Err() == nil {
		b, err := c.Fetch(int(min(*left, 500)), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return got, err
		}
		n := 0
		for m := range b.Messages() {
			meta, err := m.Metadata()
			if err != nil || meta.Sequence.Stream < *next {
				continue // given before
			}
			if err := do(m); err != nil {
				return got, &doError{err}
			}
			*next = meta.Sequence.Stream + 1
			*left--
			n++
		}
		if got += n; n == 0 {
			return got, b.Error()
		}
	}
	return got, ctx.Err()
}

func report(m jetstream.Msg) Report {
	r := Report{Data: m.Data()}
	if p := strings.Split(m.Subject(), "."); len(p) == 4 {
		r.Site, r.Class, r.Kind = p[1], p[2], p[3]
	}
	r.At, _ = time.Parse(time.RFC3339Nano, m.Headers().Get("Rxedge-At"))
	if meta, err := m.Metadata(); err == nil {
		r.Here = meta.Timestamp
	}
	return r
}

// SiteState is the last that a site has told of itself.
type SiteState struct {
	Site  string          `json:"site"`
	At    time.Time       `json:"at"`
	State json.RawMessage `json:"state"`
}

// States of all sites that have told any.
func (f *Folder) States(ctx context.Context, hubs []string) (map[string]SiteState, error) {
	nc, err := f.Connect(hubs, false)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	return f.states(ctx, nc)
}

func (f *Folder) states(ctx context.Context, nc *nats.Conn) (map[string]SiteState, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	s, err := StreamOf(ctx, js, StreamState)
	if err != nil {
		return nil, err
	}
	out := map[string]SiteState{}
	err = link.ReadStream(ctx, s, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		site := strings.TrimPrefix(m.Subject(), "state.")
		st := SiteState{Site: site, At: meta.Timestamp, State: json.RawMessage(m.Data())}
		if !json.Valid(m.Data()) {
			st.State = nil
		}
		out[site] = st
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
