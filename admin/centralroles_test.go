package main

import (
	"bytes"
	"strings"
	"testing"

	"rxedge/sync/synctest"
)

// What a new fleet's sites may do is what this rxedge has; with no hub to give it to,
// the command says so and fails.
func TestRolesCommand(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	roles := func(want int) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(t.Context(), []string{"central", "--dir", f.Dir, "roles", "--json"}, strings.NewReader(""), &out, &errOut); code != want {
			t.Fatalf("exit code %d, want %d\n%s\n%s", code, want, out.String(), errOut.String())
		}
		return strings.Join(strings.Fields(out.String()), "")
	}
	if got := roles(0); got != `{"servers":1,"signed":[]}` {
		t.Error(got)
	}
	f.StopHub()
	roles(1)
}
