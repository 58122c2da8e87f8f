package uplink_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"rxedge/sync/central"
	"rxedge/sync/spool"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

// A message that takes many times as long as a line may be silent arrives whole,
// once, over a line that is slow and cut in the middle of it; beside it small ones
// get through, and nothing is sent again and again. Everything is an eighth of
// what it is at a site: 512 kbit/s and 1.5 s of silence for 64 kbit/s and 12 s.
func TestLargeMessageOnSlowLine(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	line, err := synctest.NewLine(f.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	dir := t.TempDir()
	id := f.Enroll(t, dir, "site-1", "stable", line.Address())
	sp, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	large := make([]byte, spool.MaxMessage)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(large)
	want := map[string][]byte{}
	put := func(data []byte) {
		t.Helper()
		id, err := sp.Put(t.Context(), spool.Normal, "k", data)
		if err != nil {
			t.Fatal(err)
		}
		want[id] = data
	}
	put(large)
	for i := range 8 {
		put([]byte{byte(i)})
	}
	line.Slow(64_000, 0)
	u, err := uplink.Start(uplink.Options{Identity: id, Spool: sp, Silence: 1500 * time.Millisecond, Backoff: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	cut := false
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		st := u.Status(t.Context())
		if !cut && st.BytesOut > int64(len(large))/2 {
			line.Cut()
			line.Heal()
			cut = true
		}
		if st.Sent == uint64(len(want)) {
			t.Logf("%d bytes out for %d", st.BytesOut, len(large))
			if st.BytesOut > int64(len(large))*13/10 {
				t.Errorf("%d bytes went out for messages of %d", st.BytesOut, len(large))
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after a minute: %+v", st)
		}
	}
	if !cut {
		t.Error("the line was not cut")
	}
	got := 0
	if err := f.Collect(t.Context(), nil, 0, func(r central.Report) error {
		if got++; !bytes.Equal(r.Data, want[r.ID]) {
			t.Errorf("report %s has %d bytes, want %d", r.ID, len(r.Data), len(want[r.ID]))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got != len(want) {
		t.Errorf("%d reports, want %d", got, len(want))
	}
}
