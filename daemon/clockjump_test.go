package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/daemon/feedback"
)

// machineClock names a file with the seconds by which a daemon's clock is off. Go reads
// the clock without the library that libfaketime stands before, so it is a hook.
const machineClock = "RXEDGE_TEST_MACHINE_CLOCK"

func fakeClock() {
	f := os.Getenv(machineClock)
	if f == "" {
		return
	}
	box.SyncClock = func() time.Time { return shifted(f) }
	box.Clocks = func() (time.Time, time.Duration) { return shifted(f).Round(0), time.Since(testsBegan) }
}

var testsBegan = time.Now()

// A daemon is started with a clock far back and far ahead, which is then set right, and
// started again: questions are answered throughout, what was acknowledged is there, and
// what was counted meanwhile lies at hours that were.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, file := filepath.Join(dir, "var"), filepath.Join(dir, "off")
	off := func(d time.Duration) {
		t.Helper()
		tmp := file + ".new"
		if err := os.WriteFile(tmp, []byte(fmt.Sprint(int64(d/time.Second))), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, file); err != nil {
			t.Fatal(err)
		}
	}
	asked, said := int64(0), 0
	use := func(c *control.Client, when string) {
		t.Helper()
		for n := range 3 {
			// Each is another question to the counts, and none is answered from the cache alone.
			a, err := c.Ask(t.Context(), answer.Question{Text: fmt.Sprintf("Can metformin be started with an eGFR of %d?", 40+n)}, answer.Events{})
			if err != nil || a.Status != answer.StatusAnswered {
				t.Fatalf("%s: %v %+v", when, err, a)
			}
			asked++
			if _, err := c.AddFeedback(t.Context(), feedback.Item{ID: fmt.Sprintf("item-%d", said), AnswerID: a.ID, Thumb: "up"}); err != nil {
				t.Fatalf("%s: feedback: %v", when, err)
			}
			said++
		}
	}
	look := func(c *control.Client, when, jump string) {
		t.Helper()
		h, err := c.Status(t.Context())
		if err != nil || !h.Ready {
			t.Fatalf("%s: %v %+v", when, err, h)
		}
		found := ""
		for _, f := range h.Conditions {
			if f.Code == "clock-jumped" {
				found = f.Detail
			}
		}
		if jump == "" && found != "" || !strings.Contains(found, jump) {
			t.Errorf("%s: clock-jumped says %q, wanted %q", when, found, jump)
		}
		s, err := c.FeedbackSummary(t.Context())
		if err != nil || s.Records != said {
			t.Errorf("%s: %d of %d items of feedback, %v", when, s.Records, said, err)
		}
	}
	stop := func(c *control.Client, kill func(os.Signal) error, wait func() error) {
		t.Helper()
		_ = c.Close()
		if err := kill(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := wait(); err != nil {
			t.Error(err)
		}
	}
	years := func(n int) time.Duration { return time.Duration(n) * 365 * 24 * time.Hour }
	to1970 := time.Until(time.Unix(3600, 0))

	off(0)
	cmd, c := child(t, data, machineClock+"="+file)
	use(c, "right")
	look(c, "right", "")
	off(-26 * time.Hour) // a day comes twice
	use(c, "a day back")
	look(c, "a day back", "was set back by 26h0m0s")
	off(0)
	use(c, "right again")
	off(years(14))
	use(c, "far ahead")
	look(c, "far ahead", "was set forward by 51")
	off(0)
	use(c, "set right")
	look(c, "set right", "was set back by 51")
	stop(c, cmd.Process.Signal, cmd.Wait)

	off(to1970) // the battery is dead
	cmd, c = child(t, data, machineClock+"="+file)
	use(c, "1970")
	look(c, "1970", "stood, at the start, back by")
	off(0) // a time server is reached
	use(c, "set right from 1970")
	look(c, "set right from 1970", "was set forward by")
	if _, err := c.CollectDisk(t.Context(), box.CollectRequest{}); err != nil {
		t.Error(err)
	}
	stop(c, cmd.Process.Signal, cmd.Wait)

	off(years(14))
	cmd, c = child(t, data, machineClock+"="+file)
	use(c, "started far ahead")
	look(c, "started far ahead", "stood, at the start, forward by")
	stop(c, cmd.Process.Signal, cmd.Wait)

	off(0)
	cmd, c = child(t, data, machineClock+"="+file)
	look(c, "started right after far ahead", "stood, at the start, back by")
	use(c, "started right after far ahead")
	stop(c, cmd.Process.Signal, cmd.Wait)
	cmd, c = child(t, data, machineClock+"="+file)
	look(c, "started right again", "")
	tel, err := c.Telemetry(t.Context(), 48)
	if err != nil || tel.Questions != asked {
		t.Errorf("of %d questions %d are counted, %v", asked, tel.Questions, err)
	}
	rep, err := c.Verify(t.Context(), nil)
	if err != nil || !rep.OK() {
		t.Error(rep, err)
	}
	stop(c, cmd.Process.Signal, cmd.Wait)
}
