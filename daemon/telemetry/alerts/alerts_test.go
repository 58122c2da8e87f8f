package alerts

import (
	"os"
	"os/exec"
	"testing"
)

// Each rule fires where it should and not where it should not, by Prometheus's own
// evaluation of rxedge.rules.test.yml.
func TestRules(t *testing.T) {
	t.Parallel()
	path := os.Getenv("PROMTOOL")
	if path == "" {
		var err error
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
