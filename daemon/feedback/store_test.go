package feedback

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func given(id string) Given {
	return Given{ID: id, At: time.Now(), Generation: "gen-000001", Mode: "extractive", Status: "answered", Claims: 2, Scores: []float64{3.5, 1}}
}

// What is said of an answer counts once, outlives a restart, and carries the
// numbers of its answer; what nobody was told can't be spoken of.
func TestAdd(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "feedback")
	s := open(t, dir, Options{})
	s.Gave(given("answer-1"))
	item := Item{ID: "mine", AnswerID: "answer-1", Thumb: Down, Reason: "incomplete", Correction: "  There is a table. "}
	r, again, err := s.Add(item)
	if err != nil || again || r.Number != 1 || r.Answer.Generation != "gen-000001" || r.Correction != "There is a table." {
		t.Fatalf("%+v %v %v", r, again, err)
	}
	if _, again, err := s.Add(item); err != nil || !again {
		t.Errorf("sent again: %v %v", again, err)
	}
	other := item
	other.Thumb = Up
	if _, _, err := s.Add(other); !errors.Is(err, ErrConflict) {
		t.Errorf("another item under the same id: %v", err)
	}
	for _, id := range []string{"answer-2", "a/", "\x00"} {
		if _, _, err := s.Add(Item{AnswerID: id, Thumb: Up}); !errors.Is(err, ErrUnknownAnswer) {
			t.Errorf("an answer that was never given, %q: %v", id, err)
		}
	}
	if r, _, err := s.Add(Item{AnswerID: "answer-1", Thumb: Up}); err != nil || r.ID == "" {
		t.Errorf("without an id: %+v %v", r, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir, Options{})
	defer s.Close()
	if _, again, err := s.Add(item); err != nil || !again {
		t.Errorf("sent again after a restart: %v %v", again, err)
	}
	// The id of the answer was brought to disk, too.
	if _, _, err := s.Add(Item{AnswerID: "answer-1", Outcome: Overridden, OverrideReason: "benefit-outweighs-risk"}); err != nil {
		t.Error(err)
	}
	sum, err := s.Summary()
	if err != nil || sum.Records != 3 || sum.Corrections != 1 || sum.Thumbs[Up] != 1 || sum.Thumbs[Down] != 1 || sum.Overrides["benefit-outweighs-risk"] != 1 || sum.Answers != 1 {
		t.Errorf("%+v %v", sum, err)
	}
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the folder is open to others: %v %v", fi.Mode(), err)
	}
}

// What Add acknowledged is there though nothing was closed: a copy of the
// folder as a kill leaves it has it.
func TestAcknowledgedIsOnDisk(t *testing.T) {
	t.Parallel()
	dir, copied := filepath.Join(t.TempDir(), "feedback"), filepath.Join(t.TempDir(), "copy")
	s := open(t, dir, Options{})
	defer s.Close()
	s.Gave(given("answer-1"))
	for i := range 20 {
		if _, _, err := s.Add(Item{ID: fmt.Sprint("item-", i), AnswerID: "answer-1", Thumb: Up}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	c := open(t, copied, Options{})
	defer c.Close()
	if rs, err := c.Records(); err != nil || len(rs) != 20 || rs[19].ID != "item-19" {
		t.Errorf("%d records, %v", len(rs), err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "feedback"), Options{MaxRecords: 2})
	defer s.Close()
	s.Gave(given("a"))
	for _, c := range []struct {
		item Item
		says string
	}{
		{Item{AnswerID: "a"}, "say something"},
		{Item{Thumb: Up}, "answer_id"},
		{Item{AnswerID: "a", Thumb: "sideways"}, "thumb"},
		{Item{AnswerID: "a", Reason: "because"}, "reason"},
		{Item{AnswerID: "a", Outcome: "shrugged"}, "outcome"},
		{Item{AnswerID: "a", OverrideReason: "the patient John asked for it"}, "override_reason"},
		{Item{AnswerID: "a", ID: "über", Thumb: Up}, "id"},
		{Item{AnswerID: "a", Correction: strings.Repeat("x", MaxText+1)}, "correction"},
		{Item{AnswerID: "a", Correction: "\xff"}, "correction"},
	} {
		var invalid *InvalidError
		if _, _, err := s.Add(c.item); !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.item, err, c.says)
		}
	}
	for i := range 3 {
		_, _, err := s.Add(Item{AnswerID: "a", Thumb: Up})
		if want := i == 2; errors.Is(err, ErrFull) != want {
			t.Errorf("item %d: %v", i, err)
		}
	}
	if n, err := s.Remove(time.Now().Add(time.Hour)); n != 2 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	if _, _, err := s.Add(Item{AnswerID: "a", Thumb: Up}); err != nil {
		t.Errorf("after room was made: %v", err)
	}
}

// Of answers the newest are remembered.
func TestOldAnswersAreForgotten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "feedback")
	began := time.Now().Add(-time.Hour)
	s := open(t, dir, Options{MaxAnswers: 20})
	for i := range 50 {
		g := given(fmt.Sprint("answer-", i))
		g.At = began.Add(time.Duration(i) * time.Second)
		s.Gave(g)
		s.flush()
	}
	if _, n := s.Counts(); n > 20 {
		t.Errorf("%d are remembered", n)
	}
	for id, known := range map[string]bool{"answer-0": false, "answer-25": false, "answer-49": true, "answer-40": true} {
		if _, _, err := s.Add(Item{AnswerID: id, Thumb: Up}); (err == nil) != known {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A store that can't be read is set aside, whole, and another one begun.
func TestDamagedIsSetAside(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "feedback")
	s := open(t, dir, Options{})
	s.Gave(given("a"))
	if _, _, err := s.Add(Item{AnswerID: "a", Thumb: Up}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "MANIFEST"), []byte("not a manifest"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	defer s.Close()
	if !strings.Contains(s.Note(), "damaged") {
		t.Errorf("note %q", s.Note())
	}
	if aside, _ := filepath.Glob(dir + ".damaged-*"); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
	s.Gave(given("b"))
	if _, _, err := s.Add(Item{AnswerID: "b", Thumb: Up}); err != nil {
		t.Error(err)
	}
}
