package library_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"rxedge/centre/library"
)

// TestMain is the test, or a process of it that commits until it is killed.
func TestMain(m *testing.M) {
	dir := os.Getenv("RXEDGE_COMMITS_TO")
	if dir == "" {
		os.Exit(m.Run())
	}
	l, err := library.Open(dir)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	name := os.Getenv("RXEDGE_COMMITS_AS")
	for i := 0; ; i++ {
		it := item("run", fmt.Sprintf("%s-%d", name, i), "1", strings.Repeat(fmt.Sprintf("text of %s %d. ", name, i), 200))
		v, err := l.Commit(context.Background(), it)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("committed", v.ID, v.Hash)
	}
}

// TestKilled has two processes commit to one library and kills each with no warning,
// several times: what they had acknowledged is there, whole.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	said := map[string]string{}
	for round := range 3 {
		var cmds []*exec.Cmd
		lines := make(chan string, 1000)
		for _, name := range []string{"a", "b"} {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "RXEDGE_COMMITS_TO="+dir, "RXEDGE_COMMITS_AS="+fmt.Sprint(name, round))
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			cmds = append(cmds, c)
			go func() {
				s := bufio.NewScanner(out)
				for s.Scan() {
					lines <- s.Text()
				}
				lines <- ""
			}()
		}
		take := func(line string) {
			var id, hash string
			if _, err := fmt.Sscanf(line, "committed %s %s", &id, &hash); err != nil {
				t.Fatalf("a process said %q", line)
			}
			said[id] = hash
		}
		for range 15 + 10*round {
			take(<-lines)
		}
		for _, c := range cmds {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		for ended := 0; ended < 2; {
			if line := <-lines; line == "" {
				ended++
			} else {
				take(line)
			}
		}
		for _, c := range cmds {
			_ = c.Wait()
		}
	}
	l := open(t, dir)
	for id, hash := range said {
		if _, err := l.Document(t.Context(), library.Ref{ID: id, Hash: hash}); err != nil {
			t.Errorf("%s was acknowledged: %v", id, err)
		}
		if seen, err := l.Sources(t.Context(), library.Ref{ID: id, Hash: hash}); err != nil || len(seen) != 1 {
			t.Errorf("%s: %v, %v", id, seen, err)
		}
	}
	vs, err := l.Versions(t.Context(), library.Filter{})
	if err != nil || len(vs) < len(said) || len(vs) > len(said)+6 {
		t.Errorf("%d versions, %d acknowledged, %v", len(vs), len(said), err)
	}
}
