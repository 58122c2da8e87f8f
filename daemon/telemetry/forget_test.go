package telemetry

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rxedge/daemon/answer"
)

// What was counted under a name that is none of the box's is counted as other after the
// next start, in hours, days, what waits and what is to leave; and the name is in no
// file of the store any more.
func TestForgets(t *testing.T) {
	t.Parallel()
	const name = "zyxwvutina"
	dir := t.TempDir()
	now := time.Date(2026, 3, 4, 23, 30, 0, 0, time.UTC)
	open := func(cohorts []string) *Recorder {
		t.Helper()
		r, err := Open(dir, Options{Now: func() time.Time { return now }, Cohorts: cohorts})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ask := func(r *Recorder, cohort string, n int) {
		for range n {
			r.Observe(&answer.Answer{Question: "dose?", Status: answer.StatusAnswered, Mode: answer.ModeExtractive}, nil, cohort, -1)
		}
	}
	r := open(nil)
	ask(r, name, 30)
	ask(r, name+"-2", 5)
	ask(r, "65+", 20)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour) // the day is over
	ask(r, name, 12)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	named := func() (n int) {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) < 3 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			n += bytes.Count(b, []byte(name))
		}
		return n
	}
	if named() == 0 {
		t.Fatal("the name was never there: the test shows nothing")
	}
	r = open([]string{"0-17", "65+"})
	ask(r, name, 1)
	hours, err := r.Hours(now.Add(-48 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	days, err := r.Days(now.Add(-48 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		ws          []*Window
		other, aged int64
	}{"hours": {hours, 48, 20}, "days": {days, 35, 20}} {
		sum, err := Sum(c.ws)
		if err != nil || sum == nil {
			t.Fatal(what, err)
		}
		m := sum.Slices[Cohort]
		if len(m) != 2 || m[Other] == nil || m[Other].N != c.other || m["65+"].N != c.aged || sum.Questions != c.other+c.aged {
			t.Errorf("%s: %+v of %d", what, sum.Values(Cohort), sum.Questions)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := named(); n != 0 {
		t.Errorf("the name is still there %d times", n)
	}
	r = open([]string{"65+"})
	defer r.Close()
	if hours, err = r.Hours(now.Add(-48 * time.Hour)); err != nil || len(hours) == 0 {
		t.Error(hours, err)
	}
}
