package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rxedge/daemon/answer/guard"
	"rxedge/daemon/box"
	"rxedge/daemon/config"
	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/explain"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/telemetrytest"
	"rxedge/sync/central"
	"rxedge/sync/synctest"
)

// Four boxes, each with 16 days of counted questions, and a hub: one is asked about a
// new class of medicines in the last week, one answered worse yesterday. The centre
// names both, with the feature, and asks for training once for each cause.
func TestFleetOverBoxes(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	cmd := centralCommand(t, f.Dir)
	if out := cmd(0, "fleet", "drift"); !strings.Contains(out, "No site has sent a day yet") {
		t.Fatal(out)
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	newClass := func(rng *rand.Rand, o *telemetry.Observation) {
		if rng.Float64() < 0.3 {
			o.In[telemetry.Class] = "glp-1-agonist"
		}
	}
	worse := func(rng *rand.Rand, o *telemetry.Observation) {
		o.Ungrounded = o.Ungrounded || !o.Abstained && rng.Float64() < 0.4
	}
	for i := range 4 {
		name := fmt.Sprintf("box-%d", i)
		cfg := config.Default()
		zero := 0
		cfg.Data, cfg.Model.Embedder, cfg.Index.DiskFloorMB = t.TempDir(), config.None, &zero
		if err := telemetrytest.Replay(filepath.Join(cfg.Data, "telemetry"), uint64(70+i), today, 16, func(before int) telemetrytest.Change {
			switch {
			case i == 1 && before <= 7:
				return newClass
			case i == 2 && before == 1:
				return worse
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		b, err := box.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		if err := b.RunSync(t.Context()); err != nil {
			t.Fatal(err)
		}
		file, err := f.AddSite(name, "stable", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Enroll(t.Context(), data); err != nil {
			t.Fatal(err)
		}
	}
	cmd(0, "site", "label", "box-0", "region=north")
	var d struct {
		Sites, Days int
		Questions   int64
		Models      []fleet.ModelDrift
		Told        []fleet.Told
		Refused     map[string]any
	}
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := json.Unmarshal([]byte(cmd(0, "fleet", "drift", "--json")), &d); err != nil {
			t.Fatal(err)
		}
		if taken, err := f.Taken(); err == nil && taken.Windows == 4*16 && taken.Alarms > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not all has come: %d sites, %d days, told %+v", d.Sites, d.Days, d.Told)
		}
	}
	if err := json.Unmarshal([]byte(cmd(0, "fleet", "drift", "--json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Sites != 4 || d.Days != 7 || len(d.Models) != 1 || len(d.Refused) != 0 {
		t.Fatalf("%d sites, %d days, %d models, refused %v", d.Sites, d.Days, len(d.Models), d.Refused)
	}
	m := d.Models[0]
	if len(m.StandingOut) != 1 || m.StandingOut[0].Site != "box-1" || m.StandingOut[0].Feature != "class" || m.StandingOut[0].Value != "glp-1-agonist" {
		t.Errorf("standing out: %+v", m.StandingOut)
	}
	if !slices.ContainsFunc(d.Told, func(x fleet.Told) bool { return x.Site == "box-2" && x.Alarm.Feature == "ungrounded" }) {
		t.Errorf("told: %+v", d.Told)
	}
	t.Logf("%s", cmd(0, "fleet", "drift", "--local"))
	t.Logf("%s", cmd(0, "fleet", "quality", "--local", "--since", "1d"))
	t.Logf("%s", cmd(0, "fleet", "fairness", "--local", "--since", "14d"))
	if out := cmd(0, "fleet", "fairness", "--local", "--since", "14d", "--json"); !strings.Contains(out, `"equal_opportunity_difference": 0.`) || !strings.Contains(out, `"65+"`) {
		t.Error(out)
	}
	if out := cmd(0, "fleet", "quality", "--local", "--label", "region=north"); strings.Contains(out, "box-1") || !strings.Contains(out, "fewer than 3 sites") {
		t.Error(out)
	}
	var q fleet.QualityReport
	if err := json.Unmarshal([]byte(cmd(0, "fleet", "quality", "--local", "--since", "14d", "--json")), &q); err != nil {
		t.Fatal(err)
	}
	// Of 4 a day at each of four sites; a disagreement each twentieth waits to be of eleven.
	if q.Pairs < 4*telemetrytest.Pairs*10 || q.Agreement == nil || *q.Agreement < 0.9 {
		t.Errorf("%d pairs, agreement %v", q.Pairs, q.Agreement)
	}
	driver := guard.Names[telemetrytest.Driver]
	if len(q.Why) != 1 || q.Why[0].Cohort != explain.Everybody || q.Why[0].What != explain.Refused || q.Why[0].N < 4*telemetrytest.Explained*10 || q.Why[0].Drivers[0].Feature != driver || q.Why[0].Drivers[0].Points < 40 {
		t.Errorf("why: %+v", q.Why)
	}
	if len(q.Sites) != 4 || len(q.Sites[2].Why) == 0 || q.Sites[2].Why[0].Drivers[0].Feature != driver {
		t.Errorf("%+v", q.Sites)
	}
	if out := cmd(0, "fleet", "quality", "--local", "--site", "box-3"); !strings.Contains(out, driver) || !strings.Contains(out, "ASKED TWICE") {
		t.Error(out)
	}
	if out := cmd(0, "fleet", "quality", "--local", "--site", "box-3"); strings.Contains(out, "box-1") || !strings.Contains(out, "box-3") {
		t.Error(out)
	}

	look := func() (l fleetLook) {
		t.Helper()
		if err := json.Unmarshal([]byte(cmd(0, "fleet", "run", "--once", "--json")), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	causes := func(ms []*central.Matter) (out []string) {
		for _, m := range ms {
			out = append(out, m.Cause)
		}
		return out
	}
	first := look()
	if got := fmt.Sprint(causes(first.Requested)); got != "[qwen-1b/concept_drift/ungrounded qwen-1b/data_drift/class]" || first.Published != 2 {
		t.Fatalf("%s, %d published", got, first.Published)
	}
	var c fleet.Cause
	if err := json.Unmarshal(first.Requested[1].Data, &c); err != nil || fmt.Sprint(c.Sites) != "[box-1]" || len(c.Lineage.Hashes) != 7 || c.Lineage.Generations[0] != telemetrytest.Generation {
		t.Errorf("%+v, %v", c, err)
	}
	if again := look(); len(again.Requested) != 0 || len(again.Standing) != 2 || again.Published != 0 {
		t.Errorf("asked again within the cool-down: %+v", again)
	}
	cmd(4, "fleet", "approve", first.Requested[1].ID, "--as", "fleet controller")
	cmd(5, "fleet", "approve", "retrain-99", "--as", "ann")
	if out := cmd(0, "fleet", "approve", first.Requested[1].ID, "--as", "ann", "--note", "new on the formulary"); !strings.Contains(out, "approved") {
		t.Error(out)
	}
	cmd(4, "fleet", "decline", first.Requested[1].ID, "--as", "bob")
	if again := look(); len(again.Requested) != 0 {
		t.Errorf("asked again after the approval: %+v", again)
	}
	if out := cmd(0, "fleet", "requests"); !strings.Contains(out, "approved") || !strings.Contains(out, "requested") {
		t.Error(out)
	}
	if out := cmd(0, "fleet", "record", "--json"); strings.Count(out, `"signature"`) != 3 {
		t.Error(out)
	}
	// The same as reports, for people: whole in themselves, and with what they rest on.
	dir := os.Getenv("RXEDGE_REPORTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for file, kind := range map[string]string{"audit.html": "audit", "audit.md": "audit", "card.html": "model-card", "card.md": "model-card"} {
		given := []string{"report", kind, "--fleet", f.Dir, "--since", "7d", "--out", filepath.Join(dir, file)}
		if kind == "model-card" {
			given = append(given, "--model", telemetrytest.Model)
		}
		var errOut bytes.Buffer
		if code := run(t.Context(), given, strings.NewReader(""), new(bytes.Buffer), &errOut); code != 0 {
			t.Fatal(code, errOut.String())
		}
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"glp-1-agonist", "box-1", "65+", first.Requested[1].ID, "approved", c.Lineage.Hashes[0].SHA256, "disparate impact ratio", telemetrytest.Model} {
			if !bytes.Contains(b, []byte(want)) && !bytes.Contains(b, []byte(strings.ReplaceAll(want, "+", "&#43;"))) {
				t.Errorf("%s does not say %q", file, want)
			}
		}
		if bytes.Contains(b, []byte("<script")) || bytes.Contains(b, []byte("://")) || bytes.Contains(b, []byte("ZgotmplZ")) || strings.HasSuffix(file, "html") != bytes.Contains(b, []byte("<svg")) {
			t.Errorf("%s has a script, an address, or no drawing", file)
		}
	}
	cmd(2, "fleet", "drift", "--since", "soon")
	cmd(2, "fleet", "drift", "--label", "north")
	cmd(5, "fleet", "drift", "--site", "box-9")
}
