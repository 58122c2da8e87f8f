package central_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/link"
	"rxedge/sync/spool"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

// readers of windows of this test's own form: a day, questions, and anything.
var readers = central.Readers{
	Window: func(b []byte) (w central.WindowOf, err error) {
		var day string
		if _, err := fmt.Sscanf(string(b), "%s %d", &day, &w.Questions); err != nil {
			return w, err
		}
		if w.Questions < 11 {
			return w, &central.ReportError{Code: central.ReportUncovered, Reason: "too few"}
		}
		w.From, err = time.Parse(time.DateOnly, day)
		w.To = w.From.Add(24 * time.Hour)
		return w, err
	},
	Alarm: func(b []byte) error {
		if !json.Valid(b) {
			return errors.New("no JSON")
		}
		return nil
	},
}

// What sites send is taken up once, wherever it is cut; what is not theirs, damaged or
// tells of too few is refused by its code, and nothing of it is kept.
func TestTakeReports(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	ids, spools := map[string]*enroll.Identity{}, map[string]*spool.Spool{}
	for _, site := range []string{"box-a", "box-b"} {
		dir := filepath.Join(t.TempDir(), "sync")
		ids[site] = f.Enroll(t, dir, site, "stable")
		sp, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sp.Close() })
		u, err := uplink.Start(uplink.Options{Identity: ids[site], Spool: sp})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(u.Close)
		spools[site] = sp
	}
	send := func(site, kind string, data []byte) {
		t.Helper()
		if _, err := spools[site].Put(t.Context(), spool.Normal, kind, data); err != nil {
			t.Fatal(err)
		}
	}
	signed := func(by, kind, text string) []byte {
		t.Helper()
		b, err := ids[by].Sign(kind, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	take := func() *central.Taken {
		t.Helper()
		eventually(t, "the spools are empty", func() bool {
			n := uint64(0)
			for _, sp := range spools {
				w, err := sp.Waiting(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				n += w.Messages
			}
			return n == 0
		})
		got, err := f.TakeReports(t.Context(), nil, readers)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	day := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	before := time.Now().UTC().AddDate(0, 0, -2).Format(time.DateOnly)
	send("box-a", "window", signed("box-a", "window", day+" 100"))
	send("box-a", "window", signed("box-a", "window", day+" 100")) // a crash between sending and noting it
	send("box-b", "window", signed("box-b", "window", day+" 50 "+strings.Repeat("x", 100<<10)))
	send("box-b", "alarm", signed("box-b", "alarm", `{"kind":"data_drift"}`))
	if got := take(); got.Windows != 2 || got.Again != 1 || got.Alarms != 1 || len(got.Refused) != 0 {
		t.Fatalf("%+v", got)
	}
	send("box-a", "window", signed("box-a", "window", day+" 120"))  // counted later
	send("box-a", "window", signed("box-a", "window", day+" 90"))   // counted anew after a loss
	send("box-b", "window", []byte(before+" 70"))                   // by nobody
	send("box-b", "window", signed("box-a", "window", before+" 7")) // another site's
	send("box-b", "window", signed("box-b", "alarm", before+" 70")) // of another kind
	send("box-b", "window", signed("box-b", "window", "nonsense"))
	send("box-b", "window", signed("box-b", "window", before+" 7"))
	send("box-b", "window", signed("box-b", "window", "2020-01-01 70"))
	send("box-b", "window", signed("box-b", "window", time.Now().AddDate(0, 0, 2).Format(time.DateOnly)+" 70"))
	send("box-b", "alarm", signed("box-b", "alarm", "{"))
	got := take()
	if got.Windows != 3 || got.Refused["box-a"][central.ReportOlder].Count != 1 {
		t.Fatalf("%+v", got)
	}
	for code, n := range map[central.ReportCode]int64{central.ReportUnsigned: 3, central.ReportDamaged: 2, central.ReportUncovered: 1, central.ReportTime: 2} {
		if r := got.Refused["box-b"][code]; r == nil || r.Count != n {
			t.Errorf("%s: %+v, want %d", code, r, n)
		}
	}
	// The hub lets nobody report as another.
	nc, err := link.Connect(link.Config{Name: "box-b", Hubs: f.Hubs, CA: ids["box-b"].CA, Credentials: ids["box-b"].Credentials}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(nc.Publish("tel.box-a.normal.window", signed("box-a", "window", before+" 77")), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if got := take(); got.Windows != 3 {
		t.Errorf("one site reported as another: %+v", got)
	}
	var kept []string
	list := func() {
		kept = nil
		if err := f.Windows(time.Time{}, time.Time{}, nil, func(k central.Kept) error {
			kept = append(kept, fmt.Sprintf("%s %.14s", k.Site, k.Data))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if list(); fmt.Sprint(kept) != fmt.Sprintf("[box-a %s 120 box-b %s 50 ]", day, day) {
		t.Errorf("%q", kept)
	}
	// The place was lost, or is of another hub: all is read again, and kept once.
	if err := os.Remove(filepath.Join(f.Dir, "fleet", "taken.json")); err != nil {
		t.Fatal(err)
	}
	if got := take(); got.Windows != 0 || got.Refused["box-b"][central.ReportUnsigned].Count != 3 {
		t.Errorf("%+v", got)
	}
	if list(); len(kept) != 2 {
		t.Errorf("%q", kept)
	}
	// Of a site that was revoked nothing more is believed.
	send("box-b", "window", signed("box-b", "window", before+" 70"))
	eventually(t, "it is at the hub", func() bool { w, err := spools["box-b"].Waiting(t.Context()); return err == nil && w.Messages == 0 })
	revoke := func() time.Time { return time.Now().Add(-time.Hour) }
	late := reopened(t, f.Dir)
	late.SetClock(revoke)
	if _, err := late.Revoke(t.Context(), "box-b", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := f.TakeReports(t.Context(), nil, readers); err != nil || got.Refused["box-b"][central.ReportRevoked] == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// reopened is a centre's folder whose clock may be set: what serves the hub reads that
// of its own.
func reopened(t *testing.T, dir string) *central.Folder {
	t.Helper()
	f, err := central.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A matter is opened once for its cause, decided once and by another, published once;
// what was changed or cut off is found out.
func TestFleetRecord(t *testing.T) {
	t.Parallel()
	f := reopened(t, synctest.NewFleet(t).Dir)
	now := time.Now()
	clock := func() time.Time { return now }
	f.SetClock(clock)
	controller, ann := central.By{Who: "controller"}, central.By{Who: "ann", Reason: "as agreed"}
	open := func(cause string) (*central.Matter, bool) {
		t.Helper()
		m, fresh, err := f.OpenMatter(central.RetrainRequested, cause, map[string]any{"psi": 0.41}, 14*24*time.Hour, controller)
		if err != nil {
			t.Fatal(err)
		}
		return m, fresh
	}
	publish := func(want int) {
		t.Helper()
		f.SetClock(time.Now) // the hub's certificates are of today
		defer f.SetClock(clock)
		if n, err := f.PublishRecords(t.Context(), nil); n != want || err != nil {
			t.Fatalf("%d published, want %d, %v", n, want, err)
		}
	}
	m, fresh := open("m/data_drift/class")
	if !fresh || m.ID != "retrain-1" || m.State != "requested" {
		t.Fatalf("%+v", m)
	}
	if again, fresh := open("m/data_drift/class"); fresh || again.ID != m.ID {
		t.Fatalf("%+v", again)
	}
	publish(1)
	publish(0)
	now = now.AddDate(0, 0, 20)
	if _, fresh := open("m/data_drift/class"); fresh {
		t.Error("opened again though nobody has decided")
	}
	var decided *central.DecidedError
	if _, err := f.Decide(m.ID, true, controller); !errors.As(err, &decided) {
		t.Error("who opened it decides", err)
	}
	for _, same := range []string{"Controller", "controller (idp.example.org)", "controller@box"} {
		if _, err := f.Decide(m.ID, true, central.By{Who: same}); !errors.As(err, &decided) {
			t.Errorf("%s may be who opened it, and decides: %v", same, err)
		}
	}
	if _, err := f.Decide("retrain-9", true, ann); !errors.Is(err, central.ErrNoMatter) {
		t.Error(err)
	}
	if m, err := f.Decide(m.ID, true, ann); err != nil || m.State != "approved" || m.Decided.Who != "ann" {
		t.Fatal(m, err)
	}
	if _, err := f.Decide(m.ID, false, ann); !errors.As(err, &decided) {
		t.Error("decided twice", err)
	}
	if m, fresh := open("m/data_drift/class"); !fresh || m.ID != "retrain-3" {
		t.Errorf("not opened after the cool-down: %+v", m)
	}
	if _, fresh := open("m/concept_drift/grounded"); !fresh {
		t.Error("another cause is not opened")
	}
	publish(3)
	// A program of the centre has them all, in order.
	f.SetClock(time.Now)
	nc, err := f.Connect(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, _ := jetstream.New(nc)
	c, err := js.CreateConsumer(t.Context(), central.StreamEvents, jetstream.ConsumerConfig{FilterSubject: "fleet.retrain.requested"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.FetchNoWait(10)
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	for m := range b.Messages() {
		var s central.Signed
		if err := json.Unmarshal(m.Data(), &s); err != nil {
			t.Fatal(err)
		}
		r, err := s.FleetRecord()
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, r.ID+" "+r.Cause+" "+string(r.Data))
	}
	if strings.Join(heard, "; ") != `retrain-1 m/data_drift/class {"psi":0.41}; retrain-3 m/data_drift/class {"psi":0.41}; retrain-4 m/concept_drift/grounded {"psi":0.41}` {
		t.Errorf("%q", heard)
	}
	path := filepath.Join(f.Dir, "fleet", "log.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	damaged := func(name string, b []byte, check func() error) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := check(); !errors.Is(err, central.ErrFleetLog) {
			t.Errorf("%s: %v", name, err)
		}
	}
	read := func() error { _, err := f.FleetRecords(); return err }
	damaged("a figure changed", bytes.Replace(whole, []byte("0.41"), []byte("0.11"), 1), read)
	damaged("a record taken out", bytes.Join([][]byte{lines[0], lines[2], lines[3]}, nil), read)
	damaged("the last cut off", bytes.Join(lines[:3], nil), func() error { _, err := f.PublishRecords(context.Background(), nil); return err })
	// What was cut off in the writing is written again.
	if err := os.WriteFile(path, append(bytes.Clone(whole), lines[0][:40]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Decide("retrain-4", false, ann); err != nil {
		t.Error(err)
	}
	publish(1)
}
