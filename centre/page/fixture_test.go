package page

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"rxedge/centre/page/access"
	"rxedge/centre/survey"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/telemetrytest"
	"rxedge/daemon/web/webtest"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/synctest"
)

// signedPrefix of a report as it is kept: magic and signature, which were checked when it
// was taken up.
const signedPrefix = 4 + 64

// fill a centre's folder with enrolled sites and the days that they have counted. Sites
// are alike but for every twentieth, of which some were asked of a new class, others
// refuse the oldest, in the last week; so few are made up anew.
func fill(t testing.TB, f *central.Folder, sites, days int) {
	t.Helper()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	newClass := func(rng *rand.Rand, o *telemetry.Observation) {
		if rng.Float64() < 0.35 {
			o.In[telemetry.Class] = "glp-1-agonist"
		}
	}
	refuses := func(rng *rand.Rand, o *telemetry.Observation) {
		if o.In[telemetry.Cohort] == "65+" && rng.Float64() < 0.4 {
			telemetrytest.Abstain(o)
		}
	}
	made := map[string][][]byte{}
	month := func(seed uint64, what string, change telemetrytest.Change) [][]byte {
		key := fmt.Sprint(seed, what)
		if made[key] != nil {
			return made[key]
		}
		rng := rand.New(rand.NewPCG(seed, 30))
		var out [][]byte
		var waiting *telemetry.Window
		for d := range days {
			from := today.AddDate(0, 0, d-days)
			w := telemetry.NewWindow(from, from.AddDate(0, 0, 1), telemetrytest.Model, telemetrytest.Generation)
			c := change
			if d < days-7 {
				c = nil
			}
			for _, a := range telemetrytest.Day(rng, from, c) {
				w.Add(&a.Observation)
				if a.Judged {
					w.Judge(&a.Observation, a.Bad)
				}
			}
			o, rest, err := w.Release(waiting)
			if err != nil {
				t.Fatal(err)
			}
			waiting = rest
			var b []byte
			if o != nil {
				if b, err = o.MarshalBinary(); err != nil {
					t.Fatal(err)
				}
				b = append(make([]byte, signedPrefix), b...)
			}
			out = append(out, b)
		}
		made[key] = out
		return out
	}
	for i := range sites {
		id := siteName(i)
		enrolled := today.AddDate(0, 0, -days)
		s := central.Site{ID: id, Channel: "stable", Added: enrolled, Public: "U" + id, Enrolled: &enrolled, Labels: map[string]string{"region": []string{"north", "south", "west"}[i%3]}}
		if i%50 == 49 {
			s.Public, s.Enrolled, s.Expires = "", nil, today.AddDate(0, 0, 7) // it has not come yet
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(f.Dir, "sites", id+".json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if s.Public == "" {
			continue
		}
		dir := filepath.Join(f.Dir, "fleet/windows", id)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		seed := uint64(i % 12)
		ws := month(seed, "", nil)
		switch {
		case i%40 == 7:
			ws = month(seed, "class", newClass)
		case i%40 == 27:
			ws = month(seed, "refuses", refuses)
		}
		for d, w := range ws {
			if w != nil {
				name := today.AddDate(0, 0, d-days).Format(time.DateOnly) + ".0011223344556677.rxw"
				if err := os.WriteFile(filepath.Join(dir, name), w, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func siteName(i int) string { return fmt.Sprintf("pharmacy-%04d", i+1) }

// tell the hub what sites say of themselves: most have the newest bundle, some do not.
func tell(t testing.TB, f *central.Folder, sites int, state func(i int) map[string]any) {
	t.Helper()
	nc, err := f.Connect(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for i := range sites {
		s := state(i)
		if s == nil {
			continue
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish("state."+siteName(i), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(30 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// usual is what a site says of itself.
func usual(i int) map[string]any {
	if i%50 == 49 || i%33 == 32 {
		return nil // it has told nothing
	}
	s := map[string]any{"version": []string{"1.6.0", "1.6.0", "1.6.0", "1.5.2"}[i%4], "profile": "l4", "channel": "stable", "active": 1, "newest": 1, "generation": "gen-000007", "documents": 412}
	switch {
	case i%45 == 11:
		s["rollout"] = map[string]any{"bundle": 2, "slot": "rolled_back", "check": "grounded", "reason": "fewer answers were grounded than before"}
	case i%45 == 22:
		s["quarantine"] = []map[string]any{{"number": 2, "code": "not_validated", "reason": "golden questions were answered worse"}}
	}
	return s
}

// world is a page over a fleet with a hub, served.
type world struct {
	*Server
	fleet *synctest.Fleet
	url   string
}

func newWorld(t *testing.T, sites int) *world {
	t.Helper()
	fl := synctest.NewFleet(t)
	fl.Name = "Pharmacies north"
	fill(t, fl.Folder, sites, 15)
	by := central.By{Who: "anna", Reason: "the labels of November"}
	release := func(text string, hold bool) {
		fl.Release(t, central.Release{Documents: documents(text), Hold: hold, Who: by.Who})
	}
	release("one", false)
	release("two", true)
	if _, err := fl.CreateRollout("stable", 2, central.DefaultPlan(), by); err != nil {
		t.Fatal(err)
	}
	if err := fl.RunRollouts(t.Context(), central.RunOptions{Who: "controller", Once: true}); err != nil {
		t.Fatal(err)
	}
	tell(t, fl.Folder, sites, usual)
	s, err := New(Options{Folder: fl.Folder})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Server: s, fleet: fl}
	for name, role := range map[string]access.Role{"vera": access.Viewer, "rui": access.Reviewer, "olga": access.Operator} {
		if err := s.accounts.Add(name, word, role); err != nil {
			t.Fatal(err)
		}
	}
	w.serve(t)
	return w
}

// serve the page, and wait until the fleet was read whole.
func (w *world) serve(t testing.TB) {
	w.served(t)
	w.until(t, "the fleet was not read whole", func(o *survey.Overview) bool { return !o.Hub.IsZero() && o.Answers != nil })
}

func (w *world) served(t testing.TB) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() {
		if err := w.live.Run(ctx); err != nil {
			t.Error(err)
		}
		done <- struct{}{}
	}()
	go func() { w.views.run(ctx, w.live); done <- struct{}{} }()
	srv := httptest.NewUnstartedServer(w.Handler())
	srv.Start()
	w.url = srv.URL
	t.Cleanup(func() {
		stop()
		srv.CloseClientConnections()
		srv.Close()
		<-done
		<-done
	})
}

// until an overview that is shown is so.
func (w *world) until(t testing.TB, what string, so func(*survey.Overview) bool) {
	t.Helper()
	end := time.After(4 * time.Minute)
	for {
		news := w.views.next()
		if p := w.views.now.Load(); p != nil && so(p.overview) {
			return
		}
		select {
		case <-news:
		case <-end:
			t.Fatal(what)
		}
	}
}

// signedIn opens the page as a person, in a window of the given size.
func (w *world) signedIn(t *testing.T, name, address string, width, height int64) *webtest.Tab {
	t.Helper()
	p := webtest.Open(t, w.url, "/sign-in", width, height)
	p.Until(`!document.getElementById("form").hidden`)
	if got := webtest.Eval[int](p, `fetch("/v1/session", {method: "POST", headers: {"Rxedge-Request": "1"}, body: JSON.stringify({name: "`+name+`", password: "`+word+`"})}).then((r) => r.status)`); got != http.StatusOK {
		t.Fatal(got)
	}
	p.Do(chromedp.Navigate(w.url + address))
	return p
}

func documents(text string) iter.Seq2[bundle.Document, error] {
	return func(yield func(bundle.Document, error) bool) {
		yield(bundle.Document{ID: "a", Parts: [][]byte{[]byte(text)}}, nil)
	}
}

// serveQuiet serves a page whose hub is not there.
func (w *world) serveQuiet(t testing.TB) {
	w.served(t)
	w.until(t, "the folder was not read", func(*survey.Overview) bool { return true })
}
