package rollout

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

type still struct{ p Pair }

func (s *still) Serve(_ context.Context, p Pair) error  { s.p = p; return nil }
func (s *still) Return(_ context.Context, p Pair) error { s.p = p; return nil }
func (s *still) Settle(_ context.Context, p Pair) error { s.p = p; return nil }
func (s *still) Idle(context.Context, time.Duration)    {}
func (s *still) Current() Pair                          { return Pair{Generation: s.p.Generation} }

func opened(t *testing.T, dir string, s *still) *Manager {
	t.Helper()
	m, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Recover(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func offered(t *testing.T, m *Manager, n int64, s *still, watch time.Duration) error {
	t.Helper()
	g := "gen-" + string(rune('0'+n))
	_, err := m.Offer(t.Context(), Offer{ID: "bundle-" + string(rune('0'+n)), Bundle: n, Watch: watch,
		Prepare: func(context.Context) (Pair, []Version, error) {
			return Pair{Generation: g, Base: s.p.Generation}, []Version{{Kind: KindIndex, Name: g, Made: Made{Algorithm: "a", Data: g}}}, nil
		},
		Validate: func(context.Context, Pair) (Verdict, error) { return Verdict{Pass: true}, nil }})
	return err
}

// What the table does not name is refused, from every slot.
func TestTable(t *testing.T) {
	t.Parallel()
	allowed := map[Op][]Slot{
		OpAdopt: {""}, OpStage: {"", RolledBack}, OpValidate: {Staged}, OpApprove: {Validated}, OpProvision: {Validated}, OpConfirm: {Provisional},
		OpSettle: {Confirmed}, OpReject: {Staged, Validated}, OpRollBack: {Provisional, Confirmed}, OpInterrupt: {Staged, Validated, Provisional},
	}
	for op := range table {
		for _, at := range []Slot{"", Staged, Validated, Provisional, Confirmed, RolledBack} {
			e := &Entry{Pair: Pair{ID: "x"}, Slot: at}
			s := &State{entries: map[string]*Entry{"x": e}, Previous: &Entry{}}
			switch at {
			case "":
				delete(s.entries, "x")
			case Confirmed:
				s.Confirmed = e
			case Staged, Validated, Provisional:
				s.Candidate = e
			}
			_, err := s.allows(op, "x")
			if want := slices.Contains(allowed[op], at); want != (err == nil) {
				t.Errorf("%s from %q: %v", op, at, err)
			}
		}
	}
	if _, err := (&State{}).allows("jump", "x"); err == nil {
		t.Error("a step that there is not was allowed")
	}
}

// A journal that is cut anywhere opens with what stands before the cut; one that is
// damaged in the middle is moved aside, and what stands before the damage counts.
func TestJournalCutAndDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &still{Pair{Generation: "gen-0"}}
	m := opened(t, dir, s)
	for n := int64(1); n <= 2; n++ {
		if err := offered(t, m, n, s, 0); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil {
		t.Fatal(err)
	}
	records := m.History()
	if n := bytes.Count(whole, []byte("\n")); n != len(records) || n != 11 {
		t.Fatalf("%d lines, %d records", n, len(records))
	}
	for cut := 0; cut < len(whole); cut += 7 {
		at := t.TempDir()
		if err := os.WriteFile(filepath.Join(at, journalName), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j, rs, _, err := openJournal(Disk{}, at, time.Now)
		if err != nil || len(rs) != bytes.Count(whole[:cut], []byte("\n")) || j.note != "" {
			t.Fatalf("cut at %d: %d records, %v, %q", cut, len(rs), err, j.note)
		}
		if left, _ := os.ReadFile(j.path()); !bytes.Equal(left, whole[:bytes.LastIndexByte(whole[:cut], '\n')+1]) {
			t.Fatalf("cut at %d: the tail is still there", cut)
		}
		_ = j.close()
	}
	for _, flip := range []int{3, 40, bytes.IndexByte(whole, '\n') + 20, len(whole) / 2} {
		at := t.TempDir()
		bad := bytes.Clone(whole)
		bad[flip] ^= 4
		if err := os.WriteFile(filepath.Join(at, journalName), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		m := opened(t, at, &still{Pair{Generation: "gen-2"}})
		if !strings.Contains(m.Note(), "damaged") {
			t.Errorf("bit at %d: no note", flip)
		}
		if kept, _ := filepath.Glob(filepath.Join(at, "journal.damaged-*")); len(kept) != 1 {
			t.Errorf("bit at %d: %v lie aside", flip, kept)
		}
		if c := m.State().Confirmed; c == nil {
			t.Errorf("bit at %d: nothing is confirmed", flip)
		}
		// It goes on, and is read again.
		if err := m.Pin("t", "", true); err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(filepath.Join(at, journalName)); err != nil || bytes.Count(again, []byte("\n")) != len(m.History()) {
			t.Errorf("bit at %d: %v", flip, err)
		}
	}
}

// fullDisk fails writes while it is full.
type fullDisk struct {
	Disk
	full *bool
}

type fullHandle struct {
	Handle
	full *bool
}

func (f fullDisk) Append(name string) (Handle, error) {
	h, err := f.Disk.Append(name)
	return fullHandle{h, f.full}, err
}

func (h fullHandle) Write(b []byte) (int, error) {
	if *h.full {
		n, _ := h.Handle.Write(b[:len(b)/3])
		return n, errors.New("no space left on device")
	}
	return h.Handle.Write(b)
}

// A full disk takes nothing: the record is taken back, and the next is whole.
func TestJournalOnFullDisk(t *testing.T) {
	t.Parallel()
	full, dir := false, t.TempDir()
	s := &still{Pair{Generation: "gen-0"}}
	m, err := Open(Config{Dir: dir, FS: fullDisk{full: &full}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Recover(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	full = true
	if err := offered(t, m, 1, s, 0); err == nil || m.State().Candidate != nil || s.p.Generation != "gen-0" {
		t.Fatalf("%v %+v", err, m.State())
	}
	full = false
	if err := offered(t, m, 1, s, 0); err != nil || s.p.Generation != "gen-1" {
		t.Fatal(err, s.p)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	again := opened(t, dir, s)
	if len(again.History()) != len(m.History()) || again.State().Confirmed.ID != "bundle-1" || again.Note() != "" {
		t.Errorf("%+v", again.State())
	}
}

// A confirmation whose record was lost after the index had followed is a
// confirmation still.
func TestIndexHadFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &still{Pair{Generation: "gen-0"}}
	m := opened(t, dir, s)
	if err := offered(t, m, 1, s, time.Hour); err != nil {
		t.Fatal(err)
	}
	if c := m.State().Candidate; c == nil || c.Slot != Provisional {
		t.Fatalf("%+v", m.State())
	}
	after := opened(t, dir, s) // whose Current is gen-1
	if st := after.State(); st.Confirmed.ID != "bundle-1" || st.Unsettled || st.Candidate != nil {
		t.Errorf("%+v", st)
	}
}

// Found provisional by three starts, a candidate is given up.
func TestInterruptedThrice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for k := range mostInterrupted {
		s := &still{Pair{Generation: "gen-0"}}
		m := opened(t, dir, s)
		if err := offered(t, m, 1, s, time.Hour); err != nil {
			t.Fatalf("start %d: %v", k, err)
		}
	}
	m := opened(t, dir, &still{Pair{Generation: "gen-0"}})
	if st := m.State(); st.Candidate != nil || st.Last == nil || st.Last.Check != CheckInterrupted || st.Confirmed.Generation != "gen-0" {
		t.Errorf("%+v", st)
	}
}

// Versions are numbered by what is another, and stand where their pair does.
func TestVersions(t *testing.T) {
	t.Parallel()
	s := &State{}
	add := func(r Record) {
		t.Helper()
		r.Seq = s.seq + 1
		if err := s.apply(r); err != nil {
			t.Fatal(err)
		}
	}
	cycle := func(id string, v Version, stages ...Stage) {
		t.Helper()
		p := &Pair{ID: id, Generation: v.Name}
		add(Record{Op: OpStage, ID: id, Pair: p})
		add(Record{Op: OpValidate, ID: id, Pair: p, Versions: []Version{v}, Verdict: &Verdict{Pass: true}})
		if got := s.Versions[len(s.Versions)-1]; got.Stage != Staging || got.Evaluation == nil {
			t.Errorf("%s: %+v", id, got)
		}
		add(Record{Op: OpProvision, ID: id, From: &s.Confirmed.Pair})
		add(Record{Op: OpConfirm, ID: id})
		add(Record{Op: OpSettle, ID: id})
		for i, want := range stages {
			if s.Versions[i].Stage != want {
				t.Errorf("after %s: version %d is %s, want %s", id, i, s.Versions[i].Stage, want)
			}
		}
	}
	add(Record{Op: OpAdopt, ID: "own-1", Pair: &Pair{ID: "own-1"}})
	cycle("a", Version{Kind: KindIndex, Name: "g1", Made: Made{"x", "e", "1"}}, Production)
	cycle("b", Version{Kind: KindIndex, Name: "g2", Made: Made{"x", "e", "2"}}, Archived, Production)
	cycle("c", Version{Kind: KindIndex, Name: "g3", Made: Made{"x", "f", "2"}}, Archived, Archived, Production)
	cycle("d", Version{Kind: KindIndex, Name: "g4", Made: Made{"y", "f", "2"}}, Archived, Archived, Archived, Production)
	var got []string
	for _, v := range s.Versions {
		got = append(got, v.Version)
	}
	if want := []string{"1.0.0", "1.0.1", "1.1.0", "2.0.0"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	add(Record{Op: OpRollBack, ID: "d", Back: &s.Previous.Pair})
	if s.Versions[2].Stage != Production || s.Versions[3].Stage != Archived {
		t.Errorf("%+v", s.Versions)
	}
}

// Whatever lies in the file, it is read without a panic, and what is taken is whole.
func FuzzJournal(f *testing.F) {
	line, _ := encode(Record{Seq: 1, Op: OpAdopt, ID: "own-1", Pair: &Pair{ID: "own-1"}})
	f.Add(line)
	f.Add([]byte("00000000 {}\n"))
	f.Add(append(bytes.Clone(line), "1a2b"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		rs, s, whole, bad := parse(data)
		if whole > len(data) || (bad == nil) != (whole == len(data)) || uint64(len(rs)) != s.seq {
			t.Fatal(whole, bad, len(rs), s.seq)
		}
	})
}

// The time of a watch goes by the steady clock: it ends neither early nor never where the
// wall's is set meanwhile.
func TestWatchGoesByTheSteadyClock(t *testing.T) {
	t.Parallel()
	s := &still{p: Pair{Generation: "gen-0"}}
	m := opened(t, t.TempDir(), s)
	if err := offered(t, m, 1, s, time.Hour); err != nil {
		t.Fatal(err)
	}
	c := m.State().Candidate
	if c == nil || c.Slot != Provisional || !strings.Contains(m.until.String(), "m=+") || m.over(c) {
		t.Fatalf("%+v until %s", c, m.until)
	}
	// The wall's clock is set: what the journal says of it is passed over.
	for _, by := range []int{-10, 10} {
		set := *c
		set.Until = c.Until.AddDate(by, 0, 0)
		if m.over(&set) {
			t.Errorf("the clock is set by %d years, and an hour is over at once", -by)
		}
		m.until = time.Now()
		if !m.over(&set) {
			t.Errorf("the clock is set by %d years, and an hour is never over", -by)
		}
		m.until = time.Now().Add(time.Hour)
	}
}
