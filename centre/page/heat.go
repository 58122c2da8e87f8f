package page

import (
	"math"
	"net/http"
	"slices"
	"time"

	"rxedge/centre/survey"
	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/fairness"
	"rxedge/daemon/telemetry/fleet"
	"rxedge/daemon/telemetry/monitor"
)

// Scope of the time looked at.
type Scope struct {
	From      string `json:"from"`
	To        string `json:"to"`
	Questions int64  `json:"questions"`
	Sites     int    `json:"sites"`
}

func scopeOf(s fleet.Scope) Scope {
	return Scope{s.From.Format(time.DateOnly), s.To.AddDate(0, 0, -1).Format(time.DateOnly), s.Questions, s.Sites}
}

// Outlier is a site that is unlike its peers. They are the sites that were compared, less
// itself and those of Apart.
type Outlier struct {
	fleet.Outlier
	Apart []string `json:"apart"`
}

func outliers(in []fleet.Outlier, compared []string) []Outlier {
	out := []Outlier{}
	for _, o := range in {
		peers := map[string]bool{o.Site: true}
		for _, s := range o.Pool {
			peers[s] = true
		}
		x := Outlier{o, []string{}}
		for _, s := range compared {
			if !peers[s] {
				x.Apart = append(x.Apart, s)
			}
		}
		out = append(out, x)
	}
	return out
}

func comparedOf(sites []string, left []fleet.Left) []string {
	not := map[string]bool{}
	for _, l := range left {
		not[l.Site] = true
	}
	out := []string{}
	for _, s := range sites {
		if !not[s] {
			out = append(out, s)
		}
	}
	return out
}

// Drift of the answers by model: what each site's questions and answers are like beside
// its own first week, and which site is unlike the others.
type Drift struct {
	Scope  *Scope       `json:"scope"` // nil: no site has sent a day yet
	Models []ModelDrift `json:"models"`
	Told   []fleet.Told `json:"told"`
	Limits [2]float64   `json:"limits"` // of PSI: look into it, act
}

// ModelDrift of one model. Rows are sites, columns features.
type ModelDrift struct {
	Model       string          `json:"model"`
	Generations []string        `json:"generations"`
	Questions   int64           `json:"questions"`
	Baseline    *Scope          `json:"baseline"`
	Features    []string        `json:"features"`
	Fleet       DriftRow        `json:"fleet"`
	Rows        []DriftRow      `json:"rows"`
	Alarms      []monitor.Alarm `json:"alarms"`
	Compared    []string        `json:"compared"`
	StandingOut []Outlier       `json:"standing_out"`
	LeftOut     []fleet.Left    `json:"left_out"`
}

// DriftRow is a site's PSI by feature; Verdicts is a letter each: o stable, i look into
// it, a act, n too few to say, – not told of.
type DriftRow struct {
	Site      string     `json:"site"`
	Questions int64      `json:"questions"`
	Learning  bool       `json:"learning,omitempty"`
	PSI       []*float64 `json:"psi"`
	Verdicts  string     `json:"verdicts"`
	Alarms    int        `json:"alarms,omitempty"`
}

var letters = map[drift.Verdict]byte{drift.VerdictInvestigate: 'i', drift.VerdictAct: 'a', drift.VerdictInsufficient: 'n'}

func driftRow(site string, questions int64, fs []monitor.Feature, names []string) DriftRow {
	r := DriftRow{Site: site, Questions: questions, PSI: make([]*float64, len(names))}
	v := make([]byte, len(names))
	for i := range v {
		v[i] = '-'
	}
	for i := range fs {
		at := slices.Index(names, fs[i].Name)
		psi := math.Round(1000*fs[i].PSI) / 1000
		r.PSI[at] = &psi
		if v[at] = letters[fs[i].Verdict]; v[at] == 0 {
			v[at] = 'o'
		}
	}
	r.Verdicts = string(v)
	return r
}

func driftView(a *survey.Answers) Drift {
	out := Drift{Models: []ModelDrift{}, Told: []fleet.Told{}, Limits: [2]float64{drift.Investigate, drift.Act}}
	if a == nil || len(a.LastDay) == 0 {
		return out
	}
	sc := scopeOf(a.Drift.Scope)
	out.Scope, out.Told = &sc, append(out.Told, a.Told...)
	for _, m := range a.Drift.Models {
		d := ModelDrift{Model: m.Model, Generations: m.Generations, Questions: m.Questions, Alarms: m.Alarms, LeftOut: m.LeftOut, Rows: []DriftRow{}, Features: []string{}}
		if m.Baseline != nil {
			b := scopeOf(*m.Baseline)
			d.Baseline = &b
		}
		add := func(fs []monitor.Feature) {
			for i := range fs {
				if !slices.Contains(d.Features, fs[i].Name) {
					d.Features = append(d.Features, fs[i].Name)
				}
			}
		}
		add(m.Features) // those that moved most first
		for _, s := range m.Sites {
			add(s.Features)
		}
		d.Fleet = driftRow("", m.Questions, m.Features, d.Features)
		var sites []string
		for _, s := range m.Sites {
			r := driftRow(s.Site, s.Questions, s.Features, d.Features)
			r.Learning, r.Alarms = s.Learning, len(s.Alarms)
			d.Rows = append(d.Rows, r)
			sites = append(sites, s.Site)
		}
		d.Compared = comparedOf(sites, m.LeftOut)
		d.StandingOut = outliers(m.StandingOut, d.Compared)
		out.Models = append(out.Models, d)
	}
	return out
}

// Fairness of the answers: the part of each group's questions that is refused, at each
// site and over all.
type Fairness struct {
	Scope       *Scope             `json:"scope"`
	Groups      []string           `json:"groups"`
	Fleet       FairnessRow        `json:"fleet"`
	Rows        []FairnessRow      `json:"rows"`
	Judged      *fairness.Report   `json:"judged"`
	Difference  *float64           `json:"difference"`
	Findings    []fairness.Finding `json:"findings"`
	Uncertain   []fairness.Finding `json:"uncertain"`
	Unsettled   []string           `json:"unsettled"`
	Waiting     int64              `json:"waiting"`
	Unnamed     int64              `json:"unnamed"`
	Compared    []string           `json:"compared"`
	StandingOut []Outlier          `json:"standing_out"`
	LeftOut     []fleet.Left       `json:"left_out"`
	// Quality are sites unlike the others in how good their answers are.
	Quality []Outlier `json:"quality"`
}

// FairnessRow of a site: of each group the questions, and the part of them refused; null
// where there are none, or too few to be told of.
type FairnessRow struct {
	Site       string     `json:"site"`
	Questions  int64      `json:"questions"`
	Difference *float64   `json:"difference"`
	N          []int64    `json:"n"`
	Refused    []*float64 `json:"refused"`
}

func fairnessRow(site string, questions int64, difference *float64, groups map[string]fleet.Asked, names []string) FairnessRow {
	r := FairnessRow{Site: site, Questions: questions, Difference: difference, N: make([]int64, len(names)), Refused: make([]*float64, len(names))}
	for i, g := range names {
		if x, ok := groups[g]; ok {
			r.N[i] = x.N
			if x.Rate != nil {
				v := math.Round(10000**x.Rate) / 10000
				r.Refused[i] = &v
			}
		}
	}
	return r
}

func fairnessView(a *survey.Answers) Fairness {
	out := Fairness{Groups: []string{}, Rows: []FairnessRow{}, Findings: []fairness.Finding{}, Uncertain: []fairness.Finding{}, Unsettled: []string{}, Compared: []string{}, StandingOut: []Outlier{}, LeftOut: []fleet.Left{}, Quality: []Outlier{}}
	if a == nil || len(a.LastDay) == 0 {
		return out
	}
	f := a.Fairness
	sc := scopeOf(f.Scope)
	out.Scope, out.Judged, out.Difference, out.Findings, out.Uncertain, out.Unsettled, out.Waiting, out.Unnamed = &sc, f.Judged, f.RefusedDifference, f.Findings, f.Uncertain, f.Unsettled, f.Waiting, f.Unnamed
	for g := range f.Groups {
		out.Groups = append(out.Groups, g)
	}
	slices.Sort(out.Groups)
	out.Fleet = fairnessRow("", f.Questions, f.RefusedDifference, f.Groups, out.Groups)
	var sites []string
	for _, s := range f.Sites {
		out.Rows = append(out.Rows, fairnessRow(s.Site, s.Questions, s.RefusedDifference, s.Groups, out.Groups))
		sites = append(sites, s.Site)
	}
	out.Compared, out.LeftOut = comparedOf(sites, f.LeftOut), f.LeftOut
	out.StandingOut = outliers(f.StandingOut, out.Compared)
	out.Quality = outliers(a.Quality.StandingOut, comparedOf(sites, a.Quality.LeftOut))
	return out
}

// SiteDetail is all that is known of one site.
type SiteDetail struct {
	survey.Site
	Models []SiteModel `json:"models"`
}

// SiteModel is what a site's days of a model are like beside its first week.
type SiteModel struct {
	Model    string            `json:"model"`
	Features []monitor.Feature `json:"features"`
	Alarms   []monitor.Alarm   `json:"alarms"`
	Learning bool              `json:"learning"`
}

func (s *Server) site(w http.ResponseWriter, r *http.Request) {
	p := s.views.now.Load()
	if p == nil {
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, "starting", "the fleet is being read")
		return
	}
	id := r.PathValue("site")
	i := slices.IndexFunc(p.overview.Sites, func(x survey.Site) bool { return x.Standing.Site == id })
	if i < 0 {
		problem(w, http.StatusNotFound, "not_found", "there is no such site")
		return
	}
	out := SiteDetail{Site: p.overview.Sites[i], Models: []SiteModel{}}
	if a := p.overview.Answers; a != nil {
		for _, m := range a.Drift.Models {
			for _, x := range m.Sites {
				if x.Site == id {
					out.Models = append(out.Models, SiteModel{m.Model, append([]monitor.Feature{}, x.Features...), x.Alarms, x.Learning})
				}
			}
		}
	}
	reply(w, out)
}
