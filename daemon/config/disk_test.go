package config

import (
	"strings"
	"testing"
	"time"

	"rxedge/daemon/disk"
)

func TestDisk(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[disk]\nindex_mb = 5000\nfloor_mb = 0\nkeep_models = \"48h\"":                 "",
		"[disk]\nfloor_mb = 100\n[index]\ndisk_floor_mb = 100":                         "",
		"[disk]\nfloor_mb = 100\n[index]\ndisk_floor_mb = 200":                         "its earlier name, is 200",
		"[disk]\nfloor_mb = -1":                                                        "disk.floor_mb: -1",
		"[disk]\nmodels_mb = -1":                                                       "disk.models_mb: -1 is outside",
		"[disk]\nmodels_mb = 3":                                                        "too little for anything",
		"[disk]\nlogs_mb = 99999999999":                                                "disk.logs_mb",
		"[disk]\nspool_mb = 3":                                                         "disk.spool_mb", // it is sync.spool_mb
		"[disk]\nkeep_models = \"1m\"":                                                 "disk.keep_models: 1m",
		"[disk]\nkeep_models = \"0s\"":                                                 "greater than zero",
		"[disk]\nindex_mb = 5000\n[suite]\nquestions = \"q\"\nhours = \"02:00-03:00\"": "",
	} {
		c := Default()
		err := c.decode("rxedge.toml", []byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
	c := Default()
	if err := c.decode("rxedge.toml", []byte("[disk]\nindex_mb = 5000\nfloor_mb = 7\n[sync]\nspool_mb = 16\n")); err != nil {
		t.Fatal(err)
	}
	b := c.Budgets()
	if b[disk.Index] != 5e9 || b[disk.Spool] != 128<<20 || b[disk.Models] != 0 || *c.Index.DiskFloorMB != 7 {
		t.Error(b, *c.Index.DiskFloorMB)
	}
	if n := c.Night(); !n.Contains(time.Date(2026, 1, 1, 2, 30, 0, 0, time.UTC)) || n.Contains(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)) {
		t.Error(n)
	}
	c.Suite.Hours = Hours{22 * time.Hour, 23 * time.Hour}
	if n := c.Night(); !n.Contains(time.Date(2026, 1, 1, 22, 30, 0, 0, time.UTC)) {
		t.Error(n)
	}
}
