package survey

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/sync/central"
)

// Health of a site, in a word; Reasons say why.
type Health string

// Healths, the worst first.
const (
	HealthAct     Health = "act"     // somebody has to do something
	HealthLook    Health = "look"    // somebody should look
	HealthOK      Health = "ok"      // nothing is known against it
	HealthUnknown Health = "unknown" // it is not enrolled, or has told nothing yet
)

// Reason for a health.
type Reason struct {
	Health Health `json:"health"`
	Text   string `json:"text"`
}

// Site of a fleet: where it stands, how fresh it is, how its answers are.
type Site struct {
	Standing
	Labels     map[string]string `json:"labels,omitempty"`
	Profile    string            `json:"profile,omitempty"`
	Generation string            `json:"generation,omitempty"`
	Documents  int               `json:"documents,omitempty"`
	Slot       string            `json:"slot,omitempty"` // of the bundle that is under way
	// Heard is when the hub had anything of it.
	Heard   *time.Time `json:"heard,omitempty"`
	LastDay string     `json:"last_day,omitempty"` // that it has counted
	Health  Health     `json:"health"`
	Reasons []Reason   `json:"reasons,omitempty"`

	Questions int64    `json:"questions,omitempty"` // in the time looked at
	Abstained *float64 `json:"abstained,omitempty"`
	Failed    *float64 `json:"failed,omitempty"`
	Grounded  *float64 `json:"grounded,omitempty"`
	P95       *float64 `json:"p95_ms,omitempty"`
	// StandsOut in these features.
	StandsOut []string `json:"stands_out,omitempty"`
}

// silentFor: an enrolled site sends a day's window after each day, so one that the hub
// had nothing of for longer is off, or cut off.
const silentFor = 36 * time.Hour

// siteOf what is known. whole: the hub was read, so a site of which there is nothing has
// sent nothing.
func siteOf(s *central.Site, st Standing, t *Told, heard time.Time, whole bool, now time.Time) Site {
	x := Site{Standing: st, Labels: s.Labels, Health: HealthOK}
	if t != nil {
		x.Profile, x.Generation, x.Documents = t.Profile, t.Generation, t.Documents
		if t.Rollout != nil {
			x.Slot = t.Rollout.Slot
		}
	}
	if !heard.IsZero() {
		x.Heard = &heard
	}
	if st.Status != "enrolled" {
		x.Health = HealthUnknown
		if st.Status == "expired" {
			x.because(HealthLook, "its enrolment file has expired unused; 'rxedge central site add' writes another")
		}
		return x
	}
	if t != nil && t.Rollout != nil && t.Rollout.Slot == "rolled_back" {
		x.because(HealthAct, fmt.Sprintf("it went back from bundle %d: %s", t.Rollout.Bundle, plain(t.Rollout.Check+" "+t.Rollout.Reason)))
	}
	switch {
	case x.Code != "":
		x.because(HealthAct, plain(x.Why))
	case x.Behind && x.Told != nil:
		x.because(HealthLook, fmt.Sprintf("it has bundle %d, and may have %d", x.Active, x.Newest))
	}
	switch {
	case !whole:
		if x.Heard == nil && t == nil && len(x.Reasons) == 0 {
			x.Health = HealthUnknown
		}
	case x.Heard == nil:
		x.because(HealthLook, "it has sent nothing yet")
	case now.Sub(heard) > silentFor:
		x.because(HealthAct, "nothing was heard of it since "+heard.UTC().Format("2 Jan 15:04")+" UTC")
	}
	return x
}

// because of a reason the health is no better than this.
func (x *Site) because(h Health, text string) {
	x.Reasons = append(x.Reasons, Reason{h, text})
	if x.Health != HealthAct {
		x.Health = h
	}
}

// mostReasons of a site that are told.
const mostReasons = 8

// answers adds what the days say of the sites.
func answers(sites []Site, a *Answers) {
	if a == nil {
		return
	}
	quality := map[string]fleet.SiteQuality{}
	for _, q := range a.Quality.Sites {
		quality[q.Site] = q
	}
	type told struct {
		health Health
		text   string
	}
	reasons, out := map[string][]told{}, map[string][]string{}
	level := func(a monitor.Alarm) Health {
		if a.Level == monitor.Act {
			return HealthAct
		}
		return HealthLook
	}
	for _, m := range a.Drift.Models {
		for _, s := range m.Sites {
			for _, x := range s.Alarms {
				reasons[s.Site] = append(reasons[s.Site], told{level(x), plain(x.Text)})
			}
		}
	}
	for _, x := range a.Told {
		t := told{level(x.Alarm), plain(x.Alarm.Text) + ", as it told on " + x.Day.Format("2 Jan")}
		reasons[x.Site] = append(reasons[x.Site], t)
	}
	for _, o := range a.StandingOut() {
		if !slices.Contains(out[o.Site], o.Feature) {
			out[o.Site] = append(out[o.Site], o.Feature)
		}
	}
	for i := range sites {
		s := &sites[i]
		s.LastDay = a.LastDay[s.Site]
		q := quality[s.Site]
		s.Questions, s.Abstained, s.Failed, s.Grounded, s.P95 = q.Questions, q.Abstained, q.Failed, q.Grounded, q.P95
		s.StandsOut = out[s.Site]
		if s.Status != "enrolled" {
			continue
		}
		for _, r := range reasons[s.Site] {
			if len(s.Reasons) < mostReasons {
				s.because(r.health, r.text)
			}
		}
		if len(s.StandsOut) > 0 {
			s.because(HealthLook, "it is unlike the other sites in "+strings.ReplaceAll(strings.Join(s.StandsOut, ", "), "_", " "))
		}
	}
}

// plain text of what came from a site: no control characters, of a bounded length.
func plain(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			r = '?'
		}
		if out = append(out, r); len(out) == 300 {
			break
		}
	}
	return string(out)
}
