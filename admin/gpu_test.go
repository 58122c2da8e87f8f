package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cli runs the command in a data folder of its own.
func cli(t *testing.T, data string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"--data", data}, args...), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// These commands work on a box without a card, without a daemon, and without a
// network.
func TestGPUAndProfiles(t *testing.T) {
	data := t.TempDir()
	t.Setenv("RXEDGE_DATA", data)
	for _, tt := range []struct {
		args []string
		code int
		want string // in what it prints, or in its error
	}{
		{[]string{"gpu"}, exitDone, ""},
		{[]string{"gpu", "extra"}, exitUsage, "usage"},
		{[]string{"profile", "list"}, exitDone, "jetson-orin"},
		{[]string{"profile", "show", "h200"}, exitDone, "NVIDIA H200"},
		{[]string{"profile", "show"}, exitUsage, "usage"},
		{[]string{"profile", "show", "abacus"}, exitNotFound, "there are cpu-only"},
		{[]string{"profile", "detect"}, exitDone, "because"},
		{[]string{"profile", "check", "abacus"}, exitNotFound, "abacus"},
		{[]string{"profile"}, exitUsage, "name one of the commands"},
		{[]string{"model", "pins"}, exitDone, "all-MiniLM-L6-v2-Q8_0"},
		{[]string{"model", "pull", "abacus"}, exitNotFound, "no pin named"},
		{[]string{"model", "pull", "SmolLM-135M-Instruct-Q4_0"}, exitFailed, "[model]"},
		{[]string{"model", "pull", "nli-MiniLM2-L6-H768", "--mirror", data}, exitRefused, "--trust-sha256"},
		{[]string{"model", "pull", "SmolLM-135M-Instruct-Q4_0", "--mirror", data}, exitFailed, "the mirror"},
	} {
		code, out, errOut := cli(t, data, tt.args...)
		if code != tt.code || !strings.Contains(out+errOut, tt.want) {
			t.Errorf("%q: exit %d, %q, %q; want %d and %q", tt.args, code, out, errOut, tt.code, tt.want)
		}
	}
	// A profile whose board no test machine has.
	code, out, _ := cli(t, data, "profile", "check", "h200", "--json")
	var r checked
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Profile != "h200" || (code == exitRefused) == r.OK || len(r.Missing) != 4 {
		t.Errorf("exit %d, %+v, %v", code, r, err)
	}
	for _, args := range [][]string{{"gpu"}, {"profile", "list"}, {"profile", "show", "t4"}, {"profile", "detect"}, {"model", "pins"}} {
		if _, out, _ := cli(t, data, append(args, "--json")...); !json.Valid([]byte(out)) {
			t.Errorf("%q --json: %.200q", args, out)
		}
	}
}

// A file in a mirror that is not the pinned one is refused and not kept.
func TestPullRefusesAnotherFile(t *testing.T) {
	data, mirror := t.TempDir(), t.TempDir()
	t.Setenv("RXEDGE_DATA", data)
	if err := os.WriteFile(filepath.Join(mirror, "SmolLM-135M-Instruct-Q4_0.gguf"), []byte("GGUF of another kind"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "rxedge.toml"), []byte("[model]\nmirror = \""+mirror+"\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := cli(t, data, "model", "pull", "SmolLM-135M-Instruct-Q4_0")
	if code != exitRefused || !strings.Contains(errOut, "it was discarded") {
		t.Errorf("exit %d, %q", code, errOut)
	}
}
