package central_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

// midway is a source at which much happens once a site has begun to read.
type midway struct {
	bundle.Source
	once sync.Once
	do   func()
}

func (m *midway) Metadata(ctx context.Context, name string, most int64) ([]byte, error) {
	b, err := m.Source.Metadata(ctx, name, most)
	if name == "timestamp.json" {
		m.once.Do(m.do)
	}
	return b, err
}

// A site that is in the middle of reading the signed metadata finds what it began with,
// though the centre signs anew a dozen times meanwhile, as in a rollout.
func TestSignedWhileReading(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	dir := filepath.Join(t.TempDir(), "sync")
	id := f.Enroll(t, dir, "pharmacy-17", "stable")
	release := func(i int) {
		f.Release(t, central.Release{Documents: docs(map[string]string{"a": fmt.Sprint(i)})})
	}
	release(0)
	r, err := bundle.Open(filepath.Join(dir, "bundles"), bundle.Config{Channel: "stable", Root: id.Root, Least: id.Floor, Issued: id.Issued})
	if err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{}, 8)
	u, err := uplink.Start(uplink.Options{Identity: id, Now: r.Now, News: func() {
		select {
		case up <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	<-up
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.Refresh(ctx, &midway{Source: u.Source(), do: func() {
		for i := range 12 {
			release(i + 1)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(ctx, u.Source()); err != nil || r.Status().Newest != 13 {
		t.Fatal(r.Status().Newest, err)
	}
}
