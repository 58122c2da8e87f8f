package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// Accounts by the command: the password from standard input, never shown; each change is
// on the signed record.
func TestCentralUser(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "c")
	const word = "correct horse battery"
	do := func(want int, in string, given ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append([]string{"central", "--dir", dir}, given...), strings.NewReader(in), &out, &errOut); code != want {
			t.Fatalf("%v: exit %d, want %d\n%s\n%s", given, code, want, out.String(), errOut.String())
		}
		all := out.String() + errOut.String()
		if strings.Contains(all, "horse") || strings.Contains(all, "argon2id") {
			t.Errorf("%v prints a secret: %s", given, all)
		}
		return all
	}
	do(0, "", "init", "--hub", "127.0.0.1:1")
	if got := do(2, "too short\n", "user", "add", "anna", "--role", "admin"); !strings.Contains(got, "15 at least") {
		t.Error(got)
	}
	do(2, word+"\n", "user", "add", "Anna")
	do(0, word+"\n", "user", "add", "anna", "--role", "admin")
	do(4, word, "user", "add", "anna")
	if got := do(0, word, "user", "add", "bob", "--json"); !strings.Contains(got, `"recorded": true`) {
		t.Error(got)
	}
	do(0, "", "user", "role", "bob", "operator")
	do(4, "", "user", "role", "anna", "viewer")
	do(0, word+" again", "user", "password", "bob")
	if got := do(0, "", "user", "list", "--json"); !strings.Contains(got, `"role": "operator"`) || strings.Contains(got, "hash") {
		t.Error(got)
	}
	do(4, "", "user", "remove", "anna") // the last admin, while there are others
	do(0, "", "user", "remove", "bob")
	if got := do(0, "", "fleet", "record"); strings.Count(got, "access.changed") != 5 {
		t.Error(got)
	}
}
