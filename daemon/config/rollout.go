package config

import (
	"fmt"
	"time"
)

// Rollout holds the settings of how a bundle, or what a technician promotes, comes
// to answer questions.
type Rollout struct {
	// Watch is how long what is new is provisional: it answers, is watched, and goes
	// back by itself. "0s": it is confirmed as soon as it has passed its checks.
	Watch Wait `toml:"watch"`
	// Defer is how long a swap waits while somebody is asking. A question under way
	// keeps what it began with in any case.
	Defer Wait `toml:"defer"`
	// Warm is how long what served before stays open and loaded.
	Warm Wait `toml:"warm"`
	// Latency is what the 95th percentile of an answer may take; "0s": as the
	// firmware profile has it.
	Latency Wait `toml:"latency"`
	// Questions is how many a candidate is asked before anybody else asks it; 0: 240.
	Questions int `toml:"questions"`
	// RequireApproval: 'rxedge rollout approve' comes before anything new answers.
	RequireApproval bool `toml:"require_approval"`
	// Models lets a bundle's language model, adapter and firmware profile take
	// effect with it; false: they are put into the catalog, and the configuration
	// decides.
	Models bool `toml:"models"`
}

// Wait is a Duration that may be zero.
type Wait time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *Wait) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 0s, 30s or 10m", b)
	}
	*w = Wait(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (w Wait) MarshalText() ([]byte, error) { return []byte(time.Duration(w).String()), nil }

func (r *Rollout) check() error {
	for _, f := range []struct {
		name string
		v    Wait
		most time.Duration
	}{
		{"watch", r.Watch, 7 * 24 * time.Hour},
		{"defer", r.Defer, time.Hour},
		{"warm", r.Warm, 7 * 24 * time.Hour},
		{"latency", r.Latency, time.Hour},
	} {
		if f.v < 0 || time.Duration(f.v) > f.most {
			return wrong("rollout."+f.name, "%v is outside 0s to %v", time.Duration(f.v), f.most)
		}
	}
	if r.Questions < 0 || r.Questions > 5000 {
		return wrong("rollout.questions", "%d is outside 0 to 5000", r.Questions)
	}
	return nil
}
