package telemetry

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"rxedge/daemon/answer"
	"rxedge/daemon/answer/guard"
	"rxedge/index/names"
)

// clock is driven by the test.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

const canary = "Zyxwvutina Quetzalcoatl born 1931"

func anAnswer(id string) *answer.Answer {
	return &answer.Answer{ID: id, Question: "Dose of apixaban for " + canary + "?", Status: answer.StatusAnswered, Mode: answer.ModeExtractive, Generation: "gen-000004+17",
		Claims:    []answer.Claim{{Text: "The dose is 5 mg " + canary, Support: answer.Grounded, Score: 1, Citations: []answer.Citation{{LOINC: "34068-7", Quote: canary}}}},
		Retrieved: []answer.Retrieved{{SectionID: "a", Score: 0.5}, {SectionID: "b", Score: 0.4}}, Decision: &guard.Decision{Wrong: 0.2, Threshold: 0.5},
		Explain:   &names.Reading{Subjects: []names.Subject{{Asked: canary, Name: "apixaban", Documents: []string{"x"}}}, Sections: []names.Preference{{Cue: canary, Asks: "dose"}}},
		LabelDate: "2025-01-15", Timings: answer.Timings{Retrieve: 2, Total: 5}}
}

func open(t *testing.T, dir string, c *clock, day func(*Window)) *Recorder {
	t.Helper()
	r, err := Open(dir, Options{Now: c.now, Day: day})
	if err != nil {
		t.Fatal(err)
	}
	r.Start()
	return r
}

// Hours become days, across a restart, and nothing is counted twice or lost.
func TestHoursAndDays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := &clock{t: noon}
	var days []*Window
	r := open(t, dir, c, func(w *Window) { days = append(days, w) })
	ask := func(n int) {
		for range n {
			r.Observe(anAnswer(""), nil, "65+", 3)
		}
	}
	ask(30)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	ask(12)
	hours, err := r.Hours(noon)
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := Sum(hours); err != nil || sum.Questions != 42 {
		t.Fatalf("%+v, %v", sum, err)
	}
	c.set(noon.Add(3 * time.Hour))
	ask(5)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if len(days) != 0 {
		t.Fatal("a day that is not over")
	}
	c.set(noon.Add(20 * time.Hour))
	r = open(t, dir, c, func(w *Window) { days = append(days, w) })
	ask(1)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(days) != 1 || days[0].Questions != 47 || days[0].Generation != "gen-000004" || days[0].To.Sub(days[0].From) != 24*time.Hour {
		t.Fatalf("%d days: %+v", len(days), days)
	}
	w := days[0]
	if s := w.Slices[Class]["doac"]; s == nil {
		t.Errorf("classes %v", w.Values(Class))
	}
	for d, v := range map[Dimension]string{Kind: "dose", Section: "34068-7", Cohort: "65+", Occupancy: "c3", Outcome: "answered"} {
		if s := w.Slices[d][v]; s == nil || s.N != 47 {
			t.Errorf("%s: %v", d, w.Values(d))
		}
	}
	if w.Distinct() != 1 {
		t.Errorf("%d distinct questions", w.Distinct())
	}
	if ms, ok := w.Quantile("total", 0.5); !ok || ms < 4.95 || ms > 5.05 {
		t.Errorf("median %g ms", ms)
	}
	if err := r.Flush(); err != nil || len(days) != 1 {
		t.Errorf("the day was made again (%v)", err)
	}
	// Hours go after nine days, the day stays.
	c.set(noon.AddDate(0, 0, 12))
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	hours, err = r.Hours(noon.AddDate(0, 0, -1))
	kept, err2 := r.Days(noon.AddDate(0, 0, -1))
	if err != nil || err2 != nil || len(hours) != 0 || len(kept) != 2 {
		t.Errorf("%d hours, %d days, %v, %v", len(hours), len(kept), err, err2)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// What was said of an answer counts once, and only of answers given here.
func TestJudge(t *testing.T) {
	t.Parallel()
	c := &clock{t: noon}
	r := open(t, t.TempDir(), c, nil)
	defer r.Close()
	r.Observe(anAnswer("one"), nil, "", -1)
	r.Judge("one", true)
	r.Judge("one", true)
	r.Judge("two", true)
	hours, err := r.Hours(noon)
	if err != nil {
		t.Fatal(err)
	}
	if s := hours[0].Total(); s.Judged.N() != 1 || s.Judged.FN != 1 {
		t.Errorf("%+v", s)
	}
	for i := range recalled + 5 {
		r.Observe(anAnswer(string(rune('a'+i%26))+time.Duration(i).String()), nil, "", -1)
	}
	if len(r.recall) > recalled {
		t.Errorf("%d answers are recalled", len(r.recall))
	}
}

// No word of a question, an answer or a quote is in any file.
func TestCanary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := open(t, dir, &clock{t: noon}, nil)
	r.Observe(anAnswer("one"), nil, canary, -1)
	r.Judge("one", false)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		for _, word := range []string{"Zyxwvutina", "zyxwvutina", "Quetzalcoatl", "quetzalcoatl", "1931"} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%s holds %s", path, word)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatal(files, err)
	}
	if fi, err := os.Stat(filepath.Join(dir, "question.key")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", fi, err)
	}
}

// What leaves the box is of at least eleven questions, and over many days nothing
// is lost but what waits.
func TestRelease(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(11, 9))
	whole, left := NewWindow(noon, noon, "", "gen-000001"), NewWindow(noon, noon, "", "gen-000001")
	var waiting *Window
	for day := range 30 {
		w := count(made(rng, 14*(day%8)))
		if err := whole.Merge(w, false); err != nil {
			t.Fatal(err)
		}
		out, rest, err := w.Release(waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting = rest; out == nil {
			continue
		}
		if !out.Covered() {
			t.Fatalf("day %d tells of too few", day)
		}
		for _, m := range out.Slices {
			for v, s := range m {
				if max(s.Abstained, s.Flagged, s.Ungrounded, s.Refused) > s.N {
					t.Fatalf("day %d, %s: %+v", day, v, *s)
				}
			}
		}
		if err := left.Merge(out, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := left.Merge(waiting, false); err != nil {
		t.Fatal(err)
	}
	if left.Questions != whole.Questions || left.Total() != whole.Total() {
		t.Errorf("%+v, want %+v", left.Total(), whole.Total())
	}
	for f := range left.Bins {
		if !slices.Equal(left.Bins[f], whole.Bins[f]) {
			t.Errorf("%s: %v, want %v", Feature(f), left.Bins[f], whole.Bins[f])
		}
	}
	if waiting.Slices[Cohort]["65+"].N >= LeastCell || len(waiting.Slices[Class]) > mostWaiting {
		t.Errorf("%d classes wait, and %+v", len(waiting.Slices[Class]), waiting.Slices[Cohort]["65+"])
	}
	if out, rest, err := NewWindow(noon, noon, "", "").Release(nil); out != nil || rest == nil || err != nil {
		t.Error("a window of no questions leaves the box")
	}
	if count(made(rng, 200)).Covered() {
		t.Error("a window as it was counted may leave the box")
	}
}

// A day leaves once, also where the first try failed, or was not told of; what
// was counted late goes along with the next.
func TestDaysLeave(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := &clock{t: noon}
	var got []*Window
	down := true
	r, err := Open(dir, Options{Now: at.now, Leave: func(w *Window) error {
		if down {
			return errors.New("no spool")
		}
		got = append(got, w)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(n int) {
		for range n {
			r.Observe(anAnswer(""), nil, "65+", -1)
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	ask(20)
	at.set(at.now().Add(24 * time.Hour))
	ask(15) // the day before is over, and does not leave
	down = false
	ask(0)
	if len(got) != 1 || got[0].Questions != 20 || !got[0].From.Equal(noon.Truncate(24*time.Hour)) {
		t.Fatalf("%d days left: %+v", len(got), got)
	}
	ask(0)
	at.set(at.now().Add(-24 * time.Hour)) // a clock that was wrong: more of the day that has left
	ask(4)
	at.set(at.now().Add(24 * time.Hour))
	ask(0)
	if len(got) != 1 {
		t.Fatal("a day left twice")
	}
	at.set(at.now().Add(24 * time.Hour))
	ask(0)
	if len(got) != 2 || got[1].Questions != 19 {
		t.Fatalf("%d days left, the last %+v", len(got), got[len(got)-1])
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkObserve(b *testing.B) {
	r, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	a := anAnswer("one")
	for b.Loop() {
		r.Observe(a, nil, "65+", 3)
	}
}
