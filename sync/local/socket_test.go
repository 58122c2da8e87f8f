package local_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/sync/local"
)

// A socket is reached however long its folder's path is, is the owner's alone, takes the
// place of one that was left over, and goes when it is closed.
func TestSocket(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 12))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "s.sock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := local.Listen(dir, "s.sock")
		if err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(filepath.Join(dir, "s.sock")); err != nil || fi.Mode() != os.ModeSocket|0o600 {
			t.Errorf("%v %v", fi.Mode(), err)
		}
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, _ = c.Write([]byte("x"))
				_ = c.Close()
			}
		}()
		path, done, err := local.Address(dir, "s.sock")
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("unix", path)
		done()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2)
		if n, _ := c.Read(b); string(b[:n]) != "x" {
			t.Errorf("%q", b[:n])
		}
		_ = c.Close()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "s.sock")); !os.IsNotExist(err) {
			t.Errorf("it is still there: %v", err)
		}
	}
}
