package enroll_test

import (
	"strings"
	"testing"
	"time"

	"rxedge/sync/enroll"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":1,"site":"a","channel":"stable","hubs":["h:1"],"ca":"BEGIN CERTIFICATE","claim":{"jwt":"x","seed":"SUAxxx","certificate":"c","key":"k"},"issued":"2026-01-01T00:00:00Z","expires":"2026-01-02T00:00:00Z","root":{"a":1},"floor":3}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := enroll.Parse(b)
		if err == nil && (enroll.CheckSite(x.Site) != nil || len(x.Hubs) == 0) {
			t.Fatal(x.Site)
		}
	})
}

// What is wrong with a file is said without repeating the secrets in it.
func TestParseKeepsSecrets(t *testing.T) {
	t.Parallel()
	for _, b := range []string{`{"claim":{"seed":"SECRET"`, `{"format":1,"site":"*","claim":{"seed":"SECRET"}}`, `{"format":1,"site":"a","channel":"stable","claim":{"seed":"SECRET"}}`, "SECRET"} {
		if _, err := enroll.Parse([]byte(b)); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", b, err)
		}
	}
}

// What a hub may answer to a renewal is taken or refused.
func FuzzRenewed(f *testing.F) {
	id := &enroll.Identity{Site: "a", CA: "x"}
	f.Add([]byte(`{"jwt":"a.b.c","certificate":"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"}`))
	f.Add([]byte(`{"code":"claim_unknown","reason":"revoked"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := id.Renewed(b, time.Unix(1e9, 0)); err == nil {
			t.Fatal("an identity without keys was renewed")
		}
	})
}
