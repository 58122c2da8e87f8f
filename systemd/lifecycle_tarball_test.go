package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The same two versions as tarballs, which 'make package-test' hands over.
const (
	olderTarVar = "RXEDGE_TEST_OLDER_TARBALL"
	newerTarVar = "RXEDGE_TEST_NEWER_TARBALL"
)

// The life of a box that was installed from a tarball, in a Debian of its own, under
// its own systemd: installed, twice, upgraded under load, taken away and back, purged.
func TestTarballLifecycle(t *testing.T) {
	debian, older, newer := os.Getenv(debianVar), os.Getenv(olderTarVar), os.Getenv(newerTarVar)
	if debian == "" || older == "" || newer == "" {
		t.Skip("'make package-test' runs it: it wants root, tarballs and a Debian")
	}
	c := boot(t, debian)
	before := c.files(t)
	for _, name := range []string{older, newer} {
		if out, err := exec.Command("tar", "-xzf", name, "-C", filepath.Join(c.root, "srv"), "--no-same-owner").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	const from, to = "/srv/rxedge-0.9.0", "/srv/rxedge-0.9.1"
	if out, err := c.try(from+"/rxedge", "service", "status"); err == nil || !strings.Contains(out, "not installed") {
		t.Fatal(out, err)
	}
	if out, err := c.try(from+"/rxedge", "service", "install", "/srv"); err == nil || !strings.Contains(out, "not the folder of an rxedge tarball") {
		t.Fatal(out, err)
	}
	if left := c.files(t); len(left) != len(before) {
		t.Fatalf("a refusal left something: %d files, %d before", len(left), len(before))
	}
	began := time.Now()
	t.Logf("install:\n%s", c.run(t, from+"/rxedge", "service", "install"))
	t.Logf("installed and ready after %v: %s; %s", time.Since(began).Round(10*time.Millisecond), c.show(t, "ActiveState"), c.show(t, "StatusText"))
	c.answers(t)
	t.Logf("%s\nas %s; %s; enabled: %s", c.run(t, "rxedge", "service", "status"), c.show(t, "User"),
		lastLine(c.run(t, "systemd-analyze", "security", "--no-pager", "rxedged.service")), c.run(t, "systemctl", "is-enabled", "rxedged"))
	if s := c.run(t, "stat", "-c", "%U %a", "/var/lib/rxedge", "/etc/rxedge/credentials"); s != "rxedge 750\nroot 700" {
		t.Error(s)
	}
	installed := c.files(t)
	own := "# kept over an upgrade\n"
	c.put(t, settings, own, 0o644)
	t.Logf("again:\n%s", c.run(t, from+"/rxedge", "service", "install"))
	for _, f := range c.files(t) {
		if !strings.HasPrefix(f, "/var/lib/rxedge/") && !slices.Contains(installed, f) {
			t.Error("installing it again made", f)
		}
	}
	c.run(t, "rxedge", "service", "stop")
	if out, err := c.try("rxedge", "service", "status"); err == nil || !strings.Contains(out, "stopped") {
		t.Fatal(out, err)
	}
	c.run(t, "rxedge", "service", "start")
	c.answers(t)

	c.underLoad(t, func() { t.Logf("upgrade:\n%s", c.run(t, to+"/rxedge", "service", "install")) })
	if b, err := os.ReadFile(filepath.Join(c.root, settings)); err != nil || string(b) != own {
		t.Fatalf("the settings were not kept: %q, %v", b, err)
	}
	if out := c.run(t, "rxedge", "--version"); !strings.Contains(out, "0.9.1") {
		t.Error(out)
	}
	t.Logf("releases:\n%s", c.run(t, "rxedge", "service", "releases"))

	// It goes and comes back, and knows what it knew.
	t.Logf("uninstall:\n%s", c.run(t, "rxedge", "service", "uninstall"))
	for path, there := range map[string]bool{"/var/lib/rxedge/index": true, settings: true, "/usr/lib/rxedge": false, "/usr/bin/rxedge": false, "/etc/systemd/system/rxedged.service": false, "/usr/share/rxedge": false} {
		if _, err := os.Lstat(filepath.Join(c.root, path)); (err == nil) != there {
			t.Errorf("after it was taken away %s: %v", path, err)
		}
	}
	c.run(t, to+"/rxedge", "service", "uninstall") // nothing is there: nothing to do
	c.run(t, to+"/rxedge", "service", "install")
	c.answers(t)
	t.Logf("purge:\n%s", c.run(t, "rxedge", "service", "uninstall", "--purge"))
	c.nothingLeft(t, before)
}
