package rollout

import (
	"time"

	"rxedge/sync/bundle"
)

// SiteState is what a site tells the centre of itself, whole, whenever it has changed.
type SiteState struct {
	Version    string               `json:"version"`
	Profile    string               `json:"profile"`
	Channel    string               `json:"channel"`
	Active     int64                `json:"active"`
	Staged     int64                `json:"staged,omitempty"`
	Newest     int64                `json:"newest"`
	Refusal    *bundle.Event        `json:"refusal,omitempty"`
	Quarantine []bundle.Quarantined `json:"quarantine,omitempty"`
	Generation string               `json:"generation"`
	Documents  int                  `json:"documents"`
	Rollout    *SiteRollout         `json:"rollout,omitempty"`
}

// Take what is of bundles from their status.
func (s *SiteState) Take(st bundle.Status) {
	s.Channel, s.Newest, s.Refusal, s.Quarantine, s.Active, s.Staged = st.Channel, st.Newest, st.Refusal, st.Quarantine, 0, 0
	if st.Active != nil {
		s.Active = st.Active.Number
	}
	if st.Staged != nil {
		s.Staged = st.Staged.Number
	}
}

// SiteRollout is how far a site is with the bundle that came last.
type SiteRollout struct {
	Bundle    int64     `json:"bundle,omitempty"`
	Slot      Slot      `json:"slot"`
	Since     time.Time `json:"since"`
	Check     string    `json:"check,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Confirmed int64     `json:"confirmed,omitempty"`
	Previous  int64     `json:"previous,omitempty"`
	// Asked and Errors are questions while it was watched, and those that failed.
	Asked  int `json:"asked,omitempty"`
	Errors int `json:"errors,omitempty"`
	// Figure of the check, where it keeps a candidate from being promoted.
	Figure *Check `json:"figure,omitempty"`
	// Override by a person of such a check.
	Override *Override `json:"override,omitempty"`
}
