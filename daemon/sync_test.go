package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/index/document"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
	"rxedge/sync/spool"
	"rxedge/sync/synctest"
)

// noFloor, and what comes is confirmed as soon as it has passed its checks.
func noFloor(c *config.Config) {
	zero := 0
	c.Index.DiskFloorMB, c.Rollout.Watch, c.Rollout.Questions = &zero, 0, 8
}

// waitActive until the site has put a bundle to use.
func waitActive(t *testing.T, k *control.Client, number int64) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		st, err := k.SyncStatus(t.Context())
		if err == nil && st.Bundles != nil && st.Bundles.Active != nil && st.Bundles.Active.Number >= number {
			return
		}
		if time.Now().After(end) {
			b, _ := json.Marshal(st)
			t.Fatalf("bundle %d is not active: %s, %v", number, b, err)
		}
	}
}

// A running box is enrolled, answers from what the centre publishes, gives up
// what it withdraws, and takes the next from a medium when the line is cut.
func TestSiteAnswersFromPublished(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	line, err := synctest.NewLine(f.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	s := startDaemon(t, noFloor)
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if st, err := k.SyncStatus(t.Context()); err != nil || st.Enrolled {
		t.Fatalf("%+v, %v", st, err)
	}
	if _, err := k.SyncPull(t.Context(), false, nil); err == nil || !strings.Contains(err.Error(), "not enrolled") {
		t.Fatal(err)
	}
	file, err := f.AddSite("site-1", "stable", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	file.Hubs = []string{line.Address()}
	b, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if site, err := k.Enroll(t.Context(), b); err != nil || site != "site-1" {
		t.Fatal(site, err)
	}
	version := 0
	f.Release(t, central.Release{Documents: labels(func(int) int { return version }, 40)})
	waitActive(t, k, 1)
	question := "What is the dosage and administration number 0 of medicine7?"
	if a := s.ask(t, question); !strings.Contains(fmt.Sprint(a), "with 0 tablets") || strings.Contains(fmt.Sprint(a), "Sample text") {
		t.Fatalf("%+v", a)
	}
	version = 5
	began := time.Now()
	f.Release(t, central.Release{Documents: labels(func(i int) int {
		if i == 7 {
			return version
		}
		return 0
	}, 40)})
	waitActive(t, k, 2)
	if a := s.ask(t, question); !strings.Contains(fmt.Sprint(a), "with 5 tablets") {
		t.Fatalf("%+v", a)
	}
	t.Logf("from publishing to an answer from the new text: %v", time.Since(began).Round(time.Millisecond))
	// Reports arrive, and none carries a text.
	if n, err := k.SyncReport(t.Context(), box.Reports{Class: spool.Low, Kind: "n", Each: []json.RawMessage{[]byte(`{"n":1}`)}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	line.Cut()
	f.Release(t, central.Release{Withdraw: []string{"medicine7"}})
	medium := filepath.Join(t.TempDir(), "stable.rxb")
	if n, _, err := f.Export("stable", medium); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if r, err := k.ImportBundle(t.Context(), medium, nil); err != nil || r.Active != 3 {
		t.Fatal(r, err)
	}
	if _, err := k.Document(t.Context(), "medicine7"); err == nil {
		t.Error("what was withdrawn is still there")
	}
	half := medium + ".half"
	whole, err := os.ReadFile(medium)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(half, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.ImportBundle(t.Context(), half, nil); err == nil {
		t.Error("half a medium was taken")
	}
	line.Heal()
	seen := map[string]int{}
	for end := time.Now().Add(30 * time.Second); seen["bundle"] < 6 || seen["n"] != 1; time.Sleep(50 * time.Millisecond) {
		clear(seen)
		if err := f.Collect(t.Context(), nil, 0, func(r central.Report) error {
			seen[r.Kind]++
			if strings.Contains(string(r.Data), "tablets") {
				t.Error("a report carries a text")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("%v", seen)
		}
	}
	if es, err := k.SyncHistory(t.Context()); err != nil || len(es) < 6 {
		t.Fatal(es, err)
	}
}

// Whoever pulls a bundle that is watched before it is active is told so.
func TestPullSaysWhatIsWatched(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	data := filepath.Join(t.TempDir(), "var")
	f.Enroll(t, filepath.Join(data, "sync"), "site-1", "stable")
	s := startDaemon(t, func(c *config.Config) {
		noFloor(c)
		c.Data, c.Model.Embedder, c.Rollout.Watch = data, config.None, config.Wait(time.Hour)
	})
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	f.Release(t, central.Release{Documents: labels(func(int) int { return 0 }, 4)})
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := k.SyncPull(t.Context(), false, nil)
		if err == nil && r.Slot == "provisional" {
			if r.Pending != 1 || r.Active != 0 {
				t.Errorf("%+v", r)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

// The daemon of a site that is connected to its hub listens on its HTTP port
// alone, on loopback.
func TestSiteListensOnItsPortAlone(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	data := filepath.Join(t.TempDir(), "var")
	f.Enroll(t, filepath.Join(data, "sync"), "site-1", "stable")
	cmd, k := child(t, data)
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	defer k.Close()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		st, err := k.SyncStatus(t.Context())
		if err == nil && st.Uplink != nil && st.Uplink.Connected {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, %v", st, err)
		}
	}
	found := listening(t, cmd.Process.Pid)
	if len(found) != 1 || !strings.HasPrefix(found[0], "0100007F:") {
		t.Errorf("it listens on %v", found)
	}
	if ss, err := exec.LookPath("ss"); err == nil {
		out, err := exec.Command(ss, "-ltnp").Output()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, l := range strings.Split(string(out), "\n") {
			if strings.Contains(l, fmt.Sprintf("pid=%d,", cmd.Process.Pid)) {
				n++
				if !strings.Contains(l, " 127.0.0.1:") {
					t.Errorf("ss: %s", l)
				}
			}
		}
		if n != 1 {
			t.Errorf("ss shows %d sockets:\n%s", n, out)
		}
	}
	for _, p := range []string{"site.json"} {
		if fi, err := os.Stat(filepath.Join(data, "sync", p)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", p, fi.Mode(), err)
		}
	}
}

// A site whose certificate has a third of its time left asks for a new one, keeps
// it and connects with it. The clock is the site's: two and a half years ahead.
func TestSiteRenewsItself(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	data, clock := filepath.Join(t.TempDir(), "var"), filepath.Join(t.TempDir(), "clock")
	before := f.Enroll(t, filepath.Join(data, "sync"), "site-1", "stable")
	if err := os.WriteFile(clock, []byte(fmt.Sprint(int((2*365+180)*24*time.Hour/time.Second))), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, k := child(t, data, clockFile+"="+clock)
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	defer k.Close()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		now, err := enroll.Load(filepath.Join(data, "sync"), nil)
		if err != nil {
			t.Fatal(err)
		}
		st, serr := k.SyncStatus(t.Context())
		if now.Certificate != before.Certificate && now.JWT != before.JWT && now.Seed == before.Seed && serr == nil && st.Uplink != nil && st.Uplink.Connected {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, %v", st, serr)
		}
	}
	if n, err := k.SyncReport(t.Context(), box.Reports{Class: spool.High, Kind: "n", Each: []json.RawMessage{[]byte(`{"n":1}`)}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		seen := 0
		if err := f.Collect(t.Context(), nil, 0, func(r central.Report) error {
			if r.Kind == "n" {
				seen++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if seen == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d reports with the new certificate", seen)
		}
	}
}

// listening TCP addresses of a process, as the kernel writes them.
func listening(t *testing.T, pid int) (out []string) {
	t.Helper()
	inodes := map[string]bool{}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if l, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name())); err == nil {
			if n, ok := strings.CutPrefix(l, "socket:["); ok {
				inodes[strings.TrimSuffix(n, "]")] = true
			}
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		for sc := bufio.NewScanner(file); sc.Scan(); {
			if f := strings.Fields(sc.Text()); len(f) > 9 && f[3] == "0A" && inodes[f[9]] {
				out = append(out, f[1])
			}
		}
		_ = file.Close()
	}
	return out
}

// Of 1,000 labels made of sentences of real ones, ten are changed: what a site in
// step fetches against what a new one does, and how soon it answers from the new
// text. RXEDGE_SYNC_LABELS=1000 is the full size.
func TestTenLabelsChanged(t *testing.T) {
	t.Parallel()
	// Fitting the embedder under the race detector takes longer than all the rest.
	n, embedder := 100, config.None
	if v, err := strconv.Atoi(os.Getenv("RXEDGE_SYNC_LABELS")); err == nil {
		n, embedder = v, config.Auto
	}
	sentences := realSentences(t)
	r := rand.New(rand.NewPCG(1, 2))
	made := make([]*document.Document, n)
	section := func(i int, title string) document.Section {
		s := document.Section{ID: fmt.Sprintf("label%d#%s", i, title), Title: title}
		for len(s.Text) < 2500 {
			s.Text += sentences[r.IntN(len(sentences))] + " "
		}
		return s
	}
	for i := range made {
		made[i] = &document.Document{ID: fmt.Sprintf("label%d", i), Kind: document.KindJSONL, Title: fmt.Sprintf("medicine%d", i), Names: []document.Name{{Text: fmt.Sprintf("medicine%d", i), Kind: "generic"}}}
		for _, title := range []string{"Indications and Usage", "Dosage and Administration", "Contraindications", "Warnings and Precautions", "Adverse Reactions", "Drug Interactions", "Use in Specific Populations", "Clinical Pharmacology"} {
			made[i].Sections = append(made[i].Sections, section(i, title))
		}
	}
	publish := func(docs []*document.Document) central.Release {
		return central.Release{Documents: func(yield func(bundle.Document, error) bool) {
			for _, d := range docs {
				if !yield(box.Publishable(d)) {
					return
				}
			}
		}}
	}
	f := synctest.NewFleet(t)
	line, err := synctest.NewLine(f.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	data := filepath.Join(t.TempDir(), "var")
	file, err := f.AddSite("site-1", "stable", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	file.Hubs = []string{line.Address()}
	if _, err := enroll.Claim(t.Context(), filepath.Join(data, "sync"), file, enroll.Options{}); err != nil {
		t.Fatal(err)
	}
	f.Release(t, publish(made))
	s := startDaemon(t, func(c *config.Config) { noFloor(c); c.Data, c.Model.Embedder = data, embedder })
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	began := time.Now()
	waitActive(t, k, 1)
	whole, first := line.Bytes(), time.Since(began)
	for i := range 10 {
		d := made[i*n/10]
		d.Sections[1] = section(i*n/10, "Dosage and Administration")
		d.Sections[1].Text = fmt.Sprintf("The zephyrine dose of medicine%d is %d mg once daily. ", i*n/10, 311+i) + d.Sections[1].Text
	}
	before := line.Bytes()
	began = time.Now()
	p := f.Release(t, publish(made))
	pushed := time.Since(began)
	if p.Put != 10 || p.Unchanged != n-10 {
		t.Fatalf("%+v", p)
	}
	waitActive(t, k, 2)
	a := s.ask(t, fmt.Sprintf("What is the zephyrine dose of medicine%d?", 3*n/10))
	took := time.Since(began)
	if !strings.Contains(fmt.Sprint(a), "314 mg") {
		t.Errorf("%+v", a)
	}
	delta := line.Bytes() - before
	share := float64(delta) / float64(whole)
	t.Logf("%d labels: %d bytes for a new site (%.1f s), %d for ten changed labels: %.2f %%; the site answers from the new text %.2f s after publishing began (%.2f s of it publishing)",
		n, whole, first.Seconds(), delta, 100*share, took.Seconds(), pushed.Seconds())
	if most := 0.03 * 1000 / float64(n); share > most { // ten of a thousand, or as many of fewer
		t.Errorf("%.2f %% of the set went over the wire", 100*share)
	}
}

func realSentences(t *testing.T) (out []string) {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = "../../shared/data"
	}
	for _, name := range []string{"openfda_20drugs.jsonl", "spl_adr_train.jsonl"} {
		f, err := os.Open(filepath.Join(dir, "labels", name))
		if err != nil {
			t.Skipf("the labels are not here: %v", err)
		}
		sc := bufio.NewScanner(f)
		sc.Buffer(nil, 8<<20)
		for sc.Scan() {
			var rec struct{ Text string }
			if json.Unmarshal(sc.Bytes(), &rec) == nil {
				for _, s := range strings.Split(rec.Text, ". ") {
					if s = strings.Join(strings.Fields(s), " "); len(s) > 30 && len(s) < 600 {
						out = append(out, s+".")
					}
				}
			}
		}
		_ = f.Close()
	}
	return out
}
