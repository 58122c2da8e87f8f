package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/daemon/answer/guard"
	"rxedge/sync/synctest"
)

// From labelled history to what is published: found, proposed, approved by another
// person, written, signed with a bundle.
func TestThresholdsFromHistoryToBundle(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	cmd := func(want int, argv ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(t.Context(), argv, strings.NewReader(""), &out, &errOut); code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s%s", argv, code, want, out.String(), errOut.String())
		}
		return out.String() + errOut.String()
	}
	central := func(want int, argv ...string) string {
		t.Helper()
		return cmd(want, append([]string{"central", "--dir", f.Dir}, argv...)...)
	}
	csv := filepath.Join("..", "daemon", "telemetry", "quality", "testdata", "groups.csv")
	find := []string{"eval", "thresholds", "--csv", csv, "--score", "doubt", "--label", "bad", "--group", "cohort", "--at", "0.55"}
	out := cmd(exitDone, append(find, "--out", at("thresholds.json"))...)
	if !strings.Contains(out, "0.5399 apart") || !strings.Contains(out, "0.0032 with these") || !strings.Contains(out, "few has fewer than 11") {
		t.Error(out)
	}
	if out := cmd(exitRefused, append(find, "--max-difference", "0.001")...); !strings.Contains(out, "0.0032 apart") {
		t.Error(out)
	}
	b, err := os.ReadFile(at("thresholds.json"))
	if err != nil {
		t.Fatal(err)
	}
	if g, err := guard.ParseGroups(b); err != nil || len(g.Groups) != 3 || g.Guard != guard.Hash() {
		t.Errorf("%+v, %v", g, err)
	}
	central(exitRefused, "fleet", "propose", csv, "--as", "ann", "--local")
	var m struct{ ID string }
	if err := json.Unmarshal([]byte(central(exitDone, "--json", "fleet", "propose", at("thresholds.json"), "--as", "ann", "--local")), &m); err != nil || m.ID == "" {
		t.Fatal(m, err)
	}
	central(exitRefused, "fleet", "propose", at("thresholds.json"), "--as", "ann", "--local")
	central(exitRefused, "fleet", "thresholds", m.ID, at("approved.json"))
	central(exitRefused, "fleet", "approve", m.ID, "--as", "ann", "--local")
	central(exitDone, "fleet", "approve", m.ID, "--as", "rui", "--local")
	central(exitDone, "fleet", "thresholds", m.ID, at("approved.json"))
	central(exitRefused, "publish", "--thresholds", at("thresholds.json"), "--local")
	central(exitDone, "publish", "--thresholds", at("approved.json"), "--local")
	central(exitDone, "publish", "--drop", "approved.json", "--local")
}
