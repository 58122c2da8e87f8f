package alerts

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// Each rule fires where it should and not where it should not, by Prometheus's own
// evaluation of rxedge.rules.test.yml.
func TestRules(t *testing.T) {
	t.Parallel()
	tests, err := os.ReadFile("rxedge.rules.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`- alert: (\w+)`).FindAllSubmatch(Rules, -1)
	for _, m := range rules {
		if !bytes.Contains(tests, append([]byte("alertname: "), m[1]...)) {
			t.Errorf("%s is not tried", m[1])
		}
	}
	if len(rules) < 10 {
		t.Errorf("%d rules", len(rules))
	}
	path := os.Getenv("PROMTOOL")
	if path == "" {
		if path, err = exec.LookPath("promtool"); err != nil {
			t.Skip("no promtool is installed (Debian: prometheus); the alert rules are not tried")
		}
	}
	for _, args := range [][]string{{"check", "rules", "rxedge.rules.yml"}, {"test", "rules", "rxedge.rules.test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
