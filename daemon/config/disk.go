package config

import (
	"time"

	"rxedge/daemon/disk"
)

// Disk says what each kind of thing may take on the disk of the data folder, in MB of
// 10⁶ bytes. What is not set is a part of the disk that suits its size ('rxedge disk'
// shows what it came to). What would take more is refused before it begins.
type Disk struct {
	// FloorMB is what has to stay free, whatever is written; index.disk_floor_mb is its
	// earlier name. As the firmware profile has it where it is not set.
	FloorMB *int `toml:"floor_mb"`
	// IndexMB is for the generations of the index: what serves, the one before, and one
	// that is built.
	IndexMB int `toml:"index_mb"`
	// ModelsMB is for the catalog of models.
	ModelsMB int `toml:"models_mb"`
	// BundlesMB is for what came from the centre.
	BundlesMB int `toml:"bundles_mb"`
	// TelemetryMB is for what was counted, and runs of golden questions.
	TelemetryMB int `toml:"telemetry_mb"`
	// FeedbackMB is for what people said of answers.
	FeedbackMB int `toml:"feedback_mb"`
	// QuarantineMB is for copies of documents that could not be read.
	QuarantineMB int `toml:"quarantine_mb"`
	// LogsMB is for logs in the data folder.
	LogsMB int `toml:"logs_mb"`
	// AsideMB is for copies of what was damaged.
	AsideMB int `toml:"aside_mb"`
	// KeepModels is how long a model that nothing refers to stays.
	KeepModels Duration `toml:"keep_models"`
}

// mostMB is a petabyte.
const mostMB = 1 << 30

func (d *Disk) sizes() map[string]struct {
	kind disk.Kind
	mb   int
} {
	type size = struct {
		kind disk.Kind
		mb   int
	}
	return map[string]size{
		"index_mb": {disk.Index, d.IndexMB}, "models_mb": {disk.Models, d.ModelsMB}, "bundles_mb": {disk.Bundles, d.BundlesMB},
		"telemetry_mb": {disk.Telemetry, d.TelemetryMB}, "feedback_mb": {disk.Feedback, d.FeedbackMB},
		"quarantine_mb": {disk.Quarantine, d.QuarantineMB}, "logs_mb": {disk.Logs, d.LogsMB}, "aside_mb": {disk.Aside, d.AsideMB},
	}
}

// check also lets the floor stand under both of its names.
func (c *Config) checkDisk() error {
	d := &c.Disk
	for name, s := range d.sizes() {
		if s.mb < 0 || s.mb > mostMB {
			return wrong("disk."+name, "%d is outside 0 (as suits the disk) to %d", s.mb, mostMB)
		}
		if least := 100; s.mb > 0 && s.mb < least {
			return wrong("disk."+name, "%d MB is too little for anything; the least is %d", s.mb, least)
		}
	}
	if d.KeepModels < Duration(time.Hour) || d.KeepModels > Duration(10*365*24*time.Hour) {
		return wrong("disk.keep_models", "%v is outside 1h to 10 years", time.Duration(d.KeepModels))
	}
	f, old := d.FloorMB, c.Index.DiskFloorMB
	if f == nil {
		return nil
	}
	if *f < 0 || *f > mostMB {
		return wrong("disk.floor_mb", "%d is outside 0 to %d", *f, mostMB)
	}
	if old != nil && *old != *f {
		return wrong("disk.floor_mb", "it is %d and index.disk_floor_mb, its earlier name, is %d: leave the latter out", *f, *old)
	}
	c.Index.DiskFloorMB = f
	return nil
}

// Budgets that are set, in bytes by kind. Those of the spool and the cache follow from
// their own settings: a store takes more than what is in it.
func (c *Config) Budgets() map[disk.Kind]int64 {
	out := map[disk.Kind]int64{
		disk.Spool:  4*int64(c.Sync.SpoolMB)<<20 + 64<<20,
		disk.Caches: 2*int64(c.Cache.Disk)<<20 + 64<<20,
	}
	for _, s := range c.Disk.sizes() {
		if s.mb > 0 {
			out[s.kind] = int64(s.mb) * 1e6
		}
	}
	return out
}

// night where suite.hours does not say when it is.
var night = Hours{From: time.Hour, To: 5 * time.Hour}

// Night is the hours of the day for long work that can wait, in local time: those of the
// suite, else 01:00-05:00.
func (c *Config) Night() Hours {
	if c.Suite.Hours != (Hours{}) {
		return c.Suite.Hours
	}
	return night
}
