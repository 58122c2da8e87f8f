package clients

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A token is told by the client that has it, from when it is added until it is
// removed; on disk lies only its hash.
func TestTokens(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	now := time.Now()
	r, err := Open(data, nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Client(""); ok {
		t.Error("no token is a token")
	}
	token, err := Add(data, "ehr")
	if err != nil || !strings.HasPrefix(token, prefix) || len(token) < 40 {
		t.Fatal(token, err)
	}
	if _, err := Add(data, "ehr"); !errors.Is(err, ErrExists) {
		t.Errorf("twice: %v", err)
	}
	for _, bad := range []string{"", "../x", "EHR", "a b"} {
		if _, err := Add(data, bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	now = now.Add(2 * time.Second)
	if name, ok := r.Client(token); !ok || name != "ehr" {
		t.Errorf("%q %v", name, ok)
	}
	if _, ok := r.Client(token + "x"); ok {
		t.Error("another token is the client's")
	}
	file := filepath.Join(data, Folder, "ehr"+suffix)
	b, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(b), token) {
		t.Errorf("the token lies on disk: %s %v", b, err)
	}
	if fi, _ := os.Stat(file); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
	if names, err := List(data); err != nil || len(names) != 1 {
		t.Errorf("%v %v", names, err)
	}
	if err := Remove(data, "ehr"); err != nil {
		t.Fatal(err)
	}
	if err := Remove(data, "ehr"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	now = now.Add(2 * time.Second)
	if _, ok := r.Client(token); ok {
		t.Error("a removed token still counts")
	}
}

func TestTokenFiles(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	file := func(name, text string, mode os.FileMode) File {
		p := filepath.Join(data, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return File{name, p}
	}
	good := file("till", "0123456789abcdefXYZ\n", 0o600)
	r, err := Open(data, []File{good}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := r.Client("0123456789abcdefXYZ"); !ok || name != "till" {
		t.Errorf("%q %v", name, ok)
	}
	for says, files := range map[string][]File{
		"can be read by others": {file("open", "0123456789abcdefXYZ", 0o644)},
		"are the least":         {file("short", "abc", 0o600)},
		"no such file":          {{"gone", filepath.Join(data, "nowhere")}},
		"twice":                 {good, good},
		"lower-case":            {{"Not A Name", good.TokenFile}},
	} {
		if _, err := Open(data, files, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// A name without a slash is a credential of the service; its mode is systemd's affair.
func TestCredential(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token_ehr"), []byte("0123456789abcdefXYZ\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Setenv(CredentialsDir, dir)
	r, err := Open(t.TempDir(), []File{{"ehr", "token_ehr"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := r.Client("0123456789abcdefXYZ"); !ok || name != "ehr" {
		t.Errorf("%q %v", name, ok)
	}
	if _, err := Open(t.TempDir(), []File{{"ehr", ".."}}, nil); err == nil || !strings.Contains(err.Error(), "no name of a credential") {
		t.Error(err)
	}
	t.Setenv(CredentialsDir, "")
	if _, err := Open(t.TempDir(), []File{{"ehr", "token_ehr"}}, nil); err == nil || !strings.Contains(err.Error(), "the service manager gave none") {
		t.Error(err)
	}
}
