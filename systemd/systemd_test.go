// Package systemd_test checks the unit and what the package holds.
package systemd_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"rxedge/daemon/config"
)

const unit = "rxedged.service"

func analyze(t *testing.T, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze on this machine")
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_PAGER=")
	out, err := cmd.CombinedOutput() // what it thinks of a unit is in its exit code, too
	if err != nil && len(out) == 0 {
		t.Fatalf("systemd-analyze %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func TestUnitVerifies(t *testing.T) {
	t.Parallel()
	// The programs are in the package and not here; the keys of the restart's backoff
	// are of systemd 254.
	fine := regexp.MustCompile(`is not executable: No such file or directory$|Unknown key (name )?'(RestartSteps|RestartMaxDelaySec)'`)
	for l := range strings.Lines(analyze(t, "verify", "--man=no", unit)) {
		if l = strings.TrimSpace(l); l != "" && !fine.MatchString(l) {
			t.Error(l)
		}
	}
}

// The sandbox stays as tight as it is: 1.5 is the most, of 10.
func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	out := analyze(t, "security", "--offline=yes", "--threshold=15", "--no-pager", unit)
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Skipf("this systemd-analyze tells no level of a file: %.200s", out)
	}
	if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 1.5 {
		t.Errorf("exposure %s, more than 1.5\n%s", m[1], out)
	}
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("DeviceAllow=char-nvidia-uvm rw")) {
		t.Error("the cards can't be reached")
	}
}

// The settings that a package brings are sound, and what they call a default is one.
func TestSettings(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("rxedge.toml")
	if err != nil {
		t.Fatal(err)
	}
	// What a configuration also knows is where its settings come from.
	written := func(c config.Config) string {
		b, err := toml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if c, err := config.Load("rxedge.toml"); err != nil || written(c) != written(config.Default()) {
		t.Fatalf("as it is it changes something: %v", err)
	}
	// The example of a client is no default.
	text, _, _ := strings.Cut(string(b), "#\n# [[api.client]]")
	open := regexp.MustCompile(`(?m)^# ([a-z_]+ = )`).ReplaceAllString(text, "$1")
	path := filepath.Join(t.TempDir(), "rxedge.toml")
	if err := os.WriteFile(path, []byte(open), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := written(c), written(config.Default()); got != want {
		t.Errorf("a commented default is none:\n%s\nwant\n%s", got, want)
	}
}

// What the package holds, against the list. 'make package' hands the package over.
func TestContents(t *testing.T) {
	t.Parallel()
	deb := os.Getenv("RXEDGE_TEST_DEB")
	if deb == "" {
		t.Skip("'make package' runs it on what it built")
	}
	f, err := os.Open(deb)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []string
	files := map[string]string{} // of the control archive
	members(t, f, func(name string, r io.Reader) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return // debian-binary
		}
		for tr := tar.NewReader(z); ; {
			h, err := tr.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if name == "control.tar.gz" {
				b, err := io.ReadAll(tr)
				if err != nil {
					t.Fatal(err)
				}
				files[strings.TrimPrefix(h.Name, "./")] = string(b)
				continue
			}
			if h.Uname != "root" || h.Gname != "root" || h.Uid != 0 || h.Gid != 0 {
				t.Errorf("%s is of %s:%s", h.Name, h.Uname, h.Gname)
			}
			line := fmt.Sprintf("%s %04o %s", string(h.Typeflag), h.Mode, strings.TrimPrefix(h.Name, "."))
			if h.Linkname != "" {
				line += " -> " + h.Linkname
			}
			got = append(got, line)
		}
	})
	// One page for each command: they come and go with the commands.
	page := regexp.MustCompile(`^0 0644 /usr/share/man/man1/rxedge-\S+\.1\.gz$`)
	pages := len(got)
	got = slices.DeleteFunc(got, page.MatchString)
	if pages -= len(got); pages < 40 {
		t.Errorf("%d man pages of commands", pages)
	}
	slices.Sort(got)
	arch := regexp.MustCompile(`(?m)^Architecture: (\S+)$`).FindStringSubmatch(files["control"])
	if arch == nil {
		t.Fatalf("control: %q", files["control"])
	}
	golden := "contents." + arch[1] + ".golden"
	text := strings.Join(got, "\n") + "\n"
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != text {
		t.Errorf("the package differs from %s (%v); it holds:\n%s", golden, err, text)
	}
	if files["conffiles"] != "/etc/rxedge/rxedge.toml\n" {
		t.Errorf("conffiles: %q", files["conffiles"])
	}
	for _, s := range []string{"postinst", "prerm", "postrm"} {
		if b, err := os.ReadFile(s); err != nil || files[s] != string(b) {
			t.Errorf("%s is not that of the tree: %v", s, err)
		}
	}
}

// members of an ar archive, in the common form: an 8-byte magic, then headers of 60
// bytes before contents that are padded to even length.
func members(t *testing.T, r io.Reader, each func(name string, r io.Reader)) {
	t.Helper()
	in := bufio.NewReader(r)
	magic := make([]byte, 8)
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != "!<arch>\n" {
		t.Fatalf("%q is no ar archive: %v", magic, err)
	}
	for {
		h := make([]byte, 60)
		if _, err := io.ReadFull(in, h); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		body := io.LimitReader(in, n)
		each(strings.TrimRight(strings.TrimSpace(string(h[:16])), "/"), body)
		if _, err := io.Copy(io.Discard, body); err != nil {
			t.Fatal(err)
		}
		if n%2 == 1 {
			if _, err := in.Discard(1); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
	}
}
