package link

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// streamOf n messages, in turn of subjects a.0 to a.2, at a hub of its own.
func streamOf(t *testing.T, n int) (*server.Server, *nats.Conn, jetstream.Stream) {
	t.Helper()
	hub, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	hub.Start()
	t.Cleanup(func() { hub.Shutdown(); hub.WaitForShutdown() })
	if !hub.ReadyForConnections(30 * time.Second) {
		t.Fatal("the hub does not start")
	}
	nc, err := nats.Connect(hub.ClientURL(), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "A", Subjects: []string{"a.*"}, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := js.PublishAsync(fmt.Sprint("a.", i%3), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("the hub does not take the messages")
	}
	return hub, nc, s
}

// All that is asked for is given once, in order; what is taken away meanwhile ends the
// reading too, and nothing of it stays at the hub.
func TestReadStream(t *testing.T) {
	t.Parallel()
	_, nc, s := streamOf(t, 1501)
	last := map[string]uint64{}
	n := 0
	note := func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if meta.Sequence.Stream <= last[""] {
			t.Errorf("%d after %d", meta.Sequence.Stream, last[""])
		}
		last[""], last[m.Subject()] = meta.Sequence.Stream, meta.Sequence.Stream
		n++
		return nil
	}
	for _, c := range []struct {
		cfg  jetstream.OrderedConsumerConfig
		want int
		last map[string]uint64
	}{
		{jetstream.OrderedConsumerConfig{}, 1501, map[string]uint64{"": 1501, "a.0": 1501, "a.1": 1499, "a.2": 1500}},
		{jetstream.OrderedConsumerConfig{FilterSubjects: []string{"a.1", "a.2"}}, 1000, map[string]uint64{"": 1500, "a.1": 1499, "a.2": 1500}},
		{jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: true}, 3, map[string]uint64{"": 1501, "a.0": 1501, "a.1": 1499, "a.2": 1500}},
		{jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 1501}, 1, map[string]uint64{"": 1501, "a.0": 1501}},
		{jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 1502}, 0, map[string]uint64{}},
		{jetstream.OrderedConsumerConfig{FilterSubjects: []string{"a.9"}}, 0, map[string]uint64{}},
	} {
		n, last = 0, map[string]uint64{}
		if err := ReadStream(t.Context(), s, c.cfg, note); err != nil || n != c.want || !maps.Equal(last, c.last) {
			t.Errorf("%+v: %d messages, %v, %v", c.cfg, n, last, err)
		}
	}
	mine := errors.New("no more")
	if err := ReadStream(t.Context(), s, jetstream.OrderedConsumerConfig{}, func(jetstream.Msg, *jetstream.MsgMetadata) error { return mine }); !errors.Is(err, mine) {
		t.Error(err)
	}
	n, last = 0, map[string]uint64{}
	err := ReadStream(t.Context(), s, jetstream.OrderedConsumerConfig{}, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if meta.Sequence.Stream == 1 { // the last goes; it may have been sent already
			if err := s.DeleteMsg(t.Context(), 1501); err != nil {
				return err
			}
		}
		return note(m, meta)
	})
	if err != nil || n < 1500 {
		t.Errorf("%d messages, %v", n, err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Info(t.Context()); err != nil || info.State.Consumers > 1 { // one reader's function ended it
		t.Errorf("%d readers stay at the hub, %v", info.State.Consumers, err)
	}
}

// A hub that goes in the middle has not given all, and is not waited for without end.
func TestReadStreamCutShort(t *testing.T) {
	t.Parallel()
	hub, _, s := streamOf(t, 1500)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	n := 0
	err := ReadStream(ctx, s, jetstream.OrderedConsumerConfig{}, func(jetstream.Msg, *jetstream.MsgMetadata) error {
		if n++; n == 10 {
			hub.Shutdown()
			hub.WaitForShutdown()
		}
		return nil
	})
	if err == nil || n >= 1500 {
		t.Errorf("%d messages, %v", n, err)
	}
}

// A question that nobody answers, as it went down with a node, ends the reading long before
// the reader's own time is over.
func TestReadStreamUnanswered(t *testing.T) {
	defer func(was time.Duration) { answers = was }(answers)
	answers = 100 * time.Millisecond
	hub, nc, s := streamOf(t, 3)
	if _, err := nc.Subscribe("$JS.API.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nc.Flush(), hub.DisableJetStream()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := ReadStream(ctx, s, jetstream.OrderedConsumerConfig{}, func(jetstream.Msg, *jetstream.MsgMetadata) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}
