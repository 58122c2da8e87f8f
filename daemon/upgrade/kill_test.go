package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rxedge/sync/durable"
)

// What this test program is told when it is a child that ends itself.
const (
	killIn   = "RXEDGE_TEST_UPGRADE" // the operation
	killRoot = "RXEDGE_TEST_UPGRADE_ROOT"
	killFrom = "RXEDGE_TEST_UPGRADE_FROM" // the folder of the new release
	killAt   = "RXEDGE_TEST_UPGRADE_AT"   // the step at which it ends, 0: none
)

// operations of an update, as the tool and the service's unit call them.
var operations = map[string]func(*Root, string) error{
	"install": func(r *Root, from string) error { _, err := r.Install(context.Background(), from, false); return err },
	"use":     func(r *Root, _ string) error { return r.Use("1.1.0", false) },
	"guard":   func(r *Root, _ string) error { _, err := r.Guard(); return err },
	"confirm": func(r *Root, _ string) error { return r.Confirm("1.1.0") },
	"fail":    func(r *Root, _ string) error { return r.Fail("1.1.0", "it fell over") },
}

func TestMain(m *testing.M) {
	operation := os.Getenv(killIn)
	if operation == "" {
		os.Exit(m.Run())
	}
	at, _ := strconv.Atoi(os.Getenv(killAt))
	n := 0
	step = func(string) {
		if n++; n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	durable.Step = step
	if err := operations[operation](&Root{Dir: os.Getenv(killRoot)}, os.Getenv(killFrom)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(n)
}

// do an operation in a process of its own, which ends by SIGKILL at a step (0: at
// none); it returns how many steps there are.
func do(t *testing.T, operation string, r *Root, from string, at int) (steps int) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), killIn+"="+operation, killRoot+"="+r.Dir, killFrom+"="+from, killAt+"="+strconv.Itoa(at))
	out, err := c.Output()
	if at > 0 {
		var ended *exec.ExitError
		if !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s did not end at step %d: %v %s", operation, at, err, out)
		}
		return 0
	}
	if steps, _ = strconv.Atoi(strings.TrimSpace(string(out))); err != nil || steps == 0 {
		t.Fatalf("%s: %v %s", operation, err, out)
	}
	return steps
}

// Ended by SIGKILL at each step of what an update writes. The next start, as after a
// power cut, finds a release that is whole, the confirmed one or the new one; the
// operation done again goes through, and the update ends where it would have.
func TestKilled(t *testing.T) {
	memory, err := os.MkdirTemp("/dev/shm", "rxedge-upgrade-*")
	if err != nil {
		memory = t.TempDir()
	}
	defer os.RemoveAll(memory)
	base := first(t)
	install(t, base, "0.9.0", serves) // to be removed in the end
	from := write(t, "1.1.0", serves)
	copied := 0
	clone := func(r *Root) *Root {
		t.Helper()
		copied++
		c := &Root{Dir: filepath.Join(memory, strconv.Itoa(copied))}
		if err := copyAll(r.Dir, c.Dir); err != nil {
			t.Fatal(err)
		}
		return c
	}
	killed := 0
	for _, end := range []struct{ operation, want string }{{"confirm", "1.1.0"}, {"fail", "1.0.0"}} {
		all := []string{"install", "use", "guard", end.operation, "guard"}
		before := clone(base)
		for i, operation := range all {
			if end.operation == "fail" && i < 3 || i == 4 { // the same as with confirm; or nothing is written
				_ = operations[operation](before, from)
				continue
			}
			after := clone(before)
			steps := do(t, operation, after, from, 0)
			for at := 1; at <= steps; at++ {
				r := clone(before)
				do(t, operation, r, from, at)
				killed++
				where := fmt.Sprintf("%s, %s ended at step %d of %d", end.operation, operation, at, steps)
				s, err := r.Guard() // the next start
				if err != nil || s.Version != "1.0.0" && s.Version != "1.1.0" || s.FellBack != "" || current(t, r) != s.Version {
					t.Fatalf("%s: the next start: %+v, %v", where, s, err)
				}
				if b, err := exec.Command(r.Program(s), "--version").Output(); err != nil || strings.TrimSpace(string(b)) != "rxedged "+s.Version {
					t.Fatalf("%s: what is started says %s, %v", where, b, err)
				}
				for _, again := range all[i:] {
					if err := operations[again](r, from); err != nil && !errors.Is(err, ErrExists) {
						t.Fatalf("%s: %s afterwards: %v", where, again, err)
					}
				}
				if s, err := r.Guard(); err != nil || s.Version != end.want || s.Pending || current(t, r) != end.want {
					t.Fatalf("%s: in the end %+v, %v", where, s, err)
				}
			}
			before = after
		}
	}
	t.Logf("ended by SIGKILL at %d steps", killed)
}
