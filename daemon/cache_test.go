package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
)

// questions about the sample, each of one medicine.
var questions = []string{
	"Can metformin be started with an eGFR of 40?", "What is the maximum adult dose of metformin?",
	"Is lisinopril contraindicated in pregnancy?", "What is the maximum daily dose of gabapentin?",
	"What is the starting dose of warfarin?", "Does ibuprofen cause bleeding?", "Which wine goes with roast duck?",
}

// An update of one label lets go of exactly the answers that rest on it; the
// others stand, also after a restart. Taking the update back does the same.
func TestUpdateInvalidates(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, func(c *config.Config) {
		c.Model.Embedder = config.None // with it fifty of the sample's few passages are read for any question
	})
	rests := map[string]map[string]bool{}
	for _, q := range questions {
		a := s.ask(t, q)
		if a.Cached {
			t.Errorf("%s: cached at once", q)
		}
		rests[q] = map[string]bool{}
		for _, r := range a.Retrieved {
			rests[q][r.SetID] = true
		}
		if b := s.ask(t, q); !b.Cached || b.Timings.Total <= 0 || len(b.Claims) != len(a.Claims) || b.ID == a.ID {
			t.Errorf("%s: not cached: %+v", q, b)
		}
	}
	// The same text under another version, so that nothing else moves.
	label := filepath.Join(t.TempDir(), "metformin.md")
	text, err := os.ReadFile(filepath.Join("formulary", "sample", "metformin.md"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(label, []byte(strings.Replace(string(text), "\nversion: 1\n", "\nversion: 2\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := invalidated(t, s)
	// The sample gives way to real documents; this one is of the sample, so the
	// others are withdrawn with it unless they come, too.
	if _, err := c.Ingest(t.Context(), []string{filepath.Join("formulary", "sample"), label}, func(box.IngestProgress) {}); err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, q := range questions {
		if rests[q]["sample-metformin"] {
			want++
		}
	}
	t.Logf("%d of %d kept answers rest on the changed label", want, len(questions))
	if got := invalidated(t, s) - before; got != want || want < 2 || want == len(questions) {
		t.Errorf("%d answers were let go, want %d of %d", got, want, len(questions))
	}
	for _, q := range questions {
		a := s.ask(t, q)
		if a.Cached == rests[q]["sample-metformin"] {
			t.Errorf("%s: cached %v; it rests on the changed label: %v", q, a.Cached, rests[q]["sample-metformin"])
		}
		for _, cl := range a.Claims {
			if ci := cl.Citations[0]; ci.SetID == "sample-metformin" && ci.Version != "2" {
				t.Errorf("%s: cites version %s", q, ci.Version)
			}
		}
	}
	before = invalidated(t, s)
	if _, err := c.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := invalidated(t, s) - before; got != want {
		t.Errorf("taken back: %d answers were let go, want %d", got, want)
	}

	for _, q := range questions {
		s.ask(t, q)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	again := startDaemon(t, func(c *config.Config) { c.Data, c.Model.Embedder = s.data, config.None })
	for _, q := range questions {
		if a := again.ask(t, q); !a.Cached {
			t.Errorf("%s: not cached after a restart", q)
		}
	}
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	// Damaged, it is begun anew and says so.
	if err := os.WriteFile(filepath.Join(s.data, "cache", "MANIFEST"), []byte("no manifest"), 0o600); err != nil {
		t.Fatal(err)
	}
	again = startDaemon(t, func(c *config.Config) { c.Data, c.Model.Embedder = s.data, config.None })
	if a := again.ask(t, questions[0]); a.Cached {
		t.Error("cached by a damaged cache")
	}
	var h api.Health
	again.do(t, "GET", "/v1/status", nil, &h)
	if !strings.Contains(fmt.Sprint(h.Conditions), "damaged") {
		t.Errorf("no note: %v", h.Conditions)
	}
}

func invalidated(t *testing.T, s *station) int {
	t.Helper()
	var h api.Health
	s.do(t, "GET", "/v1/status", nil, &h)
	if h.Cache == nil {
		t.Fatal("no cache")
	}
	return h.Cache.Invalidated
}

// What the cache has is written nowhere in the clear, and without it answers
// are the same.
func TestWithoutCache(t *testing.T) {
	t.Parallel()
	s := startDaemon(t, func(c *config.Config) { c.Cache.Enabled = false })
	for range 2 {
		if a := s.ask(t, questions[0]); a.Cached || len(a.Claims) == 0 {
			t.Errorf("%+v", a)
		}
	}
	if _, err := os.Stat(filepath.Join(s.data, "cache")); err == nil {
		t.Error("there is a cache all the same")
	}
}
