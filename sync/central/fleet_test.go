package central_test

import (
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/spool"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

func docs(m map[string]string) iter.Seq2[bundle.Document, error] {
	return func(yield func(bundle.Document, error) bool) {
		for _, id := range slices.Sorted(maps.Keys(m)) {
			if !yield(bundle.Document{ID: id, Parts: [][]byte{[]byte(m[id])}}, nil) {
				return
			}
		}
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to pass: " + what)
		}
	}
}

// From an empty folder to an active bundle and a report at the centre.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	dir := filepath.Join(t.TempDir(), "sync")
	id := f.Enroll(t, dir, "pharmacy-17", "stable")
	f.Release(t, central.Release{Documents: docs(map[string]string{"a": "first", "b": "second"}), Note: "start"})
	sp, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	news := make(chan struct{}, 10)
	r, err := bundle.Open(filepath.Join(dir, "bundles"), bundle.Config{Channel: "stable", Root: id.Root, Least: id.Floor, Issued: id.Issued})
	if err != nil {
		t.Fatal(err)
	}
	u, err := uplink.Start(uplink.Options{Identity: id, Spool: sp, Now: r.Now, News: func() { news <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	<-news
	res, err := r.Pull(t.Context(), u.Source())
	if err != nil || res.Staged != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	st, err := r.Staged()
	if err != nil || st == nil {
		t.Fatal(st, err)
	}
	got := map[string]string{}
	if err := st.Set.Each(func(id string, content func() ([]byte, error)) error {
		b, err := content()
		got[id] = string(b)
		return err
	}); err != nil || len(got) != 2 || got["b"] != "second" {
		t.Fatal(got, err)
	}
	if err := r.Activate(1); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := sp.Put(t.Context(), spool.Normal, "health", fmt.Appendf(nil, `{"n":%d}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the spool is empty", func() bool { w, err := sp.Waiting(t.Context()); return err == nil && w.Messages == 0 })
	seen := map[string]int{}
	if err := f.Collect(t.Context(), nil, 100, func(m central.Report) error { seen[m.ID]++; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 100 {
		t.Fatalf("%d messages at the centre", len(seen))
	}
	u.Tell([]byte(`{"active":1}`))
	eventually(t, "the centre knows", func() bool {
		ss, err := f.States(t.Context(), nil)
		return err == nil && string(ss["pharmacy-17"].State) == `{"active":1}`
	})
	// A second release is heard of, and only what is new travels.
	p := f.Release(t, central.Release{Documents: docs(map[string]string{"b": "changed"}), Withdraw: []string{"a"}})
	<-news
	res, err = r.Pull(t.Context(), u.Source())
	if err != nil || res.Staged != 2 || res.Bytes != p.NewBytes {
		t.Fatalf("%+v, want %d bytes, %v", res, p.NewBytes, err)
	}
	st, _ = r.Staged()
	ch, err := st.Set.Compare(st.Active)
	if err != nil || fmt.Sprint(ch.Put, ch.Removed) != "[b] [a]" {
		t.Fatalf("%+v, %v", ch, err)
	}
	// Revoked, the live connection is dropped and stays so.
	if n, err := f.Revoke(t.Context(), "pharmacy-17", nil); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	eventually(t, "the site is out", func() bool {
		s := u.Status(t.Context())
		return !s.Connected && s.Code == "not_admitted"
	})
	if res, err := r.Pull(t.Context(), u.Source()); err == nil {
		t.Fatal(res)
	}
}
