package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"rxedge/daemon/control"
)

// writeLabels writes n labels of four sections, all of them of one version.
func writeLabels(t *testing.T, path string, n, version int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	for i := range n {
		for _, section := range []string{"Dosage and Administration", "Contraindications", "Drug Interactions", "Adverse Reactions"} {
			text := fmt.Sprintf("Version %d of medicine%d. ", version, i)
			for k := range 12 {
				text += fmt.Sprintf("The %s of medicine%d number %d is %d mg with %d tablets every %d hours. ", section, i, k, i+k, version+k, 4+k)
			}
			if err := enc.Encode(map[string]string{"id": fmt.Sprintf("medicine%d#%s", i, section), "drug": fmt.Sprintf("medicine%d", i), "section": section, "text": text}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// child starts a daemon of its own process over data.
func child(t *testing.T, data string, env ...string) (*exec.Cmd, *control.Client) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "--data", data, "--listen", "127.0.0.1:0")
	cmd.Env = append(append(os.Environ(), asDaemon+"=1"), env...)
	log := &buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if c, err := control.Dial(data); err == nil {
			return cmd, c
		}
		if cmd.ProcessState != nil {
			break
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	t.Fatalf("the daemon did not start again:\n%s", log)
	return nil, nil
}

// The daemon is killed during ingests at random moments. Each time it starts
// again, the index is the old generation or the new one, whole, and verifies
// clean. RXEDGE_KILLS sets how often.
func TestKilledIngest(t *testing.T) {
	t.Parallel()
	kills := 4
	if n, err := strconv.Atoi(os.Getenv("RXEDGE_KILLS")); err == nil {
		kills = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("RXEDGE_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("RXEDGE_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))

	dir := t.TempDir()
	data := filepath.Join(dir, "var")
	const labels = 120
	files := [2]string{filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "b.jsonl")}
	writeLabels(t, files[0], labels, 0)
	writeLabels(t, files[1], labels, 1)

	cmd, c := child(t, data)
	began := time.Now()
	if _, err := c.Ingest(t.Context(), files[:1], nil); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(began)
	swapped := 0
	for k := range kills {
		acknowledged := make(chan bool, 1)
		go func() {
			_, err := c.Ingest(context.Background(), []string{files[(k+1)%2]}, nil)
			acknowledged <- err == nil
		}()
		time.Sleep(time.Duration(rnd.Int64N(int64(whole * 3 / 2))))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		done := <-acknowledged
		_ = c.Close()

		cmd, c = child(t, data)
		old, now := fmt.Sprintf("Version %d ", k%2), fmt.Sprintf("Version %d ", (k+1)%2)
		versions := map[string]int{}
		for i := range labels {
			d, err := c.Document(t.Context(), fmt.Sprintf("medicine%d", i))
			if err != nil {
				t.Fatalf("kill %d: medicine%d: %v", k, i, err)
			}
			versions[d.Sections[0].Text[:len(old)]]++
		}
		if len(versions) != 1 {
			t.Errorf("kill %d: half an update is visible: %v", k, versions)
		}
		if done && versions[now] == 0 {
			t.Errorf("kill %d: an acknowledged ingest was lost: %v", k, versions)
		}
		rep, err := c.Verify(t.Context(), nil)
		if err != nil || !rep.OK() {
			t.Errorf("kill %d: verify: %v %+v", k, err, rep.Faults)
		}
		if versions[now] > 0 {
			swapped++
		} else if _, err := c.Ingest(t.Context(), []string{files[(k+1)%2]}, nil); err != nil {
			t.Fatalf("kill %d: ingesting again: %v", k, err) // the rounds take turns
		}
	}
	t.Logf("%d kills, %d of them after the new generation served; one ingest takes %v", kills, swapped, whole)
	_ = c.Close()
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the daemon did not stop cleanly: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "index", "*.tmp*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
