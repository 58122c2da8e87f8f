package fleet

import (
	"fmt"
	"slices"
	"time"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/monitor"
)

// DriftReport says what has changed, where, and who is unlike the others.
type DriftReport struct {
	Scope
	Models []ModelDrift `json:"models"`
}

// ModelDrift of one model.
type ModelDrift struct {
	Model       string   `json:"model"` // "": sentences of the documents
	Generations []string `json:"generations"`
	Questions   int64    `json:"questions"`
	// Baseline is the fleet's: its first week; nil while there is none.
	Baseline *Scope            `json:"baseline,omitempty"`
	Features []monitor.Feature `json:"features"` // of the fleet beside its baseline
	Alarms   []monitor.Alarm   `json:"alarms"`   // of the fleet, over the time looked at
	Sites    []SiteDrift       `json:"by_site"`
	// StandingOut are sites unlike the others, those that differ most first; LeftOut
	// were not compared.
	StandingOut []Outlier `json:"standing_out"`
	LeftOut     []Left    `json:"left_out"`
}

// SiteDrift of one site beside its own first week.
type SiteDrift struct {
	Site      string            `json:"site"`
	Questions int64             `json:"questions"`
	Learning  bool              `json:"learning"`
	Features  []monitor.Feature `json:"features,omitempty"`
	Alarms    []monitor.Alarm   `json:"alarms"`
}

// Drift of days: those since Options.Since beside baselines from the days before.
func Drift(days []Day, opt Options) (*DriftReport, error) {
	days = between(days, time.Time{}, opt.Until)
	now := between(days, opt.Since, opt.Until)
	r := &DriftReport{Scope: scope(now, opt), Models: []ModelDrift{}}
	for _, m := range split(days) {
		cur := between(m.days, opt.Since, opt.Until)
		if len(cur) == 0 {
			continue
		}
		d := ModelDrift{Model: m.name, Generations: generations(cur), Sites: []SiteDrift{}}
		w, err := sum(cur)
		if err != nil {
			return nil, err
		}
		base, err := baseline(m.days, opt)
		if err != nil {
			return nil, err
		}
		d.Questions, d.Alarms, d.Features = w.Questions, []monitor.Alarm{}, []monitor.Feature{}
		if base != nil {
			d.Baseline = &Scope{From: base.From, To: base.To, Questions: base.Questions}
			d.Features = monitor.Features(base, w, opt.Limits)
			d.Alarms = append(d.Alarms, monitor.Compare(base, w, opt.waiting(streams(cur)))...)
		}
		sites, err := bySite(cur)
		if err != nil {
			return nil, err
		}
		for _, s := range sortedKeys(sites) {
			mine := only(m.days, s)
			base, err := baseline(mine, opt)
			if err != nil {
				return nil, err
			}
			sd := SiteDrift{Site: s, Questions: sites[s].Questions, Learning: base == nil, Alarms: []monitor.Alarm{}}
			if base != nil {
				sd.Features = monitor.Features(base, sites[s], opt.Limits)
				sd.Alarms = append(sd.Alarms, monitor.Compare(base, sites[s], opt.waiting(streams(between(mine, opt.Since, opt.Until))))...)
			}
			d.Sites = append(d.Sites, sd)
		}
		var names []string
		names, d.LeftOut = compared(sites, opt.Limits.Least)
		d.StandingOut = unlike(sites, names, opt)
		r.Models = append(r.Models, d)
	}
	return r, nil
}

// baseline is the first week of days, all before Options.Since; nil where there is
// none. Days are compared by the week and not one by one: what waits at a site to be of
// eleven questions makes the numbers of one day coarse. The sites themselves, which
// know all, compare each day, and tell of it by alarms.
func baseline(days []Day, opt Options) (*telemetry.Window, error) {
	ds, err := daily(between(days, time.Time{}, opt.Since))
	if err != nil || len(ds) < monitor.BaselineDays {
		return nil, err
	}
	return telemetry.Sum(ds[:monitor.BaselineDays])
}

// Told is an alarm that a site has sent.
type Told struct {
	Site string    `json:"site"`
	Day  time.Time `json:"day"` // when the centre had it
	// Model is not told: an alarm names it where it is the model's.
	Alarm monitor.Alarm `json:"alarm"`
}

// Cause is why a model should be trained anew.
type Cause struct {
	Model   string   `json:"model"`
	Kind    string   `json:"kind"`
	Feature string   `json:"feature"`
	Sites   []string `json:"sites"` // where it holds
	Fleet   bool     `json:"fleet"` // it holds of all sites together too
	// Found are the alarms, the fleet's (site "") and each site's: what the windows show
	// here, and what a site has told by itself.
	Found   []Found `json:"found"`
	Lineage Lineage `json:"lineage"`
}

// Found at one site.
type Found struct {
	Site string `json:"site"`
	Told bool   `json:"told"` // by the site
	monitor.Alarm
}

// Lineage says what a cause was made from.
type Lineage struct {
	Model       string    `json:"model"`
	Generations []string  `json:"generations"`
	Baseline    *Scope    `json:"baseline,omitempty"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Questions   int64     `json:"questions"`
	Windows     int       `json:"windows"`
	// Hashes are the SHA-256 of what the sites named have sent of that time, as it was
	// sent, with their signatures.
	Hashes []WindowHash `json:"window_hashes"`
}

// WindowHash of one site's day.
type WindowHash struct {
	Site       string `json:"site"`
	Day        string `json:"day"`
	Generation string `json:"generation"`
	SHA256     string `json:"sha256"`
}

// mostHashes of a lineage.
const mostHashes = 500

// Key is what a cause is about: the same at whichever sites.
func (c *Cause) Key() string { return fmt.Sprintf("%s/%s/%s", c.Model, c.Kind, c.Feature) }

// warrants says whether an alarm is reason enough: a distribution whose PSI is above
// the limit at which one acts, or answers that are worse.
func warrants(a *monitor.Alarm) bool {
	if a.Kind == monitor.ConceptDrift {
		return true
	}
	psi := slices.ContainsFunc(telemetry.Features(), func(f telemetry.Feature) bool { return f.String() == a.Feature }) ||
		slices.ContainsFunc(telemetry.Dimensions(), func(d telemetry.Dimension) bool { return d.String() == a.Feature })
	return psi && a.Kind != monitor.Performance && a.Kind != monitor.Fairness && a.Figure > drift.Act
}

// Causes that a report, from the same days, and what sites have told in that time have
// for training a model anew, in the order of their keys.
func Causes(r *DriftReport, days []Day, told []Told) []Cause {
	by := map[string]*Cause{}
	for _, m := range r.Models {
		see := func(site string, told bool, alarms ...monitor.Alarm) {
			for _, a := range alarms {
				if !warrants(&a) {
					continue
				}
				c := &Cause{Model: m.Model, Kind: a.Kind, Feature: a.Feature, Sites: []string{}}
				if by[c.Key()] == nil {
					c.Lineage = Lineage{Model: m.Model, Generations: m.Generations, Baseline: m.Baseline, From: r.From, To: r.To, Questions: m.Questions, Hashes: []WindowHash{}}
					by[c.Key()] = c
				}
				c = by[c.Key()]
				c.Found = append(c.Found, Found{site, told, a})
				if site == "" {
					c.Fleet = true
				} else if !slices.Contains(c.Sites, site) {
					c.Sites = append(c.Sites, site)
				}
			}
		}
		see("", false, m.Alarms...)
		for _, s := range m.Sites {
			see(s.Site, false, s.Alarms...)
		}
		for _, x := range told {
			here := slices.ContainsFunc(m.Sites, func(s SiteDrift) bool { return s.Site == x.Site })
			if here && !x.Day.Before(r.From) && x.Day.Before(r.To.AddDate(0, 0, 2)) { // it comes when its day is over
				see(x.Site, true, x.Alarm)
			}
		}
	}
	out := []Cause{}
	for _, k := range sortedKeys(by) {
		c := by[k]
		for _, d := range between(days, r.From, r.To) {
			if d.Window.Model != c.Model || len(c.Sites) > 0 && !slices.Contains(c.Sites, d.Site) {
				continue
			}
			if c.Lineage.Windows++; c.Lineage.Windows <= mostHashes {
				c.Lineage.Hashes = append(c.Lineage.Hashes, WindowHash{d.Site, d.Window.From.Format(time.DateOnly), d.Window.Generation, d.Hash})
			}
		}
		out = append(out, *c)
	}
	return out
}
