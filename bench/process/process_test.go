package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// What is read of this process is what it has.
func TestRead(t *testing.T) {
	data := t.TempDir()
	if err := os.Mkdir(filepath.Join(data, "index"), 0o750); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(data, "index", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 9000)); err != nil {
		t.Fatal(err)
	}
	held := make([]byte, 32<<20)
	for i := range held {
		held[i] = 1
	}
	u, err := Read(os.Getpid(), data)
	if err != nil {
		t.Fatal(err)
	}
	if u.Anon < int64(len(held)) || u.RSS < u.Anon || u.Threads < 2 || u.Files["index"] != 1 || u.Open() < 4 {
		t.Errorf("%+v", u)
	}
	if held[0] != 1 {
		t.Fatal()
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if c := Children(os.Getpid()); !slices.Contains(c, child.Process.Pid) {
		t.Errorf("children are %v", c)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	d, err := Disk(data)
	if err != nil || d["index"] < 9000 || d["index"] > 64<<10 || len(d) != 1 {
		t.Errorf("%v %v", d, err)
	}
	if _, err := Read(1<<30, data); err == nil {
		t.Error("a process that is not there was read")
	}
}
