package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rxedge/centre/survey"
	"rxedge/sync/bundle"
	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

// centralCommand runs 'rxedge central' over a folder, and gives what it prints.
func centralCommand(t *testing.T, dir string) func(want int, given ...string) string {
	return func(want int, given ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append([]string{"central", "--dir", dir}, given...), strings.NewReader(""), &out, &errOut); code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s\n%s", given, code, want, out.String(), errOut.String())
		}
		return out.String()
	}
}

// The commands over a hub, with one site: held, let out, confirmed, taken back.
func TestRolloutCommands(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	cmd := centralCommand(t, f.Dir)
	file := func(text string) string {
		p := filepath.Join(t.TempDir(), "d.jsonl")
		if err := os.WriteFile(p, fmt.Appendf(nil, `{"_id":"a","title":"A","text":%q}`+"\n", text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	id := f.Enroll(t, filepath.Join(t.TempDir(), "sync"), "box-1", "stable")
	r, err := bundle.Open(t.TempDir(), bundle.Config{Channel: "stable", Site: "box-1", Root: id.Root, Least: id.Floor, Issued: id.Issued})
	if err != nil {
		t.Fatal(err)
	}
	news := make(chan struct{}, 1)
	u, err := uplink.Start(uplink.Options{Identity: id, Now: r.Now, News: func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	// take what is let in, once the hub says that there is something.
	take := func(number int64) {
		t.Helper()
		for {
			select {
			case <-news:
			case <-time.After(30 * time.Second):
				t.Fatalf("bundle %d was not let in: %+v", number, r.Status())
			}
			res, err := r.Pull(t.Context(), u.Source())
			if err != nil {
				t.Fatal(err)
			}
			if res.Staged == number {
				break
			}
		}
		if err := r.Activate(number); err != nil {
			t.Fatal(err)
		}
		u.Tell(fmt.Appendf(nil, `{"active":%d,"rollout":{"bundle":%d,"slot":"confirmed"}}`, number, number))
	}
	cmd(0, "publish", file("one"))
	take(1)
	if out := cmd(0, "publish", "--hold", file("two")); !strings.Contains(out, "rollout create --bundle 2") {
		t.Fatal(out)
	}
	var behind []survey.Standing
	if err := json.Unmarshal([]byte(cmd(0, "--json", "updates")), &behind); err != nil || len(behind) != 1 || behind[0].Behind || behind[0].Newest != 1 || behind[0].Held != 2 {
		t.Fatalf("%+v, %v", behind, err)
	}
	cmd(0, "rollout", "create", "--bundle", "2", "--waves", "50%,100%", "--soak", "0s")
	ctx, stop := context.WithCancel(t.Context())
	var out, errOut bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"central", "--dir", f.Dir, "rollout", "run", "--json", "--every", "100ms"}, strings.NewReader(""), &out, &errOut)
	}()
	take(2)
	show := func() (s struct {
		State, Next string
		Figures     struct{ Confirmed int }
	}) {
		if err := json.Unmarshal([]byte(cmd(0, "rollout", "show", "2", "--json")), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for end := time.Now().Add(30 * time.Second); show().State != "done"; {
		if time.Now().After(end) {
			t.Fatalf("%+v", show())
		}
	}
	if s := show(); s.Figures.Confirmed != 1 {
		t.Fatalf("%+v", s)
	}
	if code := run(t.Context(), []string{"central", "--dir", f.Dir, "rollout", "run"}, nil, new(bytes.Buffer), new(bytes.Buffer)); code != exitRefused {
		t.Error("two controllers", code)
	}
	stop()
	if code := <-ended; code != exitDone {
		t.Error(code, errOut.String())
	}
	states := ""
	for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var s struct{ State string }
		if err := json.Unmarshal([]byte(l), &s); err != nil {
			t.Fatal(l, err)
		}
		states += s.State + " "
	}
	if !strings.HasPrefix(states, "running ") || !strings.HasSuffix(states, " done ") {
		t.Error(states)
	}
	cmd(0, "rollout", "abort", "2", "--rollback", "--note", "a wrong dose")
	for !r.Gate(2).Rollback {
		<-news
		if _, err := r.Pull(t.Context(), u.Source()); err != nil {
			t.Fatal(err)
		}
	}
	if out := cmd(0, "rollout", "list"); !strings.Contains(out, "aborted") {
		t.Error(out)
	}
	if out := cmd(0, "rollout", "audit"); !strings.Contains(out, "1 sites, 1 confirmed, 0 failed") || !strings.Contains(out, "a wrong dose") {
		t.Error(out)
	}
}
