// Package survey puts together what the centre's folder and the hub hold of a fleet:
// where each site stands, and the days that the sites have counted. The commands and the
// page both show what it says.
package survey

import (
	"encoding/json"
	"fmt"
	"time"

	"rxedge/sync/bundle"
	"rxedge/sync/central"
)

// Standing is what the centre knows of one site.
type Standing struct {
	Site    string     `json:"site"`
	Channel string     `json:"channel"`
	Status  string     `json:"status"` // waiting, expired, enrolled, revoked
	Told    *time.Time `json:"told,omitempty"`
	Version string     `json:"version,omitempty"`
	Active  int64      `json:"active"`
	Newest  int64      `json:"newest"`         // that the centre has signed for it
	Held    int64      `json:"held,omitempty"` // a newer one, for which its wave has not come
	Behind  bool       `json:"behind"`
	Code    string     `json:"code,omitempty"`
	Why     string     `json:"why,omitempty"`
}

// Told is what a site has told of itself, as far as the centre reads it.
type Told struct {
	Version    string               `json:"version"`
	Profile    string               `json:"profile"`
	Active     int64                `json:"active"`
	Refusal    *bundle.Event        `json:"refusal"`
	Quarantine []bundle.Quarantined `json:"quarantine"`
	Generation string               `json:"generation"`
	Documents  int                  `json:"documents"`
	Rollout    *struct {
		Bundle int64  `json:"bundle"`
		Slot   string `json:"slot"`
		Check  string `json:"check"`
		Reason string `json:"reason"`
	} `json:"rollout"`
}

// Stand says where a site stands: by what it has told last (ok: it has told anything),
// and by the newest bundle that it may have and that there is.
func Stand(s *central.Site, told central.SiteState, ok bool, may, newest int64, now time.Time) (Standing, *Told) {
	st := Standing{Site: s.ID, Channel: s.Channel, Status: s.Status(now), Newest: may}
	if may < newest {
		st.Held = newest
	}
	var t *Told
	if ok {
		var read Told
		if json.Unmarshal(told.State, &read) == nil {
			t = &read
			at := told.At
			st.Told, st.Version, st.Active = &at, read.Version, read.Active
			switch {
			case len(read.Quarantine) > 0:
				q := read.Quarantine[len(read.Quarantine)-1]
				st.Code, st.Why = string(q.Code), fmt.Sprintf("bundle %d: %s", q.Number, q.Reason)
			case read.Refusal != nil:
				st.Code, st.Why = string(read.Refusal.Code), read.Refusal.Reason
			}
		}
	}
	st.Behind = s.Revoked == nil && st.Active < st.Newest
	if st.Behind && st.Code == "" {
		switch {
		case st.Status != "enrolled":
			st.Why = "it is not enrolled"
		case st.Told == nil:
			st.Why = "it has told nothing yet"
		default:
			st.Why = "it has not come to it, or is cut off; it told last " + Ago(now.Sub(*st.Told))
		}
	}
	return st, t
}

// Standings of all sites, by what lies in the folder and what they have told.
func Standings(f *central.Folder, states map[string]central.SiteState) ([]Standing, error) {
	sites, err := f.Sites()
	if err != nil {
		return nil, err
	}
	allowed, err := f.Allowed()
	if err != nil {
		return nil, err
	}
	out := []Standing{}
	for _, s := range sites {
		may, newest := allowed(s)
		told, ok := states[s.ID]
		st, _ := Stand(s, told, ok, may, newest, time.Now())
		out = append(out, st)
	}
	return out, nil
}

// Ago in words.
func Ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
