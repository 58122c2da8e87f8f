// Package docs_test runs the commands in the guides, against a daemon of their own, and
// compares what they print with what the guides show.
package docs_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"rxedge/bench/process"
	"rxedge/sync/synctest"
)

// update writes what the commands printed into the guides, with … where it was a time, an
// id or a path. Look at what has changed before it is committed.
var update = flag.Bool("update", false, "write what the commands print into the guides")

// notRun are the blocks of shell that are shown and not run, by guide and first line,
// with the reason.
var notRun = map[string]string{
	"technician.md: sudo apt install ./rxedge_0.2.0_amd64.deb":                                                             "installs into the machine; 'make package-test' does it in a Debian of its own",
	"technician.md: tar -xzf rxedge_0.2.0_linux_amd64.tar.gz":                                                              "installs into the machine; 'make package-test' does it in a Debian of its own",
	"technician.md: sudo rxedge service install-release /media/rxedge-0.3.0 --use":                                         "needs a second release; TestUpgrade and 'make package-test' do it",
	"technician.md: sudo mkdir -p /etc/systemd/system/rxedged.service.d":                                                   "needs systemd, and a TPM",
	"technician.md: sudo cryptsetup luksFormat /dev/sdX":                                                                   "writes over a disk",
	"central.md: rxedge central serve --listen 0.0.0.0:8740 --host fleet.example --tls-cert fleet.pem --tls-key fleet.key": "goes on until it is stopped, and wants a certificate; centre/page's tests do it",
	"central.md: # on each of the three servers":                                                                           "needs machines; TestCluster does it with processes that share nothing",
	"central.md: rxedge central ingest worker --bus worker.bus --vectors all-MiniLM-L6-v2-Q8_0":                            "needs a model of others; TestVectorsOfTheFlow does it with one that is made",
	"central.md: rxedge central rollout create --bundle 7 --waves 5%,25%,100% --soak 2h":                                   "takes hours; TestWaves does it with a fleet",
}

// A command of a guide and what it is shown to print.
type command struct {
	line int // of the guide, from 1
	text string
	want []string
	exit int
	from int // first line of the output, from 0
}

var consoleExit = regexp.MustCompile("^```console(?: exit=([0-9]+))?$")

// commands of a guide: blocks of "console", in which lines that begin with "$ " are
// typed, "> " goes on with them, and the rest is printed. Shell that is not run is "sh".
func commands(t *testing.T, name string, lines []string) (all []command) {
	t.Helper()
	in, exit := "", 0
	for i, l := range lines {
		switch {
		case in == "" && strings.HasPrefix(l, "```"):
			in = strings.TrimPrefix(l, "```")
			m := consoleExit.FindStringSubmatch(l)
			switch {
			case m != nil:
				exit, _ = strconv.Atoi("0" + m[1])
				in = "console"
			case in == "sh":
				if key := name + ": " + lines[i+1]; notRun[key] == "" {
					t.Errorf("%s:%d: shell that is not run has its reason in notRun: %q", name, i+1, key)
				}
			case in != "text" && in != "toml" && in != "json":
				t.Errorf("%s:%d: a block is console, sh, text, toml or json, and not %q", name, i+1, in)
			}
			if in == "" {
				in = "text"
			}
		case l == "```":
			in = ""
		case in != "console":
		case strings.HasPrefix(l, "$ "):
			all = append(all, command{line: i + 1, text: l[2:], exit: exit, from: i + 1})
		case strings.HasPrefix(l, "> ") && len(all) > 0 && len(all[len(all)-1].want) == 0:
			all[len(all)-1].text += "\n" + l[2:]
			all[len(all)-1].from = i + 1
		case len(all) == 0:
			t.Errorf("%s:%d: output before the first command", name, i+1)
		default:
			all[len(all)-1].want = append(all[len(all)-1].want, l)
		}
	}
	return all
}

// fits says whether what was printed is what is shown: … stands for some of a line, and
// alone on a line for any lines.
func fits(want, got []string) bool {
	var re strings.Builder
	re.WriteString(`(?s)\A`)
	for _, w := range want {
		if strings.TrimSpace(w) == "…" {
			re.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		parts := strings.Split(strings.TrimRight(w, " "), "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		re.WriteString(strings.Join(parts, `[^\n]*`) + ` *\n`)
	}
	re.WriteString(`\z`)
	text := strings.Join(got, "\n") + "\n"
	if len(got) == 0 {
		text = ""
	}
	return regexp.MustCompile(re.String()).MatchString(text)
}

// before a guide: what somebody else has done by then.
var before = map[string]string{"pharmacist.md": "systemctl start rxedged\n"}

// prelude stands in for what a machine has: sudo, and a service manager that knows one
// service, which is the real daemon.
const prelude = `
sudo() { "$@"; }
up() { for i in $(seq 900); do rxedge status --json 2>/dev/null | grep -q '"daemon": true' && return; sleep 0.1; done; echo "rxedged does not come up"; cat rxedged.log; }
stop() { [ -n "$SERVICE" ] && kill $SERVICE && wait $SERVICE; SERVICE=; }
systemctl() { case "$1" in
  start|restart) stop; rxedged >>rxedged.log 2>&1 & SERVICE=$!; up;;
  stop) stop;;
esac; }
hub_up() { for i in $(seq 900); do (echo >/dev/tcp/127.0.0.1/$HUB_PORT) 2>/dev/null && return; sleep 0.1; done; echo "the hub does not come up"; cat hub.log; }
trap 'stop; kill $(jobs -p) 2>/dev/null' EXIT
`

var ids = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?`), "…"},
	{regexp.MustCompile(`\b[0-9a-f]{12,}\b`), "…"},
	{regexp.MustCompile(`rx[ek]_[A-Za-z0-9_-]+`), "rxe_…"},
	{regexp.MustCompile(`up \d+m?\d*s`), "up …"},
}

// portOf loopback that is free.
func portOf(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(synctest.FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestGuides(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for name, pkg := range map[string]string{"rxedge": "../admin", "rxedged": "../daemon"} {
		if _, err := process.Build(t.Context(), bin, pkg, name); err != nil {
			t.Fatal(err)
		}
	}
	if engine, err := filepath.Abs("../bin/llama"); err != nil || os.Symlink(engine, filepath.Join(bin, "llama")) != nil {
		t.Fatal("the engine can't be linked")
	}
	guides, err := filepath.Glob("*.md")
	if err != nil || len(guides) < 4 {
		t.Fatal(guides, err)
	}
	used := map[string]bool{}
	for _, name := range guides {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i, l := range lines {
			if l == "```sh" {
				used[name+": "+lines[i+1]] = true
			}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runGuide(t, bin, name, lines)
		})
	}
	for key := range notRun {
		if !used[key] {
			t.Errorf("notRun has %q, and no guide does", key)
		}
	}
}

func runGuide(t *testing.T, bin, name string, lines []string) {
	all := commands(t, name, lines)
	dir, port, hub := t.TempDir(), portOf(t), portOf(t)
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "var")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "rxedge.toml"), fmt.Appendf(nil, "listen = \"127.0.0.1:%s\"\n", port), 0o600); err != nil {
		t.Fatal(err)
	}
	there := strings.NewReplacer("127.0.0.1:8731", "127.0.0.1:"+port, "hub.example:4222", "127.0.0.1:"+hub, "/var/lib/rxedge", data, "/media/usb", dir)
	back := strings.NewReplacer("127.0.0.1:"+port, "127.0.0.1:8731", "127.0.0.1:"+hub, "hub.example:4222", data, "/var/lib/rxedge", dir, "/media/usb")
	script := strings.Builder{}
	script.WriteString(prelude + before[name])
	for i, c := range all {
		fmt.Fprintf(&script, "printf '@@begin %d\\n'\n{ %s\n} 2>&1 </dev/null\nprintf '\\n@@end %d %%d\\n' $?\n", i, there.Replace(c.text), i)
		if strings.HasSuffix(c.text, "&") {
			script.WriteString("hub_up\n")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	sh := exec.CommandContext(ctx, "bash")
	sh.Dir, sh.Stdin = dir, strings.NewReader(script.String())
	sh.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "RXEDGE_DATA="+data, "HUB_PORT="+hub, "HOME="+dir, "TZ=UTC", "LC_ALL=C.UTF-8", "COLUMNS=100")
	sh.WaitDelay = 20 * time.Second
	out, err := sh.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("it did not end: %s", out)
	}
	_ = err // of the last command; each has its own
	printed := lines
	shift := 0
	for i, c := range all {
		_, rest, ok := bytes.Cut(out, fmt.Appendf(nil, "@@begin %d\n", i))
		body, tail, ended := bytes.Cut(rest, fmt.Appendf(nil, "\n@@end %d ", i))
		if !ok || !ended {
			t.Fatalf("%s:%d: %s was not run:\n%s", name, c.line, c.text, out)
		}
		code, _ := strconv.Atoi(string(tail[:max(0, bytes.IndexByte(tail, '\n'))]))
		var got []string
		if s := strings.TrimRight(back.Replace(string(body)), "\n"); s != "" {
			got = strings.Split(s, "\n")
		}
		if code != c.exit {
			t.Errorf("%s:%d: %s\nexit code %d, want %d:\n%s", name, c.line, c.text, code, c.exit, strings.Join(got, "\n"))
		}
		if fits(c.want, got) {
			continue
		}
		if !*update {
			t.Errorf("%s:%d: %s\nprints:\n%s\nand the guide shows:\n%s", name, c.line, c.text, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			continue
		}
		for j, l := range got {
			for _, id := range ids {
				l = id.re.ReplaceAllString(l, id.with)
			}
			got[j] = strings.TrimRight(l, " ")
		}
		at := c.from + shift
		printed = append(printed[:at:at], append(got, printed[at+len(c.want):]...)...)
		shift += len(got) - len(c.want)
	}
	if *update {
		if err := os.WriteFile(name, []byte(strings.Join(printed, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What the test relies on: a guide that shows something else is found.
func TestFits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, got string
		fits      bool
	}{
		{"a\nb", "a\nb", true},
		{"a\nb", "a\nc", false},
		{"a …", "a 17", true},
		{"a … c", "a 17 b", false},
		{"a\n…\nz", "a\nb\nc\nz", true},
		{"a\n…\nz", "a\nz", true},
		{"a\n…", "a\nb", true},
		{"a", "a\nb", false},
		{"", "", true},
	} {
		split := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.Split(s, "\n")
		}
		if got := fits(split(c.want), split(c.got)); got != c.fits {
			t.Errorf("%q beside %q: %v", c.want, c.got, got)
		}
	}
}
