package systemd_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"testing"
)

// What a tarball holds, and that nothing of who packed it or when is in it. 'make
// package' hands it over.
func TestTarball(t *testing.T) {
	t.Parallel()
	name := os.Getenv("RXEDGE_TEST_TARBALL")
	if name == "" {
		t.Skip("'make package' runs it on what it built")
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("the archive says that it was packed at %v as %q", z.ModTime, z.Name)
	}
	wanted := map[string]int64{ // mode
		"LICENSE": 0o644, "README": 0o644, "rxedged.service": 0o644, "rxedge.toml": 0o644, "rxedge": 0o777, "release/rxedged": 0o755, "release/rxedge": 0o755,
		"root/usr/lib/sysusers.d/rxedge.conf": 0o644, "root/usr/lib/tmpfiles.d/rxedge.conf": 0o644,
		"root/usr/share/man/man1/rxedge.1.gz": 0o644, "root/usr/share/man/man1/rxedge-service-install.1.gz": 0o644, "root/usr/share/man/man8/rxedged.8.gz": 0o644,
		"root/usr/share/bash-completion/completions/rxedge": 0o644, "root/usr/share/zsh/site-functions/_rxedge": 0o644, "root/usr/share/fish/completions/rxedge.fish": 0o644,
		"root/usr/share/doc/rxedge/LICENSE": 0o644, "root/usr/share/doc/rxedge/CHANGELOG.md": 0o644, "root/usr/share/rxedge/firmware-profiles/cpu-only.toml": 0o644,
	}
	if strings.Contains(name, "amd64") {
		wanted["release/llama/rxedge-llama"], wanted["release/llama/licenses/llama.cpp"] = 0o755, 0o644
	}
	first, before := "", ""
	var when int64
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		top, rest, _ := strings.Cut(strings.TrimSuffix(h.Name, "/"), "/")
		if first == "" {
			first, when = top, h.ModTime.Unix()
		}
		switch {
		case top != first || path.Clean(rest) != rest && rest != "" || strings.Contains(rest, ".."):
			t.Errorf("%s lies elsewhere", h.Name)
		case h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != when:
			t.Errorf("%s: of %d:%d %q:%q, %v", h.Name, h.Uid, h.Gid, h.Uname, h.Gname, h.ModTime)
		case h.Name < before:
			t.Errorf("%s comes after %s", h.Name, before)
		case h.Typeflag == tar.TypeSymlink && (rest != "rxedge" || h.Linkname != "release/rxedge"):
			t.Errorf("%s is a link to %s", h.Name, h.Linkname)
		case h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeSymlink:
			t.Errorf("%s is of type %c", h.Name, h.Typeflag)
		}
		before = h.Name
		if mode, ok := wanted[rest]; ok {
			if h.Mode != mode {
				t.Errorf("%s has mode %o, want %o", h.Name, h.Mode, mode)
			}
			delete(wanted, rest)
		}
	}
	for rest := range wanted {
		t.Errorf("%s is missing", rest)
	}
}
