package systemd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What 'make package-test' hands over: an archive of a Debian, and two packages of
// which the second is the newer.
const (
	debianVar = "RXEDGE_TEST_DEBIAN"
	olderVar  = "RXEDGE_TEST_OLDER"
	newerVar  = "RXEDGE_TEST_NEWER"
)

const (
	question = "Can metformin be started with an eGFR of 40?"
	address  = "http://127.0.0.1:8731"
	settings = "/etc/rxedge/rxedge.toml"
)

var errRefused = errors.New("refused for now")

// ask over HTTP. errRefused: the service was not there, or said that it stops.
func ask(ctx context.Context, c *http.Client, text, token string) (status string, err error) {
	body, _ := json.Marshal(map[string]string{"question": text})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/v1/ask", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errRefused, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("cut off in its answer: %w", err)
	}
	if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" {
		return "", errRefused
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %.200s", resp.Status, b)
	}
	var a struct{ Status string }
	return a.Status, json.Unmarshal(b, &a)
}

// load asks for as long as ctx lives; what is refused is asked again.
type load struct {
	mu                sync.Mutex
	answered, refused int
	failed            []string
	first, last       time.Time // refusal
	wg                sync.WaitGroup
}

func startLoad(ctx context.Context, c *http.Client, workers int) *load {
	l := &load{}
	medicines := []string{"metformin", "apixaban", "warfarin", "lisinopril", "amoxicillin", "ibuprofen"}
	for w := range workers {
		l.wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				text := fmt.Sprintf("What are the contraindications of %s? (%d.%d)", medicines[n%len(medicines)], w, n)
				for ctx.Err() == nil {
					_, err := ask(ctx, c, text, "")
					if ctx.Err() != nil {
						return
					}
					l.mu.Lock()
					switch {
					case err == nil:
						l.answered++
					case errors.Is(err, errRefused):
						l.refused++
						l.last = time.Now()
						if l.first.IsZero() {
							l.first = l.last
						}
					default:
						l.failed = append(l.failed, err.Error())
					}
					l.mu.Unlock()
					if !errors.Is(err, errRefused) {
						break
					}
					time.Sleep(10 * time.Millisecond) // as a client that tries again
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	return l
}

func (c *container) answers(t *testing.T) {
	t.Helper()
	if out := c.run(t, "rxedge", "ask", question); !strings.Contains(out, "not recommended when the eGFR is between 30 and 45") {
		t.Fatalf("%s", out)
	}
}

func (c *container) put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	p := filepath.Join(c.root, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// underLoad upgrades while four programs ask: no question fails, and the restart takes
// three seconds at most.
func (c *container) underLoad(t *testing.T, upgrade func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := startLoad(ctx, c.client(), 4)
	c.eventually(t, time.Minute, "the load is answered", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.answered < 50 {
			return fmt.Errorf("%d answers", l.answered)
		}
		return nil
	})
	upgrade()
	l.mu.Lock()
	upTo := l.answered
	l.mu.Unlock()
	c.eventually(t, time.Minute, "the load is answered by the newer", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.answered < upTo+50 {
			return fmt.Errorf("%d answers", l.answered-upTo)
		}
		return nil
	})
	cancel()
	l.wg.Wait()
	outage := l.last.Sub(l.first)
	t.Logf("under load: %d answered, %d failed; %d times refused and asked again, all within the %v of the restart", l.answered, len(l.failed), l.refused, outage.Round(time.Millisecond))
	if len(l.failed) > 0 {
		t.Errorf("failed: %q", l.failed[:min(3, len(l.failed))])
	}
	if outage > 3*time.Second {
		t.Errorf("the restart took %v, more than 3 s", outage)
	}
}

// A box's life in a Debian of its own, under its own systemd: installed, asked, hung,
// killed, given a release that fails, upgraded under load, removed, purged.
func TestLifecycle(t *testing.T) {
	debian, older, newer := os.Getenv(debianVar), os.Getenv(olderVar), os.Getenv(newerVar)
	if debian == "" || older == "" || newer == "" {
		t.Skip("'make package-test' runs it: it wants root, packages and a Debian")
	}
	c := boot(t, debian)
	t.Logf("booted: %s", strings.SplitN(c.run(t, "systemctl", "--version"), "\n", 2)[0])
	before := c.files(t)
	for name, deb := range map[string]string{"older.deb": older, "newer.deb": newer} {
		if out, err := exec.Command("cp", deb, filepath.Join(c.root, "srv", name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}

	began := time.Now()
	t.Logf("install:\n%s", c.run(t, "dpkg", "-i", "/srv/older.deb"))
	t.Logf("installed and ready after %v: %s; %s", time.Since(began).Round(10*time.Millisecond), c.show(t, "ActiveState"), c.show(t, "StatusText"))
	if s := c.show(t, "ActiveState"); s != "active" {
		t.Fatal(s)
	}
	c.answers(t)
	t.Logf("status:\n%s", c.run(t, "rxedge", "status"))
	t.Logf("as %s; %s", c.show(t, "User"), lastLine(c.run(t, "systemd-analyze", "security", "--no-pager", "rxedged.service")))

	// A token comes as a credential; without it a program is refused.
	const token = "0123456789abcdefXYZ"
	c.put(t, "/etc/rxedge/credentials/ehr", token+"\n", 0o600)
	own := "# kept over an upgrade\n[api]\nrequire_token = true\n[[api.client]]\nname = \"ehr\"\ntoken_file = \"token_ehr\"\n"
	c.put(t, settings, own, 0o644)
	c.run(t, "systemctl", "restart", "rxedged")
	http := c.client()
	if s, err := ask(t.Context(), http, question, token); err != nil || s != "answered" {
		t.Fatal("with its token:", s, err)
	}
	if _, err := ask(t.Context(), http, question, ""); err == nil || !strings.Contains(err.Error(), "401") {
		t.Fatal("without a token:", err)
	}
	t.Log("a token from /etc/rxedge/credentials is taken, none is refused with 401")
	own = "# kept over an upgrade\n"
	c.put(t, settings, own, 0o644)

	// For what follows the watchdog is quicker than three quarters of a minute.
	c.put(t, "/etc/systemd/system/rxedged.service.d/test.conf", "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=2s\n", 0o644)
	c.run(t, "systemctl", "daemon-reload")
	c.run(t, "systemctl", "restart", "rxedged")
	restarted := func(what string, since time.Time, n string) {
		t.Helper()
		c.eventually(t, time.Minute, what+": started again", func() error {
			if got := c.show(t, "NRestarts"); got == n {
				return errors.New("still " + got)
			}
			_, err := ask(t.Context(), http, question, "")
			return err
		})
		t.Logf("%s: answers again after %v; %s", what, time.Since(since).Round(10*time.Millisecond), lastStop(c.run(t, "rxedge", "status")))
	}
	n, since := c.show(t, "NRestarts"), time.Now()
	c.run(t, "systemctl", "kill", "--kill-whom=main", "-s", "STOP", "rxedged")
	restarted("hung (SIGSTOP), watchdog of 3 s", since, n)
	if out := c.run(t, "journalctl", "-u", "rxedged", "--no-pager", "-o", "cat"); !strings.Contains(out, "Watchdog timeout") {
		t.Fatal("the watchdog was not what ended it")
	}
	n, since = c.show(t, "NRestarts"), time.Now()
	c.run(t, "systemctl", "kill", "--kill-whom=main", "-s", "KILL", "rxedged")
	restarted("killed", since, n)
	if out := c.run(t, "rxedge", "status"); !strings.Contains(out, "was killed or crashed") {
		t.Fatal("the status does not tell of it:", out)
	}

	// What root does while the service is stopped the service can read.
	c.run(t, "systemctl", "stop", "rxedged")
	c.run(t, "rxedge", "ask", question)
	c.run(t, "rxedge", "service", "token", "add", "till")
	c.run(t, "touch", "/var/lib/rxedge/feedback/of-root")
	c.run(t, "systemctl", "start", "rxedged")
	c.answers(t)
	if out := c.run(t, "find", "/var/lib/rxedge", "-not", "-user", "rxedge", "-o", "-name", "*.damaged*"); out != "" {
		t.Fatal("not the service's, or thought damaged: ", out)
	}
	t.Log("root's rxedge on a stopped box: all is the service's, nothing damaged")

	// Releases that do not come up, under the unit: one ends, one never says READY.
	c.put(t, "/etc/systemd/system/rxedged.service.d/test.conf", "[Service]\nTimeoutStartSec=5s\n", 0o644)
	c.run(t, "systemctl", "daemon-reload")
	for version, does := range map[string]string{"9.0.0": "exit 3", "9.0.1": "exec sleep 1000"} {
		dir := "/srv/" + version
		c.put(t, dir+"/rxedged", "#!/bin/sh\ncase \"$1\" in --version) echo rxedged "+version+";; --self-test) ;; *) "+does+";; esac\n", 0o755)
		c.put(t, dir+"/rxedge", "#!/bin/sh\nexec /usr/lib/rxedge/steady/rxedge \"$@\"\n", 0o755)
		c.run(t, "rxedge", "service", "install-release", dir, "--use")
		since := time.Now()
		if out, err := c.try("systemctl", "restart", "rxedged"); err == nil {
			t.Fatal("a release that does not come up came up:", out)
		}
		c.eventually(t, time.Minute, version+" gives way", func() error { _, err := ask(t.Context(), http, question, ""); return err })
		out := c.run(t, "rxedge", "service", "releases")
		t.Logf("release %s (%s) gave way after %v:\n%s", version, does, time.Since(since).Round(10*time.Millisecond), out)
		if !strings.Contains(out, "did not come up") {
			t.Fatal(out)
		}
	}
	if err := os.Remove(filepath.Join(c.root, "/etc/systemd/system/rxedged.service.d/test.conf")); err != nil {
		t.Fatal(err)
	}
	c.run(t, "systemctl", "daemon-reload")
	c.eventually(t, time.Minute, "active again", func() error {
		if s := c.show(t, "ActiveState"); s != "active" {
			return errors.New(s)
		}
		return nil
	})

	// The newer version, while four programs ask.
	c.underLoad(t, func() { t.Logf("upgrade:\n%s", c.run(t, "dpkg", "-i", "/srv/newer.deb")) })
	if b, err := os.ReadFile(filepath.Join(c.root, settings)); err != nil || string(b) != own {
		t.Fatalf("the settings were not kept: %q, %v", b, err)
	}
	c.answers(t)
	t.Logf("releases:\n%s", c.run(t, "rxedge", "service", "releases"))

	// Removal keeps what the box knows.
	t.Logf("remove:\n%s", c.run(t, "dpkg", "-r", "rxedge"))
	for path, there := range map[string]bool{"/var/lib/rxedge/index": true, settings: true, "/usr/lib/rxedge": false, "/usr/bin/rxedge": false, "/lib/systemd/system/rxedged.service": false} {
		if _, err := os.Lstat(filepath.Join(c.root, path)); (err == nil) != there {
			t.Errorf("after the removal %s: %v", path, err)
		}
	}
	if out, err := c.try("systemctl", "is-active", "rxedged"); err == nil {
		t.Error("it still runs:", out)
	}
	t.Logf("purge:\n%s", c.run(t, "dpkg", "-P", "rxedge"))
	c.nothingLeft(t, before)
	t.Logf("twice: %s", c.run(t, "dpkg", "-P", "rxedge"))
}

// nothingLeft compares what is there with what was before.
func (c *container) nothingLeft(t *testing.T, before []string) {
	t.Helper()
	after := c.files(t)
	var left []string
	for _, f := range after {
		if _, was := slices.BinarySearch(before, f); !was {
			left = append(left, f)
		}
	}
	if len(left) > 0 {
		t.Errorf("the purge left:\n%s", strings.Join(left, "\n"))
	}
	found := c.run(t, "find", "/", "-xdev", "-iname", "*rxedge*", "-not", "-path", "/proc/*", "-not", "-path", "/srv/*")
	t.Logf("find / -iname '*rxedge*' after the purge: %q; files that were not there before: %d", found, len(left))
	if found != "" {
		t.Error("found")
	}
	if out, err := c.try("getent", "passwd", "rxedge"); err == nil {
		t.Error("the user is left:", out)
	}
}

func lastLine(s string) string { return s[strings.LastIndex(s, "\n")+1:] }

// lastStop is what a status says of a stop that was not clean.
func lastStop(status string) string {
	for l := range strings.Lines(status) {
		if strings.Contains(l, "killed or crashed") {
			return strings.TrimSpace(l)
		}
	}
	return "its status tells of no unclean stop"
}
