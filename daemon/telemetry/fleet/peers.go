package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/drift"
	"rxedge/daemon/telemetry/monitor"
)

// compared sites and those that are too small for it.
func compared(sites map[string]*telemetry.Window, least int64) (names []string, left []Left) {
	left = []Left{}
	for _, s := range slices.Sorted(maps.Keys(sites)) {
		if n := sites[s].Questions; n < least {
			left = append(left, Left{s, n, fmt.Sprintf("fewer than %d questions", least)})
			continue
		}
		names = append(names, s)
	}
	if len(names) > 0 && len(names) < LeastPeers {
		for _, s := range names {
			left = append(left, Left{s, sites[s].Questions, fmt.Sprintf("fewer than %d sites to compare", LeastPeers)})
		}
		names = nil
	}
	return names, left
}

// peel finds the sites that are unlike the others together. test gives the outliers
// of one site beside the rest, each with its p-value, whether or not they are large
// enough, and what size says of one. Of all comparisons the false discovery rate is
// held; the site that differs most is then taken out of what the others are compared
// with, and they are compared anew, so that one that is far off makes no other look so.
// Half of the sites at most stand out.
func peel(names []string, q float64, test func(site string, pool []string) []Outlier, large func(*Outlier) float64) []Outlier {
	out := []Outlier{}
	pool := slices.Clone(names)
	for len(pool) >= LeastPeers && 2*(len(names)-len(pool)) < len(names) {
		var all []Outlier
		for _, s := range pool {
			all = append(all, test(s, pool)...)
		}
		ps := make([]float64, len(all))
		for i := range all {
			ps[i] = all[i].P
		}
		worst, site := 0.0, ""
		for i, a := range adjusted(ps) {
			all[i].Q = a
			if size := large(&all[i]); a <= q && size >= 1 && size > worst {
				worst, site = size, all[i].Site
			}
		}
		if site == "" {
			break
		}
		pool = slices.DeleteFunc(pool, func(s string) bool { return s == site })
		peers := slices.Clone(pool)
		for _, o := range all {
			if o.Site == site && o.Q <= q && large(&o) >= 1 {
				o.Pool, o.PeerSites = peers, len(peers)
				out = append(out, o)
			}
		}
	}
	return out
}

// unlike compares the sites' distributions: the PSI against the others together, where
// chance makes it as large.
func unlike(sites map[string]*telemetry.Window, names []string, opt Options) []Outlier {
	memo := map[string]*telemetry.Window{} // sum of a pool, by its size: pools only shrink
	total := func(pool []string) *telemetry.Window {
		k := fmt.Sprint(len(pool))
		if memo[k] == nil {
			w := sites[pool[0]].Clone()
			for _, s := range pool[1:] {
				w = plus(w, sites[s])
			}
			memo[k] = w
		}
		return memo[k]
	}
	out := peel(names, opt.FalseDiscovery, func(site string, pool []string) []Outlier {
		w := sites[site]
		rest := total(pool).Less(w)
		if rest.Questions < opt.Limits.Least {
			return nil
		}
		var found []Outlier
		for _, f := range monitor.Features(rest, w, opt.Limits) {
			if f.Verdict == drift.VerdictInsufficient {
				continue
			}
			psi := f.PSI
			o := Outlier{Site: site, Feature: f.Name, Kind: f.Kind, PSI: &psi, P: f.P, N: int64(f.Current)}
			o.By, o.Value, o.Peers, o.Here = f.Worst()
			o.Text = fmt.Sprintf("%s: %s is unlike the other sites' (PSI %.2f): %s has %.0f %% here and %.0f %% there", site, f.Name, f.PSI, o.Value, 100*o.Here, 100*o.Peers)
			found = append(found, o)
		}
		return found
	}, func(o *Outlier) float64 { return *o.PSI / opt.Limits.Investigate })
	return ordered(out)
}

// plus adds histograms and slices alone.
func plus(a, b *telemetry.Window) *telemetry.Window {
	c := a.Clone()
	if err := c.Merge(b, true); err != nil {
		panic(err) // windows that this rxedge has read
	}
	return c
}

// share of questions that is told of: so many of n.
type share struct {
	name, kind, by, value string
	of                    func(*telemetry.Window) (a, n int64)
}

// uneven compares rates of the sites, two-sided, with the others together.
func uneven(sites map[string]*telemetry.Window, names []string, shares []share, least float64, opt Options) []Outlier {
	out := []Outlier{}
	for _, sh := range shares {
		// A site of which too few are known is not compared in this.
		var able []string
		for _, s := range names {
			if _, n := sh.of(sites[s]); n >= opt.Limits.LeastSlice {
				able = append(able, s)
			}
		}
		if len(able) < LeastPeers {
			continue
		}
		// Each rate is a family of its own; so many families share what may be found
		// by chance.
		found := peel(able, opt.FalseDiscovery/float64(len(shares)), func(site string, pool []string) []Outlier {
			a, n := sh.of(sites[site])
			var b, m int64
			for _, s := range pool {
				if s != site {
					x, y := sh.of(sites[s])
					b, m = b+x, m+y
				}
			}
			here, there := float64(a)/float64(n), float64(b)/float64(m)
			d := here - there
			// What waits at the site may be what makes it differ.
			off, near := here*float64(n)-there*float64(n), a
			if w := opt.waiting(1).Waiting; math.Abs(off) <= float64(w) {
				return nil
			} else if off > 0 {
				near -= w
			} else {
				near += w
			}
			o := Outlier{Site: site, Feature: sh.name, Kind: sh.kind, By: sh.by, Value: sh.value, Difference: &d, P: monitor.Fisher2(b, m, near, n), Here: here, Peers: there, N: n}
			where := ""
			if sh.by != "" {
				where = fmt.Sprintf(" where %s is %s", sh.by, sh.value)
			}
			o.Text = fmt.Sprintf("%s: %s %.0f %%%s, at the other sites %.0f %%", site, sh.name, 100*here, where, 100*there)
			return []Outlier{o}
		}, func(o *Outlier) float64 { return math.Abs(*o.Difference) / least })
		out = append(out, found...)
	}
	return ordered(out)
}

func ordered(out []Outlier) []Outlier {
	size := func(o Outlier) float64 {
		if o.PSI != nil {
			return *o.PSI
		}
		return math.Abs(*o.Difference)
	}
	slices.SortStableFunc(out, func(a, b Outlier) int {
		return cmp.Or(cmp.Compare(size(b), size(a)), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Feature, b.Feature))
	})
	return out
}
