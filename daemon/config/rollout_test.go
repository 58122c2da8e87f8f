package config

import (
	"strings"
	"testing"
	"time"
)

func TestRollout(t *testing.T) {
	t.Parallel()
	c := Default()
	if err := c.decode("f.toml", []byte("[rollout]\nwatch = \"0s\"\ndefer = \"5s\"\nrequire_approval = true\n")); err != nil {
		t.Fatal(err)
	}
	if r := c.Rollout; r.Watch != 0 || time.Duration(r.Defer) != 5*time.Second || time.Duration(r.Warm) != time.Hour || !r.RequireApproval || !r.Models {
		t.Errorf("%+v", r)
	}
	for text, want := range map[string]string{
		"watch = \"-1s\"": "rollout.watch", "defer = \"2h\"": "rollout.defer", "warm = \"200h\"": "rollout.warm",
		"watch = \"soon\"": "not a duration", "wait = \"1s\"": "rollout.wait", "questions = -1": "rollout.questions",
	} {
		c := Default()
		if err := c.decode("f.toml", []byte("[rollout]\n"+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
