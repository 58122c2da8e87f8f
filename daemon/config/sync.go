package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Sync holds the settings of the link to the centre; it is used once 'rxedge
// enroll' has made the box a site.
type Sync struct {
	// Proxy is http://[user:password@]host:port; the connection to the hub is made
	// through it by CONNECT. "": none.
	Proxy string `toml:"proxy"`
	// RateKbps is the most that is fetched, in kbit/s; 0: as fast as it goes.
	RateKbps int `toml:"rate_kbps"`
	// Quiet are hours of the day in which nothing is fetched, such as
	// "08:00-18:30"; reports go up at all hours. "": none.
	Quiet Hours `toml:"quiet_hours"`
	// SpoolMB is what reports may take on disk while the hub is not reached.
	SpoolMB int `toml:"spool_mb"`
	// Vectors that were published for this box's embedder are fetched; false: it makes
	// them itself, which on a slow line may be sooner.
	Vectors bool `toml:"vectors"`
}

// Hours is a span of the day in local time; the zero value is none.
type Hours struct{ From, To time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hours) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*h = Hours{}
		return nil
	}
	from, to, ok := strings.Cut(string(b), "-")
	f, err1 := time.Parse("15:04", strings.TrimSpace(from))
	t, err2 := time.Parse("15:04", strings.TrimSpace(to))
	if !ok || err1 != nil || err2 != nil || f.Equal(t) {
		return fmt.Errorf("%q is no span of the day such as 08:00-18:30", b)
	}
	midnight := f.Truncate(24 * time.Hour)
	*h = Hours{f.Sub(midnight), t.Sub(midnight)}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (h Hours) MarshalText() ([]byte, error) {
	if h == (Hours{}) {
		return []byte{}, nil
	}
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60) }
	return []byte(clock(h.From) + "-" + clock(h.To)), nil
}

// Contains says whether the time of day of t is in the span.
func (h Hours) Contains(t time.Time) bool {
	d := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	if h.From <= h.To {
		return h.From <= d && d < h.To
	}
	return d >= h.From || d < h.To // over midnight
}

func (s *Sync) check() error {
	if s.RateKbps < 0 || s.RateKbps > 1<<24 {
		return wrong("sync.rate_kbps", "%d is outside 0 to %d", s.RateKbps, 1<<24)
	}
	if s.SpoolMB < 1 || s.SpoolMB > 1<<16 {
		return wrong("sync.spool_mb", "%d is outside 1 to %d", s.SpoolMB, 1<<16)
	}
	if s.Proxy == "" {
		return nil
	}
	u, err := url.Parse(s.Proxy)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Port() == "" {
		return wrong("sync.proxy", "it is to be http://host:port, or http://user:password@host:port")
	}
	return nil
}
