package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Streams of the bus.
const (
	StreamWork  = "INGEST"       // ingest.read.UNIT, ingest.commit.UNIT: work, gone when it is done
	StreamBlobs = "INGEST_BLOBS" // ingest.blob.ID.N: what is to be read
	StreamTries = "INGEST_TRIES" // ingest.try.KEY: what a source that fails was in when it did
	StreamDead  = "INGEST_DEAD"  // ingest.dead.letter.KEY, ingest.dead.blob.KEY.N: what was given up, whole
)

const (
	subjectRead   = "ingest.read."
	subjectCommit = "ingest.commit."
	subjectBlob   = "ingest.blob."
	subjectTry    = "ingest.try."
	subjectLetter = "ingest.dead.letter."
	subjectDead   = "ingest.dead.blob."
)

// headerOf names the sources of a message by their keys, so that a fetch that goes on
// knows what is on its way; headerPart says "2/5".
const (
	headerOf   = "Rxedge-Sources"
	headerBlob = "Rxedge-Blob" // id of the content that it needs, or that may go with it
	headerPart = "Rxedge-Part"
	headerPack = "Rxedge-Pack"
)

// QueueOptions of the streams. The zero value means the defaults.
type QueueOptions struct {
	Centre    string // id of the centre that the streams are for
	Replicas  int    // 1; 3 on a cluster
	WorkBytes int64  // of units and results that wait; 1 GiB
	BlobBytes int64  // of what is to be read; 2 GiB
	DeadBytes int64  // of what was given up; 1 GiB
	// AckWait is how long a unit may go without a sign of life of its worker; 20 s. The
	// supervisor of a worker on the same machine gives it back at once.
	AckWait time.Duration
	// own: the bus began with this process, so nobody works on what it handed out before.
	own bool
}

func (o QueueOptions) withDefaults() QueueOptions {
	o.Replicas = max(o.Replicas, 1)
	def := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.WorkBytes, 1<<30)
	def(&o.BlobBytes, 2<<30)
	def(&o.DeadBytes, 1<<30)
	if o.AckWait <= 0 {
		o.AckWait = 20 * time.Second
	}
	return o
}

// Queue is the work on the bus.
type Queue struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	work    jetstream.Stream
	blobs   jetstream.Stream
	tries   jetstream.Stream
	dead    jetstream.Stream
	read    jetstream.Consumer
	commit  jetstream.Consumer
	ackWait time.Duration
}

// dedupeWindow is how long the bus knows a message's id: a worker that was cut off
// between sending and hearing of it sends again within this.
const dedupeWindow = time.Hour

// ErrOther: the streams of the bus are those of another centre.
var ErrOther = errors.New("the bus is another centre's; use a bus of this centre's own")

const centreKey = "rxedge-centre"

// OpenQueue makes the streams where they are missing. It is for the one who fetches and
// commits.
func OpenQueue(ctx context.Context, nc *nats.Conn, o QueueOptions) (*Queue, error) {
	o = o.withDefaults()
	fail := func(err error) (*Queue, error) { return nil, fmt.Errorf("making the streams of the bus: %w", err) }
	js, err := jetstream.New(nc)
	if err != nil {
		return fail(err)
	}
	if s, err := js.Stream(ctx, StreamWork); err == nil {
		if has := s.CachedInfo().Config.Metadata[centreKey]; o.Centre != "" && has != "" && has != o.Centre {
			return fail(ErrOther)
		}
	}
	q := &Queue{nc: nc, js: js, ackWait: o.AckWait}
	for _, c := range []struct {
		to *jetstream.Stream
		jetstream.StreamConfig
	}{
		{&q.work, jetstream.StreamConfig{Name: StreamWork, Subjects: []string{subjectRead + "*", subjectCommit + "*"}, Retention: jetstream.WorkQueuePolicy,
			Discard: jetstream.DiscardNew, MaxBytes: o.WorkBytes, Duplicates: dedupeWindow}},
		{&q.blobs, jetstream.StreamConfig{Name: StreamBlobs, Subjects: []string{subjectBlob + "*.*"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, MaxBytes: o.BlobBytes}},
		{&q.tries, jetstream.StreamConfig{Name: StreamTries, Subjects: []string{subjectTry + "*"}, MaxMsgsPerSubject: 1, MaxBytes: 64 << 20}},
		{&q.dead, jetstream.StreamConfig{Name: StreamDead, Subjects: []string{"ingest.dead.>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, MaxBytes: o.DeadBytes}},
	} {
		// Any copy answers a direct get, also one that lags behind: what it lacks would be
		// taken for done.
		c.AllowDirect = o.Replicas == 1
		c.Storage, c.Replicas, c.Metadata = jetstream.FileStorage, o.Replicas, map[string]string{centreKey: o.Centre}
		if *c.to, err = js.CreateOrUpdateStream(ctx, c.StreamConfig); err != nil {
			return fail(fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	consumer := func(name, filter string, wait time.Duration, pending int, anew bool) (jetstream.Consumer, error) {
		if anew {
			// What the one before had handed out is handed out again at once.
			if err := q.work.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil, err
			}
		}
		return q.work.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: wait, MaxDeliver: -1, MaxAckPending: pending})
	}
	if q.read, err = consumer("read", subjectRead+"*", o.AckWait, 10_000, o.own); err != nil {
		return fail(err)
	}
	if q.commit, err = consumer("commit", subjectCommit+"*", max(o.AckWait, 30*time.Second), 1000, true); err != nil {
		return fail(err)
	}
	return q, nil
}

// JoinQueue finds the streams that the owner of the run has made, and waits for them.
func JoinQueue(ctx context.Context, nc *nats.Conn) (*Queue, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		q := &Queue{nc: nc, js: js}
		if err := q.find(ctx); err == nil {
			return q, nil
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func (q *Queue) find(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for name, to := range map[string]*jetstream.Stream{StreamWork: &q.work, StreamBlobs: &q.blobs, StreamTries: &q.tries, StreamDead: &q.dead} {
		if *to, err = q.js.Stream(ctx, name); err != nil {
			return err
		}
	}
	if q.read, err = q.work.Consumer(ctx, "read"); err != nil {
		return err
	}
	q.ackWait = q.read.CachedInfo().Config.AckWait
	return nil
}

// How long an answer is waited for before the bus is asked again: a cluster that has lost
// its leader answers nothing, and a slow one is not to be asked ever more often.
const (
	firstAnswer = 3 * time.Second
	lastAnswer  = 24 * time.Second
)

// lasting is an error of a publish that no waiting mends.
func lasting(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) || errors.Is(err, nats.ErrConnectionClosed) ||
		errors.As(err, &api) && api.Code >= 400 && api.Code < 500 && api.ErrorCode != 0
}

// put publishes m and returns when the bus has it on disk. While the stream is full it
// waits: nothing is dropped. A bus that is away is waited for as well.
func (q *Queue) put(ctx context.Context, m *nats.Msg) error {
	_, err := q.putAt(ctx, m)
	return err
}

// putAt is put; it returns the message's number in its stream.
func (q *Queue) putAt(ctx context.Context, m *nats.Msg) (seq uint64, err error) {
	for wait, limit := 20*time.Millisecond, firstAnswer; ; wait, limit = min(2*wait, time.Second), min(2*limit, lastAnswer) {
		within, cancel := context.WithTimeout(ctx, limit)
		ack, err := q.js.PublishMsg(within, m)
		cancel()
		switch {
		case err == nil:
			return ack.Sequence, nil
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case lasting(err):
			return 0, fmt.Errorf("giving work to the bus: %w", err)
		}
		if err := sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// Errors of servers that are asked for more copies than there are servers.
const (
	noReplicas = 10074 // it is one server, and no cluster
	noPeers    = 10005 // the cluster has fewer, or some are away
)

// again does what asks the bus until it answers; what it answers is returned.
func again(ctx context.Context, do func(context.Context) error) error {
	for wait, limit := 20*time.Millisecond, firstAnswer; ; wait, limit = min(2*wait, time.Second), min(2*limit, lastAnswer) {
		within, cancel := context.WithTimeout(ctx, limit)
		err := do(within)
		cancel()
		var api *jetstream.APIError
		if err == nil || ctx.Err() != nil || errors.Is(err, jetstream.ErrMsgNotFound) || errors.As(err, &api) && (api.Code < 500 || api.ErrorCode == noReplicas) {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// backoff before the try after n that failed.
func backoff(n int) time.Duration {
	return min(250*time.Millisecond<<min(max(n-1, 0), 10), time.Minute)
}
