package central

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rxedge/sync/link"
)

// Streams of the hub.
const (
	StreamTelemetry = "TELEM"   // tel.SITE.CLASS.KIND: what sites report, each once
	StreamState     = "STATE"   // state.SITE: what each site has now; the last alone
	StreamUpdates   = "UPDATES" // upd.tuf.NAME, upd.man.HASH: signed metadata and manifests
	StreamArtefacts = "ART"     // art.HASH: chunks, by the SHA-256 of each
	StreamEvents    = "EVENTS"  // fleet.WHAT.DONE: signed records for programs of the centre, such as fleet.retrain.requested
)

// DedupeWindow is how long the hub remembers a message's id. A site that was cut
// off between sending and hearing of it sends again within this.
const DedupeWindow = 2 * time.Hour

// Node is one hub process: an ordinary nats-server in this process.
type Hub struct{ srv *server.Server }

// RunNode starts the server of a configuration file that WriteNode has written.
func RunNode(config string, logFile string) (*Hub, error) {
	o, err := server.ProcessConfigFile(config)
	if err != nil {
		return nil, fmt.Errorf("the hub's configuration: %w", err)
	}
	o.NoSigs = true
	o.NoLog = logFile == ""
	o.LogFile = logFile
	srv, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("starting the hub: %w", err)
	}
	if logFile != "" {
		srv.ConfigureLogger()
	}
	go srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		srv.Shutdown()
		return nil, errors.New("the hub is not ready after 30 s; is its address in use?")
	}
	return &Hub{srv}, nil
}

// Address on which sites are heard.
func (h *Hub) Address() string { return h.srv.Addr().String() }

// Close stops it; what was acknowledged is on disk.
func (h *Hub) Close() {
	h.srv.Shutdown()
	h.srv.WaitForShutdown()
}

// Connect as the centre. hubs is "": those of the folder.
func (f *Folder) Connect(hubs []string, retry bool, more ...nats.Option) (*nats.Conn, error) {
	return f.connect(hubs, false, retry, more...)
}

func (f *Folder) connect(hubs []string, system, retry bool, more ...nats.Option) (*nats.Conn, error) {
	creds, err := f.credentials(system)
	if err != nil {
		return nil, err
	}
	ca, err := f.CA()
	if err != nil {
		return nil, err
	}
	if len(hubs) == 0 {
		hubs = f.Hubs
	}
	name := "central"
	if system {
		name = "central-system"
	}
	nc, err := link.Connect(link.Config{Name: name, Hubs: hubs, CA: ca, Credentials: creds}, retry, more...)
	if err != nil {
		return nil, fmt.Errorf("reaching the hub at %v: %w", hubs, err)
	}
	return nc, nil
}

// EnsureStreams makes the hub's streams, or brings them up to date.
func (f *Folder) EnsureStreams(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for _, c := range []jetstream.StreamConfig{
		{Name: StreamTelemetry, Subjects: []string{"tel.*.*.*"}, Duplicates: DedupeWindow, MaxAge: 30 * 24 * time.Hour, MaxBytes: 4 << 30, MaxMsgSize: 512 << 10},
		{Name: StreamState, Subjects: []string{"state.*"}, MaxMsgsPerSubject: 1, AllowDirect: true, MaxMsgSize: 64 << 10},
		{Name: StreamUpdates, Subjects: []string{"upd.tuf.>", "upd.man.*"}, MaxMsgsPerSubject: 1, AllowDirect: true, MaxMsgSize: 1 << 20},
		{Name: StreamArtefacts, Subjects: []string{"art.*"}, MaxMsgsPerSubject: 1, AllowDirect: true, MaxMsgSize: 512 << 10},
		{Name: StreamEvents, Subjects: []string{"fleet.*.*"}, Duplicates: DedupeWindow, DenyDelete: true, DenyPurge: true, MaxMsgSize: 512 << 10},
	} {
		c.Storage, c.Replicas, c.Discard = jetstream.FileStorage, f.Nodes, jetstream.DiscardOld
		if _, err := js.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("making the stream %s: %w", c.Name, err)
		}
	}
	return nil
}

// Serve answers enrolments and keeps the signed metadata fresh, until ctx ends.
// Several may run; each answer is given once.
func (f *Folder) Serve(ctx context.Context, hubs []string, log *slog.Logger, ready func()) error {
	nc, err := f.Connect(hubs, true)
	if err != nil {
		return err
	}
	defer nc.Close()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		// A cluster that has no leader yet answers nothing.
		try, cancel := context.WithTimeout(ctx, 4*time.Second)
		err := f.EnsureStreams(try, nc)
		cancel()
		if err == nil {
			err = f.Push(ctx, nc, nil)
		}
		if err == nil {
			break
		}
		log.Info("the hub is not ready yet", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
	sub, err := nc.QueueSubscribe("enroll.*", "enroller", func(m *nats.Msg) { respond(m, log, "an enrolment", f.claim) })
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	renew, err := nc.QueueSubscribe("renew.*", "enroller", func(m *nats.Msg) { respond(m, log, "a renewal", f.renew) })
	if err != nil {
		return err
	}
	defer func() { _ = renew.Unsubscribe() }()
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		return err
	}
	if ready != nil {
		ready()
	}
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, time.Minute)
		if renewed, err := f.renewTimestamp(); err != nil {
			log.Error("the signed metadata could not be renewed; sites will refuse it when it has run out", "error", err)
		} else if renewed {
			if err := f.Push(try, nc, nil); err != nil {
				log.Warn("the renewed metadata has not reached the hub yet", "error", err)
			}
		}
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
