package survey

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"rxedge/sync/central"
)

// Count of a value.
type Count struct {
	Value string `json:"value"`
	N     int    `json:"n"`
}

func counts(sites []Site, of func(*Site) string) []Count {
	by := map[string]int{}
	for i := range sites {
		by[of(&sites[i])]++
	}
	out := []Count{}
	for v, n := range by {
		out = append(out, Count{v, n})
	}
	slices.SortFunc(out, func(a, b Count) int { return cmp.Or(b.N-a.N, strings.Compare(a.Value, b.Value)) })
	return out
}

// Summary of a fleet.
type Summary struct {
	Name      string   `json:"name"`
	HubRead   bool     `json:"hub_read"` // the hub was read whole since the page was started
	HubError  string   `json:"hub_error,omitempty"`
	Trouble   []string `json:"trouble,omitempty"`
	Sites     int      `json:"sites"`
	ByStatus  []Count  `json:"by_status"`
	ByHealth  []Count  `json:"by_health"`
	ByVersion []Count  `json:"by_version"` // of enrolled sites, and so on
	ByBundle  []Count  `json:"by_bundle"`
	ByHeard   []Count  `json:"by_heard"`
	Behind    int      `json:"behind"`
	UnderWay  int      `json:"under_way"` // rollouts
	Open      int      `json:"open"`      // requests and proposals
	Questions int64    `json:"questions"`
	From      string   `json:"from,omitempty"`
	To        string   `json:"to,omitempty"`
	Counted   string   `json:"counted,omitempty"` // when the days were added up
	Damaged   int      `json:"damaged"`
	Refused   int64    `json:"refused"` // reports of sites
}

// Summary of what was seen.
func (o *Overview) Summary() Summary {
	f := Summary{Name: o.Name, HubRead: !o.Hub.IsZero(), HubError: o.HubError, Trouble: o.Trouble, Sites: len(o.Sites)}
	f.ByStatus = counts(o.Sites, func(s *Site) string { return s.Status })
	f.ByHealth = counts(o.Sites, func(s *Site) string { return string(s.Health) })
	enrolled := slices.DeleteFunc(slices.Clone(o.Sites), func(s Site) bool { return s.Status != "enrolled" })
	f.ByVersion = counts(enrolled, func(s *Site) string { return cmp.Or(s.Version, "not told") })
	f.ByBundle = counts(enrolled, func(s *Site) string { return central.BundleName(s.Channel, s.Active) })
	f.ByHeard = counts(enrolled, func(s *Site) string { return heardWord(s, o.At) })
	for i := range o.Sites {
		if o.Sites[i].Behind {
			f.Behind++
		}
	}
	for _, r := range o.Rollouts {
		if r.UnderWay() {
			f.UnderWay++
		}
	}
	for _, m := range o.Matters {
		if m.Decided == nil {
			f.Open++
		}
	}
	if a := o.Answers; a != nil {
		f.Questions, f.Damaged, f.Counted = a.Quality.Questions, a.Damaged, a.At.Format(time.RFC3339)
		if len(a.LastDay) > 0 {
			f.From, f.To = a.Quality.From.Format(time.DateOnly), a.Quality.To.AddDate(0, 0, -1).Format(time.DateOnly)
		}
	}
	if o.Taken != nil {
		for _, by := range o.Taken.Refused {
			for _, r := range by {
				f.Refused += r.Count
			}
		}
	}
	return f
}

// heardWord says how long ago anything was heard of a site.
func heardWord(s *Site, now time.Time) string {
	switch {
	case s.Heard == nil:
		return "never"
	case now.Sub(*s.Heard) < time.Hour:
		return "within an hour"
	case now.Sub(*s.Heard) < 36*time.Hour:
		return "within 36 hours"
	}
	return "longer ago"
}
