package synctest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rxedge/sync/central"
	"rxedge/sync/enroll"
)

// Fleet is a centre with a hub of one node in this process.
type Fleet struct {
	*central.Folder
	Address string // of the hub
	// WebSocket is wss://host:port of the hub, where the fleet has one.
	WebSocket string

	config string
	hub    *central.Hub
	wg     sync.WaitGroup
}

// given are the ports that FreePort has given to this process.
var given sync.Map

// FreePort of loopback. It is none of those that the system gives to whoever asks for any,
// to a connection or to a listener, as many tests do at the same time: one of them
// might have it before the test that it was given to. Another process may choose the
// same; that is rare.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprint("127.0.0.1:", 12000+rand.IntN(20000))
		if _, had := given.LoadOrStore(addr, true); had {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// NewFleet makes a centre, starts its hub and answers enrolments.
func NewFleet(t testing.TB) *Fleet {
	t.Helper()
	return newFleet(t, "")
}

// NewWebSocketFleet is one whose hub is heard by WebSocket too.
func NewWebSocketFleet(t testing.TB) *Fleet {
	t.Helper()
	return newFleet(t, "wss://"+FreePort(t))
}

func newFleet(t testing.TB, webSocket string) *Fleet {
	t.Helper()
	addr := FreePort(t)
	dir := filepath.Join(t.TempDir(), "central")
	f, err := central.Init(dir, central.InitOptions{Name: "test fleet", Hubs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	fl := &Fleet{Folder: f, Address: addr, WebSocket: webSocket}
	fl.StartHub(t)
	t.Cleanup(func() { fl.StopHub() })
	fl.Serve(t)
	return fl
}

// StartHub starts the hub, as after a stop.
func (f *Fleet) StartHub(t testing.TB) {
	t.Helper()
	var err error
	if f.config, err = f.WriteNode(filepath.Join(f.Dir, "hub"), central.Node{Number: 1, Listen: f.Address, WebSocket: strings.TrimPrefix(f.WebSocket, "wss://")}); err != nil {
		t.Fatal(err)
	}
	if f.hub, err = central.RunNode(f.config, os.Getenv("RXEDGE_TEST_HUB_LOG")); err != nil {
		t.Fatal(err)
	}
}

// StopHub stops it.
func (f *Fleet) StopHub() {
	if f.hub != nil {
		f.hub.Close()
		f.hub = nil
	}
}

// Serve runs the centre's services until the test ends; it returns when they
// are there.
func (f *Fleet) Serve(t testing.TB) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan struct{})
	failed := make(chan error, 1)
	f.wg.Go(func() {
		if err := f.Folder.Serve(ctx, nil, slog.New(slog.DiscardHandler), func() { close(ready) }); err != nil {
			failed <- err
		}
	})
	t.Cleanup(func() { stop(); f.wg.Wait() })
	select {
	case <-ready:
	case err := <-failed:
		t.Fatal(err)
	case <-time.After(60 * time.Second):
		t.Fatal("the centre's services are not ready")
	}
}

// Enroll makes the folder dir that of a site. through replaces the hub's
// addresses; none: as in the file.
func (f *Fleet) Enroll(t testing.TB, dir, site, channel string, through ...string) *enroll.Identity {
	t.Helper()
	file, err := f.AddSite(site, channel, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(through) > 0 {
		file.Hubs = through
	}
	id, err := enroll.Claim(t.Context(), dir, file, enroll.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Release publishes and gives it to the hub.
func (f *Fleet) Release(t testing.TB, r central.Release) *central.Published {
	t.Helper()
	if r.Channel == "" {
		r.Channel = "stable"
	}
	p, err := f.Publish(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.PushNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// PushNow gives the hub what is signed.
func (f *Fleet) PushNow(ctx context.Context) error {
	nc, err := f.Connect(nil, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := f.Push(ctx, nc, nil); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	return nil
}
