package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestRewrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "at", "rxedge.toml"), filepath.Join(dir, "link.toml")
	to := func(s string) func([]byte) ([]byte, error) {
		return func([]byte) ([]byte, error) { return []byte(s), nil }
	}
	if bak, err := Rewrite(path, to("a")); err != nil || bak != "" {
		t.Fatal(bak, err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	bak, err := Rewrite(link, to("b"))
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{path: "b", bak: "a"} {
		text, err := os.ReadFile(file)
		info, serr := os.Lstat(file)
		if err != nil || serr != nil || string(text) != want || info.Mode() != 0o604 {
			t.Errorf("%s: %q %v %v", file, text, info.Mode(), err)
		}
	}
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone")
	}
	refused := errors.New("no")
	if _, err := Rewrite(path, func([]byte) ([]byte, error) { return nil, refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "b" {
		t.Errorf("%q", got)
	}
	if bak, err := Rewrite(path, to("b")); bak != "" || err != nil {
		t.Error("nothing changed", bak, err)
	}
	// Of twenty at the same time none is lost.
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := Rewrite(path, func(b []byte) ([]byte, error) { return fmt.Appendf(b, "%c", 'A'+i), nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, _ := os.ReadFile(path)
	left, _ := filepath.Glob(filepath.Join(dir, "at", ".*"))
	if len(got) != 21 || len(left) > 0 {
		t.Errorf("%q, %v left", got, left)
	}
}
