package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/rollout"
	"rxedge/inference/gguf"
	"rxedge/inference/llama"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// storiesAdapter writes a LoRA adapter of rank one for the small model's first layer.
func storiesAdapter(t *testing.T, model string) central.File {
	t.Helper()
	f, err := gguf.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const name = "blk.0.ffn_down.weight"
	var in, out uint64
	for _, x := range f.Tensors {
		if x.Name == name {
			in, out = x.Shape[0], x.Shape[1]
		}
	}
	var m gguf.Metadata
	m.Set("general.type", "adapter")
	m.Set("general.architecture", "llama")
	m.Set("adapter.type", "lora")
	m.Set("adapter.lora.alpha", float32(1))
	path := filepath.Join(t.TempDir(), "polite.gguf")
	to, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	tensors := []gguf.Tensor{{Name: name + ".lora_a", Shape: []uint64{in, 1}, Type: gguf.F32}, {Name: name + ".lora_b", Shape: []uint64{1, out}, Type: gguf.F32}}
	w, err := gguf.NewWriter(to, &m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tensors {
		var b bytes.Buffer
		for i := range x.Elements() {
			v := math.Float32bits(float32(0.01 * math.Sin(float64(i))))
			b.Write([]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
		}
		if err := w.WriteTensor(x.Name, &b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return central.File{Name: "polite.gguf", Kind: bundle.KindAdapter, Path: path}
}

// pairSite has documents confirmed, and a bundle of model, adapter and profile provisional.
func pairSite(t *testing.T) (*rolloutSite, box.RolloutStatus) {
	t.Helper()
	if _, err := llama.Find(); err != nil {
		t.Skipf("%v", err)
	}
	testdata(t)
	s := newRolloutSite(t, func(c *config.Config) { c.Model.Threads, c.Rollout.Questions = 1, 2 })
	s.confirmed(t, central.Release{Documents: formularyLabels(t, false)})
	model := storiesModel(t, "good", modelChange{set: map[string]any{"llama.context_length": uint32(2048)}})
	profile := cpuProfile(t, "context = 4096", "context = 1792")
	p := s.f.Release(t, central.Release{Files: append(modelFile(model), storiesAdapter(t, model), central.File{Name: filepath.Base(profile), Kind: bundle.KindProfile, Path: profile})})
	return s, s.until(t, "provisional", func(st box.RolloutStatus) bool {
		if l := st.Last; l != nil && l.Bundle == p.Number {
			t.Fatalf("refused: %+v", l)
		}
		return provisional(p.Number)(st)
	})
}

// A model, its adapter and the profile by which it is run come, serve and go as one pair:
// the engine that runs has the adapter and the profile's context, and after a rollback
// none of it is left in what answers.
func TestPairOfAdapterAndProfile(t *testing.T) {
	t.Parallel()
	s, st := pairSite(t)
	c := st.Candidate
	if c.Model.Name != "good" || c.Adapter.Name != "polite" || c.Profile.Name != "cpu-only" || !strings.HasPrefix(st.Serving.Model, "good@") {
		t.Fatalf("%+v serves %+v", c, st.Serving)
	}
	pid := enginePID(t, s.station)
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{filepath.Join("rollout", "files", c.Adapter.SHA256), fmt.Sprint(2 * 1792)} { // of two slots
		if !strings.Contains(string(cmdline), want) {
			t.Errorf("the engine runs without %s: %q", want, strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	kinds := map[string]rollout.Stage{}
	for _, v := range st.Versions {
		kinds[v.Kind] = v.Stage
	}
	if kinds[rollout.KindModel] != rollout.Staging || kinds[rollout.KindAdapter] != rollout.Staging || kinds[rollout.KindProfile] != rollout.Staging {
		t.Errorf("%v", kinds)
	}
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutBack, By: "tester", Reason: "too polite"}); err != nil {
		t.Fatal(err)
	}
	st = s.until(t, "back", func(st box.RolloutStatus) bool { return st.Candidate == nil })
	if st.Serving.Model != "" || st.Serving.Bundle != 1 || st.Confirmed.Adapter.SHA256 != "" || st.Confirmed.Profile.SHA256 != "" {
		t.Errorf("%+v, %+v", st.Serving, st.Confirmed)
	}
	if a := s.ask(t, "What is the maximum adult dose of metformin?"); a.Status != answer.StatusAnswered || a.Mode != answer.ModeExtractive {
		t.Errorf("%+v", a)
	}
}

// A model that hangs while nobody asks goes back all the same: what is watched is probed.
func TestHangingModel(t *testing.T) {
	if os.Getenv("RXEDGE_POISON") == "" {
		t.Skip("it waits for half a minute: RXEDGE_POISON=1 runs it")
	}
	t.Parallel()
	s, _ := pairSite(t)
	pid := enginePID(t, s.station)
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	st := s.until(t, "rolled back", func(st box.RolloutStatus) bool {
		return st.Candidate == nil && st.Last != nil && st.Last.Slot == rollout.RolledBack
	})
	t.Logf("a model that hangs: %s after %v: %s", st.Last.Check, time.Since(began).Round(time.Millisecond), st.Last.Reason)
	// The supervisor ends an engine that does not answer the probe; where it has not yet, the
	// probe's own time is over.
	if c := st.Last.Check; c != "readiness" && c != "engine_deaths" || st.Serving.Model != "" {
		t.Errorf("%+v", st.Last)
	}
}

// Where the configuration asks for it nothing new answers before a person has said so;
// what served before is let go of when its time is over, and can be gone back to all the
// same; the centre hears how many questions were asked meanwhile.
func TestApprovalAndWarmth(t *testing.T) {
	t.Parallel()
	s := newRolloutSite(t, func(c *config.Config) { c.Rollout.RequireApproval, c.Rollout.Warm = true, config.Wait(3*time.Second) })
	validated := func(n int64) func(box.RolloutStatus) bool {
		return func(st box.RolloutStatus) bool {
			return st.Candidate != nil && st.Candidate.Bundle == n && st.Candidate.Slot == rollout.Validated
		}
	}
	approve := func() {
		t.Helper()
		if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutApprove, By: "Dr. Ito"}); err != nil {
			t.Fatal(err)
		}
	}
	question := "What is the dosage and administration number %d of medicine7?"
	version := 0
	publish := func() { s.f.Release(t, central.Release{Documents: labels(func(int) int { return version }, 12)}) }
	publish()
	s.until(t, "waits", validated(1))
	approve()
	s.until(t, "watched", provisional(1))
	approve()
	waitActive(t, s.k, 1)
	version = 5
	publish()
	st := s.until(t, "waits", validated(2))
	if st.Serving.Bundle != 1 || st.Candidate.Approved != "" {
		t.Errorf("it serves without an approval: %+v", st)
	}
	if a := s.ask(t, fmt.Sprintf(question, 0)); !strings.Contains(fmt.Sprint(a), "with 0 tablets") {
		t.Errorf("%+v", a)
	}
	approve()
	if st = s.until(t, "watched", provisional(2)); st.Candidate.Approved != "Dr. Ito" || len(st.Warm) == 0 {
		t.Errorf("%+v", st)
	}
	for i := range 4 {
		s.ask(t, fmt.Sprintf(question, i))
	}
	approve()
	waitActive(t, s.k, 2)
	st = s.until(t, "let go of", func(st box.RolloutStatus) bool { return len(st.Warm) == 0 })
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutBack, By: "tester"}); err != nil {
		t.Fatal(err)
	}
	if a := s.ask(t, fmt.Sprintf(question, 0)); !strings.Contains(fmt.Sprint(a), "with 0 tablets") {
		t.Errorf("after the rollback: %+v", a)
	}
	version = 9
	publish()
	s.until(t, "waits", validated(3))
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutReject, By: "Dr. Ito", Reason: "not on a Monday"}); err != nil {
		t.Fatal(err)
	}
	st = s.until(t, "rejected", func(st box.RolloutStatus) bool { return st.Candidate == nil })
	if st.Last.Check != rollout.CheckPerson || st.Serving.Bundle != 1 {
		t.Errorf("%+v", st)
	}
}

// The centre learns how many questions a watched pair was asked, and how many failed.
func TestCentreHearsOfQuestions(t *testing.T) {
	t.Parallel()
	s := newRolloutSite(t, nil)
	s.f.Release(t, central.Release{Documents: labels(func(int) int { return 0 }, 12)})
	s.until(t, "watched", provisional(1))
	for i := range 5 {
		s.ask(t, fmt.Sprintf("What is the dosage and administration number %d of medicine7?", i))
	}
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutApprove, By: "tester"}); err != nil {
		t.Fatal(err)
	}
	var v struct {
		Rollout struct {
			Bundle        int64
			Slot          rollout.Slot
			Asked, Errors int
		}
	}
	for end := time.Now().Add(30 * time.Second); v.Rollout.Slot != rollout.Confirmed; time.Sleep(20 * time.Millisecond) {
		states, err := s.f.States(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b := states["site-1"].State; b != nil {
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", v)
		}
	}
	if v.Rollout.Bundle != 1 || v.Rollout.Asked != 5 || v.Rollout.Errors != 0 {
		t.Errorf("%+v", v)
	}
}

// What a bundle has withdrawn stays out though the bundle goes back, and a start does not
// bring it back either; a later bundle that has it again does.
func TestWithdrawnStaysOut(t *testing.T) {
	t.Parallel()
	s := newRolloutSite(t, nil)
	version := 0
	docs := func() central.Release {
		return central.Release{Documents: labels(func(int) int { return version }, 12)}
	}
	s.confirmed(t, docs())
	version = 5
	r := docs()
	r.Withdraw, r.Note = []string{"medicine3"}, "recall"
	s.f.Release(t, r)
	s.until(t, "watched", provisional(2))
	says := func(i int) answer.Answer {
		t.Helper()
		return s.ask(t, fmt.Sprintf("What is the dosage and administration number 0 of medicine%d?", i))
	}
	has := func() bool {
		t.Helper()
		return s.do(t, "GET", "/v1/documents/medicine3", nil, nil).StatusCode == 200
	}
	if has() {
		t.Fatal("it is not withdrawn")
	}
	if _, err := s.k.RolloutDo(t.Context(), box.RolloutRequest{Action: box.RolloutBack, By: "tester", Reason: "wrong doses"}); err != nil {
		t.Fatal(err)
	}
	if has() {
		t.Error("the rollback has brought it back")
	}
	s.again()
	if has() {
		t.Error("a start has brought it back")
	}
	if a := says(7); !strings.Contains(fmt.Sprint(a), "with 0 tablets") {
		t.Errorf("the others are not as before: %+v", a)
	}
	st := s.until(t, "kept out", func(st box.RolloutStatus) bool { return st.Withdrawn != nil })
	if st.Withdrawn.Bundle != 2 || st.Withdrawn.IDs[0] != "medicine3" || st.Withdrawn.Note != "recall" {
		t.Errorf("%+v", st.Withdrawn)
	}
	version = 9
	s.f.Release(t, docs())
	st = s.until(t, "watched", provisional(3))
	if !has() || st.Withdrawn != nil {
		t.Errorf("published again it does not come: %+v", st.Withdrawn)
	}
}
