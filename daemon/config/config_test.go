package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, toml, wrong string }{
		{"good", "listen = \"127.0.0.1:9000\"\n[answer]\ntimeout = \"5s\"\n", ""},
		{"ipv6 loopback", "listen = \"[::1]:9000\"\n", ""},
		{"misspelt", "listen = \"127.0.0.1:9000\"\n[answer]\npasages = 3\n", "line 3, column 1: there is no setting \"answer.pasages\""},
		{"all interfaces", "listen = \"0.0.0.0:80\"\n", "not a loopback address"},
		{"no host", "listen = \":80\"\n", "not a loopback address"},
		{"duration", "[answer]\ntimeout = \"soon\"\n", "not a duration"},
		{"guard", "[answer]\nguard = \"off\"\n", "answer.guard: \"off\" is neither tell nor abstain"},
		{"stale", "[answer]\nstale = \"hide\"\n", "answer.stale: \"hide\" is neither show nor abstain"},
		{"stale after", "[answer]\nstale_after = \"-1h\"\n", "must be greater than zero"},
		{"range", "[answer]\npassages = 0\n", "answer.passages: 0 is outside"},
		{"profile", "[model]\nprofile = \"l5\"\n", "model.profile: no such firmware profile"},
		{"kv type", "[model]\nkv_type = \"q5\"\n", "model.kv_type: \"q5\" is none of"},
		{"layers", "[model]\ngpu_layers = -2\n", "model.gpu_layers: -2"},
		{"adapter", "[[model.adapter]]\nname = \"a\"\n", "model.adapter number 1: it needs"},
		{"adapter twice", strings.Repeat("[[model.adapter]]\nname = \"a\"\nbase = \"b\"\npath = \"c\"\n", 2), "model.adapter number 2: b has an adapter named \"a\" already"},
		{"adapters", "[model]\nprofile = \"l4\"\n[[model.adapter]]\nname = \"a\"\nbase = \"b\"\npath = \"c\"\n", ""},
		{"level", "[log]\nlevel = \"loud\"\n", "log.level"},
		{"syntax", "listen = \n", "line 1"},
	} {
		path := filepath.Join(t.TempDir(), "rxedge.toml")
		if err := os.WriteFile(path, []byte(c.toml), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: error %v does not say %q", c.name, err, c.wrong)
		case c.name == "good" && (time.Duration(got.Answer.Timeout) != 5*time.Second || got.Answer.Passages != 8):
			t.Errorf("good: %+v", got.Answer)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml")); err == nil {
		t.Error("a named file that is missing must be an error")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("listen = \"127.0.0.1:9000\"\n[answer]\ntimeout = \"5s\"\n")
	f.Add("[model\n")
	f.Fuzz(func(t *testing.T, s string) {
		c := Default()
		if c.decode("f.toml", []byte(s)) == nil && c.Check() != nil {
			t.Fatal("decoded and yet not sound")
		}
	})
}

// An installed box has its settings in /etc, unless its data folder holds some.
func TestInstalledFile(t *testing.T) {
	if _, err := os.Stat(filepath.Join(InstalledData, "rxedge.toml")); err == nil {
		t.Skip("a box is installed on this machine, with settings in its data folder")
	}
	was := installedFile
	t.Cleanup(func() { installedFile = was })
	installedFile = filepath.Join(t.TempDir(), "rxedge.toml")
	t.Setenv("RXEDGE_DATA", InstalledData)
	if _, err := Load(""); err != nil {
		t.Fatal("that there is none is no error:", err)
	}
	if err := os.WriteFile(installedFile, []byte("listen = \"127.0.0.1:9000\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(""); err != nil || c.Listen != "127.0.0.1:9000" {
		t.Fatal(c.Listen, err)
	}
	t.Setenv("RXEDGE_DATA", t.TempDir())
	if c, err := Load(""); err != nil || c.Listen != Default().Listen {
		t.Fatal("another data folder has its own settings:", c.Listen, err)
	}
}
