// Package spool is the site's durable outbox: what a site has to report waits
// here, on disk, until the hub has said that it has it. It is a NATS server in
// this process, without a listening socket (see ../DESIGN.md).
package spool

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/sync/durable"
)

// Class says what is dropped first where the spool is full.
type Class string

// Classes, the first to be dropped first.
const (
	Low    Class = "low"    // samples: one more or less changes nothing
	Normal Class = "normal" // reports
	High   Class = "high"   // what was accepted, refused, rolled back
)

var classes = []Class{Low, Normal, High}

func (c Class) rank() int {
	for i, k := range classes {
		if c == k {
			return i
		}
	}
	return -1
}

// ErrFull: the spool is full of messages of the same class or a higher one, so
// this one was dropped, and counted.
var ErrFull = errors.New("the spool is full")

// ErrClosed: the spool has been closed.
var ErrClosed = errors.New("the spool is closed")

// MaxMessage is the largest message in bytes.
const MaxMessage = 256 << 10

// Options of a spool.
type Options struct {
	// MaxBytes that messages may take on disk; 0: 64 MiB.
	MaxBytes int64
	Log      *slog.Logger // nil: silent
	// Key of what is on disk; "": it is not encrypted.
	Key string
}

// Message that waits.
type Message struct {
	ID    string // unguessable; the same at every try
	Class Class
	Kind  string
	Data  []byte
	At    time.Time // when it was put

	msg jetstream.Msg
}

// Done removes it: the hub has it.
func (m *Message) Done() error { return m.msg.Ack() }

// Again lets it be fetched again, at once.
func (m *Message) Again() error { return m.msg.Nak() }

// Waiting is what is in the spool.
type Waiting struct {
	Messages uint64           `json:"messages"`
	Bytes    uint64           `json:"bytes"`
	Oldest   time.Time        `json:"oldest,omitzero"`
	Dropped  map[Class]uint64 `json:"dropped,omitempty"` // ever, by class
	MaxBytes int64            `json:"max_bytes"`
	Set      []string         `json:"set_aside,omitempty"` // stores that could not be opened
}

// Spool is open from Open to Close. Safe for concurrent use.
type Spool struct {
	dir string
	opt Options

	mu       sync.RWMutex // held for reading while the server is used
	srv      *server.Server
	began    time.Time // of the server
	nc       *nats.Conn
	js       jetstream.JetStream
	stream   jetstream.Stream
	cons     jetstream.Consumer
	life     context.Context // ends with srv
	end      context.CancelFunc
	closed   bool
	reopened time.Time
	failed   atomic.Bool // a write has failed; the server takes none after that
	mending  sync.WaitGroup
	ending   chan struct{} // closed by Close

	room    sync.Mutex // one makes room at a time
	drops   durable.Pair
	dropped map[Class]uint64
	aside   []string
}

const (
	streamName   = "SPOOL"
	consumerName = "uplink"
	readyIn      = 20 * time.Second
	healEvery    = time.Second
	writeIn      = 3 * time.Second // a store whose disk was full never answers again
)

// Open the spool in dir. A store that can't be opened is set aside, not deleted,
// and an empty one takes its place.
func Open(dir string, opt Options) (*Spool, error) {
	if opt.MaxBytes == 0 {
		opt.MaxBytes = 64 << 20
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the spool: %w", err)
	}
	s := &Spool{dir: dir, opt: opt, drops: durable.Pair{Path: filepath.Join(dir, "dropped")}, dropped: map[Class]uint64{}, ending: make(chan struct{})}
	if b, _, err := s.drops.Load(); err == nil {
		_ = json.Unmarshal(b, &s.dropped)
	} else if !errors.Is(err, durable.ErrNone) {
		return nil, fmt.Errorf("opening the spool: %w", err)
	}
	err := s.open()
	if errors.Is(err, errStore) {
		aside := filepath.Join(dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000000000"))
		opt.Log.Error("the spool's store can't be opened and was set aside", "error", err, "as", aside)
		if rerr := os.Rename(filepath.Join(dir, "store"), aside); rerr != nil {
			return nil, fmt.Errorf("setting the damaged spool aside: %w", rerr)
		}
		s.aside = append(s.aside, aside)
		err = s.open()
	}
	if err != nil {
		return nil, fmt.Errorf("opening the spool: %w", err)
	}
	return s, nil
}

// errStore: the server runs, and its store can't be used.
var errStore = errors.New("the store can't be used")

func (s *Spool) open() error {
	store := filepath.Join(s.dir, "store")
	if err := os.MkdirAll(store, 0o700); err != nil {
		return err
	}
	opt := &server.Options{
		ServerName: "spool", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: store, SyncAlways: true,
		JetStreamMaxStore: 4*s.opt.MaxBytes + 64<<20, JetStreamMaxMemory: 8 << 20,
		MaxPayload: MaxMessage + 4096,
	}
	if s.opt.Key != "" {
		opt.JetStreamKey, opt.JetStreamCipher = s.opt.Key, server.AES
	}
	srv, err := server.NewServer(opt)
	if err != nil {
		return err
	}
	began := time.Now()
	go srv.Start()
	fail := func(err error) error {
		end(srv, began)
		return err
	}
	if !srv.ReadyForConnections(readyIn) {
		return fail(fmt.Errorf("%w: not ready after %v", errStore, readyIn))
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv), nats.Name("spool"))
	if err != nil {
		return fail(err)
	}
	fail = func(err error) error {
		nc.Close()
		end(srv, began)
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyIn)
	defer cancel()
	if found, err := hasBlocks(store); err != nil {
		return fail(err)
	} else if found {
		// There are messages on disk: if the server did not take the stream up
		// again, a new one of the same name would hide or overwrite them.
		if _, err := js.Stream(ctx, streamName); err != nil {
			return fail(fmt.Errorf("%w: %w", errStore, err))
		}
	}
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"out.>"}, Storage: jetstream.FileStorage,
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: s.opt.MaxBytes, MaxMsgSize: MaxMessage + 2048,
	})
	if err != nil {
		return fail(fmt.Errorf("%w: %w", errStore, err))
	}
	// A consumer of this run alone: what it had handed out and was not done with
	// is handed out again at once after a restart. AckWait is for what was given
	// back and forgotten when room was made (a purge empties the server's list).
	cons, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Name: consumerName, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: 4096,
		MemoryStorage: true, InactiveThreshold: 365 * 24 * time.Hour,
	})
	if err != nil {
		return fail(fmt.Errorf("%w: %w", errStore, err))
	}
	s.srv, s.began, s.nc, s.js, s.stream, s.cons = srv, began, nc, js, stream, cons
	s.life, s.end = context.WithCancel(context.Background())
	return nil
}

// least is how long a server lives: of one that is shut down before all that it began has
// run, what runs then reads a queue that is gone, and ends the process (nats-server 2.15.2,
// processJSAPIRoutedRequests).
const least = 250 * time.Millisecond

// end a server that was started at began.
func end(srv *server.Server, began time.Time) {
	time.Sleep(least - time.Since(began))
	srv.Shutdown()
	srv.WaitForShutdown()
}

func hasBlocks(store string) (bool, error) {
	m, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", streamName, "msgs", "*.blk"))
	for _, f := range m {
		if fi, err := os.Stat(f); err == nil && fi.Size() > 0 {
			return true, nil
		}
	}
	return false, err
}

var validKind = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// Put keeps a message for the hub and returns when it is on disk. Where the
// spool is full, the oldest messages of the lowest class make room.
func (s *Spool) Put(ctx context.Context, class Class, kind string, data []byte) (id string, err error) {
	if class.rank() < 0 || !validKind.MatchString(kind) {
		return "", fmt.Errorf("spool: there is no class %q, or %q is no kind", class, kind)
	}
	if len(data) > MaxMessage {
		return "", fmt.Errorf("spool: a message of %d bytes; the most is %d", len(data), MaxMessage)
	}
	m := nats.NewMsg("out." + string(class) + "." + kind)
	m.Data = data
	id = NewID()
	m.Header.Set(nats.MsgIdHdr, id)
	for try := 0; ; try++ {
		err := s.publish(ctx, m)
		switch {
		case err == nil:
			return id, nil
		case isFull(err) && try < 64:
			if err := s.makeRoom(ctx, class); err != nil {
				return "", err
			}
		case try == 0 && !errors.Is(err, ErrClosed) && ctx.Err() == nil && s.heal(false):
			// The store had failed, for example on a full disk, and is open again. Were
			// the message there after all, its id would tell.
		default:
			return "", fmt.Errorf("spool: %w", err)
		}
	}
}

func (s *Spool) publish(ctx context.Context, m *nats.Msg) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	if s.js == nil || s.failed.Load() {
		return errStore
	}
	within, cancel := context.WithTimeout(ctx, writeIn)
	defer cancel()
	_, err := s.js.PublishMsg(within, m)
	if err != nil && ctx.Err() == nil && !isFull(err) {
		s.lame() // nobody else is to wait for an answer that never comes
	}
	return err
}

// lame marks the store as one that takes no more writes, and has it opened again
// as soon as that can be done, whether or not anybody asks for it.
func (s *Spool) lame() {
	if !s.failed.CompareAndSwap(false, true) {
		return
	}
	s.opt.Log.Warn("the spool could not write; is the disk full?")
	s.mending.Go(func() {
		tick := time.NewTicker(healEvery)
		defer tick.Stop()
		for s.failed.Load() && !s.heal(false) {
			select {
			case <-s.ending:
				return
			case <-tick.C:
			}
		}
	})
}

// NewID is 128 random bits in 22 letters.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func isFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == 10077 && api.Description == server.ErrMaxBytes.Error()
}

// makeRoom drops a tenth of the lowest class that there is, the oldest first.
func (s *Spool) makeRoom(ctx context.Context, class Class) error {
	s.room.Lock()
	defer s.room.Unlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	if s.stream == nil {
		return errStore
	}
	info, err := s.stream.Info(ctx, jetstream.WithSubjectFilter("out.>"))
	if err != nil {
		return fmt.Errorf("spool: making room: %w", err)
	}
	if info.State.Bytes < uint64(s.opt.MaxBytes)*9/10 && info.State.Bytes+MaxMessage < uint64(s.opt.MaxBytes) {
		return nil // somebody else has made room
	}
	for _, c := range classes[:class.rank()+1] {
		var n uint64
		for subject, k := range info.State.Subjects {
			if len(subject) > 5+len(c) && subject[4:5+len(c)] == string(c)+"." {
				n += k
			}
		}
		if n == 0 {
			continue
		}
		drop := max(1, n/10)
		if err := s.count(c, drop); err != nil {
			return err
		}
		return s.stream.Purge(ctx, jetstream.WithPurgeSubject("out."+string(c)+".>"), jetstream.WithPurgeKeep(n-drop))
	}
	if err := s.count(class, 1); err != nil {
		return err
	}
	return ErrFull
}

// count is on disk before anything is dropped, so that it never says too little.
func (s *Spool) count(c Class, n uint64) error {
	s.dropped[c] += n
	b, err := json.Marshal(s.dropped)
	if err != nil {
		return err
	}
	if err := s.drops.Store(b); err != nil {
		return fmt.Errorf("spool: counting what is dropped: %w", err)
	}
	return nil
}

// heal opens the store again where a write has failed or the server has given it
// up, or with force; not again within healEvery.
func (s *Spool) heal(force bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sound := !s.failed.Load() && s.srv != nil && s.srv.JetStreamEnabled() && s.nc.IsConnected() && !s.streamOffline()
	if s.closed || sound && !force || time.Since(s.reopened) < healEvery {
		return false
	}
	s.reopened = time.Now()
	s.shut()
	if err := s.open(); err != nil {
		s.opt.Log.Warn("the spool can't be opened again yet", "error", err)
		return false
	}
	s.failed.Store(false)
	s.opt.Log.Info("the spool is open again")
	return true
}

func (s *Spool) streamOffline() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := s.stream.Info(ctx)
	return err != nil
}

// Fetch waits for messages, up to max of them, oldest first; none where ctx
// ends before there is one, or after half a minute. Each is to be ended by Done or Again.
func (s *Spool) Fetch(ctx context.Context, max int) ([]*Message, error) {
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, ErrClosed
	}
	cons, life := s.cons, s.life
	s.mu.RUnlock()
	if cons == nil || s.failed.Load() {
		if !s.heal(false) {
			return nil, errStore
		}
		return nil, nil
	}
	batch, err := cons.FetchNoWait(max)
	var out []*Message
	if err == nil {
		if out = messages(batch); len(out) > 0 {
			return out, nil
		}
		err = batch.Error()
	}
	if err != nil {
		s.heal(false)
		return nil, fmt.Errorf("spool: %w", err)
	}
	// The client goes on waiting for a store that was opened anew meanwhile.
	wait, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(life, stop)()
	msg, err := cons.Next(jetstream.FetchContext(wait))
	if err != nil && life.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) {
			if w, err := s.Waiting(context.WithoutCancel(ctx)); ctx.Err() == nil && err == nil && w.Messages > 0 {
				s.heal(true) // there are some, and it does not hand them out
			}
			return nil, nil
		}
		s.heal(false)
		return nil, fmt.Errorf("spool: %w", err)
	}
	if m := message(msg); m != nil {
		out = append(out, m)
	}
	return out, nil
}

func messages(b jetstream.MessageBatch) (out []*Message) {
	for msg := range b.Messages() {
		if m := message(msg); m != nil {
			out = append(out, m)
		}
	}
	return out
}

// message reads one of the store; one that is none of ours is removed.
func message(msg jetstream.Msg) *Message {
	m := &Message{ID: msg.Headers().Get(nats.MsgIdHdr), Data: msg.Data(), msg: msg}
	for _, c := range classes {
		if p := "out." + string(c) + "."; len(msg.Subject()) > len(p) && msg.Subject()[:len(p)] == p {
			m.Class, m.Kind = c, msg.Subject()[len(p):]
		}
	}
	if m.Class == "" || m.ID == "" || !validKind.MatchString(m.Kind) {
		_ = msg.Term()
		return nil
	}
	if meta, err := msg.Metadata(); err == nil {
		m.At = meta.Timestamp
	}
	return m
}

// Waiting says what is in the spool.
func (s *Spool) Waiting(ctx context.Context) (Waiting, error) {
	s.mu.RLock()
	if s.closed || s.stream == nil || s.failed.Load() {
		closed := s.closed
		s.mu.RUnlock()
		if closed {
			return Waiting{}, ErrClosed
		}
		s.heal(false)
		return Waiting{}, fmt.Errorf("spool: %w", errStore)
	}
	info, err := s.stream.Info(ctx)
	s.mu.RUnlock()
	if err != nil {
		s.heal(false)
		return Waiting{}, fmt.Errorf("spool: %w", err)
	}
	w := Waiting{Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: s.opt.MaxBytes, Dropped: map[Class]uint64{}, Set: s.aside}
	if w.Messages > 0 {
		w.Oldest = info.State.FirstTime
	}
	s.room.Lock()
	defer s.room.Unlock()
	for c, n := range s.dropped {
		w.Dropped[c] = n
	}
	return w, nil
}

func (s *Spool) shut() {
	if s.srv == nil {
		return
	}
	s.end()
	s.nc.Close()
	end(s.srv, s.began)
	s.srv, s.nc, s.js, s.stream, s.cons = nil, nil, nil, nil, nil
}

// Close ends it; what waits stays on disk.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.ending)
	s.mu.Unlock()
	s.mending.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut()
	return nil
}
