package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/backup"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/control"
	"rxedge/daemon/feedback"
)

// backupQuestions are a hundred questions with the documents that they are of: the labels and
// questions beside the checkout where they are, else the sample's medicines.
func backupQuestions(t *testing.T) (paths, questions []string) {
	t.Helper()
	dir := os.Getenv("RXEDGE_TESTDATA")
	if dir == "" {
		dir = "../../shared/data"
	}
	if f, err := os.Open(filepath.Join(dir, "labels", "questions_dev.jsonl")); err == nil && os.Getenv("RXEDGE_BACKUP_LABELS") != "" {
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan() && len(questions) < 100; {
			var q struct{ Question string }
			if err := json.Unmarshal(sc.Bytes(), &q); err != nil {
				t.Fatal(err)
			}
			questions = append(questions, q.Question)
		}
		return []string{filepath.Join(dir, "labels", "openfda_20drugs.jsonl")}, questions
	}
	paths, err := filepath.Glob("formulary/sample/*.md")
	if err != nil || len(paths) < 15 {
		t.Fatal(paths, err)
	}
	// The sample gives way to documents of one's own: it is one's own here.
	own := t.TempDir()
	for i, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		paths[i] = filepath.Join(own, filepath.Base(p))
		if err := os.WriteFile(paths[i], bytes.Replace(b, []byte("id: sample-"), []byte("id: own-"), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, form := range []string{"What is the usual adult dose of %s?", "Can %s be given with an eGFR of 25?", "Is %s safe in pregnancy?", "What are the contraindications of %s?",
		"Does %s interact with warfarin?", "Which adverse reactions does %s have?", "How is %s monitored in the elderly?"} {
		for _, p := range paths {
			questions = append(questions, fmt.Sprintf(form, strings.TrimSuffix(filepath.Base(p), ".md")))
		}
	}
	return paths, questions[:100]
}

// backupAt takes a backup of a running daemon, and lets pace wait between its bytes.
func backupAt(t *testing.T, s *station, q box.BackupRequest, pace func(written int)) (backup.Header, []byte) {
	t.Helper()
	c, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out bytes.Buffer
	res, err := c.Backup(t.Context(), q, writerFunc(func(p []byte) (int, error) {
		pace(out.Len())
		return out.Write(p)
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res.Header, out.Bytes()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A backup that is taken while questions are asked, documents come in and feedback is
// given is restored on an empty box, which then answers a hundred questions as the box
// did at that moment: the same statuses, claims and citations. What was acknowledged
// before the backup began is in it.
//
// RXEDGE_BACKUP_LABELS=1 asks over the labels beside the checkout.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	configure := func(c *config.Config) {
		noFloor(c)
		c.Sample, c.Cache.Enabled = false, false
	}
	s := startDaemon(t, configure)
	k, err := control.Dial(s.data)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	paths, questions := backupQuestions(t)
	for i, p := range paths {
		if paths[i], err = filepath.Abs(p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.Ingest(t.Context(), paths, nil); err != nil {
		t.Fatal(err)
	}

	// The load: documents that no question names change, all of them at once.
	const moving = 2
	var acknowledged, given atomic.Int64
	var load sync.WaitGroup
	stop := make(chan struct{})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	file := filepath.Join(t.TempDir(), "moving.jsonl")
	load.Go(func() {
		for version := 1; !stopped(); version++ {
			writeMoving(t, file, moving, version)
			time.Sleep(20 * time.Millisecond)
			if _, err := k.Ingest(t.Context(), []string{file}, nil); err != nil {
				t.Error(err)
				return
			}
			acknowledged.Store(int64(version))
		}
	})
	for w := range 2 {
		load.Go(func() {
			for i := w; !stopped(); i++ {
				a := s.ask(t, questions[i%len(questions)])
				if _, err := k.AddFeedback(t.Context(), feedback.Item{ID: fmt.Sprintf("item-%d-%d", w, i), AnswerID: a.ID, Thumb: feedback.Up}); err != nil {
					t.Error(err)
					return
				}
				given.Add(1)
			}
		})
	}
	wait := func(what string, n *atomic.Int64, least int64) {
		for end := time.Now().Add(60 * time.Second); n.Load() < least; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s: %d instead of %d", what, n.Load(), least)
				return
			}
		}
	}
	wait("ingests", &acknowledged, 2)
	wait("feedback", &given, 4)
	versionBefore, feedbackBefore := acknowledged.Load(), given.Load()
	paced := 0
	h, b := backupAt(t, s, box.BackupRequest{Models: true}, func(written int) {
		// A slow medium: documents come in, and questions are answered, between its bytes.
		if paced < 3 && written >= paced*50_000 {
			paced++
			wait("ingests during the backup", &acknowledged, acknowledged.Load()+1)
		}
	})
	versionAfter := acknowledged.Load()
	close(stop)
	load.Wait()
	if versionAfter < versionBefore+2 || len(h.LeftOut) == 0 {
		t.Errorf("versions %d to %d came in during the backup: it was not under load", versionBefore, versionAfter)
	}

	known(t, h)

	// The box is brought back to that moment.
	for range 100 {
		st, err := k.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Generation.Label() == h.Generation {
			break
		}
		if _, err := k.Rollback(t.Context()); err != nil {
			t.Fatalf("from %s to %s: %v", st.Generation.Label(), h.Generation, err)
		}
	}

	data := filepath.Join(t.TempDir(), "var")
	if _, err := box.Restore(t.Context(), data, bytes.NewReader(b), box.RestoreRequest{}); err != nil {
		t.Fatal(err)
	}
	r := startDaemon(t, func(c *config.Config) { configure(c); c.Data = data })
	rk, err := control.Dial(data)
	if err != nil {
		t.Fatal(err)
	}
	defer rk.Close()
	st, err := rk.Status(t.Context())
	if err != nil || st.Generation != h.Generation || len(st.Degraded) > 0 || st.Restored == nil || st.Restored.Backup != h.ID || st.Unclean != "" {
		t.Errorf("the restored box: %+v, %v", st, err)
	}
	if rep, err := rk.Verify(t.Context(), nil); err != nil || len(rep.Faults) > 0 {
		t.Errorf("its index: %+v, %v", rep, err)
	}
	answered := 0
	for _, q := range questions {
		was, is := s.ask(t, q), r.ask(t, q)
		if was.Status == answer.StatusAnswered {
			answered++
		}
		if was.Status != is.Status || was.Reason != is.Reason || was.Severity != is.Severity || was.LabelDate != is.LabelDate || !reflect.DeepEqual(was.Claims, is.Claims) || was.Generation != is.Generation {
			t.Errorf("%q: %s %q in %s from the box, %s %q in %s from the restored one", q, was.Status, saidIn(was), was.Generation, is.Status, saidIn(is), is.Generation)
		}
	}
	if answered < 50 {
		t.Errorf("only %d of %d questions were answered: too few to tell", answered, len(questions))
	}

	// What was acknowledged before is there, and a batch is there whole.
	versions := map[string]bool{}
	for i := range moving {
		d, err := rk.Document(t.Context(), fmt.Sprintf("moving%d", i))
		if err != nil {
			t.Fatal(err)
		}
		var v int64
		if _, err := fmt.Sscanf(d.Sections[0].Text, "Version %d of", &v); err != nil || v < versionBefore {
			t.Errorf("%s is of version %d, and %d was acknowledged before: %v", d.ID, v, versionBefore, err)
		}
		versions[fmt.Sprint(v)] = true
	}
	if len(versions) != 1 {
		t.Errorf("half a batch is there: %v", versions)
	}
	rs, err := rk.FeedbackRecords(t.Context(), false)
	if err != nil || int64(len(rs)) < feedbackBefore {
		t.Errorf("%d items of feedback, and %d were acknowledged before: %v", len(rs), feedbackBefore, err)
	}
	if tel, err := rk.Telemetry(t.Context(), 24); err != nil || tel.Questions == 0 {
		t.Errorf("what was counted is not there: %+v, %v", tel, err)
	}
	t.Logf("%s: %d of %d questions answered, all alike; versions %d to %d came in during the backup, and version %s is in it; %d items of feedback before, %d in it; %d bytes",
		h.Generation, answered, len(questions), versionBefore, versionAfter, sortedOne(versions), feedbackBefore, len(rs), len(b))

	// It goes on as a box does.
	writeMoving(t, file, moving, 10_000)
	if rep, err := rk.Ingest(t.Context(), []string{file}, nil); err != nil || !rep.Changed {
		t.Errorf("taking in documents afterwards: %+v, %v", rep, err)
	}
}

// writeMoving writes n short labels of a version.
func writeMoving(t *testing.T, path string, n, version int) {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"id":"moving%d#storage","drug":"moving%d","section":"Storage","text":"Version %d of moving%d is kept in its carton."}`+"\n", i, i, version, i)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Error(err)
	}
}

// known fails where the data folder holds something of which nobody has decided whether it
// belongs into a backup.
func known(t *testing.T, h backup.Header) {
	t.Helper()
	for _, l := range h.LeftOut {
		if l.Why == "nothing of this rxedge writes it" {
			t.Errorf("%s is in the data folder, and daemon/box/backup.go does not know it", l.What)
		}
	}
}

func sortedOne(m map[string]bool) string {
	for k := range m {
		return k
	}
	return ""
}

func saidIn(a answer.Answer) string {
	var out []string
	for _, c := range a.Claims {
		out = append(out, c.Text)
	}
	return strings.Join(out, " | ")
}
