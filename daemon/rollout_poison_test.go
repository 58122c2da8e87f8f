package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/formulary"
	"rxedge/daemon/rollout"
	profiles "rxedge/firmware-profiles"
	"rxedge/index/document"
	"rxedge/inference/llama"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/synctest"
)

// formularyLabels are real texts under ids of their own; shuffled, each section has the text
// of the next one of its label.
func formularyLabels(t *testing.T, shuffled bool) iter.Seq2[bundle.Document, error] {
	t.Helper()
	var docs []*document.Document
	files := formulary.Files()
	for _, n := range []string{"metformin.md", "warfarin.md", "lisinopril.md", "amoxicillin.md", "albuterol.md"} {
		b, err := fs.ReadFile(files, n)
		if err != nil {
			continue // the sample changes
		}
		if _, err := document.ReadBytes(t.Context(), n, b, document.Options{}, func(d *document.Document) error {
			docs = append(docs, d)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(docs) < 3 {
		t.Fatal("the sample has other medicines now")
	}
	for _, d := range docs {
		old := d.ID
		d.ID = "label-" + strings.TrimPrefix(old, "sample-")
		was := slices.Clone(d.Sections)
		for i := range d.Sections {
			s := &d.Sections[i]
			s.ID = strings.Replace(s.ID, old, d.ID, 1)
			s.Aliases = nil
			if shuffled {
				s.Text = was[(i+1)%len(was)].Text
			}
		}
	}
	return func(yield func(bundle.Document, error) bool) {
		for _, d := range docs {
			if !yield(box.Publishable(d)) {
				return
			}
		}
	}
}

// rolloutSite is a box with its centre.
type rolloutSite struct {
	*station
	k *control.Client
	f *synctest.Fleet
	// again stops the daemon and starts it over the same folder.
	again func()
}

func newRolloutSite(t *testing.T, change func(*config.Config)) *rolloutSite {
	t.Helper()
	s := &rolloutSite{f: synctest.NewFleet(t)}
	s.start(t, func(c *config.Config) {
		noFloor(c)
		c.Rollout.Watch, c.Model.Embedder = config.Wait(time.Hour), config.None
		c.Answer.MaxTokens, c.Answer.Passages, c.Rollout.Questions, c.Rollout.Latency = 16, 1, 8, config.Wait(time.Minute)
		if change != nil {
			change(c)
		}
	})
	file, err := s.f.AddSite("site-1", "stable", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.k.Enroll(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return s
}

// start the daemon, and talk to it.
func (s *rolloutSite) start(t *testing.T, change func(*config.Config)) {
	t.Helper()
	s.station = startDaemon(t, change)
	var err error
	if s.k, err = control.Dial(s.data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.k.Close() })
	s.again = func() {
		t.Helper()
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		data := s.data
		s.start(t, func(c *config.Config) {
			change(c)
			c.Data = data
		})
	}
}

// until the rollout stands as it should.
func (s *rolloutSite) until(t *testing.T, what string, is func(box.RolloutStatus) bool) box.RolloutStatus {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		st, err := s.k.RolloutStatus(t.Context())
		if err == nil && is(st) {
			return st
		}
		if time.Now().After(end) {
			if st.Last != nil {
				t.Logf("last: bundle %d %s: %s", st.Last.Bundle, st.Last.Slot, st.Last.Reason)
			}
			t.Fatalf("%s: serving %+v, candidate %+v, %v\n%s", what, st.Serving, st.Candidate, err, s.log)
		}
	}
}

// confirmed publishes and confirms.
func (s *rolloutSite) confirmed(t *testing.T, r central.Release) {
	t.Helper()
	p := s.f.Release(t, r)
	s.until(t, "provisional", func(st box.RolloutStatus) bool {
		if l := st.Last; l != nil && l.Bundle == p.Number {
			t.Fatalf("refused: %+v", l)
		}
		return provisional(p.Number)(st)
	})
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutApprove, By: "tester"}); err != nil {
		t.Fatal(err)
	}
	waitActive(t, s.k, p.Number)
}

// told is what the centre heard of a bundle that was refused.
type told struct {
	Bundle    int64        `json:"bundle"`
	Slot      rollout.Slot `json:"slot"`
	Check     string       `json:"check"`
	Serving   *float64     `json:"serving"`
	Candidate *float64     `json:"candidate"`
	Limit     *float64     `json:"limit"`
	Reason    string       `json:"reason"`
}

// refused publishes what must not stay, and waits until the box has refused it and the
// centre knows why. served says whether anybody was answered by it meanwhile.
func (s *rolloutSite) refused(t *testing.T, r central.Release, while func()) (told, bool, time.Duration) {
	t.Helper()
	began := time.Now()
	p := s.f.Release(t, r)
	if while != nil {
		s.until(t, "provisional", provisional(p.Number))
		began = time.Now()
		while()
	}
	st := s.until(t, "refused", func(st box.RolloutStatus) bool {
		return st.Last != nil && st.Last.Bundle == p.Number && st.Last.Slot == rollout.RolledBack && st.Candidate == nil
	})
	took := time.Since(began)
	if st.Serving.Bundle != p.Number-1 && st.Serving.Bundle == p.Number {
		t.Errorf("the refused bundle serves: %+v", st.Serving)
	}
	hs, err := s.k.RolloutHistory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	served := slices.ContainsFunc(hs, func(r rollout.Record) bool { return r.ID == st.Last.ID && r.Op == rollout.OpProvision })
	var heard told
	for end := time.Now().Add(time.Minute); heard.Check == ""; time.Sleep(50 * time.Millisecond) {
		if err := s.f.Collect(t.Context(), nil, 0, func(r central.Report) error {
			var m told
			if r.Kind == "rollout" && json.Unmarshal(r.Data, &m) == nil && m.Bundle == p.Number && m.Slot == rollout.RolledBack {
				heard = m
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatal("the centre did not hear of it")
		}
	}
	return heard, served, took
}

func modelFile(path string) []central.File {
	return []central.File{{Name: filepath.Base(path), Kind: bundle.KindModel, Path: path}}
}

// cpuProfile writes the profile of a box without a card, changed: what is to be another
// and what it is to be, by turns.
func cpuProfile(t *testing.T, change ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "firmware-profiles", profiles.CPUOnly+".toml"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(change); i += 2 {
		if !strings.Contains(string(text), change[i]) {
			t.Fatalf("the profile has no %q", change[i])
		}
		text = []byte(strings.Replace(string(text), change[i], change[i+1], 1))
	}
	path := filepath.Join(t.TempDir(), profiles.CPUOnly+".toml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A model that writes well and slowly is stopped before it answers anybody: the budget is
// that of the firmware profile which came with a bundle before, and no question takes
// longer than four times as much.
func TestSlowModel(t *testing.T) {
	if os.Getenv("RXEDGE_POISON") == "" {
		t.Skip("it takes minutes on two cores: RXEDGE_POISON=1 runs it")
	}
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skipf("%v", err)
	}
	testdata(t)
	s := newRolloutSite(t, func(c *config.Config) {
		// One thread: two of an engine wait for each other on a machine that others use, too.
		c.Rollout.Latency, c.Model.Threads = 0, 1
	})
	s.confirmed(t, central.Release{Documents: formularyLabels(t, false)})
	long := map[string]any{"llama.context_length": uint32(2048)}
	good := storiesModel(t, "good", modelChange{set: long})
	profile := cpuProfile(t, `generated = "60s"`, `generated = "3s"`)
	s.confirmed(t, central.Release{Files: append(modelFile(good), central.File{Name: filepath.Base(profile), Kind: bundle.KindProfile, Path: profile})})
	hs, err := s.k.RolloutHistory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hs {
		if h.Verdict != nil {
			for _, c := range h.Verdict.Checks {
				t.Logf("%s %-20s %v %s", h.ID, c.Name, c.Pass, c.Detail)
			}
		}
	}
	slow := storiesModel(t, "slow", modelChange{set: long, idle: 400})
	heard, served, took := s.refused(t, central.Release{Drop: []string{"good.gguf"}, Files: modelFile(slow)}, nil)
	t.Logf("%-36s %-16s served %-5v after %v: %s", "a slow model", heard.Check, served, took.Round(time.Millisecond), heard.Reason)
	if heard.Check != "latency_p95" || served || heard.Limit == nil || *heard.Limit != 3000 || heard.Candidate == nil || *heard.Candidate <= 3000 {
		t.Errorf("the centre heard %+v", heard)
	}
	if a := s.ask(t, "What is the maximum adult dose of metformin?"); a.Status != "answered" {
		t.Errorf("%+v", a)
	}
}

// What an update can break is stopped before it answers anybody, or rolled back as soon
// as it shows, and the centre hears why: real texts, the real engine, real models that
// were made to do it.
func TestPoisonedBundles(t *testing.T) {
	if os.Getenv("RXEDGE_POISON") == "" {
		t.Skip("it takes minutes on two cores: RXEDGE_POISON=1 runs it")
	}
	t.Parallel()
	if _, err := llama.Find(); err != nil {
		t.Skipf("%v", err)
	}
	testdata(t)
	s := newRolloutSite(t, nil)
	s.confirmed(t, central.Release{Documents: formularyLabels(t, false)})
	question := "What is the maximum adult dose of metformin?"
	before := s.ask(t, question)
	if before.Status != "answered" {
		t.Fatalf("%+v", before)
	}
	good := storiesModel(t, "good", modelChange{set: map[string]any{"llama.context_length": uint32(2048)}})
	s.confirmed(t, central.Release{Files: modelFile(good)})

	huge := storiesModel(t, "huge", modelChange{idle: 40, set: map[string]any{"llama.context_length": uint32(32768)}})
	profile := cpuProfile(t, "context = 4096", "context = 32768", "slots = 2", "slots = 256")
	crash := storiesModel(t, "crash", crashesOnOne)
	same := storiesModel(t, "same", alwaysTheSame)

	for _, c := range []struct {
		name, check string
		served      bool
		release     central.Release
		while       func()
	}{
		{"texts shuffled between sections", "texts_in_place", false, central.Release{Documents: formularyLabels(t, true)}, nil},
		{"always the same answer", "degenerate", false, central.Release{Documents: formularyLabels(t, false), Drop: []string{"good.gguf"}, Files: modelFile(same)}, nil},
		{"more memory than there is", "memory", false, central.Release{Drop: []string{"same.gguf"},
			Files: append(modelFile(huge), central.File{Name: filepath.Base(profile), Kind: bundle.KindProfile, Path: profile})}, nil},
		{"a model that crashes on one prompt", "engine_deaths", true, central.Release{Drop: []string{"huge.gguf", filepath.Base(profile)}, Files: modelFile(crash)}, func() {
			if a := s.ask(t, "Please: what is the maximum adult dose of metformin?"); a.Status != "answered" {
				t.Errorf("the question that ended the engine was not answered otherwise: %+v", a)
			}
		}},
	} {
		heard, served, took := s.refused(t, c.release, c.while)
		t.Logf("%-36s %-16s served %-5v after %v: %s", c.name, heard.Check, served, took.Round(time.Millisecond), heard.Reason)
		if heard.Check != c.check || heard.Reason == "" {
			t.Errorf("%s: the centre heard %+v, want %s", c.name, heard, c.check)
		}
		if served != c.served {
			t.Errorf("%s: served %v, want %v", c.name, served, c.served)
		}
		if strings.Contains(fmt.Sprint(heard), "metformin?") {
			t.Errorf("%s: a question's text reached the centre", c.name)
		}
		if a := s.ask(t, question); a.Status != "answered" || a.Claims[0].Text != before.Claims[0].Text {
			t.Errorf("%s: afterwards the answer is another: %+v", c.name, a)
		}
	}
}
