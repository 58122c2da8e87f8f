package config_test

import (
	"testing"
	"time"

	"rxedge/daemon/config"
)

func TestQuietHours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		span, at string
		in       bool
	}{
		{"08:00-18:30", "07:59", false}, {"08:00-18:30", "08:00", true}, {"08:00-18:30", "18:29", true}, {"08:00-18:30", "18:30", false},
		{"22:00-06:00", "23:10", true}, {"22:00-06:00", "05:59", true}, {"22:00-06:00", "06:00", false}, {"22:00-06:00", "12:00", false},
		{"", "12:00", false},
	} {
		var h config.Hours
		if err := h.UnmarshalText([]byte(c.span)); err != nil {
			t.Fatal(err)
		}
		at, _ := time.Parse("15:04", c.at)
		if h.Contains(at) != c.in {
			t.Errorf("%s in %q: %v", c.at, c.span, !c.in)
		}
		if b, _ := h.MarshalText(); string(b) != c.span {
			t.Errorf("%q became %q", c.span, b)
		}
	}
	for _, bad := range []string{"8", "08:00", "08:00-", "08:00-08:00", "25:00-26:00", "a-b"} {
		if err := new(config.Hours).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
