package survey

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/telemetrytest"
	"rxedge/sync/central"
)

// signedPrefix of a report as it is kept: the magic and the signature, which were checked.
const signedPrefix = 4 + 64

// What Read leaves out changes nothing: the reports are those of all windows, of sites
// that began on different days, with gaps, and changed their model and generation.
func TestReadLeavesOutNothing(t *testing.T) {
	t.Parallel()
	f, err := central.Init(filepath.Join(t.TempDir(), "central"), central.InitOptions{Name: "survey", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	var all []fleet.Day
	for i := range 5 {
		site := fmt.Sprintf("site-%d", i)
		if _, err := f.AddSite(site, "stable", time.Hour); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(f.Dir, "fleet/windows", site)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		begins, changes := 3*i, 8+rng.IntN(14)+20*(i%2)
		for day, w := range telemetrytest.Month(uint64(i), nil) {
			if day < begins || rng.IntN(6) == 0 {
				continue
			}
			if day >= changes {
				w.Model, w.Generation = "other", "gen-000002"
			} else if day%5 == 0 {
				w.Generation = "gen-000000"
			}
			out, _, err := w.Release(nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := out.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%s.%s-%s.rxw", out.From.Format(time.DateOnly), out.Model, out.Generation)
			if err := os.WriteFile(filepath.Join(dir, name), append(make([]byte, signedPrefix), b...), 0o600); err != nil {
				t.Fatal(err)
			}
			all = append(all, fleet.Day{Site: site, Window: out})
		}
	}
	until := telemetrytest.First.AddDate(0, 0, 30)
	d, err := Read(t.Context(), f, Query{Last: 7, Until: until})
	if err != nil || d.Damaged > 0 {
		t.Fatal(err, d)
	}
	if len(d.Days) >= len(all) {
		t.Errorf("all %d windows were read", len(all))
	}
	t.Logf("%d of %d windows were read", len(d.Days), len(all))
	for i := range d.Days {
		d.Days[i].Hash = ""
	}
	got, err := AnswersOf(d)
	if err != nil {
		t.Fatal(err)
	}
	want, err := AnswersOf(&Days{Days: all, Options: d.Options})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Drift.Models) != 2 || got.Drift.Models[0].Baseline == nil {
		t.Errorf("%d models, baseline %v", len(got.Drift.Models), got.Drift.Models[0].Baseline)
	}
	for what, pair := range map[string][2]any{"drift": {got.Drift, want.Drift}, "fairness": {got.Fairness, want.Fairness}, "quality": {got.Quality, want.Quality}, "last days": {got.LastDay, want.LastDay}} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s is another:\n%+v\n%+v", what, pair[0], pair[1])
		}
	}
}
