package central

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A trail that was changed, in whatever way, is found out.
func TestAuditIsChecked(t *testing.T) {
	t.Parallel()
	x := newTable(t, 8)
	n := x.publish(t, "two", true)
	x.create(t, n, plan(nil))
	x.step(t)
	if _, err := x.PauseRollout("stable", n, By{Who: "bob", Reason: "hm <&>"}); err != nil {
		t.Fatal(err)
	}
	all, err := x.Audit()
	if err != nil || len(all) != 4 {
		t.Fatal(len(all), err)
	}
	export := func(all []Signed) []byte {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ") // as 'audit --json' does
		e.SetEscapeHTML(false)
		if err := e.Encode(all); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if c, err := x.VerifyAudit(export(all)); err != nil || c.Records != 4 || c.Head != all[3].Hash || !c.Complete {
		t.Fatal(c, err)
	}
	if c, err := x.VerifyAudit(export(all[:2])); err != nil || c.Complete {
		t.Fatal("an older one", c, err)
	}
	other := newTable(t, 8)
	if _, err := other.VerifyAudit(export(all)); err == nil {
		t.Error("another fleet's trail was believed")
	}
	whole, err := os.ReadFile(x.path(auditFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	lines = lines[:4]
	join := func(ls ...[]byte) []byte { return bytes.Join(ls, nil) }
	for what, b := range map[string][]byte{
		"another name":                    bytes.Replace(whole, []byte(`\"who\":\"ann\"`), []byte(`\"who\":\"eve\"`), 1),
		"another name, as it lies":        bytes.Replace(whole, []byte(`"who":"ann"`), []byte(`"who":"eve"`), 1),
		"one record missing":              join(lines[0], lines[2], lines[3]),
		"two in the other order":          join(lines[0], lines[2], lines[1], lines[3]),
		"one twice":                       join(lines[0], lines[1], lines[1], lines[2], lines[3]),
		"the last missing":                join(lines[:3]...),
		"half of the last":                whole[:len(whole)-len(lines[3])/2],
		"all missing":                     nil,
		"a signature of another":          bytes.Replace(whole, []byte(all[1].Signature), []byte(all[2].Signature), 1),
		"a byte in the middle":            bytes.Replace(whole, []byte(`"hash":"`), []byte(`"hash":"0`), 1),
		"text that is none of the record": append([]byte("x\n"), whole...),
	} {
		if bytes.Equal(b, whole) {
			if what != "another name" {
				t.Error("nothing was changed:", what)
			}
			continue
		}
		c := x.Copy(t)
		if err := os.WriteFile(c.path(auditFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Audit(); !errors.Is(err, ErrAudit) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := c.ResumeRollout("stable", n, By{Who: "eve"}); err == nil {
			t.Errorf("%s: and the centre went on", what)
		}
	}
	// What was cut off in the writing, before anything was done by it, is nothing.
	c := x.Copy(t)
	if err := os.WriteFile(c.path(auditFile), append(bytes.Clone(whole), whole[:100]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ResumeRollout("stable", n, By{Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	if all, err := c.Audit(); err != nil || len(all) != 5 {
		t.Fatal(len(all), err)
	}
}

// Ended at any step of what it writes, a rollout goes on where it was: the same
// records as without, no site let in that the trail does not name, none shut out.
func TestRolloutCrashes(t *testing.T) {
	defer SetStep(func(string) {})
	first := newTable(t, 20)
	// In memory where there is such a place: what counts here is the order of writes.
	memory, err := os.MkdirTemp("/dev/shm", "rxedge-crash-*")
	if err != nil {
		memory = t.TempDir()
	}
	defer os.RemoveAll(memory)
	scenario := func(t *testing.T, crashAt int) (steps int, acts string) {
		dir, clock := filepath.Join(memory, fmt.Sprint(crashAt)), first.clock
		if err := os.CopyFS(dir, os.DirFS(first.Dir)); err != nil {
			t.Fatal(err)
		}
		x := &table{clock: clock, heard: newHeard()}
		count := 0
		type crash struct{}
		// try runs do until it comes through: after a crash, as a new process.
		try := func(do func(*Folder) error) {
			t.Helper()
			for {
				f, err := Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				f.SetClock(func() time.Time { return clock })
				x.Folder = f
				crashed := func() (c bool) {
					defer func() {
						if r := recover(); r != nil {
							if _, ours := r.(crash); !ours {
								panic(r)
							}
							c = true
						}
					}()
					SetStep(func(string) {
						if count++; count == crashAt {
							panic(crash{})
						}
					})
					err = do(f)
					return false
				}()
				SetStep(func(string) {})
				if !crashed {
					if err != nil {
						t.Fatalf("crash at %d: %v", crashAt, err)
					}
					return
				}
			}
		}
		steps20 := func() {
			x.clock = clock
			try(func(f *Folder) error { _, err := f.stepRollouts(x.heard, "controller", func(Standing) {}); return err })
			if r := x.rollout(t, 2); r.State == RolloutRunning && !slices.Equal(x.may(t, 2), r.Sites) {
				t.Fatalf("crash at %d: %v may, %v by the trail", crashAt, x.may(t, 2), r.Sites)
			}
		}
		try(func(f *Folder) error {
			if nums, _ := f.Newest(); nums["stable"] == 2 {
				return nil // it was published before the crash
			}
			_, err := f.Publish(Release{Channel: "stable", Hold: true, Who: "ann", Withdraw: []string{"x"}})
			return err
		})
		n, err := x.Newest()
		if err != nil {
			t.Fatal(err)
		}
		if n["stable"] != 2 { // its number was burnt by a crash after its record
			return count, ""
		}
		try(func(f *Folder) error {
			_, err := f.CreateRollout("stable", 2, plan(func(p *Plan) { p.Waves = []float64{25, 100} }), By{Who: "ann"})
			var late *NotNowError
			if errors.As(err, &late) {
				return nil // done before the crash
			}
			return err
		})
		steps20()
		for _, s := range x.rollout(t, 2).Sites {
			x.tell(s, "confirmed", 2)
		}
		steps20()
		clock = clock.Add(2 * time.Hour)
		steps20()
		x.tell(x.rollout(t, 2).Sites[9], "rolled_back", 2)
		steps20()
		if len(x.may(t, 2)) != 0 {
			t.Fatalf("crash at %d: halted, and open", crashAt)
		}
		return count, x.actions(t)
	}
	all, want := scenario(t, 0)
	if want != "hold2 create2 open2 settle2 advance2 halt2" {
		t.Fatal(want)
	}
	for i := 1; i <= all; i++ {
		if _, got := scenario(t, i); got != "" && got != want {
			t.Errorf("crash at step %d of %d: %s", i, all, got)
		}
	}
	t.Logf("%d steps, each of them crashed", all)
}
