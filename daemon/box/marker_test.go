package box

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadMarker(t *testing.T) {
	t.Parallel()
	m := marker{PID: 7, Boot: "one", Started: time.Date(2026, 11, 30, 1, 0, 0, 0, time.UTC), Version: "0.1.0"}
	whole, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, boot, want string
	}{
		{"", "one", ""},
		{string(whole), "one", "rxedged 0.1.0, which had run since 2026-11-30T01:00:00Z, was killed"},
		{string(whole), "two", "the machine went down under rxedged 0.1.0"},
		{string(whole), "", "was killed"},
		{string(whole[:9]), "one", "can't be read"},
	} {
		dir := t.TempDir()
		if c.text != "" {
			if err := os.WriteFile(filepath.Join(dir, markerName), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := readMarker(dir, c.boot); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%q at boot %q: %q, want %q", c.text, c.boot, got, c.want)
		}
	}
}
